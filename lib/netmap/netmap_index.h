#pragma once
/*
 * What netmap_account_seal() prepares: ids resolved to positions, groups as sorted arrays, rules
 * with their two sides worked out. Private to lib/netmap.
 */
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

struct netmap_ports {
	uint16_t first;
	uint16_t last;
};

struct netmap_rule_index {
	const struct netmap_account_rule *rule;
	enum netmap_protocol protocol;
	struct netmap_side source;
	struct netmap_side destination;
	const struct netmap_ports *ports; /* without doubles; {0, 0} = all */
	size_t nports;
};

struct netmap_index {
	const struct netmap_name *peers_by_id;
	const uint32_t *peers_by_key;
	const struct netmap_members *groups;
	const struct netmap_rule_index *rules; /* of enabled policies, enabled */
	size_t nrules;
	uint32_t forwarder_port;
};

bool netmap_members_have(const struct netmap_members *m, uint32_t peer);
bool netmap_side_has(const struct netmap_index *x, const struct netmap_side *s, uint32_t peer);
