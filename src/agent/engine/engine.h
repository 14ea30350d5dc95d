#pragma once
/*
 * The engine: one network while it is up. It owns the WireGuard device, the signal client, the
 * peers, the STUN queries and what the host's network should look like; it applies network maps.
 *
 * Life: engine_new (after a Login) -> maps by engine_sync -> engine_free, which takes everything
 * back: interface, addresses, routes, filter. Several engines live side by side without globals.
 */
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/daemon/daemon_msg.h"
#include "lib/mgmt/mgmt_msg.h"

#include "src/agent/agent_conf.h"
#include "src/ev/ev.h"
#include "src/plat/plat.h"

enum engine_event {
	ENGINE_EV_READY,   /* the first map is applied and signal has connected, or failed once */
	ENGINE_EV_RESTART, /* own address changed, interface gone: log in again and start over */
	ENGINE_EV_STATUS,  /* something that status shows has changed */
};

struct engine_conf {
	struct ev_loop *loop;
	struct plat *plat;
	const struct agent_conf *conf; /* stays valid and unchanged */
	const char *ifname;            /* copied, like the next one */
	const char *filter_table;
	uint16_t first_port; /* tried before the configured one; 0 none */
	uint32_t mark;       /* of all its sockets (src/plat/plat_mark.h); 0 none */
	int lazy;            /* 1 or 0 overrules the server; -1: as it says */
	ln_time idle_after;  /* 0: 15 min */
	enum agent_portmap portmap;
	bool no_kernel;              /* WireGuard in user space even where the kernel has it */
	const char *relay_transport; /* relay_transport_parse(); outlives the engine */
	bool redirect;               /* relayed peers of the kernel by XDP */
	/* True for interfaces of other networks of this process: no path leads through them. */
	bool (*own_interface)(void *user, const char *ifname);
	void (*on_event)(void *user, enum engine_event ev, const char *text);
	void *user;
};

struct engine;
/*
 * Makes the interface (closed by the filter until rules come) and starts to connect. Events come
 * later, never from inside. -errno, LN_E_* with the reason in words; nothing is left then.
 */
LN_MUST_CHECK int engine_new(const struct engine_conf *conf,
			     const struct mgmt_login_response *login, struct engine **ret,
			     struct ln_fail *f);
void engine_free(struct engine *e);

/* A Sync message: servers, then the map by the serial rules (spec management-protocol 4.4, 4.9). */
void engine_sync(struct engine *e, const struct mgmt_sync_response *m);
/*
 * Links, addresses or routes of the host may have changed. True when the control connections should
 * be dialled again: no earlier address is left, or a default route has changed and packets take
 * another way out. Then, with NetworkMonitor, every path is negotiated anew at once, in place of
 * NetBird's restart of everything (spec signal-and-connection 5.12); without it ICE notices by
 * silence which ones died.
 */
bool engine_network_changed(struct engine *e, bool default_route);
/* Other name servers: names are asked for anew, what is down or being dialled is dialled again. */
void engine_dns_changed(struct engine *e);
/* The host has slept: paths and control connections may be dead, and all are made anew. */
void engine_woke(struct engine *e);
/*
 * Negotiates with one peer anew: by its name (or the part before the first dot), address or public
 * key. The peer's key; LN_E_NOTFOUND, LN_E_CONFLICT when several are called so.
 */
LN_MUST_CHECK int engine_reconnect(struct engine *e, const char *name, struct arena *a,
				   struct daemon_reconnect_response *ret, struct ln_fail *f);
/* True when the address belongs to this network. */
bool engine_overlay_has(const struct engine *e, const struct ip_addr *a);
uint16_t engine_port(const struct engine *e); /* of WireGuard */
const char *engine_ifname(const struct engine *e);
/* Fills the parts of a full status that the engine knows; texts in the arena. LN_E_LIMIT. */
LN_MUST_CHECK int engine_status(struct engine *e, struct arena *a,
				struct daemon_status_response *ret);
