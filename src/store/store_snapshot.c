/*
 * The account as lib/netmap computes maps from it, read in one transaction: all of it, or what
 * changed since a former snapshot.
 */
#include <string.h>

#include "lib/netmap/netmap_change.h"

#include "src/store/store_internal.h"

/* lib/mgmt/mgmt_msg.h: MGMT_FLAG_NO_IPV6. Old agents advertise the capability beside the flag. */
#define FLAG_NO_IPV6 (1u << 16)

static int read_peer(const struct store_q *q, struct arena *a, struct netmap_account_peer *p)
{
	const char *v6 = store_q_col(q, 6);
	uint32_t flags = (uint32_t)store_q_col_int(q, 9);
	*p = (struct netmap_account_peer){
		.id = store_q_col_text(q, 0, a),
		.ssh_key = store_q_col_blob(q, 2, a),
		.name = store_q_col_text(q, 3, a),
		.label = store_q_col_text(q, 4, a),
		.version = store_q_col_text(q, 7, a),
		.capabilities = (uint32_t)store_q_col_int(q, 8),
		.awaiting_approval = store_q_col_bool(q, 10),
	};
	if ((flags & FLAG_NO_IPV6) != 0)
		p->capabilities &= ~(1u << NETMAP_CAP_IPV6);
	if (p->id == NULL || p->name == NULL || p->label == NULL || p->version == NULL ||
	    (p->ssh_key.n > 0 && p->ssh_key.p == NULL))
		return LN_E_LIMIT;
	if (wg_key_parse(slice_str(store_q_col(q, 1)), &p->key) < 0 ||
	    ip_parse(slice_str(store_q_col(q, 5)), &p->v4) < 0 ||
	    (*v6 != '\0' && ip_parse(slice_str(v6), &p->v6) < 0))
		return LN_E_MALFORMED;
	return 0;
}

static int read_peers(struct store *s, struct arena *a, struct netmap_account *acc)
{
	size_t cap = 0;
	struct netmap_account_peer *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_SNAPSHOT_PEERS);
	store_q_text(&q, s->account.text);
	int r;
	while ((r = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, acc->npeers, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		r = read_peer(&q, a, &v[acc->npeers++]);
		if (r < 0)
			return r;
	}
	acc->peers = v;
	return r;
}

static int read_members(struct store *s, struct arena *a, struct netmap_account_group *g)
{
	size_t cap = 0;
	const char **v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_SNAPSHOT_MEMBERS);
	store_q_text(&q, g->id);
	int r;
	while ((r = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, g->npeers, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		v[g->npeers] = store_q_col_text(&q, 0, a);
		if (v[g->npeers++] == NULL)
			return LN_E_LIMIT;
	}
	g->peers = v;
	return r;
}

static int read_groups(struct store *s, struct arena *a, struct netmap_account *acc)
{
	size_t cap = 0;
	struct netmap_account_group *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_SNAPSHOT_GROUPS);
	store_q_text(&q, s->account.text);
	int r;
	while ((r = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, acc->ngroups, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		struct netmap_account_group *g = &v[acc->ngroups++];
		*g = (struct netmap_account_group){ .id = store_q_col_text(&q, 0, a),
						    .name = store_q_col_text(&q, 1, a) };
		if (g->id == NULL || g->name == NULL)
			return LN_E_LIMIT;
		r = read_members(s, a, g);
		if (r < 0)
			return r;
	}
	acc->groups = v;
	return r;
}

static const char *const *ids_of(struct arena *a, const struct store_ref *v, size_t n)
{
	const char **ids = arena_calloc(a, LN_MAX(n, 1u), sizeof(*ids));
	for (size_t i = 0; ids != NULL && i < n; i++)
		ids[i] = v[i].id.text;
	return ids;
}

/* A list of ports only stays a list; as soon as there is a range all of them are ranges. */
static int convert_ports(struct arena *a, const struct store_rule *r,
			 struct netmap_account_rule *to)
{
	bool ranges = false;
	for (size_t i = 0; i < r->nports; i++)
		ranges = ranges || r->ports[i].first != r->ports[i].last;
	uint16_t *ports = arena_calloc(a, LN_MAX(r->nports, 1u), sizeof(*ports));
	struct netmap_port_range *v = arena_calloc(a, LN_MAX(r->nports, 1u), sizeof(*v));
	if (ports == NULL || v == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < r->nports; i++) {
		ports[i] = r->ports[i].first;
		v[i] = (struct netmap_port_range){ r->ports[i].first, r->ports[i].last };
	}
	to->ports = ports;
	to->nports = ranges ? 0 : r->nports;
	to->ranges = v;
	to->nranges = ranges ? r->nports : 0;
	return 0;
}

static int convert_rule(struct arena *a, const struct store_rule *r, struct netmap_account_rule *to)
{
	*to = (struct netmap_account_rule){
		.id = r->id.text,
		.enabled = r->enabled,
		.action = r->drop ? NETMAP_DROP : NETMAP_ACCEPT,
		.bidirectional = r->bidirectional,
		.protocol = (enum netmap_protocol)r->protocol,
		.source_peer = r->source_peer.id.text,
		.source_groups = ids_of(a, r->sources, r->nsources),
		.nsource_groups = r->nsources,
		.destination_peer = r->destination_peer.id.text,
		.destination_groups = ids_of(a, r->destinations, r->ndestinations),
		.ndestination_groups = r->ndestinations,
	};
	if (to->source_groups == NULL || to->destination_groups == NULL)
		return LN_E_LIMIT;
	return convert_ports(a, r, to);
}

static int read_policies(struct store *s, struct arena *a, struct netmap_account *acc)
{
	struct store_policy *from = NULL;
	size_t n = 0;
	int r = store_policy_list(s, a, &from, &n);
	if (r < 0)
		return r;
	struct netmap_account_policy *v = arena_calloc(a, LN_MAX(n, 1u), sizeof(*v));
	if (v == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < n; i++) {
		size_t nrules = from[i].nrules;
		struct netmap_account_rule *rules =
			arena_calloc(a, LN_MAX(nrules, 1u), sizeof(*rules));
		if (rules == NULL)
			return LN_E_LIMIT;
		for (size_t k = 0; k < nrules; k++) {
			r = convert_rule(a, &from[i].rules[k], &rules[k]);
			if (r < 0)
				return r;
		}
		v[i] = (struct netmap_account_policy){ from[i].id.text, from[i].enabled, rules,
						       nrules };
	}
	acc->policies = v;
	acc->npolicies = n;
	return 0;
}

/* Its row, and the counter of other connections' changes. Begins the read. */
static int read_account(struct store *s, struct arena *a, struct store_account **ret,
			int64_t *ret_foreign)
{
	struct store_account *row = arena_alloc(a, sizeof(*row));
	if (row == NULL)
		return LN_E_LIMIT;
	int r = store_account_get(s, row);
	if (r == 0)
		r = store_db_foreign(s->db, ret_foreign);
	*ret = row;
	return r;
}

/* From now on this store knows what it changes. */
static void begin_notes(struct store *s, uint64_t serial, int64_t foreign)
{
	store_notes_clear(&s->notes, serial);
	s->notes.foreign = foreign;
}

static int load_locked(struct store *s, struct arena *a, struct netmap_account *acc)
{
	struct store_account *row;
	int64_t foreign;
	int r = read_account(s, a, &row, &foreign);
	if (r < 0)
		return r;
	begin_notes(s, row->serial, foreign);
	acc->serial = row->serial;
	acc->network = row->net4;
	acc->network_v6 = row->net6;
	acc->domain = row->domain;
	acc->lazy_connections = row->lazy_connections;
	r = read_peers(s, a, acc);
	if (r == 0)
		r = read_groups(s, a, acc);
	return r == 0 ? read_policies(s, a, acc) : r;
}

int store_account_load(struct store *s, struct arena *a, struct netmap_account **ret)
{
	struct netmap_account *acc = arena_alloc(a, sizeof(*acc));
	if (acc == NULL)
		return LN_E_LIMIT;
	int r = store_tx_begin(s->db, SQL_TX_READ);
	if (r < 0)
		return r;
	r = store_tx_end(s->db, load_locked(s, a, acc));
	if (r == 0)
		r = netmap_account_seal(acc, a);
	if (r < 0)
		return r;
	*ret = acc;
	return 0;
}

/* --- from a former snapshot ------------------------------------------------------------------- */

/* More peers than this: reading all of them is faster than one by one. */
static size_t worth_following(const struct netmap_account *former)
{
	return former->npeers / 4 + 16;
}

static int read_peer_groups(struct store *s, struct arena *a, struct netmap_peer_change *c)
{
	size_t cap = 0;
	const char **v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_SNAPSHOT_PEER_GROUPS);
	store_q_text(&q, c->id);
	int r;
	while ((r = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, c->ngroups, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		v[c->ngroups] = store_q_col_text(&q, 0, a);
		if (v[c->ngroups++] == NULL)
			return LN_E_LIMIT;
	}
	c->groups = v;
	return r;
}

static int read_peer_change(struct store *s, const struct store_id *id, struct arena *a,
			    struct netmap_peer_change *c)
{
	struct netmap_account_peer *p = arena_alloc(a, sizeof(*p));
	c->id = id->text;
	if (p == NULL)
		return LN_E_LIMIT;
	{
		LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_SNAPSHOT_PEER);
		store_q_text(&q, s->account.text);
		store_q_text(&q, id->text);
		int r = store_q_step(&q);
		if (r <= 0)
			return r;
		r = read_peer(&q, a, p);
		if (r < 0)
			return r;
	}
	c->now = p;
	return read_peer_groups(s, a, c);
}

static int read_rules(struct store *s, struct arena *scratch, struct arena *a,
		      struct netmap_change *c)
{
	struct netmap_account acc = { .serial = c->serial };
	int r = read_groups(s, scratch, &acc);
	if (r == 0)
		r = read_policies(s, a, &acc);
	c->rules_changed = true;
	c->groups = acc.groups;
	c->ngroups = acc.ngroups;
	c->policies = acc.policies;
	c->npolicies = acc.npolicies;
	return r;
}

static bool same_account(const struct netmap_account *former, const struct store_account *row)
{
	return ip_prefix_equal(&former->network, &row->net4) &&
	       ip_prefix_equal(&former->network_v6, &row->net6) &&
	       strcmp(former->domain, row->domain) == 0 &&
	       former->lazy_connections == row->lazy_connections;
}

/* 1: *ret_change leads from the former snapshot to what is stored; 0: that cannot be said. */
static int change_locked(struct store *s, const struct netmap_account *former,
			 struct arena *scratch, struct arena *a, struct netmap_change *ret_change)
{
	struct store_account *row;
	int64_t foreign;
	bool rules;
	int r = read_account(s, scratch, &row, &foreign);
	if (r < 0)
		return r;
	if (foreign != s->notes.foreign || former->serial < s->notes.from ||
	    former->serial > row->serial || !same_account(former, row))
		return 0;
	struct store_id *ids = arena_calloc(scratch, STORE_NOTES_MAX, sizeof(*ids));
	if (ids == NULL)
		return LN_E_LIMIT;
	size_t n = store_notes_peers(&s->notes, former->serial, ids, &rules);
	if (n > worth_following(former))
		return 0;
	struct netmap_peer_change *peers = arena_calloc(scratch, n, sizeof(*peers));
	struct netmap_change c = { .serial = row->serial, .peers = peers, .npeers = n };
	if (peers == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = read_peer_change(s, &ids[i], scratch, &peers[i]);
	if (r == 0 && rules)
		r = read_rules(s, scratch, a, &c);
	if (r < 0)
		return r;
	store_notes_drop(&s->notes, former->serial);
	*ret_change = c;
	return 1;
}

int store_account_follow(struct store *s, const struct netmap_account *former, struct arena *a,
			 struct netmap_account **ret, struct netmap_same *ret_same)
{
	struct netmap_change c;
	struct arena scratch;
	int r = store_tx_begin(s->db, SQL_TX_READ);
	if (r < 0)
		return r;
	arena_init(&scratch, (size_t)1 << 30);
	r = store_tx_end(s->db, change_locked(s, former, &scratch, a, &c));
	if (r > 0) {
		int err = netmap_account_change(former, &c, a, ret, ret_same);
		r = err < 0 ? err : 1;
	}
	arena_fini(&scratch);
	return r != 0 ? r : store_account_load(s, a, ret);
}
