#pragma once
/* The inside of the relay service, for the files of src/relay only. */
#include "lib/base/list.h"
#include "lib/relay/relay_hub.h"

#include "src/ev/ev.h"
#include "src/front/front.h"
#include "src/net/net_quic.h"
#include "src/net/net_ws.h"
#include "src/obs/obs_log.h"
#include "src/obs/obs_metrics.h"
#include "src/relay/relay_server.h"

#define RELAY_SERVER_MODULE "relay"

struct relay_server {
	struct ev_loop *loop;
	struct relay_hub *hub;
	struct front_row rows[1];
	struct list conns;
	struct ev_timer timer; /* the hub's deadline */
	struct ev_timer drain_timer;
	ln_time now; /* of this turn; 0: not asked yet */
	bool turn_planned;
	bool draining;
	bool stopped; /* after free: a planned turn does nothing */
	unsigned handshakes;
	ln_time bucket; /* when the handshake bucket will be full again */
	struct obs_histogram auth_time;
	struct obs_histogram store_time;
	struct log_limit refused_log;
	void (*drained)(void *arg);
	void *drained_arg;
	struct net_quic_listener *quic; /* null: no QUIC */
	uint8_t quic_secret[NET_QUIC_SECRET];
	size_t nquic; /* peers that came over QUIC */
	uint64_t too_large;
};

struct relay_conn {
	struct list link;
	struct relay_server *server;
	struct net_ws *ws; /* one of these two */
	struct net_quic *quic;
	struct front_place *place; /* of a WebSocket */
	struct relay_hub_peer *peer;
	struct ip_ep from;
	ln_time accepted;
	size_t seen_pending;  /* at the last stall check */
	ln_time narrow_since; /* QUIC: since when messages are too large for the path; 0: none is */
	size_t narrow;        /* the first such size */
	bool blocked, joined;
};

/* --- relay_server.c ---------------------------------------------------------------------------*/

/* Something came in: the clock is read once, and what goes out goes at the end of the turn. */
void relay_server_begin_turn(struct relay_server *s);
bool relay_server_admit(struct relay_server *s, ln_time now); /* one more handshake? */
/* What both transports call; user is the connection. */
void relay_conn_message(void *user, struct slice msg);
void relay_conn_writable(void *user);
void relay_conn_closed(void *user, int err, const char *why);
void relay_conn_end(struct relay_conn *c); /* frees it and its transport */

/* --- relay_quic.c -----------------------------------------------------------------------------*/

void relay_quic_secret(const struct relay_server_conf *conf, uint8_t dst[NET_QUIC_SECRET]);
void relay_quic_write(struct relay_conn *c);
