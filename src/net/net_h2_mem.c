#include "src/net/net_h2_mem.h"

#include <stdlib.h>

#include "src/ev/ev.h"

#define ALIGN 16 /* what malloc() promises; a power of two */
#define HEAD 16  /* before each piece: its size, for realloc */
#define PAGE 4096
#define FRAME_BUFFER 16384 /* at least: the one piece that is larger */
#define FRAME_SMALL 512    /* of it that lies in the page before, for small frames */
#define SMALL 512          /* pieces that may use the rest of that page */

static bool in_slot(const struct net_h2_mem *m, const void *p)
{
	const uint8_t *b = p;
	return b >= m->slot && b < m->slot + EV_SLOT_SIZE;
}

/* Lets the frame buffer begin shortly before the next page, and remembers what lies between. */
static void leave_rest(struct net_h2_mem *m)
{
	size_t end = ((m->used + PAGE - 1) & ~(size_t)(PAGE - 1)) - FRAME_SMALL;
	if (end <= m->used)
		return;
	m->rest = m->used;
	m->rest_end = m->used = end;
}

/*
 * From the slot while the session is being made, later from the rest; null when there is no room.
 * Zeroed: a piece that was freed is not used again.
 */
static void *cut(struct net_h2_mem *m, size_t n)
{
	if (n > (m->born ? SMALL : EV_SLOT_SIZE))
		return NULL;
	if (!m->born && n >= FRAME_BUFFER)
		leave_rest(m);
	size_t *at = m->born ? &m->rest : &m->used;
	size_t end = m->born ? m->rest_end : EV_SLOT_SIZE;
	size_t whole = HEAD + ((n + ALIGN - 1) & ~(size_t)(ALIGN - 1));
	if (whole > end - *at)
		return NULL;
	uint8_t *p = m->slot + *at;
	*at += whole;
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
