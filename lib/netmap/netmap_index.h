#pragma once
/*
 * What netmap_account_seal() prepares: ids resolved to positions, groups as sorted arrays, rules
 * with their two sides worked out. For lib/netmap, and for lib/mgmt where it encodes maps by parts.
 */
#include "lib/base/bitset.h"
#include "lib/netmap/netmap_account.h"

struct netmap_name { /* sorted by id */
	const char *id;
	uint32_t at;
};

struct netmap_members { /* of a group: positions of peers, ascending, each once */
	const uint32_t *peers;
	size_t npeers;
};

/* One side of a rule: a peer, or the union of groups. Both empty: nobody. */
struct netmap_side {
	bool single;
	uint32_t peer;
	const uint32_t *groups;
	size_t ngroups;
};

/*
 * The peers of a side in the order a map names them, each once; rules with the same groups share
 * one. What a rule says twice to a target on both of its sides is said once: the second time only
 * the `rest` of the list is meant (netmap_rule_index).
 */
struct netmap_list {
	const uint32_t *peers;
	size_t npeers;
	const uint64_t *bits; /* the same as a set */
	uint32_t number;      /* of this list among those of the account */
};

struct netmap_ports {
	uint16_t first;
	uint16_t last;
};

enum netmap_slot {
	NETMAP_SOURCE,
	NETMAP_DESTINATION,
	NETMAP_SOURCE_REST,      /* sources that are no destinations; made when bidirectional */
	NETMAP_DESTINATION_REST, /* destinations that are no sources */
	NETMAP_SLOTS
};

struct netmap_rule_index {
	const struct netmap_account_rule *rule;
	enum netmap_protocol protocol;
	struct netmap_side source;
	struct netmap_side destination;
	const struct netmap_ports *ports; /* without doubles; {0, 0} = all */
	size_t nports;
	const struct netmap_list *lists[NETMAP_SLOTS]; /* by enum netmap_slot; never null */
};

struct netmap_index {
	const struct netmap_name *peers_by_id;
	const uint32_t *peers_by_key;
	const struct netmap_members *groups;
	const struct netmap_rule_index *rules; /* of enabled policies, enabled */
	size_t nrules;
	size_t nlists;
	const uint32_t *expiring; /* peers whose login ends some day, ascending */
	size_t nexpiring;
	uint32_t forwarder_port;
};

/* netmap_list.c: fills the lists of all rules. LN_E_LIMIT: arena. */
LN_MUST_CHECK int netmap_lists_make(const struct netmap_account *acc, struct netmap_index *x,
				    struct netmap_rule_index *rules, struct arena *a);

bool netmap_members_have(const struct netmap_members *m, uint32_t peer);
bool netmap_side_has(const struct netmap_index *x, const struct netmap_side *s, uint32_t peer);
