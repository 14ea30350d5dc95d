#include "tests/unit/mgmt/account_edit.h"

#include <stdlib.h>
#include <string.h>

#define EDITS_MAX 4

struct edit {
	uint64_t state;
	struct arena *a;
	struct netmap_account *acc; /* its arrays are ours and have room */
	struct netmap_account_peer *peers;
	struct netmap_account_group *groups;
	const char *touched[EDITS_MAX];
	size_t ntouched;
	bool rules_changed;
};

static unsigned pick(struct edit *e, unsigned below)
{
	e->state ^= e->state << 13;
	e->state ^= e->state >> 7;
	e->state ^= e->state << 17;
	return (unsigned)((e->state >> 20) % below);
}

static void *room(struct arena *a, size_t n, size_t size)
{
	void *p = arena_calloc(a, n, size);
	ln_assert(p != NULL);
	return p;
}

static void seal(struct netmap_account *acc, struct arena *a)
{
	int err = netmap_account_seal(acc, a);
	ln_assert(err == 0);
}

static int by_peer_id(const void *x, const void *y)
{
	return strcmp(((const struct netmap_account_peer *)x)->id,
		      ((const struct netmap_account_peer *)y)->id);
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static void sort_members(struct netmap_account_group *g, struct arena *a)
{
	const char **v = room(a, g->npeers + EDITS_MAX, sizeof(*v));
	size_t n = 0;
	if (g->npeers > 0)
		memcpy(v, g->peers, g->npeers * sizeof(*v));
	if (g->npeers > 1)
		qsort(v, g->npeers, sizeof(*v), by_text);
	for (size_t i = 0; i < g->npeers; i++) {
		if (n == 0 || strcmp(v[n - 1], v[i]) != 0)
			v[n++] = v[i];
	}
	g->peers = v;
	g->npeers = n;
}

/* Arrays of its own, with room for what comes. */
static struct netmap_account *copy_of(const struct netmap_account *from, struct arena *a,
				      struct netmap_account_peer **ret_peers,
				      struct netmap_account_group **ret_groups)
{
	struct netmap_account *acc = room(a, 1, sizeof(*acc));
	struct netmap_account_peer *peers = room(a, from->npeers + EDITS_MAX, sizeof(*peers));
	struct netmap_account_group *groups = room(a, from->ngroups, sizeof(*groups));
	memcpy(peers, from->peers, from->npeers * sizeof(*peers));
	memcpy(groups, from->groups, from->ngroups * sizeof(*groups));
	*acc = *from;
	acc->peers = *ret_peers = peers;
	acc->groups = *ret_groups = groups;
	qsort(peers, acc->npeers, sizeof(*peers), by_peer_id);
	for (size_t i = 0; i < acc->ngroups; i++)
		sort_members(&groups[i], a);
	return acc;
}

struct netmap_account *account_edit_sorted(const struct netmap_account *from, struct arena *a)
{
	struct netmap_account_peer *peers;
	struct netmap_account_group *groups;
	struct netmap_account *acc = copy_of(from, a, &peers, &groups);
	seal(acc, a);
	return acc;
}

static bool has(const struct netmap_account_group *g, const char *id)
{
	for (size_t i = 0; i < g->npeers; i++) {
		if (strcmp(g->peers[i], id) == 0)
			return true;
	}
	return false;
}

static void join(struct netmap_account_group *g, const char *id)
{
	const char **v = (const char **)(uintptr_t)g->peers;
	if (has(g, id))
		return;
	v[g->npeers++] = id;
	qsort(v, g->npeers, sizeof(*v), by_text);
}

static void leave(struct netmap_account_group *g, const char *id)
{
	const char **v = (const char **)(uintptr_t)g->peers;
	size_t n = 0;
	for (size_t i = 0; i < g->npeers; i++) {
		if (strcmp(v[i], id) != 0)
			v[n++] = v[i];
	}
	g->npeers = n;
}

static void touch(struct edit *e, const char *id)
{
	for (size_t i = 0; i < e->ntouched; i++) {
		if (strcmp(e->touched[i], id) == 0)
			return;
	}
	e->touched[e->ntouched++] = id;
}

static void add_peer(struct edit *e)
{
	char *id = arena_printf(e->a, "p%u-%u", pick(e, 80), pick(e, 1000000));
	struct netmap_account_peer p = {
		.id = id,
		.label = arena_printf(e->a, "new-%u", pick(e, 1000)),
		.version = "0.77.1",
		.capabilities = pick(e, 8),
		.v4 = ip_v4(0x64450000u + pick(e, 65000)),
		.login_expires = pick(e, 6) == 0 ? 1 + pick(e, 200) : 0,
		.awaiting_approval = pick(e, 9) == 0,
	};
	ln_assert(p.id != NULL && p.label != NULL);
	for (size_t i = 0; i < sizeof(p.key.b); i++)
		p.key.b[i] = (uint8_t)pick(e, 256);
	e->peers[e->acc->npeers++] = p;
	qsort(e->peers, e->acc->npeers, sizeof(p), by_peer_id);
	for (size_t i = 0; i < e->acc->ngroups; i++) {
		if (pick(e, 2) == 0)
			join(&e->groups[i], id);
	}
	touch(e, id);
}

static void remove_peer(struct edit *e, size_t at)
{
	const char *id = e->peers[at].id;
	for (size_t i = 0; i < e->acc->ngroups; i++)
		leave(&e->groups[i], id);
	e->acc->npeers--;
	memmove(&e->peers[at], &e->peers[at + 1], (e->acc->npeers - at) * sizeof(e->peers[0]));
	touch(e, id);
}

static void alter_peer(struct edit *e, struct netmap_account_peer *p)
{
	switch (pick(e, 7)) {
	case 0:
		p->version = pick(e, 2) == 0 ? "0.20.3" : "0.60.0";
		break;
	case 1:
		p->label = "renamed";
		break;
	case 2:
		p->ssh_key = slice_str("ssh-ed25519 another");
		break;
	case 3:
		p->capabilities ^= 6;
		break;
	case 4:
		p->awaiting_approval = !p->awaiting_approval;
		break;
	case 5:
		p->v4 = ip_v4(0x64460000u + pick(e, 65000));
		break;
	default:
		p->login_expires = pick(e, 200);
		break;
	}
	touch(e, p->id);
}

static void move_peer(struct edit *e, const char *id)
{
	struct netmap_account_group *g = &e->groups[pick(e, (unsigned)e->acc->ngroups)];
	if (has(g, id))
		leave(g, id);
	else
		join(g, id);
	touch(e, id);
}

static void alter_rules(struct edit *e)
{
	size_t n = e->acc->npolicies;
	struct netmap_account_policy *v = room(e->a, n, sizeof(*v));
	memcpy(v, e->acc->policies, n * sizeof(*v));
	struct netmap_account_policy *p = &v[pick(e, (unsigned)n)];
	if (pick(e, 3) == 0)
		p->nrules = p->nrules > 0 ? p->nrules - 1 : 0;
	else
		p->enabled = !p->enabled;
	e->acc->policies = v;
	e->rules_changed = true;
}

static void edit_once(struct edit *e)
{
	size_t at = pick(e, (unsigned)e->acc->npeers);
	switch (pick(e, 8)) {
	case 0:
	case 1:
		add_peer(e);
		break;
	case 2:
		if (e->acc->npeers > 1)
			remove_peer(e, at);
		break;
	case 3:
	case 4:
		move_peer(e, e->peers[at].id);
		break;
	case 5:
		alter_rules(e);
		break;
	default:
		alter_peer(e, &e->peers[at]);
		break;
	}
}

/* What is known about a touched peer afterwards, whatever the edits were. */
static struct netmap_peer_change peer_change(const struct edit *e, const char *id)
{
	struct netmap_peer_change c = { .id = id };
	for (size_t i = 0; i < e->acc->npeers; i++) {
		if (strcmp(e->peers[i].id, id) == 0)
			c.now = &e->peers[i];
	}
	const char **groups = room(e->a, e->acc->ngroups, sizeof(*groups));
	for (size_t i = 0; i < e->acc->ngroups; i++) {
		if (has(&e->groups[i], id))
			groups[c.ngroups++] = e->groups[i].id;
	}
	c.groups = groups;
	return c;
}

struct netmap_account *account_edit(const struct netmap_account *from, uint64_t seed,
				    struct arena *a, struct netmap_change *ret_change)
{
	struct edit e = { .state = seed * 2654435761u + 1442695040888963407u, .a = a };
	e.acc = copy_of(from, a, &e.peers, &e.groups);
	e.acc->serial++;
	for (unsigned n = 1 + pick(&e, EDITS_MAX); n > 0; n--)
		edit_once(&e);
	if (e.ntouched > 1)
		qsort(e.touched, e.ntouched, sizeof(e.touched[0]), by_text);
	struct netmap_peer_change *peers = room(a, e.ntouched, sizeof(*peers));
	for (size_t i = 0; i < e.ntouched; i++)
		peers[i] = peer_change(&e, e.touched[i]);
	*ret_change = (struct netmap_change){
		.serial = e.acc->serial,
		.peers = peers,
		.npeers = e.ntouched,
		.rules_changed = e.rules_changed,
		.groups = e.acc->groups,
		.ngroups = e.acc->ngroups,
		.policies = e.acc->policies,
		.npolicies = e.acc->npolicies,
	};
	seal(e.acc, a);
	return e.acc;
}
