#include <stdlib.h>

#include "src/ev/ev.h"
#include "src/ev/ev_internal.h"

struct timer_impl {
	struct heap_node node;
	struct ev_timer *owner;
};

void ev_timer_init(struct ev_timer *t, struct ev_loop *l, void (*fn)(struct ev_timer *t))
{
	struct timer_impl *impl = ln_alloc(sizeof(*impl));
	heap_node_init(&impl->node);
	impl->owner = t;
	*t = (struct ev_timer){ .loop = l, .fn = fn, .impl = impl };
}

void ev_timer_at(struct ev_timer *t, ln_time deadline)
{
	struct timer_impl *impl = t->impl;
	heap_set(&t->loop->timers, &impl->node, deadline);
}

void ev_timer_stop(struct ev_timer *t)
{
	struct timer_impl *impl = t->impl;
	if (impl != NULL)
		heap_remove(&t->loop->timers, &impl->node);
}

void ev_timer_fini(struct ev_timer *t)
{
	ev_timer_stop(t);
	free(t->impl);
	t->impl = NULL;
}

void ev_timer_run_due(struct ev_loop *l, ln_time now)
{
	/* Bounded by what was there, so that timers armed for "now" cannot hold the turn. */
	for (size_t budget = l->timers.count; budget != 0; budget--) {
		struct heap_node *n = heap_top(&l->timers);
		if (n == NULL || n->at > now)
			return;
		heap_remove(&l->timers, n);
		if (n == &l->turn_limit)
			continue;
		struct ev_timer *t = ln_container(n, struct timer_impl, node)->owner;
		t->fn(t);
	}
}
