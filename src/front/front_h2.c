#include "src/front/front_h2.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/net/net_h2.h"

struct front_h2 {
	struct front *front;
	struct net_h2_stream *st; /* null after its end */
	struct front_request *rq; /* ours until dispatched, then its handler's */
	bool dispatched;
	bool is_head;
	struct str out;
	size_t off;
};

static void on_answer(void *transport, int status, const char *content_type, struct slice content)
{
	struct front_h2 *q = transport;
	char code[12], length[24];
	q->rq = NULL;
	snprintf(code, sizeof(code), "%d", status);
	snprintf(length, sizeof(length), "%zu", content.n);
	const struct net_h2_field f[] = {
		{ ":status", code },
		{ "content-type", content_type },
		{ "content-length", length },
		{ "x-content-type-options", "nosniff" },
	};
	bool body = content.n != 0 && !q->is_head;
	if (body) {
		str_init(&q->out, content.n);
		str_addn(&q->out, content.p, content.n);
	}
	if (net_h2_respond(q->st, f, LN_COUNT(f), body) != 0)
		net_h2_reset(q->st, NET_H2_INTERNAL_ERROR);
}

static void refuse(struct front_h2 *q, int status, const char *text)
{
	q->dispatched = true;
	q->rq->transport = q;
	q->rq->answer = on_answer;
	front_reply(q->rq, status, "text/plain", slice_str(text));
}

static void st_data(struct net_h2_stream *st, struct slice d)
{
	struct front_h2 *q = st->user;
	if (q->dispatched)
		return;
	str_addn(&q->rq->body, d.p, d.n);
	if (q->rq->body.err != 0)
		refuse(q, 413, "request too large\n");
}

static void st_end(struct net_h2_stream *st)
{
	struct front_h2 *q = st->user;
	if (q->dispatched)
		return;
	q->dispatched = true;
	q->rq->transport = q;
	q->rq->answer = on_answer;
	front_dispatch(q->front, q->rq);
}

static size_t st_read(struct net_h2_stream *st, uint8_t *dst, size_t n, enum net_h2_eof *ret_eof)
{
	struct front_h2 *q = st->user;
	size_t take = LN_MIN(n, q->out.n - q->off);
	memcpy(dst, q->out.s + q->off, take);
	q->off += take;
	if (q->off == q->out.n)
		*ret_eof = NET_H2_END;
	return take;
}

static void st_drained(struct net_h2_stream *st)
{
}

static void st_closed(struct net_h2_stream *st, uint32_t code)
{
	struct front_h2 *q = st->user;
	if (q->rq != NULL && q->dispatched)
		q->rq->transport = NULL; /* its handler will still answer */
	else
		front_request_free(q->rq);
	str_fini(&q->out);
	free(q);
}

static const struct net_h2_stream_ops stream_ops = {
	.data = st_data,
	.end = st_end,
	.read = st_read,
	.drained = st_drained,
	.closed = st_closed,
};

void front_h2_open(struct front *fr, struct ev_loop *l, struct net_h2_stream *st)
{
	const char *method = net_headers_get(&st->headers, ":method");
	const char *path = net_headers_get(&st->headers, ":path");
	if (method == NULL || path == NULL) { /* CONNECT has no path */
		net_h2_reset(st, NET_H2_REFUSED_STREAM);
		return;
	}
	struct front_h2 *q = ln_alloc(sizeof(*q));
	q->front = fr;
	q->st = st;
	q->is_head = strcmp(method, "HEAD") == 0;
	q->rq = front_request_new(method, path);
	q->rq->headers = st->headers;
	st->headers = (struct net_headers){ .n = 0 };
	q->rq->peer = *net_h2_peer(st->h2);
	str_init(&q->rq->body, front_max_body(fr));
	st->ops = &stream_ops;
	st->user = q;
	st->discard = NET_H2_DISCARD;
}
