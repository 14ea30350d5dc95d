#pragma once
/*
 * The STUN server: Binding requests over UDP, IPv4 and IPv6, answered from the address they came
 * to, rate-limited by source network (stun_limit.h). It keeps no state per request. Belongs to one
 * loop; several may share ports through SO_REUSEPORT when `reuse_port` is set.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"

#define STUN_SERVER_SOCKETS_MAX 16
#define STUN_SERVER_RATE 50   /* answers per second and source network */
#define STUN_SERVER_BURST 200 /* at once: many agents may sit behind one carrier NAT */

struct ev_loop;
struct stun_server;

struct stun_server_conf {
	/* Local addresses; none means every address of both families (IPv6 only if there is). */
	const struct ip_addr *addrs;
	size_t naddrs;
	const uint16_t *ports; /* none means 3478; 0 asks for a free one (tests) */
	size_t nports;
	unsigned rate;  /* 0 = STUN_SERVER_RATE */
	unsigned burst; /* 0 = STUN_SERVER_BURST */
	bool reuse_port;
};

struct stun_server_count {
	uint64_t requests; /* datagrams received */
	uint64_t answered;
	uint64_t refused; /* not a Binding request of good form */
	uint64_t limited; /* over the rate */
	uint64_t unsent;  /* the system did not take the answer */
};

/* -errno when a socket cannot be had, LN_E_LIMIT for too many sockets; the reason in f. */
LN_MUST_CHECK int stun_server_new(struct ev_loop *loop, const struct stun_server_conf *conf,
				  struct stun_server **ret, struct ln_fail *f);
void stun_server_free(struct stun_server *s);
void stun_server_count(const struct stun_server *s, struct stun_server_count *ret);
/* The i-th socket's address; false behind the last. */
bool stun_server_addr(const struct stun_server *s, size_t i, struct ip_ep *ret);
