#pragma once
/*
 * The pages for operators, each on a clear-text port of its own: /metrics (Prometheus), and
 * /health, /livez and /readyz (spec relay 12).
 */
#include "src/combined/combined_conf.h"

struct combined_pages;
struct ev_loop;

struct combined_pages_conf {
	uint16_t metrics_port;      /* every address; 0: no metrics */
	const char *health_address; /* "": no health pages */
	void *user;
	void (*metrics)(void *user, struct str *dst);
	bool (*ready)(void *user);       /* bound and not stopping */
	bool (*certificate)(void *user); /* TLS with a certificate that is valid now */
	bool has_relay, has_quic;        /* named as listeners */
};

/* Null pages when neither is wanted. Errors of front_new, with the port in f. */
LN_MUST_CHECK int combined_pages_new(struct ev_loop *loop, const struct combined_pages_conf *conf,
				     struct combined_pages **ret, struct ln_fail *f);
void combined_pages_free(struct combined_pages *p); /* null is fine */
