#include "lib/netmap/netmap_view.h"

struct seen {
	const struct netmap_account *acc;
	struct netmap_view *view;
	uint64_t *peers;
	struct netmap_part *parts;
};

static void add_part(struct seen *s, size_t rule, enum netmap_slot slot,
		     enum netmap_direction direction)
{
	const struct netmap_list *list = s->acc->index->rules[rule].lists[slot];
	if (list->npeers == 0)
		return;
	bitset_join(s->peers, list->bits, s->view->words);
	s->parts[s->view->nparts++] = (struct netmap_part){ .rule = (uint32_t)rule,
							    .slot = slot,
							    .direction = direction };
}

/* Spec management-protocol 4.8.2: at most two lists per direction. */
static void add_rule(struct seen *s, size_t rule)
{
	const struct netmap_rule_index *r = &s->acc->index->rules[rule];
	uint32_t target = s->view->target;
	bool in_source = bitset_has(r->lists[NETMAP_SOURCE]->bits, target);
	bool in_destination = bitset_has(r->lists[NETMAP_DESTINATION]->bits, target);
	bool both = r->rule->bidirectional;
	if (in_destination)
		add_part(s, rule, NETMAP_SOURCE, NETMAP_IN);
	if (in_source && both)
		add_part(s, rule, in_destination ? NETMAP_DESTINATION_REST : NETMAP_DESTINATION,
			 NETMAP_IN);
	if (in_source)
		add_part(s, rule, NETMAP_DESTINATION, NETMAP_OUT);
	if (in_destination && both)
		add_part(s, rule, in_source ? NETMAP_SOURCE_REST : NETMAP_SOURCE, NETMAP_OUT);
}

/* Peers whose login has run out are known, but nobody connects to them (4.8.3). */
static void split_offline(struct seen *s, ln_wall now, uint64_t *offline)
{
	const struct netmap_index *x = s->acc->index;
	for (size_t i = 0; i < x->nexpiring; i++) {
		size_t p = x->expiring[i];
		if (s->acc->peers[p].login_expires > now || !bitset_has(s->peers, p))
			continue;
		bitset_drop(s->peers, p);
		bitset_add(offline, p);
	}
}

int netmap_view_make(const struct netmap_account *acc, size_t target, ln_wall now, struct arena *a,
		     struct netmap_view *ret)
{
	ln_assert(acc->index != NULL && target < acc->npeers);
	struct netmap_view v = {
		.target = (uint32_t)target,
		.v6 = netmap_target_v6(acc, target),
		.ranges = netmap_target_ranges(acc, target),
		.words = BITSET_WORDS(acc->npeers),
	};
	struct seen s = {
		.acc = acc,
		.view = &v,
		.peers = arena_calloc(a, v.words, sizeof(uint64_t)),
		.parts = arena_calloc(a, acc->index->nrules * 4, sizeof(*s.parts)),
	};
	uint64_t *offline = arena_calloc(a, v.words, sizeof(*offline));
	if (s.peers == NULL || s.parts == NULL || offline == NULL)
		return LN_E_LIMIT;
	int err = netmap_self_make(acc, target, a, &v.self);
	if (err < 0)
		return err;
	/* Not approved: the peer learns its own address and nothing else (4.2). */
	for (size_t i = 0; !acc->peers[target].awaiting_approval && i < acc->index->nrules; i++)
		add_rule(&s, i);
	bitset_drop(s.peers, target);
	split_offline(&s, now, offline);
	v.peers = s.peers;
	v.offline = offline;
	v.npeers = bitset_count(s.peers, v.words);
	v.noffline = bitset_count(offline, v.words);
	v.parts = s.parts;
	*ret = v;
	return 0;
}
