#include "src/net/net_h2_internal.h"

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
	struct net_h2_stream *st = net_h2_stream_new(h, f->hd.stream_id);
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
	if (memcmp(f->ping.opaque_data, NET_H2_CONFIRM_PING, 4) == 0)
		on_confirmed(h, number);
	/* A round trip after the notice: nothing sent before it can be on its way any more. */
	if (h->draining && memcmp(f->ping.opaque_data, NET_H2_DRAIN_PING, 8) == 0)
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
	net_h2_stream_free(st);
	return 0;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *f, const uint8_t *head, size_t n,
			nghttp2_data_source *src, void *user)
{
	struct net_h2 *h = user;
	memcpy(h->out.p + h->nout, head, NET_H2_FRAME_HEAD);
	h->nout += NET_H2_FRAME_HEAD + n;
	return NGHTTP2_ERR_PAUSE; /* sent; send_frames() looks whether there is room for more */
}

/* --- making one -------------------------------------------------------------------------------*/

static nghttp2_session *session_of(struct net_h2 *h)
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

void net_h2_session_open(struct net_h2 *h)
{
	h->ng = session_of(h);
	submit_settings(h);
}
