#include "src/stun/stun_limit.h"

#include <stdlib.h>

#include "lib/base/map.h"

#define ROWS 1024
#define WAYS 8
#define V4_PREFIX 24
#define V6_PREFIX 56 /* what a site is commonly given (RFC 6177) */

struct bucket {
	uint64_t source; /* hash; 0 is free */
	ln_time at;      /* of `level` */
	int64_t level;   /* in nanoseconds of credit: one token is worth a second / rate */
};

struct stun_limit {
	uint64_t seed[2];
	ln_time cost;
	ln_time burst;
	struct bucket rows[ROWS][WAYS];
};

struct stun_limit *stun_limit_new(unsigned rate, unsigned burst, const struct ln_rng *rng)
{
	struct stun_limit *l = ln_alloc(sizeof(*l));
	l->seed[0] = rng_u64(rng);
	l->seed[1] = rng_u64(rng);
	l->cost = LN_SEC / rate;
	l->burst = (ln_time)burst * l->cost;
	return l;
}

void stun_limit_free(struct stun_limit *l)
{
	free(l);
}

static uint64_t source_of(const struct stun_limit *l, const struct ip_addr *addr)
{
	struct ip_prefix p = { .addr = *addr, .len = addr->family == 4 ? V4_PREFIX : V6_PREFIX };
	uint8_t compact[17];
	p = ip_prefix_mask(&p);
	uint64_t h = map_hash(l->seed, slice_of(compact, ip_prefix_to_compact(&p, compact)));
	return h != 0 ? h : 1;
}

/* The source's bucket, else the one of its row that was quiet longest, full again. */
static struct bucket *bucket_of(struct stun_limit *l, ln_time now, uint64_t source)
{
	struct bucket *row = l->rows[source % ROWS];
	struct bucket *oldest = &row[0];
	for (size_t i = 0; i < WAYS; i++) {
		if (row[i].source == source)
			return &row[i];
		if (row[i].source == 0 || (oldest->source != 0 && row[i].at < oldest->at))
			oldest = &row[i];
	}
	*oldest = (struct bucket){ .source = source, .at = now, .level = l->burst };
	return oldest;
}

bool stun_limit_pass(struct stun_limit *l, ln_time now, const struct ip_addr *source)
{
	struct bucket *b = bucket_of(l, now, source_of(l, source));
	b->level = LN_MIN(b->level + (now - b->at), l->burst);
	b->at = now;
	if (b->level < l->cost)
		return false;
	b->level -= l->cost;
	return true;
}
