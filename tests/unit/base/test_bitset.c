#include "lib/base/bitset.h"

#include "tests/unit/unit.h"

static void test_members(void **state)
{
	(void)state;
	uint64_t set[3] = { 0 }, other[3] = { 0 };
	assert_int_equal(BITSET_WORDS(0), 0);
	assert_int_equal(BITSET_WORDS(64), 1);
	assert_int_equal(BITSET_WORDS(65), 2);
	bitset_add(set, 0);
	bitset_add(set, 63);
	bitset_add(set, 64);
	bitset_add(set, 64);
	bitset_add(other, 190);
	assert_true(bitset_has(set, 63) && bitset_has(set, 64));
	assert_false(bitset_has(set, 1));
	assert_int_equal(bitset_count(set, 3), 3);
	bitset_join(set, other, 3);
	assert_int_equal(bitset_count(set, 3), 4);
	bitset_drop(set, 63);
	bitset_drop(set, 62);
	assert_false(bitset_has(set, 63));
	assert_int_equal(bitset_count(set, 3), 3);
}

/* Every set of 130 members against a walk bit by bit. */
static void test_next(void **state)
{
	(void)state;
	uint64_t x = 88172645463325252u;
	for (int round = 0; round < 200; round++) {
		uint64_t set[3] = { 0 };
		for (size_t i = 0; i < 130; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			if ((x >> 30) % 7 < (uint64_t)round % 8)
				bitset_add(set, i);
		}
		for (size_t from = 0; from <= 200; from++) {
			size_t in = from, out = from;
			while (in < 192 && !bitset_has(set, in))
				in++;
			while (out < 192 && bitset_has(set, out))
				out++;
			assert_int_equal(bitset_next(set, 3, from, true), in < 192 ? in : 192);
			assert_int_equal(bitset_next(set, 3, from, false), out < 192 ? out : 192);
		}
	}
	assert_int_equal(bitset_next(NULL, 0, 0, true), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_next),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
