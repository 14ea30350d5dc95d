#include "tests/sim/sim_clock.h"

#include <string.h>

void sim_clock_init(struct sim_clock *c)
{
	*c = (struct sim_clock){ 0 };
	heap_init(&c->queue);
}

void sim_clock_fini(struct sim_clock *c)
{
	heap_fini(&c->queue);
}

void sim_event_init(struct sim_event *e, void (*fn)(struct sim_event *e))
{
	heap_node_init(&e->node);
	e->fn = fn;
}

void sim_clock_at(struct sim_clock *c, struct sim_event *e, ln_time at)
{
	heap_set(&c->queue, &e->node, at);
}

void sim_clock_run(struct sim_clock *c, ln_time until)
{
	while (heap_deadline(&c->queue) <= until) {
		struct heap_node *n = heap_top(&c->queue);
		struct sim_event *e = ln_container(n, struct sim_event, node);
		if (n->at > c->now)
			c->now = n->at;
		heap_remove(&c->queue, n);
		c->events++;
		e->fn(e);
	}
	c->now = until;
}

/* Steele, Lea, Flood: splitmix64. */
static uint64_t next(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void fill(void *ctx, void *dst, size_t n)
{
	uint8_t *p = dst;
	while (n != 0) {
		uint64_t v = next(ctx);
		size_t take = LN_MIN(n, sizeof(v));
		memcpy(p, &v, take);
		p += take;
		n -= take;
	}
}

void sim_rng_init(struct sim_rng *r, uint64_t seed)
{
	r->state = seed;
	r->rng = (struct ln_rng){ fill, &r->state };
}

int64_t sim_rng_between(struct sim_rng *r, int64_t low, int64_t high)
{
	return low + rng_below64(&r->rng, high - low + 1);
}

bool sim_rng_chance(struct sim_rng *r, unsigned permille)
{
	return rng_below(&r->rng, 1000) < permille;
}
