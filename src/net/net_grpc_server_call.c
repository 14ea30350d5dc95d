/* The server's side of one call (net_grpc.h, net_grpc_call.h). */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "lib/base/b64.h"
#include "lib/base/str.h"
#include "lib/wire/grpc_text.h"

#include "src/net/net_grpc_call.h"

#define LINGER (30 * LN_SEC) /* from the end of a call until a slow reader is cut off */
#define EXTRA_HEADERS 16
#define DETAILS_MAX 6000

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

/* --- the beginning ----------------------------------------------------------------------------*/

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

void grpc_server_begin(struct grpc_call *c)
{
	char text[200];
	c->st->ops = &server_stream_ops;
	c->st->user = c;
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
