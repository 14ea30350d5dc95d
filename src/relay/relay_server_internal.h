#pragma once
/*
 * The inside of the relay service, for the files of src/relay only.
 *
 * The server belongs to the loop of its owner. Shards carry the connections: the first on that same
 * loop, each further one on a thread and a loop of its own, with its own hub. Whatever crosses
 * threads is named under "any thread".
 */
#include <pthread.h>
#include <stdatomic.h>

#include "lib/base/list.h"
#include "lib/relay/relay_hub.h"
#include "lib/relay/relay_links.h"

#include "src/ev/ev.h"
#include "src/front/front.h"
#include "src/net/net_quic.h"
#include "src/net/net_ws.h"
#include "src/obs/obs_log.h"
#include "src/obs/obs_metrics.h"
#include "src/relay/relay_server.h"

#define RELAY_SERVER_MODULE "relay"

/* What a shard knows about itself; copied out for the server's loop. */
struct relay_figures {
	struct relay_hub_counters n;
	struct relay_hub_gauges g;
	struct obs_histogram auth_time;
	struct obs_histogram store_time;
	size_t nquic; /* peers that came over QUIC */
	uint64_t too_large;
};

struct relay_shard {
	struct relay_server *server;
	unsigned index;
	struct ev_loop *loop; /* the server's, or its own */
	struct relay_hub *hub;
	struct list conns;
	struct ev_timer timer; /* the hub's deadline */
	ln_time now;           /* of this turn; 0: not asked yet */
	bool turn_planned;
	bool draining;
	unsigned waits;               /* of this turn, for shards that are behind */
	struct relay_figures figures; /* without those of the hub */

	/* The server's loop. */
	pthread_t thread; /* not of the first */
	size_t placed;    /* connections it was given and has not returned */

	/* Any thread. */
	pthread_mutex_t lock;
	pthread_cond_t fetched;
	struct relay_queue box[RELAY_LINKS_MAX]; /* from each shard; under the lock */
	atomic_bool woken;                       /* it has been told of mail */
};

struct relay_server {
	struct ev_loop *loop;
	struct relay_shard *shards;
	unsigned nshards;
	struct front_row rows[1];
	struct list moves; /* connections between the front and their shard */
	struct ev_timer drain_timer;
	bool draining;
	bool freed;
	size_t max_peers;
	unsigned handshakes;
	ln_time bucket; /* when the handshake bucket will be full again */
	struct log_limit refused_log;
	void (*drained)(void *arg);
	void *drained_arg;
	struct net_quic_listener *quic; /* null: no QUIC */
	uint8_t quic_secret[NET_QUIC_SECRET];

	/* Any thread, under the lock: what shards bring back to the server's loop. */
	pthread_mutex_t lock;
	pthread_cond_t answered;
	struct list returned; /* relay_return */
	unsigned nempty;      /* shards that have nobody any more while they drain */
	bool collecting;      /* the server's loop will look */
};

/* A place at the front on its way back, with room for it in the connection that ends. */
struct relay_return {
	struct list link;
	struct relay_shard *shard;
	struct front_place *place; /* null: it came over QUIC */
};

struct relay_conn {
	struct list link;
	struct relay_shard *shard;
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

/* --- relay_server.c: the server's loop --------------------------------------------------------*/

bool relay_server_admit(struct relay_server *s, ln_time now); /* one more handshake? */
bool relay_server_is_full(const struct relay_server *s);
/* Any thread: a connection of the shard has ended. */
void relay_server_return(struct relay_shard *sh, struct front_place *place);
/* Any thread: the shard has nobody any more; once, while it drains. */
void relay_server_empty(struct relay_server *s);

/* --- relay_shard.c ----------------------------------------------------------------------------*/

/* Starts so many shards, fewer when there are no more threads to be had. */
void relay_shards_start(struct relay_server *s, const struct relay_server_conf *conf);
void relay_shards_stop(struct relay_server *s); /* connections end, threads too */
void relay_shards_drain(struct relay_server *s, ln_time over);
void relay_shards_end_all(struct relay_server *s); /* connections, whatever they have to say */
/* The sum over all shards, of this moment; waits for a turn of each. */
void relay_shards_figures(struct relay_server *s, struct relay_figures *ret);

/* The shard's thread: something came in. The clock is read once, and what goes out goes at the end
 * of the turn. */
void relay_shard_begin_turn(struct relay_shard *sh);
void relay_shard_flush(struct relay_shard *sh); /* some of it now; any connection may end */
void relay_shard_left(struct relay_shard *sh);  /* a connection has ended */

/* --- relay_conn.c: the thread of its shard ----------------------------------------------------*/

/* The connection of a peer that has not said who it is; null: the hub takes nobody. */
struct relay_conn *relay_conn_new(struct relay_shard *sh, const struct ip_ep *from);
/* By WebSocket: answers the upgrade. Takes stream and place. */
void relay_conn_start_ws(struct relay_conn *c, struct net_stream *stream, const char *key,
			 struct front_place *place);
void relay_conn_write(struct relay_conn *c);
void relay_conn_handle(struct relay_conn *c, const struct relay_hub_out *out);
void relay_conn_end(struct relay_conn *c); /* frees it and its transport */
/* What both transports call; user is the connection. */
void relay_conn_message(void *user, struct slice msg);
void relay_conn_writable(void *user);
void relay_conn_closed(void *user, int err, const char *why);

/* --- relay_quic.c -----------------------------------------------------------------------------*/

void relay_quic_secret(const struct relay_server_conf *conf, uint8_t dst[NET_QUIC_SECRET]);
void relay_quic_write(struct relay_conn *c);
