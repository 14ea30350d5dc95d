#include "src/relay/relay_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/str.h"

#include "src/net/net_stream.h"
#include "src/relay/relay_server_internal.h"

#define MODULE RELAY_SERVER_MODULE
#define PATH "/relay"
#define EARLY_MAX (64u << 10) /* sent before the answer to the upgrade */

/* --- what shards bring back -------------------------------------------------------------------*/

static void collect(void *arg);

/* Under the lock. */
static void plan_collect(struct relay_server *s)
{
	if (!s->collecting)
		ev_post(s->loop, collect, s);
	s->collecting = true;
}

static void give_back(struct relay_shard *sh, struct front_place *place)
{
	sh->placed--;
	if (place != NULL)
		front_place_give(place);
}

void relay_server_return(struct relay_shard *sh, struct front_place *place)
{
	struct relay_server *s = sh->server;
	if (sh->index == 0) {
		give_back(sh, place);
		return;
	}
	struct relay_return *r = ln_alloc(sizeof(*r));
	*r = (struct relay_return){ .shard = sh, .place = place };
	pthread_mutex_lock(&s->lock);
	list_add_tail(&s->returned, &r->link);
	plan_collect(s);
	pthread_mutex_unlock(&s->lock);
}

void relay_server_empty(struct relay_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->nempty++;
	plan_collect(s);
	pthread_mutex_unlock(&s->lock);
}

static bool take_returned(struct relay_server *s)
{
	struct list all;
	list_init(&all);
	pthread_mutex_lock(&s->lock);
	for (struct list *it; (it = list_pop(&s->returned)) != NULL;)
		list_add_tail(&all, it);
	bool empty = s->nempty == s->nshards;
	pthread_mutex_unlock(&s->lock);
	for (struct list *it; (it = list_pop(&all)) != NULL;) {
		struct relay_return *r = list_entry(it, struct relay_return, link);
		give_back(r->shard, r->place);
		free(r);
	}
	return empty;
}

static void collect(void *arg)
{
	struct relay_server *s = arg;
	if (s->freed)
		return;
	pthread_mutex_lock(&s->lock);
	s->collecting = false;
	pthread_mutex_unlock(&s->lock);
	bool empty = take_returned(s);
	void (*done)(void *arg) = s->drained;
	if (!empty || !list_empty(&s->moves) || done == NULL)
		return;
	s->drained = NULL;
	ev_timer_stop(&s->drain_timer);
	done(s->drained_arg);
}

/* --- from the front to a shard ----------------------------------------------------------------*/

/* A connection whose upgrade is agreed on, until it is at its shard. */
struct move {
	struct list link;
	struct relay_server *server; /* null once that is gone */
	struct relay_shard *to;
	struct net_stream *stream;
	struct front_place *place;
	struct ip_ep from;
	struct str early; /* a client that did not wait for the answer */
	bool ended;
	char key[64];
};

static void move_data(void *user, struct slice data)
{
	struct move *m = user;
	str_addn(&m->early, data.p, data.n);
	m->ended |= m->early.err != 0;
}

static void move_writable(void *user)
{
}

static void move_closed(void *user, int err, const char *why)
{
	struct move *m = user;
	m->ended = true;
}

static const struct net_stream_ops move_ops = {
	.data = move_data,
	.writable = move_writable,
	.closed = move_closed,
};

static void move_free(struct move *m)
{
	str_fini(&m->early);
	free(m);
}

/* The stream belongs to the shard's loop. */
static void stay(struct move *m)
{
	struct relay_conn *c = relay_conn_new(m->to, &m->from);
	if (c == NULL) {
		net_stream_free(m->stream);
		relay_server_return(m->to, m->place);
		return;
	}
	relay_conn_start_ws(c, m->stream, m->key, m->place);
	net_stream_feed(m->stream, str_slice(&m->early));
}

/* On the thread of the shard. */
static void arrive(void *arg)
{
	struct move *m = arg;
	relay_shard_begin_turn(m->to);
	if (net_stream_enter(m->stream, m->to->loop) == 0) {
		stay(m);
	} else {
		net_stream_free(m->stream);
		relay_server_return(m->to, m->place);
	}
	move_free(m);
}

static void move_end(struct move *m)
{
	list_remove(&m->link);
	net_stream_free(m->stream);
	give_back(m->to, m->place);
	m->server = NULL;
}

/* Nobody's call is below us any more: the stream can change its loop. */
static void depart(void *arg)
{
	struct move *m = arg;
	struct relay_server *s = m->server;
	if (s != NULL && (m->ended || net_stream_leave(m->stream) != 0)) {
		move_end(m);
		pthread_mutex_lock(&s->lock);
		plan_collect(s); /* a drain may have waited for it */
		pthread_mutex_unlock(&s->lock);
	}
	if (m->server == NULL) {
		move_free(m);
		return;
	}
	list_remove(&m->link);
	ev_post(m->to->loop, arrive, m);
}

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

bool relay_server_is_full(const struct relay_server *s)
{
	size_t n = 0;
	for (unsigned i = 0; i < s->nshards; i++)
		n += s->shards[i].placed;
	return s->max_peers != 0 && n >= s->max_peers;
}

static struct relay_shard *emptiest(struct relay_server *s)
{
	struct relay_shard *best = &s->shards[0];
	for (unsigned i = 1; i < s->nshards; i++)
		if (s->shards[i].placed < best->placed)
			best = &s->shards[i];
	return best;
}

static void refuse(struct front_request *rq, int status, const char *text)
{
	front_reply(rq, status, "text/plain", slice_str(text));
}

static void take(struct relay_server *s, struct front_request *rq)
{
	struct relay_shard *to = emptiest(s);
	struct move *m = ln_alloc(sizeof(*m));
	struct front_taken taken;
	*m = (struct move){ .server = s, .to = to, .from = *front_request_peer(rq) };
	snprintf(m->key, sizeof(m->key), "%s", front_request_header(rq, "sec-websocket-key"));
	str_init(&m->early, EARLY_MAX);
	if (front_take(rq, &taken) < 0) {
		move_free(m);
		refuse(rq, 426, "WebSocket over HTTP/1.1 only\n");
		return;
	}
	to->placed++;
	m->stream = taken.stream;
	m->place = taken.place;
	if (to->index != 0) {
		net_stream_set_owner(m->stream, &move_ops, m);
		list_add_tail(&s->moves, &m->link);
		ev_defer(s->loop, depart, m);
		return;
	}
	stay(m);
	move_free(m);
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
	relay_shard_begin_turn(&s->shards[0]);
	if (r < 0)
		refuse(rq, r == LN_E_MALFORMED ? 400 : 426, "this is a WebSocket\n");
	else if (s->draining)
		refuse(rq, 503, "the relay stops\n");
	else if (relay_server_is_full(s))
		refuse(rq, 503, "the relay takes no more connections\n");
	else if (!relay_server_admit(s, s->shards[0].now))
		refuse(rq, 503, "too many handshakes, come again\n");
	else
		take(s, rq);
}

/* --- life -------------------------------------------------------------------------------------*/

static void on_drain_limit(struct ev_timer *t)
{
	relay_shards_end_all(ln_container(t, struct relay_server, drain_timer));
}

struct relay_server *relay_server_new(struct ev_loop *loop, const struct relay_server_conf *conf)
{
	struct relay_server *s = ln_alloc(sizeof(*s));
	s->loop = loop;
	s->max_peers = conf->max_peers;
	s->handshakes = conf->handshakes != 0 ? conf->handshakes : RELAY_SERVER_HANDSHAKES;
	s->rows[0] = (struct front_row){ .path = PATH, .service = s, .handle = on_request };
	list_init(&s->moves);
	list_init(&s->returned);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->answered, NULL);
	ev_timer_init(&s->drain_timer, loop, on_drain_limit);
	relay_quic_secret(conf, s->quic_secret);
	relay_shards_start(s, conf);
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
	ev_timer_after(&s->drain_timer, limit);
	relay_shards_drain(s, over);
}

static void dispose(void *arg)
{
	struct relay_server *s = arg;
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->answered);
	free(s->shards);
	free(s);
}

/* The last job posted; a turn of the first shard may still be planned. */
static void finish(void *arg)
{
	struct relay_server *s = arg;
	ev_defer(s->loop, dispose, s);
}

void relay_server_free(struct relay_server *s)
{
	if (s == NULL)
		return;
	s->drained = NULL;
	list_for_each_safe(it, &s->moves)
		move_end(list_entry(it, struct move, link));
	relay_shards_stop(s);
	net_quic_listen_free(s->quic);
	(void)take_returned(s);
	ev_timer_fini(&s->drain_timer);
	s->freed = true;
	ev_post(s->loop, finish, s);
}
