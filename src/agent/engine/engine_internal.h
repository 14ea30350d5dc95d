#pragma once
/*
 * The inside of the engine, for the files of src/agent/engine only: engine.c (life, events, host),
 * engine_peer.c (peers and their cores), engine_map.c (network maps), engine_addr.c (our own
 * addresses and STUN), engine_relay.c, engine_turn.c, engine_status.c.
 */
#include "lib/base/heap.h"
#include "lib/base/map.h"
#include "lib/crypto/box.h"
#include "lib/ice/ice_mux.h"
#include "lib/peer/peer_conn.h"
#include "lib/stun/stun_query.h"

#include "src/agent/engine/engine.h"
#include "src/agent/relay_client.h"
#include "src/agent/signal_client.h"
#include "src/agent/turn_link.h"
#include "src/agent/wgif/wgif.h"

#define ENGINE_ALLOWED_MAX 16 /* addresses of one peer */
#define ENGINE_URIS_MAX STUN_QUERY_SERVERS_MAX
#define ENGINE_ADDRS_MAX 256

struct engine_peer {
	struct map_node node; /* by key */
	struct heap_node due;
	struct ice_mux_slot slot;
	struct engine *engine;
	struct wg_key key;
	struct box_key box;
	struct peer_conn *conn;
	struct relay_peer *relay; /* null: none wanted, or refused */
	struct ip_ep relay_ep;    /* stands for it in WireGuard; family 0 none */
	unsigned relay_slot;
	struct ip_addr v4, v6;
	struct ip_prefix allowed[ENGINE_ALLOWED_MAX];
	size_t nallowed;
	char *fqdn;
	char *version;
	uint16_t keepalive; /* as programmed */
	ln_wall changed;    /* of the state, for status */
	enum peer_state state;
	enum peer_path path; /* as last logged */
	bool marked;         /* while a map is applied */
};

struct engine_offline { /* known to the map, unreachable: status only */
	struct wg_key key;
	struct ip_addr v4, v6;
	char *fqdn;
};

struct engine_portmap; /* our port at the gateway */
#define ENGINE_TURNS_MAX 4

struct engine_turn_server {
	char *uri, *user, *password;
};

struct engine_turn {
	struct turn_link *link; /* null between attempts */
	struct net_tls_ctx *tls;
	struct engine_turn_server servers[ENGINE_TURNS_MAX];
	size_t n, current;
	ln_time retry;
	struct ev_timer timer;
};

struct engine_resolve; /* a look-up of STUN servers on a worker thread */

struct engine {
	struct engine_conf conf;
	char ifname[PLAT_IFNAME_MAX];
	char filter_table[32];
	struct wg_key own;
	struct wgif *wg;
	struct signal_client *signal;
	char *signal_url;
	bool signal_tried; /* connected or refused at least once */
	char signal_error[256];

	/* self */
	struct ip_prefix address, address_v6;
	char *fqdn;
	bool lazy;
	struct ip_prefix overlay[2];
	unsigned noverlay;

	/* map */
	uint64_t serial;
	bool have_map, ready_said;
	struct plat_rule *rules;
	size_t nrules;
	bool allow_all;

	struct engine_turn turn;
	struct relay_client *relay;
	struct engine_peer **relay_slots; /* by the last two bytes of relay_ep */

	/* peers */
	struct map peers;
	struct heap due;
	struct ev_timer timer;
	struct ev_timer filter_watch;
	struct ice_mux *mux; /* whose STUN datagram is it */
	struct engine_offline *offline;
	size_t noffline;

	/* our addresses */
	struct peer_local local;
	struct stun_query *stun;
	struct ev_timer stun_timer, monitor;
	char *stun_uris[ENGINE_URIS_MAX];
	struct ip_ep stun_eps[ENGINE_URIS_MAX]; /* first address of each; family 0 unresolved */
	size_t nstun_uris;
	struct engine_resolve *resolving;
	struct engine_portmap *portmap; /* null: not wanted */
	struct plat_way ways[2];        /* out of this host, by family; ifindex 0 none */
};

/* engine.c */
LN_MUST_CHECK int engine_apply_host(struct engine *e, struct ln_fail *f);
void engine_say(struct engine *e, enum engine_event ev, const char *text);
void engine_check_ready(struct engine *e);

/* engine_peer.c */
void engine_peer_drive(struct engine_peer *p);
struct engine_peer *engine_peer_find(struct engine *e, const struct wg_key *key);
/* Adds a peer; null when its key is a low-order point. */
struct engine_peer *engine_peer_add(struct engine *e, const struct netmap_peer *m,
				    const struct ip_prefix *allowed, size_t nallowed);
void engine_peer_remove(struct engine_peer *p);
void engine_peer_set_lazy(struct engine_peer *p);
/* The offer of a peer that has just been opened together with `n` peers in all. */
void engine_peer_pace(struct engine_peer *p, size_t n);
void engine_peer_stun(struct engine *e, const struct ip_ep *from, struct slice pkt);
void engine_peer_due(struct ev_timer *t);
/* Every peer: our addresses changed. */
void engine_peer_local_changed(struct engine *e);
void engine_peer_restart_all(struct engine *e);
void engine_peer_reset_all(struct engine *e, bool at_once);

/* engine_relay.c */
void engine_relay_init(struct engine *e);
void engine_relay_fini(struct engine *e); /* before the peers go */
void engine_relay_set_servers(struct engine *e, const struct mgmt_servers *s);
void engine_relay_add(struct engine_peer *p); /* sets relay_ep */
void engine_relay_remove(struct engine_peer *p);
void engine_relay_open(struct engine_peer *p, const struct peer_out *out);
void engine_relay_close(struct engine_peer *p);
/* What the device sent to relay endpoints. */
void engine_relay_packets(struct engine *e, struct slice batch);

/* engine_turn.c */
void engine_turn_init(struct engine *e);
void engine_turn_fini(struct engine *e); /* before the device goes */
void engine_turn_set_servers(struct engine *e, const struct mgmt_servers *s);
/* Without an allocation the servers are tried again at once. */
void engine_turn_hurry(struct engine *e);
/* via: a name of ice_via.h. */
void engine_turn_send(struct engine *e, const struct ip_ep *via, struct slice data);

/* engine_map.c */
void engine_map_apply(struct engine *e, const struct netmap *m);
void engine_map_fini(struct engine *e);

/* engine_addr.c */
void engine_addr_init(struct engine *e);
void engine_addr_fini(struct engine *e);
/* The names of the STUN servers anew; the addresses we have stay until there are others. */
void engine_addr_resolve(struct engine *e);
void engine_addr_set_servers(struct engine *e, const struct mgmt_servers *s);
/* True when packets to the STUN servers take another route than when we last looked. */
bool engine_addr_new_way(struct engine *e);
/* False when nothing changed. lost: no earlier address of some family is left. */
bool engine_addr_rescan(struct engine *e, bool *ret_lost);
/* Server-reflexive addresses anew: something said another one. */
void engine_addr_collect(struct engine *e);
void engine_addr_gather(struct engine *e, ln_time max_age);
/* True when a STUN server's answer was in it. */
bool engine_addr_stun(struct engine *e, const struct ip_ep *from, struct slice pkt);

/* engine_portmap.c: by conf.portmap; begins when the way out is known */
void engine_portmap_init(struct engine *e);
void engine_portmap_fini(struct engine *e); /* takes the mapping back */
void engine_portmap_way(struct engine *e);  /* e->ways may have changed */
bool engine_portmap_address(const struct engine *e, struct ip_ep *ret);
