#pragma once
/*
 * Which way packets would take if there were no tunnel: for every route into a tunnel, the route
 * that lies below it. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/ip.h"

struct plat_detour_route { /* of the main table */
	struct ip_prefix dst;
	uint32_t metric;
	bool tunnel;   /* through an interface of ours */
	bool unusable; /* its link is down: no way at all */
};

/*
 * The route that packets to v[of].dst take without any tunnel route: the most specific one that
 * covers all of it, among those the one with the lowest metric. Index, or n when there is none.
 * Routes that are more specific than v[of] need no detour: the kernel prefers them anyway.
 */
size_t plat_detour_below(const struct plat_detour_route *v, size_t n, size_t of);
