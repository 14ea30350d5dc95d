#include "src/relay/relay_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/front/front.h"
#include "src/obs/obs_log.h"
#include "src/relay/relay_server_internal.h"

#define MODULE RELAY_SERVER_MODULE
#define PATH "/relay"
#define SLICES 4 /* of one write: 64 KiB, what a socket takes at once */

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

void relay_conn_end(struct relay_conn *c)
{
	struct relay_server *s = c->server;
	relay_hub_remove(s->hub, c->peer);
	net_ws_free(c->ws);
	net_quic_free(c->quic);
	if (c->place != NULL)
		front_place_give(c->place);
	list_remove(&c->link);
	s->nquic -= c->quic != NULL && c->joined;
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
	case RELAY_HUB_NARROW:
		return "its path over QUIC is too narrow";
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
	if (c->quic != NULL) {
		relay_quic_write(c);
		return;
	}
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
	if (!c->blocked)
		return;
	if (c->quic != NULL) {
		/* Its window has not opened once: it would not be blocked since then. */
		relay_hub_close(h, c->peer, RELAY_HUB_STALLED);
		return;
	}
	size_t pending = net_ws_pending(c->ws);
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
			relay_conn_end(c);
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
void relay_server_begin_turn(struct relay_server *s)
{
	if (s->now == 0)
		s->now = ev_now();
	if (!s->turn_planned)
		ev_defer(s->loop, end_turn, s);
	s->turn_planned = true;
}

static void on_timer(struct ev_timer *t)
{
	relay_server_begin_turn(ln_container(t, struct relay_server, timer));
}

/* --- a connection -----------------------------------------------------------------------------*/

void relay_conn_message(void *user, struct slice msg)
{
	struct relay_conn *c = user;
	struct relay_server *s = c->server;
	relay_server_begin_turn(s);
	bool joined = relay_hub_peer_id(c->peer) != NULL;
	int said = relay_hub_input(s->hub, c->peer, s->now, joined ? 0 : ev_wall(), msg);
	if ((said & RELAY_HUB_JOINED) != 0) {
		ln_time now = ev_now();
		c->joined = true;
		s->nquic += c->quic != NULL;
		obs_histogram_add(&s->auth_time, now - c->accepted);
		obs_histogram_add(&s->store_time, now - s->now);
	}
	/* Also ends connections, this one perhaps: nothing of it is used after. */
	if ((said & RELAY_HUB_FLUSH) != 0)
		drain_hub(s);
}

void relay_conn_writable(void *user)
{
	struct relay_conn *c = user;
	relay_server_begin_turn(c->server);
	c->blocked = false;
	relay_hub_blocked(c->server->hub, c->peer, c->server->now, false);
	conn_write(c);
}

void relay_conn_closed(void *user, int err, const char *why)
{
	struct relay_conn *c = user;
	relay_server_begin_turn(c->server);
	log_debug(MODULE, "connection ended", LOG_EP("peer", &c->from), LOG_STR("reason", why));
	relay_conn_end(c);
}

static const struct net_ws_ops ws_ops = {
	.message = relay_conn_message,
	.writable = relay_conn_writable,
	.closed = relay_conn_closed,
};

/* --- upgrades ---------------------------------------------------------------------------------*/

/* Spec relay 12: so many handshakes a second, twice that at once. */
bool relay_server_admit(struct relay_server *s, ln_time now)
{
	ln_time cost = LN_SEC / s->handshakes;
	ln_time full = LN_MAX(s->bucket, now) + cost;
	if (full - now > 2 * LN_SEC) {
		if (log_limit_pass(&s->refused_log, now, 5 * LN_SEC))
			log_warn(MODULE, "too many handshakes a second, some are refused",
				 LOG_UINT("refused_before", s->refused_log.dropped));
		return false;
	}
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
	relay_server_begin_turn(s);
	if (r < 0)
		refuse(rq, r == LN_E_MALFORMED ? 400 : 426, "this is a WebSocket\n");
	else if (s->draining)
		refuse(rq, 503, "the relay stops\n");
	else if (!relay_server_admit(s, s->now)) {
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
		relay_conn_end(list_entry(it, struct relay_conn, link));
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
	relay_quic_secret(conf, s->quic_secret);
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
	relay_server_begin_turn(s);
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
		relay_conn_end(list_entry(it, struct relay_conn, link));
	net_quic_listen_free(s->quic);
	relay_hub_free(s->hub);
	s->hub = NULL;
	s->stopped = true;
	ev_timer_fini(&s->timer);
	ev_timer_fini(&s->drain_timer);
	ev_defer_free(s->loop, s);
}
