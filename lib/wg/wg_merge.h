#pragma once
/*
 * The reverse of wg_split: joins consecutive TCP segments, and UDP datagrams of one size, of a flow
 * into super-packets for one write to the TUN, without copying payload. Packets of a flow keep
 *their order; what cannot be joined passes as it is. Each segment's checksum is verified before it
 *is joined, because the super-packet gets a fresh one from the kernel.
 *
 *	wg_merge_init -> wg_merge_add ... -> wg_merge_item(i) for i < n -> wg_merge_init
 *
 * The packets belong to the caller and must stay until the items were written; the headers of the
 * first packet of an item are changed in place.
 */
#include "lib/wg/wg_offload.h"

#define WG_MERGE_ITEMS 64
#define WG_MERGE_PARTS 64
#define WG_MERGE_OPEN 8 /* flows that can still grow */

struct wg_merge_item {
	struct wg_vnet vnet;
	struct slice part[WG_MERGE_PARTS]; /* the first packet whole, then payloads */
	unsigned nparts;
	uint8_t *first;
	unsigned protocol;
	size_t l4;
	size_t header;
	size_t total;   /* bytes of all parts */
	size_t segment; /* payload of the first packet */
	uint32_t next;  /* expected: TCP sequence number; IPv4 identification of UDP without DF */
	bool open;
	bool push;
};

struct wg_merge {
	bool udp;
	unsigned n;
	unsigned open[WG_MERGE_OPEN]; /* item numbers, newest last */
	unsigned nopen;
	struct wg_merge_item item[WG_MERGE_ITEMS];
};

/* `udp`: whether the TUN takes joined datagrams. */
void wg_merge_init(struct wg_merge *m, bool udp);
/* False when there is no room: write the items out, init, and add again. n > 0. */
LN_MUST_CHECK bool wg_merge_add(struct wg_merge *m, struct mslice packet);
/* Finishes the headers of item i; afterwards nothing may be added before the next init. */
const struct wg_merge_item *wg_merge_item(struct wg_merge *m, unsigned i);
