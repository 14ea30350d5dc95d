#include <stdlib.h>
#include <string.h>

#include "lib/wg/wg_counter.h"

#include "tests/unit/unit.h"

#define W ((uint64_t)WG_COUNTER_WINDOW)

static void test_edges(void **state)
{
	struct wg_counter c = { 0 };
	assert_true(wg_counter_accept(&c, 0));
	assert_false(wg_counter_accept(&c, 0));
	assert_true(wg_counter_accept(&c, 1));
	assert_true(wg_counter_accept(&c, W));
	assert_false(wg_counter_accept(&c, 0));
	assert_false(wg_counter_accept(&c, 1));
	assert_true(wg_counter_accept(&c, 2));
	assert_true(wg_counter_accept(&c, 2 * W));
	assert_false(wg_counter_accept(&c, W)); /* just outside */
	assert_true(wg_counter_accept(&c, W + 1));
	assert_false(wg_counter_accept(&c, W + 1));
	assert_true(wg_counter_accept(&c, WG_COUNTER_MAX - 1));
	assert_false(wg_counter_accept(&c, WG_COUNTER_MAX));
	assert_false(wg_counter_accept(&c, UINT64_MAX));
	assert_true(wg_counter_accept(&c, WG_COUNTER_MAX - W));
	assert_false(wg_counter_accept(&c, WG_COUNTER_MAX - W - 1));
}

static void test_backwards(void **state)
{
	struct wg_counter c = { 0 };
	for (uint64_t i = W; i-- > 0;)
		assert_true(wg_counter_accept(&c, i));
	for (uint64_t i = 0; i < W; i++)
		assert_false(wg_counter_accept(&c, i));
}

/* Against a table of everything seen. */
static void test_random(void **state)
{
	static bool seen[400000];
	struct wg_counter c = { 0 };
	uint64_t top = 0;
	bool any = false;
	srand(7);
	for (unsigned i = 0; i < 300000; i++) {
		unsigned spread = i % 1000 == 0 ? 20000 : i % 3 == 0 ? 9000 : 40;
		uint64_t base = top > spread / 2 ? top - spread / 2 : 0;
		uint64_t n = base + (uint64_t)rand() % spread;
		if (n >= sizeof(seen))
			break;
		bool want = !seen[n] && (!any || n + W > top);
		assert_int_equal(wg_counter_accept(&c, n), want);
		if (!want)
			continue;
		seen[n] = true;
		any = true;
		top = LN_MAX(top, n);
	}
	assert_true(top > 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_backwards),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
