#include "lib/base/str.h"

#include "tests/unit/unit.h"

static void appends(void **state)
{
	struct str b;
	str_init(&b, 0);
	assert_string_equal(str_c(&b), "");
	str_add(&b, "ab");
	str_addc(&b, 'c');
	str_addf(&b, "%04d", 42);
	assert_string_equal(str_c(&b), "abc0042");
	str_consume(&b, 3);
	assert_string_equal(str_c(&b), "0042");
	str_consume(&b, 4);
	assert_int_equal(b.n, 0);
	for (int i = 0; i < 1000; i++)
		str_addf(&b, "%d,", i);
	assert_int_equal(b.n, 3890);
	str_fini(&b);
}

static void limit_sticks(void **state)
{
	struct str b;
	str_init(&b, 4);
	str_add(&b, "1234");
	assert_int_equal(b.err, 0);
	str_addc(&b, '5');
	assert_int_equal(b.err, LN_E_LIMIT);
	assert_string_equal(str_c(&b), "1234");
	str_clear(&b);
	str_add(&b, "x");
	assert_int_equal(b.err, 0);
	str_fini(&b);
}

static void every_error_has_a_text(void **state)
{
	assert_string_equal(ln_strerror(0), "success");
	for (int e = LN_E_INTERNAL; e <= LN_E_TRUNCATED; e++)
		assert_true(strlen(ln_strerror(e)) > 3);
	assert_string_equal(ln_strerror(-2), "No such file or directory");
	assert_string_equal(ln_strerror(-100000), "unknown error");
	struct ln_fail f;
	assert_int_equal(ln_fail(&f, LN_E_LIMIT, "line %d", 3), LN_E_LIMIT);
	assert_string_equal(f.text, "line 3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends),
		cmocka_unit_test(limit_sticks),
		cmocka_unit_test(every_error_has_a_text),
	};
	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
