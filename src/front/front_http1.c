#include "src/front/front_http1.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/net/net_http1.h"
#include "src/net/net_stream.h"

/* What a client may send ahead while its request is being answered. */
#define AHEAD_MAX (16u << 10)

struct front_http1 {
	struct front *front;
	struct ev_loop *loop;
	struct net_stream *stream;
	struct ip_ep peer;
	const struct front_http1_ops *ops;
	void *user;
	struct net_http1 *parser;
	struct front_request *rq; /* being handled; it belongs to its handler */
	struct str ahead;
	bool keep_alive;
	bool is_head;
	bool ended; /* the last answer is out */
	bool taken; /* the stream has another owner now */
	bool dead;
	bool parsing;
};

struct front_http1 *front_http1_new(struct front *fr, struct ev_loop *l, struct net_stream *stream,
				    const struct ip_ep *peer, const struct front_http1_ops *ops,
				    void *user)
{
	struct front_http1 *h = ln_alloc(sizeof(*h));
	*h = (struct front_http1){
		.front = fr, .loop = l, .stream = stream, .peer = *peer, .ops = ops, .user = user
	};
	h->parser = net_http1_new(front_max_body(fr));
	str_init(&h->ahead, AHEAD_MAX);
	return h;
}

void front_http1_free(struct front_http1 *h)
{
	if (h == NULL || h->dead)
		return;
	h->dead = true;
	if (h->rq != NULL)
		h->rq->transport = NULL;
	h->rq = NULL;
	net_http1_free(h->parser);
	h->parser = NULL;
	str_fini(&h->ahead);
	ev_defer_free(h->loop, h);
}

static void write_answer(struct front_http1 *h, int status, const char *content_type,
			 struct slice content)
{
	struct str b;
	str_init(&b, content.n + 1024);
	str_addf(&b,
		 "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		 "X-Content-Type-Options: nosniff\r\n%s\r\n",
		 status, front_reason(status), content_type, content.n,
		 h->keep_alive ? "" : "Connection: close\r\n");
	if (!h->is_head)
		str_addn(&b, content.p, content.n);
	net_stream_write(h->stream, str_slice(&b));
	str_fini(&b);
	if (!h->keep_alive) {
		h->ended = true;
		net_stream_finish(h->stream);
	}
}

static void resume_job(void *arg)
{
	struct front_http1 *h = arg;
	if (h->dead)
		return;
	if (h->ended) {
		h->ops->over(h->user);
		return;
	}
	struct str ahead = h->ahead;
	str_init(&h->ahead, AHEAD_MAX);
	h->ops->idle(h->user);
	front_http1_input(h, str_slice(&ahead));
	str_fini(&ahead);
}

static void on_answer(void *transport, int status, const char *content_type, struct slice content)
{
	struct front_http1 *h = transport;
	h->rq = NULL;
	write_answer(h, status, content_type, content);
	net_http1_next(h->parser);
	/* The handler may answer from inside the parser's call. */
	ev_defer(h->loop, resume_job, h);
}

static void on_take(void *transport, struct front_taken *ret)
{
	struct front_http1 *h = transport;
	struct str ahead = h->ahead;
	str_init(&h->ahead, 0);
	h->rq = NULL;
	h->taken = true;
	h->ops->take(h->user, ret);
	/* Taken later than asked: what came meanwhile belongs to nobody who could read it. */
	str_fini(&ahead);
}

static void take_request(struct front_http1 *h)
{
	struct net_http1_request *r = net_http1_get(h->parser);
	struct front_request *rq = front_request_new(r->method, r->target);
	rq->headers = r->headers;
	rq->body = r->body;
	r->headers = (struct net_headers){ .n = 0 };
	r->body.s = NULL;
	str_fini(&r->body);
	rq->peer = h->peer;
	rq->transport = h;
	rq->answer = on_answer;
	rq->take = on_take;
	h->keep_alive = r->keep_alive;
	h->is_head = strcmp(r->method, "HEAD") == 0;
	h->rq = rq;
	front_dispatch(h->front, rq);
}

void front_http1_input(struct front_http1 *h, struct slice data)
{
	if (h->dead || h->ended || data.n == 0)
		return;
	int r = 0;
	if (h->rq == NULL && h->ahead.n == 0) {
		r = net_http1_input(h->parser, &data);
		if (r == 1)
			take_request(h);
		if (h->taken) {
			net_stream_feed(h->stream, data);
			return;
		}
	}
	if (r >= 0 && !h->dead && !h->ended) {
		str_addn(&h->ahead, data.p, data.n);
		r = h->ahead.err;
	}
	if (r < 0 && !h->dead) {
		h->keep_alive = false;
		write_answer(h, r == LN_E_LIMIT ? 413 : 400, "text/plain",
			     slice_str(r == LN_E_LIMIT ? "request too large\n" : "bad request\n"));
		h->ops->over(h->user);
	}
}

bool front_http1_is_idle(const struct front_http1 *h)
{
	return h->rq == NULL && net_http1_is_idle(h->parser);
}

bool front_http1_is_busy(const struct front_http1 *h)
{
	return h->rq != NULL;
}
