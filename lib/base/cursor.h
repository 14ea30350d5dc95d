#pragma once
/*
 * Reading and writing wire formats with one check at the end.
 *
 * Both types keep a sticky error: after the first failure every read yields zero and every write
 * is dropped. Read all fields, then ask cursor_done() (which also says whether bytes are left) or
 * look at .err. Integers are big-endian unless the name says le.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

struct cursor {
	const uint8_t *p;
	const uint8_t *end;
	int err; /* 0, LN_E_TRUNCATED or what cursor_fail() set */
};

static inline struct cursor cursor_of(struct slice s)
{
	return (struct cursor){ .p = s.p, .end = s.p + s.n };
}

static inline size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

void cursor_fail(struct cursor *c, int err); /* keeps the first error */
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
uint16_t cursor_le16(struct cursor *c);
uint32_t cursor_le32(struct cursor *c);
uint64_t cursor_le64(struct cursor *c);
/* n bytes in place (valid as long as the input); empty slice on failure. */
struct slice cursor_bytes(struct cursor *c, size_t n);
void cursor_copy(struct cursor *c, void *dst, size_t n); /* zeroes dst on failure */
void cursor_skip(struct cursor *c, size_t n);
/* 0 when everything was read and nothing failed; LN_E_MALFORMED when bytes are left. */
LN_MUST_CHECK int cursor_done(const struct cursor *c);

struct writer {
	uint8_t *start;
	uint8_t *p;
	uint8_t *end;
	int err; /* 0 or LN_E_LIMIT */
};

static inline struct writer writer_of(struct mslice m)
{
	return (struct writer){ .start = m.p, .p = m.p, .end = m.p + m.n };
}

static inline size_t writer_len(const struct writer *w)
{
	return (size_t)(w->p - w->start);
}

void writer_u8(struct writer *w, uint8_t v);
void writer_u16(struct writer *w, uint16_t v);
void writer_u32(struct writer *w, uint32_t v);
void writer_u64(struct writer *w, uint64_t v);
void writer_le16(struct writer *w, uint16_t v);
void writer_le32(struct writer *w, uint32_t v);
void writer_le64(struct writer *w, uint64_t v);
void writer_bytes(struct writer *w, struct slice s);
void writer_zero(struct writer *w, size_t n);
/* Room for n bytes to be filled by the caller; null on failure. */
uint8_t *writer_reserve(struct writer *w, size_t n);
/* What was written; empty slice after a failure. */
struct slice writer_slice(const struct writer *w);
