#pragma once
/*
 * Explicit congestion notification through the tunnel (RFC 6040): the two bits of the inner IP
 * header go to the outer one, and the mark of a congested router on the way comes back to the inner
 * one. Packets are whole IP packets, IPv4 or IPv6, of at least the length of their header.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

enum wg_ecn {
	WG_ECN_NOT_ECT = 0,
	WG_ECN_ECT1 = 1,
	WG_ECN_ECT0 = 2,
	WG_ECN_CE = 3,
};

/* The field of a packet: what the outer header gets (RFC 6040 4.1, normal mode). */
enum wg_ecn wg_ecn_of(const uint8_t *packet);
/*
 * Joins the outer field with the inner one (RFC 6040 4.2), changing the packet. False when it has
 * to be dropped: a router meant to drop it and took its marking for understood.
 */
LN_MUST_CHECK bool wg_ecn_join(uint8_t *packet, enum wg_ecn outer);
