#pragma once
/*
 * Routing policy rules of one network (spec agent 4.4). Priorities 105 and 110 are those of the
 * original, for the first network; what marked packets get stands right before the kernel's own
 * "lookup main", behind all rules of the operator:
 *
 *     105    not marked by any network   lookup main, but not its default routes
 *     110    not marked by any network   lookup 7120
 *     32763  marked by this one          lookup main, but nothing through our interfaces
 *     32764  marked by this one          lookup 7184 (lx_detour.h)
 *     32765  marked by this one          unreachable
 */
#include <stdbool.h>
#include <stdint.h>

#include "src/plat/linux/lx_nl.h"

#define LX_RULES 5

struct lx_rule {
	uint32_t priority;
	uint32_t mark, mask;
	bool invert;        /* packets that do not bear it */
	uint32_t table;     /* 0: unreachable */
	int suppress_len;   /* routes of at most this length do not count; -1 all do */
	int suppress_group; /* routes through interfaces of this group do not count; -1 all do */
};

/* The rules of one network, the same for both families. */
void lx_rule_list(uint32_t mark, struct lx_rule ret[LX_RULES]);
/* Bits of those that are in the kernel. family: AF_INET, AF_INET6. */
LN_MUST_CHECK int lx_rule_present(struct lx_nl *nl, uint8_t family,
				  const struct lx_rule v[LX_RULES], unsigned *ret);
/* Bits of the slots whose tables some rule names, whoever made it. */
LN_MUST_CHECK int lx_rule_slots(struct lx_nl *nl, uint8_t family, uint64_t *ret);
LN_MUST_CHECK int lx_rule_add(struct lx_nl *nl, uint8_t family, const struct lx_rule *r);
/* -ENOENT when it is not there. */
LN_MUST_CHECK int lx_rule_del(struct lx_nl *nl, uint8_t family, const struct lx_rule *r);
