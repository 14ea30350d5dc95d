/* When which pair is checked, within the budget, and what the agent hands out. */
#include "lib/ice/ice_agent_internal.h"
#include "lib/ice/ice_via.h"

/* After this many unanswered checks a pair is checked 2.5 times more slowly. */
#define FAST_CHECKS 10
/* Of a second's checks so many may repeat what was asked before: the others are kept for pairs that
 * were never tried, for answers to the peer's checks, and for the nomination. */
#define BUDGET_REPEATS 3
/* Of a lingering agent: private addresses outside our own networks have every fourth turn, and
 * checks out of turn put the others off by so many intervals at most. */
#define LINGER_FAR 4
#define LINGER_DEBT 3
/* A proven pair that is not selected is only kept alive. */
#define PROVEN_INTERVAL LN_SEC
/* An unanswered keepalive is repeated, so that 6 s of silence mean more than three losses. */
#define KEEPALIVE_RETRY (500 * LN_MSEC)
/* Of resting agents the checks of so long leave together. */
#define REST_GRAIN LN_SEC
/* After a check of the other side its next one comes first. */
#define REST_SLACK (3 * LN_SEC)

/* From when on fewer than n checks lie in the last second. */
static ln_time budget_from(const struct ice_agent *a, unsigned n)
{
	const struct ice_budget *b = &a->budget;
	return b->nsent < n ? 0 : b->sent_at[(b->nsent - n) % ICE_BUDGET] + LN_SEC;
}

/* When pair i wants to be checked next. */
static ln_time pair_wants(const struct ice_agent *a, size_t i)
{
	const struct ice_pair *p = &a->pairs[i];
	if (a->state != ICE_CHECKING && a->state != ICE_CONNECTED)
		return LN_TIME_NEVER;
	if (!ice_agent_reachable(a, p))
		return LN_TIME_NEVER;
	if (a->state == ICE_CHECKING || i == a->selected || i == a->nominee)
		return ln_time_min(p->next_check, p->trigger_at);
	return p->trigger_at;
}

static bool pair_repeats(const struct ice_agent *a, size_t i)
{
	const struct ice_pair *p = &a->pairs[i];
	return p->sent_at != 0 && p->trigger_at == LN_TIME_NEVER && i != a->nominee &&
	       i != a->selected;
}

/* What a lingering agent may do only once per interval. */
static bool pair_lingers(const struct ice_agent *a, size_t i)
{
	return a->linger != 0 && pair_repeats(a, i);
}

/* And when it may be. */
static ln_time pair_due(const struct ice_agent *a, size_t i)
{
	ln_time wants = pair_wants(a, i);
	unsigned budget = pair_repeats(a, i) ? BUDGET_REPEATS : ICE_BUDGET;
	if (wants == LN_TIME_NEVER)
		return wants;
	if (pair_lingers(a, i)) /* what it wants says only whose turn it is */
		wants = a->linger_at;
	return LN_MAX(wants, budget_from(a, budget));
}

static ln_time interval_of(const struct ice_agent *a, size_t i)
{
	const struct ice_pair *p = &a->pairs[i];
	ln_time interval = a->conf.check_interval;
	if (a->selected == i)
		return ln_time_min(KEEPALIVE_RETRY, a->conf.keepalive);
	if (a->nominee == i)
		return interval;
	if (p->succeeded)
		return LN_MAX(PROVEN_INTERVAL, interval);
	if (a->linger != 0)
		return a->linger * (p->far ? LINGER_FAR : 1);
	return p->sent > FAST_CHECKS ? interval * 5 / 2 : interval;
}

static struct ice_check check_of(const struct ice_agent *a, const struct ip_ep *to,
				 const char *peer_cid)
{
	const struct ice_cand *l = ice_agent_local_of(a, to);
	return (struct ice_check){
		.local = &a->conf.local,
		.remote = &a->remote,
		.controlling = a->controlling,
		.tie_breaker = a->tie_breaker,
		/* RFC 8445 7.1.1: what a candidate learnt from this check would be worth. */
		.priority = ice_cand_priority(ICE_CAND_PRFLX, 65535),
		.own_cid = l != NULL ? l->cid : "",
		.peer_cid = peer_cid,
	};
}

static void count_check(struct ice_agent *a, size_t i)
{
	if (a->state != ICE_CONNECTED || i != a->selected) {
		a->count.checks_sent++;
		return;
	}
	a->postponed = false;
	a->count.keepalives_sent++;
	a->count.keepalives_lost += a->pairs[i].awaiting;
}

static void send_check(struct ice_agent *a, ln_time now, size_t i, struct mslice buf,
		       struct ice_out *out)
{
	struct ice_pair *p = &a->pairs[i];
	struct stun_tid tid;
	struct ice_check c = check_of(a, &p->remote.addr, p->remote.cid);

	/* The prefix finds the agent among thousands (ice_mux.h); 64 random bits are left. */
	memcpy(tid.b, a->tid_prefix, ICE_TID_PREFIX);
	rng_fill(&a->rng, tid.b + ICE_TID_PREFIX, STUN_TID_LEN - ICE_TID_PREFIX);
	c.nominate = a->controlling && a->nominee == i;
	c.nomination = c.nominate && a->state == ICE_CONNECTED ? a->nomination : 0;
	count_check(a, i);
	/* When the next regular one was taken early, the average stays what it is. */
	if (a->state == ICE_CONNECTED && i == a->selected && !p->awaiting) {
		p->slot_at = ice_agent_slot_after(a, p->early ? p->slot_at : now);
		p->ahead = p->early;
	}
	p->early = false;
	/* What was triggered counts too: the average stays, and others wait a while at most. */
	if (a->linger != 0 && i != a->nominee)
		a->linger_at = ln_time_min(LN_MAX(a->linger_at, now) + a->linger,
					   now + LINGER_DEBT * a->linger);
	a->budget.sent_at[a->budget.nsent++ % ICE_BUDGET] = now;
	ice_pair_sent(p, now, &tid, c.nominate, a->controlling);
	p->next_check = now + interval_of(a, i);
	*out = (struct ice_out){
		.kind = ICE_OUT_DATAGRAM,
		.to = p->remote.addr,
		.data = ice_check_write_request(buf, &tid, &c),
	};
}

void ice_agent_linger(struct ice_agent *a, ln_time now, ln_time interval)
{
	if (a->linger != 0) {
		a->linger = interval;
		a->linger_at = ln_time_min(a->linger_at, now + interval);
		return;
	}
	if (a->state != ICE_FAILED)
		return;
	a->state = ICE_CHECKING;
	a->tell_end = false;
	a->fail_at = LN_TIME_NEVER;
	a->linger = interval;
	/* The two sides in turn. */
	a->linger_at = now + (a->controlling ? interval / 2 : interval);
	for (size_t i = 0; i < a->npairs; i++)
		a->pairs[i].succeeded = a->pairs[i].use_candidate = false;
}

void ice_agent_budget(const struct ice_agent *a, struct ice_budget *ret)
{
	*ret = a->budget;
}

bool ice_agent_lingers(const struct ice_agent *a)
{
	return a->linger != 0;
}

void ice_agent_hurry(struct ice_agent *a, ln_time now)
{
	if (a->linger == 0)
		return;
	a->linger = 0;
	a->fail_at = now + a->conf.fail_after;
	for (size_t i = 0; i < a->npairs; i++) {
		a->pairs[i].sent = LN_MIN(a->pairs[i].sent, 1u);
		a->pairs[i].next_check = now;
	}
}

/* --- rest --------------------------------------------------------------------------------------*/

static ln_time rest_slot(ln_time at)
{
	return (at / REST_GRAIN + 1) * REST_GRAIN;
}

ln_time ice_agent_slot_after(const struct ice_agent *a, ln_time at)
{
	return a->rest ? rest_slot(at + ICE_REST - REST_GRAIN) : at + a->conf.keepalive;
}

void ice_agent_rest_heard(struct ice_agent *a, ln_time now)
{
	struct ice_pair *p = &a->pairs[a->selected];
	a->postponed = false;
	if (!p->awaiting)
		p->slot_at = p->next_check = rest_slot(now + ICE_REST + REST_SLACK);
}

static void wake(struct ice_agent *a, ln_time now)
{
	struct ice_pair *p = &a->pairs[a->selected];
	a->rest = false;
	ice_alt_wake(a, now);
	if (p->awaiting)
		return;
	p->slot_at = p->next_check = LN_MAX(p->sent_at + a->conf.keepalive, now);
}

void ice_agent_rest(struct ice_agent *a, ln_time now, bool rest)
{
	if (a->rest == rest || a->state != ICE_CONNECTED)
		return;
	if (!rest) {
		wake(a, now);
		return;
	}
	struct ice_pair *p = &a->pairs[a->selected];
	if (p->awaiting || p->early || p->ahead || a->nominee != ICE_NONE)
		return;
	a->rest = true;
	/* Agents that come to rest together do not stay together. */
	p->slot_at = p->next_check = rest_slot(now + (ln_time)rng_below64(&a->rng, ICE_REST));
}

bool ice_agent_rests(const struct ice_agent *a)
{
	return a->rest;
}

void ice_agent_ask(struct ice_agent *a, ln_time now)
{
	if (a->state != ICE_CONNECTED || a->selected == ICE_NONE)
		return;
	struct ice_pair *p = &a->pairs[a->selected];
	ice_agent_rest(a, now, false);
	if (p->awaiting || p->early || p->slot_at - now > a->conf.keepalive)
		return;
	p->early = p->slot_at > now;
	p->next_check = now;
}

static void send_response(struct ice_agent *a, struct mslice buf, struct ice_out *out)
{
	const struct ice_response *r = &a->responses[a->first_response];
	struct ice_check c = check_of(a, &r->to, r->peer_cid);
	struct ip_ep seen = ice_via_undo(&r->to);

	a->first_response = (a->first_response + 1) % ICE_RESPONSES_MAX;
	a->nresponses--;
	*out = (struct ice_out){
		.kind = ICE_OUT_DATAGRAM,
		.to = r->to,
		.data = r->conflict ? ice_check_write_conflict(buf, &r->tid, &c)
				    : ice_check_write_success(buf, &r->tid, &seen, &c),
	};
}

/* The pair that is due most urgently, or ICE_NONE: repetitions come last, and by turns. */
static size_t due_pair(const struct ice_agent *a, ln_time now)
{
	size_t due = ICE_NONE;
	for (size_t i = 0; i < a->npairs; i++) {
		if (pair_due(a, i) > now)
			continue;
		if (due == ICE_NONE || (pair_repeats(a, due) && !pair_repeats(a, i)) ||
		    (pair_repeats(a, due) == pair_repeats(a, i) &&
		     pair_wants(a, i) < pair_wants(a, due)))
			due = i;
	}
	return due;
}

bool ice_agent_poll(struct ice_agent *a, ln_time now, struct mslice buf, struct ice_out *out)
{
	ln_assert(buf.n >= ICE_CHECK_MAX);
	ice_select_tick(a, now);
	if (a->nresponses != 0) {
		send_response(a, buf, out);
		return true;
	}
	if (a->tell_selected) {
		a->tell_selected = false;
		*out = (struct ice_out){ .kind = ICE_OUT_SELECTED };
		ice_agent_pair_info(a, &a->pairs[a->selected], &out->pair);
		return true;
	}
	if (a->tell_end) {
		a->tell_end = false;
		*out = (struct ice_out){
			.kind = a->state == ICE_FAILED ? ICE_OUT_FAILED : ICE_OUT_DISCONNECTED,
		};
		return true;
	}
	size_t i = due_pair(a, now);
	if (i != ICE_NONE && i == a->selected && !a->pairs[i].early && ice_alt_take(a, now)) {
		/* Soon, unless the other side is heard there before. */
		a->pairs[i].next_check = now + KEEPALIVE_RETRY;
		a->postponed = true;
		i = due_pair(a, now);
	}
	if (i == ICE_NONE)
		return false;
	send_check(a, now, i, buf, out);
	return true;
}

ln_time ice_agent_deadline(const struct ice_agent *a)
{
	if (a->nresponses != 0 || a->tell_selected || a->tell_end)
		return 0;
	ln_time at = ice_select_deadline(a);
	for (size_t i = 0; i < a->npairs; i++)
		at = ln_time_min(at, pair_due(a, i));
	return at;
}
