#pragma once
/*
 * Intrusive hash map: separate chaining, grows by doubling, seeded so that a peer cannot choose
 * keys that collide. The map owns its bucket array only; entries belong to the caller and embed a
 * struct map_node whose key bytes stay valid and unchanged while it is in the map.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

struct map_node {
	struct map_node *next;
	uint64_t hash;
	struct slice key;
};

struct map {
	struct map_node **buckets;
	size_t nbuckets; /* power of two, or 0 before the first insert */
	size_t count;
	uint64_t seed[2];
};

void map_init(struct map *m, uint64_t seed0, uint64_t seed1);
void map_fini(struct map *m); /* frees the buckets, not the entries */
struct map_node *map_find(const struct map *m, struct slice key);
/* The key must not be in the map. */
void map_insert(struct map *m, struct map_node *node, struct slice key);
/* The node must be in the map. */
void map_remove(struct map *m, struct map_node *node);

/* Iteration in no order; nothing may be inserted or removed meanwhile except via _safe's node. */
struct map_node *map_first(const struct map *m);
struct map_node *map_next(const struct map *m, const struct map_node *node);

#define map_entry(node, type, member) ln_container(node, type, member)
#define map_for_each(it, m)                                                                        \
 for (struct map_node *it = map_first(m); it != NULL; it = map_next(m, it))

/* SipHash-1-3 over bytes, for other seeded tables. */
uint64_t map_hash(const uint64_t seed[2], struct slice key);
