#include <stdio.h>
#include <string.h>

#include "src/ev/ev.h"
#include "src/store/store_internal.h"

/* lib/netmap/netmap.h: what a policy may name (the others cannot be asked for yet). */
enum {
	PROTO_ALL = 1,
	PROTO_TCP = 2,
	PROTO_UDP = 3,
	PROTO_ICMP = 4
};

enum side {
	SIDE_SOURCE = 0,
	SIDE_DESTINATION = 1
};

static int rule_check(const struct store_rule *r, struct ln_fail *f)
{
	if (r->protocol < PROTO_ALL || r->protocol > PROTO_ICMP)
		return ln_fail(f, LN_E_MALFORMED, "protocol %u is not known", r->protocol);
	if (r->nports > STORE_POLICY_PORTS_MAX)
		return ln_fail(f, LN_E_MALFORMED, "a rule has at most %d ports and ranges",
			       STORE_POLICY_PORTS_MAX);
	if (r->nports > 0 && r->protocol != PROTO_TCP && r->protocol != PROTO_UDP)
		return ln_fail(f, LN_E_MALFORMED, "only tcp and udp have ports");
	for (size_t i = 0; i < r->nports; i++) {
		if (r->ports[i].first == 0 || r->ports[i].first > r->ports[i].last)
			return ln_fail(f, LN_E_MALFORMED, "ports are 1-65535, ranges ascend");
	}
	if (r->nsources == 0 && !store_id_is_set(&r->source_peer.id))
		return ln_fail(f, LN_E_MALFORMED, "a rule needs a source group or peer");
	if (r->ndestinations == 0 && !store_id_is_set(&r->destination_peer.id))
		return ln_fail(f, LN_E_MALFORMED, "a rule needs a destination group or peer");
	return 0;
}

static int check(const struct store_policy *p, struct ln_fail *f)
{
	if (store_name_check(p->name) < 0)
		return ln_fail(f, LN_E_MALFORMED, "a name has 1 to %d bytes", STORE_NAME_MAX);
	for (size_t i = 0; i < p->nrules; i++) {
		int r = rule_check(&p->rules[i], f);
		if (r < 0)
			return r;
	}
	return 0;
}

static int insert_ports(struct store *s, const struct store_rule *r, const struct store_id *id)
{
	for (size_t i = 0; i < r->nports; i++) {
		LN_AUTO(store_q_end)
		struct store_q q = store_q_begin(s->db, SQL_POLICY_RULE_PORT_INSERT);
		store_q_text(&q, id->text);
		store_q_int(&q, (int64_t)i);
		store_q_int(&q, r->ports[i].first);
		store_q_int(&q, r->ports[i].last);
		int e = store_q_run(&q);
		if (e < 0)
			return e;
	}
	return 0;
}

static int insert_groups(struct store *s, const struct store_ref *v, size_t n, enum side side,
			 const struct store_id *rule, struct ln_fail *f)
{
	for (size_t i = 0; i < n; i++) {
		int e = store_group_exists(s, &v[i].id);
		if (e == 0)
			return ln_fail(f, LN_E_NOTFOUND, "there is no group %s", v[i].id.text);
		if (e < 0)
			return e;
		LN_AUTO(store_q_end)
		struct store_q q = store_q_begin(s->db, SQL_POLICY_RULE_GROUP_INSERT);
		store_q_text(&q, rule->text);
		store_q_int(&q, side);
		store_q_int(&q, (int64_t)i);
		store_q_text(&q, v[i].id.text);
		e = store_q_run(&q);
		if (e < 0)
			return e;
	}
	return 0;
}

static const char *peer_or_null(const struct store_ref *p)
{
	return store_id_is_set(&p->id) ? p->id.text : NULL;
}

static int insert_rule(struct store *s, const struct store_rule *r, const struct store_id *policy,
		       size_t position, struct ln_fail *f)
{
	const struct store_ref *peers[] = { &r->source_peer, &r->destination_peer };
	struct store_id id = r->id;
	int e;
	if (!store_id_is_set(&id))
		store_id_make(s->rng, ev_wall(), &id);
	for (size_t i = 0; i < LN_COUNT(peers); i++) {
		if (!store_id_is_set(&peers[i]->id))
			continue;
		e = store_peer_exists(s, &peers[i]->id);
		if (e <= 0)
			return e < 0 ? e
				     : ln_fail(f, LN_E_NOTFOUND, "there is no peer %s",
					       peers[i]->id.text);
	}
	{
		LN_AUTO(store_q_end)
		struct store_q q = store_q_begin(s->db, SQL_POLICY_RULE_INSERT);
		store_q_text(&q, id.text);
		store_q_text(&q, policy->text);
		store_q_int(&q, (int64_t)position);
		store_q_text(&q, r->name != NULL ? r->name : "");
		store_q_bool(&q, r->enabled);
		store_q_bool(&q, r->drop);
		store_q_bool(&q, r->bidirectional);
		store_q_int(&q, r->protocol);
		store_q_text(&q, peer_or_null(&r->source_peer));
		store_q_text(&q, peer_or_null(&r->destination_peer));
		e = store_q_run(&q);
	}
	if (e >= 0)
		e = insert_ports(s, r, &id);
	if (e >= 0)
		e = insert_groups(s, r->sources, r->nsources, SIDE_SOURCE, &id, f);
	if (e >= 0)
		e = insert_groups(s, r->destinations, r->ndestinations, SIDE_DESTINATION, &id, f);
	return e;
}

static int insert_rules(struct store *s, const struct store_policy *p, struct ln_fail *f)
{
	int r = 0;
	for (size_t i = 0; i < p->nrules && r >= 0; i++)
		r = insert_rule(s, &p->rules[i], &p->id, i, f);
	return r;
}

int store_policy_insert(struct store *s, struct store_policy *p, struct ln_fail *f)
{
	int r = check(p, f);
	if (r < 0)
		return r;
	store_id_make(s->rng, ev_wall(), &p->id);
	{
		LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_POLICY_INSERT);
		store_q_text(&q, p->id.text);
		store_q_text(&q, s->account.text);
		store_q_text(&q, p->name);
		store_q_text(&q, p->description != NULL ? p->description : "");
		store_q_bool(&q, p->enabled);
		r = store_q_run(&q);
	}
	return r < 0 ? r : insert_rules(s, p, f);
}

/* Ends a transaction whose failure may or may not have a sentence already. */
static int end_with_reason(struct store *s, int r, struct ln_fail *why, struct ln_fail *f)
{
	r = store_tx_end(s->db, r);
	if (r < 0 && why->code != r)
		return store_fail(s, f, r, "cannot store the policy");
	if (r < 0 && f != NULL)
		*f = *why;
	return r;
}

int store_policy_create(struct store *s, struct store_policy *p, struct ln_fail *f)
{
	struct store_policy copy = *p;
	struct ln_fail why = { 0 };
	uint64_t serial;
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return store_fail(s, f, r, "cannot store the policy");
	r = store_policy_insert(s, &copy, &why);
	if (r >= 0)
		r = store_serial_raise(s, NULL, true, &serial);
	r = end_with_reason(s, r, &why, f);
	if (r < 0)
		return r;
	p->id = copy.id;
	return 0;
}

/* --- reading ------------------------------------------------------------------------------------
 */

static int read_ports(struct store *s, struct arena *a, struct store_rule *r)
{
	size_t cap = 0;
	struct store_ports *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_POLICY_RULE_PORTS);
	store_q_text(&q, r->id.text);
	int e;
	while ((e = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, r->nports, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		v[r->nports++] = (struct store_ports){
			.first = (uint16_t)store_q_col_int(&q, 0),
			.last = (uint16_t)store_q_col_int(&q, 1),
		};
	}
	r->ports = v;
	return e;
}

static int read_groups(struct store *s, struct arena *a, const struct store_id *rule,
		       enum side side, const struct store_ref **ret, size_t *ret_n)
{
	size_t n = 0, cap = 0;
	struct store_ref *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_POLICY_RULE_GROUPS);
	store_q_text(&q, rule->text);
	store_q_int(&q, side);
	int e;
	while ((e = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, n, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		v[n].id = store_id_of(store_q_col(&q, 0));
		v[n].name = store_q_col_text(&q, 1, a);
		if (v[n++].name == NULL)
			return LN_E_LIMIT;
	}
	*ret = v;
	*ret_n = n;
	return e;
}

static int read_rule(const struct store_q *q, struct arena *a, struct store_rule *r)
{
	*r = (struct store_rule){
		.id = store_id_of(store_q_col(q, 0)),
		.name = store_q_col_text(q, 1, a),
		.enabled = store_q_col_bool(q, 2),
		.drop = store_q_col_bool(q, 3),
		.bidirectional = store_q_col_bool(q, 4),
		.protocol = (uint8_t)store_q_col_int(q, 5),
		.source_peer = { store_id_of(store_q_col(q, 6)), store_q_col_text(q, 7, a) },
		.destination_peer = { store_id_of(store_q_col(q, 8)), store_q_col_text(q, 9, a) },
	};
	return r->name == NULL || r->source_peer.name == NULL || r->destination_peer.name == NULL
		       ? LN_E_LIMIT
		       : 0;
}

static int read_rules(struct store *s, struct arena *a, struct store_policy *p)
{
	size_t cap = 0;
	struct store_rule *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_POLICY_RULES);
	store_q_text(&q, p->id.text);
	int e;
	while ((e = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, p->nrules, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		e = read_rule(&q, a, &v[p->nrules++]);
		if (e < 0)
			return e;
	}
	for (size_t i = 0; e == 0 && i < p->nrules; i++) {
		struct store_rule *r = &v[i];
		e = read_ports(s, a, r);
		if (e == 0)
			e = read_groups(s, a, &r->id, SIDE_SOURCE, &r->sources, &r->nsources);
		if (e == 0)
			e = read_groups(s, a, &r->id, SIDE_DESTINATION, &r->destinations,
					&r->ndestinations);
	}
	p->rules = v;
	return e;
}

int store_policy_list(struct store *s, struct arena *a, struct store_policy **ret, size_t *ret_n)
{
	size_t n = 0, cap = 0;
	struct store_policy *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_POLICY_LIST);
	int r;
	while ((r = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, n, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		v[n] = (struct store_policy){
			.id = store_id_of(store_q_col(&q, 0)),
			.name = store_q_col_text(&q, 1, a),
			.description = store_q_col_text(&q, 2, a),
			.enabled = store_q_col_bool(&q, 3),
		};
		if (v[n].name == NULL || v[n].description == NULL)
			return LN_E_LIMIT;
		n++;
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		r = read_rules(s, a, &v[i]);
	if (r < 0)
		return r;
	*ret = v;
	*ret_n = n;
	return 0;
}

/* --- changing -----------------------------------------------------------------------------------
 */

static bool refs_equal(const struct store_ref *x, size_t nx, const struct store_ref *y, size_t ny)
{
	if (nx != ny)
		return false;
	for (size_t i = 0; i < nx; i++) {
		if (strcmp(x[i].id.text, y[i].id.text) != 0)
			return false;
	}
	return true;
}

static bool rules_equal(const struct store_rule *x, const struct store_rule *y)
{
	if (strcmp(x->name, y->name) != 0 || x->enabled != y->enabled || x->drop != y->drop ||
	    x->bidirectional != y->bidirectional || x->protocol != y->protocol ||
	    x->nports != y->nports)
		return false;
	for (size_t i = 0; i < x->nports; i++) {
		if (x->ports[i].first != y->ports[i].first || x->ports[i].last != y->ports[i].last)
			return false;
	}
	return refs_equal(x->sources, x->nsources, y->sources, y->nsources) &&
	       refs_equal(x->destinations, x->ndestinations, y->destinations, y->ndestinations) &&
	       refs_equal(&x->source_peer, 1, &y->source_peer, 1) &&
	       refs_equal(&x->destination_peer, 1, &y->destination_peer, 1);
}

static bool policies_equal(const struct store_policy *x, const struct store_policy *y)
{
	if (strcmp(x->name, y->name) != 0 || strcmp(x->description, y->description) != 0 ||
	    x->enabled != y->enabled || x->nrules != y->nrules)
		return false;
	for (size_t i = 0; i < x->nrules; i++) {
		if (!rules_equal(&x->rules[i], &y->rules[i]))
			return false;
	}
	return true;
}

static int find_policy(struct store *s, const struct store_id *id, struct arena *a,
		       struct store_policy *ret)
{
	struct store_policy *v = NULL;
	size_t n = 0;
	int r = store_policy_list(s, a, &v, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (strcmp(v[i].id.text, id->text) == 0) {
			*ret = v[i];
			return 0;
		}
	}
	return r < 0 ? r : LN_E_NOTFOUND;
}

static int rewrite(struct store *s, const struct store_policy *p, struct ln_fail *f)
{
	int r;
	{
		LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_POLICY_UPDATE);
		store_q_text(&q, p->id.text);
		store_q_text(&q, p->name);
		store_q_text(&q, p->description);
		store_q_bool(&q, p->enabled);
		r = store_q_run(&q);
	}
	if (r >= 0) {
		LN_AUTO(store_q_end)
		struct store_q q = store_q_begin(s->db, SQL_POLICY_RULES_DELETE);
		store_q_text(&q, p->id.text);
		r = store_q_run(&q);
	}
	return r < 0 ? r : insert_rules(s, p, f);
}

static int update_locked(struct store *s, const struct store_policy *p, struct arena *a,
			 struct ln_fail *f)
{
	struct store_policy old = { 0 };
	struct store_policy want = *p;
	uint64_t serial;
	int r = check(p, f);
	if (r == 0)
		r = find_policy(s, &p->id, a, &old);
	if (r < 0)
		return r == LN_E_NOTFOUND ? ln_fail(f, r, "there is no such policy") : r;
	struct store_rule *rules = arena_calloc(a, LN_MAX(p->nrules, 1u), sizeof(*rules));
	if (rules == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < p->nrules; i++) {
		rules[i] = p->rules[i];
		/* The agents see rule ids: what stays in its place keeps its id. */
		rules[i].id = i < old.nrules ? old.rules[i].id : (struct store_id){ 0 };
		if (rules[i].name == NULL)
			rules[i].name = "";
	}
	want.rules = rules;
	if (want.description == NULL)
		want.description = "";
	if (policies_equal(&old, &want))
		return 0;
	r = rewrite(s, &want, f);
	if (r >= 0)
		r = store_serial_raise(s, NULL, true, &serial);
	return r < 0 ? r : 1;
}

int store_policy_update(struct store *s, const struct store_policy *p, struct ln_fail *f)
{
	struct ln_fail why = { 0 };
	struct arena a;
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return store_fail(s, f, r, "cannot store the policy");
	arena_init(&a, 64 << 20);
	r = update_locked(s, p, &a, &why);
	arena_fini(&a);
	return end_with_reason(s, r, &why, f);
}

static int delete_locked(struct store *s, const struct store_id *id)
{
	uint64_t serial;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_POLICY_DELETE);
	store_q_text(&q, id->text);
	int r = store_q_run(&q);
	if (r <= 0)
		return r < 0 ? r : LN_E_NOTFOUND;
	return store_serial_raise(s, NULL, true, &serial);
}

int store_policy_delete(struct store *s, const struct store_id *id)
{
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	return store_tx_end(s->db, delete_locked(s, id));
}
