#pragma once
/*
 * What waits to be written to one connection: bytes in chunks of a shared pool, in order, whole
 * messages only inside a chunk. An idle connection holds no chunk; the pool bounds all of them
 * together. Each chunk remembers how much of it came from which flow, so that one sender cannot
 * take the room of the others.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define RELAY_QUEUE_CHUNK 16384u /* what one TLS record carries */
#define RELAY_QUEUE_FLOWS 64u    /* a power of two */

struct relay_chunk;

struct relay_pool {
	struct relay_chunk *spare;
	size_t nspare;
	size_t nused;
	size_t max_used;
};

/* All zero is an empty queue. */
struct relay_queue {
	struct relay_chunk *head;
	struct relay_chunk *tail;
	size_t bytes;
};

void relay_pool_init(struct relay_pool *p, size_t max_bytes);
void relay_pool_fini(struct relay_pool *p); /* all queues are empty */

/* Room for n (at most RELAY_QUEUE_CHUNK) bytes at the end, to be filled now; null: pool is out. */
uint8_t *relay_queue_add(struct relay_pool *p, struct relay_queue *q, size_t n, unsigned flow);
/* The same whatever the pool holds: for the few bytes that must not be lost. */
uint8_t *relay_queue_must_add(struct relay_pool *p, struct relay_queue *q, size_t n);
/* Up to max slices from the front; their number. Valid until the queue changes. */
size_t relay_queue_view(const struct relay_queue *q, struct slice *dst, size_t max);
void relay_queue_drop(struct relay_pool *p, struct relay_queue *q, size_t n); /* n <= bytes */
void relay_queue_clear(struct relay_pool *p, struct relay_queue *q);
/*
 * Queues change their owner whole: leave() takes the chunks out of the pool's account, join() puts
 * them at the end of a queue that stands in nobody's (or of one in the same), enter() into the
 * account of another pool.
 */
void relay_queue_leave(struct relay_pool *p, const struct relay_queue *q);
void relay_queue_join(struct relay_queue *dst, struct relay_queue *q); /* q is empty then */
void relay_queue_enter(struct relay_pool *p, const struct relay_queue *q);
/* Bytes of one flow in the queue, counted by whole chunks. */
size_t relay_queue_flow(const struct relay_queue *q, unsigned flow);
