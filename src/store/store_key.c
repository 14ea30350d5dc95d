#include <string.h>

#include "src/store/store_internal.h"

static int add_groups(struct store *s, const struct store_key *key, struct ln_fail *f)
{
	for (size_t i = 0; i < key->ngroups; i++) {
		int r = store_group_exists(s, &key->groups[i].id);
		if (r <= 0)
			return r < 0 ? r
				     : ln_fail(f, LN_E_NOTFOUND, "there is no group %s",
					       key->groups[i].id.text);
		LN_AUTO(store_q_end)
		struct store_q q = store_q_begin(s->db, SQL_KEY_GROUP_INSERT);
		store_q_text(&q, key->id.text);
		store_q_text(&q, key->groups[i].id.text);
		r = store_q_run(&q);
		if (r < 0)
			return r;
	}
	return 0;
}

static int insert(struct store *s, const struct store_key *key)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_KEY_INSERT);
	store_q_text(&q, key->id.text);
	store_q_text(&q, s->account.text);
	store_q_text(&q, key->name);
	store_q_text(&q, key->hash);
	store_q_text(&q, key->masked);
	store_q_bool(&q, key->reusable);
	store_q_bool(&q, key->ephemeral);
	store_q_int(&q, key->expires);
	store_q_int(&q, key->reusable ? key->usage_limit : 1);
	store_q_int(&q, key->created);
	int r = store_q_run(&q);
	return r < 0 ? r : 0;
}

int store_key_create(struct store *s, struct store_key *key, ln_wall now, struct ln_fail *f)
{
	if (store_name_check(key->name) < 0)
		return ln_fail(f, LN_E_MALFORMED, "a name has 1 to %d bytes", STORE_NAME_MAX);
	struct store_key k = *key;
	store_id_make(s->rng, now, &k.id);
	k.created = now / LN_SEC;
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return store_fail(s, f, r, "cannot store the setup key");
	struct ln_fail why = { 0 };
	r = insert(s, &k);
	if (r == 0)
		r = add_groups(s, &k, &why);
	r = store_tx_end(s->db, r);
	if (r < 0 && why.code == r) {
		if (f != NULL)
			*f = why;
		return r;
	}
	if (r < 0)
		return store_fail(s, f, r, "cannot store the setup key");
	key->id = k.id;
	key->created = k.created;
	return 0;
}

static int read_groups(struct store *s, struct arena *a, struct store_key *key)
{
	size_t cap = 0;
	struct store_ref *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_KEY_GROUPS);
	store_q_text(&q, key->id.text);
	int r;
	while ((r = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, key->ngroups, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		v[key->ngroups].id = store_id_of(store_q_col(&q, 0));
		v[key->ngroups].name = store_q_col_text(&q, 1, a);
		if (v[key->ngroups++].name == NULL)
			return LN_E_LIMIT;
	}
	key->groups = v;
	return r;
}

static int read_row(const struct store_q *q, struct arena *a, struct store_key *k)
{
	*k = (struct store_key){
		.id = store_id_of(store_q_col(q, 0)),
		.name = store_q_col_text(q, 1, a),
		.hash = store_q_col_text(q, 2, a),
		.masked = store_q_col_text(q, 3, a),
		.reusable = store_q_col_bool(q, 4),
		.ephemeral = store_q_col_bool(q, 5),
		.revoked = store_q_col_bool(q, 6),
		.expires = store_q_col_int(q, 7),
		.usage_limit = (uint32_t)store_q_col_int(q, 8),
		.used_times = (uint32_t)store_q_col_int(q, 9),
		.last_used = store_q_col_int(q, 10),
		.created = store_q_col_int(q, 11),
	};
	return k->name == NULL || k->hash == NULL || k->masked == NULL ? LN_E_LIMIT : 0;
}

int store_key_list(struct store *s, struct arena *a, struct store_key **ret, size_t *ret_n)
{
	size_t n = 0, cap = 0;
	struct store_key *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_KEY_LIST);
	int r;
	while ((r = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, n, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		r = read_row(&q, a, &v[n++]);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		r = read_groups(s, a, &v[i]);
	if (r < 0)
		return r;
	*ret = v;
	*ret_n = n;
	return 0;
}

static int change_one(struct store *s, enum store_sql sql, const struct store_id *id)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, sql);
	store_q_text(&q, id->text);
	int r = store_q_run(&q);
	return r < 0 ? r : r == 0 ? LN_E_NOTFOUND : 0;
}

int store_key_revoke(struct store *s, const struct store_id *id)
{
	return change_one(s, SQL_KEY_REVOKE, id);
}

int store_key_delete(struct store *s, const struct store_id *id)
{
	return change_one(s, SQL_KEY_DELETE, id);
}
