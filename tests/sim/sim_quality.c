/* Two machines with IPv4 and IPv6 between them, of which one turns bad: it is left once, for good.
 */
#include "tests/sim/sim_agent.h"
#include "tests/sim/sim_scenario.h"
#include "tests/sim/sim_world.h"

#define SOON 90 /* seconds until the better way must be in use */

static const struct sim_link good = { .delay_min = 5 * LN_MSEC, .delay_max = 8 * LN_MSEC };

struct seen { /* of one side */
	struct sim_peer *p;
	struct peer_info info;
	unsigned pairs[60], paths[60]; /* of the last minute, a ring */
	unsigned at;
};

static void look(struct seen *v, struct sim_result *r)
{
	unsigned at = v->at++ % 60;
	peer_conn_info(v->p->conn, &v->info);
	sim_state(r, v->info.state == PEER_CONNECTED, "quality: apart: %s", v->info.reason);
	sim_state(r, v->info.pair_changes - v->pairs[at] <= 2, "quality: %u pairs in a minute",
		  v->info.pair_changes - v->pairs[at]);
	sim_state(r, v->info.path_changes - v->paths[at] <= 4, "quality: %u ways in a minute",
		  v->info.path_changes - v->paths[at]);
	v->pairs[at] = v->info.pair_changes;
	v->paths[at] = v->info.path_changes;
}

static void pass(struct sim_world *w, struct seen v[2], unsigned seconds, bool pings,
		 struct sim_result *r)
{
	for (unsigned s = 0; s < seconds && r->why[0] == '\0'; s++) {
		if (pings) {
			sim_agent_ping(v[0].p);
			sim_agent_ping(v[1].p);
		}
		sim_world_run(w, LN_SEC);
		look(&v[0], r);
		look(&v[1], r);
	}
}

/* With a ping a second: how good a path without traffic is, nobody needs to know. */
static void live(struct sim_world *w, struct seen v[2], unsigned seconds, struct sim_result *r)
{
	pass(w, v, seconds, true, r);
}

static void rest(struct sim_world *w, struct seen v[2], unsigned seconds, struct sim_result *r)
{
	pass(w, v, seconds, false, r);
}

static int family(const struct seen *v)
{
	return v->info.path == PEER_PATH_DIRECT ? v->info.ice.pair.remote.addr.addr.family : 0;
}

static struct sim_link worse(struct sim_world *w, uint64_t seed)
{
	struct sim_link l = good;
	if (seed % 2 == 0) {
		l.delay_min = sim_rng_between(&w->rng, 40 * LN_MSEC, 200 * LN_MSEC);
		l.delay_max = l.delay_min + 10 * LN_MSEC;
	} else {
		l.loss = (unsigned)sim_rng_between(&w->rng, 200, 500);
	}
	return l;
}

/* The family in use turns bad: both leave it for the other one, and stay there when it is good
 * again. */
static void one_turns_bad(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	sim_world_init(&w, seed);
	struct sim_agent *a = sim_world_agent(&w, &w.net.internet, "203.0.113.5");
	struct sim_agent *b = sim_world_agent(&w, &w.net.internet, "203.0.113.6");
	sim_host_attach(&a->host, &w.net.internet, "2001:db8::5");
	sim_host_attach(&b->host, &w.net.internet, "2001:db8::6");
	w.net.link = w.net.link6 = good;
	w.relay.delay_max = 60 * LN_MSEC;
	sim_relay_set(&w, true);
	sim_world_introduce(a, b);
	struct seen v[2] = { { .p = &a->peers[1] }, { .p = &b->peers[0] } };
	sim_state(r, sim_world_connect(a, b, 5 * LN_SEC), "quality: not connected in time");
	sim_world_run(&w, 3 * LN_SEC);
	live(&w, v, 120 + (unsigned)(seed % 20), r);
	int used = family(&v[0]);
	sim_state(r, used != 0 && used == family(&v[1]), "quality: %d and %d in use", used,
		  family(&v[1]));
	sim_state(r, v[0].info.pair_changes == 0, "quality: a change without a reason");
	if (seed % 3 == 0) /* nothing was sent for a while when it happens */
		rest(&w, v, 60, r);
	struct sim_link bad = worse(&w, seed);
	*(used == 6 ? &w.net.link6 : &w.net.link) = bad;
	if (seed % 3 == 0)
		rest(&w, v, 60, r);
	live(&w, v, SOON, r);
	sim_state(r, family(&v[0]) != used && family(&v[1]) != used,
		  "quality: still %d and %d, loss %u, delay %ld ms: %s", family(&v[0]),
		  family(&v[1]), bad.loss, (long)(bad.delay_min / LN_MSEC), v[0].info.reason);
	/* A while later both are on the other family. */
	live(&w, v, 2 * SOON, r);
	int now = family(&v[0]);
	sim_state(r, now == 10 - used && family(&v[1]) == now, "quality: %d and %d: %s", now,
		  family(&v[1]), v[0].info.reason);
	unsigned changes = v[0].info.pair_changes;
	w.net.link = w.net.link6 = good;
	live(&w, v, 150, r);
	sim_state(r, v[0].info.pair_changes == changes && family(&v[0]) == now,
		  "quality: left a good path");
	sim_state(r, sim_world_ping(a, b), "quality: no ping came through");
	sim_world_fini(&w);
}

/* Both are somewhat bad, in ways that change: whatever is chosen, it is not chosen too often. */
static void both_swing(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	sim_world_init(&w, seed);
	struct sim_agent *a = sim_world_agent(&w, &w.net.internet, "203.0.113.5");
	struct sim_agent *b = sim_world_agent(&w, &w.net.internet, "203.0.113.6");
	sim_host_attach(&a->host, &w.net.internet, "2001:db8::5");
	sim_host_attach(&b->host, &w.net.internet, "2001:db8::6");
	w.relay.loss = (unsigned)(seed % 40);
	w.relay.delay_max = 60 * LN_MSEC;
	sim_relay_set(&w, true);
	sim_world_introduce(a, b);
	struct seen v[2] = { { .p = &a->peers[1] }, { .p = &b->peers[0] } };
	sim_state(r, sim_world_connect(a, b, 5 * LN_SEC), "quality: not connected in time");
	sim_world_run(&w, 3 * LN_SEC);
	for (int i = 0; i < 20; i++) {
		w.net.link.loss = (unsigned)sim_rng_between(&w.rng, 0, 300);
		w.net.link6 = w.net.link;
		w.net.link6.loss = (unsigned)sim_rng_between(&w.rng, 0, 300);
		live(&w, v, (unsigned)sim_rng_between(&w.rng, 10, 60), r);
	}
	/* Twenty changes of the weather in twelve minutes: no more than a few changes of the pair.
	 */
	sim_state(r, v[0].info.pair_changes <= 8, "quality: %u changes", v[0].info.pair_changes);
	w.net.link = w.net.link6 = good;
	live(&w, v, 30, r);
	sim_state(r, sim_world_ping(a, b), "quality: no ping came through");
	sim_world_fini(&w);
}

void sim_quality_run(uint64_t seed, struct sim_result *r)
{
	one_turns_bad(seed, r);
	if (r->why[0] == '\0' && seed % 5 == 0)
		both_swing(seed, r);
}
