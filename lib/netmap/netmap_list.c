/*
 * The sides of rules as lists of peers, made once per account. A side of one group is that group;
 * several groups become one list, shared by every rule that names the same ones in the same order.
 */
#include "lib/base/map.h"
#include "lib/netmap/netmap_index.h"

struct joined { /* a list of several groups, found again by their positions */
	struct map_node node;
	const struct netmap_list *list;
};

struct lists {
	const struct netmap_account *acc;
	struct netmap_index *x;
	struct arena *a;
	struct arena scratch;
	const struct netmap_list **groups; /* by group; null until a rule names it alone */
	struct map joined;
	const struct netmap_list *nobody;
};

static struct netmap_list *list_new(struct lists *l, size_t room, uint32_t **ret_peers,
				    uint64_t **ret_bits)
{
	struct netmap_list *list = arena_alloc(l->a, sizeof(*list));
	*ret_peers = arena_calloc(l->a, room, sizeof(**ret_peers));
	*ret_bits = arena_calloc(l->a, BITSET_WORDS(l->acc->npeers), sizeof(**ret_bits));
	if (list == NULL || *ret_peers == NULL || *ret_bits == NULL)
		return NULL;
	list->peers = *ret_peers;
	list->bits = *ret_bits;
	list->number = (uint32_t)l->x->nlists++;
	return list;
}

static const struct netmap_list *list_of_members(struct lists *l, const struct netmap_members *m)
{
	uint64_t *bits = arena_calloc(l->a, BITSET_WORDS(l->acc->npeers), sizeof(*bits));
	struct netmap_list *list = arena_alloc(l->a, sizeof(*list));
	if (list == NULL || bits == NULL)
		return NULL;
	for (size_t i = 0; i < m->npeers; i++)
		bitset_add(bits, m->peers[i]);
	*list = (struct netmap_list){ .peers = m->peers,
				      .npeers = m->npeers,
				      .bits = bits,
				      .number = (uint32_t)l->x->nlists++ };
	return list;
}

/* In the order of the groups, each peer where it is named first. */
static const struct netmap_list *list_of_groups(struct lists *l, const struct netmap_side *s)
{
	struct slice key = slice_of((const uint8_t *)s->groups, s->ngroups * sizeof(*s->groups));
	struct map_node *found = map_find(&l->joined, key);
	if (found != NULL)
		return map_entry(found, struct joined, node)->list;
	size_t room = 0;
	for (size_t g = 0; g < s->ngroups; g++)
		room += l->x->groups[s->groups[g]].npeers;
	uint32_t *peers;
	uint64_t *bits;
	struct joined *j = arena_alloc(&l->scratch, sizeof(*j));
	struct netmap_list *list = list_new(l, LN_MIN(room, l->acc->npeers), &peers, &bits);
	if (list == NULL || j == NULL)
		return NULL;
	for (size_t g = 0; g < s->ngroups; g++) {
		const struct netmap_members *m = &l->x->groups[s->groups[g]];
		for (size_t i = 0; i < m->npeers; i++) {
			if (bitset_has(bits, m->peers[i]))
				continue;
			bitset_add(bits, m->peers[i]);
			peers[list->npeers++] = m->peers[i];
		}
	}
	j->list = list;
	map_insert(&l->joined, &j->node, key);
	return list;
}

static const struct netmap_list *list_of_side(struct lists *l, const struct netmap_side *s)
{
	if (s->single) {
		const struct netmap_members one = { .peers = &s->peer, .npeers = 1 };
		return list_of_members(l, &one);
	}
	if (s->ngroups == 0)
		return l->nobody;
	if (s->ngroups > 1)
		return list_of_groups(l, s);
	const struct netmap_list **at = &l->groups[s->groups[0]];
	if (*at == NULL)
		*at = list_of_members(l, &l->x->groups[s->groups[0]]);
	return *at;
}

static const struct netmap_list *list_without(struct lists *l, const struct netmap_list *list,
					      const struct netmap_list *other)
{
	if (list == other || list->npeers == 0)
		return l->nobody;
	size_t n = 0;
	for (size_t i = 0; i < list->npeers; i++)
		n += !bitset_has(other->bits, list->peers[i]);
	if (n == list->npeers)
		return list;
	if (n == 0)
		return l->nobody;
	uint32_t *peers;
	uint64_t *bits;
	struct netmap_list *rest = list_new(l, n, &peers, &bits);
	if (rest == NULL)
		return NULL;
	for (size_t i = 0; i < list->npeers; i++) {
		if (bitset_has(other->bits, list->peers[i]))
			continue;
		bitset_add(bits, list->peers[i]);
		peers[rest->npeers++] = list->peers[i];
	}
	return rest;
}

static int make_lists(struct lists *l, struct netmap_rule_index *r)
{
	const struct netmap_list *source = list_of_side(l, &r->source);
	const struct netmap_list *destination = list_of_side(l, &r->destination);
	if (source == NULL || destination == NULL)
		return LN_E_LIMIT;
	r->lists[NETMAP_SOURCE] = source;
	r->lists[NETMAP_DESTINATION] = destination;
	r->lists[NETMAP_SOURCE_REST] = r->lists[NETMAP_DESTINATION_REST] = l->nobody;
	if (!r->rule->bidirectional)
		return 0;
	r->lists[NETMAP_SOURCE_REST] = list_without(l, source, destination);
	r->lists[NETMAP_DESTINATION_REST] = list_without(l, destination, source);
	return r->lists[NETMAP_SOURCE_REST] != NULL && r->lists[NETMAP_DESTINATION_REST] != NULL
		       ? 0
		       : LN_E_LIMIT;
}

int netmap_lists_make(const struct netmap_account *acc, struct netmap_index *x,
		      struct netmap_rule_index *rules, struct arena *a)
{
	static const struct netmap_members none = { .npeers = 0 };
	struct lists l = { .acc = acc, .x = x, .a = a };
	arena_init(&l.scratch, SIZE_MAX);
	/* The keys are positions the account's owner does not choose: no seed is needed. */
	map_init(&l.joined, 0, 0);
	l.groups = arena_calloc(&l.scratch, acc->ngroups, sizeof(const struct netmap_list *));
	l.nobody = list_of_members(&l, &none);
	int err = l.groups == NULL || l.nobody == NULL ? LN_E_LIMIT : 0;
	for (size_t i = 0; err == 0 && i < x->nrules; i++)
		err = make_lists(&l, &rules[i]);
	map_fini(&l.joined);
	arena_fini(&l.scratch);
	return err;
}
