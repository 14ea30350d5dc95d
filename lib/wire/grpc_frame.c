#include "lib/wire/grpc_frame.h"

#include <stdlib.h>

#define FIRST_CAP 1024u

void grpc_frame_reader_init(struct grpc_frame_reader *r, size_t max)
{
	*r = (struct grpc_frame_reader){ .max = max };
}

static void drop_buffer(struct grpc_frame_reader *r)
{
	free(r->buf);
	r->buf = NULL;
	r->got = 0;
	r->cap = 0;
	r->handed_out = false;
}

void grpc_frame_reader_fini(struct grpc_frame_reader *r)
{
	drop_buffer(r);
	r->nhead = 0;
}

static size_t message_length(const struct grpc_frame_reader *r)
{
	return (size_t)r->head[1] << 24 | (size_t)r->head[2] << 16 | (size_t)r->head[3] << 8 |
	       (size_t)r->head[4];
}

static void keep(struct grpc_frame_reader *r, struct slice s, size_t len)
{
	if (s.n == 0)
		return;
	if (r->got + s.n > r->cap) {
		size_t cap = r->cap != 0 ? r->cap : FIRST_CAP;
		while (cap < r->got + s.n)
			cap *= 2;
		r->cap = LN_MIN(cap, len);
		r->buf = ln_realloc(r->buf, r->cap);
	}
	memcpy(r->buf + r->got, s.p, s.n);
	r->got += s.n;
}

int grpc_frame_read(struct grpc_frame_reader *r, struct slice *in, struct slice *ret_msg)
{
	if (r->handed_out)
		drop_buffer(r);
	while (r->nhead < GRPC_FRAME_HEAD) {
		if (in->n == 0)
			return 0;
		r->head[r->nhead++] = in->p[0];
		*in = slice_after(*in, 1);
	}
	if (r->head[0] > 1)
		return LN_E_MALFORMED;
	if (r->head[0] == 1)
		return LN_E_UNSUPPORTED;
	size_t len = message_length(r);
	if (len > r->max)
		return LN_E_LIMIT;
	if (r->got == 0 && in->n >= len) {
		*ret_msg = slice_of(in->p, len);
		*in = slice_after(*in, len);
		r->nhead = 0;
		return 1;
	}
	size_t n = LN_MIN(in->n, len - r->got);
	keep(r, slice_of(in->p, n), len);
	*in = slice_after(*in, n);
	if (r->got < len)
		return 0;
	*ret_msg = slice_of(r->buf, len);
	r->handed_out = true;
	r->nhead = 0;
	return 1;
}

size_t grpc_frame_held(const struct grpc_frame_reader *r)
{
	return r->handed_out ? 0 : r->cap;
}

bool grpc_frame_at_boundary(const struct grpc_frame_reader *r)
{
	return r->nhead == 0;
}

void grpc_frame_head(uint8_t dst[GRPC_FRAME_HEAD], uint32_t len)
{
	dst[0] = 0;
	dst[1] = (uint8_t)(len >> 24);
	dst[2] = (uint8_t)(len >> 16);
	dst[3] = (uint8_t)(len >> 8);
	dst[4] = (uint8_t)len;
}
