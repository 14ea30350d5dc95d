#include <stdlib.h>

#include "lib/base/ip.h"
#include "lib/base/str.h"
#include "lib/wire/grpc_text.h"

#include "src/net/net_grpc_channel.h"

#define MAX_METADATA 16

/* What opens a call's stream once the channel is connected. */
struct grpc_start {
	char *path;
	size_t nmeta;

	struct {
		char *name;
		char *value;
	} meta[MAX_METADATA];
};

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

/* What the stream still brings is for nobody. */
void grpc_client_end(struct grpc_call *c, enum grpc_status status, const char *text)
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
	grpc_client_end(c, GRPC_CANCELLED, "context canceled");
}

static void on_deadline(struct ev_timer *t)
{
	grpc_client_end(ln_container(t, struct grpc_call, timer), GRPC_DEADLINE_EXCEEDED,
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
		grpc_client_end(c, GRPC_UNKNOWN, "the server does not answer with gRPC");
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
			grpc_client_end(c, GRPC_RESOURCE_EXHAUSTED,
					"received message larger than max");
		} else if (r < 0) {
			grpc_client_end(c, GRPC_INTERNAL, "malformed message frame");
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
		grpc_client_end(c, GRPC_INTERNAL, "the response ends inside a message");
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

void grpc_client_open(struct grpc_call *c)
{
	const struct grpc_channel *ch = c->channel;
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
		grpc_client_end(c, GRPC_UNAVAILABLE, "connection is closing");
	else
		start_free(c);
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
		grpc_client_open(c);
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
		grpc_client_end(c, GRPC_RESOURCE_EXHAUSTED, "the request is too large");
	grpc_call_half_close(c);
}
