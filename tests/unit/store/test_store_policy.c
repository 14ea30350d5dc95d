/* Groups and policies: what is refused, what changes nothing, what keeps its id. */
#include <string.h>

#include "src/store/store.h"
#include "tests/unit/store/store_fixture.h"
#include "tests/unit/unit.h"

static void test_groups(void **state)
{
	struct store_fixture fx;
	struct store_peer p;
	struct store_id g, again;
	struct ln_fail f;
	store_fixture_init(&fx);
	store_fixture_key(&fx, "h", true, false);
	assert_int_equal(store_fixture_peer(&fx, 1, "a", "h", &p), 0);
	assert_int_equal(store_group_create(fx.store, "ops", &g), 0);
	assert_int_equal(store_group_create(fx.store, "ops", &again), LN_E_CONFLICT);
	assert_int_equal(store_group_create(fx.store, "", &again), LN_E_MALFORMED);
	assert_int_equal(store_group_create(fx.store, "a\nb", &again), LN_E_MALFORMED);
	uint64_t serial = store_fixture_serial(&fx);
	assert_int_equal(store_group_add_peer(fx.store, &g, &p.id), 1);
	assert_int_equal(store_group_add_peer(fx.store, &g, &p.id), 0);
	assert_int_equal(store_group_remove_peer(fx.store, &g, &p.id), 1);
	assert_int_equal(store_group_remove_peer(fx.store, &g, &p.id), 0);
	assert_int_equal(store_group_rename(fx.store, &g, "ops"), 0);
	assert_int_equal(store_group_rename(fx.store, &g, "dev"), 1);
	assert_int_equal(store_fixture_serial(&fx), serial + 3);
	assert_int_equal(store_group_rename(fx.store, &g, "All"), LN_E_CONFLICT);
	assert_int_equal(store_group_rename(fx.store, &p.id, "x"), LN_E_NOTFOUND);
	assert_int_equal(store_group_add_peer(fx.store, &p.id, &p.id), LN_E_NOTFOUND);
	assert_int_equal(store_group_add_peer(fx.store, &g, &g), LN_E_NOTFOUND);

	struct store_group *groups;
	size_t n;
	assert_int_equal(store_group_list(fx.store, &fx.arena, &groups, &n), 0);
	assert_int_equal(n, 2);
	struct store_id all = groups[0].id;
	assert_int_equal(store_group_rename(fx.store, &all, "x"), LN_E_DENIED);
	assert_int_equal(store_group_delete(fx.store, &all, &f), LN_E_DENIED);
	assert_int_equal(store_group_remove_peer(fx.store, &all, &p.id), LN_E_DENIED);
	assert_int_equal(store_group_delete(fx.store, &g, &f), 0);
	assert_int_equal(store_group_delete(fx.store, &g, &f), LN_E_NOTFOUND);
	store_fixture_fini(&fx);
}

static struct store_policy get(struct store_fixture *fx, const struct store_id *id)
{
	struct store_policy *v;
	size_t n;
	assert_int_equal(store_policy_list(fx->store, &fx->arena, &v, &n), 0);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(v[i].id.text, id->text) == 0)
			return v[i];
	}
	fail();
	return v[0];
}

static void test_policies(void **state)
{
	struct store_fixture fx;
	struct store_ref g = { .name = "g" };
	struct ln_fail f;
	store_fixture_init(&fx);
	assert_int_equal(store_group_create(fx.store, "g", &g.id), 0);
	const struct store_ports ports[] = { { 80, 80 }, { 8000, 8010 } };
	struct store_rule rules[2] = {
		{ .name = "r1",
		  .enabled = true,
		  .protocol = 2,
		  .ports = ports,
		  .nports = 2,
		  .sources = &g,
		  .nsources = 1,
		  .destinations = &g,
		  .ndestinations = 1 },
		{ .name = "r2",
		  .enabled = false,
		  .drop = true,
		  .bidirectional = true,
		  .protocol = 4,
		  .sources = &g,
		  .nsources = 1,
		  .destinations = &g,
		  .ndestinations = 1 },
	};
	struct store_policy p = {
		.name = "p", .description = "d", .enabled = true, .rules = rules, .nrules = 2
	};
	uint64_t serial = store_fixture_serial(&fx);
	assert_int_equal(store_policy_create(fx.store, &p, &f), 0);
	assert_int_equal(store_fixture_serial(&fx), serial + 1);
	struct store_policy got = get(&fx, &p.id);
	assert_string_equal(got.description, "d");
	assert_int_equal(got.nrules, 2);
	assert_int_equal(got.rules[0].nports, 2);
	assert_int_equal(got.rules[0].ports[1].last, 8010);
	assert_false(got.rules[0].drop);
	assert_true(got.rules[1].drop && got.rules[1].bidirectional && !got.rules[1].enabled);
	assert_string_equal(got.rules[1].sources[0].name, "g");
	assert_int_equal(store_group_delete(fx.store, &g.id, &f), LN_E_CONFLICT);

	/* Equal: nothing. Changed: rules keep their ids by position. */
	assert_int_equal(store_policy_update(fx.store, &got, &f), 0);
	assert_int_equal(store_policy_update(fx.store, &p, &f), 0);
	assert_int_equal(store_fixture_serial(&fx), serial + 1);
	rules[0].nports = 1;
	p.enabled = false;
	p.nrules = 1;
	assert_int_equal(store_policy_update(fx.store, &p, &f), 1);
	struct store_policy after = get(&fx, &p.id);
	assert_int_equal(after.nrules, 1);
	assert_false(after.enabled);
	assert_string_equal(after.rules[0].id.text, got.rules[0].id.text);
	assert_int_equal(store_fixture_serial(&fx), serial + 2);

	assert_int_equal(store_policy_delete(fx.store, &p.id), 0);
	assert_int_equal(store_policy_delete(fx.store, &p.id), LN_E_NOTFOUND);
	assert_int_equal(store_policy_update(fx.store, &p, &f), LN_E_NOTFOUND);
	assert_int_equal(store_group_delete(fx.store, &g.id, &f), 0);
	store_fixture_fini(&fx);
}

static void test_bad_policies(void **state)
{
	struct store_fixture fx;
	struct store_ref g = { .name = "g" };
	struct ln_fail f;
	store_fixture_init(&fx);
	assert_int_equal(store_group_create(fx.store, "g", &g.id), 0);
	const struct store_ports port0 = { 0, 1 }, down = { 5, 4 };
	struct store_ref none = { .id = { "0123456789abcdefghij" } };
	const struct store_rule good = { .enabled = true,
					 .protocol = 2,
					 .sources = &g,
					 .nsources = 1,
					 .destinations = &g,
					 .ndestinations = 1 };
	struct store_rule bad[8];
	int want[8];
	for (int i = 0; i < 8; i++) {
		bad[i] = good;
		want[i] = LN_E_MALFORMED;
	}
	bad[0].protocol = 0;
	bad[1].protocol = 5;
	bad[2].ports = &port0;
	bad[2].nports = 1;
	bad[3].ports = &down;
	bad[3].nports = 1;
	bad[4].protocol = 4;
	bad[4].ports = &port0;
	bad[4].nports = 1;
	bad[5].nsources = 0;
	bad[6].destinations = &none;
	want[6] = LN_E_NOTFOUND;
	bad[7].source_peer = none;
	want[7] = LN_E_NOTFOUND;
	uint64_t serial = store_fixture_serial(&fx);
	for (int i = 0; i < 8; i++) {
		struct store_policy p = {
			.name = "p", .enabled = true, .rules = &bad[i], .nrules = 1
		};
		assert_int_equal(store_policy_create(fx.store, &p, &f), want[i]);
		assert_int_equal(f.code, want[i]);
	}
	struct store_policy unnamed = { .name = "", .rules = &good, .nrules = 1 };
	assert_int_equal(store_policy_create(fx.store, &unnamed, &f), LN_E_MALFORMED);
	assert_int_equal(store_fixture_serial(&fx), serial);
	struct store_policy *v;
	size_t n;
	assert_int_equal(store_policy_list(fx.store, &fx.arena, &v, &n), 0);
	assert_int_equal(n, 1);
	store_fixture_fini(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_bad_policies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
