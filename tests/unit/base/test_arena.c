#include "lib/base/arena.h"

#include "tests/unit/unit.h"

static void limit_is_exact(void **state)
{
	struct arena a;
	arena_init(&a, 64);
	assert_non_null(arena_alloc(&a, 64));
	assert_null(arena_alloc(&a, 1));
	arena_reset(&a);
	assert_null(arena_alloc(&a, 65));
	assert_non_null(arena_alloc(&a, 1));
	arena_fini(&a);
}

static void memory_is_zero_and_aligned(void **state)
{
	struct arena a;
	arena_init(&a, 1u << 20);
	for (size_t n = 0; n < 300; n++) {
		uint8_t *p = arena_alloc(&a, n);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xa5, n);
	}
	arena_fini(&a);
}

static void multiplication_cannot_wrap(void **state)
{
	struct arena a;
	arena_init(&a, SIZE_MAX);
	assert_null(arena_calloc(&a, SIZE_MAX / 2, 3));
	arena_fini(&a);
}

static void text(void **state)
{
	struct arena a;
	arena_init(&a, 1024);
	assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
	assert_string_equal(arena_strndup(&a, "abcdef", 3), "abc");
	assert_int_equal(arena_slice(&a, slice_str("")).n, 0);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limit_is_exact),
		cmocka_unit_test(memory_is_zero_and_aligned),
		cmocka_unit_test(multiplication_cannot_wrap),
		cmocka_unit_test(text),
	};
	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
