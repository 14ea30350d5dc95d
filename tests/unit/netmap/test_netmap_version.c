#include "lib/base/err.h"
#include "lib/netmap/netmap_version.h"

#include "tests/unit/unit.h"

static void test_order(void **state)
{
	(void)state;
	/* Each is older than the next; equal ones stand in one line. */
	static const char *const ladder[][3] = {
		{ "", "nonsense", "1.x" },
		{ "0.28.9", "v0.28.9", "0.28.9-rc1" },
		{ "0.29", "0.29.0", "0.29.0+build" },
		{ "0.29.3", "0.29.3", "0.29.3-dirty" },
		{ "0.77.1", "0.77.1", "v0.77.1" },
		{ "1", "1.0", "1.0.0" },
		{ "development", "dev-1234", "ci-77" },
	};
	for (size_t i = 0; i < LN_COUNT(ladder); i++) {
		for (size_t k = 0; k < LN_COUNT(ladder); k++) {
			int expected = i < k ? -1 : i > k;
			for (size_t n = 0; n < 9; n++)
				assert_int_equal(
					netmap_version_cmp(ladder[i][n % 3], ladder[k][n / 3]),
					expected);
		}
	}
}

static void test_odd(void **state)
{
	(void)state;
	static const char *const none[] = {
		"",       "v",  "a.b.c", "1..2", "1.2.", "1.2.3.4", "99999999.1.1",
		"1.2.3 ", "-1", "dev",   NULL
	};
	for (size_t i = 0; i < LN_COUNT(none); i++)
		assert_int_equal(netmap_version_parse(none[i]).kind, -1);
	assert_true(netmap_version_parse("1.2.3-rc1").prerelease);
	assert_false(netmap_version_parse("1.2.3+x").prerelease);
	assert_int_equal(netmap_version_parse("1000000.0.0").kind, 0);
	assert_int_equal(netmap_version_parse("1000001.0.0").kind, -1);
	assert_true(netmap_version_since("0.48.0", "0.48.0"));
	assert_false(netmap_version_since("0.47.9", "0.48.0"));
	assert_false(netmap_version_since(NULL, "0.0.1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_order),
					    cmocka_unit_test(test_odd) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
