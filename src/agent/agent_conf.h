#pragma once
/*
 * The configuration of one profile, in NetBird's file format so that an installation can move back
 * and forth (spec agent 1.7). Keys we do not know are kept as they are.
 *
 * Owner: the network (one profile). Changed by the local API only; written at once.
 */
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/crypto/key.h"
#include "lib/daemon/daemon_msg.h"

#include "src/agent/agent_url.h"

#define AGENT_CONF_LIST_MAX 64
#define AGENT_CONF_LABELS_MAX 32
#define AGENT_CONF_MTU_MIN 576
#define AGENT_CONF_MTU_MAX 8192
#define AGENT_CONF_PSK_HIDDEN "**********" /* means "unchanged" when it comes back */

struct agent_list { /* texts, owned */
	char **v;
	size_t n;
};

enum agent_portmap { /* of our port at the gateway */
	AGENT_PORTMAP_OFF,
	AGENT_PORTMAP_UNWATCHED, /* renewed, but nobody looks whether the gateway has restarted */
	AGENT_PORTMAP_ON
};

struct agent_conf {
	char *path;
	char name[516]; /* display name of the profile */
	struct wg_secret key;
	bool has_psk;
	struct wg_secret psk;
	struct agent_url management;
	struct agent_url admin;
	char ifname[16];
	uint16_t wg_port;
	uint16_t mtu;
	bool network_monitor;
	bool ssh_allowed;
	bool rosenpass, rosenpass_permissive;
	bool disable_client_routes, disable_server_routes, disable_dns, disable_firewall;
	bool block_lan, block_inbound, disable_ipv6, disable_ipv6_discovery;
	bool disable_auto_connect, disable_notifications;
	struct agent_list blacklist; /* interface name prefixes */
	struct agent_list dns_labels;
	struct agent_list external_ips;
	char dns_address[64];
	bool unsaved; /* differs from the file */
	void *raw;    /* the JSON object as read, for the keys we do not know */
};

/*
 * Reads `path`, or makes the defaults with a fresh key when there is no such file (then
 * agent_conf_save() writes it). LN_E_MALFORMED names file and line; -errno.
 */
LN_MUST_CHECK int agent_conf_load(const char *path, const struct ln_rng *rng,
				  struct agent_conf **ret, struct ln_fail *f);
void agent_conf_free(struct agent_conf *c);
/* Nothing to do unless it is unsaved. -errno; then it still is. */
LN_MUST_CHECK int agent_conf_save(struct agent_conf *c, struct ln_fail *f);
/* A copy of the values, for who works with them while they are changed; it cannot be saved. */
struct agent_conf *agent_conf_dup(const struct agent_conf *c);
/* Saves it under another display name, which the caller has checked. -errno: nothing changed. */
LN_MUST_CHECK int agent_conf_rename(struct agent_conf *c, const char *name, struct ln_fail *f);
/*
 * Checks every value first, then takes all that are given. 1: something changed, 0: nothing did.
 * LN_E_MALFORMED with the reason: then nothing was taken.
 */
LN_MUST_CHECK int agent_conf_apply(struct agent_conf *c, const struct daemon_settings *s,
				   struct ln_fail *f);
/* True when s changes the management server to another one. */
bool agent_conf_moves_server(const struct agent_conf *c, const struct daemon_settings *s);
