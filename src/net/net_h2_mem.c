#include "src/net/net_h2_mem.h"

#include <stdlib.h>

#include "src/ev/ev.h"

#define ALIGN 16 /* what malloc() promises; a power of two */
#define HEAD 16  /* before each piece: its size, for realloc */

static bool in_slot(const struct net_h2_mem *m, const void *p)
{
	const uint8_t *b = p;
	return b >= m->slot && b < m->slot + EV_SLOT_SIZE;
}

/* From the slot while the session is being made and room is left; else null. Zeroed. */
static void *cut(struct net_h2_mem *m, size_t n)
{
	if (m->born || n > EV_SLOT_SIZE)
		return NULL;
	size_t whole = HEAD + ((n + ALIGN - 1) & ~(size_t)(ALIGN - 1));
	if (whole > EV_SLOT_SIZE - m->used)
		return NULL;
	uint8_t *p = m->slot + m->used;
	m->used += whole;
	memcpy(p, &n, sizeof(n));
	return p + HEAD;
}

static void *mem_malloc(size_t n, void *user)
{
	void *p = cut(user, n);
	return p != NULL ? p : malloc(n);
}

static void *mem_calloc(size_t n, size_t size, void *user)
{
	void *p = size == 0 || n <= EV_SLOT_SIZE / size ? cut(user, n * size) : NULL;
	return p != NULL ? p : calloc(n, size);
}

static void mem_free(void *p, void *user)
{
	if (!in_slot(user, p))
		free(p);
}

static void *mem_realloc(void *p, size_t n, void *user)
{
	size_t had;
	if (p == NULL)
		return mem_malloc(n, user);
	if (!in_slot(user, p))
		return realloc(p, n);
	memcpy(&had, (uint8_t *)p - HEAD, sizeof(had));
	if (n <= had)
		return p;
	void *fresh = malloc(n);
	if (fresh != NULL)
		memcpy(fresh, p, had);
	return fresh;
}

void net_h2_mem_init(struct net_h2_mem *m, struct ev_loop *l)
{
	*m = (struct net_h2_mem){ .loop = l, .slot = ev_slot_take(l) };
	m->mem = (nghttp2_mem){ .mem_user_data = m,
				.malloc = mem_malloc,
				.free = mem_free,
				.calloc = mem_calloc,
				.realloc = mem_realloc };
}

void net_h2_mem_fini(struct net_h2_mem *m)
{
	ev_slot_give(m->loop, m->slot);
	m->slot = NULL;
}
