#pragma once
/*
 * Whose is this datagram: a table of the agents that share a UDP port. A request is told by the
 * receiver's ufrag in USERNAME, an answer by the front of its transaction id (spec
 * signal-and-connection 4.4, our simpler rule: both are random and MESSAGE-INTEGRITY decides).
 * The table only points; an agent is removed before it is freed. Constant time for any number.
 */
#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"

struct ice_agent;
struct ice_mux;

struct ice_mux *ice_mux_new(const struct ln_rng *rng);
void ice_mux_free(struct ice_mux *m);
/* Before the agent's first poll. LN_E_CONFLICT when another agent with this ufrag is there. */
LN_MUST_CHECK int ice_mux_add(struct ice_mux *m, struct ice_agent *a, void *owner);
void ice_mux_remove(struct ice_mux *m, const struct ice_agent *a); /* no-op when absent */
/* The owner given to ice_mux_add, or null: nobody's, or not a STUN message. */
void *ice_mux_find(const struct ice_mux *m, struct slice pkt);
size_t ice_mux_count(const struct ice_mux *m);
