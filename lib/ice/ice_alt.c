/*
 * The other pairs of a connected agent: they are measured in the place of some checks of the
 * selected pair, so that no more of them leave than without; and the change to one of them.
 */
#include "lib/ice/ice_agent_internal.h"

/* So often a check goes to another pair; the two sides use different places of the rhythm. */
#define ALT_EVERY (10 * LN_SEC)
#define ALT_APART (4 * LN_SEC)
#define ALT_EVERY_RESTING (2 * LN_MINUTE)
/* The same while one pair is being compared with the selected one. */
#define ALT_EVERY_COMPARED (7 * LN_SEC / 2)
#define ALT_APART_COMPARED (3 * LN_SEC / 2)
/* Every third of them goes to a pair that has not answered yet, but to each at most so often. */
#define ALT_UNPROVEN_TURN 3
#define ALT_UNPROVEN_EVERY LN_MINUTE
/* And none while one of so many checks of the selected pair was lost. */
#define ALT_LOSSY 16
/* A nomination that is not answered for so long is taken back. */
#define ALT_PATIENCE (3 * LN_SEC)

static bool comparing(const struct ice_agent *a)
{
	return a->compared != ICE_NONE && a->compared != a->selected;
}

void ice_alt_start(struct ice_agent *a, ln_time now)
{
	if (a->alt_at == LN_TIME_NEVER)
		a->alt_at = now + (a->controlling ? ALT_EVERY / 2 : ALT_EVERY);
}

void ice_alt_wake(struct ice_agent *a, ln_time now)
{
	if (a->alt_at != LN_TIME_NEVER)
		a->alt_at = ln_time_min(a->alt_at, now + ALT_EVERY);
}

void ice_alt_heard(struct ice_agent *a, ln_time now)
{
	if (a->alt_at != LN_TIME_NEVER)
		a->alt_at =
			LN_MAX(a->alt_at, now + (comparing(a) ? ALT_APART_COMPARED : ALT_APART));
}

/* The pair that waits longest, of those that have answered or of the others. */
static size_t oldest(const struct ice_agent *a, ln_time now, bool proven)
{
	size_t best = ICE_NONE;
	for (size_t i = 0; i < a->npairs; i++) {
		const struct ice_pair *p = &a->pairs[i];
		if (i == a->selected || p->succeeded != proven || !ice_agent_reachable(a, p))
			continue;
		if (!proven && p->sent_at != 0 && now - p->sent_at < ALT_UNPROVEN_EVERY)
			continue;
		if (best == ICE_NONE || p->sent_at < a->pairs[best].sent_at)
			best = i;
	}
	return best;
}

static size_t choose(const struct ice_agent *a, ln_time now)
{
	if (comparing(a))
		return a->compared;
	/* Where checks are lost none is given away for a mere hope. */
	bool lossy = ice_quality_count_lost(&a->pairs[a->selected].quality, ALT_LOSSY) != 0;
	bool proven = lossy || a->nalt % ALT_UNPROVEN_TURN != ALT_UNPROVEN_TURN - 1;
	size_t i = oldest(a, now, proven);
	return i != ICE_NONE || lossy ? i : oldest(a, now, !proven);
}

bool ice_alt_take(struct ice_agent *a, ln_time now)
{
	if (a->state != ICE_CONNECTED || now < a->alt_at || a->nominee != ICE_NONE)
		return false;
	/* A lost check is repeated first, unless its loss is why another pair is looked at. */
	if (a->pairs[a->selected].awaiting && !comparing(a))
		return false;
	a->alt_at = now + (comparing(a) ? ALT_EVERY_COMPARED
			   : a->rest    ? ALT_EVERY_RESTING
					: ALT_EVERY);
	size_t i = choose(a, now);
	if (i == ICE_NONE)
		return false;
	a->nalt++;
	a->pairs[i].trigger_at = now;
	return true;
}

/* --- the change --------------------------------------------------------------------------------*/

int ice_agent_compare(struct ice_agent *a, ln_time now, const struct ip_ep *remote)
{
	size_t i = remote != NULL ? ice_agent_find_pair(a, remote) : ICE_NONE;
	if (remote != NULL && (i == ICE_NONE || !a->pairs[i].succeeded))
		return LN_E_NOTFOUND;
	if (a->compared == i)
		return 0;
	a->compared = i;
	if (a->alt_at != LN_TIME_NEVER && comparing(a))
		a->alt_at = ln_time_min(a->alt_at, now + ALT_EVERY_COMPARED);
	return 0;
}

static void nominate_again(struct ice_agent *a, ln_time now, size_t i)
{
	a->nominee = i;
	a->nominated_at = now;
	a->nomination++;
	a->pairs[i].trigger_at = now;
}

int ice_agent_renominate(struct ice_agent *a, ln_time now, const struct ip_ep *remote)
{
	size_t i = ice_agent_find_pair(a, remote);
	if (!a->conf.renominate || !a->controlling || a->state != ICE_CONNECTED ||
	    a->nominee != ICE_NONE)
		return LN_E_STATE;
	if (i == ICE_NONE || i == a->selected || !a->pairs[i].succeeded)
		return LN_E_NOTFOUND;
	nominate_again(a, now, i);
	return 0;
}

void ice_alt_tick(struct ice_agent *a, ln_time now)
{
	if (a->state != ICE_CONNECTED || a->nominee == ICE_NONE ||
	    now - a->nominated_at < ALT_PATIENCE)
		return;
	/* The other side may have heard it all the same: the old pair is named once more. */
	if (a->nominee == a->selected)
		a->nominee = ICE_NONE;
	else
		nominate_again(a, now, a->selected);
}

ln_time ice_alt_deadline(const struct ice_agent *a)
{
	return a->nominee != ICE_NONE ? a->nominated_at + ALT_PATIENCE : LN_TIME_NEVER;
}

void ice_alt_answered(struct ice_agent *a, ln_time now, size_t i)
{
	if (a->nominee != i)
		return;
	a->nominee = ICE_NONE;
	ice_select_pair(a, now, i);
}

void ice_alt_nominated(struct ice_agent *a, ln_time now, size_t i, uint32_t nomination)
{
	struct ice_pair *p = &a->pairs[i];
	if (a->controlling || nomination <= a->nomination)
		return;
	a->nomination = nomination;
	for (size_t k = 0; k < a->npairs; k++)
		a->pairs[k].use_candidate = k == i;
	a->wanted = i;
	if (p->succeeded && a->state == ICE_CONNECTED)
		ice_select_pair(a, now, i);
}

/* --- what others see ---------------------------------------------------------------------------*/

static void fill_way(const struct ice_agent *a, size_t i, struct ice_way *ret)
{
	const struct ice_pair *p = &a->pairs[i];
	*ret = (struct ice_way){ .quality = p->quality, .selected = i == a->selected };
	ice_agent_pair_info(a, p, &ret->pair);
}

bool ice_agent_has_choice(const struct ice_agent *a)
{
	for (size_t i = 0; i < a->npairs; i++)
		if (i != a->selected && a->pairs[i].succeeded)
			return a->selected != ICE_NONE;
	return false;
}

size_t ice_agent_ways(const struct ice_agent *a, struct ice_way *dst, size_t max)
{
	size_t n = 0;
	if (a->selected == ICE_NONE || max == 0)
		return 0;
	fill_way(a, a->selected, &dst[n++]);
	for (size_t i = 0; i < a->npairs && n < max; i++)
		if (i != a->selected && a->pairs[i].succeeded)
			fill_way(a, i, &dst[n++]);
	return n;
}
