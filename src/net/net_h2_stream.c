#include <stdlib.h>

#include "src/net/net_h2_internal.h"

#define FIELDS_MAX 64

void net_h2_stream_free(struct net_h2_stream *st)
{
	st->h2->nstreams--;
	list_remove(&st->link);
	list_remove(&st->notify);
	net_headers_fini(&st->headers);
	free(st);
}

struct net_h2_stream *net_h2_stream_new(struct net_h2 *h, int32_t id)
{
	struct net_h2_stream *st = ln_alloc(sizeof(*st));
	st->h2 = h;
	st->id = id;
	list_init(&st->notify);
	list_add_tail(&h->streams, &st->link);
	h->nstreams++;
	return st;
}

ssize_t net_h2_stream_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len,
			   uint32_t *flags, nghttp2_data_source *src, void *user)
{
	struct net_h2 *h = user;
	struct net_h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);
	if (st == NULL || st->ops == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	enum net_h2_eof eof = NET_H2_MORE;
	size_t room = h->out.n - h->nout - NET_H2_FRAME_HEAD;
	size_t n =
		st->ops->read(st, h->out.p + h->nout + NET_H2_FRAME_HEAD, LN_MIN(len, room), &eof);
	if (n != 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (eof != NET_H2_MORE)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (eof == NET_H2_TRAILERS)
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	return n == 0 && eof == NET_H2_MORE ? NGHTTP2_ERR_DEFERRED : (ssize_t)n;
}

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
	nghttp2_data_provider prd = { .read_callback = net_h2_stream_read };
	if (st->h2->dead)
		return LN_E_CLOSED;
	int r = nghttp2_submit_response(st->h2->ng, st->id, nv, fields_to_nv(f, n, nv),
					body ? &prd : NULL);
	net_h2_flush(st->h2);
	return r == 0 ? 0 : LN_E_STATE;
}

int net_h2_request(struct net_h2 *h, const struct net_h2_field *f, size_t n,
		   const struct net_h2_stream_ops *ops, void *user, struct net_h2_stream **ret)
{
	nghttp2_nv nv[FIELDS_MAX];
	nghttp2_data_provider prd = { .read_callback = net_h2_stream_read };
	if (h->dead || !nghttp2_session_check_request_allowed(h->ng))
		return LN_E_CLOSED;
	struct net_h2_stream *st = net_h2_stream_new(h, 0);
	int32_t id = nghttp2_submit_request(h->ng, NULL, nv, fields_to_nv(f, n, nv), &prd, st);
	if (id < 0) {
		net_h2_stream_free(st);
		return LN_E_CLOSED;
	}
	st->id = id;
	st->ops = ops;
	st->user = user;
	net_h2_flush(h);
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
	net_h2_flush(st->h2);
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
	memcpy(data, NET_H2_CONFIRM_PING, 4);
	memcpy(data + 4, &h->confirms, sizeof(h->confirms));
	(void)nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, data);
	net_h2_flush(h);
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
	net_h2_flush(st->h2);
}
