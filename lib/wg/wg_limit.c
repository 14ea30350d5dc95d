#include "lib/wg/wg_limit.h"

#include "lib/base/map.h"

#define TOKEN_COST (LN_SEC / WG_LIMIT_PER_SECOND)

void wg_limit_init(struct wg_limit *l, const struct ln_rng *rng)
{
	*l = (struct wg_limit){ .seed = { rng_u64(rng), rng_u64(rng) } };
}

static struct wg_limit_entry *entry_of(struct wg_limit *l, const uint8_t source[9])
{
	uint64_t h = map_hash(l->seed, slice_of(source, 9));
	struct wg_limit_entry *bucket = l->entries[h % WG_LIMIT_BUCKETS];
	struct wg_limit_entry *oldest = &bucket[0];
	for (unsigned i = 0; i < WG_LIMIT_WAYS; i++) {
		if (memcmp(bucket[i].source, source, 9) == 0)
			return &bucket[i];
		if (bucket[i].full < oldest->full)
			oldest = &bucket[i];
	}
	memcpy(oldest->source, source, 9);
	oldest->full = 0;
	return oldest;
}

bool wg_limit_allow(struct wg_limit *l, ln_time now, const struct ip_addr *source)
{
	uint8_t id[9] = { source->family };
	memcpy(id + 1, source->b, source->family == 4 ? 4 : 8);
	struct wg_limit_entry *e = entry_of(l, id);
	ln_time full = LN_MAX(e->full, now) + TOKEN_COST;
	if (full - now > WG_LIMIT_BURST * TOKEN_COST)
		return false;
	e->full = full;
	return true;
}
