#include "lib/token/setup_key.h"

#include "tests/unit/unit.h"

/* Key and stored form of management-protocol 8. */
#define KEY "0B7C1D2E-3F40-4A5B-8C6D-7E8F90A1B2C3"
#define STORED "HB4V/HvLcJU233G9GvIgdvst9d8w0TazoyzlbiUg+Uc="

static void test_stored(void **state)
{
	(void)state;
	static const char *const spellings[] = { KEY, "0b7c1d2e-3f40-4a5b-8c6d-7e8f90a1b2c3",
						 "0b7C1d2E-3f40-4A5b-8c6D-7e8F90a1B2c3" };
	for (size_t i = 0; i < LN_COUNT(spellings); i++) {
		char text[SETUP_KEY_TEXT], stored[SETUP_KEY_STORED], mask[SETUP_KEY_MASKED];
		assert_int_equal(setup_key_parse(slice_str(spellings[i]), text), 0);
		assert_string_equal(text, KEY);
		setup_key_stored(text, stored);
		assert_string_equal(stored, STORED);
		setup_key_mask(text, mask);
		assert_string_equal(mask, "0B7C1****");
	}
}

static void test_malformed(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"0B7C1D2E-3F40-4A5B-8C6D-7E8F90A1B2C",
		"0B7C1D2E-3F40-4A5B-8C6D-7E8F90A1B2C33",
		"0B7C1D2E-3F40-4A5B-8C6D-7E8F90A1B2CG",
		"0B7C1D2E-3F40-4A5B-8C6D_7E8F90A1B2C3",
		"0B7C1D2E3-F40-4A5B-8C6D-7E8F90A1B2C3",
		"{B7C1D2E-3F40-4A5B-8C6D-7E8F90A1B2C}",
	};
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		char text[SETUP_KEY_TEXT] = "untouched";
		assert_int_equal(setup_key_parse(slice_str(bad[i]), text), LN_E_MALFORMED);
		assert_string_equal(text, "untouched");
	}
}

static void fill_ff(void *ctx, void *dst, size_t n)
{
	memset(dst, *(int *)ctx, n);
}

static void test_make(void **state)
{
	(void)state;
	char text[SETUP_KEY_TEXT], again[SETUP_KEY_TEXT];
	int byte = 0xff;
	const struct ln_rng rng = { .fill = fill_ff, .ctx = &byte };
	setup_key_make(&rng, text);
	assert_string_equal(text, "FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF");
	assert_int_equal(setup_key_parse(slice_str(text), again), 0);
	assert_string_equal(again, text);
	byte = 0;
	setup_key_make(&rng, text);
	assert_string_equal(text, "00000000-0000-4000-8000-000000000000");
}

static void test_judge(void **state)
{
	(void)state;

	const struct {
		struct setup_key_state k;
		enum setup_key_verdict verdict;
	} cases[] = {
		{ { .reusable = true }, SETUP_KEY_VALID },
		{ { .reusable = true, .used = 4000000000u }, SETUP_KEY_VALID },
		{ { .reusable = true, .usage_limit = 3, .used = 2 }, SETUP_KEY_VALID },
		{ { .reusable = true, .usage_limit = 3, .used = 3 }, SETUP_KEY_USED_UP },
		{ { .reusable = false }, SETUP_KEY_VALID },
		{ { .reusable = false, .usage_limit = 9, .used = 1 }, SETUP_KEY_USED_UP },
		{ { .reusable = true, .expires = 101 }, SETUP_KEY_VALID },
		{ { .reusable = true, .expires = 100 }, SETUP_KEY_EXPIRED },
		{ { .reusable = false, .expires = 100, .used = 1 }, SETUP_KEY_EXPIRED },
		{ { .reusable = true, .expires = 100, .revoked = true }, SETUP_KEY_REVOKED },
	};

	for (size_t i = 0; i < LN_COUNT(cases); i++)
		assert_int_equal(setup_key_judge(&cases[i].k, 100), cases[i].verdict);
	assert_string_equal(setup_key_verdict_name(SETUP_KEY_VALID), "valid");
	assert_string_equal(setup_key_verdict_name(SETUP_KEY_USED_UP), "overused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stored),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_judge),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
