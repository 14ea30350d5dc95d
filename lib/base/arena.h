#pragma once
/*
 * Memory for one message, request or computation: handed out in order, freed as a whole, bounded.
 * Owner: whoever called arena_init(). Holds no descriptors. Nothing in it is ever freed singly.
 *
 * arena_alloc() returns null beyond the limit: sizes a peer can choose must come from here and turn
 * null into LN_E_LIMIT.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* newest first */
	size_t used;                /* bytes handed out, with alignment */
	size_t limit;               /* most bytes that may be handed out */
};

void arena_init(struct arena *a, size_t limit);
void arena_fini(struct arena *a);
void arena_reset(struct arena *a); /* frees everything, keeps the limit */
/* Zeroed, aligned to 16; null when the limit is reached or the system has no memory. */
void *arena_alloc(struct arena *a, size_t n);
/* count * size with overflow check. */
void *arena_calloc(struct arena *a, size_t count, size_t size);
/* Copies n bytes and adds a terminating zero. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) LN_PRINTF(2, 3);
/* Copy of s inside the arena; an empty slice stays empty. ret.p null on failure with s.n > 0. */
struct slice arena_slice(struct arena *a, struct slice s);
