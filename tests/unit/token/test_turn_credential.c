#include "lib/token/turn_credential.h"

#include "tests/unit/unit.h"

/* Spec relay 20. */
static void test_vector(void **state)
{
	struct turn_credential c;
	(void)state;
	turn_credential_make(slice_str("linnet-turn-secret"), 1893456000 * LN_SEC, &c);
	assert_string_equal(c.user, "1893456000");
	assert_string_equal(c.password, "JXJFZ9gNmnMu0p8971xPS+9eAZA=");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_vector) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
