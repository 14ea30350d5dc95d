#pragma once
/*
 * What one peer may see, as sets and lists of the account instead of copies: the same answer as
 * netmap_build() in the form from which a map is put together out of shared parts
 * (lib/mgmt/mgmt_plan.h). Costs a few words per peer of the account, not a struct per rule.
 */
#include "lib/netmap/netmap_index.h"

/* One policy rule seen from the target: a rule towards each peer of the list, except itself. */
struct netmap_part {
	uint32_t rule; /* position in the index */
	enum netmap_slot slot;
	enum netmap_direction direction;
};

struct netmap_view {
	uint32_t target;
	bool v6;     /* the target gets IPv6 */
	bool ranges; /* the target reads port ranges (4.8.2) */
	struct netmap_self self;
	size_t words;          /* of the sets */
	const uint64_t *peers; /* remote peers, online */
	const uint64_t *offline;
	size_t npeers;
	size_t noffline;
	const struct netmap_part *parts; /* in the order of the map */
	size_t nparts;
};

/*
 * `now` decides which logins have run out. Everything in *ret belongs to the arena or the account.
 * LN_E_LIMIT: arena.
 */
LN_MUST_CHECK int netmap_view_make(const struct netmap_account *acc, size_t target, ln_wall now,
				   struct arena *a, struct netmap_view *ret);

/* netmap_build.c, for both ways: spec management-protocol 4.8.9 and the target's two gates. */
LN_MUST_CHECK int netmap_self_make(const struct netmap_account *acc, size_t target, struct arena *a,
				   struct netmap_self *ret);
bool netmap_target_v6(const struct netmap_account *acc, size_t target);
bool netmap_target_ranges(const struct netmap_account *acc, size_t target);
