#pragma once
/* Virtual time and seeded randomness: the only sources of both in the simulator. */
#include "lib/base/heap.h"
#include "lib/base/rng.h"

struct sim_clock {
	ln_time now;
	struct heap queue;
	uint64_t events; /* run so far */
};

/* Embedded in its owner; fn runs once at the time set and may set it again. */
struct sim_event {
	struct heap_node node;
	void (*fn)(struct sim_event *e);
};

void sim_clock_init(struct sim_clock *c);
void sim_clock_fini(struct sim_clock *c);
void sim_event_init(struct sim_event *e, void (*fn)(struct sim_event *e));
void sim_clock_at(struct sim_clock *c, struct sim_event *e, ln_time at); /* NEVER takes it off */
/* Runs what is due until then; now is `until` afterwards. */
void sim_clock_run(struct sim_clock *c, ln_time until);

struct sim_rng {
	uint64_t state;
	struct ln_rng rng;
};

void sim_rng_init(struct sim_rng *r, uint64_t seed);
/* Uniform in [low, high]. */
int64_t sim_rng_between(struct sim_rng *r, int64_t low, int64_t high);
bool sim_rng_chance(struct sim_rng *r, unsigned permille);
