#pragma once
/*
 * Binary heap of deadlines: the earliest is at the top, moving one costs O(log n). Nodes are
 * embedded in their owner; a node that is not in the heap has index HEAP_NONE. The heap owns its
 * pointer array only.
 */
#include "lib/base/err.h"
#include "lib/base/time.h"

#define HEAP_NONE ((size_t)-1)

struct heap_node {
	ln_time at;
	size_t index;
};

struct heap {
	struct heap_node **v;
	size_t count;
	size_t cap;
};

static inline void heap_node_init(struct heap_node *n)
{
	n->at = LN_TIME_NEVER;
	n->index = HEAP_NONE;
}

void heap_init(struct heap *h);
void heap_fini(struct heap *h);
/* Inserts, moves or (at == LN_TIME_NEVER) removes the node. */
void heap_set(struct heap *h, struct heap_node *n, ln_time at);
void heap_remove(struct heap *h, struct heap_node *n); /* no-op when not inside */
/* The earliest node or null; stays in the heap. */
struct heap_node *heap_top(const struct heap *h);
/* The earliest deadline, LN_TIME_NEVER when empty. */
ln_time heap_deadline(const struct heap *h);
