#include "lib/base/str.h"

#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_LIMIT ((size_t)16 << 20)

void str_init(struct str *b, size_t limit)
{
	*b = (struct str){ .limit = limit };
}

void str_fini(struct str *b)
{
	free(b->s);
	*b = (struct str){ .limit = b->limit };
}

void str_clear(struct str *b)
{
	b->n = 0;
	b->err = 0;
	if (b->s != NULL)
		b->s[0] = '\0';
}

/* Room for n more bytes and the zero, or the sticky error. */
static bool grow(struct str *b, size_t n)
{
	size_t limit = b->limit != 0 ? b->limit : DEFAULT_LIMIT;
	if (b->err != 0 || n > limit || b->n > limit - n) {
		b->err = LN_E_LIMIT;
		return false;
	}
	size_t need = b->n + n + 1;
	if (need > b->cap) {
		size_t cap = LN_MAX(need, LN_MAX((size_t)64, b->cap * 2));
		b->s = ln_realloc(b->s, cap);
		b->cap = cap;
	}
	return true;
}

void str_addn(struct str *b, const void *p, size_t n)
{
	if (!grow(b, n))
		return;
	if (n != 0)
		memcpy(b->s + b->n, p, n);
	b->n += n;
	b->s[b->n] = '\0';
}

void str_add(struct str *b, const char *s)
{
	str_addn(b, s, strlen(s));
}

void str_addc(struct str *b, char c)
{
	str_addn(b, &c, 1);
}

void str_addv(struct str *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	if (n >= 0 && grow(b, (size_t)n)) {
		vsnprintf(b->s + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

void str_addf(struct str *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	str_addv(b, fmt, ap);
	va_end(ap);
}

void str_consume(struct str *b, size_t n)
{
	ln_assert(n <= b->n);
	if (n == 0)
		return;
	memmove(b->s, b->s + n, b->n - n);
	b->n -= n;
	b->s[b->n] = '\0';
}
