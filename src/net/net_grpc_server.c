#include "src/net/net_grpc_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/b64.h"
#include "lib/base/map.h"
#include "lib/base/str.h"
#include "lib/wire/grpc_text.h"

#include "src/net/net_grpc_call.h"
#include "src/net/net_listen.h"
#include "src/net/net_stream.h"

#define LINGER (30 * LN_SEC) /* from the end of a call until a slow reader is cut off */
#define WINDOW (1u << 20)    /* as upstream's server announces */
#define EXTRA_HEADERS 16
#define DETAILS_MAX 6000

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

/* --- ending a call ----------------------------------------------------------------------------*/

static void on_call_timer(struct ev_timer *t);

static bool is_unix(const struct grpc_call *c)
{
	return net_h2_peer(c->st->h2)->addr.family == 0;
}

/* grpc-message is left out when empty, except on the agent's socket (spec agent 1.6). */
static size_t trailer_fields(const struct grpc_call *c, char num[8], struct net_h2_field f[3])
{
	size_t n = 0;
	snprintf(num, 8, "%d", (int)c->status);
	f[n++] = (struct net_h2_field){ "grpc-status", num };
	if (c->text != NULL || is_unix(c))
		f[n++] = (struct net_h2_field){ "grpc-message", c->text != NULL ? c->text : "" };
	if (c->details != NULL)
		f[n++] = (struct net_h2_field){ "grpc-status-details-bin", c->details };
	return n;
}

/* The stream goes on without the call; closed() comes from the loop. */
static void closed_job(void *arg)
{
	struct grpc_call *c = arg;
	if (c->method != NULL && c->method->closed != NULL)
		c->method->closed(c);
	grpc_call_free(c);
}

static void forget_held(struct grpc_call *c)
{
	*net_h2_held(c->st->h2) -= c->held;
	c->held = 0;
}

void grpc_server_cancel(struct grpc_call *c)
{
	net_h2_reset(c->st, NET_H2_CANCEL);
	forget_held(c);
	c->st->ops = NULL;
	c->st = NULL;
	c->ended = true;
	ev_defer(c->loop, closed_job, c);
}

static char *encode_text(const char *text)
{
	struct str b;
	if (text == NULL || text[0] == '\0')
		return NULL;
	/* Peers bound their header lists too: a longer text says enough. */
	str_init(&b, 8192);
	grpc_message_encode(slice_str(text), &b);
	return b.s;
}

/* A response of one header block that also ends the stream. */
static void finish_trailers_only(struct grpc_call *c)
{
	struct net_h2_field f[5] = { { ":status", "200" }, { "content-type", "application/grpc" } };
	char num[8];
	size_t n = 2 + trailer_fields(c, num, f + 2);
	c->headers_sent = true;
	if (net_h2_respond(c->st, f, n, false) != 0)
		net_h2_reset(c->st, NET_H2_INTERNAL_ERROR);
}

static void finish(struct grpc_call *c, enum grpc_status status, const char *text)
{
	c->half_closed = true;
	c->status = status;
	c->text = encode_text(text);
	if (!c->headers_sent && grpc_call_send_headers(c, NULL, 0) != 0) {
		grpc_server_cancel(c);
		return;
	}
	net_h2_wake(c->st);
	grpc_call_arm(c, ev_now() + LINGER, on_call_timer);
}

void grpc_call_finish_details(struct grpc_call *c, enum grpc_status status, const char *text,
			      struct slice details)
{
	if (c->ended || c->half_closed)
		return;
	if (details.n != 0 && details.n <= DETAILS_MAX) {
		c->details = ln_alloc(B64_LEN(details.n) + 1);
		b64_encode(details, c->details);
	}
	finish(c, status, text);
}

void grpc_call_finish(struct grpc_call *c, enum grpc_status status, const char *text)
{
	grpc_call_finish_details(c, status, text, slice_of(NULL, 0));
}

static void on_call_timer(struct ev_timer *t)
{
	struct grpc_call *c = ln_container(t, struct grpc_call, timer);
	if (c->ended)
		return;
	if (c->half_closed) {
		grpc_server_cancel(c); /* finished long ago, and the client does not read */
	} else if (!grpc_call_drop_queue(c)) {
		/* Half a message is out: no trailer can follow it. */
		grpc_server_cancel(c);
	} else {
		finish(c, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
	}
}

/* --- the stream's side ------------------------------------------------------------------------*/

static void refuse_input(struct grpc_call *c, int err)
{
	char text[120];
	switch (err) {
	case LN_E_LIMIT:
		snprintf(text, sizeof(text), "received message larger than max (%zu)", c->in.max);
		grpc_call_finish(c, GRPC_RESOURCE_EXHAUSTED, text);
		break;
	case LN_E_UNSUPPORTED:
		grpc_call_finish(c, GRPC_UNIMPLEMENTED, "compressed messages are not supported");
		break;
	default:
		grpc_call_finish(c, GRPC_INTERNAL, "malformed message frame");
		break;
	}
}

static void st_data(struct net_h2_stream *st, struct slice d)
{
	struct grpc_call *c = st->user;
	struct slice msg;
	while (!c->ended && !c->half_closed) {
		int r = grpc_call_next(c, &d, &msg);
		if (r < 0)
			refuse_input(c, r);
		if (r <= 0)
			break;
		if (c->method->message != NULL)
			c->method->message(c, msg);
	}
	if (!c->ended && c->half_closed && c->held != 0) {
		grpc_frame_reader_fini(&c->in);
		forget_held(c);
	}
}

static void st_end(struct net_h2_stream *st)
{
	struct grpc_call *c = st->user;
	if (c->ended || c->half_closed)
		return;
	c->remote_ended = true;
	if (!grpc_frame_at_boundary(&c->in))
		grpc_call_finish(c, GRPC_INTERNAL, "the request ends inside a message");
	else if (c->method->half_close != NULL)
		c->method->half_close(c);
}

static size_t st_read(struct net_h2_stream *st, uint8_t *dst, size_t n, enum net_h2_eof *ret_eof)
{
	struct grpc_call *c = st->user;
	size_t done = grpc_call_take(c, dst, n);
	if (c->out_first != NULL)
		return done;
	if (done != 0 && !c->half_closed)
		net_h2_notify(st);
	if (c->half_closed) {
		struct net_h2_field f[3];
		char num[8];
		size_t nf = trailer_fields(c, num, f);
		*ret_eof = net_h2_trailers(st, f, nf) == 0 ? NET_H2_TRAILERS : NET_H2_END;
	}
	return done;
}

static void st_drained(struct net_h2_stream *st)
{
	struct grpc_call *c = st->user;
	if (c->ended || c->half_closed)
		return;
	if (c->confirm && c->out_first == NULL) {
		c->confirm = false;
		net_h2_confirm(st);
	}
	if (c->method->writable != NULL)
		c->method->writable(c);
}

static void st_confirmed(struct net_h2_stream *st)
{
	struct grpc_call *c = st->user;
	if (!c->ended && !c->half_closed && c->method->delivered != NULL)
		c->method->delivered(c);
}

void grpc_call_confirm(struct grpc_call *c)
{
	ln_assert(c->server != NULL);
	if (c->ended || c->half_closed)
		return;
	net_h2_confirm_drop(c->st);
	c->confirm = c->out_first != NULL;
	if (!c->confirm)
		net_h2_confirm(c->st);
}

bool grpc_call_cancelled(const struct grpc_call *c)
{
	return c->cancelled;
}

static void st_closed(struct net_h2_stream *st, uint32_t code)
{
	struct grpc_call *c = st->user;
	c->ended = true;
	c->cancelled = code == NET_H2_CANCEL;
	forget_held(c);
	if (c->method != NULL && c->method->closed != NULL)
		c->method->closed(c);
	c->st = NULL;
	grpc_call_free(c);
}

static const struct net_h2_stream_ops server_stream_ops = {
	.data = st_data,
	.end = st_end,
	.read = st_read,
	.drained = st_drained,
	.confirmed = st_confirmed,
	.closed = st_closed,
};

int grpc_call_send_headers(struct grpc_call *c, const struct grpc_kv *kv, size_t n)
{
	struct net_h2_field f[2 + EXTRA_HEADERS] = { { ":status", "200" },
						     { "content-type", "application/grpc" } };
	if (c->ended)
		return LN_E_CLOSED;
	if (c->headers_sent)
		return LN_E_STATE;
	if (n > EXTRA_HEADERS)
		return LN_E_LIMIT;
	for (size_t i = 0; i < n; i++)
		f[2 + i] = (struct net_h2_field){ kv[i].name, kv[i].value };
	c->headers_sent = true;
	return net_h2_respond(c->st, f, 2 + n, true);
}

const struct ip_ep *grpc_call_peer(const struct grpc_call *c)
{
	static const struct ip_ep none;
	return c->st != NULL ? net_h2_peer(c->st->h2) : &none;
}

int grpc_call_peer_cred(const struct grpc_call *c, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	if (c->st == NULL)
		return LN_E_CLOSED;
	/* On TCP the kernel answers too, with an identity of nobody. */
	if (!is_unix(c))
		return LN_E_UNSUPPORTED;
	if (getsockopt(net_h2_fd(c->st->h2), SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return -errno;
	*ret_pid = cred.pid;
	*ret_uid = cred.uid;
	*ret_gid = cred.gid;
	return 0;
}

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

/* What is wrong with the request before its method is asked; GRPC_OK when nothing is. */
static enum grpc_status check_request(struct grpc_call *c, char text[static 200])
{
	const struct net_headers *h = &c->st->headers;
	const char *enc = net_headers_get(h, "grpc-encoding");
	const char *timeout = net_headers_get(h, "grpc-timeout");
	ln_time left;
	if (c->method == NULL) {
		const char *path = net_headers_get(h, ":path");
		snprintf(text, 200, "unknown method %.150s", path != NULL ? path : "");
		return GRPC_UNIMPLEMENTED;
	}
	if (enc != NULL && strcmp(enc, "identity") != 0) {
		snprintf(text, 200, "grpc-encoding %.80s is not supported", enc);
		return GRPC_UNIMPLEMENTED;
	}
	if (timeout != NULL) {
		if (grpc_timeout_parse(slice_str(timeout), &left) != 0) {
			snprintf(text, 200, "malformed grpc-timeout");
			return GRPC_INTERNAL;
		}
		ln_time now = ev_now();
		c->deadline = left > LN_TIME_NEVER - now ? LN_TIME_NEVER : now + left;
	}
	return GRPC_OK;
}

void grpc_server_open(struct grpc_server *s, struct net_h2_stream *st)
{
	const char *verb = net_headers_get(&st->headers, ":method");
	char text[200];
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
	st->ops = &server_stream_ops;
	st->user = c;
	list_add_tail(&s->calls, &c->link);
	enum grpc_status status = check_request(c, text);
	if (status != GRPC_OK) {
		c->half_closed = true;
		c->status = status;
		c->method = NULL; /* it never heard of this call */
		c->text = encode_text(text);
		finish_trailers_only(c);
		return;
	}
	if (c->deadline != LN_TIME_NEVER)
		grpc_call_arm(c, c->deadline, on_call_timer);
	if (c->method->open != NULL)
		c->method->open(c->method->service, c);
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
