#pragma once
/*
 * Connecting: resolves on a worker thread, then tries the addresses in the resolver's order with
 * the families taking turns, the next one 250 ms after the last or at once when that one failed;
 * the first that connects wins (the useful part of RFC 8305). Also Unix sockets, at once.
 *
 * done() comes exactly once, from the loop, unless cancelled; the object frees itself with it.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"

#include "src/ev/ev.h"

struct net_dial;

struct net_dial_target {
	const char *host; /* name or address literal; null for a Unix socket */
	uint16_t port;
	const char *unix_path;
	uint32_t fwmark; /* SO_MARK, 0 = none */
};

/*
 * fd >= 0: connected, non-blocking, now the caller's; peer is its address. fd < 0: an error code
 * and why in words, valid during the call.
 */
typedef void net_dial_done_fn(void *user, int fd, const struct ip_ep *peer, const char *why);

struct net_dial *net_dial_new(struct ev_loop *l, const struct net_dial_target *t, ln_time limit,
			      net_dial_done_fn *done, void *user);
void net_dial_cancel(struct net_dial *d); /* no done() comes; the pointer is dead */
