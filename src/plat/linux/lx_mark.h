#pragma once
/* What belongs to a network's mark on this host: rules, the detour table, loose reverse path
 * filters. Part of lx_plat; the numbers are those of plat_mark.h. */
#include "src/plat/linux/lx_plat.h"

/* What of the host has to be noted in the journal before lx_mark_apply() touches it. */
void lx_mark_note(struct plat *p, struct lx_journal *j);
/*
 * The network has its mark (n->journal.mark, 0 none). LN_E_CONFLICT: another program of this host
 * has taken the slot meanwhile. Whatever else is refused is logged: a network without rules works
 * until somebody routes into it.
 */
LN_MUST_CHECK int lx_mark_apply(struct plat *p, struct lx_network *n, unsigned ifindex,
				struct ln_fail *f);
/*
 * Takes everything of `mark` back, also what an earlier process left. Filters that were strict
 * become so again, or, while another network needs them loose, are its business from now on.
 */
void lx_mark_clear(struct plat *p, uint32_t mark, const struct lx_rpf *rpf,
		   const struct lx_network *except);
