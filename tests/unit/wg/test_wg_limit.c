#include "lib/wg/wg_limit.h"

#include "tests/unit/unit.h"
#include "tests/unit/wg/wg_vector.h"

static struct wg_limit limit;

static int setup(void **state)
{
	static const uint8_t bytes[] = { 3, 1, 4, 1, 5, 9, 2, 6 };
	struct wg_vector_rng r = { bytes, sizeof(bytes), 0 };
	wg_limit_init(&limit, &(struct ln_rng){ wg_vector_fill, &r });
	return 0;
}

static void test_burst_and_rate(void **state)
{
	struct ip_addr a = ip_v4(0x0a000001);
	struct ip_addr b = ip_v4(0x0a000002);
	ln_time now = 5 * LN_SEC;
	for (unsigned i = 0; i < WG_LIMIT_BURST; i++)
		assert_true(wg_limit_allow(&limit, now, &a));
	assert_false(wg_limit_allow(&limit, now, &a));
	assert_true(wg_limit_allow(&limit, now, &b)); /* another source */
	unsigned allowed = 0;
	for (unsigned ms = 0; ms < 10000; ms++)
		allowed += wg_limit_allow(&limit, now + ms * LN_MSEC, &a);
	assert_in_range(allowed, 10 * WG_LIMIT_PER_SECOND - 2, 10 * WG_LIMIT_PER_SECOND + 1);
}

/* One IPv6 /64 is one source. */
static void test_ipv6_prefix(void **state)
{
	struct ip_addr a;
	struct ip_addr b;
	assert_int_equal(ip_parse(slice_str("2001:db8::1"), &a), 0);
	assert_int_equal(ip_parse(slice_str("2001:db8::ffff:2"), &b), 0);
	for (unsigned i = 0; i < WG_LIMIT_BURST; i++)
		assert_true(wg_limit_allow(&limit, 0, i % 2 != 0 ? &a : &b));
	assert_false(wg_limit_allow(&limit, 0, &a));
	assert_int_equal(ip_parse(slice_str("2001:db8:0:1::1"), &b), 0);
	assert_true(wg_limit_allow(&limit, 0, &b));
}

/* Many sources do not grow it, and a busy one keeps its place among quiet ones. */
static void test_many_sources(void **state)
{
	struct ip_addr busy = ip_v4(0x0a000001);
	ln_time now = LN_SEC;
	while (wg_limit_allow(&limit, now, &busy))
		;
	for (uint32_t i = 0; i < 500; i++) {
		struct ip_addr a = ip_v4(0xc0000000u + i);
		assert_true(wg_limit_allow(&limit, now, &a));
	}
	assert_false(wg_limit_allow(&limit, now, &busy));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_burst_and_rate, setup),
		cmocka_unit_test_setup(test_ipv6_prefix, setup),
		cmocka_unit_test_setup(test_many_sources, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
