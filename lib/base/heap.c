#include "lib/base/heap.h"

#include <stdlib.h>

void heap_init(struct heap *h)
{
	*h = (struct heap){ 0 };
}

void heap_fini(struct heap *h)
{
	free(h->v);
	heap_init(h);
}

static void place(struct heap *h, size_t i, struct heap_node *n)
{
	h->v[i] = n;
	n->index = i;
}

static void sift_up(struct heap *h, size_t i)
{
	struct heap_node *n = h->v[i];
	for (; i > 0 && n->at < h->v[(i - 1) / 2]->at; i = (i - 1) / 2)
		place(h, i, h->v[(i - 1) / 2]);
	place(h, i, n);
}

static void sift_down(struct heap *h, size_t i)
{
	struct heap_node *n = h->v[i];
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= h->count)
			break;
		if (child + 1 < h->count && h->v[child + 1]->at < h->v[child]->at)
			child++;
		if (n->at <= h->v[child]->at)
			break;
		place(h, i, h->v[child]);
		i = child;
	}
	place(h, i, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
	if (n->index == HEAP_NONE)
		return;
	size_t i = n->index;
	ln_assert(i < h->count && h->v[i] == n);
	struct heap_node *last = h->v[--h->count];
	n->index = HEAP_NONE;
	n->at = LN_TIME_NEVER;
	if (last == n)
		return;
	place(h, i, last);
	sift_up(h, i);
	sift_down(h, last->index);
}

void heap_set(struct heap *h, struct heap_node *n, ln_time at)
{
	if (at == LN_TIME_NEVER) {
		heap_remove(h, n);
		return;
	}
	if (n->index == HEAP_NONE) {
		if (h->count == h->cap) {
			h->cap = h->cap != 0 ? h->cap * 2 : 16;
			h->v = ln_realloc(h->v, h->cap * sizeof(*h->v));
		}
		place(h, h->count++, n);
	}
	n->at = at;
	sift_up(h, n->index);
	sift_down(h, n->index);
}

struct heap_node *heap_top(const struct heap *h)
{
	return h->count != 0 ? h->v[0] : NULL;
}

ln_time heap_deadline(const struct heap *h)
{
	return h->count != 0 ? h->v[0]->at : LN_TIME_NEVER;
}
