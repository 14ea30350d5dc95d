#pragma once
/*
 * Addresses seen through our TURN allocation. A pair is told apart by its remote address alone, so
 * the same IPv4 address reached from the relayed candidate has another name: 100::a.b.c.d, in the
 * prefix that is never routed (RFC 6666). The owner sends what goes there by the allocation, and
 * gives what comes from there this name; WireGuard gets it as an endpoint.
 */
#include <string.h>

#include "lib/base/ip.h"

static inline bool ice_via_is(const struct ip_ep *ep)
{
	static const uint8_t prefix[12] = { 0x01 };
	return ep->addr.family == 6 && memcmp(ep->addr.b, prefix, sizeof(prefix)) == 0;
}

/* False: only IPv4 addresses have such a name. */
static inline bool ice_via_make(const struct ip_ep *ep, struct ip_ep *ret)
{
	if (ep->addr.family != 4)
		return false;
	*ret = (struct ip_ep){ .addr = { .family = 6, .b = { 0x01 } }, .port = ep->port };
	memcpy(ret->addr.b + 12, ep->addr.b, 4);
	return true;
}

/* The address behind the name; others stay as they are. */
static inline struct ip_ep ice_via_undo(const struct ip_ep *ep)
{
	struct ip_ep plain = *ep;
	if (!ice_via_is(ep))
		return plain;
	plain.addr = (struct ip_addr){ .family = 4 };
	memcpy(plain.addr.b, ep->addr.b + 12, 4);
	return plain;
}
