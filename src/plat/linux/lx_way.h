#pragma once
/* The kernel's answer to "which way does a packet to this address leave?". */
#include "src/plat/linux/lx_nl.h"
#include "src/plat/plat.h"

/* As plat_way(). */
LN_MUST_CHECK int lx_way_find(struct lx_nl *nl, const struct ip_addr *to, uint32_t mark,
			      struct plat_way *ret);
