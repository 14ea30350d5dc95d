#pragma once
/*
 * The messages of the kernel's WireGuard (generic netlink family "wireguard", linux/wireguard.h):
 * written into and read from memory, no socket here.
 *
 * A device with many peers or a peer with many prefixes does not fit one message. Writing: the
 * caller sends what was put and goes on with the rest. Reading: the kernel ends a message inside a
 * peer and begins the next one with the same key and the rest of its prefixes, without the other
 * facts; the reader joins them.
 */
#include <libmnl/libmnl.h>

#include "src/plat/plat_wg.h"

#define LX_WG_REQUEST 8192 /* room for one request */

/* Key, port and mark of a device, forgetting all peers. Null key: as it is. */
struct lx_wg_device {
	const struct wg_secret *key;
	uint16_t port;
	uint32_t fwmark;
};

/* `h` is a header with room for LX_WG_REQUEST bytes in all. */
void lx_wg_msg_device(struct nlmsghdr *h, unsigned ifindex, const struct lx_wg_device *d);
/*
 * One peer with its prefixes from number `from` on. Returns the number of the first prefix that did
 * not fit; nallowed when all did. Only the first message (from 0) carries the other changes.
 */
size_t lx_wg_msg_peer(struct nlmsghdr *h, unsigned ifindex, const struct plat_wg_change *c,
		      size_t from);
/* Asks for everything about the device (a dump). */
void lx_wg_msg_get(struct nlmsghdr *h, unsigned ifindex);

struct lx_wg_reader {
	plat_wg_peer_fn *fn; /* null: only the device is of interest */
	void *user;
	uint16_t port;
	/* the peer that may go on in the next message */
	bool open;
	struct plat_wg_peer peer;
};

/* One message of the answer. 0, or LN_E_MALFORMED: attributes of impossible sizes. */
LN_MUST_CHECK int lx_wg_msg_read(struct lx_wg_reader *r, const struct nlmsghdr *h);
/* After the last one. */
void lx_wg_msg_read_end(struct lx_wg_reader *r);
