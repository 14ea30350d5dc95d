#include <stdio.h>

#include "lib/ice/ice_agent_internal.h"
#include "lib/stun/stun_auth.h"

/* A request on a pair that is not proven yet is answered with a check at once, but not more often
 * than this; on a proven pair there is little to learn. */
#define TRIGGER_GAP_UNPROVEN (20 * LN_MSEC)
#define TRIGGER_GAP_PROVEN (500 * LN_MSEC)

static void trigger(struct ice_agent *a, ln_time now, size_t i)
{
	struct ice_pair *p = &a->pairs[i];
	ln_time gap = TRIGGER_GAP_UNPROVEN;

	if (a->state != ICE_CHECKING && a->state != ICE_CONNECTED)
		return;
	bool selected = a->selected == i;
	bool measured = !selected && a->state == ICE_CONNECTED;
	if (measured)
		ice_alt_heard(a, now);
	/* A pair that is only measured: each side does it by itself. */
	if (measured && p->succeeded)
		return;
	/* The next regular check was taken early: there is no other before its time. */
	if (selected && p->ahead)
		return;
	/* One side's checks are enough for both; it may be the other one that stops. */
	if (selected && a->rest) {
		ice_agent_rest_heard(a, now);
		return;
	}
	if (selected)
		gap = a->conf.keepalive / 2;
	else if (p->succeeded)
		gap = TRIGGER_GAP_PROVEN;
	ln_time at = p->sent != 0 ? p->sent_at + gap : now;
	if (p->succeeded && at > now)
		return;
	/* The pair was heard this moment; that is as good as a check of ours. */
	if (selected && (a->postponed || ice_alt_take(a, now))) {
		a->postponed = false;
		p->next_check = p->slot_at = ice_agent_slot_after(a, now);
		return;
	}
	p->trigger_at = LN_MAX(at, now);
}

void ice_input_note_request(struct ice_agent *a, ln_time now, const struct ip_ep *from,
			    const char *cid, bool nominate)
{
	size_t i = ice_agent_prflx_pair(a, now, from, cid);
	if (i == ICE_NONE)
		return;
	struct ice_pair *p = &a->pairs[i];
	p->inbound = true;
	p->last_received = now;
	/* The first numbered nomination ends the time of those without number. */
	if (nominate && !a->controlling && a->nomination == 0)
		p->use_candidate = true;
	trigger(a, now, i);
	/* RFC 8445 7.3.1.4: hearing from a pair revives it, so the back-off starts again. */
	if (!p->succeeded)
		p->sent = LN_MIN(p->sent, 1u);
	ice_select_consider(a, now, i);
}

static void queue_response(struct ice_agent *a, const struct ip_ep *to, const struct stun_msg *m,
			   bool conflict)
{
	if (a->nresponses == ICE_RESPONSES_MAX) {
		a->first_response = (a->first_response + 1) % ICE_RESPONSES_MAX;
		a->nresponses--;
	}
	size_t at = (a->first_response + a->nresponses++) % ICE_RESPONSES_MAX;
	struct ice_response *r = &a->responses[at];
	*r = (struct ice_response){ .to = *to, .tid = m->tid, .conflict = conflict };
	ice_check_source_cid(m, r->peer_cid);
	size_t i = ice_agent_find_pair(a, to);
	if (r->peer_cid[0] == '\0' && i != ICE_NONE)
		memcpy(r->peer_cid, a->pairs[i].remote.cid, sizeof(r->peer_cid));
}

/*
 * RFC 8445 7.3.1.1. True when the request is to be refused with 487; otherwise we may have changed
 * our own role. The key order fixes the roles, so this is for foreign agents and mistakes.
 */
static bool role_conflict(struct ice_agent *a, const struct stun_msg *m)
{
	enum stun_attr same = a->controlling ? STUN_ATTR_ICE_CONTROLLING : STUN_ATTR_ICE_CONTROLLED;
	if (!stun_msg_has(m, same))
		return false;
	bool we_win = a->tie_breaker >= stun_attr_u64(m->attr[same]);
	if (we_win == a->controlling)
		return true;
	if (a->selected == ICE_NONE) {
		a->controlling = !a->controlling;
		a->nominee = ICE_NONE;
	}
	return false;
}

/* The peer is faster than the signal channel: its source is remembered (spec 3.11 no. 7). */
static void remember(struct ice_agent *a, ln_time now, const struct ip_ep *from,
		     const struct stun_msg *m, struct slice ufrag)
{
	struct ice_early e = { .from = *from, .at = now };
	size_t i;
	if (ufrag.n > ICE_UFRAG_MAX)
		return;
	memcpy(e.ufrag, ufrag.p, ufrag.n);
	e.nominate = stun_msg_has(m, STUN_ATTR_USE_CANDIDATE);
	ice_check_source_cid(m, e.cid);
	for (i = 0; i < a->nearly; i++)
		if (ip_ep_equal(&a->early[i].from, from))
			break;
	if (i == ICE_EARLY_MAX)
		i = 0;
	if (i == a->nearly)
		a->nearly++;
	a->early[i] = e;
}

static int input_request(struct ice_agent *a, ln_time now, const struct ip_ep *from,
			 const struct stun_msg *m)
{
	struct slice receiver;
	struct slice sender;

	if (ice_check_split_username(m->attr[STUN_ATTR_USERNAME], &receiver, &sender) != 0 ||
	    !slice_is(receiver, a->conf.local.ufrag))
		return LN_E_NOTFOUND;
	if (!stun_auth_fingerprint_ok(m))
		return LN_E_MALFORMED;
	if (!stun_auth_verify(m, slice_str(a->conf.local.pwd)) ||
	    (a->remote_known && !slice_is(sender, a->remote.ufrag))) {
		a->count.checks_refused++;
		return LN_E_AUTH;
	}
	a->count.checks_received++;
	bool conflict = role_conflict(a, m);
	queue_response(a, from, m, conflict);
	if (conflict)
		return 0;
	if (!a->remote_known) {
		remember(a, now, from, m, sender);
		return 0;
	}
	char cid[ICE_CID_MAX + 1];
	ice_check_source_cid(m, cid);
	bool nominate = stun_msg_has(m, STUN_ATTR_USE_CANDIDATE);
	bool numbered = stun_msg_has(m, STUN_ATTR_NOMINATION);
	ice_input_note_request(a, now, from, cid, nominate && !numbered);
	size_t i = ice_agent_find_pair(a, from);
	if (nominate && numbered && i != ICE_NONE)
		ice_alt_nominated(a, now, i, stun_attr_u32(m->attr[STUN_ATTR_NOMINATION]));
	return 0;
}

static void answered(struct ice_agent *a, ln_time now, size_t i, struct ice_pending *t,
		     const struct stun_msg *m)
{
	struct ice_pair *p = &a->pairs[i];
	if (!p->succeeded)
		a->count.pairs_answered++;
	p->succeeded = true;
	p->awaiting = false;
	ice_pair_answered(p, now, t);
	p->last_received = p->last_answered = now;
	if (stun_msg_mapped(m, &p->mapped) != 0)
		p->mapped = (struct ip_ep){ 0 };
	if (a->selected == i) {
		if (!p->ahead)
			p->slot_at = ice_agent_slot_after(a, t->at);
		p->next_check = LN_MAX(p->slot_at, now);
	}
	if (a->controlling && t->nominate && a->state == ICE_CHECKING)
		ice_select_pair(a, now, i);
	else if (a->controlling && t->nominate && a->state == ICE_CONNECTED)
		ice_alt_answered(a, now, i);
	ice_select_consider(a, now, i);
}

/* RFC 8445 7.2.5.1: the peer won the conflict; take the other role and try again. */
static void input_conflict(struct ice_agent *a, ln_time now, size_t i, const struct ice_pending *t)
{
	if (a->state != ICE_CHECKING)
		return;
	if (t->controlling == a->controlling) {
		a->controlling = !a->controlling;
		a->nominee = ICE_NONE;
		rng_fill(&a->rng, &a->tie_breaker, sizeof(a->tie_breaker));
	}
	a->pairs[i].trigger_at = now;
}

static int input_answer(struct ice_agent *a, ln_time now, const struct ip_ep *from,
			const struct stun_msg *m)
{
	struct ice_pending *t = NULL;
	unsigned code;
	size_t i;

	if (!a->remote_known || memcmp(m->tid.b, a->tid_prefix, ICE_TID_PREFIX) != 0)
		return LN_E_NOTFOUND;
	for (i = 0; i < a->npairs && t == NULL; i++)
		t = ice_pair_find(&a->pairs[i], now, &m->tid);
	if (t == NULL)
		return LN_E_NOTFOUND;
	i--;
	if (!stun_auth_fingerprint_ok(m))
		return LN_E_MALFORMED;
	if (!stun_auth_verify(m, slice_str(a->remote.pwd))) {
		a->count.checks_refused++;
		return LN_E_AUTH;
	}
	/* RFC 8445 7.2.5.2.1: an answer from another address proves nothing about this pair. */
	if (!ip_ep_equal(&a->pairs[i].remote.addr, from))
		return LN_E_STATE;
	if (m->cls == STUN_SUCCESS) {
		a->count.checks_answered++;
		answered(a, now, i, t, m);
		return 0;
	}
	t->used = false;
	if (!stun_msg_has(m, STUN_ATTR_ERROR_CODE) ||
	    stun_attr_read_error(m->attr[STUN_ATTR_ERROR_CODE], &code) != 0)
		return LN_E_MALFORMED;
	if (code == 487)
		input_conflict(a, now, i, t);
	return 0;
}

int ice_agent_input(struct ice_agent *a, ln_time now, const struct ip_ep *from, struct slice pkt)
{
	struct stun_msg m;
	int err = stun_msg_read(pkt, &m);
	if (err != 0)
		return err;
	if (m.method != STUN_METHOD_BINDING)
		return LN_E_NOTFOUND;
	/* Spec 4.5: checks through our own tunnel would select it as its own path. */
	if (ice_agent_in_overlay(a, &from->addr))
		return LN_E_DENIED;
	switch (m.cls) {
	case STUN_REQUEST:
		return input_request(a, now, from, &m);
	case STUN_SUCCESS:
	case STUN_ERROR:
		return input_answer(a, now, from, &m);
	case STUN_INDICATION:
		/* Unauthenticated, so it proves nothing (spec trap 31). */
		return LN_E_NOTFOUND;
	}
	return LN_E_NOTFOUND;
}
