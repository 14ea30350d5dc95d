#include <stdlib.h>

#include "lib/netmap/netmap_diff.h"

struct owned { /* an allowed prefix and the peer that names it */
	struct ip_prefix prefix;
	size_t peer;
};

static int prefix_cmp(const struct ip_prefix *x, const struct ip_prefix *y)
{
	int cmp = ip_cmp(&x->addr, &y->addr);
	return cmp != 0 ? cmp : (int)x->len - (int)y->len;
}

static int owned_cmp(const void *a, const void *b)
{
	const struct owned *x = a, *y = b;
	int cmp = prefix_cmp(&x->prefix, &y->prefix);
	if (cmp != 0)
		return cmp;
	return x->peer < y->peer ? -1 : x->peer > y->peer;
}

static int key_cmp(const void *a, const void *b)
{
	const struct netmap_peer *const *x = a, *const *y = b;
	int cmp = memcmp((*x)->key.b, (*y)->key.b, WG_KEY_LEN);
	if (cmp != 0)
		return cmp;
	return *x < *y ? -1 : *x > *y;
}

/* A prefix that can be a peer's. */
static bool prefix_fits(const struct netmap_self *self, const struct ip_prefix *p)
{
	const struct ip_addr *addr = &p->addr;
	if (p->len == 0 || ip_is_unspecified(addr) || ip_is_loopback(addr) ||
	    ip_is_link_local(addr) || ip_is_multicast(addr))
		return false;
	if (ip_is_set(&self->address.addr) && ip_prefix_contains(p, &self->address.addr))
		return false;
	return !ip_is_set(&self->address_v6.addr) || !ip_prefix_contains(p, &self->address_v6.addr);
}

/* The first peer of all that names the prefix. */
static size_t first_owner(const struct owned *v, size_t n, const struct ip_prefix *p)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (prefix_cmp(&v[mid].prefix, p) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	ln_assert(low < n);
	return v[low].peer;
}

/* Keeps the first peer of each key; returns how many of the list stay. */
static int drop_peers(const struct netmap_peer *in, size_t n, const struct wg_key *own,
		      struct arena *a, struct netmap_check *ret, struct netmap_peer **ret_peers,
		      size_t *ret_n)
{
	const struct netmap_peer **sorted = arena_calloc(a, n, sizeof(*sorted));
	bool *drop = arena_calloc(a, n, sizeof(*drop));
	struct netmap_peer *out = arena_calloc(a, n, sizeof(*out));
	if (sorted == NULL || drop == NULL || out == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &in[i];
	if (n > 0)
		qsort(sorted, n, sizeof(*sorted), key_cmp);
	for (size_t i = 0; i < n; i++) {
		if (wg_key_equal(&sorted[i]->key, own)) {
			drop[sorted[i] - in] = true;
			ret->own++;
		} else if (i > 0 && wg_key_equal(&sorted[i]->key, &sorted[i - 1]->key)) {
			drop[sorted[i] - in] = true;
			ret->doubled++;
		}
	}
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (!drop[i])
			out[kept++] = in[i];
	}
	*ret_peers = out;
	*ret_n = kept;
	return 0;
}

/* All fitting prefixes with their peers, sorted, so that the first owner of each is found. */
static int collect_prefixes(const struct netmap_self *self, const struct netmap_peer *peers,
			    size_t n, struct arena *a, struct owned **ret, size_t *ret_n)
{
	size_t room = 0, count = 0;
	for (size_t i = 0; i < n; i++)
		room += peers[i].nallowed;
	struct owned *v = arena_calloc(a, room, sizeof(*v));
	if (v == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < peers[i].nallowed; k++) {
			struct ip_prefix p = ip_prefix_mask(&peers[i].allowed[k]);
			if (prefix_fits(self, &p))
				v[count++] = (struct owned){ .prefix = p, .peer = i };
		}
	}
	if (count > 0)
		qsort(v, count, sizeof(*v), owned_cmp);
	*ret = v;
	*ret_n = count;
	return 0;
}

static int clean_prefixes(const struct netmap_self *self, struct netmap_peer *p, size_t at,
			  const struct owned *owned, size_t nowned, struct arena *a,
			  struct netmap_check *ret)
{
	struct ip_prefix *out = arena_calloc(a, p->nallowed, sizeof(*out));
	if (out == NULL)
		return LN_E_LIMIT;
	size_t kept = 0;
	for (size_t k = 0; k < p->nallowed; k++) {
		struct ip_prefix prefix = ip_prefix_mask(&p->allowed[k]);
		bool fits = prefix_fits(self, &prefix) && first_owner(owned, nowned, &prefix) == at;
		for (size_t i = 0; fits && i < kept; i++)
			fits = !ip_prefix_equal(&out[i], &prefix);
		if (fits)
			out[kept++] = prefix;
		else
			ret->prefixes++;
	}
	p->allowed = out;
	p->nallowed = kept;
	return 0;
}

int netmap_check(struct netmap *map, const struct wg_key *own, struct arena *a,
		 struct netmap_check *ret)
{
	struct netmap_check c = { 0 };
	struct netmap_peer *peers;
	struct owned *owned;
	size_t n, nowned;
	int err = drop_peers(map->peers, map->npeers, own, a, &c, &peers, &n);
	if (err == 0)
		err = collect_prefixes(&map->self, peers, n, a, &owned, &nowned);
	for (size_t i = 0; err == 0 && i < n; i++) {
		err = clean_prefixes(&map->self, &peers[i], i, owned, nowned, a, &c);
		c.bare += peers[i].nallowed == 0;
	}
	struct netmap_peer *offline;
	size_t noffline;
	struct netmap_check ignored = { 0 };
	if (err == 0)
		err = drop_peers(map->offline, map->noffline, own, a, &ignored, &offline,
				 &noffline);
	if (err < 0)
		return err;
	map->peers = peers;
	map->npeers = n;
	map->offline = offline;
	map->noffline = noffline;
	*ret = c;
	return 0;
}
