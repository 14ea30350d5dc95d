#pragma once
/*
 * The table that marked packets look into when the main table would send them into a tunnel of
 * ours: for every such route the way below it (plat_detour.h), with all that route's attributes.
 * Empty unless somebody has added such a route: what the kernel makes of our addresses needs none.
 */
#include <stdbool.h>

#include "src/plat/linux/lx_nl.h"
#include "src/plat/plat_diff.h"

/* Brings table `table` up to date. tunnels: the interfaces that are ours. LN_E_LIMIT: the main
 * table is too large to be searched. */
LN_MUST_CHECK int lx_detour_refresh(struct lx_nl *nl, const unsigned *tunnels, size_t n,
				    uint32_t table, bool ipv6);
LN_MUST_CHECK int lx_detour_clear(struct lx_nl *nl, uint32_t table, bool ipv6);
