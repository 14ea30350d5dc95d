#pragma once
/*
 * An account as it stands at one serial: peers, groups, policies and the settings that shape maps.
 * The store fills the plain members from its rows, all of them in one arena, and calls
 * netmap_account_seal() once; from then on the account is immutable and may be shared. Lists keep
 * the order they were given; maps follow it, so equal accounts give equal maps.
 *
 * References between objects are ids. An id nobody has is skipped, as is an object that is not
 * enabled.
 */
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"
#include "lib/crypto/key.h"
#include "lib/netmap/netmap.h"

enum netmap_capability { /* bit numbers, as agents report them (management-protocol 1.3) */
	NETMAP_CAP_SOURCE_PREFIXES = 1,
	NETMAP_CAP_IPV6 = 2,
};

struct netmap_account_peer {
	const char *id;
	struct wg_key key;
	struct ip_addr v4;
	struct ip_addr v6;      /* family 0 = none */
	const char *label;      /* DNS label, unique in the account */
	const char *name;       /* for people */
	const char *version;    /* of the agent, as it reported it */
	uint32_t capabilities;  /* 1u << enum netmap_capability */
	struct slice ssh_key;   /* text of the SSH host key; may be empty */
	ln_wall login_expires;  /* 0 = never; from then on others see the peer as offline */
	bool awaiting_approval; /* sees nobody and is seen by nobody */
	bool connected;         /* of no consequence for maps: disconnected peers stay in them */
};

struct netmap_account_group {
	const char *id;
	const char *name;         /* "All" is special: 4.8.1 */
	const char *const *peers; /* ids */
	size_t npeers;
};

struct netmap_port_range {
	uint16_t first; /* 1.. */
	uint16_t last;  /* >= first; other ranges are skipped */
};

struct netmap_account_rule {
	const char *id;
	bool enabled;
	enum netmap_action action;
	bool bidirectional;
	enum netmap_protocol protocol; /* NETMAP_PROTO_SSH goes out as TCP */
	const uint16_t *ports;         /* when there are any, ranges do not count */
	size_t nports;
	const struct netmap_port_range *ranges;
	size_t nranges;
	const char *source_peer; /* id; wins over the groups; null or "" = none */
	const char *const *source_groups;
	size_t nsource_groups;
	const char *destination_peer;
	const char *const *destination_groups;
	size_t ndestination_groups;
};

struct netmap_account_policy {
	const char *id;
	bool enabled;
	const struct netmap_account_rule *rules;
	size_t nrules;
};

struct netmap_account {
	uint64_t serial;
	struct ip_prefix network;    /* IPv4 network of the account */
	struct ip_prefix network_v6; /* family 0 = none */
	const char *domain;          /* "netbird.selfhosted"; no dot at the end */
	bool lazy_connections;
	bool routing_peer_dns;
	const struct netmap_account_peer *peers;
	size_t npeers;
	const struct netmap_account_group *groups;
	size_t ngroups;
	const struct netmap_account_policy *policies;
	size_t npolicies;
	const struct netmap_index *index; /* made by netmap_account_seal() */
};

/*
 * Resolves the ids; what it makes belongs to the arena, which must live as long as the account.
 * LN_E_LIMIT: arena, or more than NETMAP_PEERS_MAX peers.
 */
LN_MUST_CHECK int netmap_account_seal(struct netmap_account *acc, struct arena *a);

/* Index into acc->peers or -1. The account is sealed. */
ptrdiff_t netmap_account_find(const struct netmap_account *acc, const char *peer_id);
ptrdiff_t netmap_account_find_key(const struct netmap_account *acc, const struct wg_key *key);

/*
 * The map of one peer (management-protocol 4.8), computed from nothing but the arguments: `now`
 * decides which logins have run out. Everything in *ret belongs to the arena. LN_E_LIMIT: arena.
 * Linear in the peers and rules that concern the target.
 */
LN_MUST_CHECK int netmap_build(const struct netmap_account *acc, size_t target, ln_wall now,
			       struct arena *a, struct netmap *ret);
