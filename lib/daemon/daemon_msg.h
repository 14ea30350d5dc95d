#pragma once
/*
 * The agent's local API, daemon.DaemonService, as plain structs (spec agent 1.6): only the calls
 * that linnet answers so far. Both ends use it: linnetd reads requests and writes responses, the
 * command line the other way round. Errors of readers: LN_E_MALFORMED, LN_E_LIMIT.
 */
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/str.h"
#include "lib/base/time.h"

/* Optional scalars: `has_x` says whether the field was on the wire. */
#define DAEMON_OPT(type, name)                                                                     \
 type name;                                                                                        \
 bool has_##name

/* The settings that Login and SetConfig share; each message has its own field numbers. */
struct daemon_settings {
	const char *management_url; /* "" = not given */
	const char *admin_url;
	DAEMON_OPT(const char *, interface_name);
	DAEMON_OPT(int64_t, wireguard_port);
	DAEMON_OPT(int64_t, mtu);
	DAEMON_OPT(const char *, preshared_key);
	DAEMON_OPT(bool, disable_auto_connect);
	DAEMON_OPT(bool, server_ssh_allowed);
	DAEMON_OPT(bool, rosenpass);
	DAEMON_OPT(bool, rosenpass_permissive);
	DAEMON_OPT(bool, network_monitor);
	DAEMON_OPT(bool, disable_client_routes);
	DAEMON_OPT(bool, disable_server_routes);
	DAEMON_OPT(bool, disable_dns);
	DAEMON_OPT(bool, disable_firewall);
	DAEMON_OPT(bool, block_lan_access);
	DAEMON_OPT(bool, block_inbound);
	DAEMON_OPT(bool, disable_ipv6);
	DAEMON_OPT(bool, disable_notifications);
	DAEMON_OPT(bool, lazy);
	const char *const *external_ips;
	size_t nexternal_ips;
	bool clean_external_ips;
	const char *const *iface_blacklist;
	size_t niface_blacklist;
	const char *const *dns_labels;
	size_t ndns_labels;
	bool clean_dns_labels;
	struct slice dns_address; /* "empty" clears */
};

struct daemon_login_request {
	const char *setup_key;
	const char *hostname;
	struct daemon_settings set;
	DAEMON_OPT(const char *, profile);
	DAEMON_OPT(const char *, username);
	DAEMON_OPT(const char *, hint);
	bool desktop;
};

struct daemon_login_response {
	bool needs_sso;
	const char *user_code, *verification_uri, *verification_uri_complete;
};

struct daemon_set_config_request {
	const char *username, *profile;
	struct daemon_settings set;
};

struct daemon_up_request {
	DAEMON_OPT(const char *, profile);
	DAEMON_OPT(const char *, username);
	bool async;
};

struct daemon_profile_request { /* Logout, SwitchProfile: same two optional fields */
	DAEMON_OPT(const char *, profile);
	DAEMON_OPT(const char *, username);
};

struct daemon_status_request {
	bool full, probes;
	DAEMON_OPT(bool, wait_for_ready);
};

struct daemon_server_state { /* management, signal */
	const char *url;
	bool connected;
	const char *error;
};

struct daemon_relay_state { /* relays and, first, STUN servers */
	const char *uri;
	bool available;
	const char *error;
	const char *transport;
};

struct daemon_path_state { /* ours: one way to a peer */
	const char *kind;  /* P2P Relayed */
	const char *local, *remote;
	bool used;
	ln_time rtt, variation; /* 0 unknown */
	bool estimated;         /* rtt is that of WireGuard's last handshake */
	int32_t checks, checks_lost;
};

struct daemon_peer_state {
	const char *ip, *ipv6, *key, *fqdn;
	const char *status; /* Idle Connecting Connected */
	ln_wall status_changed;
	bool relayed;
	const char *local_cand_type, *remote_cand_type;
	const char *local_cand_ep, *remote_cand_ep;
	ln_wall last_handshake;
	int64_t rx_bytes, tx_bytes;
	ln_time latency;
	const char *relay_address;
	const char *const *networks;
	size_t nnetworks;
	bool rosenpass;
	const char *reason; /* ours, field 1001: one sentence why not connected, or how */
	/* Ours: of the path in use, about the last minute or two. */
	int32_t checks, checks_lost;
	const struct daemon_path_state *paths; /* ours */
	size_t npaths;
};

struct daemon_kv {
	const char *key, *value;
};

struct daemon_event {
	const char *id;
	int severity, category;
	const char *message, *user_message;
	ln_wall at;
	const struct daemon_kv *metadata; /* sorted by key when read */
	size_t nmetadata;
};

struct daemon_dns_state { /* a group of nameservers */
	const char *const *servers;
	size_t nservers;
	const char *const *domains; /* none: the primary group */
	size_t ndomains;
	bool enabled;
	const char *error;
};

struct daemon_status_response {
	const char *status; /* Idle Connecting Connected NeedsLogin LoginFailed SessionExpired */
	const char *version;
	bool has_full;
	struct daemon_server_state management, signal;
	const char *ip, *ipv6, *key, *fqdn; /* ip with /len */
	bool kernel_interface;
	int32_t wg_port;
	bool rosenpass, rosenpass_permissive;
	const char *const *networks; /* routed by this machine */
	size_t nnetworks;
	const struct daemon_peer_state *peers;
	size_t npeers;
	const struct daemon_relay_state *relays;
	size_t nrelays;
	const struct daemon_dns_state *dns;
	size_t ndns;
	const struct daemon_event *events;
	size_t nevents;
	int32_t forwarding_rules;
	bool lazy;
	ln_wall session_expires; /* 0 none */
};

struct daemon_active_profile { /* GetActiveProfileResponse */
	const char *name, *username, *id;
};

struct daemon_config_request { /* GetConfigRequest */
	const char *profile, *username;
};

struct daemon_config_response { /* GetConfigResponse */
	const char *management_url, *config_file, *log_file;
	const char *preshared_key; /* never the key: "" or ten asterisks */
	const char *admin_url, *interface_name;
	int64_t wireguard_port, mtu;
	bool disable_auto_connect, server_ssh_allowed, rosenpass, rosenpass_permissive;
	bool disable_notifications, lazy, block_inbound, network_monitor;
	bool disable_dns, disable_client_routes, disable_server_routes, block_lan_access;
	bool disable_ipv6;
};

struct daemon_user_request { /* ListProfilesRequest */
	const char *username;
};

struct daemon_profile {
	const char *name, *id;
	bool active;
};

struct daemon_profile_list { /* ListProfilesResponse */
	const struct daemon_profile *profiles;
	size_t nprofiles;
};

struct daemon_profile_change { /* AddProfileRequest, RemoveProfileRequest */
	const char *username, *profile;
};

struct daemon_profile_rename { /* RenameProfileRequest */
	const char *username, *profile, *name;
};

struct daemon_profile_id { /* SwitchProfile, AddProfile, RemoveProfile; Rename: the old name */
	const char *id;
};

struct daemon_reconnect_request { /* ours */
	const char *peer;         /* name, address or public key */
};

struct daemon_reconnect_response { /* ours: whom it meant */
	const char *fqdn, *ip, *key;
};

struct daemon_features { /* GetFeaturesResponse */
	bool disable_profiles, disable_update_settings, disable_networks;
};

#define DAEMON_CODEC(name)                                                                         \
 LN_MUST_CHECK int daemon_##name##_read(struct slice msg, struct arena *a,                         \
					struct daemon_##name *ret);                                \
 void daemon_##name##_write(struct str *dst, const struct daemon_##name *m)

DAEMON_CODEC(login_request);
DAEMON_CODEC(login_response);
DAEMON_CODEC(set_config_request);
DAEMON_CODEC(up_request);
DAEMON_CODEC(profile_request);
DAEMON_CODEC(status_request);
DAEMON_CODEC(status_response);
DAEMON_CODEC(active_profile);
DAEMON_CODEC(config_request);
DAEMON_CODEC(config_response);
DAEMON_CODEC(user_request);
DAEMON_CODEC(profile_list);
DAEMON_CODEC(profile_change);
DAEMON_CODEC(profile_rename);
DAEMON_CODEC(profile_id);
DAEMON_CODEC(features);
DAEMON_CODEC(reconnect_request);
DAEMON_CODEC(reconnect_response);
/* Requests and answers of Down, Up, SetConfig and Logout without a struct here have no fields. */

#define DAEMON_SERVICE "/daemon.DaemonService/"
