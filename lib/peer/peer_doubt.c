/*
 * A direct path may have died a moment ago. Until that is known, packets go both ways, directly and
 * by the relay, and WireGuard's replay window drops what comes twice: so the change costs the
 * packets of a tenth of a second and not those of the seconds that certainty takes.
 *
 * What counts is a check without an answer. It leaves at its regular time, or early when packets
 * were sent and nothing came back; the other side, which may not have sent anything, learns of it
 * by what reaches it through the relay.
 */
#include "lib/peer/peer_internal.h"

/* Packets without an answer are reported after this time, or two round trips. */
#define PEER_DOUBT_AFTER (100 * LN_MSEC)
#define PEER_DOUBT_STEP (50 * LN_MSEC)
/* An answer may take one and a half round trips and so long. */
#define PEER_DOUBT_SLACK (40 * LN_MSEC)
/* The other side sends by the relay although our checks are answered: it has left the path. */
#define PEER_DOUBT_LEFT (2500 * LN_MSEC)
/* What was under way by the relay when the path was selected has arrived by then. */
#define PEER_DOUBT_LATE (500 * LN_MSEC)
/* An answer as young as this says more than a packet by the relay. */
#define PEER_DOUBT_FRESH (300 * LN_MSEC)

/* Only where there is a second way to send on. */
static bool peer_doubt_possible(const struct peer_conn *p)
{
	return !p->conf.one_way && p->relay.state == PEER_RELAY_UP &&
	       peer_relay_path(p) == PEER_PATH_DIRECT;
}

static ln_time peer_doubt_after(const struct peer_doubt *d, ln_time rtt)
{
	ln_time steps = (2 * rtt + PEER_DOUBT_STEP - 1) / PEER_DOUBT_STEP;
	ln_time after = LN_MAX(steps * PEER_DOUBT_STEP, PEER_DOUBT_AFTER);
	/* The device need not hear of every change of the round trip time. */
	return after < d->after && after > d->after / 2 ? d->after : after;
}

static void peer_doubt_set(struct peer_doubt *d, bool both, ln_time after)
{
	d->want |= d->both != both || d->after != after;
	d->both = both;
	d->after = after;
}

void peer_doubt_forget(struct peer_conn *p)
{
	p->doubt = (struct peer_doubt){ .look_at = LN_TIME_NEVER };
}

void peer_doubt_run(struct peer_conn *p, ln_time now)
{
	struct peer_doubt *d = &p->doubt;
	struct ice_pulse pulse;
	d->look_at = LN_TIME_NEVER;
	if (!peer_doubt_possible(p)) {
		d->hinted_at = d->hints_at = 0;
		peer_doubt_set(d, false, 0);
		return;
	}
	ice_agent_pulse(p->ice, &pulse);
	bool both = d->hinted_at != 0 && pulse.answered_at < d->hinted_at;
	if (pulse.asked_at != 0 && !both) {
		ln_time due = pulse.asked_at + pulse.rtt * 3 / 2 + PEER_DOUBT_SLACK;
		both = now >= due;
		if (!both)
			d->look_at = due;
	}
	peer_doubt_set(d, both, peer_doubt_after(d, pulse.rtt));
}

void peer_doubt_ask(struct peer_conn *p, ln_time now)
{
	ice_agent_ask(p->ice, now);
	/* The check may be one that was planned for much later. */
	p->relay.look_at = now;
}

enum peer_doubt_verdict peer_doubt_hint(struct peer_conn *p, ln_time now)
{
	struct peer_doubt *d = &p->doubt;
	if (p->remote_level == 0 || !peer_doubt_possible(p))
		return PEER_DOUBT_LEAVE;
	if (now - p->selected_at < PEER_DOUBT_LATE)
		return PEER_DOUBT_WAIT;
	if (d->hints_at == 0 || now - d->hints_at >= PEER_DOUBT_LEFT)
		d->hints_since = now;
	d->hints_at = now;
	if (now - d->hints_since >= PEER_DOUBT_LEFT)
		return PEER_DOUBT_LEAVE;
	struct ice_pulse pulse;
	ice_agent_pulse(p->ice, &pulse);
	if (d->both || now - pulse.answered_at < PEER_DOUBT_FRESH)
		return PEER_DOUBT_WAIT;
	d->hinted_at = now;
	peer_doubt_ask(p, now);
	return PEER_DOUBT_BEGUN;
}

void peer_conn_doubt(struct peer_conn *p, ln_time now)
{
	if (peer_doubt_possible(p))
		peer_doubt_ask(p, now);
}

bool peer_doubt_take(struct peer_conn *p, struct peer_out *out)
{
	struct peer_doubt *d = &p->doubt;
	if (!d->want)
		return false;
	d->want = false;
	*out = (struct peer_out){ .kind = PEER_OUT_SPARE, .doubt_after = d->after };
	if (d->both)
		out->to = p->conf.relay_ep;
	return true;
}
