#pragma once
/*
 * Datagrams for a UDP port of this host whose source is somebody else: what a relay brings for the
 * kernel's WireGuard must look as if it came from the peer's endpoint (spec signal-and-connection
 * 4.7). Raw sockets with their own IP header, bound to lo; nothing of this leaves the host.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"

#define LX_SPOOF_DATA_MAX 16384
#define LX_SPOOF_BATCH 64 /* datagrams per system call */

struct lx_spoof {
	int fd[2];     /* IPv4, IPv6; opened when needed, -1 before */
	uint16_t port; /* of the receiver */
};

void lx_spoof_init(struct lx_spoof *s, uint16_t port);
void lx_spoof_close(struct lx_spoof *s);
/*
 * To 127.0.0.1 or ::1, by the family of `from`: datagrams of `size` bytes one behind the other, the
 * last may be shorter. -errno of the first that failed; LN_E_LIMIT: `size` is none, or too much.
 */
LN_MUST_CHECK int lx_spoof_send(struct lx_spoof *s, const struct ip_ep *from, struct slice data,
				size_t size);
