#pragma once
/*
 * A list of encoded entries, one behind the other, with a hash of each: what a shelf is made of.
 * Owner: whoever called mgmt_block_make().
 */
#include "lib/base/slice.h"

#define MGMT_BLOCK_MAX ((size_t)256 << 20) /* no receiver takes a map of this size */
#define MGMT_BLOCK_NEW UINT32_MAX

/* Entry i is bytes[ends[i - 1] .. ends[i]). */
struct mgmt_block {
	uint8_t *bytes;
	size_t n, cap;
	size_t nentries;
	size_t *ends;
	uint64_t *hashes; /* of each entry */
	uint64_t sum;     /* of all hashes: the block as a set */
	bool kept;        /* by the shelf; else the one who asked frees it */
	bool used;        /* somebody asked for it */
};

/* Appends entry i with mgmt_block_room() and `n`. */
typedef void mgmt_block_entry_fn(struct mgmt_block *b, const void *ctx, size_t i);

/* What a block is made of. */
struct mgmt_block_spec {
	uint64_t seed[2]; /* of the hashes */
	size_t limit;     /* no longer than this */
	size_t nentries;
	mgmt_block_entry_fn *fn;
	const void *ctx;
	/*
	 * If there is one, of the same seed: where was[i] is not MGMT_BLOCK_NEW, entry i is that
	 * entry of it, copied.
	 */
	const struct mgmt_block *before;
	const uint32_t *was;
};

/* Null when it gets too long. */
struct mgmt_block *mgmt_block_make(const struct mgmt_block_spec *spec);
void mgmt_block_free(struct mgmt_block *b);
/* Room for n bytes at the end. */
uint8_t *mgmt_block_room(struct mgmt_block *b, size_t n);
size_t mgmt_block_memory(const struct mgmt_block *b);

static inline struct slice mgmt_block_run(const struct mgmt_block *b, size_t first, size_t end)
{
	size_t from = first > 0 ? b->ends[first - 1] : 0;
	return slice_of(b->bytes + from, first < end ? b->ends[end - 1] - from : 0);
}
