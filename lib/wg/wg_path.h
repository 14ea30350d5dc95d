#pragma once
/*
 * Paths that carry less than the tunnel's own MTU promises. The outer packets say "don't fragment",
 * so a path tells what it carries; the sender of an inner packet that does not fit is told in turn
 * (RFC 1191, RFC 8201), and new TCP connections are told in their SYN, because an IPv6 host need
 * not believe in paths below 1,280 bytes. What nobody can be told of travels in fragments (RFC 2473
 * 7.1, 7.2).
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"

/* A path may become wider again: what is known of it holds as long as in the kernel. */
#define WG_PATH_KNOWN (600 * LN_SEC)

/*
 * The longest inner packet whose message fits an outer IP packet of `mtu` bytes, padding included:
 * a multiple of WG_MSG_PAD. `family` is the outer one.
 */
size_t wg_path_inner(size_t mtu, unsigned family);
/*
 * Whether a packet longer than `inner` has to be refused, and with which MTU; false when it fits,
 * or when its sender would not listen. A whole IP packet.
 */
bool wg_path_refuses(struct slice packet, size_t inner, size_t *ret_mtu);
/* Lowers the MSS that a SYN announces to what `inner` has room for. A whole IP packet. */
void wg_path_clamp(struct mslice packet, size_t inner);
