#include "lib/base/map.h"

#include <stdlib.h>

static inline uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* Aumasson, Bernstein: SipHash with one compression and three finalisation rounds. */
uint64_t map_hash(const uint64_t seed[2], struct slice key)
{
	uint64_t v[4] = {
		seed[0] ^ 0x736f6d6570736575u,
		seed[1] ^ 0x646f72616e646f6du,
		seed[0] ^ 0x6c7967656e657261u,
		seed[1] ^ 0x7465646279746573u,
	};
	uint64_t word = 0;
	size_t i = 0;
	for (; i + 8 <= key.n; i += 8) {
		memcpy(&word, key.p + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)key.n << 56;
	for (unsigned shift = 0; i < key.n; i++, shift += 8)
		word |= (uint64_t)key.p[i] << shift;
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int r = 0; r < 3; r++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *m, uint64_t seed0, uint64_t seed1)
{
	*m = (struct map){ .seed = { seed0, seed1 } };
}

void map_fini(struct map *m)
{
	free(m->buckets);
	m->buckets = NULL;
	m->nbuckets = 0;
	m->count = 0;
}

struct map_node *map_find(const struct map *m, struct slice key)
{
	if (m->nbuckets == 0)
		return NULL;
	uint64_t h = map_hash(m->seed, key);
	for (struct map_node *n = m->buckets[h & (m->nbuckets - 1)]; n != NULL; n = n->next)
		if (n->hash == h && slice_equal(n->key, key))
			return n;
	return NULL;
}

static void link_node(struct map_node **buckets, size_t nbuckets, struct map_node *n)
{
	struct map_node **b = &buckets[n->hash & (nbuckets - 1)];
	n->next = *b;
	*b = n;
}

static void grow(struct map *m)
{
	size_t want = m->nbuckets != 0 ? m->nbuckets * 2 : 16;
	struct map_node **buckets = ln_calloc(want, sizeof(*buckets));
	for (size_t i = 0; i < m->nbuckets; i++) {
		while (m->buckets[i] != NULL) {
			struct map_node *n = m->buckets[i];
			m->buckets[i] = n->next;
			link_node(buckets, want, n);
		}
	}
	free(m->buckets);
	m->buckets = buckets;
	m->nbuckets = want;
}

void map_insert(struct map *m, struct map_node *node, struct slice key)
{
	if (m->count >= m->nbuckets)
		grow(m);
	node->key = key;
	node->hash = map_hash(m->seed, key);
	link_node(m->buckets, m->nbuckets, node);
	m->count++;
}

void map_remove(struct map *m, struct map_node *node)
{
	struct map_node **at = &m->buckets[node->hash & (m->nbuckets - 1)];
	while (*at != node) {
		ln_assert(*at != NULL);
		at = &(*at)->next;
	}
	*at = node->next;
	node->next = NULL;
	m->count--;
}

static struct map_node *from_bucket(const struct map *m, size_t i)
{
	for (; i < m->nbuckets; i++)
		if (m->buckets[i] != NULL)
			return m->buckets[i];
	return NULL;
}

struct map_node *map_first(const struct map *m)
{
	return from_bucket(m, 0);
}

struct map_node *map_next(const struct map *m, const struct map_node *node)
{
	if (node->next != NULL)
		return node->next;
	return from_bucket(m, (node->hash & (m->nbuckets - 1)) + 1);
}
