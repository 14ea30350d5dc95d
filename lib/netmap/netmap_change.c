#include "lib/netmap/netmap_change.h"

#include <string.h>

/* --- copies: texts of the former account must not outlive it in the new one ------------------- */

struct copy {
	struct arena *a;
	bool full; /* the arena: everything after is null and of no use */
};

static void *room(struct copy *c, size_t n, size_t size)
{
	void *p = arena_calloc(c->a, n, size);
	c->full = c->full || p == NULL;
	return p;
}

static const char *text(struct copy *c, const char *s)
{
	if (s == NULL)
		return NULL;
	const char *p = arena_strdup(c->a, s);
	c->full = c->full || p == NULL;
	return p;
}

static struct netmap_account_peer copy_peer(struct copy *c, const struct netmap_account_peer *from)
{
	struct netmap_account_peer p = *from;
	p.id = text(c, from->id);
	p.label = text(c, from->label);
	p.name = text(c, from->name);
	p.version = text(c, from->version);
	p.ssh_key = arena_slice(c->a, from->ssh_key);
	c->full = c->full || (p.ssh_key.p == NULL && from->ssh_key.n > 0);
	return p;
}

static const char *const *copy_texts(struct copy *c, const char *const *from, size_t n)
{
	const char **v = room(c, n, sizeof(*v));
	for (size_t i = 0; v != NULL && i < n; i++)
		v[i] = text(c, from[i]);
	return v;
}

static void *copy_array(struct copy *c, const void *from, size_t n, size_t size)
{
	void *p = room(c, n, size);
	if (p != NULL && n > 0)
		memcpy(p, from, n * size);
	return p;
}

static struct netmap_account_rule copy_rule(struct copy *c, const struct netmap_account_rule *from)
{
	struct netmap_account_rule r = *from;
	r.id = text(c, from->id);
	r.ports = copy_array(c, from->ports, from->nports, sizeof(*from->ports));
	r.ranges = copy_array(c, from->ranges, from->nranges, sizeof(*from->ranges));
	r.source_peer = text(c, from->source_peer);
	r.destination_peer = text(c, from->destination_peer);
	r.source_groups = copy_texts(c, from->source_groups, from->nsource_groups);
	r.destination_groups = copy_texts(c, from->destination_groups, from->ndestination_groups);
	return r;
}

static void copy_policies(struct copy *c, const struct netmap_account *from,
			  struct netmap_account *to)
{
	struct netmap_account_policy *v = room(c, from->npolicies, sizeof(*v));
	for (size_t i = 0; !c->full && i < from->npolicies; i++) {
		const struct netmap_account_policy *p = &from->policies[i];
		struct netmap_account_rule *rules = room(c, p->nrules, sizeof(*rules));
		for (size_t k = 0; rules != NULL && k < p->nrules; k++)
			rules[k] = copy_rule(c, &p->rules[k]);
		v[i] = (struct netmap_account_policy){ text(c, p->id), p->enabled, rules,
						       p->nrules };
	}
	to->policies = v;
	to->npolicies = from->npolicies;
}

/* --- merging ---------------------------------------------------------------------------------- */

static void merge_peers(struct copy *c, const struct netmap_account *from,
			const struct netmap_change *ch, struct netmap_account *to, uint32_t *was)
{
	struct netmap_account_peer *v = room(c, from->npeers + ch->npeers, sizeof(*v));
	size_t n = 0, i = 0, k = 0;
	while (!c->full && (i < from->npeers || k < ch->npeers)) {
		int cmp = i == from->npeers ? 1
			  : k == ch->npeers ? -1
					    : strcmp(from->peers[i].id, ch->peers[k].id);
		if (cmp < 0) {
			was[n] = (uint32_t)i;
			v[n++] = copy_peer(c, &from->peers[i++]);
			continue;
		}
		i += cmp == 0;
		if (ch->peers[k].now != NULL) {
			was[n] = NETMAP_NEW;
			v[n++] = copy_peer(c, ch->peers[k].now);
		}
		k++;
	}
	to->peers = v;
	to->npeers = n;
}

static bool joins(const struct netmap_peer_change *p, const char *group)
{
	for (size_t i = 0; p->now != NULL && i < p->ngroups; i++) {
		if (strcmp(p->groups[i], group) == 0)
			return true;
	}
	return false;
}

/* Who did not change stays as he is; who did is in the group if he says so now. */
static void merge_members(struct copy *c, const struct netmap_account_group *from,
			  const struct netmap_change *ch, struct netmap_account_group *to)
{
	const char **v = room(c, from->npeers + ch->npeers, sizeof(*v));
	size_t n = 0, i = 0, k = 0;
	while (!c->full && (i < from->npeers || k < ch->npeers)) {
		int cmp = i == from->npeers ? 1
			  : k == ch->npeers ? -1
					    : strcmp(from->peers[i], ch->peers[k].id);
		if (cmp < 0) {
			v[n++] = text(c, from->peers[i++]);
			continue;
		}
		i += cmp == 0;
		if (joins(&ch->peers[k], from->id))
			v[n++] = text(c, ch->peers[k].id);
		k++;
	}
	to->peers = v;
	to->npeers = n;
}

static void merge_groups(struct copy *c, const struct netmap_account *from,
			 const struct netmap_change *ch, struct netmap_account *to)
{
	size_t n = ch->rules_changed ? ch->ngroups : from->ngroups;
	const struct netmap_account_group *in = ch->rules_changed ? ch->groups : from->groups;
	struct netmap_account_group *v = room(c, n, sizeof(*v));
	for (size_t i = 0; !c->full && i < n; i++) {
		v[i].id = text(c, in[i].id);
		v[i].name = text(c, in[i].name);
		if (ch->rules_changed) {
			v[i].peers = copy_texts(c, in[i].peers, in[i].npeers);
			v[i].npeers = in[i].npeers;
		} else {
			merge_members(c, &in[i], ch, &v[i]);
		}
	}
	to->groups = v;
	to->ngroups = n;
}

int netmap_account_change(const struct netmap_account *from, const struct netmap_change *c,
			  struct arena *a, struct netmap_account **ret,
			  struct netmap_same *ret_same)
{
	struct copy copy = { .a = a };
	struct netmap_account *to = room(&copy, 1, sizeof(*to));
	uint32_t *was = room(&copy, from->npeers + c->npeers, sizeof(*was));
	if (copy.full)
		return LN_E_LIMIT;
	*to = *from;
	to->index = NULL;
	to->serial = c->serial;
	to->domain = text(&copy, from->domain);
	merge_peers(&copy, from, c, to, was);
	merge_groups(&copy, from, c, to);
	if (c->rules_changed) {
		to->policies = c->policies;
		to->npolicies = c->npolicies;
	} else {
		copy_policies(&copy, from, to);
	}
	if (copy.full)
		return LN_E_LIMIT;
	int err = netmap_account_seal(to, a);
	if (err < 0)
		return err;
	*ret = to;
	*ret_same = (struct netmap_same){ .peers = was, .rules = !c->rules_changed };
	return 0;
}
