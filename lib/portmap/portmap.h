#pragma once
/*
 * One UDP port of this host mapped at its gateway by PCP or NAT-PMP, kept alive, and given back
 * (spec signal-and-connection 3.4; RFC 6887 8, 11; RFC 6886 3). Pure core: input, poll, deadline.
 *
 * PCP is asked first; a gateway that says it knows the older protocol, or nothing, is asked by
 * NAT-PMP. A mapping is renewed at half its life and made anew when the gateway's epoch shows that
 * it has forgotten everything.
 */
#include "lib/base/rng.h"
#include "lib/base/time.h"
#include "lib/portmap/portmap_msg.h"

struct portmap_conf {
	uint16_t port;  /* ours */
	ln_time life;   /* asked for; 0: two hours */
	ln_time health; /* between two looks at the epoch; 0: 60 s, LN_TIME_NEVER: none */
};

enum portmap_out_kind {
	PORTMAP_OUT_SEND,   /* data, to the gateway's port 5351 */
	PORTMAP_OUT_MAPPED, /* a new address: ep; family 0 when the gateway does not say which */
	PORTMAP_OUT_NONE    /* no mapping (any more); why */
};

struct portmap_out {
	enum portmap_out_kind kind;
	struct slice data; /* valid until the next call */
	struct ip_ep ep;
	const char *why; /* static */
};

struct portmap;
struct portmap *portmap_new(const struct portmap_conf *conf, const struct ln_rng *rng);
void portmap_free(struct portmap *p); /* null is fine */
/*
 * Begins with this gateway; source: our address towards it. What was mapped at another one is
 * forgotten without a word: it cannot be reached any more.
 */
void portmap_start(struct portmap *p, ln_time now, const struct ip_addr *gateway,
		   const struct ip_addr *source);
/* Takes the mapping back: poll then gives the message, after which the core does nothing. */
void portmap_stop(struct portmap *p, ln_time now);
/* LN_E_NOTFOUND for what answers nothing we asked. Errors change nothing. */
LN_MUST_CHECK int portmap_input(struct portmap *p, ln_time now, struct slice pkt);
/* The system says that nobody listens there (ECONNREFUSED). */
void portmap_refused(struct portmap *p, ln_time now);
bool portmap_poll(struct portmap *p, ln_time now, struct portmap_out *out);
ln_time portmap_deadline(const struct portmap *p);
const char *portmap_protocol(const struct portmap *p); /* "PCP", "NAT-PMP" */
