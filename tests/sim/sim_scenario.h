#pragma once
/* The scenarios of tests/sim: each builds a world from a seed and states what must hold. */
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/time.h"

struct sim_result {
	char why[400];        /* empty: all statements held */
	unsigned long checks; /* statements made */
	ln_time slowest;      /* from introduction to both ends connected */
	unsigned busiest;     /* checks to one peer in one second */
};

struct sim_scenario {
	const char *name;
	void (*run)(uint64_t seed, struct sim_result *r);
	unsigned long seeds; /* at most; 0 no bound */
};

extern const struct sim_scenario sim_scenarios[]; /* ends with a null name */

void sim_relayed_run(uint64_t seed, struct sim_result *r);
void sim_relay_outage_run(uint64_t seed, struct sim_result *r);
void sim_upgrade_run(uint64_t seed, struct sim_result *r);
void sim_quality_run(uint64_t seed, struct sim_result *r);
void sim_life_run(uint64_t seed, struct sim_result *r);

/* Counts a statement; the first that does not hold is the result. Returns whether it held. */
bool sim_state(struct sim_result *r, bool held, const char *fmt, ...) LN_PRINTF(3, 4);
