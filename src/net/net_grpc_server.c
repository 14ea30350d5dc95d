#include "src/net/net_grpc_server.h"

#include <stdlib.h>

#include "lib/base/map.h"

#include "src/net/net_grpc_call.h"
#include "src/net/net_listen.h"
#include "src/net/net_stream.h"

#define WINDOW (1u << 20) /* as upstream's server announces */

struct method_row {
	struct map_node node;
	const struct grpc_method *method;
};

/* A connection the server accepted itself; those of the public port are the front's. */
struct server_conn {
	struct list link;
	struct grpc_server *server;
	struct net_h2 *h2;
};

struct grpc_server {
	struct ev_loop *loop;
	struct grpc_server_conf conf;
	struct map methods;
	struct list calls;
	struct list conns;
	struct net_listen *listen;
	bool draining;
	struct ev_timer drain_timer;
	void (*drain_done)(void *arg);
	void *drain_arg;
};

/* --- requests ---------------------------------------------------------------------------------*/

bool grpc_server_wants(const struct net_h2_stream *st)
{
	const char *ct = net_headers_get(&st->headers, "content-type");
	if (ct == NULL || strncmp(ct, "application/grpc", 16) != 0)
		return false;
	/* "application/grpc-web" and the like are other protocols. */
	return ct[16] == '\0' || ct[16] == '+' || ct[16] == ';';
}

static bool proto_content(const struct net_h2_stream *st)
{
	const char *ct = net_headers_get(&st->headers, "content-type");
	return ct[16] != '+' ||
	       (strncmp(ct + 16, "+proto", 6) == 0 && (ct[22] == '\0' || ct[22] == ';'));
}

static void answer_status(struct net_h2_stream *st, const char *code)
{
	st->discard = NET_H2_DISCARD;
	if (net_h2_respond(st, &(struct net_h2_field){ ":status", code }, 1, false) != 0)
		net_h2_reset(st, NET_H2_INTERNAL_ERROR);
}

static const struct grpc_method *find_method(const struct grpc_server *s,
					     const struct net_h2_stream *st)
{
	const char *path = net_headers_get(&st->headers, ":path");
	struct map_node *n = path != NULL ? map_find(&s->methods, slice_str(path)) : NULL;
	return n != NULL ? map_entry(n, struct method_row, node)->method : NULL;
}

void grpc_server_open(struct grpc_server *s, struct net_h2_stream *st)
{
	const char *verb = net_headers_get(&st->headers, ":method");
	if (!grpc_server_wants(st) || !proto_content(st)) {
		answer_status(st, "415");
		return;
	}
	if (verb == NULL || strcmp(verb, "POST") != 0) {
		answer_status(st, "405");
		return;
	}
	struct grpc_call *c = ln_alloc(sizeof(*c));
	grpc_call_init(c, s->loop, s->conf.max_message, s->conf.max_send_queue);
	c->server = s;
	c->st = st;
	c->method = find_method(s, st);
	list_add_tail(&s->calls, &c->link);
	grpc_server_begin(c);
}

/* --- connections ------------------------------------------------------------------------------*/

void grpc_server_h2_conf(const struct grpc_server *s, struct net_h2_conf *ret)
{
	*ret = (struct net_h2_conf){
		.server = true,
		.max_streams = s->conf.max_streams,
		.header_table = s->conf.header_table,
		.window = WINDOW,
		.keepalive = s->conf.keepalive,
		.keepalive_answer = s->conf.keepalive_answer,
		.keepalive_idle = true,
		.settings_limit = s->conf.preface_limit,
	};
}

static void drain_check(struct grpc_server *s)
{
	void (*done)(void *arg) = s->drain_done;
	if (!s->draining || done == NULL || !list_empty(&s->conns))
		return;
	s->drain_done = NULL;
	ev_timer_stop(&s->drain_timer);
	ev_defer(s->loop, done, s->drain_arg);
}

static void conn_open(void *user, struct net_h2_stream *st)
{
	struct server_conn *sc = user;
	if (sc->server != NULL)
		grpc_server_open(sc->server, st);
	else
		net_h2_reset(st, NET_H2_REFUSED_STREAM);
}

static void conn_closed(void *user, int err, const char *why)
{
	struct server_conn *sc = user;
	list_remove(&sc->link);
	if (sc->server != NULL)
		drain_check(sc->server);
	free(sc);
}

static const struct net_h2_ops conn_ops = { .open = conn_open, .closed = conn_closed };

void grpc_server_accept(struct grpc_server *s, int fd, const struct ip_ep *peer, struct slice first)
{
	struct server_conn *sc = ln_alloc(sizeof(*sc));
	struct net_stream *stream;
	struct net_h2_conf conf;
	static const struct net_stream_ops none;
	sc->server = s;
	/* net_h2_new() sets the real operations before anything can come. */
	if (net_stream_new(s->loop, fd, NULL, &none, sc, &stream) != 0) {
		free(sc);
		return;
	}
	grpc_server_h2_conf(s, &conf);
	conf.peer = *peer;
	list_add_tail(&s->conns, &sc->link);
	sc->h2 = net_h2_new(s->loop, stream, &conf, &conn_ops, sc);
	if (first.n != 0)
		net_h2_input(sc->h2, first);
}

static void on_unix_accept(void *user, int fd, const struct ip_ep *peer)
{
	grpc_server_accept(user, fd, peer, slice_of(NULL, 0));
}

int grpc_server_listen_unix(struct grpc_server *s, const char *path, unsigned mode,
			    struct ln_fail *f)
{
	if (s->listen != NULL)
		return ln_fail(f, LN_E_STATE, "this server listens already");
	return net_listen_unix(s->loop, path, mode, on_unix_accept, s, &s->listen, f);
}

/* --- life -------------------------------------------------------------------------------------*/

static void on_drain_limit(struct ev_timer *t)
{
	struct grpc_server *s = ln_container(t, struct grpc_server, drain_timer);
	list_for_each_safe(it, &s->conns)
		net_h2_close(list_entry(it, struct server_conn, link)->h2, 0, "drained");
}

struct grpc_server *grpc_server_new(struct ev_loop *l, const struct grpc_server_conf *conf)
{
	struct grpc_server *s = ln_alloc(sizeof(*s));
	s->loop = l;
	s->conf = *conf;
	if (s->conf.max_message == 0)
		s->conf.max_message = 4u << 20;
	if (s->conf.max_send_queue == 0)
		s->conf.max_send_queue = GRPC_SEND_QUEUE;
	if (s->conf.max_streams == 0)
		s->conf.max_streams = 250;
	if (s->conf.keepalive == 0)
		s->conf.keepalive = 30 * LN_SEC;
	if (s->conf.keepalive_answer == 0)
		s->conf.keepalive_answer = 20 * LN_SEC;
	if (s->conf.preface_limit == 0)
		s->conf.preface_limit = 10 * LN_SEC;
	map_init(&s->methods, rng_u64(ev_rng()), rng_u64(ev_rng()));
	list_init(&s->calls);
	list_init(&s->conns);
	ev_timer_init(&s->drain_timer, l, on_drain_limit);
	return s;
}

void grpc_server_add(struct grpc_server *s, const struct grpc_method *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct method_row *row = ln_alloc(sizeof(*row));
		row->method = &rows[i];
		map_insert(&s->methods, &row->node, slice_str(rows[i].path));
	}
}

void grpc_server_drain(struct grpc_server *s, ln_time limit, void (*done)(void *arg), void *arg)
{
	s->draining = true;
	s->drain_done = done;
	s->drain_arg = arg;
	net_listen_free(s->listen);
	s->listen = NULL;
	list_for_each_safe(it, &s->conns)
		net_h2_drain(list_entry(it, struct server_conn, link)->h2);
	ev_timer_after(&s->drain_timer, limit);
	drain_check(s);
}

void grpc_server_free(struct grpc_server *s)
{
	if (s == NULL)
		return;
	net_listen_free(s->listen);
	list_for_each_safe(it, &s->conns) {
		struct server_conn *sc = list_entry(it, struct server_conn, link);
		list_remove(&sc->link);
		sc->server = NULL;
		net_h2_close(sc->h2, 0, "server ends");
	}
	/* The calls end with their streams; they need the loop and their rows, not the server. */
	list_for_each_safe(it, &s->calls)
		list_remove(it);
	while (s->methods.count != 0) {
		struct map_node *n = map_first(&s->methods);
		map_remove(&s->methods, n);
		free(map_entry(n, struct method_row, node));
	}
	map_fini(&s->methods);
	ev_timer_fini(&s->drain_timer);
	ev_defer_free(s->loop, s);
}
