#include "lib/base/err.h"

#include "src/net/net_headers.h"
#include "tests/unit/unit.h"

static void first_value_wins(void **state)
{
	struct net_headers h = { 0 };
	assert_null(net_headers_get(&h, "a"));
	assert_int_equal(net_headers_add(&h, slice_str("a"), slice_str("1")), 0);
	assert_int_equal(net_headers_add(&h, slice_str("b"), slice_str("")), 0);
	assert_int_equal(net_headers_add(&h, slice_str("a"), slice_str("2")), 0);
	net_headers_trim(&h);
	assert_string_equal(net_headers_get(&h, "a"), "1");
	assert_string_equal(net_headers_get(&h, "b"), "");
	assert_null(net_headers_get(&h, "1"));
	net_headers_fini(&h);
}

static void limits(void **state)
{
	static char big[NET_HEADERS_BYTES];
	struct net_headers h = { 0 };
	memset(big, 'x', sizeof(big));
	assert_int_equal(net_headers_add(&h, slice_str("n"), slice_of(big, sizeof(big) - 2)),
			 LN_E_LIMIT);
	assert_int_equal(net_headers_add(&h, slice_str("n"), slice_of(big, sizeof(big) - 3)), 0);
	assert_int_equal(net_headers_add(&h, slice_str(""), slice_str("")), LN_E_LIMIT);
	net_headers_fini(&h);
	for (int i = 0; i < NET_HEADERS_COUNT; i++)
		assert_int_equal(net_headers_add(&h, slice_str("n"), slice_str("")), 0);
	assert_int_equal(net_headers_add(&h, slice_str("n"), slice_str("")), LN_E_LIMIT);
	net_headers_fini(&h);
	assert_int_equal(net_headers_add(&h, slice_of("a\0b", 3), slice_str("")), LN_E_MALFORMED);
	net_headers_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_value_wins),
		cmocka_unit_test(limits),
	};
	return cmocka_run_group_tests_name("net_headers", tests, NULL, NULL);
}
