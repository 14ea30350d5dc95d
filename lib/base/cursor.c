#include "lib/base/cursor.h"

void cursor_fail(struct cursor *c, int err)
{
	if (c->err == 0)
		c->err = err;
	c->p = c->end;
}

static const uint8_t *take(struct cursor *c, size_t n)
{
	if (c->err != 0 || cursor_left(c) < n) {
		cursor_fail(c, LN_E_TRUNCATED);
		return NULL;
	}
	const uint8_t *p = c->p;
	c->p += n;
	return p;
}

uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *p = take(c, 1);
	return p != NULL ? *p : 0;
}

uint16_t cursor_u16(struct cursor *c)
{
	const uint8_t *p = take(c, 2);
	return p != NULL ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

uint32_t cursor_u32(struct cursor *c)
{
	uint32_t be = 0;
	const uint8_t *p = take(c, sizeof(be));
	if (p != NULL)
		memcpy(&be, p, sizeof(be));
	return __builtin_bswap32(be);
}

uint64_t cursor_u64(struct cursor *c)
{
	uint64_t be = 0;
	const uint8_t *p = take(c, sizeof(be));
	if (p != NULL)
		memcpy(&be, p, sizeof(be));
	return __builtin_bswap64(be);
}

uint16_t cursor_le16(struct cursor *c)
{
	return __builtin_bswap16(cursor_u16(c));
}

uint32_t cursor_le32(struct cursor *c)
{
	return __builtin_bswap32(cursor_u32(c));
}

uint64_t cursor_le64(struct cursor *c)
{
	return __builtin_bswap64(cursor_u64(c));
}

struct slice cursor_bytes(struct cursor *c, size_t n)
{
	const uint8_t *p = take(c, n);
	return p != NULL ? slice_of(p, n) : slice_of(c->end, 0);
}

void cursor_copy(struct cursor *c, void *dst, size_t n)
{
	const uint8_t *p = take(c, n);
	if (p != NULL)
		memcpy(dst, p, n);
	else
		memset(dst, 0, n);
}

void cursor_skip(struct cursor *c, size_t n)
{
	(void)take(c, n);
}

int cursor_done(const struct cursor *c)
{
	if (c->err != 0)
		return c->err;
	return c->p == c->end ? 0 : LN_E_MALFORMED;
}

uint8_t *writer_reserve(struct writer *w, size_t n)
{
	if (w->err != 0 || (size_t)(w->end - w->p) < n) {
		w->err = LN_E_LIMIT;
		return NULL;
	}
	uint8_t *p = w->p;
	w->p += n;
	return p;
}

void writer_bytes(struct writer *w, struct slice s)
{
	uint8_t *p = writer_reserve(w, s.n);
	if (p != NULL && s.n != 0)
		memcpy(p, s.p, s.n);
}

void writer_zero(struct writer *w, size_t n)
{
	uint8_t *p = writer_reserve(w, n);
	if (p != NULL)
		memset(p, 0, n);
}

void writer_u8(struct writer *w, uint8_t v)
{
	writer_bytes(w, slice_of(&v, 1));
}

void writer_u16(struct writer *w, uint16_t v)
{
	uint16_t be = __builtin_bswap16(v);
	writer_bytes(w, slice_of(&be, sizeof(be)));
}

void writer_u32(struct writer *w, uint32_t v)
{
	uint32_t be = __builtin_bswap32(v);
	writer_bytes(w, slice_of(&be, sizeof(be)));
}

void writer_u64(struct writer *w, uint64_t v)
{
	uint64_t be = __builtin_bswap64(v);
	writer_bytes(w, slice_of(&be, sizeof(be)));
}

void writer_le16(struct writer *w, uint16_t v)
{
	writer_bytes(w, slice_of(&v, sizeof(v)));
}

void writer_le32(struct writer *w, uint32_t v)
{
	writer_bytes(w, slice_of(&v, sizeof(v)));
}

void writer_le64(struct writer *w, uint64_t v)
{
	writer_bytes(w, slice_of(&v, sizeof(v)));
}

struct slice writer_slice(const struct writer *w)
{
	return w->err != 0 ? slice_of(w->start, 0) : slice_of(w->start, writer_len(w));
}
