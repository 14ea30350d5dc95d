#include "lib/netmap/netmap_index.h"

#include <stdlib.h>

#include "lib/netmap/netmap_version.h"

/* Port of the DNS forwarder on routing peers: old agents know the first one only (4.8.7). */
#define FORWARDER_PORT_OLD 5353
#define FORWARDER_PORT 22054
#define FORWARDER_SINCE "0.59.0"

static int name_cmp(const void *a, const void *b)
{
	const struct netmap_name *x = a, *y = b;
	return strcmp(x->id, y->id);
}

/* A store gives them in order: then there is nothing to do. */
static void sort_names(struct netmap_name *names, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (name_cmp(&names[i - 1], &names[i]) > 0) {
			qsort(names, n, sizeof(*names), name_cmp);
			return;
		}
	}
}

/* Position of an id, -1 when nobody has it. Who asks in order finds it at *next. */
static ptrdiff_t name_find_next(const struct netmap_name *names, size_t n, const char *id,
				size_t *next)
{
	if (*next < n && strcmp(names[*next].id, id) == 0)
		return (ptrdiff_t)names[(*next)++].at;
	if (n == 0)
		return -1;
	struct netmap_name key = { .id = id };
	const struct netmap_name *found = bsearch(&key, names, n, sizeof(*names), name_cmp);
	if (found == NULL)
		return -1;
	*next = (size_t)(found - names) + 1;
	return (ptrdiff_t)found->at;
}

static ptrdiff_t name_find(const struct netmap_name *names, size_t n, const char *id)
{
	size_t nowhere = n;
	return name_find_next(names, n, id, &nowhere);
}

struct key_entry {
	struct wg_key key;
	uint32_t at;
};

static int key_cmp(const void *a, const void *b)
{
	return memcmp(a, b, WG_KEY_LEN);
}

static int u32_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void sort_positions(uint32_t *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (v[i - 1] > v[i]) {
			qsort(v, n, sizeof(*v), u32_cmp);
			return;
		}
	}
}

static int index_peers(const struct netmap_account *acc, struct netmap_index *x, struct arena *a)
{
	struct netmap_name *names = arena_calloc(a, acc->npeers, sizeof(*names));
	uint32_t *by_key = arena_calloc(a, acc->npeers, sizeof(*by_key));
	struct arena scratch;
	arena_init(&scratch, SIZE_MAX);
	struct key_entry *keys = arena_calloc(&scratch, acc->npeers, sizeof(*keys));
	int err = names == NULL || by_key == NULL || keys == NULL ? LN_E_LIMIT : 0;
	for (size_t i = 0; err == 0 && i < acc->npeers; i++) {
		names[i] = (struct netmap_name){ .id = acc->peers[i].id, .at = (uint32_t)i };
		keys[i] = (struct key_entry){ .key = acc->peers[i].key, .at = (uint32_t)i };
	}
	if (err == 0 && acc->npeers > 0) {
		sort_names(names, acc->npeers);
		qsort(keys, acc->npeers, sizeof(*keys), key_cmp);
	}
	for (size_t i = 0; err == 0 && i < acc->npeers; i++)
		by_key[i] = keys[i].at;
	arena_fini(&scratch);
	x->peers_by_id = names;
	x->peers_by_key = by_key;
	return err;
}

static int index_groups(const struct netmap_account *acc, struct netmap_index *x, struct arena *a)
{
	struct netmap_members *groups = arena_calloc(a, acc->ngroups, sizeof(*groups));
	if (groups == NULL)
		return LN_E_LIMIT;
	for (size_t g = 0; g < acc->ngroups; g++) {
		const struct netmap_account_group *in = &acc->groups[g];
		uint32_t *m = arena_calloc(a, in->npeers, sizeof(*m));
		if (m == NULL)
			return LN_E_LIMIT;
		size_t n = 0, next = 0;
		for (size_t i = 0; i < in->npeers; i++) {
			ptrdiff_t at =
				name_find_next(x->peers_by_id, acc->npeers, in->peers[i], &next);
			if (at >= 0 && !acc->peers[at].awaiting_approval)
				m[n++] = (uint32_t)at;
		}
		sort_positions(m, n);
		size_t kept = 0;
		for (size_t i = 0; i < n; i++) {
			if (kept == 0 || m[kept - 1] != m[i])
				m[kept++] = m[i];
		}
		groups[g] = (struct netmap_members){ .peers = m, .npeers = kept };
	}
	x->groups = groups;
	return 0;
}

/* Spec management-protocol 4.8.1. */
static int index_side(const struct netmap_account *acc, const struct netmap_index *x,
		      const struct netmap_name *groups_by_id, const char *peer,
		      const char *const *ids, size_t nids, struct arena *a, struct netmap_side *ret)
{
	*ret = (struct netmap_side){ .single = false };
	if (peer != NULL && *peer != '\0') {
		ptrdiff_t at = name_find(x->peers_by_id, acc->npeers, peer);
		if (at >= 0 && !acc->peers[at].awaiting_approval) {
			ret->single = true;
			ret->peer = (uint32_t)at;
		}
		return 0;
	}
	uint32_t *groups = arena_calloc(a, nids, sizeof(*groups));
	if (groups == NULL)
		return LN_E_LIMIT;
	size_t n = 0;
	for (size_t i = 0; i < nids; i++) {
		ptrdiff_t at = name_find(groups_by_id, acc->ngroups, ids[i]);
		if (at < 0)
			continue;
		if (strcmp(acc->groups[at].name, "All") == 0) {
			/* Everybody: the other groups add nothing. */
			groups[0] = (uint32_t)at;
			n = 1;
			break;
		}
		groups[n++] = (uint32_t)at;
	}
	ret->groups = groups;
	ret->ngroups = n;
	return 0;
}

static void add_ports(struct netmap_ports *v, size_t *n, uint16_t first, uint16_t last)
{
	for (size_t i = 0; i < *n; i++) {
		if (v[i].first == first && v[i].last == last)
			return;
	}
	v[(*n)++] = (struct netmap_ports){ .first = first, .last = last };
}

/* Ports hide ranges; without either the rule is for every port (4.8.2). */
static int index_ports(const struct netmap_account_rule *rule, struct arena *a,
		       struct netmap_rule_index *ret)
{
	size_t room = rule->nports + rule->nranges + 1;
	struct netmap_ports *v = arena_calloc(a, room, sizeof(*v));
	if (v == NULL)
		return LN_E_LIMIT;
	size_t n = 0;
	for (size_t i = 0; i < rule->nports; i++) {
		if (rule->ports[i] != 0)
			add_ports(v, &n, rule->ports[i], rule->ports[i]);
	}
	for (size_t i = 0; rule->nports == 0 && i < rule->nranges; i++) {
		const struct netmap_port_range *r = &rule->ranges[i];
		if (r->first != 0 && r->last >= r->first)
			add_ports(v, &n, r->first, r->last);
	}
	if (rule->nports == 0 && rule->nranges == 0)
		v[n++] = (struct netmap_ports){ .first = 0, .last = 0 };
	ret->ports = v;
	ret->nports = n;
	return 0;
}

static int index_rule(const struct netmap_account *acc, const struct netmap_index *x,
		      const struct netmap_name *groups_by_id, const struct netmap_account_rule *in,
		      struct arena *a, struct netmap_rule_index *ret)
{
	ret->rule = in;
	ret->protocol = in->protocol == NETMAP_PROTO_SSH ? NETMAP_PROTO_TCP : in->protocol;
	int err = index_side(acc, x, groups_by_id, in->source_peer, in->source_groups,
			     in->nsource_groups, a, &ret->source);
	if (err == 0)
		err = index_side(acc, x, groups_by_id, in->destination_peer, in->destination_groups,
				 in->ndestination_groups, a, &ret->destination);
	if (err == 0)
		err = index_ports(in, a, ret);
	return err;
}

static int index_rules(const struct netmap_account *acc, struct netmap_index *x, struct arena *a)
{
	struct netmap_name *groups_by_id = arena_calloc(a, acc->ngroups, sizeof(*groups_by_id));
	size_t room = 0;
	for (size_t i = 0; i < acc->npolicies; i++)
		room += acc->policies[i].enabled ? acc->policies[i].nrules : 0;
	struct netmap_rule_index *rules = arena_calloc(a, room, sizeof(*rules));
	if (groups_by_id == NULL || rules == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < acc->ngroups; i++)
		groups_by_id[i] = (struct netmap_name){ acc->groups[i].id, (uint32_t)i };
	if (acc->ngroups > 0)
		qsort(groups_by_id, acc->ngroups, sizeof(*groups_by_id), name_cmp);

	for (size_t i = 0; i < acc->npolicies; i++) {
		const struct netmap_account_policy *p = &acc->policies[i];
		for (size_t k = 0; p->enabled && k < p->nrules; k++) {
			if (!p->rules[k].enabled)
				continue;
			int err = index_rule(acc, x, groups_by_id, &p->rules[k], a,
					     &rules[x->nrules]);
			if (err < 0)
				return err;
			x->nrules++;
		}
	}
	x->rules = rules;
	return netmap_lists_make(acc, x, rules, a);
}

static int index_expiring(const struct netmap_account *acc, struct netmap_index *x, struct arena *a)
{
	size_t n = 0;
	for (size_t i = 0; i < acc->npeers; i++)
		n += acc->peers[i].login_expires != 0;
	uint32_t *v = arena_calloc(a, n, sizeof(*v));
	if (v == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < acc->npeers; i++) {
		if (acc->peers[i].login_expires != 0)
			v[x->nexpiring++] = (uint32_t)i;
	}
	x->expiring = v;
	return 0;
}

/* Every peer must know the port; here a pre-release is older than its number (trap 16). */
static uint32_t forwarder_port(const struct netmap_account *acc)
{
	if (acc->npeers == 0)
		return FORWARDER_PORT_OLD;
	for (size_t i = 0; i < acc->npeers; i++) {
		const char *version = acc->peers[i].version;
		struct netmap_version v = netmap_version_parse(version);
		int cmp = netmap_version_cmp(version, FORWARDER_SINCE);
		if (cmp < 0 || (cmp == 0 && v.prerelease))
			return FORWARDER_PORT_OLD;
	}
	return FORWARDER_PORT;
}

int netmap_account_seal(struct netmap_account *acc, struct arena *a)
{
	if (acc->npeers > NETMAP_PEERS_MAX)
		return LN_E_LIMIT;
	struct netmap_index *x = arena_alloc(a, sizeof(*x));
	if (x == NULL)
		return LN_E_LIMIT;
	int err = index_peers(acc, x, a);
	if (err == 0)
		err = index_groups(acc, x, a);
	if (err == 0)
		err = index_rules(acc, x, a);
	if (err == 0)
		err = index_expiring(acc, x, a);
	if (err < 0)
		return err;
	x->forwarder_port = forwarder_port(acc);
	acc->index = x;
	return 0;
}

ptrdiff_t netmap_account_find(const struct netmap_account *acc, const char *peer_id)
{
	ln_assert(acc->index != NULL);
	return name_find(acc->index->peers_by_id, acc->npeers, peer_id);
}

ptrdiff_t netmap_account_find_key(const struct netmap_account *acc, const struct wg_key *key)
{
	ln_assert(acc->index != NULL);
	size_t low = 0, high = acc->npeers;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		uint32_t at = acc->index->peers_by_key[mid];
		int cmp = memcmp(acc->peers[at].key.b, key->b, WG_KEY_LEN);
		if (cmp == 0)
			return (ptrdiff_t)at;
		if (cmp < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return -1;
}

bool netmap_members_have(const struct netmap_members *m, uint32_t peer)
{
	return m->npeers > 0 &&
	       bsearch(&peer, m->peers, m->npeers, sizeof(*m->peers), u32_cmp) != NULL;
}

bool netmap_side_has(const struct netmap_index *x, const struct netmap_side *s, uint32_t peer)
{
	if (s->single)
		return s->peer == peer;
	for (size_t i = 0; i < s->ngroups; i++) {
		if (netmap_members_have(&x->groups[s->groups[i]], peer))
			return true;
	}
	return false;
}
