#pragma once
/*
 * One network of the agent: a profile's configuration, its login at management, and, while it is
 * up, its engine (spec agent 2.1). Several live in one process; nothing here is global.
 *
 * States as status shows them: Idle -> Connecting (login, engine start; tried again with back-off)
 * -> Connected; NeedsLogin when the server does not know this peer (any more); LoginFailed.
 */
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/daemon/daemon_msg.h"

#include "src/agent/agent_conf.h"
#include "src/agent/agent_profile.h"
#include "src/ev/ev.h"
#include "src/net/net_grpc.h"
#include "src/plat/plat.h"

enum agent_state {
	AGENT_IDLE,
	AGENT_CONNECTING,
	AGENT_CONNECTED,
	AGENT_NEEDS_LOGIN,
	AGENT_LOGIN_FAILED,
	AGENT_SESSION_EXPIRED
};

const char *agent_state_name(enum agent_state s); /* "NeedsLogin" ... */

struct agent_network;

struct agent_network_conf {
	struct ev_loop *loop;
	struct plat *plat;
	const struct plat_sysinfo *sys; /* stays valid */
	const char *filter_table;       /* wanted; copied */
	uint32_t mark_base;             /* of its packets (src/plat/plat_mark.h); 0 no marks */
	int lazy;                       /* 1: sleep when quiet, 0: never, -1: as the server says */
	ln_time idle_after;             /* 0: 15 min */
	enum agent_portmap portmap;
	bool no_kernel;              /* WireGuard in user space even where the kernel has it */
	const char *relay_transport; /* as in agent_options; outlives the network */
	bool redirect;               /* relayed peers of the kernel by XDP */
	/* Names in use by the other networks of this process. */
	bool (*name_taken)(void *user, const struct agent_network *self, const char *ifname,
			   const char *filter_table);
	uint64_t (*marks_taken)(void *user); /* slots of all networks of this process */
	void (*on_change)(void *user);       /* something that status shows */
	void *user;
};

/* Reads the configuration; a missing file is made with defaults at the first change. */
LN_MUST_CHECK int agent_network_new(const struct agent_network_conf *conf,
				    const struct agent_profile *profile, struct agent_network **ret,
				    struct ln_fail *f);
/* Takes it down; every open done function is called with CANCELLED. */
void agent_network_free(struct agent_network *n);

const struct agent_profile *agent_network_profile(const struct agent_network *n);
/* The configuration has got another display name. */
void agent_network_renamed(struct agent_network *n);
struct agent_conf *agent_network_agent_conf(struct agent_network *n);
/* Checks and saves; takes effect at the next up. As agent_conf_apply(). */
LN_MUST_CHECK int agent_network_set(struct agent_network *n, const struct daemon_settings *s,
				    struct ln_fail *f);

typedef void agent_network_done_fn(void *user, enum grpc_status status, const char *text);
/*
 * Logs in and, when the server does not know this peer, registers with the setup key. Unreachable
 * servers are tried again for two minutes. A login in progress ends with CANCELLED.
 * PERMISSION_DENIED: a setup key is needed or was refused; NOT_FOUND: the key is not valid.
 */
void agent_network_login(struct agent_network *n, const char *setup_key, const char *hostname,
			 agent_network_done_fn *done, void *user);
/* Starts to connect and keeps connected until down. */
void agent_network_up(struct agent_network *n);
/* done when connected, or when it will not connect (NeedsLogin, down); soon if nothing is going on.
 */
void agent_network_wait(struct agent_network *n, agent_network_done_fn *done, void *user);
/* LN_E_STATE when it was not up. */
int agent_network_down(struct agent_network *n);
/* Removes this peer from its account, and goes down. A peer unknown there counts as removed. */
void agent_network_logout(struct agent_network *n, agent_network_done_fn *done, void *user);

bool agent_network_is_up(const struct agent_network *n);
enum agent_state agent_network_state(const struct agent_network *n);
/* Name of the interface and table in use; "" when down. */
const char *agent_network_ifname(const struct agent_network *n);
const char *agent_network_table(const struct agent_network *n);
/* The mark of its packets; 0 none, or none yet. */
uint32_t agent_network_mark(const struct agent_network *n);
/* Why it is not connected: one sentence, "" when nothing is known. */
const char *agent_network_error(const struct agent_network *n);
/* default_route: one has come or gone. */
void agent_network_host_changed(struct agent_network *n, bool default_route);
/* Names may have other addresses: what is down is dialled again, what is up stays. */
void agent_network_dns_changed(struct agent_network *n);
/* After a sleep: everything is dialled and negotiated anew, in place. */
void agent_network_woke(struct agent_network *n);
/* As engine_reconnect(); LN_E_STATE while the network is down. */
LN_MUST_CHECK int agent_network_reconnect(struct agent_network *n, const char *peer,
					  struct arena *a, struct daemon_reconnect_response *ret,
					  struct ln_fail *f);
LN_MUST_CHECK int agent_network_status(struct agent_network *n, bool full, struct arena *a,
				       struct daemon_status_response *ret);
