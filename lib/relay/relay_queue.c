#include "lib/relay/relay_queue.h"

#include <stdlib.h>

/* Kept for the next burst; the rest goes back to the system. */
#define SPARE_MAX 64

struct relay_chunk {
	struct relay_chunk *next;
	size_t start, end;
	uint16_t flow[RELAY_QUEUE_FLOWS]; /* a chunk holds less than 64 KiB */
	uint8_t data[RELAY_QUEUE_CHUNK];
};

void relay_pool_init(struct relay_pool *p, size_t max_bytes)
{
	*p = (struct relay_pool){ .max_used = max_bytes / sizeof(struct relay_chunk) + 1 };
}

void relay_pool_fini(struct relay_pool *p)
{
	ln_assert(p->nused == 0);
	while (p->spare != NULL) {
		struct relay_chunk *c = p->spare;
		p->spare = c->next;
		free(c);
	}
	p->nspare = 0;
}

static struct relay_chunk *take(struct relay_pool *p)
{
	struct relay_chunk *c = p->spare;
	if (c != NULL) {
		p->spare = c->next;
		p->nspare--;
	} else {
		/* Not cleared: 16 KiB that will be overwritten. */
		c = ln_realloc(NULL, sizeof(*c));
	}
	c->next = NULL;
	c->start = c->end = 0;
	memset(c->flow, 0, sizeof(c->flow));
	p->nused++;
	return c;
}

static void give(struct relay_pool *p, struct relay_chunk *c)
{
	p->nused--;
	if (p->nspare >= SPARE_MAX) {
		free(c);
		return;
	}
	c->next = p->spare;
	p->spare = c;
	p->nspare++;
}

static bool fits(const struct relay_queue *q, size_t n)
{
	return q->tail != NULL && RELAY_QUEUE_CHUNK - q->tail->end >= n;
}

static uint8_t *add(struct relay_pool *p, struct relay_queue *q, size_t n, unsigned flow)
{
	struct relay_chunk *c = q->tail;
	ln_assert(n <= RELAY_QUEUE_CHUNK && flow < RELAY_QUEUE_FLOWS);
	if (!fits(q, n)) {
		c = take(p);
		if (q->tail != NULL)
			q->tail->next = c;
		else
			q->head = c;
		q->tail = c;
	}
	uint8_t *at = c->data + c->end;
	c->end += n;
	c->flow[flow] = (uint16_t)(c->flow[flow] + n);
	q->bytes += n;
	return at;
}

uint8_t *relay_queue_add(struct relay_pool *p, struct relay_queue *q, size_t n, unsigned flow)
{
	return fits(q, n) || p->nused < p->max_used ? add(p, q, n, flow) : NULL;
}

uint8_t *relay_queue_must_add(struct relay_pool *p, struct relay_queue *q, size_t n)
{
	return add(p, q, n, 0);
}

size_t relay_queue_view(const struct relay_queue *q, struct slice *dst, size_t max)
{
	size_t n = 0;
	for (struct relay_chunk *c = q->head; c != NULL && n < max; c = c->next)
		dst[n++] = slice_of(c->data + c->start, c->end - c->start);
	return n;
}

void relay_queue_drop(struct relay_pool *p, struct relay_queue *q, size_t n)
{
	ln_assert(n <= q->bytes);
	q->bytes -= n;
	while (q->head != NULL) {
		struct relay_chunk *c = q->head;
		size_t part = LN_MIN(n, c->end - c->start);
		c->start += part;
		n -= part;
		if (c->start != c->end)
			return;
		q->head = c->next;
		if (q->head == NULL)
			q->tail = NULL;
		give(p, c);
	}
}

void relay_queue_clear(struct relay_pool *p, struct relay_queue *q)
{
	relay_queue_drop(p, q, q->bytes);
}

static size_t chunks(const struct relay_queue *q)
{
	size_t n = 0;
	for (const struct relay_chunk *c = q->head; c != NULL; c = c->next)
		n++;
	return n;
}

void relay_queue_leave(struct relay_pool *p, const struct relay_queue *q)
{
	p->nused -= chunks(q);
}

void relay_queue_enter(struct relay_pool *p, const struct relay_queue *q)
{
	p->nused += chunks(q);
}

void relay_queue_join(struct relay_queue *dst, struct relay_queue *q)
{
	if (q->head == NULL)
		return;
	if (dst->tail != NULL)
		dst->tail->next = q->head;
	else
		dst->head = q->head;
	dst->tail = q->tail;
	dst->bytes += q->bytes;
	*q = (struct relay_queue){ .bytes = 0 };
}

size_t relay_queue_flow(const struct relay_queue *q, unsigned flow)
{
	size_t n = 0;
	for (struct relay_chunk *c = q->head; c != NULL; c = c->next)
		n += c->flow[flow];
	return n;
}
