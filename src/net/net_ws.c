#include "src/net/net_ws.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>

#include "lib/base/b64.h"
#include "lib/base/str.h"

#include "src/net/net_stream.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define KEY_LEN 24            /* base64 of 16 bytes */
#define ANSWER_MAX (8u << 10) /* of the server's 101 */
#define OUT_MAX (4u << 20)    /* of one turn's messages */
#define MASKS 64              /* masks drawn at once: a system call each would cost more */

struct net_ws {
	struct ev_loop *loop;
	struct net_stream *stream;
	const struct net_ws_ops *ops;
	void *user;
	size_t max_message;
	struct str part; /* a frame (or the server's answer) that has not come whole */
	struct str out;  /* messages of this turn */
	uint8_t *masks;  /* client: MASKS keys of 4 bytes */
	unsigned next_mask;
	bool client;
	bool open; /* frames, not HTTP */
	bool flush_planned;
	bool dead;
	bool failed;
	char expect[NET_WS_KEY_TEXT]; /* client */
};

/* --- handshake --------------------------------------------------------------------------------*/

/* Is `token` in a comma-separated list, whatever its case? */
static bool has_token(const char *list, const char *token)
{
	size_t n = strlen(token);
	while (list != NULL && *list != '\0') {
		list += strspn(list, " \t,");
		size_t len = strcspn(list, ",");
		size_t bare = len;
		while (bare != 0 && (list[bare - 1] == ' ' || list[bare - 1] == '\t'))
			bare--;
		if (bare == n && strncasecmp(list, token, n) == 0)
			return true;
		list += len;
	}
	return false;
}

int net_ws_check(const struct net_ws_request *rq)
{
	uint8_t raw[16];
	if (strcmp(rq->method, "GET") != 0 || !has_token(rq->upgrade, "websocket") ||
	    !has_token(rq->connection, "upgrade"))
		return LN_E_UNSUPPORTED;
	if (rq->version == NULL || strcmp(rq->version, "13") != 0)
		return LN_E_UNSUPPORTED;
	if (rq->key == NULL || strlen(rq->key) != KEY_LEN)
		return LN_E_MALFORMED;
	return b64_decode_exact(slice_str(rq->key), raw, sizeof(raw));
}

void net_ws_accept_key(const char *key, char dst[NET_WS_KEY_TEXT])
{
	struct str text;
	uint8_t sha1[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	str_init(&text, 256);
	str_add(&text, key);
	str_add(&text, GUID);
	int r = EVP_Digest(str_c(&text), text.n, sha1, &n, EVP_sha1(), NULL);
	ln_assert(r == 1 && n == 20);
	b64_encode(slice_of(sha1, n), dst);
	str_fini(&text);
}

/* --- the end ----------------------------------------------------------------------------------*/

static void fail(struct net_ws *w, int err, const char *why)
{
	if (w->failed || w->dead)
		return;
	w->failed = true;
	w->ops->closed(w->user, err, why);
}

void net_ws_free(struct net_ws *w)
{
	if (w == NULL || w->dead)
		return;
	w->dead = true;
	if (w->out.n != 0)
		net_stream_write(w->stream, str_slice(&w->out));
	net_stream_free(w->stream);
	str_fini(&w->part);
	str_fini(&w->out);
	free(w->masks);
	w->masks = NULL;
	/* A planned flush of this turn still looks at it; what it defers comes after. */
	ev_defer_free(w->loop, w);
}

/* --- writing ----------------------------------------------------------------------------------*/

static void flush_job(void *arg)
{
	struct net_ws *w = arg;
	w->flush_planned = false;
	if (w->dead || w->failed)
		return;
	net_stream_write(w->stream, str_slice(&w->out));
	str_fini(&w->out);
	str_init(&w->out, OUT_MAX);
}

static const uint8_t *next_mask(struct net_ws *w)
{
	if (w->masks == NULL)
		w->masks = ln_alloc(4 * MASKS);
	if (w->next_mask == 0)
		rng_fill(ev_rng(), w->masks, 4 * MASKS);
	const uint8_t *m = w->masks + 4 * w->next_mask;
	w->next_mask = (w->next_mask + 1) % MASKS;
	return m;
}

static void add_frame(struct net_ws *w, enum ws_frame_op op, struct slice msg)
{
	uint8_t head[WS_FRAME_HEADER_MAX];
	const uint8_t *mask = w->client ? next_mask(w) : NULL;
	if (w->dead || w->failed)
		return;
	size_t n = ws_frame_write(head, op, msg.n, mask);
	str_addn(&w->out, head, n);
	size_t at = w->out.n;
	str_addn(&w->out, msg.p, msg.n);
	if (mask != NULL && w->out.err == 0) {
		uint8_t *p = (uint8_t *)w->out.s + at;
		ws_frame_mask(p, p, msg.n, mask);
	}
	if (!w->flush_planned)
		ev_defer(w->loop, flush_job, w);
	w->flush_planned = true;
}

void net_ws_send(struct net_ws *w, struct slice msg)
{
	add_frame(w, WS_FRAME_BINARY, msg);
}

void net_ws_write_frames(struct net_ws *w, const struct slice *v, size_t n)
{
	if (!w->dead && !w->failed)
		net_stream_writev(w->stream, v, n);
}

size_t net_ws_pending(const struct net_ws *w)
{
	return net_stream_pending(w->stream) + w->out.n;
}

/* --- reading ----------------------------------------------------------------------------------*/

/* One whole frame. */
static void take_frame(struct net_ws *w, const struct ws_frame *f, const uint8_t *payload)
{
	struct slice msg = slice_of(payload, (size_t)f->payload);
	if (f->masked) {
		struct mslice plain = ev_scratch(w->loop, 2);
		ws_frame_mask(plain.p, payload, msg.n, f->mask);
		msg.p = plain.p;
	}
	switch (f->op) {
	case WS_FRAME_BINARY:
		w->ops->message(w->user, msg);
		break;
	case WS_FRAME_PING:
		/* An owner that does not read what it asks for gets no more of it. */
		if (net_ws_pending(w) < w->max_message)
			add_frame(w, WS_FRAME_PONG, msg);
		break;
	case WS_FRAME_PONG:
		break;
	case WS_FRAME_CLOSE:
		fail(w, LN_E_CLOSED, "closed by the other side");
		break;
	case WS_FRAME_TEXT:
	case WS_FRAME_CONTINUATION:
		fail(w, LN_E_UNSUPPORTED, "not a binary message");
		break;
	}
}

/* 0 and the whole frame, LN_E_TRUNCATED, or an error after which the connection is over. */
static int look(const struct net_ws *w, struct slice in, struct ws_frame *f)
{
	int r = ws_frame_read(in, f);
	if (r != 0)
		return r;
	if (f->masked == w->client)
		return LN_E_MALFORMED;
	if (!f->fin)
		return LN_E_UNSUPPORTED;
	if (f->payload > w->max_message)
		return LN_E_LIMIT;
	return in.n < f->header + f->payload ? LN_E_TRUNCATED : 0;
}

static const char *reason(int err)
{
	return err == LN_E_LIMIT       ? "message too large"
	       : err == LN_E_MALFORMED ? "broken frame"
				       : "fragmented message";
}

static bool is_over(const struct net_ws *w)
{
	return w->dead || w->failed;
}

/* The frame that began in an earlier read: takes what it lacks from *in. */
static void complete_part(struct net_ws *w, struct slice *in)
{
	while (w->part.n != 0 && !is_over(w)) {
		struct ws_frame f = { .header = 0 };
		int r = look(w, str_slice(&w->part), &f);
		if (r == LN_E_TRUNCATED) {
			/* Without a header yet: byte by byte, at most 14 of them. */
			size_t want = f.header == 0 ? w->part.n + 1 : f.header + (size_t)f.payload;
			size_t take = LN_MIN(in->n, want - w->part.n);
			if (take == 0)
				return;
			str_addn(&w->part, in->p, take);
			*in = slice_after(*in, take);
			continue;
		}
		struct str whole = w->part;
		str_init(&w->part, 0);
		if (r == 0)
			take_frame(w, &f, (const uint8_t *)whole.s + f.header);
		else
			fail(w, r, reason(r));
		str_fini(&whole);
	}
}

static void take_frames(struct net_ws *w, struct slice in)
{
	complete_part(w, &in);
	while (in.n != 0 && !is_over(w)) {
		struct ws_frame f;
		int r = look(w, in, &f);
		if (r == LN_E_TRUNCATED) {
			str_init(&w->part, 0);
			str_addn(&w->part, in.p, in.n);
			return;
		}
		if (r != 0) {
			fail(w, r, reason(r));
			return;
		}
		take_frame(w, &f, in.p + f.header);
		in = slice_after(in, f.header + (size_t)f.payload);
	}
}

/* --- the server's answer ----------------------------------------------------------------------*/

/* Value of a field in the answer, without blanks round it; empty if there is none. */
static struct slice field(const char *text, const char *name)
{
	size_t n = strlen(name);
	for (const char *line = strstr(text, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, n) != 0 || line[n] != ':')
			continue;
		line += n + 1;
		line += strspn(line, " \t");
		size_t len = strcspn(line, "\r");
		while (len != 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
			len--;
		return slice_of(line, len);
	}
	return slice_of(NULL, 0);
}

static void take_answer(struct net_ws *w, struct slice in)
{
	str_addn(&w->part, in.p, in.n);
	const char *end = strstr(str_c(&w->part), "\r\n\r\n");
	if (end == NULL) {
		if (w->part.n > ANSWER_MAX || memchr(w->part.s, '\0', w->part.n) != NULL)
			fail(w, LN_E_MALFORMED, "no HTTP answer");
		return;
	}
	struct str answer = w->part;
	size_t n = (size_t)(end - answer.s) + 4;
	str_init(&w->part, 0);
	if (strncmp(answer.s, "HTTP/1.1 101", 12) != 0)
		fail(w, LN_E_DENIED, "the server refused the WebSocket");
	else if (!slice_is(field(answer.s, "Sec-WebSocket-Accept"), w->expect) ||
		 field(answer.s, "Sec-WebSocket-Extensions").n != 0)
		fail(w, LN_E_MALFORMED, "the server's answer does not belong to our request");
	else
		w->open = true;
	if (w->open)
		w->ops->ready(w->user);
	if (!is_over(w) && answer.n > n)
		take_frames(w, slice_of(answer.s + n, answer.n - n));
	str_fini(&answer);
}

/* --- life -------------------------------------------------------------------------------------*/

static void on_data(void *user, struct slice data)
{
	struct net_ws *w = user;
	if (is_over(w))
		return;
	if (w->open)
		take_frames(w, data);
	else
		take_answer(w, data);
}

static void on_writable(void *user)
{
	struct net_ws *w = user;
	if (!is_over(w))
		w->ops->writable(w->user);
}

static void on_closed(void *user, int err, const char *why)
{
	fail(user, err, why);
}

static const struct net_stream_ops stream_ops = {
	.data = on_data,
	.writable = on_writable,
	.closed = on_closed,
};

static struct net_ws *make(struct ev_loop *l, struct net_stream *s, size_t max_message,
			   const struct net_ws_ops *ops, void *user)
{
	struct net_ws *w = ln_alloc(sizeof(*w));
	*w = (struct net_ws){ .loop = l,
			      .stream = s,
			      .ops = ops,
			      .user = user,
			      .max_message = LN_MIN(max_message, (size_t)NET_WS_MESSAGE_LIMIT) };
	str_init(&w->part, 0);
	str_init(&w->out, OUT_MAX);
	net_stream_set_owner(s, &stream_ops, w);
	return w;
}

struct net_ws *net_ws_accept(struct ev_loop *l, struct net_stream *s, const char *key,
			     size_t max_message, const struct net_ws_ops *ops, void *user)
{
	struct net_ws *w = make(l, s, max_message, ops, user);
	char accept[NET_WS_KEY_TEXT];
	struct str b;
	w->open = true;
	net_ws_accept_key(key, accept);
	str_init(&b, 1024);
	str_addf(&b,
		 "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
		 "Sec-WebSocket-Accept: %s\r\nUpgrade: websocket\r\n\r\n",
		 accept);
	net_stream_write(s, str_slice(&b));
	str_fini(&b);
	return w;
}

struct net_ws *net_ws_connect(struct ev_loop *l, struct net_stream *s, const char *host,
			      const char *path, size_t max_message, const struct net_ws_ops *ops,
			      void *user)
{
	struct net_ws *w = make(l, s, max_message, ops, user);
	uint8_t nonce[16];
	char key[KEY_LEN + 1];
	struct str b;
	w->client = true;
	rng_fill(ev_rng(), nonce, sizeof(nonce));
	b64_encode(slice_of(nonce, sizeof(nonce)), key);
	net_ws_accept_key(key, w->expect);
	str_init(&b, 4096);
	str_addf(&b,
		 "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
		 path, host, key);
	net_stream_write(s, str_slice(&b));
	str_fini(&b);
	return w;
}
