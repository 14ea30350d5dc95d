#include "lib/relay/relay_guard.h"

static void plan(struct relay_guard *g, enum relay_guard_do what, ln_time at)
{
	g->next = what;
	g->at = at;
	g->busy = false;
}

void relay_guard_init(struct relay_guard *g, const struct relay_guard_conf *conf)
{
	*g = (struct relay_guard){ .at = LN_TIME_NEVER, .online = true };
	if (conf != NULL)
		g->conf = *conf;
	if (g->conf.same == 0)
		g->conf.same = RELAY_GUARD_SAME;
	if (g->conf.first == 0)
		g->conf.first = RELAY_GUARD_FIRST;
	if (g->conf.last == 0)
		g->conf.last = RELAY_GUARD_LAST;
}

void relay_guard_want(struct relay_guard *g, ln_time now, bool wanted)
{
	bool before = g->wanted;
	g->wanted = wanted;
	if (!wanted && !g->busy)
		plan(g, RELAY_GUARD_NOTHING, LN_TIME_NEVER);
	if (wanted && !before && !g->busy) {
		g->pause = 0;
		plan(g, RELAY_GUARD_CHOOSE, now);
	}
}

void relay_guard_hurry(struct relay_guard *g, ln_time now)
{
	g->pause = 0;
	if (g->wanted && !g->busy)
		plan(g, RELAY_GUARD_CHOOSE, now);
}

ln_time relay_guard_deadline(const struct relay_guard *g)
{
	bool waits = g->online && g->wanted && !g->busy && g->next != RELAY_GUARD_NOTHING;
	return waits ? g->at : LN_TIME_NEVER;
}

enum relay_guard_do relay_guard_take(struct relay_guard *g, ln_time now)
{
	if (relay_guard_deadline(g) > now)
		return RELAY_GUARD_NOTHING;
	enum relay_guard_do what = g->next;
	g->next = RELAY_GUARD_NOTHING;
	g->busy = true;
	return what;
}

void relay_guard_connected(struct relay_guard *g)
{
	g->busy = true;
	g->pause = 0;
}

void relay_guard_failed(struct relay_guard *g, ln_time now, const struct ln_rng *rng)
{
	/* 2 s, doubling, each half to one and a half of it; the first choice comes at once. */
	ln_time wait = g->pause != 0 ? g->pause / 2 + rng_below64(rng, g->pause + 1) : 0;
	g->pause = g->pause != 0 ? ln_time_min(2 * g->pause, g->conf.last) : g->conf.first;
	plan(g, g->wanted ? RELAY_GUARD_CHOOSE : RELAY_GUARD_NOTHING, now + wait);
}

void relay_guard_lost(struct relay_guard *g, ln_time now, bool listed, bool closed,
		      const struct ln_rng *rng)
{
	g->pause = 0;
	if (!listed) {
		plan(g, RELAY_GUARD_CHOOSE, now);
		g->pause = g->conf.first;
		return;
	}
	/* A server that says Close says it to all its clients (trap 22). */
	ln_time spread = closed ? RELAY_GUARD_AFTER_CLOSE : RELAY_GUARD_JITTER;
	spread = ln_time_min(spread, spread * g->conf.same / RELAY_GUARD_SAME);
	plan(g, RELAY_GUARD_DIAL_SAME, now + g->conf.same + rng_below64(rng, spread + 1));
}

void relay_guard_network(struct relay_guard *g, ln_time now, bool online)
{
	bool back = online && !g->online;
	g->online = online;
	if (back && !g->busy && g->next != RELAY_GUARD_NOTHING) {
		g->pause = 0;
		g->at = now;
	}
}
