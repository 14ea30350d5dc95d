#include <string.h>

#include "src/ev/ev_library.h"
#include "tests/unit/unit.h"

struct table {
	double (*cos)(double x);
	double (*sin)(double x);
};

#define LIBM "libm.so.6"

static void test_functions_are_filled_in(void **state)
{
	static const struct ev_library_name names[] = {
		{ "sin", offsetof(struct table, sin) },
		{ "cos", offsetof(struct table, cos) },
	};
	struct table t = { 0 };
	struct ln_fail f = { 0 };
	assert_int_equal(ev_library_load(LIBM, names, LN_COUNT(names), &t, &f), 0);
	assert_true(t.cos(0.0) == 1.0 && t.sin(0.0) == 0.0);
}

static void test_what_is_missing_is_named(void **state)
{
	static const struct ev_library_name names[] = { { "no_such_function", 0 } };
	struct table t = { 0 };
	struct ln_fail f = { 0 };
	assert_int_equal(ev_library_load("libno-such.so.1", names, 1, &t, &f), LN_E_UNSUPPORTED);
	assert_non_null(strstr(f.text, "libno-such.so.1"));
	assert_int_equal(ev_library_load(LIBM, names, 1, &t, &f), LN_E_UNSUPPORTED);
	assert_non_null(strstr(f.text, "no_such_function"));
	assert_null(t.cos);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_functions_are_filled_in),
		cmocka_unit_test(test_what_is_missing_is_named),
	};
	return cmocka_run_group_tests_name("ev_library", tests, NULL, NULL);
}
