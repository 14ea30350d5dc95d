#include <stdio.h>
#include <stdlib.h>

#include "src/net/net_h2_internal.h"

#define FLUSH_BUDGET (512u << 10) /* bytes per turn, so that one fast reader leaves room */
#define OUTBOUND_MAX 2000         /* frames other than DATA that wait for a server's peer to read */
#define FRAME_MAX 16384           /* what a DATA frame of ours carries at most (RFC 9113 4.2) */
/*
 * Default room for compressed header fields. Go's clients index every field, also the ever
 * new grpc-timeout, so a table is always full: 4096 bytes of it are 13 KiB in memory.
 */
#define TABLE_SIZE 1024

static void flush_job(void *arg);

void net_h2_flush(struct net_h2 *h)
{
	if (h->flush_queued || h->dead)
		return;
	h->flush_queued = true;
	ev_defer(h->loop, flush_job, h);
}

/* --- sending ----------------------------------------------------------------------------------*/

/*
 * Moves frames from the session to the stream while the socket takes them. What a stopped reader
 * costs is one scratch buffer's worth here plus what the owners queue.
 */
static void write_out(struct net_h2 *h)
{
	net_stream_write(h->stream, slice_of(h->out.p, h->nout));
	h->nout = 0;
}

static int send_frames(struct net_h2 *h)
{
	bool more = true;
	h->out = ev_scratch(h->loop, 1);
	h->nout = 0;
	for (size_t sent = 0; more && sent < FLUSH_BUDGET && net_stream_pending(h->stream) == 0;) {
		const uint8_t *p;
		size_t before = h->nout;
		ssize_t r = nghttp2_session_mem_send(h->ng, &p);
		if (r < 0)
			return LN_E_MALFORMED;
		/* Either on_send_data() has put a frame into the buffer, or r bytes are at p. */
		size_t n = h->nout - before + (size_t)r;
		more = n != 0;
		sent += n;
		if ((size_t)r > h->out.n - h->nout)
			write_out(h);
		if (r > 0) {
			memcpy(h->out.p + h->nout, p, (size_t)r);
			h->nout += (size_t)r;
		}
		if (h->out.n - h->nout < NET_H2_FRAME_HEAD + FRAME_MAX)
			write_out(h);
	}
	write_out(h);
	if (more && net_stream_pending(h->stream) == 0)
		net_h2_flush(h);
	return 0;
}

static void flush_job(void *arg)
{
	struct net_h2 *h = arg;
	h->flush_queued = false;
	if (h->dead)
		return;
	if (send_frames(h) != 0) {
		net_h2_close(h, LN_E_MALFORMED, "HTTP/2 error while sending");
		return;
	}
	for (struct list *l; !h->dead && (l = list_pop(&h->notify)) != NULL;) {
		struct net_h2_stream *st = list_entry(l, struct net_h2_stream, notify);
		if (st->ops != NULL)
			st->ops->drained(st);
	}
	if (!h->dead && !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng))
		net_h2_close(h, LN_E_CLOSED, "closed after GOAWAY");
}

/* --- input and end ----------------------------------------------------------------------------*/

/*
 * Who asks and does not read makes us remember every refusal and every answer: streams beyond the
 * limit are refused one by one until our SETTINGS are acknowledged, which may be never.
 */
static bool is_buried(struct net_h2 *h)
{
	return h->conf.server && net_stream_pending(h->stream) != 0 &&
	       nghttp2_session_get_outbound_queue_size(h->ng) > OUTBOUND_MAX;
}

void net_h2_input(struct net_h2 *h, struct slice data)
{
	if (h->dead)
		return;
	if (is_buried(h)) {
		net_h2_close(h, LN_E_LIMIT, "the peer asks much and reads nothing");
		return;
	}
	h->last_rx = ev_now();
	h->ping_sent = 0;
	ssize_t r = 0;
	while (data.n != 0 && r >= 0) {
		struct slice piece = data;
		if (h->conf.server)
			piece = net_goaway_next(&h->goaway, &data);
		else
			data.n = 0;
		r = nghttp2_session_mem_recv(h->ng, piece.p, piece.n);
	}
	if (h->dead)
		return;
	if (r < 0) {
		char why[80];
		snprintf(why, sizeof(why), "HTTP/2: %s", nghttp2_strerror((int)r));
		(void)send_frames(h); /* the GOAWAY that says why, if the socket takes it */
		net_h2_close(h, LN_E_MALFORMED, why);
		return;
	}
	net_h2_flush(h);
}

static void on_stream_data(void *user, struct slice data)
{
	net_h2_input(user, data);
}

static void on_stream_writable(void *user)
{
	net_h2_flush(user);
}

static void on_stream_closed(void *user, int err, const char *why)
{
	net_h2_close(user, err, why);
}

static const struct net_stream_ops stream_ops = {
	.data = on_stream_data,
	.writable = on_stream_writable,
	.closed = on_stream_closed,
};

static void say_goodbye(struct net_h2 *h)
{
	list_for_each(it, &h->streams) {
		struct net_h2_stream *st = list_entry(it, struct net_h2_stream, link);
		nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
	}
	nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE,
			      nghttp2_session_get_last_proc_stream_id(h->ng), NGHTTP2_NO_ERROR,
			      NULL, 0);
	(void)send_frames(h);
}

static void teardown(void *arg)
{
	struct net_h2 *h = arg;
	if (h->err == 0)
		say_goodbye(h);
	for (struct list *l; (l = h->streams.next) != &h->streams;) {
		struct net_h2_stream *st = list_entry(l, struct net_h2_stream, link);
		if (st->ops != NULL)
			st->ops->closed(st, NET_H2_LOST);
		net_h2_stream_free(st);
	}
	h->ops->closed(h->user, h->err, h->why);
	nghttp2_session_del(h->ng);
	net_h2_mem_fini(&h->mem);
	net_stream_free(h->stream);
	ev_timer_fini(&h->timer);
	free(h);
}

void net_h2_close(struct net_h2 *h, int err, const char *why)
{
	if (h->dead)
		return;
	h->dead = true;
	h->err = err;
	snprintf(h->why, sizeof(h->why), "%s", why != NULL ? why : "");
	net_stream_mute(h->stream);
	ev_timer_stop(&h->timer);
	ev_defer(h->loop, teardown, h);
}

void net_h2_drain(struct net_h2 *h)
{
	if (h->draining || h->dead)
		return;
	h->draining = true;
	nghttp2_submit_shutdown_notice(h->ng);
	nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, (const uint8_t *)NET_H2_DRAIN_PING);
	net_h2_flush(h);
}

/* --- silence ----------------------------------------------------------------------------------*/

static void on_timer(struct ev_timer *t)
{
	struct net_h2 *h = ln_container(t, struct net_h2, timer);
	ln_time now = ev_now();
	if (!h->settings_seen) {
		net_h2_close(h, LN_E_TIMEOUT, "no HTTP/2 SETTINGS in time");
		return;
	}
	if (h->ping_sent != 0) {
		net_h2_close(h, LN_E_TIMEOUT, "no answer to the keepalive PING");
		return;
	}
	ln_time due = h->last_rx + h->conf.keepalive - h->jitter;
	if (now < due) {
		ev_timer_at(t, due);
	} else if (h->nstreams == 0 && !h->conf.keepalive_idle) {
		ev_timer_at(t, now + h->conf.keepalive);
	} else {
		h->ping_sent = now;
		nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
		net_h2_flush(h);
		ev_timer_at(t, now + h->conf.keepalive_answer);
	}
}

/* --- making one -------------------------------------------------------------------------------*/

struct net_h2 *net_h2_new(struct ev_loop *l, struct net_stream *stream,
			  const struct net_h2_conf *conf, const struct net_h2_ops *ops, void *user)
{
	struct net_h2 *h = ln_alloc(sizeof(*h));
	*h = (struct net_h2){
		.loop = l, .stream = stream, .conf = *conf, .ops = ops, .user = user
	};
	if (h->conf.header_table == 0)
		h->conf.header_table = TABLE_SIZE;
	list_init(&h->streams);
	list_init(&h->notify);
	net_goaway_init(&h->goaway);
	/* Up to a tenth early, so that thousands of connections do not ping in step. */
	h->jitter = rng_below64(ev_rng(), conf->keepalive / 10 + 1);
	h->last_rx = ev_now();
	net_h2_session_open(h);
	ev_timer_init(&h->timer, l, on_timer);
	ev_timer_after(&h->timer, conf->settings_limit);
	net_stream_set_owner(stream, &stream_ops, h);
	net_h2_flush(h);
	return h;
}

size_t net_h2_streams(const struct net_h2 *h)
{
	return h->nstreams;
}

const struct ip_ep *net_h2_peer(const struct net_h2 *h)
{
	return &h->conf.peer;
}

int net_h2_fd(const struct net_h2 *h)
{
	return net_stream_fd(h->stream);
}

size_t *net_h2_held(struct net_h2 *h)
{
	return &h->held;
}
