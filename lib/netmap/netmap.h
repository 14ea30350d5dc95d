#pragma once
/*
 * The network map: what one peer is told about its network. One struct for both ends: the server
 * computes and encodes it, the agent decodes, diffs and applies it. Immutable once built; all
 * memory belongs to the arena it was made in.
 *
 * Routes, DNS and posture will become members here; until then they travel nowhere.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"
#include "lib/crypto/key.h"

enum netmap_protocol { /* numbers of the wire (management-protocol 1.5) */
	NETMAP_PROTO_UNKNOWN = 0,
	NETMAP_PROTO_ALL = 1,
	NETMAP_PROTO_TCP = 2,
	NETMAP_PROTO_UDP = 3,
	NETMAP_PROTO_ICMP = 4,
	NETMAP_PROTO_CUSTOM = 5,
	NETMAP_PROTO_SSH = 6,
};

enum netmap_direction {
	NETMAP_IN = 0,
	NETMAP_OUT = 1
};

enum netmap_action {
	NETMAP_ACCEPT = 0,
	NETMAP_DROP = 1
};

struct netmap_peer {
	struct wg_key key;
	struct ip_addr v4; /* family 0 when absent */
	struct ip_addr v6;
	const struct ip_prefix
		*allowed; /* decoded allowedIps; the encoder derives them from v4, v6 */
	size_t nallowed;
	const char *fqdn;
	const char *agent_version;
	struct slice ssh_key; /* text of the SSH host key; may be empty */
};

struct netmap_rule {
	struct ip_prefix peer; /* other side; /0 = any */
	enum netmap_direction direction;
	enum netmap_action action;
	enum netmap_protocol protocol;
	uint16_t port_first;   /* 0 = all ports */
	uint16_t port_last;    /* == port_first for a single port */
	const char *policy_id; /* id of the policy rule */
};

struct netmap_self { /* PeerConfig */
	/* Own v4 with the length of the account network; family 0: no PeerConfig was sent. */
	struct ip_prefix address;
	struct ip_prefix address_v6; /* family 0 = none */
	const char *fqdn;
	bool lazy_connections;
	bool routing_peer_dns;
	uint16_t mtu; /* 0 = not set */
};

struct netmap {
	uint64_t serial;
	struct netmap_self self;
	const struct netmap_peer *peers;
	size_t npeers;
	const struct netmap_peer *offline;
	size_t noffline;
	const struct netmap_rule *rules;
	size_t nrules;
	/*
	 * Decoder only: the flags as sent. The encoder derives them from the lists (4.7). `rules`
	 * empty with rules_is_empty false means a server without ACLs: allow everything.
	 */
	bool peers_is_empty;
	bool rules_is_empty;
	bool dns_enabled;
	uint32_t dns_forwarder_port; /* server: 22054 or 5353 */
	/*
	 * Decoder only: peers and rules that were left out because they make no sense (key,
	 * address or port is none; a protocol we do not filter). Worth a line in the log.
	 */
	size_t skipped_peers;
	size_t skipped_rules;
};

/* What an agent accepts from a server at most (reliability-security A-7). */
#define NETMAP_PEERS_MAX 100000
#define NETMAP_RULES_MAX 1000000
