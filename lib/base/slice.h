#pragma once
/*
 * Bytes with a length. `struct slice` is read, `struct mslice` is written. Neither owns anything:
 * whoever hands one out says how long the bytes live.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *p;
	size_t n;
};

struct mslice {
	uint8_t *p;
	size_t n;
};

static inline struct slice slice_of(const void *p, size_t n)
{
	return (struct slice){ .p = p, .n = n };
}

static inline struct slice slice_str(const char *s)
{
	return (struct slice){ .p = (const uint8_t *)s, .n = s != NULL ? strlen(s) : 0 };
}

static inline struct slice slice_from(struct mslice m)
{
	return (struct slice){ .p = m.p, .n = m.n };
}

static inline struct mslice mslice_of(void *p, size_t n)
{
	return (struct mslice){ .p = p, .n = n };
}

/* Not constant-time: secrets are compared with ct_equal (lib/crypto/ct.h). */
static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_is(struct slice a, const char *s)
{
	return slice_equal(a, slice_str(s));
}

static inline bool slice_has_prefix(struct slice a, struct slice prefix)
{
	return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}

/* The bytes [from, a.n) of a; empty when from lies behind the end. */
static inline struct slice slice_after(struct slice a, size_t from)
{
	return from >= a.n ? slice_of(a.p, 0) : slice_of(a.p + from, a.n - from);
}
