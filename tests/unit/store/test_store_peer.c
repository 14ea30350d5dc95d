/* Registration, addresses, labels, metadata, ephemeral peers, the fence of the connected state. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/ev/ev.h"
#include "src/store/store.h"
#include "tests/unit/store/store_fixture.h"
#include "tests/unit/unit.h"

static void test_registration(void **state)
{
	struct store_fixture fx;
	struct store_peer p, found;
	store_fixture_init(&fx);
	store_fixture_key(&fx, "h", true, false);
	uint64_t before = store_fixture_serial(&fx);
	assert_int_equal(store_fixture_peer(&fx, 1, "Host_A.lan", "h", &p), 0);
	assert_int_equal(store_fixture_serial(&fx), before + 1);
	assert_string_equal(p.name, "Host_A.lan");
	assert_string_equal(p.label, "host-a");
	assert_true(ip_prefix_contains(&fx.account.net4, &p.v4));
	assert_true(ip_prefix_contains(&fx.account.net6, &p.v6));
	assert_false(p.connected);
	assert_int_equal(p.session, 0);
	assert_int_equal(strlen(p.last_seen), 19);
	struct wg_key key = store_fixture_wg_key(1);
	assert_int_equal(store_peer_find(fx.store, &key, &fx.arena, &found), 0);
	assert_string_equal(found.id.text, p.id.text);
	assert_true(slice_is(found.ssh_key, "ssh-ed25519 AAAA"));
	key.b[31] = 1;
	assert_int_equal(store_peer_find(fx.store, &key, &fx.arena, &found), LN_E_NOTFOUND);

	/* The same host name gets the address behind its label; the same key is a conflict. */
	assert_int_equal(store_fixture_peer(&fx, 2, "host-a", "h", &found), 0);
	char want[72];
	snprintf(want, sizeof(want), "host-a-%u-%u", found.v4.b[2], found.v4.b[3]);
	assert_string_equal(found.label, want);
	before = store_fixture_serial(&fx);
	assert_int_equal(store_fixture_peer(&fx, 1, "x", "h", &found), LN_E_CONFLICT);
	assert_int_equal(store_fixture_peer(&fx, 3, "...", "h", &found), LN_E_MALFORMED);
	assert_int_equal(store_fixture_peer(&fx, 3, "", "h", &found), LN_E_MALFORMED);
	assert_int_equal(store_fixture_peer(&fx, 3, "x", "nope", &found), LN_E_NOTFOUND);
	assert_int_equal(store_fixture_serial(&fx), before);

	struct store_group *groups;
	size_t n;
	assert_int_equal(store_group_list(fx.store, &fx.arena, &groups, &n), 0);
	assert_int_equal(groups[0].npeers, 2);
	store_fixture_fini(&fx);
}

static struct store_key only_key(struct store_fixture *fx)
{
	struct store_key *keys;
	size_t n;
	assert_int_equal(store_key_list(fx->store, &fx->arena, &keys, &n), 0);
	assert_int_equal(n, 1);
	return keys[0];
}

static void test_setup_key_rules(void **state)
{
	struct store_fixture fx;
	struct store_peer p;
	store_fixture_init(&fx);
	struct store_id id = store_fixture_key(&fx, "once", false, false);
	assert_int_equal(only_key(&fx).usage_limit, 1);
	assert_int_equal(only_key(&fx).last_used, 0);
	assert_int_equal(store_fixture_peer(&fx, 1, "a", "once", &p), 0);
	assert_int_equal(only_key(&fx).used_times, 1);
	assert_true(only_key(&fx).last_used > 0);
	assert_int_equal(store_fixture_peer(&fx, 2, "b", "once", &p), LN_E_NOTFOUND);
	assert_int_equal(store_key_delete(fx.store, &id), 0);
	assert_int_equal(store_key_delete(fx.store, &id), LN_E_NOTFOUND);

	struct store_key key = {
		.name = "k", .hash = "two", .masked = "T", .reusable = true, .usage_limit = 2
	};
	assert_int_equal(store_key_create(fx.store, &key, ev_wall(), NULL), 0);
	assert_int_equal(store_fixture_peer(&fx, 2, "b", "two", &p), 0);
	assert_int_equal(store_fixture_peer(&fx, 3, "c", "two", &p), 0);
	assert_int_equal(store_fixture_peer(&fx, 4, "d", "two", &p), LN_E_NOTFOUND);
	assert_int_equal(store_key_delete(fx.store, &key.id), 0);

	int64_t now = ev_wall() / LN_SEC;
	struct store_key past = {
		.name = "k", .hash = "past", .masked = "T", .reusable = true, .expires = now
	};
	assert_int_equal(store_key_create(fx.store, &past, ev_wall(), NULL), 0);
	assert_int_equal(store_fixture_peer(&fx, 4, "d", "past", &p), LN_E_NOTFOUND);
	struct store_key later = past;
	later.hash = "later";
	later.expires = now + 3600;
	assert_int_equal(store_key_create(fx.store, &later, ev_wall(), NULL), 0);
	assert_int_equal(store_fixture_peer(&fx, 4, "d", "later", &p), 0);
	assert_int_equal(store_key_revoke(fx.store, &later.id), 0);
	assert_int_equal(store_fixture_peer(&fx, 5, "e", "later", &p), LN_E_NOTFOUND);
	struct store_key same = later;
	assert_int_equal(store_key_create(fx.store, &same, ev_wall(), NULL), LN_E_CONFLICT);
	store_fixture_fini(&fx);
}

static void test_auto_groups(void **state)
{
	struct store_fixture fx;
	struct store_peer p;
	struct ln_fail f = { 0 };
	store_fixture_init(&fx);
	struct store_ref g = { .name = "servers" };
	assert_int_equal(store_group_create(fx.store, "servers", &g.id), 0);
	struct store_key key = { .name = "k",
				 .hash = "g",
				 .masked = "T",
				 .reusable = true,
				 .groups = &g,
				 .ngroups = 1 };
	assert_int_equal(store_key_create(fx.store, &key, ev_wall(), &f), 0);
	assert_string_equal(only_key(&fx).groups[0].name, "servers");
	assert_int_equal(store_fixture_peer(&fx, 1, "a", "g", &p), 0);
	struct store_group *groups;
	size_t n;
	assert_int_equal(store_group_list(fx.store, &fx.arena, &groups, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(groups[0].npeers, 1);
	assert_int_equal(groups[1].npeers, 1);
	assert_string_equal(groups[1].peers[0].id.text, p.id.text);
	assert_int_equal(store_group_delete(fx.store, &g.id, &f), LN_E_CONFLICT);
	assert_non_null(strstr(f.text, "setup key \"k\""));
	struct store_ref none = { .id = { "00000000000000000000" } };
	struct store_key bad = {
		.name = "k", .hash = "b", .masked = "T", .groups = &none, .ngroups = 1
	};
	assert_int_equal(store_key_create(fx.store, &bad, ev_wall(), &f), LN_E_NOTFOUND);
	only_key(&fx); /* nothing of the refused key was kept */
	store_fixture_fini(&fx);
}

/* A network of 6 hosts: random tries collide, the scan finds the rest, then it is full. */
static void test_full_network(void **state)
{
	struct store_fixture fx;
	struct store_peer p;
	store_fixture_init(&fx);
	store_fixture_key(&fx, "h", true, false);
	store_close(fx.store);
	sqlite3 *db;
	assert_int_equal(sqlite3_open(fx.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE accounts SET network_v4 = '100.99.1.0/29'", NULL,
				      NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	fx.store = NULL;
	store_fixture_reopen(&fx);
	unsigned seen = 0;
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(store_fixture_peer(&fx, i, "same", "h", &p), 0);
		assert_in_range(p.v4.b[3], 1, 6);
		seen |= 1u << p.v4.b[3];
	}
	assert_int_equal(seen, 0x7e);
	assert_int_equal(store_fixture_peer(&fx, 7, "same", "h", &p), LN_E_LIMIT);
	store_fixture_fini(&fx);
}

static void test_meta(void **state)
{
	struct store_fixture fx;
	struct store_peer p;
	store_fixture_init(&fx);
	store_fixture_key(&fx, "h", true, false);
	assert_int_equal(store_fixture_peer(&fx, 1, "a", "h", &p), 0);
	uint64_t serial = store_fixture_serial(&fx);
	struct store_meta m = { .hostname = "a", .version = "0.70.0", .ui_version = "ui/1" };
	assert_int_equal(store_peer_set_meta(fx.store, &p.id, &m), 1);
	assert_int_equal(store_peer_set_meta(fx.store, &p.id, &m), 0);
	m.ui_version = "";
	assert_int_equal(store_peer_set_meta(fx.store, &p.id, &m), 0); /* keeps the stored one */
	m.hostname = "other";
	assert_int_equal(store_peer_set_meta(fx.store, &p.id, &m), 1);
	assert_int_equal(store_fixture_serial(&fx), serial);
	m.version = "0.71.0";
	assert_int_equal(store_peer_set_meta(fx.store, &p.id, &m), 2);
	m.capabilities = 6;
	assert_int_equal(store_peer_set_meta(fx.store, &p.id, &m), 2);
	m.flags = 1u << 16;
	assert_int_equal(store_peer_set_meta(fx.store, &p.id, &m), 2);
	m.flags |= 1u << 3;
	assert_int_equal(store_peer_set_meta(fx.store, &p.id, &m), 1);
	assert_int_equal(store_fixture_serial(&fx), serial + 3);
	assert_int_equal(store_peer_get(fx.store, &p.id, &fx.arena, &p), 0);
	assert_string_equal(p.meta.ui_version, "ui/1");
	assert_string_equal(p.meta.hostname, "other");
	assert_string_equal(p.label, "a"); /* names do not follow */
	struct store_id none = { "x" };
	assert_int_equal(store_peer_set_meta(fx.store, &none, &m), LN_E_NOTFOUND);

	assert_int_equal(store_peer_set_ssh_key(fx.store, &p.id, slice_str("ssh-ed25519 AAAA")), 0);
	assert_int_equal(store_peer_set_ssh_key(fx.store, &p.id, slice_str("new")), 1);
	assert_int_equal(store_fixture_serial(&fx), serial + 4);
	assert_int_equal(store_peer_set_ssh_key(fx.store, &none, slice_str("n")), LN_E_NOTFOUND);
	store_fixture_fini(&fx);
}

static void test_rename(void **state)
{
	struct store_fixture fx;
	struct store_peer a, b;
	store_fixture_init(&fx);
	store_fixture_key(&fx, "h", true, false);
	assert_int_equal(store_fixture_peer(&fx, 1, "a", "h", &a), 0);
	assert_int_equal(store_fixture_peer(&fx, 2, "b", "h", &b), 0);
	uint64_t serial = store_fixture_serial(&fx);
	assert_int_equal(store_peer_rename(fx.store, &a.id, "a"), 0);
	assert_int_equal(store_fixture_serial(&fx), serial);
	assert_int_equal(store_peer_rename(fx.store, &a.id, "New Name"), 1);
	assert_int_equal(store_peer_get(fx.store, &a.id, &fx.arena, &a), 0);
	assert_string_equal(a.name, "New Name");
	assert_string_equal(a.label, "new-name");
	assert_int_equal(store_peer_rename(fx.store, &a.id, "b"), 1);
	assert_int_equal(store_peer_get(fx.store, &a.id, &fx.arena, &a), 0);
	assert_int_equal(strncmp(a.label, "b-", 2), 0);
	assert_int_equal(store_fixture_serial(&fx), serial + 2);
	assert_int_equal(store_peer_rename(fx.store, &a.id, "..."), LN_E_MALFORMED);
	struct store_id none = { "x" };
	assert_int_equal(store_peer_rename(fx.store, &none, "y"), LN_E_NOTFOUND);
	store_fixture_fini(&fx);
}

static void test_delete_takes_its_policies(void **state)
{
	struct store_fixture fx;
	struct store_peer a, b;
	store_fixture_init(&fx);
	store_fixture_key(&fx, "h", true, false);
	assert_int_equal(store_fixture_peer(&fx, 1, "a", "h", &a), 0);
	assert_int_equal(store_fixture_peer(&fx, 2, "b", "h", &b), 0);
	struct store_rule rule = { .enabled = true,
				   .protocol = 1,
				   .source_peer = { .id = a.id },
				   .destination_peer = { .id = b.id } };
	struct store_policy policy = {
		.name = "one", .enabled = true, .rules = &rule, .nrules = 1
	};
	assert_int_equal(store_policy_create(fx.store, &policy, NULL), 0);
	uint64_t serial = store_fixture_serial(&fx);
	assert_int_equal(store_peer_delete(fx.store, &b.id), 0);
	assert_int_equal(store_fixture_serial(&fx), serial + 1);
	struct store_policy *policies;
	size_t n;
	assert_int_equal(store_policy_list(fx.store, &fx.arena, &policies, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(policies[0].name, "Default");
	assert_int_equal(store_peer_delete(fx.store, &b.id), LN_E_NOTFOUND);
	assert_int_equal(store_fixture_serial(&fx), serial + 1);
	store_fixture_fini(&fx);
}

static void test_ephemeral_sweep(void **state)
{
	struct store_fixture fx;
	struct store_peer a, b, c;
	store_fixture_init(&fx);
	store_fixture_key(&fx, "e", true, true);
	store_fixture_key(&fx, "h", true, false);
	assert_int_equal(store_fixture_peer(&fx, 1, "a", "e", &a), 0);
	assert_int_equal(store_fixture_peer(&fx, 2, "b", "e", &b), 0);
	assert_int_equal(store_fixture_peer(&fx, 3, "c", "h", &c), 0);
	assert_int_equal(strncmp(a.label, "a-", 2), 0); /* ephemeral: address behind the label */
	assert_int_equal(store_peer_connect(fx.store, &fx.account.id, &b.id, 5), 1);
	assert_int_equal(store_peer_sweep(fx.store, 600), 0);
	uint64_t serial = store_fixture_serial(&fx);
	assert_int_equal(store_peer_sweep(fx.store, 0), 1);
	assert_int_equal(store_fixture_serial(&fx), serial + 1);
	assert_int_equal(store_peer_get(fx.store, &a.id, &fx.arena, &a), LN_E_NOTFOUND);
	assert_int_equal(store_peer_get(fx.store, &b.id, &fx.arena, &b), 0);
	assert_int_equal(store_peer_disconnect_all(fx.store), 1);
	assert_int_equal(store_peer_disconnect_all(fx.store), 0);
	assert_int_equal(store_peer_sweep(fx.store, 0), 1);
	assert_int_equal(store_peer_get(fx.store, &c.id, &fx.arena, &c), 0);
	store_fixture_fini(&fx);
}

/* --- spec management-protocol 6.2: the four cases ------------------------------------------------
 */

struct fence {
	struct store_fixture fx;
	struct store_peer p;
	int64_t t;
};

static void fence_init(struct fence *x)
{
	store_fixture_init(&x->fx);
	store_fixture_key(&x->fx, "h", true, false);
	assert_int_equal(store_fixture_peer(&x->fx, 1, "a", "h", &x->p), 0);
	x->t = ev_wall();
}

static int fence_connect(struct fence *x, int64_t token)
{
	return store_peer_connect(x->fx.store, &x->fx.account.id, &x->p.id, token);
}

static int fence_disconnect(struct fence *x, int64_t token)
{
	return store_peer_disconnect(x->fx.store, &x->fx.account.id, &x->p.id, token);
}

static void fence_is(struct fence *x, bool connected, int64_t token)
{
	struct store_peer p;
	assert_int_equal(store_peer_get(x->fx.store, &x->p.id, &x->fx.arena, &p), 0);
	assert_int_equal(p.connected, connected);
	assert_int_equal(p.session, token);
}

static void test_fence_matching_disconnect(void **state)
{
	struct fence x;
	fence_init(&x);
	assert_int_equal(fence_connect(&x, x.t), 1);
	fence_is(&x, true, x.t);
	assert_int_equal(fence_disconnect(&x, x.t), 1);
	fence_is(&x, false, 0);
	assert_int_equal(fence_connect(&x, 1), 1); /* after a disconnect always */
	store_fixture_fini(&x.fx);
}

static void test_fence_stale_disconnect(void **state)
{
	struct fence x;
	fence_init(&x);
	assert_int_equal(fence_connect(&x, x.t), 1);
	assert_int_equal(fence_disconnect(&x, x.t - LN_HOUR), 0);
	assert_int_equal(fence_disconnect(&x, 0), 0);
	fence_is(&x, true, x.t);
	store_fixture_fini(&x.fx);
}

static void test_fence_stale_connect(void **state)
{
	struct fence x;
	fence_init(&x);
	assert_int_equal(fence_connect(&x, x.t), 1);
	assert_int_equal(fence_connect(&x, x.t - LN_MINUTE), 0);
	assert_int_equal(fence_connect(&x, x.t), 0); /* strictly greater wins */
	fence_is(&x, true, x.t);
	struct store_id other = { "other" };
	assert_int_equal(store_peer_connect(x.fx.store, &other, &x.p.id, x.t + 1), 0);
	assert_int_equal(store_peer_connect(x.fx.store, &x.fx.account.id, &other, x.t + 1), 0);
	store_fixture_fini(&x.fx);
}

#define RACERS 16

struct racer {
	struct fence *x;
	pthread_barrier_t *start;
	int64_t token;
	int result;
};

/* Every racer with its own connection to the database, as several servers would have. */
static void *race(void *arg)
{
	struct racer *r = arg;
	struct store_conf conf = r->x->fx.conf;
	struct store *s = NULL;
	conf.busy_ms = 20000;
	ln_assert(store_open(&conf, &s, NULL) == 0);
	pthread_barrier_wait(r->start);
	r->result = store_peer_connect(s, &r->x->fx.account.id, &r->x->p.id, r->token);
	store_close(s);
	return NULL;
}

static void test_fence_race(void **state)
{
	struct fence x;
	fence_init(&x);
	for (int round = 0; round < 5; round++) {
		pthread_barrier_t start;
		pthread_t id[RACERS];
		struct racer r[RACERS];
		pthread_barrier_init(&start, NULL, RACERS);
		for (int i = 0; i < RACERS; i++) {
			/* Not in the order of the tokens: each round shuffles. */
			int k = (i * 5 + round * 3) % RACERS;
			r[i] = (struct racer){ &x, &start, x.t + k * LN_MSEC, 0 };
			assert_int_equal(pthread_create(&id[i], NULL, race, &r[i]), 0);
		}
		int applied = 0;
		for (int i = 0; i < RACERS; i++) {
			pthread_join(id[i], NULL);
			assert_true(r[i].result >= 0);
			applied += r[i].result;
		}
		assert_in_range(applied, 1, RACERS);
		fence_is(&x, true, x.t + (RACERS - 1) * LN_MSEC);
		assert_int_equal(fence_disconnect(&x, x.t + (RACERS - 1) * LN_MSEC), 1);
		pthread_barrier_destroy(&start);
	}
	store_fixture_fini(&x.fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registration),
		cmocka_unit_test(test_setup_key_rules),
		cmocka_unit_test(test_auto_groups),
		cmocka_unit_test(test_full_network),
		cmocka_unit_test(test_meta),
		cmocka_unit_test(test_rename),
		cmocka_unit_test(test_delete_takes_its_policies),
		cmocka_unit_test(test_ephemeral_sweep),
		cmocka_unit_test(test_fence_matching_disconnect),
		cmocka_unit_test(test_fence_stale_disconnect),
		cmocka_unit_test(test_fence_stale_connect),
		cmocka_unit_test(test_fence_race),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
