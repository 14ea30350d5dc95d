#pragma once
/*
 * Intrusive doubly linked list with a head node. A node that is in no list points to itself, so
 * list_remove() may be called twice. The list owns nothing.
 */
#include <stdbool.h>

#include "lib/base/err.h"

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert_before(struct list *at, struct list *node)
{
	node->prev = at->prev;
	node->next = at;
	at->prev->next = node;
	at->prev = node;
}

static inline void list_add_tail(struct list *head, struct list *node)
{
	list_insert_before(head, node);
}

static inline void list_add_head(struct list *head, struct list *node)
{
	list_insert_before(head->next, node);
}

static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* First node removed from the list, or null. */
static inline struct list *list_pop(struct list *head)
{
	if (list_empty(head))
		return NULL;
	struct list *n = head->next;
	list_remove(n);
	return n;
}

#define list_entry(node, type, member) ln_container(node, type, member)
#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The current node may be removed inside. */
#define list_for_each_safe(it, head)                                                               \
 for (struct list *it = (head)->next, *it##_n = it->next; it != (head);                            \
      it = it##_n, it##_n = it->next)
