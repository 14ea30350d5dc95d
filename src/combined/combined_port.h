#pragma once
/*
 * The TCP ports of a server: the public one, which must open, and the legacy ones of old agents
 * (33073 management, 10000 signal), which need not. Each is a front over the same gRPC server.
 */
#include "src/combined/combined_conf.h"

struct ev_loop;
struct grpc_server;
struct combined_ports;
struct front_row;

struct combined_ports_conf {
	const struct combined_conf *conf;
	const struct combined_plan *plan;
	struct grpc_server *grpc;     /* may be null */
	const struct front_row *rows; /* of the public port; may be null */
	size_t nrows;
	const uint16_t *legacy; /* ports to try besides the public one, at most two */
	size_t nlegacy;
};

/*
 * -EADDRINUSE, -EACCES ... for the public port, LN_E_MALFORMED for a bad certificate, with what to
 * do in f. A legacy port that does not open is logged.
 */
LN_MUST_CHECK int combined_ports_new(struct ev_loop *loop, const struct combined_ports_conf *conf,
				     struct combined_ports **ret, struct ln_fail *f);
/* Rereads the certificate; on failure the old one stays, and the log says so. */
void combined_ports_reload(struct combined_ports *p);
/* The public port speaks TLS, and its certificate is valid now. */
bool combined_ports_certificate_valid(const struct combined_ports *p);
/* No new connections, GOAWAY on the open ones; done(arg) when all are gone or after `limit`. */
void combined_ports_drain(struct combined_ports *p, ln_time limit, void (*done)(void *arg),
			  void *arg);
void combined_ports_free(struct combined_ports *p); /* null is fine; before the gRPC server */
