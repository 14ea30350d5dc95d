#include "lib/mgmt/mgmt_block.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/map.h"

void mgmt_block_free(struct mgmt_block *b)
{
	if (b == NULL)
		return;
	free(b->bytes);
	free(b->ends);
	free(b->hashes);
	free(b);
}

uint8_t *mgmt_block_room(struct mgmt_block *b, size_t n)
{
	if (b->cap - b->n < n) {
		b->cap = LN_MAX(b->cap * 2, b->n + n);
		b->bytes = ln_realloc(b->bytes, b->cap);
	}
	return b->bytes + b->n;
}

/* What was written since the last entry is the next one. */
static void add_entry(struct mgmt_block *b, const uint64_t seed[2])
{
	size_t from = b->nentries > 0 ? b->ends[b->nentries - 1] : 0;
	b->ends[b->nentries] = b->n;
	b->hashes[b->nentries] = map_hash(seed, slice_of(b->bytes + from, b->n - from));
	b->sum += b->hashes[b->nentries];
	b->nentries++;
}

static void add_run(struct mgmt_block *b, const struct mgmt_block *from, size_t first, size_t end)
{
	struct slice run = mgmt_block_run(from, first, end);
	size_t shift = b->n - (first > 0 ? from->ends[first - 1] : 0); /* may wrap, and back */
	if (run.n > 0)
		memcpy(mgmt_block_room(b, run.n), run.p, run.n);
	b->n += run.n;
	for (size_t i = first; i < end; i++) {
		b->ends[b->nentries] = from->ends[i] + shift;
		b->hashes[b->nentries++] = from->hashes[i];
		b->sum += from->hashes[i];
	}
}

/* How many entries from i on can be copied as one run. */
static size_t run_from(const struct mgmt_block_spec *spec, size_t i)
{
	size_t n = 0;
	if (spec->before == NULL || spec->was[i] == MGMT_BLOCK_NEW)
		return 0;
	do {
		n++;
	} while (i + n < spec->nentries && spec->was[i + n] == spec->was[i] + n);
	return n;
}

struct mgmt_block *mgmt_block_make(const struct mgmt_block_spec *spec)
{
	struct mgmt_block *b = ln_alloc(sizeof(*b));
	b->ends = ln_calloc(LN_MAX(spec->nentries, 1u), sizeof(*b->ends));
	b->hashes = ln_calloc(LN_MAX(spec->nentries, 1u), sizeof(*b->hashes));
	if (spec->before != NULL)
		(void)mgmt_block_room(b, spec->before->n);
	while (b->nentries < spec->nentries && b->n <= spec->limit) {
		size_t run = run_from(spec, b->nentries);
		if (run > 0) {
			size_t first = spec->was[b->nentries];
			add_run(b, spec->before, first, first + run);
		} else {
			spec->fn(b, spec->ctx, b->nentries);
			add_entry(b, spec->seed);
		}
	}
	if (b->n > spec->limit) {
		mgmt_block_free(b);
		return NULL;
	}
	if (b->cap > b->n && b->n > 0) {
		b->bytes = ln_realloc(b->bytes, b->n);
		b->cap = b->n;
	}
	return b;
}

size_t mgmt_block_memory(const struct mgmt_block *b)
{
	return sizeof(*b) + b->cap + b->nentries * (sizeof(*b->ends) + sizeof(*b->hashes));
}
