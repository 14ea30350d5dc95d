#include "src/net/net_h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/net/net_goaway.h"
#include "src/net/net_h2_mem.h"
#include "src/net/net_stream.h"

#define FLUSH_BUDGET (512u << 10) /* bytes per turn, so that one fast reader leaves room */
#define FIELDS_MAX 64
#define OUTBOUND_MAX 2000 /* frames other than DATA that wait for a server's peer to read */
#define DRAIN_PING "linnetgo"
#define CONFIRM_PING "lnok" /* and four bytes of number */
#define FRAME_HEAD 9
#define FRAME_MAX 16384 /* what a DATA frame of ours carries at most (RFC 9113 4.2) */
/*
 * Default room for compressed header fields. Go's clients index every field, also the ever
 * new grpc-timeout, so a table is always full: 4096 bytes of it are 13 KiB in memory.
 */
#define TABLE_SIZE 1024

struct net_h2 {
	struct ev_loop *loop;
	struct net_stream *stream;
	nghttp2_session *ng;
	struct net_h2_mem mem;
	struct net_h2_conf conf;
	const struct net_h2_ops *ops;
	void *user;
	struct list streams;
	struct list notify;
	size_t nstreams;
	struct ev_timer timer; /* SETTINGS limit, then keepalive */
	ln_time last_rx;
	ln_time ping_sent; /* 0: none under way */
	ln_time jitter;
	size_t held;
	uint32_t confirms;        /* numbers given to streams; 0 is none */
	struct net_goaway goaway; /* server: repairs what agents send */
	struct mslice out;        /* the loop's scratch buffer, only while send_frames() runs */
	size_t nout;
	bool settings_seen;
	bool draining;
	bool flush_queued;
	bool dead;
	int err;
	char why[120];
};

static void flush_job(void *arg);

static void schedule_flush(struct net_h2 *h)
{
	if (h->flush_queued || h->dead)
		return;
	h->flush_queued = true;
	ev_defer(h->loop, flush_job, h);
}

static void stream_free(struct net_h2_stream *st)
{
	st->h2->nstreams--;
	list_remove(&st->link);
	list_remove(&st->notify);
	net_headers_fini(&st->headers);
	free(st);
}

static struct net_h2_stream *stream_new(struct net_h2 *h, int32_t id)
{
	struct net_h2_stream *st = ln_alloc(sizeof(*st));
	st->h2 = h;
	st->id = id;
	list_init(&st->notify);
	list_add_tail(&h->streams, &st->link);
	h->nstreams++;
	return st;
}

static struct net_h2_stream *stream_of(struct net_h2 *h, int32_t id)
{
	return id > 0 ? nghttp2_session_get_stream_user_data(h->ng, id) : NULL;
}

/* --- what nghttp2 tells us --------------------------------------------------------------------*/

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct net_h2 *h = user;
	if (!h->conf.server || h->dead || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct net_h2_stream *st = stream_new(h, f->hd.stream_id);
	nghttp2_session_set_stream_user_data(ng, st->id, st);
	return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name,
		     size_t namelen, const uint8_t *value, size_t valuelen, uint8_t flags,
		     void *user)
{
	struct net_h2 *h = user;
	struct net_h2_stream *st = stream_of(h, f->hd.stream_id);
	if (st == NULL || h->dead || st->refused)
		return 0;
	if (net_headers_add(&st->headers, slice_of(name, namelen), slice_of(value, valuelen)) < 0) {
		st->refused = true;
		nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_ENHANCE_YOUR_CALM);
	}
	return 0;
}

static void on_headers_done(struct net_h2 *h, struct net_h2_stream *st, const nghttp2_frame *f)
{
	net_headers_trim(&st->headers);
	if (st->refused)
		return;
	if (!h->conf.server) {
		if (st->ops != NULL)
			st->ops->headers(st);
	} else if (f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		h->ops->open(h->user, st);
	}
}

static void on_settings(struct net_h2 *h)
{
	if (h->settings_seen)
		return;
	h->settings_seen = true;
	ev_timer_at(&h->timer, h->last_rx + h->conf.keepalive - h->jitter);
	if (h->ops->ready != NULL)
		h->ops->ready(h->user);
}

static void on_confirmed(struct net_h2 *h, uint32_t number)
{
	list_for_each_safe(it, &h->streams) {
		struct net_h2_stream *st = list_entry(it, struct net_h2_stream, link);
		if (number == 0 || st->confirm != number)
			continue;
		st->confirm = 0;
		if (st->ops != NULL && st->ops->confirmed != NULL)
			st->ops->confirmed(st);
		return;
	}
}

static void on_ping_ack(struct net_h2 *h, const nghttp2_frame *f)
{
	uint32_t number;
	memcpy(&number, f->ping.opaque_data + 4, sizeof(number));
	if (memcmp(f->ping.opaque_data, CONFIRM_PING, 4) == 0)
		on_confirmed(h, number);
	/* A round trip after the notice: nothing sent before it can be on its way any more. */
	if (h->draining && memcmp(f->ping.opaque_data, DRAIN_PING, 8) == 0)
		nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE,
				      nghttp2_session_get_last_proc_stream_id(h->ng),
				      NGHTTP2_NO_ERROR, NULL, 0);
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct net_h2 *h = user;
	if (h->dead)
		return 0;
	struct net_h2_stream *st = stream_of(h, f->hd.stream_id);
	if (f->hd.type == NGHTTP2_HEADERS && st != NULL)
		on_headers_done(h, st, f);
	else if (f->hd.type == NGHTTP2_SETTINGS && !(f->hd.flags & NGHTTP2_FLAG_ACK))
		on_settings(h);
	else if (f->hd.type == NGHTTP2_PING && (f->hd.flags & NGHTTP2_FLAG_ACK))
		on_ping_ack(h, f);
	else if (f->hd.type == NGHTTP2_GOAWAY && h->ops->goaway != NULL)
		h->ops->goaway(h->user);
	if (h->dead || st == NULL || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
	    (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA))
		return 0;
	st->remote_end = true;
	if (st->ops != NULL)
		st->ops->end(st);
	return 0;
}

/*
 * A server that has answered in full tells a client that is still sending to stop. RFC 9113 8.1
 * lets it; but many clients, Debian's curl among them, then report an error in place of the answer.
 */
static void discard(struct net_h2_stream *st, size_t n)
{
	st->discard -= LN_MIN(n, st->discard);
	if (st->discard == 0)
		nghttp2_submit_rst_stream(st->h2->ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_NO_ERROR);
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
		   void *user)
{
	struct net_h2 *h = user;
	struct net_h2_stream *st = stream_of(h, id);
	if (h->dead || st == NULL)
		return 0;
	if (st->answered && st->discard != 0)
		discard(st, len);
	else if (!st->answered && st->ops != NULL)
		st->ops->data(st, slice_of(data, len));
	return 0;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct net_h2 *h = user;
	if (!h->conf.server || h->dead || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
	    (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA))
		return 0;
	struct net_h2_stream *st = stream_of(h, f->hd.stream_id);
	if (st == NULL || st->remote_end)
		return 0;
	st->answered = true;
	discard(st, 0);
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
	struct net_h2 *h = user;
	struct net_h2_stream *st = stream_of(h, id);
	if (st == NULL || h->dead)
		return 0; /* teardown() tells the owners of a dead connection */
	nghttp2_session_set_stream_user_data(ng, id, NULL);
	if (st->ops != NULL)
		st->ops->closed(st, code);
	stream_free(st);
	return 0;
}

/*
 * The owner's bytes go straight to where they are sent from, behind the room for the frame's head;
 * on_send_data() follows at once and fills it in. The library's own buffer would keep 16 KiB of
 * every connection that ever had a large message.
 */
static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
		       nghttp2_data_source *src, void *user)
{
	struct net_h2 *h = user;
	struct net_h2_stream *st = stream_of(h, id);
	if (st == NULL || st->ops == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	enum net_h2_eof eof = NET_H2_MORE;
	size_t room = h->out.n - h->nout - FRAME_HEAD;
	size_t n = st->ops->read(st, h->out.p + h->nout + FRAME_HEAD, LN_MIN(len, room), &eof);
	if (n != 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (eof != NET_H2_MORE)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (eof == NET_H2_TRAILERS)
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	return n == 0 && eof == NET_H2_MORE ? NGHTTP2_ERR_DEFERRED : (ssize_t)n;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *f, const uint8_t *head, size_t n,
			nghttp2_data_source *src, void *user)
{
	struct net_h2 *h = user;
	memcpy(h->out.p + h->nout, head, FRAME_HEAD);
	h->nout += FRAME_HEAD + n;
	return NGHTTP2_ERR_PAUSE; /* sent; send_frames() looks whether there is room for more */
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
		if (h->out.n - h->nout < FRAME_HEAD + FRAME_MAX)
			write_out(h);
	}
	write_out(h);
	if (more && net_stream_pending(h->stream) == 0)
		schedule_flush(h);
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
	schedule_flush(h);
}

static void on_stream_data(void *user, struct slice data)
{
	net_h2_input(user, data);
}

static void on_stream_writable(void *user)
{
	schedule_flush(user);
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
		stream_free(st);
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
	nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, (const uint8_t *)DRAIN_PING);
	schedule_flush(h);
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
		schedule_flush(h);
		ev_timer_at(t, now + h->conf.keepalive_answer);
	}
}

/* --- making one -------------------------------------------------------------------------------*/

static nghttp2_session *session_new(struct net_h2 *h)
{
	nghttp2_session *ng = NULL;
	nghttp2_session_callbacks *cb;
	nghttp2_option *opt;
	int r = nghttp2_session_callbacks_new(&cb);
	r |= nghttp2_option_new(&opt);
	ln_assert(r == 0);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_option_set_no_closed_streams(opt, 1);
	nghttp2_option_set_max_deflate_dynamic_table_size(opt, h->conf.header_table);
	nghttp2_option_set_stream_reset_rate_limit(opt, 1000, 33);
	nghttp2_option_set_max_continuations(opt, 8);
	nghttp2_option_set_max_outbound_ack(opt, 1000);
	net_h2_mem_init(&h->mem, h->loop);
	r = h->conf.server ? nghttp2_session_server_new3(&ng, cb, h, opt, &h->mem.mem)
			   : nghttp2_session_client_new3(&ng, cb, h, opt, &h->mem.mem);
	ln_assert(r == 0);
	h->mem.born = true;
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	return ng;
}

static void submit_settings(struct net_h2 *h)
{
	const nghttp2_settings_entry server[] = {
		{ NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, h->conf.header_table },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->conf.max_streams },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h->conf.window },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, NET_HEADERS_BYTES },
	};
	const nghttp2_settings_entry client[] = {
		{ NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, h->conf.header_table },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h->conf.window },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, NET_HEADERS_BYTES },
	};
	int r = nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, h->conf.server ? server : client,
					LN_COUNT(server));
	r |= nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0,
						   (int32_t)h->conf.window);
	ln_assert(r == 0);
}

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
	h->ng = session_new(h);
	submit_settings(h);
	ev_timer_init(&h->timer, l, on_timer);
	ev_timer_after(&h->timer, conf->settings_limit);
	net_stream_set_owner(stream, &stream_ops, h);
	schedule_flush(h);
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

/* --- streams ----------------------------------------------------------------------------------*/

static size_t fields_to_nv(const struct net_h2_field *f, size_t n, nghttp2_nv nv[FIELDS_MAX])
{
	ln_assert(n <= FIELDS_MAX);
	for (size_t i = 0; i < n; i++)
		nv[i] = (nghttp2_nv){
			.name = (uint8_t *)(uintptr_t)f[i].name,
			.namelen = strlen(f[i].name),
			.value = (uint8_t *)(uintptr_t)f[i].value,
			.valuelen = strlen(f[i].value),
		};
	return n;
}

int net_h2_respond(struct net_h2_stream *st, const struct net_h2_field *f, size_t n, bool body)
{
	nghttp2_nv nv[FIELDS_MAX];
	nghttp2_data_provider prd = { .read_callback = on_read };
	if (st->h2->dead)
		return LN_E_CLOSED;
	int r = nghttp2_submit_response(st->h2->ng, st->id, nv, fields_to_nv(f, n, nv),
					body ? &prd : NULL);
	schedule_flush(st->h2);
	return r == 0 ? 0 : LN_E_STATE;
}

int net_h2_request(struct net_h2 *h, const struct net_h2_field *f, size_t n,
		   const struct net_h2_stream_ops *ops, void *user, struct net_h2_stream **ret)
{
	nghttp2_nv nv[FIELDS_MAX];
	nghttp2_data_provider prd = { .read_callback = on_read };
	if (h->dead || !nghttp2_session_check_request_allowed(h->ng))
		return LN_E_CLOSED;
	struct net_h2_stream *st = stream_new(h, 0);
	int32_t id = nghttp2_submit_request(h->ng, NULL, nv, fields_to_nv(f, n, nv), &prd, st);
	if (id < 0) {
		stream_free(st);
		return LN_E_CLOSED;
	}
	st->id = id;
	st->ops = ops;
	st->user = user;
	schedule_flush(h);
	*ret = st;
	return 0;
}

int net_h2_trailers(struct net_h2_stream *st, const struct net_h2_field *f, size_t n)
{
	nghttp2_nv nv[FIELDS_MAX];
	int r = nghttp2_submit_trailer(st->h2->ng, st->id, nv, fields_to_nv(f, n, nv));
	return r == 0 ? 0 : LN_E_STATE;
}

void net_h2_wake(struct net_h2_stream *st)
{
	if (st->h2->dead)
		return;
	/* Fails when it was not asleep, which is as good. */
	(void)nghttp2_session_resume_data(st->h2->ng, st->id);
	schedule_flush(st->h2);
}

void net_h2_notify(struct net_h2_stream *st)
{
	if (list_empty(&st->notify))
		list_add_tail(&st->h2->notify, &st->notify);
}

void net_h2_confirm(struct net_h2_stream *st)
{
	struct net_h2 *h = st->h2;
	uint8_t data[8];
	if (h->dead)
		return;
	if (++h->confirms == 0)
		h->confirms = 1;
	st->confirm = h->confirms;
	memcpy(data, CONFIRM_PING, 4);
	memcpy(data + 4, &h->confirms, sizeof(h->confirms));
	(void)nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, data);
	schedule_flush(h);
}

void net_h2_confirm_drop(struct net_h2_stream *st)
{
	st->confirm = 0;
}

void net_h2_reset(struct net_h2_stream *st, uint32_t code)
{
	if (st->h2->dead)
		return;
	(void)nghttp2_submit_rst_stream(st->h2->ng, NGHTTP2_FLAG_NONE, st->id, code);
	schedule_flush(st->h2);
}
