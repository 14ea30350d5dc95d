#include "lib/wg/wg_shed.h"

#include "tests/unit/unit.h"

static const struct ip_ep sources[] = {
	{ .addr = { .family = 4, .b = { 192, 0, 2, 1 } }, .port = 1 },
	{ .addr = { .family = 4, .b = { 192, 0, 2, 2 } }, .port = 1 },
	{ .addr = { .family = 4, .b = { 192, 0, 2, 1 } }, .port = 2 },
};

static struct wg_shed_item item(unsigned source, size_t bytes, bool needed)
{
	return (struct wg_shed_item){ .from = &sources[source], .bytes = bytes, .needed = needed };
}

static size_t left(const struct wg_shed_item *v, size_t n, int source)
{
	size_t sum = 0;
	for (size_t i = 0; i < n; i++)
		if (!v[i].drop && (source < 0 || v[i].from == &sources[source]))
			sum += v[i].bytes;
	return sum;
}

/* One floods, one works, one only answers: only the flood is cut. */
static void test_fair(void **state)
{
	struct wg_shed_item v[] = {
		item(0, 64000, false), item(0, 64000, false), item(1, 30000, false),
		item(0, 64000, false), item(2, 144, false),   item(0, 64000, false),
		item(0, 64000, false), item(1, 30000, false),
	};
	wg_shed(v, LN_COUNT(v), 190144);
	assert_int_equal(left(v, LN_COUNT(v), 1), 60000);
	assert_int_equal(left(v, LN_COUNT(v), 2), 144);
	assert_int_equal(left(v, LN_COUNT(v), 0), 128000);
}

/* Two floods lose alike. */
static void test_two_floods(void **state)
{
	struct wg_shed_item v[8];
	for (unsigned i = 0; i < 8; i++)
		v[i] = item(i < 5 ? 0 : 1, 60000, false);
	wg_shed(v, 8, 240000);
	assert_int_equal(left(v, 8, 0), 120000);
	assert_int_equal(left(v, 8, 1), 120000);
}

/* The ping of the one who floods: its buffer is the smallest. Handshakes stay in any case. */
static void test_small_and_needed(void **state)
{
	struct wg_shed_item v[] = {
		item(0, 144, false),
		item(0, 60000, false),
		item(0, 148, true),
		item(0, 59000, false),
	};
	wg_shed(v, LN_COUNT(v), 500);
	assert_false(v[0].drop);
	assert_true(v[1].drop);
	assert_false(v[2].drop);
	assert_true(v[3].drop);
	wg_shed(v, LN_COUNT(v), 0);
	assert_true(v[0].drop);
	assert_int_equal(left(v, LN_COUNT(v), -1), 148);
}

static void test_nothing_to_do(void **state)
{
	struct wg_shed_item v[] = { item(0, 100, false), item(1, 100, false) };
	wg_shed(v, 2, 200);
	assert_int_equal(left(v, 2, -1), 200);
	wg_shed(v, 2, 199); /* the limit and one below it */
	assert_int_equal(left(v, 2, -1), 100);
	wg_shed(v, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fair),
		cmocka_unit_test(test_two_floods),
		cmocka_unit_test(test_small_and_needed),
		cmocka_unit_test(test_nothing_to_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
