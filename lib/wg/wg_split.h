#pragma once
/*
 * Cuts what one read of a TUN with offloads yields into packets that fit the wire: TCP and UDP
 * super-packets into segments with finished headers and checksums, anything else into one packet
 * with its checksum finished. Lives on the stack; the input must outlive it and is not changed.
 */
#include "lib/wg/wg_offload.h"

struct wg_split {
	struct slice packet; /* without the vnet header */
	struct wg_vnet vnet;
	unsigned protocol; /* 0: one packet as it is */
	size_t l4;         /* where the TCP or UDP header starts */
	size_t header;     /* all headers together */
	size_t at;         /* payload handed out so far */
	unsigned index;
	bool done;
};

/* LN_E_TRUNCATED or LN_E_MALFORMED when the headers do not agree with each other. */
LN_MUST_CHECK int wg_split_init(struct wg_split *s, struct slice frame);
/* Length of the next packet, written to dst; 0 after the last; LN_E_LIMIT when dst is too small. */
LN_MUST_CHECK int wg_split_next(struct wg_split *s, struct mslice dst);
