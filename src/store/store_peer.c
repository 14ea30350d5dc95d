#include <string.h>

#include "src/store/store_internal.h"
#include "src/store/store_label.h"

void store_meta_bind(struct store_q *q, const struct store_meta *m)
{
	store_q_int(q, m->flags);
	store_q_int(q, m->capabilities);
	store_q_int(q, m->sync_version);
#define X(name) store_q_text(q, m->name != NULL ? m->name : "");
	STORE_META_TEXTS(X)
#undef X
}

/* Columns of STORE_PEER_COLUMNS. */
static int read_row(const struct store_q *q, struct arena *a, struct store_peer *p)
{
	*p = (struct store_peer){
		.id = store_id_of(store_q_col(q, 0)),
		.ssh_key = store_q_col_blob(q, 2, a),
		.name = store_q_col_text(q, 3, a),
		.label = store_q_col_text(q, 4, a),
		.ephemeral = store_q_col_bool(q, 7),
		.connected = store_q_col_bool(q, 8),
		.session = store_q_col_int(q, 9),
		.last_seen = store_q_col_text(q, 10, a),
		.created = store_q_col_int(q, 11),
		.meta = {
			.flags = (uint32_t)store_q_col_int(q, 12),
			.capabilities = (uint32_t)store_q_col_int(q, 13),
			.sync_version = (int32_t)store_q_col_int(q, 14),
		},
	};
	int col = 15;
	bool full = p->name == NULL || p->label == NULL || p->last_seen == NULL ||
		    (p->ssh_key.n > 0 && p->ssh_key.p == NULL);
#define X(member)                                                                                  \
 p->meta.member = store_q_col_text(q, col++, a);                                                   \
 full = full || p->meta.member == NULL;
	STORE_META_TEXTS(X)
#undef X
	if (full)
		return LN_E_LIMIT;
	const char *v6 = store_q_col(q, 6);
	if (wg_key_parse(slice_str(store_q_col(q, 1)), &p->key) < 0 ||
	    ip_parse(slice_str(store_q_col(q, 5)), &p->v4) < 0 ||
	    (*v6 != '\0' && ip_parse(slice_str(v6), &p->v6) < 0))
		return LN_E_MALFORMED;
	return 0;
}

static int find(struct store *s, enum store_sql sql, const char *what, struct arena *a,
		struct store_peer *ret)
{
	struct store_peer p;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, sql);
	store_q_text(&q, what);
	int r = store_q_step(&q);
	if (r <= 0)
		return r < 0 ? r : LN_E_NOTFOUND;
	r = read_row(&q, a, &p);
	if (r == 0)
		*ret = p;
	return r;
}

int store_peer_find(struct store *s, const struct wg_key *key, struct arena *a,
		    struct store_peer *ret)
{
	char text[WG_KEY_TEXT];
	wg_key_format(key, text);
	return find(s, SQL_PEER_BY_KEY, text, a, ret);
}

int store_peer_get(struct store *s, const struct store_id *id, struct arena *a,
		   struct store_peer *ret)
{
	return find(s, SQL_PEER_BY_ID, id->text, a, ret);
}

int store_peer_list(struct store *s, struct arena *a, struct store_peer **ret, size_t *ret_n)
{
	size_t n = 0, cap = 0;
	struct store_peer *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_PEER_LIST);
	int r;
	while ((r = store_q_step(&q)) > 0) {
		if (!store_grow(a, (void **)&v, n, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		r = read_row(&q, a, &v[n++]);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = v;
	*ret_n = n;
	return 0;
}

int store_peer_exists(struct store *s, const struct store_id *id)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_PEER_BY_ID);
	store_q_text(&q, id->text);
	return store_q_step(&q);
}

/* --- changes ------------------------------------------------------------------------------------
 */

static int set_ssh_key_locked(struct store *s, const struct store_id *id, struct slice ssh_key)
{
	struct arena a;
	struct store_peer p;
	uint64_t serial;
	arena_init(&a, 1 << 20);
	int r = store_peer_get(s, id, &a, &p);
	bool same = r == 0 && slice_equal(p.ssh_key, ssh_key);
	arena_fini(&a);
	if (r < 0 || same)
		return r;
	{
		LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_PEER_SSH_KEY_SET);
		store_q_text(&q, id->text);
		store_q_blob(&q, ssh_key);
		r = store_q_run(&q);
	}
	if (r >= 0)
		r = store_serial_raise(s, id, false, &serial);
	return r < 0 ? r : 1;
}

int store_peer_set_ssh_key(struct store *s, const struct store_id *id, struct slice ssh_key)
{
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	return store_tx_end(s->db, set_ssh_key_locked(s, id, ssh_key));
}

/* lib/mgmt/mgmt_msg.h: MGMT_FLAG_NO_IPV6. The other flags do not alter a map. */
#define META_MAP_FLAGS (1u << 16)

/* 0 equal, 1 different, 2 different in what a map is made from. */
static int compare_meta(const struct store_meta *x, const struct store_meta *y)
{
	if (strcmp(x->version, y->version) != 0 || x->capabilities != y->capabilities ||
	    ((x->flags ^ y->flags) & META_MAP_FLAGS) != 0)
		return 2;
	bool same = x->flags == y->flags && x->sync_version == y->sync_version;
#define X(name) same = same && strcmp(x->name, y->name) == 0;
	STORE_META_TEXTS(X)
#undef X
	return same ? 0 : 1;
}

static int set_meta_locked(struct store *s, const struct store_id *id, struct store_meta *m)
{
	struct arena a;
	struct store_peer p;
	uint64_t serial;
	arena_init(&a, 16 << 20);
	int r = store_peer_get(s, id, &a, &p);
	if (r == 0 && m->ui_version[0] == '\0')
		m->ui_version = p.meta.ui_version;
	int change = r == 0 ? compare_meta(&p.meta, m) : 0;
	if (change > 0) {
		LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_PEER_META_SET);
		store_q_text(&q, id->text);
		store_meta_bind(&q, m);
		r = store_q_run(&q);
	}
	arena_fini(&a);
	if (r >= 0 && change == 2)
		r = store_serial_raise(s, id, false, &serial);
	return r < 0 ? r : change;
}

/* Nothing to write is the rule: look without taking the write lock first. */
int store_peer_set_meta(struct store *s, const struct store_id *id, const struct store_meta *meta)
{
	struct store_meta m = *meta;
#define X(name)                                                                                    \
 if (m.name == NULL)                                                                               \
  m.name = "";
	STORE_META_TEXTS(X)
#undef X
	struct arena a;
	struct store_peer p;
	arena_init(&a, 16 << 20);
	int r = store_peer_get(s, id, &a, &p);
	struct store_meta kept = m;
	if (r == 0 && m.ui_version[0] == '\0')
		kept.ui_version = p.meta.ui_version;
	bool same = r == 0 && compare_meta(&p.meta, &kept) == 0;
	arena_fini(&a);
	if (r < 0 || same)
		return r;
	r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	return store_tx_end(s->db, set_meta_locked(s, id, &m));
}

static int label_taken(struct store *s, const char *label, const struct store_id *except)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_PEER_LABEL_TAKEN);
	store_q_text(&q, s->account.text);
	store_q_text(&q, label);
	store_q_text(&q, except->text);
	return store_q_step(&q);
}

static int rename_locked(struct store *s, const struct store_id *id, const char *name)
{
	struct arena a;
	struct store_peer p;
	uint64_t serial;
	char base[STORE_LABEL_TEXT], label[STORE_LABEL_TEXT];
	int r = store_label_base(name, base);
	if (r < 0)
		return r;
	arena_init(&a, 16 << 20);
	r = store_peer_get(s, id, &a, &p);
	bool same = r == 0 && strcmp(p.name, name) == 0;
	arena_fini(&a);
	if (r < 0 || same)
		return r;
	memcpy(label, base, sizeof(label));
	if (p.ephemeral)
		store_label_with_address(base, &p.v4, label);
	r = label_taken(s, label, id);
	if (r > 0) {
		store_label_with_address(base, &p.v4, label);
		r = label_taken(s, label, id);
	}
	if (r != 0)
		return r < 0 ? r : LN_E_CONFLICT;
	{
		LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_PEER_RENAME);
		store_q_text(&q, id->text);
		store_q_text(&q, name);
		store_q_text(&q, label);
		r = store_q_run(&q);
	}
	if (r >= 0)
		r = store_serial_raise(s, id, false, &serial);
	return r < 0 ? r : 1;
}

int store_peer_rename(struct store *s, const struct store_id *id, const char *name)
{
	int r = store_name_check(name);
	if (r < 0)
		return r;
	r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	return store_tx_end(s->db, rename_locked(s, id, name));
}

static int delete_from(struct store *s, enum store_sql sql, const struct store_id *id)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, sql);
	store_q_text(&q, id->text);
	return store_q_run(&q);
}

static int delete_locked(struct store *s, const struct store_id *id)
{
	uint64_t serial;
	int policies = delete_from(s, SQL_PEER_POLICIES_DELETE, id);
	if (policies < 0)
		return policies;
	int r = delete_from(s, SQL_PEER_DELETE, id);
	if (r <= 0)
		return r < 0 ? r : LN_E_NOTFOUND;
	return store_serial_raise(s, id, policies > 0, &serial);
}

int store_peer_delete(struct store *s, const struct store_id *id)
{
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	return store_tx_end(s->db, delete_locked(s, id));
}

#define SWEEP_AT_ONCE 256

static int sweep_list(struct store *s, int64_t idle_s, struct store_id v[SWEEP_AT_ONCE])
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_PEER_SWEEP_LIST);
	store_q_int(&q, idle_s);
	int n = 0;
	int r = 0;
	while (n < SWEEP_AT_ONCE && (r = store_q_step(&q)) > 0)
		v[n++] = store_id_of(store_q_col(&q, 0));
	return r < 0 ? r : n;
}

int store_peer_sweep(struct store *s, int64_t idle_s)
{
	struct store_id v[SWEEP_AT_ONCE];
	int n = sweep_list(s, idle_s, v); /* a look without the write lock: mostly nothing */
	if (n <= 0)
		return n;
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	n = sweep_list(s, idle_s, v);
	r = n < 0 ? n : 0;
	for (int i = 0; i < n && r == 0; i++)
		r = delete_locked(s, &v[i]);
	r = store_tx_end(s->db, r);
	return r < 0 ? r : n;
}

/* --- connected state: spec management-protocol 6.2 ----------------------------------------------
 */

/*
 * Not waited for until it is on the disk: a thousand agents that come back at once would wait for
 * a thousand writes. What a power failure takes away is wiped at the next start anyway
 * (store_peer_disconnect_all), and the order of commits stays.
 */
static int fenced(struct store *s, enum store_sql sql, const struct store_id *account,
		  const struct store_id *peer, int64_t token)
{
	int err = store_db_durable(s->db, false);
	if (err < 0)
		return err;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, sql);
	store_q_text(&q, account->text);
	store_q_text(&q, peer->text);
	store_q_int(&q, token);
	int r = store_q_run(&q);
	err = store_db_durable(s->db, true);
	return err < 0 ? err : r > 0 ? 1 : r;
}

int store_peer_connect(struct store *s, const struct store_id *account, const struct store_id *peer,
		       int64_t token)
{
	return fenced(s, SQL_PEER_CONNECT, account, peer, token);
}

int store_peer_disconnect(struct store *s, const struct store_id *account,
			  const struct store_id *peer, int64_t token)
{
	return token == 0 ? 0 : fenced(s, SQL_PEER_DISCONNECT, account, peer, token);
}

int store_peer_disconnect_all(struct store *s)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_PEER_DISCONNECT_ALL);
	return store_q_run(&q);
}
