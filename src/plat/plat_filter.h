#pragma once
/*
 * The inbound rules of one address family, made small: rules that differ only by source become one
 * group with the fewest prefixes that cover the same addresses. Pure.
 *
 * Groups come drop first, then accept; within each, ordered by protocol, ports. Accept rules may be
 * in any order, and drop rules stand above established connections (spec agent 5.2, trap 32).
 */
#include "lib/base/err.h"

#include "src/plat/plat.h"
#include "src/plat/plat_diff.h"

#define PLAT_RULES_MAX 262144 /* rules of one network */

struct plat_filter_group {
	bool drop;
	uint8_t protocol;               /* 0 = all; ICMP is already the number of the family */
	uint16_t port_first, port_last; /* 0, 0 = all; only with a protocol */
	bool any_source;
	const struct ip_prefix *sources; /* masked, sorted, none contains another */
	size_t nsources;
};

struct plat_filter {
	struct plat_filter_group *groups;
	size_t ngroups;
	struct plat_prefixes prefixes; /* what the groups point into */
};

/*
 * family 4 or 6. A rule for all protocols with ports becomes one for TCP and one for UDP; a last
 * port below the first means the single port. LN_E_LIMIT beyond PLAT_RULES_MAX or, for prefixes,
 * PLAT_PREFIXES_MAX; LN_E_MALFORMED for a prefix longer than its family.
 */
LN_MUST_CHECK int plat_filter_build(const struct plat_rule *rules, size_t n, unsigned family,
				    struct plat_filter *ret);
void plat_filter_fini(struct plat_filter *x);
