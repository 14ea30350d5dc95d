#include <string.h>

#include "src/ev/ev.h"
#include "src/store/store_internal.h"

int store_group_insert(struct store *s, const char *name, struct store_id *ret)
{
	struct store_id id;
	store_id_make(s->rng, ev_wall(), &id);
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_GROUP_INSERT);
	store_q_text(&q, id.text);
	store_q_text(&q, s->account.text);
	store_q_text(&q, name);
	int r = store_q_run(&q);
	if (r <= 0)
		return r < 0 ? r : LN_E_CONFLICT;
	*ret = id;
	return 0;
}

/* 1 and the name (if wanted, valid until the next statement is reused), 0 when unknown. */
static int group_name(struct store *s, const struct store_id *id, char dst[STORE_NAME_MAX + 1])
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_GROUP_GET);
	store_q_text(&q, id->text);
	int r = store_q_step(&q);
	if (r > 0) {
		size_t n = strnlen(store_q_col(&q, 0), STORE_NAME_MAX);
		memcpy(dst, store_q_col(&q, 0), n);
		dst[n] = '\0';
	}
	return r;
}

int store_group_exists(struct store *s, const struct store_id *id)
{
	char name[STORE_NAME_MAX + 1];
	return group_name(s, id, name);
}

int store_group_create(struct store *s, const char *name, struct store_id *ret)
{
	struct store_id id;
	uint64_t serial;
	int r = store_name_check(name);
	if (r < 0)
		return r;
	r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	r = store_group_insert(s, name, &id);
	if (r == 0)
		r = store_serial_raise(s, NULL, true, &serial);
	r = store_tx_end(s->db, r);
	if (r == 0)
		*ret = id;
	return r;
}

static int rename_locked(struct store *s, const struct store_id *id, const char *name)
{
	char old[STORE_NAME_MAX + 1];
	uint64_t serial;
	int r = group_name(s, id, old);
	if (r <= 0)
		return r < 0 ? r : LN_E_NOTFOUND;
	if (strcmp(old, name) == 0)
		return 0;
	if (strcmp(old, STORE_GROUP_ALL) == 0)
		return LN_E_DENIED;
	{
		LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_GROUP_RENAME);
		store_q_text(&q, id->text);
		store_q_text(&q, name);
		r = store_q_run(&q);
	}
	if (r >= 0)
		r = store_serial_raise(s, NULL, true, &serial);
	return r < 0 ? r : 1;
}

int store_group_rename(struct store *s, const struct store_id *id, const char *name)
{
	int r = store_name_check(name);
	if (r < 0)
		return r;
	r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	return store_tx_end(s->db, rename_locked(s, id, name));
}

/* LN_E_CONFLICT with a sentence when the statement finds a user of the group. */
static int used_by(struct store *s, enum store_sql sql, const char *what, const struct store_id *id,
		   struct ln_fail *f)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, sql);
	store_q_text(&q, id->text);
	int r = store_q_step(&q);
	if (r <= 0)
		return r;
	return ln_fail(f, LN_E_CONFLICT, "the group is used by the %s \"%.100s\"", what,
		       store_q_col(&q, 0));
}

static int delete_locked(struct store *s, const struct store_id *id, struct ln_fail *f)
{
	char name[STORE_NAME_MAX + 1];
	uint64_t serial;
	int r = group_name(s, id, name);
	if (r < 0)
		return store_fail(s, f, r, "cannot read the group");
	if (r == 0)
		return ln_fail(f, LN_E_NOTFOUND, "there is no such group");
	if (strcmp(name, STORE_GROUP_ALL) == 0)
		return ln_fail(f, LN_E_DENIED, "the group %s cannot be deleted", name);
	r = used_by(s, SQL_GROUP_USED_BY_POLICY, "policy", id, f);
	if (r == 0)
		r = used_by(s, SQL_GROUP_USED_BY_KEY, "setup key", id, f);
	if (r < 0)
		return r;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_GROUP_DELETE);
	store_q_text(&q, id->text);
	r = store_q_run(&q);
	if (r >= 0)
		r = store_serial_raise(s, NULL, true, &serial);
	return r < 0 ? store_fail(s, f, r, "cannot delete the group") : 0;
}

int store_group_delete(struct store *s, const struct store_id *id, struct ln_fail *f)
{
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return store_fail(s, f, r, "cannot delete the group");
	int done = delete_locked(s, id, f);
	r = store_tx_end(s->db, done);
	return r < 0 && r != done ? store_fail(s, f, r, "cannot delete the group") : r;
}

static int membership(struct store *s, enum store_sql sql, const struct store_id *group,
		      const struct store_id *peer)
{
	char name[STORE_NAME_MAX + 1];
	uint64_t serial;
	int r = group_name(s, group, name);
	if (r > 0)
		r = store_peer_exists(s, peer);
	if (r <= 0)
		return r < 0 ? r : LN_E_NOTFOUND;
	if (strcmp(name, STORE_GROUP_ALL) == 0)
		return sql == SQL_GROUP_PEER_ADD ? 0 : LN_E_DENIED;
	{
		LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, sql);
		store_q_text(&q, group->text);
		store_q_text(&q, peer->text);
		r = store_q_run(&q);
	}
	if (r <= 0)
		return r;
	r = store_serial_raise(s, peer, false, &serial);
	return r < 0 ? r : 1;
}

int store_group_add_peer(struct store *s, const struct store_id *group, const struct store_id *peer)
{
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	return store_tx_end(s->db, membership(s, SQL_GROUP_PEER_ADD, group, peer));
}

int store_group_remove_peer(struct store *s, const struct store_id *group,
			    const struct store_id *peer)
{
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	return store_tx_end(s->db, membership(s, SQL_GROUP_PEER_REMOVE, group, peer));
}

static int read_peers(struct store *s, struct arena *a, struct store_group *g)
{
	size_t cap = 0;
	struct store_ref *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_GROUP_PEERS);
	store_q_text(&q, g->id.text);
	int r;
	while ((r = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, g->npeers, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		v[g->npeers].id = store_id_of(store_q_col(&q, 0));
		v[g->npeers].name = store_q_col_text(&q, 1, a);
		if (v[g->npeers++].name == NULL)
			return LN_E_LIMIT;
	}
	g->peers = v;
	return r;
}

int store_group_list(struct store *s, struct arena *a, struct store_group **ret, size_t *ret_n)
{
	size_t n = 0, cap = 0;
	struct store_group *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_GROUP_LIST);
	int r;
	while ((r = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, n, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		v[n] = (struct store_group){ .id = store_id_of(store_q_col(&q, 0)),
					     .name = store_q_col_text(&q, 1, a) };
		if (v[n++].name == NULL)
			return LN_E_LIMIT;
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		r = read_peers(s, a, &v[i]);
	if (r < 0)
		return r;
	*ret = v;
	*ret_n = n;
	return 0;
}
