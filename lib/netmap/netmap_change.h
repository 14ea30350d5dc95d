#pragma once
/*
 * The account at the next serial, made of the former one and what changed: the same as reading
 * everything anew, without reading everything. Both are whole and immutable; they share no memory.
 */
#include "lib/netmap/netmap_account.h"

/* A peer as it is now, whatever changed about it. */
struct netmap_peer_change {
	const char *id;
	const struct netmap_account_peer *now; /* null: it is gone */
	const char *const *groups;             /* ids of those it is a member of */
	size_t ngroups;
};

struct netmap_change {
	uint64_t serial;
	const struct netmap_peer_change *peers; /* ascending by id, each once */
	size_t npeers;
	/* Else the former ones stay, with the members that `peers` gives them. */
	bool rules_changed;
	const struct netmap_account_group *groups; /* all of them, if so; copied */
	size_t ngroups;
	const struct netmap_account_policy *policies; /* all of them, if so; in the arena already */
	size_t npolicies;
};

#define NETMAP_NEW UINT32_MAX

/* What connects an account with its former one, for those who keep something per peer or rule. */
struct netmap_same {
	const uint32_t *peers; /* by peer: its position before, or NETMAP_NEW if anything changed */
	bool rules;            /* the index has the same rules, in the same order */
};

/*
 * `from` is sealed; its peers and the members of its groups are in ascending order of their ids,
 * each once, as the store gives them. The result is sealed and belongs to the arena, as does
 * *ret_same. LN_E_LIMIT: as netmap_account_seal().
 */
LN_MUST_CHECK int netmap_account_change(const struct netmap_account *from,
					const struct netmap_change *c, struct arena *a,
					struct netmap_account **ret, struct netmap_same *ret_same);
