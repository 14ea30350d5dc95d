#pragma once
/*
 * A growing byte string with a limit, always terminated by a zero byte. Sticky error: after the
 * limit was reached appends do nothing and .err is LN_E_LIMIT. Owner frees it with str_fini().
 */
#include <stdarg.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct str {
	char *s; /* null until the first append: use str_c() */
	size_t n;
	size_t cap;
	size_t limit; /* most bytes without the zero; 0 means 16 MiB */
	int err;
};

void str_init(struct str *b, size_t limit);
void str_fini(struct str *b);
void str_clear(struct str *b); /* empties, keeps the memory, clears the error */
void str_add(struct str *b, const char *s);
void str_addn(struct str *b, const void *p, size_t n);
void str_addc(struct str *b, char c);
void str_addf(struct str *b, const char *fmt, ...) LN_PRINTF(2, 3);
void str_addv(struct str *b, const char *fmt, va_list ap) LN_PRINTF(2, 0);
/* Drops the first n bytes (n <= b->n). */
void str_consume(struct str *b, size_t n);

static inline const char *str_c(const struct str *b)
{
	return b->s != NULL ? b->s : "";
}

static inline struct slice str_slice(const struct str *b)
{
	return slice_of(b->s, b->n);
}
