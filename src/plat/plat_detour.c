#include "src/plat/plat_detour.h"

size_t plat_detour_below(const struct plat_detour_route *v, size_t n, size_t of)
{
	const struct ip_prefix *to = &v[of].dst;
	size_t best = n;
	for (size_t i = 0; i < n; i++) {
		const struct plat_detour_route *r = &v[i];
		if (r->tunnel || r->unusable || r->dst.addr.family != to->addr.family ||
		    r->dst.len > to->len || !ip_prefix_contains(&r->dst, &to->addr))
			continue;
		if (best == n || r->dst.len > v[best].dst.len ||
		    (r->dst.len == v[best].dst.len && r->metric < v[best].metric))
			best = i;
	}
	return best;
}
