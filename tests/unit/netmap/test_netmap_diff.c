/* From one map to the next, and what is taken out of a map before. */
#include "lib/netmap/netmap_diff.h"

#include "tests/unit/unit.h"

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, (size_t)16 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

/* A peer "k" whose addresses are listed up to a null. */
static struct netmap_peer peer(uint8_t k, const char *version, const char *const *allowed)
{
	struct netmap_peer p = { .fqdn = "", .agent_version = version };
	p.key.b[0] = k;
	struct ip_prefix *v = arena_calloc(&arena, 8, sizeof(*v));
	for (; allowed != NULL && *allowed != NULL; allowed++)
		assert_int_equal(ip_prefix_parse(slice_str(*allowed), &v[p.nallowed++]), 0);
	p.allowed = v;
	return p;
}

#define ALLOWED(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_diff(void **state)
{
	(void)state;
	const struct netmap_peer before[] = {
		peer(5, "1", ALLOWED("10.0.0.5")),
		peer(1, "1", ALLOWED("10.0.0.1")),
		peer(3, "1", ALLOWED("10.0.0.3", "fd00::3")),
		peer(4, "1", ALLOWED("10.0.0.4")),
	};
	struct netmap_peer after[] = {
		peer(9, "1", ALLOWED("10.0.0.9")),
		peer(3, "1", ALLOWED("fd00::3", "10.0.0.3")),
		peer(4, "2", ALLOWED("10.0.0.4")),
		peer(1, "1", ALLOWED("10.0.0.2")),
	};
	after[1].fqdn = "renamed";
	const struct netmap old = { .peers = before, .npeers = 4 };
	const struct netmap new = { .peers = after, .npeers = 4 };
	struct netmap_diff d;
	assert_int_equal(netmap_diff(&old, &new, &arena, &d), 0);
	assert_int_equal(d.nremoved, 1);
	assert_int_equal(d.removed[0], 0);
	assert_int_equal(d.nchanged, 2);
	assert_int_equal(d.changed[0], 2); /* version */
	assert_int_equal(d.changed[1], 3); /* address */
	assert_int_equal(d.nadded, 1);
	assert_int_equal(d.added[0], 0);

	assert_int_equal(netmap_diff(&old, &old, &arena, &d), 0);
	assert_int_equal(d.nremoved + d.nchanged + d.nadded, 0);
	assert_int_equal(netmap_diff(NULL, &new, &arena, &d), 0);
	assert_int_equal(d.nadded, 4);
	const struct netmap nothing = { 0 };
	assert_int_equal(netmap_diff(&old, &nothing, &arena, &d), 0);
	assert_int_equal(d.nremoved, 4);
	assert_int_equal(d.removed[3], 3);
}

static void test_check(void **state)
{
	(void)state;
	const struct netmap_peer peers[] = {
		peer(1, "1", ALLOWED("10.0.0.1", "fd00::1")),
		peer(2, "1", ALLOWED("10.0.0.2")),                /* our own key */
		peer(3, "1", ALLOWED("10.0.0.1", "10.0.0.3")),    /* the first one's address */
		peer(1, "1", ALLOWED("10.0.0.4")),                /* the first one's key */
		peer(4, "1", ALLOWED("10.0.0.99", "fd00::99")),   /* our addresses */
		peer(5, "1", ALLOWED("0.0.0.0/0", "10.0.0.0/8")), /* networks with our address */
		peer(6, "1",
		     ALLOWED("127.0.0.1", "224.0.0.1", "169.254.1.1", "fe80::1", "::", "10.0.0.6")),
		peer(7, "1", ALLOWED("10.0.0.7", "10.0.0.7")),
	};
	struct netmap m = { .peers = peers, .npeers = LN_COUNT(peers) };
	m.self.address = (struct ip_prefix){ .addr = ip_v4(0x0a000063), .len = 16 };
	assert_int_equal(ip_prefix_parse(slice_str("fd00::99/64"), &m.self.address_v6), 0);
	struct wg_key own = { { 2 } };
	struct netmap_check c;
	assert_int_equal(netmap_check(&m, &own, &arena, &c), 0);
	assert_int_equal(c.own, 1);
	assert_int_equal(c.doubled, 1);
	assert_int_equal(c.prefixes, 1 + 2 + 2 + 5 + 1);
	assert_int_equal(c.bare, 2);
	assert_int_equal(m.npeers, 6);
	static const uint8_t keys[] = { 1, 3, 4, 5, 6, 7 };
	static const size_t allowed[] = { 2, 1, 0, 0, 1, 1 };
	for (size_t i = 0; i < m.npeers; i++) {
		assert_int_equal(m.peers[i].key.b[0], keys[i]);
		assert_int_equal(m.peers[i].nallowed, allowed[i]);
	}
	assert_int_equal(ip_to_u32(&m.peers[1].allowed[0].addr), 0x0a000003);

	/* Once clean, clean again. */
	assert_int_equal(netmap_check(&m, &own, &arena, &c), 0);
	assert_int_equal(c.own + c.doubled + c.prefixes, 0);
	struct netmap nothing = { 0 };
	assert_int_equal(netmap_check(&nothing, &own, &arena, &c), 0);
	assert_int_equal(nothing.npeers, 0);
}

static void test_limits(void **state)
{
	(void)state;
	const struct netmap_peer peers[] = { peer(1, "1", ALLOWED("10.0.0.1")) };
	struct netmap m = { .peers = peers, .npeers = 1 };
	struct arena small;
	struct netmap_diff d;
	struct netmap_check c;
	const struct wg_key own = { { 2 } };
	arena_init(&small, 8);
	assert_int_equal(netmap_diff(&m, &m, &small, &d), LN_E_LIMIT);
	assert_int_equal(netmap_check(&m, &own, &small, &c), LN_E_LIMIT);
	arena_fini(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_diff, setup, teardown),
		cmocka_unit_test_setup_teardown(test_check, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
