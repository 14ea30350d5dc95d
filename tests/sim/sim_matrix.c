#include "tests/sim/sim_matrix.h"

#define KINDS 6
/* Without loss a pair is up after the longest way of spec 7.2; in rough weather offers get lost
 * and the guard repeats them. */
#define CLEAN_LIMIT (7 * LN_SEC / 2)
#define ROUGH_LIMIT (90 * LN_SEC)
#define HOPELESS_TIME (30 * LN_SEC)
/* Five in any second; the simulator counts by seconds of its own, and a new negotiation may begin.
 */
#define CHECKS_PER_SECOND 10

bool sim_matrix_direct(enum sim_nat_kind a, enum sim_nat_kind b)
{
	static const char *const rows[KINDS] = {
		/* OFAPSB */
		"DDDDDR", "DDDDDR", "DDDDDR", "DDDDRR", "DDDRRR", "RRRRRR",
	};
	return rows[a][b] == 'D';
}

bool sim_matrix_weather(struct sim_world *w, uint64_t seed)
{
	struct sim_rng r;
	sim_rng_init(&r, seed ^ 0xa11c0de);
	if (seed % 4 == 0)
		return false;
	struct sim_link *l = &w->net.link;
	l->delay_min = sim_rng_between(&r, 0, 60 * LN_MSEC) + 1;
	l->delay_max = l->delay_min + sim_rng_between(&r, 0, 120 * LN_MSEC);
	l->loss = (unsigned)sim_rng_between(&r, 0, 150);
	l->duplicate = (unsigned)sim_rng_between(&r, 0, 50);
	w->signal.delay_min = sim_rng_between(&r, 0, 100 * LN_MSEC);
	w->signal.delay_max = w->signal.delay_min + sim_rng_between(&r, 0, 400 * LN_MSEC);
	w->signal.loss = (unsigned)sim_rng_between(&r, 0, 200);
	return true;
}

void sim_matrix_note(struct sim_result *r, const struct sim_agent *a, const struct sim_agent *b,
		     ln_time introduced)
{
	const struct sim_peer *x = &a->peers[b->index];
	const struct sim_peer *y = &b->peers[a->index];
	r->slowest = LN_MAX(r->slowest, LN_MAX(x->connected_at, y->connected_at) - introduced);
	r->busiest = LN_MAX(r->busiest, LN_MAX(x->busiest_second, y->busiest_second));
}

static void cell(uint64_t seed, enum sim_nat_kind ka, enum sim_nat_kind kb, struct sim_result *r)
{
	struct sim_world w;
	char name[3] = { sim_nat_letter(ka), sim_nat_letter(kb), 0 };
	sim_world_init(&w, seed * 64 + (uint64_t)ka * KINDS + (uint64_t)kb);
	bool rough = sim_matrix_weather(&w, seed);
	struct sim_agent *a = sim_world_behind(&w, ka, 0);
	struct sim_agent *b = sim_world_behind(&w, kb, 1);
	ln_time start = w.clock.now;
	sim_world_introduce(a, b);
	if (sim_matrix_direct(ka, kb)) {
		bool up = sim_world_connect(a, b, rough ? ROUGH_LIMIT : CLEAN_LIMIT);
		sim_state(r, up, "%s: not connected in time", name);
		if (up) {
			sim_matrix_note(r, a, b, start);
			sim_state(r, sim_world_ping(a, b), "%s: no ping came through", name);
		}
	} else {
		bool up = sim_world_connect(a, b, HOPELESS_TIME);
		sim_state(r, !up, "%s: connected without a relay", name);
		const struct sim_peer *p = &a->peers[b->index];
		sim_state(r, !ip_is_set(&p->endpoint.addr), "%s: an endpoint without a path", name);
	}
	sim_state(r, a->peers[1].busiest_second <= CHECKS_PER_SECOND, "%s: %u checks in a second",
		  name, a->peers[1].busiest_second);
	sim_world_fini(&w);
}

/* Clean seeds run the whole table, rough ones six cells of it, all over in six seeds. */
void sim_matrix_run(uint64_t seed, struct sim_result *r)
{
	for (unsigned i = 0; i < KINDS * KINDS; i++)
		if (seed % 40 == 0 || i % 6 == seed % 6)
			cell(seed, (enum sim_nat_kind)(i / KINDS),
			     (enum sim_nat_kind)((i + i / KINDS) % KINDS), r);
}

/* Two to fifty agents, everybody with everybody. */
void sim_mesh_run(uint64_t seed, struct sim_result *r)
{
	static enum sim_nat_kind kinds[SIM_AGENTS_MAX];
	struct sim_world w;
	sim_world_init(&w, seed);
	bool rough = sim_matrix_weather(&w, seed);
	size_t n = seed % 200 == 1 ? SIM_AGENTS_MAX : (size_t)sim_rng_between(&w.rng, 2, 9);
	for (size_t i = 0; i < n; i++) {
		kinds[i] = (enum sim_nat_kind)sim_rng_between(&w.rng, SIM_OPEN, SIM_BLOCKED);
		(void)sim_world_behind(&w, kinds[i], (unsigned)i);
	}
	ln_time start = w.clock.now;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			sim_world_introduce(w.agents[i], w.agents[k]);
	sim_world_run(&w, rough ? 60 * LN_SEC : 10 * LN_SEC);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++) {
			struct sim_agent *a = w.agents[i];
			struct sim_agent *b = w.agents[k];
			bool want = sim_matrix_direct(kinds[i], kinds[k]);
			bool up = sim_world_connected(a, b);
			/* In rough weather a pair may be between two paths for a moment. */
			if (want && !up && rough)
				up = sim_world_connect(a, b, ROUGH_LIMIT);
			sim_state(r, up == want, "%zu agents, %zu-%zu (%c%c): connected is %d", n,
				  i, k, sim_nat_letter(kinds[i]), sim_nat_letter(kinds[k]), up);
			if (want && up)
				sim_matrix_note(r, a, b, start);
		}
	}
	sim_world_fini(&w);
}
