#pragma once
/*
 * Answers to packets that cannot be carried, so that whoever sent them hears of it at once instead
 * of waiting: ICMP and ICMPv6 "destination unreachable" and "too big" (RFC 792, RFC 4443). The
 * answer comes from the address that cannot be reached, because the core knows no address of its
 * own.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define WG_ICMP_MAX 576 /* longest answer, both families (RFC 1812 4.3.2.3) */

/*
 * Writes "destination unreachable" to `packet`, an IP packet as the interface gave it. Its length,
 * or 0 when there must be none: packets that are ICMP errors themselves, later fragments, to or
 * from what is no single host (RFC 1122 3.2.2, RFC 4443 2.4), or no IP. dst has room for
 * WG_ICMP_MAX bytes.
 */
size_t wg_icmp_unreachable(struct slice packet, uint8_t *dst);
/*
 * The same with "fragmentation needed" (RFC 1191) or "packet too big" (RFC 4443 3.2): nothing
 * longer than `mtu` passes.
 */
size_t wg_icmp_too_big(struct slice packet, size_t mtu, uint8_t *dst);
