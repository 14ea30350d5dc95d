#include "src/front/front_source.h"

#include <stdlib.h>

struct front_source {
	struct map_node node;
	uint8_t key[9];
	unsigned count;
};

void front_sources_init(struct front_sources *s, unsigned limit, const struct ln_rng *rng)
{
	map_init(&s->map, rng_u64(rng), rng_u64(rng));
	s->limit = limit;
}

void front_sources_fini(struct front_sources *s)
{
	ln_assert(s->map.count == 0);
	map_fini(&s->map);
}

struct front_source *front_source_take(struct front_sources *s, const struct ip_addr *addr)
{
	uint8_t key[9] = { addr->family };
	memcpy(key + 1, addr->b, addr->family == 4 ? 4 : 8);
	struct map_node *n = map_find(&s->map, slice_of(key, sizeof(key)));
	struct front_source *src = n != NULL ? map_entry(n, struct front_source, node) : NULL;
	if (src == NULL) {
		src = ln_alloc(sizeof(*src));
		memcpy(src->key, key, sizeof(key));
		map_insert(&s->map, &src->node, slice_of(src->key, sizeof(src->key)));
	} else if (src->count >= s->limit) {
		return NULL;
	}
	src->count++;
	return src;
}

void front_source_give(struct front_sources *s, struct front_source *src)
{
	if (--src->count != 0)
		return;
	map_remove(&s->map, &src->node);
	free(src);
}
