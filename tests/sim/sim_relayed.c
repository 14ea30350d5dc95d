/* What must hold with a relay: always connected, without flapping (spec 5.5, 5.17, 5.18). */
#include "tests/sim/sim_matrix.h"
#include "tests/sim/sim_scenario.h"
#include "tests/sim/sim_world.h"

#define MOST_APART (30 * LN_SEC)
#define CHANGES_A_MINUTE 4 /* there and back, twice */

struct watch { /* of one direction */
	const struct sim_peer *p;
	ln_time apart_since; /* 0: connected */
	unsigned changes[60];
	unsigned at;
};

static void look(struct watch *v, struct sim_world *w, struct sim_result *r, const char *what)
{
	struct peer_info info;
	peer_conn_info(v->p->conn, &info);
	if (info.state == PEER_CONNECTED || w->relay.down)
		v->apart_since = 0;
	else if (v->apart_since == 0)
		v->apart_since = w->clock.now;
	sim_state(r, v->apart_since == 0 || w->clock.now - v->apart_since <= MOST_APART,
		  "%s: apart for more than 30 s: %s", what, info.reason);
	/* What happened before the first look lies further back than a minute, or nobody knows. */
	for (unsigned i = 0; v->at == 0 && i < LN_COUNT(v->changes); i++)
		v->changes[i] = info.path_changes;
	unsigned *minute_ago = &v->changes[v->at++ % LN_COUNT(v->changes)];
	sim_state(r, info.path_changes - *minute_ago <= CHANGES_A_MINUTE,
		  "%s: %u changes of the path in a minute", what, info.path_changes - *minute_ago);
	*minute_ago = info.path_changes;
}

/* Runs second by second and lets `trouble` act in each. */
static void live(struct sim_world *w, struct sim_agent *a, struct sim_agent *b, unsigned seconds,
		 void (*trouble)(struct sim_world *w, unsigned second), struct sim_result *r,
		 const char *what)
{
	struct watch v[2] = { { .p = &a->peers[b->index] }, { .p = &b->peers[a->index] } };
	for (unsigned s = 0; s < seconds && r->why[0] == '\0'; s++) {
		if (trouble != NULL)
			trouble(w, s);
		sim_world_run(w, LN_SEC);
		look(&v[0], w, r, what);
		look(&v[1], w, r, what);
	}
}

static void start(struct sim_world *w, uint64_t seed, struct sim_agent *v[2],
		  enum sim_nat_kind left, enum sim_nat_kind right)
{
	sim_world_init(w, seed);
	v[0] = sim_world_behind(w, left, 0);
	v[1] = sim_world_behind(w, right, 1);
	w->relay.loss = (unsigned)(seed % 100);
	w->relay.delay_max = 60 * LN_MSEC;
	sim_relay_set(w, true);
	sim_world_introduce(v[0], v[1]);
}

static void meet(struct sim_world *w, struct sim_agent *v[2], ln_time limit, struct sim_result *r,
		 const char *what)
{
	ln_time from = w->clock.now;
	sim_state(r, sim_world_connect(v[0], v[1], limit), "%s: not connected in time", what);
	sim_state(r, sim_world_ping(v[0], v[1]), "%s: no ping came through", what);
	sim_matrix_note(r, v[0], v[1], from);
}

/* NATs that let nothing through directly. */
void sim_relayed_run(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	struct sim_agent *v[2];
	start(&w, seed, v, SIM_SYMMETRIC, seed % 2 == 0 ? SIM_SYMMETRIC : SIM_PORT);
	meet(&w, v, 5 * LN_SEC, r, "relayed");
	live(&w, v[0], v[1], 900, NULL, r, "relayed");
	sim_state(r, sim_world_ping(v[0], v[1]), "relayed: no ping after a while");
	sim_world_fini(&w);
}

static void restart_relay(struct sim_world *w, unsigned second)
{
	if (second % 120 == 30)
		sim_relay_set(w, false);
	if (second % 120 == 30 + (unsigned)(w->rng.state >> 33) % 50 || second % 120 == 85)
		if (w->relay.down)
			sim_relay_set(w, true);
}

void sim_relay_outage_run(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	struct sim_agent *v[2];
	start(&w, seed, v, SIM_SYMMETRIC, SIM_SYMMETRIC);
	w.signal.loss = (unsigned)(seed % 7) * 30;
	/* Signal loses messages as well. */
	meet(&w, v, MOST_APART, r, "outage");
	live(&w, v[0], v[1], 600, restart_relay, r, "outage");
	sim_state(r, sim_world_ping(v[0], v[1]), "outage: no ping came through");
	sim_world_fini(&w);
}

/* The direct path comes, dies silently, and comes again; the relay carries in between. */
static void rebind(struct sim_world *w, unsigned second)
{
	if (second % 100 != 40)
		return;
	for (size_t i = 0; i < w->nnats; i++)
		sim_nat_rebind(w->nats[i]);
}

void sim_upgrade_run(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	struct sim_agent *v[2];
	start(&w, seed, v, SIM_PORT, SIM_PORT);
	w.net.link.loss = (unsigned)(seed % 150);
	meet(&w, v, 5 * LN_SEC, r, "upgrade");
	live(&w, v[0], v[1], 600, rebind, r, "upgrade");
	sim_state(r, v[0]->peers[1].connects == 1, "upgrade: %u connections instead of one",
		  v[0]->peers[1].connects);
	sim_state(r, sim_world_ping(v[0], v[1]), "upgrade: no ping came through");
	sim_world_run(&w, 60 * LN_SEC);
	struct peer_info info;
	peer_conn_info(v[0]->peers[1].conn, &info);
	/* With much loss the relay may be covering at this very moment, or be the better way. */
	sim_state(r,
		  info.path == PEER_PATH_DIRECT || w.net.link.loss > 50 ||
			  (w.net.link.loss > 20 && strstr(info.reason, "path is worse") != NULL),
		  "upgrade: not direct a minute after the last change: %s", info.reason);
	sim_world_fini(&w);
}
