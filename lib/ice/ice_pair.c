#include "lib/ice/ice_pair.h"

void ice_pair_init(struct ice_pair *p, const struct ice_cand *remote, ln_time now)
{
	*p = (struct ice_pair){
		.remote = *remote,
		.next_check = now,
		.trigger_at = LN_TIME_NEVER,
	};
}

uint64_t ice_pair_priority(uint32_t g, uint32_t d)
{
	uint64_t low = LN_MIN(g, d);
	uint64_t high = LN_MAX(g, d);
	return UINT32_MAX * low + 2 * high + (g > d ? 1 : 0);
}

static void ice_pair_lose(struct ice_pair *p, struct ice_pending *t)
{
	t->counts = false;
	p->counting--;
	ice_quality_lost(&p->quality);
}

void ice_pair_expire(struct ice_pair *p, ln_time now)
{
	for (unsigned i = 0; i < ICE_PAIR_PENDING && p->counting > 0; i++) {
		/* From the oldest on, so that the window keeps the order. */
		struct ice_pending *t = &p->pending[(p->next_pending + i) % ICE_PAIR_PENDING];
		if (t->counts && now - t->at >= ICE_QUALITY_LATE)
			ice_pair_lose(p, t);
	}
}

void ice_pair_answered(struct ice_pair *p, ln_time now, struct ice_pending *t)
{
	p->rtt = now - t->at;
	t->used = false;
	if (t->counts) {
		t->counts = false;
		p->counting--;
		ice_quality_answered(&p->quality, p->rtt);
	} else if (p->rtt < ICE_QUALITY_LATE) {
		ice_quality_sample(&p->quality, p->rtt);
	}
}

void ice_pair_sent(struct ice_pair *p, ln_time now, const struct stun_tid *tid, bool nominate,
		   bool controlling)
{
	struct ice_pending *t = &p->pending[p->next_pending++ % ICE_PAIR_PENDING];
	ice_pair_expire(p, now);
	if (t->counts)
		ice_pair_lose(p, t);
	*t = (struct ice_pending){
		.tid = *tid,
		.at = now,
		.used = true,
		.counts = p->succeeded,
		.nominate = nominate,
		.controlling = controlling,
	};
	p->counting += t->counts;
	p->sent++;
	p->sent_at = now;
	if (!p->awaiting)
		p->asked_at = now;
	p->awaiting = true;
	p->trigger_at = LN_TIME_NEVER;
}

struct ice_pending *ice_pair_find(struct ice_pair *p, ln_time now, const struct stun_tid *tid)
{
	for (unsigned i = 0; i < ICE_PAIR_PENDING; i++) {
		struct ice_pending *t = &p->pending[i];
		if (t->used && now - t->at <= ICE_TRANSACTION_LIFE &&
		    memcmp(t->tid.b, tid->b, STUN_TID_LEN) == 0)
			return t;
	}
	return NULL;
}
