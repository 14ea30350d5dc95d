#include "src/management/management_fast.h"

#include <string.h>
#include <strings.h>

#include "lib/base/map.h"

#include "src/store/store.h"

enum management_fast_why management_fast_decide(const struct management_fast *has,
						const struct management_fast *want,
						const char *go_os, ln_time now)
{
	if (go_os == NULL)
		return MANAGEMENT_FAST_NO_META;
	if (strcasecmp(go_os, "android") == 0)
		return MANAGEMENT_FAST_ANDROID;
	if (has->serial == 0 || now >= has->until)
		return MANAGEMENT_FAST_MISS;
	if (has->serial != want->serial)
		return MANAGEMENT_FAST_SERIAL;
	if (has->meta != want->meta)
		return MANAGEMENT_FAST_META;
	if (has->format != want->format)
		return MANAGEMENT_FAST_FORMAT;
	return MANAGEMENT_FAST_SKIP;
}

/* Texts with their zero, so that two in a row cannot be cut in another place. */
static uint64_t add(uint64_t h, uint64_t seed, const void *p, size_t n)
{
	const uint64_t next[2] = { h, seed };
	return map_hash(next, slice_of(p, n));
}

uint64_t management_meta_hash(const uint64_t seed[2], const struct store_meta *meta,
			      const struct ip_addr *from)
{
	uint64_t h = seed[0];
#define X(name) h = add(h, seed[1], meta->name, strlen(meta->name) + 1);
	STORE_META_TEXTS(X)
#undef X
	const uint64_t rest[3] = { meta->flags, meta->capabilities, (uint64_t)meta->sync_version };
	h = add(h, seed[1], rest, sizeof(rest));
	h = add(h, seed[1], &from->family, sizeof(from->family));
	return add(h, seed[1], from->b, sizeof(from->b));
}
