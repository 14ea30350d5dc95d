/*
 * Ten minutes in the life of two agents, with everything that happens to real ones in an order that
 * the seed chooses. The checker: while the network lets them, packets pass in both directions again
 * within 30 s, and the path changes at most twice a minute there and back (spec 5.18).
 */
#include <stdio.h>

#include "tests/sim/sim_agent.h"
#include "tests/sim/sim_matrix.h"
#include "tests/sim/sim_scenario.h"

#define LONGEST (30 * LN_SEC)
#define CHANGES_A_MINUTE 4
#define CHECKS_A_SECOND 5
#define LIFE 420 /* seconds */
/* The direct path dies while the relay is there: so long nothing may come, in whole seconds. */
#define TAKEN_OVER (3 * LN_SEC)

struct life {
	struct sim_world w;
	struct sim_agent *v[2];
	bool direct;     /* the kinds of NAT allow it */
	bool roams;      /* and that of any other network */
	bool outage;     /* nothing at all gets through */
	unsigned steady; /* what is wrong now ends in this second */
	bool covered;    /* the direct path died while the relay was up on both sides */
	unsigned moves;
	const char *last; /* what happened last, for the report */
	ln_time able_since;

	struct {
		ln_time heard;
		unsigned pings;
		unsigned changes[60], at;
	} side[2];
};

/* --- what happens -----------------------------------------------------------------------------*/

static void disturb(struct life *l, const char *what)
{
	l->last = what;
	l->able_since = l->w.clock.now;
}

static void signal_back(struct life *l)
{
	if (!l->w.signal.down)
		return;
	l->w.signal.down = false;
	for (unsigned i = 0; i < 2; i++)
		sim_agent_signal_back(l->v[i]);
}

static void calm(struct life *l)
{
	if (l->w.relay.used && l->w.relay.down)
		sim_relay_set(&l->w, true);
	l->w.stun_down = l->w.wg_blocked = l->w.apart = l->outage = false;
	l->w.net.cut = false;
	l->w.signal.loss = l->w.signal.twice = 0;
	l->w.signal.delay_max = 15 * LN_MSEC;
	signal_back(l);
	for (unsigned i = 0; i < 2; i++)
		if (l->v[i]->asleep)
			sim_agent_wake(l->v[i]);
	disturb(l, l->last);
}

static void rebind(struct life *l)
{
	for (size_t i = 0; i < l->w.nnats; i++)
		if (sim_rng_chance(&l->w.rng, 700))
			sim_nat_rebind(l->w.nats[i]);
	disturb(l, "the routers forgot their mappings");
}

/* Roaming: another router, another address, and no old one left. */
static void roam(struct life *l)
{
	char outer[32], inner[32];
	(void)snprintf(outer, sizeof(outer), "203.0.200.%u", ++l->moves);
	(void)snprintf(inner, sizeof(inner), "10.77.%u.2", l->moves);
	struct sim_nat *n = sim_world_nat(&l->w, SIM_PORT, outer, &l->w.net.internet);
	sim_agent_move(l->v[l->moves % 2], &n->inside, inner);
	disturb(l, "one side moved to another network");
}

/* Nothing goes directly any more; the relay, if there is one, has to take over soon. */
static void part(struct life *l)
{
	l->covered = true;
	for (unsigned i = 0; i < 2; i++) {
		struct peer_info info;
		peer_conn_info(l->v[i]->peers[l->v[!i]->index].conn, &info);
		l->covered &= info.relay_up && info.state == PEER_CONNECTED;
	}
	l->w.apart = true;
	disturb(l, "the direct path died");
}

static void outage(struct life *l)
{
	l->outage = l->w.net.cut = l->w.signal.down = true;
	if (l->w.relay.used)
		sim_relay_set(&l->w, false);
	disturb(l, "nothing got through");
}

static void trouble(struct life *l, unsigned second, uint64_t seed)
{
	struct sim_rng *r = &l->w.rng;
	l->steady = second + (unsigned)sim_rng_between(r, 5, 60);
	switch (sim_rng_between(r, 0, 10)) {
	case 0:
		rebind(l);
		break;
	case 1:
		if (l->roams && l->moves < 8)
			roam(l);
		break;
	case 2:
		if (l->w.relay.used)
			sim_relay_set(&l->w, false);
		disturb(l, "the relay went away");
		break;
	case 3:
		l->w.signal.down = true;
		disturb(l, "the signal service went away");
		break;
	case 4:
		l->w.stun_down = true;
		disturb(l, "the STUN servers went away");
		break;
	case 5:
		l->w.wg_blocked = true;
		disturb(l, "WireGuard was blocked, STUN was not");
		break;
	case 6:
		l->w.signal.twice = 400; /* and late: stale sessions */
		l->w.signal.delay_max = 3 * LN_SEC;
		disturb(l, "signal messages came twice and out of order");
		break;
	case 9:
		part(l);
		break;
	case 7:
		l->w.signal.loss = 300;
		disturb(l, "signal lost messages");
		break;
	case 8:
		l->steady = second + (seed % 8 == 0 ? 600 : 60);
		outage(l);
		break;
	default:
		sim_agent_sleep(l->v[seed % 2]);
		if (seed % 16 == 0) /* the night */
			sim_world_run(&l->w, 8 * LN_HOUR);
		disturb(l, "one side slept");
		break;
	}
}

/* --- the checker ------------------------------------------------------------------------------*/

/* Whether the world lets packets pass by some way that can be negotiated. */
static bool able(const struct life *l)
{
	const struct sim_world *w = &l->w;
	if (l->outage || w->signal.down || l->v[0]->asleep || l->v[1]->asleep)
		return false;
	if (w->relay.used && !w->relay.down)
		return true;
	return l->direct && !w->apart && !w->stun_down && !w->wg_blocked && w->signal.loss == 0 &&
	       w->signal.twice == 0;
}

static void look(struct life *l, unsigned i, struct sim_result *r)
{
	struct sim_peer *p = &l->v[i]->peers[l->v[!i]->index];
	ln_time now = l->w.clock.now;
	struct peer_info info;
	peer_conn_info(p->conn, &info);
	if (p->pings != l->side[i].pings || l->v[i]->asleep)
		l->side[i].heard = now;
	l->side[i].pings = p->pings;
	ln_time since = LN_MAX(l->able_since, l->side[i].heard);
	sim_state(r, !l->w.apart || !l->covered || now - since <= TAKEN_OVER,
		  "life: the relay has not taken over after %ld s: %s",
		  (long)((now - since) / LN_SEC), info.reason);
	sim_state(r, now - since <= LONGEST, "life: nothing came for %ld s after %s: %s",
		  (long)((now - since) / LN_SEC), l->last, info.reason);
	r->slowest = LN_MAX(r->slowest, now - since);
	unsigned *minute_ago = &l->side[i].changes[l->side[i].at++ % 60];
	sim_state(r, info.path_changes - *minute_ago <= CHANGES_A_MINUTE,
		  "life: %u changes of the path in a minute after %s",
		  info.path_changes - *minute_ago, l->last);
	*minute_ago = info.path_changes;
	r->busiest = LN_MAX(r->busiest, p->busiest_second);
	sim_state(r, r->busiest <= CHECKS_A_SECOND, "life: %u checks in a second after %s",
		  r->busiest, l->last);
}

static void second(struct life *l, struct sim_result *r)
{
	if (!able(l))
		l->able_since = l->w.clock.now;
	for (unsigned i = 0; i < 2; i++)
		sim_agent_ping(&l->v[i]->peers[l->v[!i]->index]);
	sim_world_run(&l->w, LN_SEC);
	if (!able(l))
		l->able_since = l->w.clock.now;
	for (unsigned i = 0; i < 2; i++)
		look(l, i, r);
}

void sim_life_run(uint64_t seed, struct sim_result *r)
{
	static const enum sim_nat_kind kinds[] = { SIM_OPEN, SIM_FULL, SIM_ADDRESS, SIM_PORT,
						   SIM_SYMMETRIC };
	struct life l = { .last = "the start" };
	sim_world_init(&l.w, seed);
	enum sim_nat_kind a = kinds[rng_below(&l.w.rng.rng, LN_COUNT(kinds))];
	enum sim_nat_kind b = kinds[rng_below(&l.w.rng.rng, LN_COUNT(kinds))];
	l.direct = sim_matrix_direct(a, b);
	l.roams = a != SIM_SYMMETRIC && b != SIM_SYMMETRIC;
	l.v[0] = sim_world_behind(&l.w, a, 0);
	l.v[1] = sim_world_behind(&l.w, b, 1);
	l.w.net.link.loss = (unsigned)sim_rng_between(&l.w.rng, 0, 30);
	l.w.net.link.delay_max = 40 * LN_MSEC;
	l.w.relay.delay_max = 60 * LN_MSEC;
	if (!l.direct || seed % 4 != 0)
		sim_relay_set(&l.w, true);
	sim_world_introduce(l.v[0], l.v[1]);
	l.able_since = l.w.clock.now;
	unsigned next = 20;
	for (unsigned s = 0; s < LIFE && r->why[0] == '\0'; s++) {
		if (l.steady == s && s > 0)
			calm(&l);
		if (s == next && l.steady <= s) {
			trouble(&l, s, seed);
			next = l.steady + (unsigned)sim_rng_between(&l.w.rng, 35, 60);
		} else if (s == next) {
			next++;
		}
		second(&l, r);
	}
	sim_world_fini(&l.w);
}
