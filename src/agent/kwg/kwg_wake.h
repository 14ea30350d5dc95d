#pragma once
/*
 * What stands in for the endpoint of a peer that has none: an address of 127.64.0.0/10, one per
 * peer, all on one UDP socket bound to the interface lo. WireGuard sends its handshake there and
 * keeps the packet that caused it queued; we learn who is wanted, and what was sent can leave for
 * the real endpoint as soon as there is one (spec signal-and-connection 5.10).
 *
 * The same socket receives what WireGuard sends to peers reached by a relay: those have addresses
 * of 127.1.0.0/16 (spec 4.6) and the socket's port. What the relay brings goes back by it as well.
 *
 * Only datagrams from WireGuard's own port count: nobody else on the host can use that.
 */
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"

#define KWG_WAKE_SLOTS (1U << 22)
#define KWG_WAKE_BATCH 64 /* datagrams per system call, in both directions */

struct kwg_wake_room;

struct kwg_wake {
	int fd; /* -1: closed */
	uint16_t port;
	uint16_t from;   /* WireGuard's port */
	bool redirected; /* src/agent/kwg/kwg_redirect.h is at work for these two ports */
	bool no_gso;     /* the kernel does not cut datagrams for us */
	struct kwg_wake_room *room;
};

struct kwg_wake_msg {
	struct ip_ep to;   /* the address it was sent to, with our port; family 0: does not count
			      (another source, cut off) */
	struct slice data; /* valid until the next call */
};

/* `mtu` is the tunnel's. -errno in words. */
LN_MUST_CHECK int kwg_wake_open(struct kwg_wake *w, uint16_t from, unsigned mtu, struct ln_fail *f);
void kwg_wake_close(struct kwg_wake *w);
/* The endpoint of slot 1..KWG_WAKE_SLOTS-1. */
struct ip_ep kwg_wake_endpoint(const struct kwg_wake *w, uint32_t slot);
/* True for any address of the range. */
bool kwg_wake_is_ours(const struct ip_ep *ep);
/*
 * What lies there, in one system call. How many; fewer than KWG_WAKE_BATCH: no more at the moment.
 * -errno.
 */
LN_MUST_CHECK int kwg_wake_recv(struct kwg_wake *w, struct kwg_wake_msg ret[KWG_WAKE_BATCH]);
/*
 * To WireGuard, from an address of 127.0.0.0/8 and our port: datagrams of `size` bytes one behind
 * the other, the last may be shorter; at most KWG_WAKE_BATCH of them and 60,000 bytes. They pass
 * the kernel as one (UDP_SEGMENT) where it can do that. -errno of the first that failed.
 */
int kwg_wake_send(struct kwg_wake *w, const struct ip_addr *from, struct slice data, size_t size);
/* Of an endpoint that kwg_wake_is_ours(). */
uint32_t kwg_wake_slot(const struct ip_ep *ep);
