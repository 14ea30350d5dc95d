#pragma once
/*
 * The messages of management.ManagementService as plain structs (spec management-protocol 1).
 * Generated protobuf code stays inside lib/mgmt. Readers take bytes and an arena with a limit;
 * results point into the arena only. Writers append the serialised message to a struct str.
 *
 * Errors of all readers: LN_E_MALFORMED (not parsable, or a value out of its range), LN_E_LIMIT
 * (arena). Unknown fields are ignored. Strings are UTF-8 without zero bytes.
 */
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/str.h"
#include "lib/base/time.h"
#include "lib/crypto/key.h"
#include "lib/netmap/netmap.h"

/* --- envelope --------------------------------------------------------------------------------- */

struct mgmt_envelope {
	struct wg_key key; /* sender, canonicalised from the text */
	struct slice body; /* sealed */
};

LN_MUST_CHECK int mgmt_envelope_read(struct slice msg,
				     struct mgmt_envelope *ret); /* body: in place */
void mgmt_envelope_write(struct str *dst, const struct wg_key *key, struct slice body);
/* The same in front of a body of nbody bytes (at least one) that follows; bytes written. */
#define MGMT_ENVELOPE_HEAD_MAX 64
size_t mgmt_envelope_head(uint8_t dst[MGMT_ENVELOPE_HEAD_MAX], const struct wg_key *key,
			  size_t nbody);

/* ServerKeyResponse */
LN_MUST_CHECK int mgmt_server_key_read(struct slice msg, struct wg_key *ret);
void mgmt_server_key_write(struct str *dst, const struct wg_key *key, ln_wall expires);

/* --- what an agent says about its host -------------------------------------------------------- */

struct mgmt_net_address {
	const char *prefix; /* text "192.168.1.7/24" */
	const char *mac;
};

struct mgmt_file {
	const char *path;
	bool exists;
	bool running;
};

enum mgmt_flag { /* bit numbers = field numbers of Flags */
	MGMT_FLAG_ROSENPASS = 1,
	MGMT_FLAG_ROSENPASS_PERMISSIVE = 2,
	MGMT_FLAG_SSH_ALLOWED = 3,
	MGMT_FLAG_NO_CLIENT_ROUTES = 4,
	MGMT_FLAG_NO_SERVER_ROUTES = 5,
	MGMT_FLAG_NO_DNS = 6,
	MGMT_FLAG_NO_FIREWALL = 7,
	MGMT_FLAG_BLOCK_LAN = 8,
	MGMT_FLAG_BLOCK_INBOUND = 9,
	MGMT_FLAG_LAZY = 10,
	MGMT_FLAG_NO_IPV6 = 16,
};

enum mgmt_capability {
	MGMT_CAP_SOURCE_PREFIXES = 1,
	MGMT_CAP_IPV6_OVERLAY = 2
}; /* bit numbers */

struct mgmt_meta { /* PeerSystemMeta; strings never null */
	const char *hostname, *go_os, *kernel, *core, *platform, *os, *version, *ui_version;
	const char *kernel_version, *os_version, *serial, *product, *manufacturer;
	const char *cloud, *environment;
	const struct mgmt_net_address *addresses;
	size_t naddresses;
	const struct mgmt_file *files;
	size_t nfiles;
	uint32_t flags;        /* 1u << enum mgmt_flag */
	uint32_t capabilities; /* 1u << enum mgmt_capability */
	int32_t sync_version;  /* highest SyncResponse format understood */
};

bool mgmt_meta_is_empty(const struct mgmt_meta *m);

struct mgmt_login_request {
	const char *setup_key; /* "" none; the all-zero UUID counts as none */
	const char *jwt;
	bool has_meta;
	struct mgmt_meta meta;
	struct slice ssh_key;
	const char *const *dns_labels;
	size_t ndns_labels;
};

LN_MUST_CHECK int mgmt_login_request_read(struct slice msg, struct arena *a,
					  struct mgmt_login_request *ret);
void mgmt_login_request_write(struct str *dst, const struct mgmt_login_request *m,
			      const struct wg_key *own);

struct mgmt_sync_request { /* also SyncMetaRequest */
	bool has_meta;
	struct mgmt_meta meta;
};

LN_MUST_CHECK int mgmt_sync_request_read(struct slice msg, struct arena *a,
					 struct mgmt_sync_request *ret);
void mgmt_sync_request_write(struct str *dst, const struct mgmt_sync_request *m);

/* --- what the server answers ------------------------------------------------------------------ */

struct mgmt_host { /* HostConfig, ProtectedHostConfig */
	const char *uri;
	bool https;       /* protocol HTTPS (signal: TLS) */
	uint8_t protocol; /* as sent */
	const char *user; /* TURN only */
	const char *password;
};

struct mgmt_relay {
	const char *const *urls;
	size_t nurls;
	const char *token_payload;
	const char *token_signature;
};

struct mgmt_servers { /* NetbirdConfig */
	const struct mgmt_host *stuns;
	size_t nstuns;
	const struct mgmt_host *turns;
	size_t nturns;
	bool has_signal;
	struct mgmt_host signal;
	bool has_relay;
	struct mgmt_relay relay;
};

/* Session deadline, three states (3.6). */
enum mgmt_deadline_kind {
	MGMT_DEADLINE_ABSENT,
	MGMT_DEADLINE_NONE,
	MGMT_DEADLINE_AT
};

struct mgmt_deadline {
	enum mgmt_deadline_kind kind;
	ln_wall at;
};

struct mgmt_login_response {
	bool has_servers;
	struct mgmt_servers servers;
	bool has_self;
	struct netmap_self self;
	struct mgmt_deadline deadline;
};

LN_MUST_CHECK int mgmt_login_response_read(struct slice msg, struct arena *a,
					   struct mgmt_login_response *ret);
void mgmt_login_response_write(struct str *dst, const struct mgmt_login_response *m);

struct mgmt_sync_response {
	bool has_servers;
	struct mgmt_servers servers;
	bool has_map; /* false: configuration only (4.6) */
	struct netmap map;
	struct mgmt_deadline deadline;
	int32_t version; /* 1 = components, which we do not ask for: LN_E_UNSUPPORTED */
};

LN_MUST_CHECK int mgmt_sync_response_read(struct slice msg, struct arena *a,
					  struct mgmt_sync_response *ret);

struct mgmt_map_options {      /* what the receiver understands; from its meta */
	bool source_prefixes;  /* capability 1 */
	bool port_ranges;      /* version >= 0.48.0 or development */
	bool deprecated_peers; /* version < 0.29.3, unparsable or pre-release: copy in field 3 */
};

/* From the version and the capability bits of a peer's meta. */
struct mgmt_map_options mgmt_map_options_of(const char *version, uint32_t capabilities);

void mgmt_sync_response_write(struct str *dst, const struct mgmt_sync_response *m,
			      const struct mgmt_map_options *opt);
/* The removal message (4.3): serial, remotePeersIsEmpty, firewallRulesIsEmpty, ForwarderPort. */
void mgmt_removal_write(struct str *dst, uint64_t serial, uint32_t forwarder_port);

/* Versions (trap 16, lib/netmap/netmap_version.h): -1, 0, 1; development builds are newest; "" is
 * oldest; suffix after '-' cut.
 */
int mgmt_version_cmp(const char *a, const char *b);
