#include <stdio.h>
#include <string.h>

#include "src/store/store_internal.h"

/* lib/netmap/netmap.h: NETMAP_PROTO_ALL */
#define PROTO_ALL 1

static int read_prefix(const struct store_q *q, int col, struct ip_prefix *ret)
{
	return ip_prefix_parse(slice_str(store_q_col(q, col)), ret);
}

int store_account_get(struct store *s, struct store_account *ret)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_ACCOUNT_GET);
	int r = store_q_step(&q);
	if (r <= 0)
		return r < 0 ? r : LN_E_NOTFOUND;
	struct store_account acc = {
		.id = store_id_of(store_q_col(&q, 0)),
		.serial = (uint64_t)store_q_col_int(&q, 1),
		.lazy_connections = store_q_col_bool(&q, 5),
	};
	snprintf(acc.domain, sizeof(acc.domain), "%s", store_q_col(&q, 4));
	if (read_prefix(&q, 2, &acc.net4) < 0 || read_prefix(&q, 3, &acc.net6) < 0 ||
	    acc.net4.addr.family != 4 || acc.net6.addr.family != 6)
		return LN_E_MALFORMED;
	s->account = acc.id;
	*ret = acc;
	return 0;
}

int store_serial_raise(struct store *s, const struct store_id *peer, bool rules, uint64_t *ret)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_ACCOUNT_SERIAL_RAISE);
	store_q_text(&q, s->account.text);
	int r = store_q_step(&q);
	if (r <= 0)
		return r < 0 ? r : LN_E_NOTFOUND;
	uint64_t serial = (uint64_t)store_q_col_int(&q, 0);
	/* RETURNING has run only when the statement was stepped to its end. */
	r = store_q_step(&q);
	if (r < 0)
		return r;
	store_notes_add(&s->notes, serial, peer, rules);
	*ret = serial;
	return 0;
}

static int insert_account(struct store *s, ln_wall now, struct store_account *acc)
{
	char net4[IP_PREFIX_TEXT_MAX], net6[IP_PREFIX_TEXT_MAX];
	store_id_make(s->rng, now, &acc->id);
	/* 100.64.0.0/10 holds 64 networks of /16. */
	acc->net4.addr = ip_v4(0x64400000u | rng_below(s->rng, 64) << 16);
	acc->net4.len = 16;
	acc->net6.addr = (struct ip_addr){ .family = 6, .b = { 0xfd } };
	rng_fill(s->rng, acc->net6.addr.b + 1, 7);
	acc->net6.len = 64;
	snprintf(acc->domain, sizeof(acc->domain), "netbird.selfhosted");
	acc->lazy_connections = true;
	ip_prefix_format(&acc->net4, net4);
	ip_prefix_format(&acc->net6, net6);
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_ACCOUNT_INSERT);
	store_q_text(&q, acc->id.text);
	store_q_text(&q, net4);
	store_q_text(&q, net6);
	store_q_text(&q, acc->domain);
	store_q_bool(&q, acc->lazy_connections);
	store_q_int(&q, now / LN_SEC);
	int r = store_q_run(&q);
	return r < 0 ? r : 0;
}

static int fill_account(struct store *s)
{
	struct store_ref all = { .name = STORE_GROUP_ALL };
	int r = store_group_insert(s, STORE_GROUP_ALL, &all.id);
	if (r < 0)
		return r;
	{
		LN_AUTO(store_q_end)
		struct store_q q = store_q_begin(s->db, SQL_ACCOUNT_IPV6_GROUP_ADD);
		store_q_text(&q, s->account.text);
		store_q_text(&q, all.id.text);
		r = store_q_run(&q);
	}
	if (r < 0)
		return r;
	struct store_rule rule = {
		.name = "Default",
		.enabled = true,
		.bidirectional = true,
		.protocol = PROTO_ALL,
		.sources = &all,
		.nsources = 1,
		.destinations = &all,
		.ndestinations = 1,
	};
	struct store_policy policy = {
		.name = "Default",
		.description = "This is a default policy that allows connections between all "
			       "the resources",
		.enabled = true,
		.rules = &rule,
		.nrules = 1,
	};
	return store_policy_insert(s, &policy, NULL);
}

int store_account_ensure(struct store *s, ln_wall now, struct store_account *ret)
{
	struct store_account acc = { 0 };
	int r = store_account_get(s, ret);
	if (r != LN_E_NOTFOUND)
		return r;
	r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	r = store_account_get(s, &acc); /* another process may have been faster */
	if (r == LN_E_NOTFOUND) {
		r = insert_account(s, now, &acc);
		s->account = acc.id;
		if (r == 0)
			r = fill_account(s);
		if (r == 0)
			r = store_serial_raise(s, NULL, true, &acc.serial);
	}
	r = store_tx_end(s->db, r);
	if (r < 0) {
		s->account = (struct store_id){ 0 };
		return r;
	}
	*ret = acc;
	return 0;
}

static int set_lazy_locked(struct store *s, bool lazy)
{
	uint64_t serial;
	{
		LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_ACCOUNT_SET_LAZY);
		store_q_text(&q, s->account.text);
		store_q_bool(&q, lazy);
		int r = store_q_run(&q);
		if (r < 0)
			return r;
	}
	return store_serial_raise(s, NULL, true, &serial);
}

int store_account_set_lazy(struct store *s, bool lazy)
{
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	return r < 0 ? r : store_tx_end(s->db, set_lazy_locked(s, lazy));
}
