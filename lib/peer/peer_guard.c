/* spec signal-and-connection 5.4: when offers are sent. */
#include "lib/peer/peer_internal.h"

/*
 * An offer that finds nobody is lost without a word (spec 1.5), and repeating one with the same
 * session is harmless (spec 3.12): so the first ones are repeated soon, before the long intervals.
 */
static const ln_time peer_guard_early[] = { 300 * LN_MSEC, 700 * LN_MSEC, 1500 * LN_MSEC };

/*
 * Relayed, and the direct attempts have failed. Unmodified agents wait an hour (spec 5.4). Two of
 * ours go on at the guard's pace at first and then slowly; a change of addresses asks at once.
 */
#define PEER_GUARD_EAGER (10 * LN_MINUTE)
#define PEER_GUARD_SLOW (5 * LN_MINUTE)
#define PEER_GUARD_UNMODIFIED LN_HOUR
/* One of ours that was heard lately is asked more often: what is between us may end any moment. */
#define PEER_GUARD_NEAR (15 * LN_MINUTE)
#define PEER_GUARD_CAP_NEAR (20 * LN_SEC)
/*
 * So many offers found nobody. Whoever comes back offers first (spec 5.4), so ours need not be
 * many, while no packet waits: an account of thousands has hundreds that are switched off.
 */
#define PEER_GUARD_ALONE 10
#define PEER_GUARD_CAP_ALONE (5 * LN_MINUTE)
/* The offers of a large account leave, and are answered, together: one packet for several. */
#define PEER_GUARD_TOGETHER (500 * LN_MSEC)
/* A relay connection being opened needs no further offer for so long. */
#define PEER_GUARD_OPENING (3 * LN_SEC)

/* Up to a fifth longer, so that two guards do not stay in step (spec 5.8). */
static ln_time peer_guard_jitter(struct peer_conn *p, ln_time t)
{
	return t + rng_below64(p->rng, t / 5 + 1);
}

void peer_guard_start(struct peer_conn *p, ln_time now)
{
	p->guard_cap = 30 * LN_SEC + rng_below64(p->rng, 15 * LN_SEC);
	p->guard_interval = p->conf.guard_first;
	p->guard_early = 0;
	p->guard_paced = false;
	p->guard_tries = 0;
	p->guard_at = now;
}

void peer_guard_hurry(struct peer_conn *p, ln_time now)
{
	if (!p->guard_paced)
		return;
	p->guard_paced = false;
	p->guard_at = ln_time_min(p->guard_at, now);
}

void peer_guard_wanted(struct peer_conn *p, ln_time now)
{
	peer_guard_hurry(p, now);
	/* The other side may be back and asleep, or its offer was lost. */
	if (p->state == PEER_CONNECTING && p->unanswered >= PEER_GUARD_ALONE)
		p->guard_at =
			ln_time_min(p->guard_at, LN_MAX(now, p->guard_offered + p->guard_cap));
}

void peer_guard_reset(struct peer_conn *p, ln_time now, ln_time after)
{
	p->guard_interval = p->conf.guard_reset;
	p->guard_early = LN_COUNT(peer_guard_early);
	p->guard_paced = false;
	p->guard_tries = 0;
	p->guard_at = now + after;
}

static ln_time peer_guard_next(struct peer_conn *p, ln_time now)
{
	if (p->guard_early < LN_COUNT(peer_guard_early))
		return peer_guard_early[p->guard_early++];
	ln_time t = p->guard_interval, cap = p->guard_cap;
	if (p->remote_level != 0 && now - p->heard_at < PEER_GUARD_NEAR)
		cap = ln_time_min(cap, PEER_GUARD_CAP_NEAR);
	if (p->unanswered >= PEER_GUARD_ALONE)
		cap = PEER_GUARD_CAP_ALONE;
	p->guard_interval = ln_time_min(t * 2, cap);
	return ln_time_min(t, cap);
}

/* Short intervals are kept as they are. */
static ln_time peer_guard_round(ln_time at, ln_time interval)
{
	if (interval < PEER_GUARD_CAP_NEAR)
		return at;
	return (at + PEER_GUARD_TOGETHER - 1) / PEER_GUARD_TOGETHER * PEER_GUARD_TOGETHER;
}

static ln_time peer_guard_relayed(const struct peer_conn *p, ln_time now)
{
	if (p->remote_level == 0)
		return PEER_GUARD_UNMODIFIED;
	return now - p->relayed_at < PEER_GUARD_EAGER ? p->guard_cap : PEER_GUARD_SLOW;
}

void peer_guard_failed(struct peer_conn *p, ln_time now)
{
	if (++p->guard_tries < PEER_GUARD_TRIES)
		p->guard_at = ln_time_min(p->guard_at, now + p->conf.guard_first);
	else
		p->guard_at = now + peer_guard_jitter(p, peer_guard_relayed(p, now));
}

/* Both sides have a relay, and it does not connect them. */
static bool peer_guard_relay_missing(const struct peer_conn *p, ln_time now)
{
	if (!peer_relay_usable(p) || p->relay.state == PEER_RELAY_UP)
		return false;
	return p->relay.state == PEER_RELAY_OFF || now - p->relay.since >= PEER_GUARD_OPENING;
}

void peer_guard_run(struct peer_conn *p, ln_time now)
{
	if (p->state == PEER_IDLE || now < p->guard_at)
		return;
	p->guard_paced = false;
	/* A negotiation nobody has confirmed yet may rest on a lost answer: keep offering. */
	bool busy = p->ice != NULL && (p->confirmed || peer_conn_is_direct(p)) &&
		    !ice_agent_lingers(p->ice);
	bool relayed = p->relay.state == PEER_RELAY_UP;
	if (relayed && (p->remote_without_ice || peer_data_refuses_direct(p, now)))
		busy = true;
	if (!busy || peer_guard_relay_missing(p, now)) {
		p->want_offer = true;
		p->guard_offered = now;
	}
	ln_time next = peer_guard_next(p, now);
	if (relayed && !busy) {
		/* What lingers finds a path by itself. */
		p->guard_tries += p->unanswered > 0 || p->ice != NULL;
		if (p->guard_tries >= PEER_GUARD_TRIES)
			next = peer_guard_relayed(p, now);
	}
	p->guard_at = peer_guard_round(now + peer_guard_jitter(p, next), next);
}
