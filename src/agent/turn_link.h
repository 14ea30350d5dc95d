#pragma once
/*
 * The way to one TURN server: a UDP socket, TCP or TLS under a turn_client (lib/turn). It ends once
 * and is not used again. Datagrams keep their bounds; what the transport cannot take is dropped.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"

#include "src/ev/ev.h"

struct net_tls_ctx;
struct turn_link;

struct turn_link_conf {
	/* turn:host[:port][?transport=udp|tcp] or turns:host[:port] (TCP) (RFC 7065); copied */
	const char *uri;
	const char *username, *password; /* copied */
	struct net_tls_ctx *tls;         /* for turns:, else null; outlives the handshake */
	uint32_t fwmark;
	/* All from the loop. */
	void (*up)(void *user, const struct ip_ep *relayed);
	void (*closed)(void *user, const char *why); /* once, also instead of up; free it */
	void (*packet)(void *user, const struct ip_ep *from, struct slice data);
	void *user;
};

/* LN_E_MALFORMED; LN_E_UNSUPPORTED: TLS over UDP. */
LN_MUST_CHECK int turn_link_new(struct ev_loop *loop, const struct turn_link_conf *conf,
				struct turn_link **ret);
void turn_link_free(struct turn_link *l); /* gives the allocation back; null is fine */
bool turn_link_is_up(const struct turn_link *l);
/* From the relayed address. Waits for the peer's permission when it is the first. */
void turn_link_send(struct turn_link *l, const struct ip_ep *to, struct slice data);
