#pragma once
/*
 * Whose is this datagram: a table of the negotiations that share a UDP port. A request is told by
 * the receiver's ufrag in USERNAME, an answer by the front of its transaction id (spec
 * signal-and-connection 4.4, our simpler rule: both are random and MESSAGE-INTEGRITY decides).
 * Constant time for any number of them, and for datagrams that are nobody's.
 *
 * The table only points: each owner embeds a slot and keeps it right with ice_mux_set().
 */
#include "lib/base/map.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"
#include "lib/ice/ice_cand.h"

#define ICE_MUX_PREFIX 4 /* bytes of a transaction id */

struct ice_agent;
struct ice_mux;

struct ice_mux_slot { /* of one owner; zero it, set `owner`, and leave the rest alone */
	void *owner;
	struct map_node by_ufrag, by_prefix;
	char ufrag[ICE_UFRAG_MAX + 1];  /* "" not in the table */
	uint8_t prefix[ICE_MUX_PREFIX]; /* of the agent's transactions */
	bool has_prefix;
};

struct ice_mux *ice_mux_new(const struct ln_rng *rng);
/* The slots stay with their owners, and are out of every table then. */
void ice_mux_free(struct ice_mux *m);
/*
 * What the slot stands for from now on: own ufrag ("" none: requests are not its own) and the agent
 * that sends checks (null: none yet, or no more). Cheap when nothing has changed. A new agent comes
 * here before its first poll: its transactions may have to be told apart from another one's. A
 * ufrag that another slot has already is left to it.
 */
void ice_mux_set(struct ice_mux *m, struct ice_mux_slot *s, const char *ufrag, struct ice_agent *a);
/* The owner of the slot, or null: nobody's, or not a STUN message. */
void *ice_mux_find(const struct ice_mux *m, struct slice pkt);
size_t ice_mux_count(const struct ice_mux *m); /* slots with a ufrag */
