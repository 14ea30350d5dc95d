#pragma once
/*
 * The other way to tell relayed peers apart (spec signal-and-connection 4.6, "eBPF proxy"), off
 * unless wished for: WireGuard sends to 127.0.0.1 and a port per peer, and an XDP program on lo
 * (kwg_redirect.bpf.c) turns these datagrams to the wake socket's port, their old destination port
 * as the source. It is gone with the process, however that ends. docs/design/kwg.md has the figures
 * against addresses per peer, which are the default.
 *
 * One program per network namespace: where lo has one already, kwg_redirect_new() fails.
 */
#include <netinet/in.h>

#include "lib/base/err.h"
#include "lib/base/ip.h"

struct kwg_redirect;
/* LN_E_UNSUPPORTED: built without it; -errno, in words. */
LN_MUST_CHECK int kwg_redirect_new(uint16_t wireguard_port, uint16_t wake_port,
				   struct kwg_redirect **ret, struct ln_fail *f);
void kwg_redirect_free(struct kwg_redirect *r); /* null is allowed */

/* The port of a relay's endpoint is what its address ends with: not 0, nor WireGuard's own. */
static inline bool kwg_redirect_can(const struct ip_ep *relay, uint16_t wireguard_port)
{
	uint16_t port = (uint16_t)ip_to_u32(&relay->addr);
	return port != 0 && port != wireguard_port;
}

static inline struct ip_ep kwg_redirect_endpoint(const struct ip_ep *relay)
{
	return (struct ip_ep){ .addr = ip_v4(INADDR_LOOPBACK),
			       .port = (uint16_t)ip_to_u32(&relay->addr) };
}

/* And back: the relay's endpoint, with `port`. */
static inline struct ip_ep kwg_redirect_peer(uint16_t peer, uint16_t port)
{
	return (struct ip_ep){ .addr = ip_v4(0x7f010000U | peer), .port = port };
}
