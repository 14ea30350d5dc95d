#include "lib/ice/ice_agent_internal.h"
#include "lib/ice/ice_via.h"

/* A nominated pair that stays silent this long makes way for the next best one. */
#define NOMINATION_PATIENCE (3 * LN_SEC)
/* A selected pair that was silent this long may be replaced by a pair of lower priority. */
#define SELECTED_DOUBTFUL (5 * LN_SEC / 2)

void ice_select_pair(struct ice_agent *a, ln_time now, size_t i)
{
	struct ice_pair *p = &a->pairs[i];
	if (a->selected == i)
		return;
	a->selected = i;
	a->state = ICE_CONNECTED;
	a->tell_selected = true;
	a->linger = 0;
	a->nominee = a->compared = ICE_NONE;
	a->postponed = a->rest = false;
	ice_alt_start(a, now);
	a->next_nomination = LN_TIME_NEVER;
	p->next_check = p->slot_at = now + a->conf.keepalive;
	p->awaiting = false;
}

void ice_select_consider(struct ice_agent *a, ln_time now, size_t i)
{
	struct ice_pair *p = &a->pairs[i];
	if (a->controlling || !p->succeeded || !p->use_candidate || a->selected == i ||
	    (a->state != ICE_CHECKING && a->state != ICE_CONNECTED))
		return;
	/* Spec 3.7: the latest nomination of at least the selected priority wins. A selected pair
	 * that fell silent loses to any: the peer has given it up. */
	if (a->selected != ICE_NONE && a->wanted != i) {
		const struct ice_pair *old = &a->pairs[a->selected];
		if (ice_agent_pair_priority(a, p) < ice_agent_pair_priority(a, old) &&
		    now - old->last_received < SELECTED_DOUBTFUL)
			return;
	}
	ice_select_pair(a, now, i);
}

static ln_time acceptance_wait(const struct ice_agent *a, enum ice_cand_type t)
{
	switch (t) {
	case ICE_CAND_HOST:
		return 0;
	case ICE_CAND_SRFLX:
		return a->conf.wait_srflx;
	case ICE_CAND_PRFLX:
		return a->conf.wait_prflx;
	case ICE_CAND_RELAY:
		return a->conf.wait_relay;
	}
	return 0;
}

/* Higher priority first; among equals the shorter round trip. */
static bool better(const struct ice_agent *a, const struct ice_pair *x, const struct ice_pair *y)
{
	uint64_t px = ice_agent_pair_priority(a, x);
	uint64_t py = ice_agent_pair_priority(a, y);
	return px != py ? px > py : x->rtt < y->rtt;
}

/* Of the pairs that answer, the best; a pair that was tried in vain comes last. */
static size_t best_pair(const struct ice_agent *a, size_t avoid)
{
	size_t best = ICE_NONE;
	for (size_t i = 0; i < a->npairs; i++) {
		const struct ice_pair *p = &a->pairs[i];
		if (!p->succeeded || i == avoid)
			continue;
		if (best == ICE_NONE || better(a, p, &a->pairs[best]))
			best = i;
	}
	return best != ICE_NONE ? best : avoid;
}

static void nominate(struct ice_agent *a, ln_time now)
{
	size_t avoid = ICE_NONE;

	a->next_nomination = LN_TIME_NEVER;
	if (a->nominee != ICE_NONE) {
		if (now - a->nominated_at < NOMINATION_PATIENCE) {
			a->next_nomination = a->nominated_at + NOMINATION_PATIENCE;
			return;
		}
		avoid = a->nominee;
		if (a->linger != 0) { /* it answered once, and does no more */
			a->pairs[avoid].succeeded = false;
			a->nominee = avoid = ICE_NONE;
		}
	}
	size_t best = best_pair(a, avoid);
	if (best == ICE_NONE)
		return;
	/* Spec 3.7: both sides wait a while for a better kind of pair, counted from the start. */
	struct ice_pair *p = &a->pairs[best];
	bool via = ice_via_is(&p->remote.addr); /* the worse end of the pair decides */
	ln_time allowed = a->started + acceptance_wait(a, via ? ICE_CAND_RELAY : p->remote.type);
	if (now < allowed) {
		a->next_nomination = allowed;
		return;
	}
	a->nominee = best;
	a->nominated_at = now;
	a->next_nomination = now + NOMINATION_PATIENCE;
	p->next_check = now;
}

static void end(struct ice_agent *a, enum ice_state state)
{
	a->state = state;
	a->tell_end = true;
	a->tell_selected = false;
	a->nominee = ICE_NONE;
	a->next_nomination = LN_TIME_NEVER;
}

/* A regular check that was taken early leaves a longer pause: that is no silence of the peer. */
static ln_time silence_ends(const struct ice_agent *a)
{
	const struct ice_pair *p = &a->pairs[a->selected];
	ln_time asked = p->awaiting ? p->asked_at : p->slot_at;
	return LN_MAX(p->last_received + a->conf.disconnect_after,
		      asked + a->conf.disconnect_after - a->conf.keepalive);
}

void ice_select_tick(struct ice_agent *a, ln_time now)
{
	if (a->state == ICE_CONNECTED && now >= silence_ends(a))
		end(a, ICE_DISCONNECTED);
	ice_alt_tick(a, now);
	if (a->state != ICE_CHECKING)
		return;
	if (a->controlling)
		nominate(a, now);
	if (now >= a->fail_at)
		end(a, ICE_FAILED);
}

ln_time ice_select_deadline(const struct ice_agent *a)
{
	if (a->state == ICE_CONNECTED)
		return ln_time_min(silence_ends(a), ice_alt_deadline(a));
	if (a->state == ICE_CHECKING)
		return ln_time_min(a->fail_at, a->next_nomination);
	return LN_TIME_NEVER;
}
