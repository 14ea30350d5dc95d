/* Registration of a new peer by setup key (spec management-protocol 3.5, 5.1). */
#include <stdlib.h>
#include <string.h>

#include "src/store/store_internal.h"
#include "src/store/store_label.h"

#define ADDRESS_TRIES 10

struct candidate {
	struct store_id id;
	struct ip_addr v4;
	struct ip_addr v6;
	char base[STORE_LABEL_TEXT];
	char label[STORE_LABEL_TEXT];
	bool ephemeral;
};

static int find_key(struct store *s, const char *hash, ln_wall now, struct store_id *ret,
		    bool *ret_ephemeral)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_KEY_FIND_USABLE);
	store_q_text(&q, s->account.text);
	store_q_text(&q, hash);
	store_q_int(&q, now / LN_SEC);
	int r = store_q_step(&q);
	if (r <= 0)
		return r < 0 ? r : LN_E_NOTFOUND;
	*ret = store_id_of(store_q_col(&q, 0));
	*ret_ephemeral = store_q_col_bool(&q, 1);
	return 0;
}

static int use_key(struct store *s, const struct store_id *key, ln_wall now)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_KEY_USE);
	store_q_text(&q, key->text);
	store_q_int(&q, now / LN_SEC);
	int r = store_q_run(&q);
	return r < 0 ? r : 0;
}

/* Never the network or the broadcast address. */
static struct ip_addr random_v4(struct store *s, const struct ip_prefix *net)
{
	uint32_t hosts = net->len >= 31 ? 1 : (1u << (32 - net->len)) - 2;
	struct ip_prefix base = ip_prefix_mask(net);
	return ip_v4(ip_to_u32(&base.addr) + 1 + rng_below(s->rng, hosts));
}

static struct ip_addr random_v6(struct store *s, const struct ip_prefix *net)
{
	struct ip_addr a = ip_prefix_mask(net).addr;
	uint64_t host;
	do {
		host = rng_u64(s->rng);
	} while (host == 0 || host == UINT64_MAX);
	for (int i = 0; i < 8; i++)
		a.b[8 + i] = (uint8_t)(host >> (56 - 8 * i));
	return a;
}

static int wants_v6(struct store *s, const struct store_id *key)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_GROUP_IPV6_FOR_KEY);
	store_q_text(&q, s->account.text);
	store_q_text(&q, key->text);
	return store_q_step(&q);
}

/* 1 stored, 0 when the address or the label is taken. */
static int insert(struct store *s, const struct store_registration *r, const struct candidate *c,
		  ln_wall now)
{
	char key[WG_KEY_TEXT], v4[IP_TEXT_MAX], v6[IP_TEXT_MAX];
	const struct store_meta *m = r->meta;
	wg_key_format(&r->key, key);
	ip_format(&c->v4, v4);
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_PEER_INSERT);
	store_q_text(&q, c->id.text);
	store_q_text(&q, s->account.text);
	store_q_text(&q, key);
	store_q_blob(&q, r->ssh_key);
	store_q_text(&q, m->hostname);
	store_q_text(&q, c->label);
	store_q_text(&q, v4);
	if (ip_is_set(&c->v6))
		ip_format(&c->v6, v6);
	store_q_text(&q, ip_is_set(&c->v6) ? v6 : NULL);
	store_q_bool(&q, c->ephemeral);
	store_q_int(&q, now / LN_SEC);
	store_meta_bind(&q, m);
	return store_q_run(&q);
}

static int address_cmp(const void *x, const void *y)
{
	uint32_t a, b;
	memcpy(&a, x, sizeof(a));
	memcpy(&b, y, sizeof(b));
	return a < b ? -1 : a > b;
}

/* The first host address nobody has; LN_E_LIMIT when there is none. */
static int free_v4(struct store *s, const struct ip_prefix *net, struct arena *a,
		   struct ip_addr *ret)
{
	size_t n = 0, cap = 0;
	uint32_t *v = NULL;
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_PEER_V4_LIST);
	store_q_text(&q, s->account.text);
	int r;
	while ((r = store_q_step(&q)) > 0) {
		struct ip_addr ip;
		if (ip_parse(slice_str(store_q_col(&q, 0)), &ip) < 0 || ip.family != 4)
			return LN_E_MALFORMED;
		if (!store_grow(a, (void **)&v, n, &cap, sizeof(*v)))
			return LN_E_LIMIT;
		v[n++] = ip_to_u32(&ip);
	}
	if (r < 0)
		return r;
	if (n > 0)
		qsort(v, n, sizeof(*v), address_cmp);
	struct ip_prefix base = ip_prefix_mask(net);
	uint32_t next = ip_to_u32(&base.addr) + 1;
	uint32_t end = net->len >= 31 ? next : next + (1u << (32 - net->len)) - 2;
	for (size_t i = 0; i < n && next < end; i++) {
		if (v[i] == next)
			next++;
	}
	if (next >= end)
		return LN_E_LIMIT;
	*ret = ip_v4(next);
	return 0;
}

/*
 * Random addresses first; the label plain at the first try, with the address behind it later (and
 * always for ephemeral peers, which come and go under the same host name).
 */
static int place(struct store *s, const struct store_registration *reg,
		 const struct store_account *acc, struct candidate *c, bool v6, ln_wall now,
		 struct arena *a)
{
	for (int i = 0; i <= ADDRESS_TRIES + 1; i++) {
		c->v4 = random_v4(s, &acc->net4);
		if (i >= ADDRESS_TRIES) {
			int r = free_v4(s, &acc->net4, a, &c->v4);
			if (r < 0)
				return r;
		}
		if (v6)
			c->v6 = random_v6(s, &acc->net6);
		memcpy(c->label, c->base, sizeof(c->label));
		if (i > 0 || c->ephemeral)
			store_label_with_address(c->base, &c->v4, c->label);
		int r = insert(s, reg, c, now);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return LN_E_LIMIT;
}

static int join_groups(struct store *s, const struct store_id *key, const struct store_id *peer)
{
	struct store_id all;
	{
		LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_GROUP_BY_NAME);
		store_q_text(&q, s->account.text);
		store_q_text(&q, STORE_GROUP_ALL);
		int r = store_q_step(&q);
		if (r <= 0)
			return r < 0 ? r : LN_E_INTERNAL;
		all = store_id_of(store_q_col(&q, 0));
	}

	const struct {
		enum store_sql sql;
		const char *first;
	} step[] = { { SQL_GROUP_PEER_ADD, all.text }, { SQL_GROUP_PEER_ADD_FROM_KEY, key->text } };

	for (size_t i = 0; i < LN_COUNT(step); i++) {
		LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, step[i].sql);
		store_q_text(&q, step[i].first);
		store_q_text(&q, peer->text);
		int r = store_q_run(&q);
		if (r < 0)
			return r;
	}
	return 0;
}

static int register_locked(struct store *s, const struct store_registration *reg, ln_wall now,
			   struct arena *a, struct store_peer *ret, uint64_t *ret_serial)
{
	struct store_account acc;
	struct store_id key;
	struct candidate c = { 0 };
	int r = store_account_get(s, &acc);
	if (r < 0)
		return r == LN_E_NOTFOUND ? LN_E_STATE : r;
	r = store_peer_find(s, &reg->key, a, ret);
	if (r != LN_E_NOTFOUND)
		return r < 0 ? r : LN_E_CONFLICT;
	r = find_key(s, reg->setup_key_hash, now, &key, &c.ephemeral);
	if (r == 0)
		r = store_label_base(reg->meta->hostname, c.base);
	if (r < 0)
		return r;
	r = wants_v6(s, &key);
	if (r < 0)
		return r;
	store_id_make(s->rng, now, &c.id);
	r = place(s, reg, &acc, &c, r > 0, now, a);
	if (r == 0)
		r = join_groups(s, &key, &c.id);
	if (r == 0)
		r = use_key(s, &key, now);
	if (r == 0)
		r = store_serial_raise(s, &c.id, false, ret_serial);
	return r < 0 ? r : store_peer_get(s, &c.id, a, ret);
}

int store_peer_register(struct store *s, const struct store_registration *reg, ln_wall now,
			struct arena *a, struct store_peer *ret, uint64_t *ret_serial)
{
	struct store_peer p;
	uint64_t serial;
	int r = store_name_check(reg->meta->hostname);
	if (r < 0)
		return r;
	r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	r = store_tx_end(s->db, register_locked(s, reg, now, a, &p, &serial));
	if (r < 0)
		return r;
	*ret = p;
	*ret_serial = serial;
	return 0;
}
