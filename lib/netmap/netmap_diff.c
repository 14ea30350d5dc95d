#include "lib/netmap/netmap_diff.h"

#include <stdlib.h>

/* A key beside the position of its peer; sorts by key, then position. */
struct key_at {
	struct wg_key key;
	size_t at;
};

static int key_at_cmp(const void *a, const void *b)
{
	const struct key_at *x = a, *y = b;
	int cmp = memcmp(x->key.b, y->key.b, WG_KEY_LEN);
	if (cmp != 0)
		return cmp;
	return x->at < y->at ? -1 : x->at > y->at;
}

static struct key_at *sort_keys(const struct netmap_peer *peers, size_t n, struct arena *a)
{
	struct key_at *v = arena_calloc(a, n, sizeof(*v));
	for (size_t i = 0; v != NULL && i < n; i++)
		v[i] = (struct key_at){ .key = peers[i].key, .at = i };
	if (v != NULL && n > 0)
		qsort(v, n, sizeof(*v), key_at_cmp);
	return v;
}

static const struct key_at *find_key(const struct key_at *v, size_t n, const struct wg_key *key)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int cmp = memcmp(v[mid].key.b, key->b, WG_KEY_LEN);
		if (cmp == 0)
			return &v[mid];
		if (cmp < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static bool has_prefix(const struct netmap_peer *p, const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < p->nallowed; i++) {
		if (ip_prefix_equal(&p->allowed[i], prefix))
			return true;
	}
	return false;
}

/* The order of allowed prefixes means nothing. */
static bool same_peer(const struct netmap_peer *x, const struct netmap_peer *y)
{
	if (x->nallowed != y->nallowed || strcmp(x->agent_version, y->agent_version) != 0)
		return false;
	for (size_t i = 0; i < x->nallowed; i++) {
		if (!has_prefix(y, &x->allowed[i]))
			return false;
	}
	return true;
}

int netmap_diff(const struct netmap *old, const struct netmap *new, struct arena *a,
		struct netmap_diff *ret)
{
	static const struct netmap nothing;
	if (old == NULL)
		old = &nothing;
	size_t *removed = arena_calloc(a, old->npeers, sizeof(*removed));
	size_t *changed = arena_calloc(a, new->npeers, sizeof(*changed));
	size_t *added = arena_calloc(a, new->npeers, sizeof(*added));
	struct key_at *before = sort_keys(old->peers, old->npeers, a);
	struct key_at *after = sort_keys(new->peers, new->npeers, a);
	if (removed == NULL || changed == NULL || added == NULL || before == NULL || after == NULL)
		return LN_E_LIMIT;

	struct netmap_diff d = { .removed = removed, .changed = changed, .added = added };
	for (size_t i = 0; i < old->npeers; i++) {
		if (find_key(after, new->npeers, &old->peers[i].key) == NULL)
			removed[d.nremoved++] = i;
	}
	for (size_t i = 0; i < new->npeers; i++) {
		const struct netmap_peer *p = &new->peers[i];
		const struct key_at *was = find_key(before, old->npeers, &p->key);
		if (was == NULL)
			added[d.nadded++] = i;
		else if (!same_peer(&old->peers[was->at], p))
			changed[d.nchanged++] = i;
	}
	*ret = d;
	return 0;
}
