#pragma once
/*
 * What stands in for the endpoint of a peer that has none: an address of 127.64.0.0/10, one per
 * peer, all on one UDP socket bound to the interface lo. WireGuard sends its handshake there and
 * keeps the packet that caused it queued; we learn who is wanted, and what was sent can leave for
 * the real endpoint as soon as there is one (spec signal-and-connection 5.10).
 *
 * The same socket receives what WireGuard sends to peers reached by a relay: those have addresses
 * of 127.1.0.0/16 (spec 4.6) and the socket's port.
 *
 * Only datagrams from WireGuard's own port count: nobody else on the host can use that.
 */
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"

#define KWG_WAKE_SLOTS (1U << 22)
#define KWG_WAKE_ROOM 16384 /* longer messages are cut off and ignored */

struct kwg_wake {
	int fd; /* -1: closed */
	uint16_t port;
	uint16_t from; /* WireGuard's port */
};

/* -errno in words. */
LN_MUST_CHECK int kwg_wake_open(struct kwg_wake *w, uint16_t from, struct ln_fail *f);
void kwg_wake_close(struct kwg_wake *w);
/* The endpoint of slot 1..KWG_WAKE_SLOTS-1. */
struct ip_ep kwg_wake_endpoint(const struct kwg_wake *w, uint32_t slot);
/* True for any address of the range. */
bool kwg_wake_is_ours(const struct ip_ep *ep);
/*
 * One datagram in `room` and the address it was sent to, with our port. 0; -EAGAIN: no more;
 * LN_E_MALFORMED: skip it (another source, cut off).
 */
LN_MUST_CHECK int kwg_wake_recv(const struct kwg_wake *w, struct mslice room, struct ip_ep *ret_to,
				struct slice *ret);
/* Of an endpoint that kwg_wake_is_ours(). */
uint32_t kwg_wake_slot(const struct ip_ep *ep);
