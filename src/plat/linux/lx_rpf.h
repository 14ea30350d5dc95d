#pragma once
/*
 * The kernel's reverse path filter for IPv4. In strict mode it asks whether the answer to a packet
 * would leave where the packet came in, and asks without our mark: with a route into the tunnel the
 * answer is no, and everything that comes for the tunnel is dropped. Loose mode is what the
 * original sets too (spec agent 4.4); interfaces without the filter stay without it.
 */
#include <stdbool.h>

#include "src/plat/plat.h"

#define LX_RPF_MAX 64

struct lx_rpf { /* interfaces whose filter was strict, "all" among them */
	unsigned n;
	char names[LX_RPF_MAX][PLAT_IFNAME_MAX];
};

/* False for what cannot be the name of an interface, and when there are too many. */
bool lx_rpf_add(struct lx_rpf *rpf, const char *name);
/* Adds the interfaces whose filter is strict now. ours: left alone. */
void lx_rpf_find(struct lx_rpf *rpf, bool (*ours)(const void *arg, const char *ifname),
		 const void *arg);
/* Strict ones of the list become loose. False when the host does not allow it. */
bool lx_rpf_loosen(const struct lx_rpf *rpf);
/* Loose ones of the list become strict. */
void lx_rpf_restore(const struct lx_rpf *rpf);
