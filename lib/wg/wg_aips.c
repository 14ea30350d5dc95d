#include "lib/wg/wg_aips.h"

#include <stdlib.h>

/* Address bits from the left; an IPv4 address fills the upper half of hi. */
struct key {
	uint64_t hi;
	uint64_t lo;
};

/* What a node of the trie and a single address have in common. */
struct entry {
	struct wg_aips_owner *owner; /* null: a branching point only */
	struct list link;            /* in owner->entries */
	bool host;
};

struct wg_aips_node {
	struct entry entry;
	struct key key; /* bits beyond len are zero */
	unsigned len;
	struct wg_aips_node *parent;
	struct wg_aips_node *child[2];
};

struct host {
	struct entry entry;
	struct map_node node;
	struct map *table;
	uint8_t addr[16];
};

static uint64_t be64(const uint8_t *b)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | b[i];
	return v;
}

static struct key key_of(const uint8_t *addr, unsigned family)
{
	if (family == 6)
		return (struct key){ .hi = be64(addr), .lo = be64(addr + 8) };
	uint32_t v = (uint32_t)addr[0] << 24 | (uint32_t)addr[1] << 16 | (uint32_t)addr[2] << 8 |
		     addr[3];
	return (struct key){ .hi = (uint64_t)v << 32 };
}

static struct key key_mask(struct key k, unsigned len)
{
	if (len == 0)
		return (struct key){ 0 };
	if (len <= 64)
		return (struct key){ .hi = k.hi & ~0ull << (64 - len) };
	return (struct key){ .hi = k.hi, .lo = len == 128 ? k.lo : k.lo & ~0ull << (128 - len) };
}

static unsigned key_bit(struct key k, unsigned i)
{
	return (unsigned)(i < 64 ? k.hi >> (63 - i) : k.lo >> (127 - i)) & 1u;
}

/* How many leading bits two keys share. */
static unsigned key_common(struct key a, struct key b)
{
	if (a.hi != b.hi)
		return (unsigned)__builtin_clzll(a.hi ^ b.hi);
	if (a.lo != b.lo)
		return 64 + (unsigned)__builtin_clzll(a.lo ^ b.lo);
	return 128;
}

static bool covers(const struct wg_aips_node *n, struct key k)
{
	return key_common(n->key, k) >= n->len;
}

void wg_aips_init(struct wg_aips *t, const uint64_t seed[2])
{
	*t = (struct wg_aips){ 0 };
	map_init(&t->hosts4, seed[0], seed[1]);
	map_init(&t->hosts6, seed[0], seed[1]);
}

void wg_aips_fini(struct wg_aips *t)
{
	ln_assert(t->root4 == NULL && t->root6 == NULL);
	ln_assert(t->hosts4.count == 0 && t->hosts6.count == 0);
	map_fini(&t->hosts4);
	map_fini(&t->hosts6);
}

void wg_aips_owner_init(struct wg_aips_owner *o)
{
	list_init(&o->entries);
	o->count = 0;
}

static void own(struct wg_aips *t, struct entry *e, struct wg_aips_owner *o)
{
	if (e->owner != NULL) {
		e->owner->count--;
		t->count--;
		list_remove(&e->link);
	}
	e->owner = o;
	list_add_tail(&o->entries, &e->link);
	o->count++;
	t->count++;
}

static struct wg_aips_node *node_new(struct key k, unsigned len)
{
	struct wg_aips_node *n = ln_alloc(sizeof(*n));
	n->key = key_mask(k, len);
	n->len = len;
	list_init(&n->entry.link);
	return n;
}

static void attach(struct wg_aips_node **slot, struct wg_aips_node *parent, struct wg_aips_node *n)
{
	*slot = n;
	n->parent = parent;
}

static void insert_host(struct wg_aips *t, struct wg_aips_owner *o, const struct ip_addr *a)
{
	struct map *table = a->family == 4 ? &t->hosts4 : &t->hosts6;
	size_t n = ip_bits(a) / 8;
	struct map_node *found = map_find(table, slice_of(a->b, n));
	if (found != NULL) {
		own(t, &map_entry(found, struct host, node)->entry, o);
		return;
	}
	struct host *h = ln_alloc(sizeof(*h));
	h->entry.host = true;
	list_init(&h->entry.link);
	h->table = table;
	memcpy(h->addr, a->b, n);
	map_insert(table, &h->node, slice_of(h->addr, n));
	own(t, &h->entry, o);
}

static void insert_prefix(struct wg_aips *t, struct wg_aips_owner *o, const struct ip_prefix *p)
{
	struct key k = key_mask(key_of(p->addr.b, p->addr.family), p->len);
	struct wg_aips_node **slot = p->addr.family == 4 ? &t->root4 : &t->root6;
	struct wg_aips_node *parent = NULL;
	while (*slot != NULL && (*slot)->len <= p->len && covers(*slot, k)) {
		if ((*slot)->len == p->len) {
			own(t, &(*slot)->entry, o);
			return;
		}
		parent = *slot;
		slot = &parent->child[key_bit(k, parent->len)];
	}

	struct wg_aips_node *n = node_new(k, p->len);
	struct wg_aips_node *below = *slot;
	own(t, &n->entry, o);
	if (below == NULL) {
		attach(slot, parent, n);
		return;
	}
	unsigned common = LN_MIN(key_common(below->key, k), LN_MIN(below->len, n->len));
	if (common == n->len) { /* n stands between parent and below */
		attach(slot, parent, n);
		attach(&n->child[key_bit(below->key, n->len)], n, below);
		return;
	}
	struct wg_aips_node *fork = node_new(k, common);
	attach(slot, parent, fork);
	attach(&fork->child[key_bit(k, common)], fork, n);
	attach(&fork->child[key_bit(below->key, common)], fork, below);
}

int wg_aips_insert(struct wg_aips *t, struct wg_aips_owner *o, const struct ip_prefix *p)
{
	if (!ip_is_set(&p->addr) || p->len > ip_bits(&p->addr))
		return LN_E_MALFORMED;
	if (p->len == ip_bits(&p->addr))
		insert_host(t, o, &p->addr);
	else
		insert_prefix(t, o, p);
	return 0;
}

/* Takes out nodes that neither own nor branch, upwards from n. */
static void prune(struct wg_aips_node **root, struct wg_aips_node *n)
{
	while (n != NULL && n->entry.owner == NULL &&
	       (n->child[0] == NULL || n->child[1] == NULL)) {
		struct wg_aips_node *parent = n->parent;
		struct wg_aips_node *child = n->child[0] != NULL ? n->child[0] : n->child[1];
		struct wg_aips_node **slot =
			parent == NULL ? root : &parent->child[parent->child[1] == n];
		*slot = child;
		if (child != NULL)
			child->parent = parent;
		free(n);
		n = parent;
	}
}

static struct wg_aips_node **root_of(struct wg_aips *t, const struct wg_aips_node *n)
{
	while (n->parent != NULL)
		n = n->parent;
	return n == t->root4 ? &t->root4 : &t->root6;
}

void wg_aips_clear(struct wg_aips *t, struct wg_aips_owner *o)
{
	list_for_each_safe(it, &o->entries) {
		struct entry *e = list_entry(it, struct entry, link);
		list_remove(it);
		e->owner = NULL;
		t->count--;
		if (e->host) {
			struct host *h = ln_container(e, struct host, entry);
			map_remove(h->table, &h->node);
			free(h);
		} else {
			struct wg_aips_node *n = ln_container(e, struct wg_aips_node, entry);
			prune(root_of(t, n), n);
		}
	}
	o->count = 0;
}

struct wg_aips_owner *wg_aips_find(const struct wg_aips *t, const uint8_t *addr, unsigned family)
{
	const struct map *hosts = family == 4 ? &t->hosts4 : &t->hosts6;
	if (hosts->count != 0) {
		struct map_node *h = map_find(hosts, slice_of(addr, family == 4 ? 4 : 16));
		if (h != NULL)
			return map_entry(h, struct host, node)->entry.owner;
	}
	const struct wg_aips_node *n = family == 4 ? t->root4 : t->root6;
	struct wg_aips_owner *best = NULL;
	struct key k = key_of(addr, family);
	while (n != NULL && covers(n, k)) {
		if (n->entry.owner != NULL)
			best = n->entry.owner;
		n = n->child[key_bit(k, n->len)];
	}
	return best;
}
