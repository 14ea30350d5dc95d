/* The way below a route into the tunnel: the most specific one, then the lowest metric. */
#include "src/plat/plat_detour.h"
#include "tests/unit/unit.h"

static struct plat_detour_route route(const char *dst, uint32_t metric, bool tunnel)
{
	struct plat_detour_route r = { .metric = metric, .tunnel = tunnel };
	assert_int_equal(ip_prefix_parse(slice_str(dst), &r.dst), 0);
	return r;
}

static void test_below(void **state)
{
	(void)state;
	struct plat_detour_route v[] = {
		route("0.0.0.0/0", 100, false),  route("0.0.0.0/0", 50, false),
		route("10.0.0.0/8", 0, false),   route("10.2.0.0/24", 0, true),
		route("0.0.0.0/1", 0, true),     route("10.2.0.128/25", 0, false),
		route("10.2.0.0/24", 10, false), route("::/0", 0, false),
		route("fd00::/8", 0, true),      route("10.2.0.0/16", 0, true),
	};
	const size_t n = LN_COUNT(v);
	assert_int_equal(plat_detour_below(v, n, 4),
			 1); /* half of everything: the better default */
	assert_int_equal(plat_detour_below(v, n, 3), 6); /* the same prefix, beaten by its metric */
	assert_int_equal(plat_detour_below(v, n, 9), 2); /* not the tunnel's, not a narrower one */
	assert_int_equal(plat_detour_below(v, n, 8), 7);
	v[1].unusable = true;
	assert_int_equal(plat_detour_below(v, n, 4), 0);
	v[0].unusable = true;
	assert_int_equal(plat_detour_below(v, n, 4), n);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_below) };
	return cmocka_run_group_tests_name("plat_detour", tests, NULL, NULL);
}
