#include "lib/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_MIN 4096u
#define ALIGN 16u

struct arena_chunk {
	struct arena_chunk *next;
	size_t used;
	size_t size;
	size_t pad;
	uint8_t bytes[];
};

void arena_init(struct arena *a, size_t limit)
{
	*a = (struct arena){ .limit = limit };
}

void arena_reset(struct arena *a)
{
	while (a->chunks != NULL) {
		struct arena_chunk *c = a->chunks;
		a->chunks = c->next;
		free(c);
	}
	a->used = 0;
}

void arena_fini(struct arena *a)
{
	arena_reset(a);
	a->limit = 0;
}

static struct arena_chunk *new_chunk(struct arena *a, size_t need)
{
	size_t size = LN_MAX(need, LN_MIN(LN_MAX(a->used, CHUNK_MIN), (size_t)1 << 20));
	struct arena_chunk *c = malloc(sizeof(*c) + size);
	if (c == NULL)
		return NULL;
	*c = (struct arena_chunk){ .next = a->chunks, .size = size };
	a->chunks = c;
	return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
	if (n > a->limit || a->used > a->limit - n)
		return NULL;
	size_t need = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (need == 0)
		need = ALIGN;
	struct arena_chunk *c = a->chunks;
	if (c == NULL || c->size - c->used < need) {
		c = new_chunk(a, need);
		if (c == NULL)
			return NULL;
	}
	void *p = c->bytes + c->used;
	c->used += need;
	a->used += need;
	memset(p, 0, need);
	return p;
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
	size_t n;
	if (__builtin_mul_overflow(count, size, &n))
		return NULL;
	return arena_alloc(a, n);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	if (n == SIZE_MAX)
		return NULL;
	char *p = arena_alloc(a, n + 1);
	if (p != NULL && n != 0)
		memcpy(p, s, n);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (p != NULL)
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

struct slice arena_slice(struct arena *a, struct slice s)
{
	if (s.n == 0)
		return slice_of(NULL, 0);
	uint8_t *p = arena_alloc(a, s.n);
	if (p != NULL)
		memcpy(p, s.p, s.n);
	return slice_of(p, p != NULL ? s.n : 0);
}
