#pragma once
/* The NAT matrix of spec signal-and-connection 7.2, in pairs and in meshes. */
#include "tests/sim/sim_scenario.h"
#include "tests/sim/sim_world.h"

void sim_matrix_run(uint64_t seed, struct sim_result *r);
void sim_mesh_run(uint64_t seed, struct sim_result *r);
/* What the table says: a direct path without a relay. */
bool sim_matrix_direct(enum sim_nat_kind a, enum sim_nat_kind b);
/* Loss, delay, reordering and duplication, on the network and in signal; none for one seed in
 * four. Returns whether it is rough. */
bool sim_matrix_weather(struct sim_world *w, uint64_t seed);
/* Notes times and rates of a connected pair. */
void sim_matrix_note(struct sim_result *r, const struct sim_agent *a, const struct sim_agent *b,
		     ln_time introduced);
