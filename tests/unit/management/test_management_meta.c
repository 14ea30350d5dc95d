/* Metadata in the form that is stored: equal sets are equal texts, odd entries are left out. */
#include <string.h>

#include "src/management/management_internal.h"
#include "tests/unit/unit.h"

static struct mgmt_meta empty(void)
{
	return (struct mgmt_meta){ .hostname = "",
				   .go_os = "",
				   .kernel = "",
				   .core = "",
				   .platform = "",
				   .os = "",
				   .version = "",
				   .ui_version = "",
				   .kernel_version = "",
				   .os_version = "",
				   .serial = "",
				   .product = "",
				   .manufacturer = "",
				   .cloud = "",
				   .environment = "" };
}

static void test_lists_are_sets(void **state)
{
	struct mgmt_net_address x[] = { { "10.0.0.2/8", "aa" }, { "fe80::1/64", "b\"b" } };
	struct mgmt_net_address y[] = {
		x[1], { "10.0.0.9", "no length" }, x[0], { "nonsense/8", "" }
	};
	struct mgmt_file fx[] = { { "/a", true, false }, { "/b", false, true } };
	struct mgmt_file fy[] = { fx[1], fx[0] };
	struct mgmt_meta m = empty();
	struct store_meta one, two;
	struct arena a;
	arena_init(&a, 1 << 16);
	m.addresses = x;
	m.naddresses = 2;
	m.files = fx;
	m.nfiles = 2;
	assert_int_equal(management_meta_convert(&m, &a, &one), 0);
	assert_string_equal(one.addresses, "[{\"ip\":\"10.0.0.2/8\",\"mac\":\"aa\"},"
					   "{\"ip\":\"fe80::1/64\",\"mac\":\"b\\\"b\"}]");
	m.addresses = y;
	m.naddresses = 4;
	m.files = fy;
	assert_int_equal(management_meta_convert(&m, &a, &two), 0);
	assert_string_equal(one.addresses, two.addresses);
	assert_string_equal(one.files, two.files);
	m.naddresses = m.nfiles = 0;
	assert_int_equal(management_meta_convert(&m, &a, &two), 0);
	assert_string_equal(two.addresses, "[]");
	arena_fini(&a);
	arena_init(&a, 64);
	m.naddresses = 4;
	assert_int_equal(management_meta_convert(&m, &a, &two), LN_E_LIMIT);
	arena_fini(&a);
}

static void test_core_is_the_old_os_version(void **state)
{
	struct mgmt_meta m = empty();
	struct store_meta got;
	struct arena a;
	arena_init(&a, 1 << 16);
	m.core = "12";
	assert_int_equal(management_meta_convert(&m, &a, &got), 0);
	assert_string_equal(got.os_version, "12");
	m.os_version = "12.5";
	assert_int_equal(management_meta_convert(&m, &a, &got), 0);
	assert_string_equal(got.os_version, "12.5");
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists_are_sets),
		cmocka_unit_test(test_core_is_the_old_os_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
