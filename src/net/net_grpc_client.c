#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/ip.h"
#include "lib/base/str.h"
#include "lib/wire/grpc_text.h"

#include "src/net/net_dial.h"
#include "src/net/net_grpc_call.h"
#include "src/net/net_stream.h"
#include "src/net/net_tls.h"

#define MAX_METADATA 16
#define WINDOW (1u << 20) /* official agents announce nothing and get 65,535 */

/* What opens a call's stream once the channel is connected. */
struct grpc_start {
	char *path;
	size_t nmeta;

	struct {
		char *name;
		char *value;
	} meta[MAX_METADATA];
};

/* One connection; a draining one lives on beside its successor until its calls are done. */
struct channel_conn {
	struct list link;
	struct grpc_channel *channel; /* null after the channel is gone */
	struct net_h2 *h2;
};

struct grpc_channel {
	struct ev_loop *loop;
	struct grpc_channel_conf conf;
	char *host;
	char *unix_path;
	char *ca_file;
	char authority[300];
	enum grpc_channel_state state;
	struct net_tls_ctx *tls;
	struct net_dial *dial;
	struct net_stream *stream; /* while TLS shakes hands */
	struct ip_ep peer;
	struct ev_timer limit;     /* of one dial */
	struct channel_conn *conn; /* new calls go here; maybe not ready yet */
	struct list conns;
	struct list calls;
	bool dead;
};

struct state_news {
	struct grpc_channel *channel;
	enum grpc_channel_state state;
	char why[400];
};

/* --- states -----------------------------------------------------------------------------------*/

static void tell_state(void *arg)
{
	struct state_news *n = arg;
	if (!n->channel->dead && n->channel->conf.on_state != NULL)
		n->channel->conf.on_state(n->channel->conf.user, n->state, n->why);
	free(n);
}

static void set_state(struct grpc_channel *ch, enum grpc_channel_state state, const char *why)
{
	if (ch->state == state)
		return;
	ch->state = state;
	if (ch->dead || ch->conf.on_state == NULL)
		return;
	struct state_news *n = ln_alloc(sizeof(*n));
	n->channel = ch;
	n->state = state;
	snprintf(n->why, sizeof(n->why), "%s", why);
	ev_defer(ch->loop, tell_state, n);
}

enum grpc_channel_state grpc_channel_state(const struct grpc_channel *ch)
{
	return ch->state;
}

/* --- the end of a call ------------------------------------------------------------------------*/

static void start_free(struct grpc_call *c)
{
	struct grpc_start *s = c->start;
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->nmeta; i++) {
		free(s->meta[i].name);
		free(s->meta[i].value);
	}
	free(s->path);
	free(s);
	c->start = NULL;
}

static void ended_job(void *arg)
{
	struct grpc_call *c = arg;
	c->cbs->closed(c, c->status, c->text != NULL ? c->text : "");
	start_free(c);
	grpc_call_free(c);
}

/* Ends the call from our side: what the stream still brings is for nobody. */
static void end_call(struct grpc_call *c, enum grpc_status status, const char *text)
{
	if (c->ended)
		return;
	c->ended = true;
	c->status = status;
	c->text = ln_strdup(text);
	if (c->timer.impl != NULL)
		ev_timer_stop(&c->timer);
	if (c->st != NULL) {
		net_h2_reset(c->st, NET_H2_CANCEL);
		*net_h2_held(c->st->h2) -= c->held;
		c->held = 0;
		c->st->ops = NULL;
		c->st = NULL;
	}
	/* Out of the channel's list: it may go before the job runs. */
	list_remove(&c->link);
	ev_defer(c->loop, ended_job, c);
}

void grpc_client_cancel(struct grpc_call *c)
{
	end_call(c, GRPC_CANCELLED, "context canceled");
}

static void on_deadline(struct ev_timer *t)
{
	end_call(ln_container(t, struct grpc_call, timer), GRPC_DEADLINE_EXCEEDED,
		 "context deadline exceeded");
}

/* gRPC specification, "HTTP2 Transport Mapping", Errors. */
static enum grpc_status status_of_reset(uint32_t code)
{
	switch (code) {
	case NET_H2_REFUSED_STREAM:
	case NET_H2_LOST:
		return GRPC_UNAVAILABLE;
	case NET_H2_CANCEL:
		return GRPC_CANCELLED;
	case NET_H2_ENHANCE_YOUR_CALM:
		return GRPC_RESOURCE_EXHAUSTED;
	case NET_H2_INADEQUATE_SECURITY:
		return GRPC_PERMISSION_DENIED;
	default:
		return GRPC_INTERNAL;
	}
}

/* gRPC specification, "HTTP to gRPC Status Code Mapping". */
static enum grpc_status status_of_http(int code)
{
	switch (code) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

static bool trailer_status(const struct net_headers *h, enum grpc_status *ret_status,
			   struct str *text)
{
	const char *s = net_headers_get(h, "grpc-status");
	const char *m = net_headers_get(h, "grpc-message");
	if (s == NULL)
		return false;
	char *end;
	unsigned long v = strtoul(s, &end, 10);
	*ret_status = *s == '\0' || *end != '\0' || v > GRPC_UNAUTHENTICATED ? GRPC_UNKNOWN
									     : (enum grpc_status)v;
	if (m != NULL)
		grpc_message_decode(slice_str(m), text);
	return true;
}

static enum grpc_status final_status(const struct grpc_call *c, uint32_t code, struct str *text)
{
	const struct net_headers *h = &c->st->headers;
	const char *http = net_headers_get(h, ":status");
	enum grpc_status status;
	if (c->remote_ended && trailer_status(h, &status, text))
		return status;
	if (http != NULL && strcmp(http, "200") != 0) {
		str_addf(text, "unexpected HTTP status code received from server: %.10s", http);
		return status_of_http(atoi(http));
	}
	if (c->remote_ended) {
		str_add(text, "the server ended the stream without a status");
		return GRPC_INTERNAL;
	}
	if (code == NET_H2_LOST)
		str_add(text, "connection lost");
	else
		str_addf(text, "stream was reset by the server (HTTP/2 code %u)", code);
	return status_of_reset(code);
}

/* --- the stream's side ------------------------------------------------------------------------*/

static void st_headers(struct net_h2_stream *st)
{
	struct grpc_call *c = st->user;
	if (c->ended || c->headers_told || net_headers_get(&st->headers, "grpc-status") != NULL)
		return;
	const char *http = net_headers_get(&st->headers, ":status");
	const char *ct = net_headers_get(&st->headers, "content-type");
	if (http == NULL || http[0] == '1')
		return;
	c->headers_told = true;
	if (strcmp(http, "200") == 0 && (ct == NULL || strncmp(ct, "application/grpc", 16) != 0)) {
		end_call(c, GRPC_UNKNOWN, "the server does not answer with gRPC");
		return;
	}
	if (c->cbs->headers != NULL)
		c->cbs->headers(c);
}

static void st_data(struct net_h2_stream *st, struct slice d)
{
	struct grpc_call *c = st->user;
	struct slice msg;
	const char *http = net_headers_get(&st->headers, ":status");
	if (http != NULL && strcmp(http, "200") != 0)
		return; /* an error page */
	while (!c->ended) {
		int r = grpc_call_next(c, &d, &msg);
		if (r == 0)
			return;
		if (r == LN_E_LIMIT) {
			end_call(c, GRPC_RESOURCE_EXHAUSTED, "received message larger than max");
		} else if (r < 0) {
			end_call(c, GRPC_INTERNAL, "malformed message frame");
		} else if (c->cbs->message != NULL) {
			c->cbs->message(c, msg);
		}
	}
}

static void st_end(struct net_h2_stream *st)
{
	struct grpc_call *c = st->user;
	c->remote_ended = true;
	if (!grpc_frame_at_boundary(&c->in))
		end_call(c, GRPC_INTERNAL, "the response ends inside a message");
	else if (!c->half_closed)
		/* All was said: the stream closes when our side does too. */
		grpc_call_half_close(c);
}

static size_t st_read(struct net_h2_stream *st, uint8_t *dst, size_t n, enum net_h2_eof *ret_eof)
{
	struct grpc_call *c = st->user;
	size_t done = grpc_call_take(c, dst, n);
	if (c->out_first == NULL && c->half_closed)
		*ret_eof = NET_H2_END;
	return done;
}

static void st_closed(struct net_h2_stream *st, uint32_t code)
{
	struct grpc_call *c = st->user;
	struct str text;
	str_init(&text, 16384);
	enum grpc_status status = final_status(c, code, &text);
	c->ended = true;
	*net_h2_held(st->h2) -= c->held;
	c->cbs->closed(c, status, str_c(&text));
	c->st = NULL;
	str_fini(&text);
	start_free(c);
	grpc_call_free(c);
}

static void st_drained(struct net_h2_stream *st)
{
}

static const struct net_h2_stream_ops client_stream_ops = {
	.headers = st_headers,
	.data = st_data,
	.end = st_end,
	.read = st_read,
	.drained = st_drained,
	.closed = st_closed,
};

static void open_stream(struct grpc_channel *ch, struct grpc_call *c)
{
	struct grpc_start *s = c->start;
	struct net_h2_field f[8 + MAX_METADATA] = {
		{ ":method", "POST" },
		{ ":scheme", ch->conf.target.tls ? "https" : "http" },
		{ ":path", s->path },
		{ ":authority", ch->authority },
		{ "content-type", "application/grpc" },
		{ "user-agent", "linnet/" LINNET_VERSION },
		{ "te", "trailers" },
	};
	char timeout[GRPC_TIMEOUT_TEXT];
	size_t n = 7;
	if (c->deadline != LN_TIME_NEVER) {
		grpc_timeout_format(c->deadline - ev_now(), timeout);
		f[n++] = (struct net_h2_field){ "grpc-timeout", timeout };
	}
	for (size_t i = 0; i < s->nmeta; i++)
		f[n++] = (struct net_h2_field){ s->meta[i].name, s->meta[i].value };
	if (net_h2_request(ch->conn->h2, f, n, &client_stream_ops, c, &c->st) != 0)
		end_call(c, GRPC_UNAVAILABLE, "connection is closing");
	else
		start_free(c);
}

/* --- connecting -------------------------------------------------------------------------------*/

static void fail_waiting(struct grpc_channel *ch, enum grpc_status status, const char *why)
{
	list_for_each_safe(it, &ch->calls) {
		struct grpc_call *c = list_entry(it, struct grpc_call, link);
		if (c->st == NULL)
			end_call(c, status, why);
	}
}

static void stop_dialling(struct grpc_channel *ch)
{
	net_dial_cancel(ch->dial);
	ch->dial = NULL;
	net_stream_free(ch->stream);
	ch->stream = NULL;
	ev_timer_stop(&ch->limit);
}

static void dial_failed(struct grpc_channel *ch, const char *why)
{
	stop_dialling(ch);
	fail_waiting(ch, GRPC_UNAVAILABLE, why);
	set_state(ch, GRPC_FAILURE, why);
}

static void conn_ready(void *user)
{
	struct channel_conn *cc = user;
	struct grpc_channel *ch = cc->channel;
	if (ch == NULL || ch->conn != cc)
		return;
	ev_timer_stop(&ch->limit);
	set_state(ch, GRPC_READY, "");
	list_for_each_safe(it, &ch->calls) {
		struct grpc_call *c = list_entry(it, struct grpc_call, link);
		if (c->st == NULL)
			open_stream(ch, c);
	}
}

/* The server wants to go: calls that run may end, the next one dials anew. */
static void conn_goaway(void *user)
{
	struct channel_conn *cc = user;
	struct grpc_channel *ch = cc->channel;
	if (ch == NULL || ch->conn != cc)
		return;
	ch->conn = NULL;
	if (ch->state == GRPC_CONNECTING)
		dial_failed(ch, "the server closed the connection at once");
	else
		set_state(ch, GRPC_IDLE, "the server is going away");
}

static void conn_closed(void *user, int err, const char *why)
{
	struct channel_conn *cc = user;
	struct grpc_channel *ch = cc->channel;
	list_remove(&cc->link);
	if (ch != NULL && ch->conn == cc) {
		char text[400];
		ch->conn = NULL;
		snprintf(text, sizeof(text), "connection to %s: %s", ch->authority, why);
		dial_failed(ch, text);
	}
	free(cc);
}

static const struct net_h2_ops conn_ops = {
	.ready = conn_ready,
	.goaway = conn_goaway,
	.closed = conn_closed,
};

static void start_h2(struct grpc_channel *ch, struct net_stream *stream)
{
	struct channel_conn *cc = ln_alloc(sizeof(*cc));
	const struct net_h2_conf conf = {
		.window = WINDOW,
		.keepalive = ch->conf.keepalive,
		.keepalive_answer = ch->conf.keepalive_answer,
		.settings_limit = ch->conf.dial_limit,
		.peer = ch->peer,
	};
	cc->channel = ch;
	ch->stream = NULL;
	ch->conn = cc;
	list_add_tail(&ch->conns, &cc->link);
	cc->h2 = net_h2_new(ch->loop, stream, &conf, &conn_ops, cc);
}

static void tls_ready(void *user)
{
	struct grpc_channel *ch = user;
	if (net_stream_is_h2(ch->stream)) {
		start_h2(ch, ch->stream);
		return;
	}
	char why[400];
	snprintf(why, sizeof(why), "%s does not speak HTTP/2 over TLS (ALPN)", ch->authority);
	dial_failed(ch, why);
}

static void tls_data(void *user, struct slice data)
{
	/* ready() comes before the first byte and hands the stream to HTTP/2. */
}

static void tls_writable(void *user)
{
}

static void tls_closed(void *user, int err, const char *why)
{
	struct grpc_channel *ch = user;
	char text[400];
	snprintf(text, sizeof(text), "TLS with %s: %s", ch->authority, why);
	dial_failed(ch, text);
}

static const struct net_stream_ops tls_ops = {
	.data = tls_data,
	.writable = tls_writable,
	.ready = tls_ready,
	.closed = tls_closed,
};

static void on_dialled(void *user, int fd, const struct ip_ep *peer, const char *why)
{
	struct grpc_channel *ch = user;
	ch->dial = NULL;
	if (fd < 0) {
		dial_failed(ch, why);
		return;
	}
	ch->peer = *peer;
	struct net_tls *tls = NULL;
	if (ch->tls != NULL) {
		tls = net_tls_new(ch->tls, ch->host);
		if (tls == NULL) {
			close(fd);
			dial_failed(ch, "the host name cannot be verified by TLS");
			return;
		}
	}
	int r = net_stream_new(ch->loop, fd, tls, &tls_ops, ch, &ch->stream);
	if (r != 0)
		dial_failed(ch, ln_strerror(r));
	else if (tls == NULL)
		start_h2(ch, ch->stream);
}

static void on_dial_limit(struct ev_timer *t)
{
	struct grpc_channel *ch = ln_container(t, struct grpc_channel, limit);
	struct channel_conn *cc = ch->conn;
	char why[400];
	snprintf(why, sizeof(why), "connect to %s: timed out", ch->authority);
	ch->conn = NULL;
	if (cc != NULL)
		net_h2_close(cc->h2, LN_E_TIMEOUT, why);
	dial_failed(ch, why);
}

static void dial_error_job(void *arg)
{
	struct state_news *n = arg;
	if (!n->channel->dead && n->channel->state == GRPC_CONNECTING)
		dial_failed(n->channel, n->why);
	free(n);
}

/* An error found inside a call of the user: told from the loop. */
static void dial_error(struct grpc_channel *ch, const char *why)
{
	struct state_news *n = ln_alloc(sizeof(*n));
	n->channel = ch;
	snprintf(n->why, sizeof(n->why), "%s", why);
	ev_defer(ch->loop, dial_error_job, n);
}

void grpc_channel_connect(struct grpc_channel *ch)
{
	struct ln_fail f;
	if (ch->state == GRPC_CONNECTING || ch->state == GRPC_READY)
		return;
	set_state(ch, GRPC_CONNECTING, "");
	if (ch->conf.target.tls && ch->tls == NULL &&
	    net_tls_ctx_client(ch->ca_file, &ch->tls, &f) != 0) {
		dial_error(ch, f.text);
		return;
	}
	const struct net_dial_target t = {
		.host = ch->host,
		.port = ch->conf.target.port,
		.unix_path = ch->unix_path,
		.fwmark = ch->conf.target.fwmark,
	};
	ev_timer_after(&ch->limit, ch->conf.dial_limit);
	ch->dial = net_dial_new(ch->loop, &t, ch->conf.dial_limit, on_dialled, ch);
}

/* --- calls ------------------------------------------------------------------------------------*/

static struct grpc_start *start_new(const char *path, const struct grpc_kv *metadata, size_t n)
{
	struct grpc_start *s = ln_alloc(sizeof(*s));
	ln_assert(n <= MAX_METADATA);
	s->path = ln_strdup(path);
	for (; s->nmeta < n; s->nmeta++) {
		s->meta[s->nmeta].name = ln_strdup(metadata[s->nmeta].name);
		s->meta[s->nmeta].value = ln_strdup(metadata[s->nmeta].value);
	}
	return s;
}

struct grpc_call *grpc_channel_call(struct grpc_channel *ch, const char *path,
				    const struct grpc_kv *metadata, size_t nmeta, ln_time deadline,
				    const struct grpc_client_cbs *cbs, void *user)
{
	struct grpc_call *c = ln_alloc(sizeof(*c));
	grpc_call_init(c, ch->loop, ch->conf.max_message, GRPC_SEND_QUEUE);
	c->channel = ch;
	c->cbs = cbs;
	c->user = user;
	c->deadline = deadline;
	c->start = start_new(path, metadata, nmeta);
	list_add_tail(&ch->calls, &c->link);
	if (deadline != LN_TIME_NEVER)
		grpc_call_arm(c, deadline, on_deadline);
	if (ch->state == GRPC_READY)
		open_stream(ch, c);
	else
		grpc_channel_connect(ch);
	return c;
}

void grpc_call_half_close(struct grpc_call *c)
{
	if (c->ended || c->half_closed)
		return;
	c->half_closed = true;
	if (c->st != NULL)
		net_h2_wake(c->st);
}

/* --- unary ------------------------------------------------------------------------------------*/

struct unary {
	grpc_unary_fn *done;
	void *user;
	uint8_t *reply;
	size_t n;
	unsigned count;
};

static void unary_message(struct grpc_call *c, struct slice msg)
{
	struct unary *u = grpc_call_user(c);
	if (u->count++ != 0)
		return;
	/* Bounded by the channel's max_message. */
	u->reply = ln_alloc(msg.n);
	u->n = msg.n;
	if (msg.n != 0)
		memcpy(u->reply, msg.p, msg.n);
}

static void unary_closed(struct grpc_call *c, enum grpc_status status, const char *text)
{
	struct unary *u = grpc_call_user(c);
	if (status == GRPC_OK && u->count != 1) {
		status = GRPC_INTERNAL;
		text = u->count == 0 ? "the server sent no reply"
				     : "the server sent more than one reply";
	}
	u->done(u->user, status, text, slice_of(u->reply, status == GRPC_OK ? u->n : 0));
	free(u->reply);
	free(u);
}

void grpc_channel_unary(struct grpc_channel *ch, const char *path, struct slice msg,
			ln_time deadline, grpc_unary_fn *done, void *user)
{
	static const struct grpc_client_cbs cbs = { .message = unary_message,
						    .closed = unary_closed };
	struct unary *u = ln_alloc(sizeof(*u));
	u->done = done;
	u->user = user;
	struct grpc_call *c = grpc_channel_call(ch, path, NULL, 0, deadline, &cbs, u);
	if (grpc_call_send(c, msg) != 0)
		end_call(c, GRPC_RESOURCE_EXHAUSTED, "the request is too large");
	grpc_call_half_close(c);
}

/* --- life -------------------------------------------------------------------------------------*/

struct grpc_channel *grpc_channel_new(struct ev_loop *l, const struct grpc_channel_conf *conf)
{
	struct grpc_channel *ch = ln_alloc(sizeof(*ch));
	const struct grpc_target *t = &conf->target;
	ch->loop = l;
	ch->conf = *conf;
	ch->host = t->host != NULL ? ln_strdup(t->host) : NULL;
	ch->unix_path = t->unix_path != NULL ? ln_strdup(t->unix_path) : NULL;
	ch->ca_file = t->ca_file != NULL ? ln_strdup(t->ca_file) : NULL;
	if (ch->unix_path != NULL)
		snprintf(ch->authority, sizeof(ch->authority), "localhost");
	else
		snprintf(ch->authority, sizeof(ch->authority),
			 strchr(ch->host, ':') != NULL ? "[%s]:%u" : "%s:%u", ch->host, t->port);
	if (ch->conf.max_message == 0)
		ch->conf.max_message = 16u << 20;
	if (ch->conf.dial_limit == 0)
		ch->conf.dial_limit = 30 * LN_SEC;
	if (ch->conf.keepalive == 0)
		ch->conf.keepalive = 30 * LN_SEC;
	if (ch->conf.keepalive_answer == 0)
		ch->conf.keepalive_answer = 10 * LN_SEC;
	list_init(&ch->conns);
	list_init(&ch->calls);
	ev_timer_init(&ch->limit, l, on_dial_limit);
	return ch;
}

static void drop_connections(struct grpc_channel *ch, bool orphan)
{
	ch->conn = NULL;
	list_for_each_safe(it, &ch->conns) {
		struct channel_conn *cc = list_entry(it, struct channel_conn, link);
		if (orphan) {
			list_remove(&cc->link);
			cc->channel = NULL;
		}
		net_h2_close(cc->h2, 0, "client transport shutdown");
	}
}

void grpc_channel_reset(struct grpc_channel *ch)
{
	stop_dialling(ch);
	list_for_each_safe(it, &ch->calls)
		end_call(list_entry(it, struct grpc_call, link), GRPC_UNAVAILABLE,
			 "connection was reset");
	drop_connections(ch, false);
	set_state(ch, GRPC_IDLE, "");
}

static void channel_gone(void *arg)
{
	struct grpc_channel *ch = arg;
	net_tls_ctx_free(ch->tls);
	free(ch->host);
	free(ch->unix_path);
	free(ch->ca_file);
	free(ch);
}

void grpc_channel_free(struct grpc_channel *ch)
{
	if (ch == NULL || ch->dead)
		return;
	ch->dead = true;
	list_for_each_safe(it, &ch->calls)
		end_call(list_entry(it, struct grpc_call, link), GRPC_CANCELLED,
			 "channel was closed");
	stop_dialling(ch);
	drop_connections(ch, true);
	ev_timer_fini(&ch->limit);
	ev_defer(ch->loop, channel_gone, ch);
}
