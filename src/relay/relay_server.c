#include "src/relay/relay_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/list.h"
#include "lib/relay/relay_hub.h"

#include "src/ev/ev.h"
#include "src/front/front.h"
#include "src/net/net_ws.h"
#include "src/obs/obs_log.h"
#include "src/obs/obs_metrics.h"

#define MODULE "relay"
#define PATH "/relay"
#define SLICES 4 /* of one write: 64 KiB, what a socket takes at once */

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
};

struct relay_conn {
	struct list link;
	struct relay_server *server;
	struct net_ws *ws;
	struct front_place *place;
	struct relay_hub_peer *peer;
	struct ip_ep from;
	ln_time accepted;
	size_t seen_pending; /* at the last stall check */
	bool blocked;
};

/* --- the end of a connection ------------------------------------------------------------------*/

static void drain_check(struct relay_server *s)
{
	void (*done)(void *arg) = s->drained;
	if (done == NULL || !list_empty(&s->conns))
		return;
	s->drained = NULL;
	ev_timer_stop(&s->drain_timer);
	ev_defer(s->loop, done, s->drained_arg);
}

static void conn_end(struct relay_conn *c)
{
	struct relay_server *s = c->server;
	relay_hub_remove(s->hub, c->peer);
	net_ws_free(c->ws);
	front_place_give(c->place);
	list_remove(&c->link);
	ev_defer_free(s->loop, c);
	drain_check(s);
}

static const char *reason_name(enum relay_hub_reason r)
{
	switch (r) {
	case RELAY_HUB_LEFT:
		return "left";
	case RELAY_HUB_PROTOCOL:
		return "a message that may not come here";
	case RELAY_HUB_REFUSED:
		return "wrong hello";
	case RELAY_HUB_LATE:
		return "no hello in time";
	case RELAY_HUB_REPLACED:
		return "the same peer connected again";
	case RELAY_HUB_SILENT:
		return "health checks unanswered";
	case RELAY_HUB_STALLED:
		return "does not read";
	case RELAY_HUB_DRAINED:
		return "the relay stops";
	}
	return "";
}

/* --- a turn -----------------------------------------------------------------------------------*/

static void conn_write(struct relay_conn *c)
{
	struct slice v[SLICES];
	size_t n;
	if (c->blocked)
		return;
	while (net_ws_pending(c->ws) == 0 && (n = relay_hub_view(c->peer, v, SLICES)) != 0) {
		size_t sum = 0;
		for (size_t i = 0; i < n; i++)
			sum += v[i].n;
		net_ws_write_frames(c->ws, v, n);
		relay_hub_sent(c->server->hub, c->peer, sum);
	}
	if (net_ws_pending(c->ws) == 0)
		return;
	c->blocked = true;
	c->seen_pending = net_ws_pending(c->ws);
	relay_hub_blocked(c->server->hub, c->peer, c->server->now, true);
}

/* Blocked for RELAY_HUB_STALL: has the socket taken anything meanwhile? */
static void conn_check(struct relay_conn *c)
{
	struct relay_hub *h = c->server->hub;
	size_t pending = net_ws_pending(c->ws);
	if (!c->blocked)
		return;
	if (pending < c->seen_pending)
		relay_hub_blocked(h, c->peer, c->server->now, true);
	else
		relay_hub_close(h, c->peer, RELAY_HUB_STALLED);
	c->seen_pending = pending;
}

static void drain_hub(struct relay_server *s)
{
	struct relay_hub_out out;
	while (relay_hub_poll(s->hub, s->now, &out)) {
		struct relay_conn *c = out.user;
		switch (out.event) {
		case RELAY_HUB_WRITE:
			conn_write(c);
			break;
		case RELAY_HUB_CHECK:
			conn_check(c);
			break;
		case RELAY_HUB_CLOSE:
			log_debug(MODULE, "connection ended", LOG_EP("peer", &c->from),
				  LOG_STR("reason", reason_name(out.reason)));
			conn_write(c);
			conn_end(c);
			break;
		}
	}
}

static void end_turn(void *arg)
{
	struct relay_server *s = arg;
	s->turn_planned = false;
	if (s->stopped)
		return;
	s->now = ev_now();
	drain_hub(s);
	ev_timer_at(&s->timer, relay_hub_deadline(s->hub));
	s->now = 0;
}

/* Something came in: the clock is read once, and what goes out goes at the end of the turn. */
static void begin_turn(struct relay_server *s)
{
	if (s->now == 0)
		s->now = ev_now();
	if (!s->turn_planned)
		ev_defer(s->loop, end_turn, s);
	s->turn_planned = true;
}

static void on_timer(struct ev_timer *t)
{
	begin_turn(ln_container(t, struct relay_server, timer));
}

/* --- a connection -----------------------------------------------------------------------------*/

static void on_message(void *user, struct slice msg)
{
	struct relay_conn *c = user;
	struct relay_server *s = c->server;
	begin_turn(s);
	bool joined = relay_hub_peer_id(c->peer) != NULL;
	int said = relay_hub_input(s->hub, c->peer, s->now, joined ? 0 : ev_wall(), msg);
	if ((said & RELAY_HUB_JOINED) != 0) {
		ln_time now = ev_now();
		obs_histogram_add(&s->auth_time, now - c->accepted);
		obs_histogram_add(&s->store_time, now - s->now);
	}
	/* Also ends connections, this one perhaps: nothing of it is used after. */
	if ((said & RELAY_HUB_FLUSH) != 0)
		drain_hub(s);
}

static void on_writable(void *user)
{
	struct relay_conn *c = user;
	begin_turn(c->server);
	c->blocked = false;
	relay_hub_blocked(c->server->hub, c->peer, c->server->now, false);
	conn_write(c);
}

static void on_closed(void *user, int err, const char *why)
{
	struct relay_conn *c = user;
	begin_turn(c->server);
	log_debug(MODULE, "connection ended", LOG_EP("peer", &c->from), LOG_STR("reason", why));
	conn_end(c);
}

static const struct net_ws_ops ws_ops = {
	.message = on_message,
	.writable = on_writable,
	.closed = on_closed,
};

/* --- upgrades ---------------------------------------------------------------------------------*/

/* Spec relay 12: so many handshakes a second, twice that at once. */
static bool handshake_allowed(struct relay_server *s, ln_time now)
{
	ln_time cost = LN_SEC / s->handshakes;
	ln_time full = LN_MAX(s->bucket, now) + cost;
	if (full - now > 2 * LN_SEC)
		return false;
	s->bucket = full;
	return true;
}

static void refuse(struct front_request *rq, int status, const char *text)
{
	front_reply(rq, status, "text/plain", slice_str(text));
}

static void take(struct relay_server *s, struct front_request *rq)
{
	struct relay_conn *c = ln_alloc(sizeof(*c));
	struct front_taken taken;
	char key[64];
	*c = (struct relay_conn){ .server = s, .from = *front_request_peer(rq) };
	c->accepted = s->now;
	c->peer = relay_hub_open(s->hub, s->now, c);
	if (c->peer == NULL) {
		free(c);
		refuse(rq, 503, "the relay takes no more connections\n");
		return;
	}
	snprintf(key, sizeof(key), "%s", front_request_header(rq, "sec-websocket-key"));
	int r = front_take(rq, &taken);
	if (r < 0) {
		relay_hub_remove(s->hub, c->peer);
		free(c);
		refuse(rq, 426, "WebSocket over HTTP/1.1 only\n");
		return;
	}
	c->place = taken.place;
	c->ws = net_ws_accept(s->loop, taken.stream, key, RELAY_MSG_MAX, &ws_ops, c);
	list_add_tail(&s->conns, &c->link);
}

static void on_request(void *service, struct front_request *rq)
{
	struct relay_server *s = service;
	const struct net_ws_request ws = {
		.method = front_request_method(rq),
		.upgrade = front_request_header(rq, "upgrade"),
		.connection = front_request_header(rq, "connection"),
		.version = front_request_header(rq, "sec-websocket-version"),
		.key = front_request_header(rq, "sec-websocket-key"),
	};
	int r = net_ws_check(&ws);
	begin_turn(s);
	if (r < 0)
		refuse(rq, r == LN_E_MALFORMED ? 400 : 426, "this is a WebSocket\n");
	else if (s->draining)
		refuse(rq, 503, "the relay stops\n");
	else if (!handshake_allowed(s, s->now)) {
		if (log_limit_pass(&s->refused_log, s->now, 5 * LN_SEC))
			log_warn(MODULE, "too many handshakes a second, some are refused",
				 LOG_UINT("refused_before", s->refused_log.dropped));
		refuse(rq, 503, "too many handshakes, come again\n");
	} else
		take(s, rq);
}

/* --- life -------------------------------------------------------------------------------------*/

static size_t frame(uint8_t dst[RELAY_HUB_FRAME_MAX], size_t n)
{
	uint8_t head[WS_FRAME_HEADER_MAX] = { 0 };
	size_t len = ws_frame_write(head, WS_FRAME_BINARY, n, NULL);
	/* Messages of the relay are below 64 KiB: 2 or 4 bytes. */
	memcpy(dst, head, RELAY_HUB_FRAME_MAX);
	return len;
}

static void on_drain_limit(struct ev_timer *t)
{
	struct relay_server *s = ln_container(t, struct relay_server, drain_timer);
	list_for_each_safe(it, &s->conns)
		conn_end(list_entry(it, struct relay_conn, link));
}

struct relay_server *relay_server_new(struct ev_loop *loop, const struct relay_server_conf *conf)
{
	const struct relay_hub_conf hub = {
		.instance_url = conf->instance_url,
		.keys = conf->keys,
		.nkeys = conf->nkeys,
		.frame = frame,
		.max_peers = conf->max_peers,
		.health_threshold = conf->health_threshold,
		.rng = ev_rng(),
	};
	struct relay_server *s = ln_alloc(sizeof(*s));
	s->loop = loop;
	s->hub = relay_hub_new(&hub);
	s->handshakes = conf->handshakes != 0 ? conf->handshakes : RELAY_SERVER_HANDSHAKES;
	s->rows[0] = (struct front_row){ .path = PATH, .service = s, .handle = on_request };
	list_init(&s->conns);
	ev_timer_init(&s->timer, loop, on_timer);
	ev_timer_init(&s->drain_timer, loop, on_drain_limit);
	return s;
}

const struct front_row *relay_server_rows(const struct relay_server *s, size_t *ret_n)
{
	*ret_n = LN_COUNT(s->rows);
	return s->rows;
}

void relay_server_drain(struct relay_server *s, ln_time over, ln_time limit,
			void (*done)(void *arg), void *arg)
{
	s->draining = true;
	s->drained = done;
	s->drained_arg = arg;
	begin_turn(s);
	relay_hub_drain(s->hub, s->now, over);
	ev_timer_after(&s->drain_timer, limit);
	drain_check(s);
}

void relay_server_free(struct relay_server *s)
{
	if (s == NULL)
		return;
	s->drained = NULL;
	list_for_each_safe(it, &s->conns)
		conn_end(list_entry(it, struct relay_conn, link));
	relay_hub_free(s->hub);
	s->hub = NULL;
	s->stopped = true;
	ev_timer_fini(&s->timer);
	ev_timer_fini(&s->drain_timer);
	ev_defer_free(s->loop, s);
}

/* --- figures ----------------------------------------------------------------------------------*/

bool relay_server_is_draining(const struct relay_server *s)
{
	return s->draining;
}

size_t relay_server_peers(const struct relay_server *s)
{
	struct relay_hub_gauges g;
	relay_hub_gauges(s->hub, ev_now(), &g);
	return g.peers;
}

const struct relay_hub_counters *relay_server_counters(const struct relay_server *s)
{
	return relay_hub_counters(s->hub);
}

static void write_refusals(const struct relay_hub_counters *n, struct str *dst)
{
	static const char *const labels[RELAY_HUB_REFUSALS] = {
		[RELAY_HUB_BAD_MESSAGE] = "reason=\"message\"",
		[RELAY_HUB_BAD_TOKEN] = "reason=\"token\"",
		[RELAY_HUB_BAD_SIGNATURE] = "reason=\"signature\"",
		[RELAY_HUB_EXPIRED] = "reason=\"expired\"",
		[RELAY_HUB_TIMEOUT] = "reason=\"timeout\"",
	};
	const char *name = "relay_handshake_failures_total";
	obs_metrics_head(dst, name, "counter", "Handshakes that were refused");
	for (size_t i = 0; i < LN_COUNT(labels); i++)
		obs_metrics_value(dst, name, labels[i], n->refused[i]);
}

void relay_server_metrics(const struct relay_server *s, struct str *dst)
{
	const struct relay_hub_counters *n = relay_hub_counters(s->hub);
	struct relay_hub_gauges g;
	relay_hub_gauges(s->hub, ev_now(), &g);
	obs_metrics_head(dst, "relay_peers", "gauge", "Connected peers");
	obs_metrics_value(dst, "relay_peers", "transport=\"ws\"", g.peers);
	obs_metrics_one(dst, "relay_peers_active", "gauge",
			"Peers that sent a message within 30 seconds", g.active);
	obs_metrics_one(dst, "relay_peers_idle", "gauge", "The other peers", g.idle);
	obs_metrics_one(dst, "relay_transfer_received_bytes_total", "counter",
			"Bytes of Transport messages from peers", n->received_bytes);
	obs_metrics_one(dst, "relay_transfer_sent_bytes_total", "counter",
			"Bytes of Transport messages to peers", n->sent_bytes);
	obs_metrics_histogram(dst, "relay_peer_authentication_time_milliseconds",
			      "From the upgrade to the answer of the hello", &s->auth_time);
	obs_metrics_histogram(dst, "relay_peer_store_time_milliseconds",
			      "Handling of the hello: table and news", &s->store_time);
	obs_metrics_one(dst, "relay_peer_reconnections_total", "counter",
			"Connections that replaced one of the same peer", n->replaced);
	write_refusals(n, dst);
	obs_metrics_one(dst, "relay_transport_unknown_destination_total", "counter",
			"Messages to peers that are not here", n->unknown);
	obs_metrics_one(dst, "relay_transport_queue_drops_total", "counter",
			"Messages dropped because the receiver is behind", n->dropped);
	obs_metrics_one(dst, "relay_subscriptions", "gauge", "Subscriptions to peers' states",
			g.subscriptions);
	obs_metrics_one(dst, "relay_draining", "gauge", "1 while the relay stops", g.draining);
}
