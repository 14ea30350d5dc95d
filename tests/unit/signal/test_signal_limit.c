/* signal_limit: rate and burst at n and n + 1, prefixes, forgetting. */
#include "lib/signal/signal_limit.h"

#include "tests/unit/unit.h"

static void rng_fill_test(void *ctx, void *dst, size_t n)
{
	memset(dst, 7, n);
}

static const struct ln_rng rng = { .fill = rng_fill_test };
static const struct ip_addr one = { .family = 4, .b = { 192, 0, 2, 1 } };
static const struct ip_addr two = { .family = 4, .b = { 192, 0, 2, 2 } };

static unsigned pass(struct signal_limit *l, ln_time now, const struct ip_addr *a, unsigned n)
{
	unsigned passed = 0;
	while (n-- > 0)
		passed += signal_limit_pass(l, now, a);
	return passed;
}

static void test_burst_and_rate(void **state)
{
	const struct signal_limit_conf conf = { .rate = 10, .burst = 5 };
	struct signal_limit *l = signal_limit_new(&conf, &rng);
	ln_time now = 1000 * LN_SEC;
	assert_int_equal(pass(l, now, &one, 6), 5);
	assert_int_equal(pass(l, now, &two, 6), 5); /* each has its own */
	assert_int_equal(pass(l, now + 99 * LN_MSEC, &one, 1), 0);
	assert_int_equal(pass(l, now + 100 * LN_MSEC, &one, 2), 1);
	assert_int_equal(pass(l, now + LN_SEC, &one, 100), 5);
	/* What was refused is not counted: the rate is kept under a flood. */
	unsigned passed = 0;
	for (int i = 1; i <= 1000; i++)
		passed += pass(l, now + LN_SEC + i * 10 * LN_MSEC, &one, 3);
	assert_int_equal(passed, 100);
	signal_limit_free(l);
}

static void test_prefixes(void **state)
{
	const struct signal_limit_conf conf = { .rate = 1, .burst = 1 };
	struct signal_limit *l = signal_limit_new(&conf, &rng);
	struct ip_addr a = { .family = 6, .b = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1 } };
	struct ip_addr b = a, c = a, none = { .family = 0 };
	b.b[15] = 9;
	c.b[7] = 2;
	assert_true(signal_limit_pass(l, 1, &a));
	assert_false(signal_limit_pass(l, 1, &b)); /* the same /64 */
	assert_true(signal_limit_pass(l, 1, &c));
	assert_int_equal(pass(l, 1, &none, 100), 100);
	signal_limit_free(l);
}

static void test_off_and_defaults(void **state)
{
	const struct signal_limit_conf off = { .rate = 0 }, rated = { .rate = 100 };
	struct signal_limit *l = signal_limit_new(&off, &rng);
	assert_int_equal(pass(l, 1, &one, 100000), 100000);
	signal_limit_free(l);
	l = signal_limit_new(&rated, &rng);
	assert_int_equal(pass(l, 1, &one, 1000), 400);
	signal_limit_free(l);
	signal_limit_free(NULL);
}

static void test_the_longest_unseen_is_forgotten(void **state)
{
	const struct signal_limit_conf conf = { .rate = 1, .burst = 1, .max_sources = 3 };
	struct signal_limit *l = signal_limit_new(&conf, &rng);
	struct ip_addr a[4];
	for (uint8_t i = 0; i < 4; i++)
		a[i] = (struct ip_addr){ .family = 4, .b = { 10, 0, 0, i } };
	for (int i = 0; i < 3; i++)
		assert_true(signal_limit_pass(l, 1, &a[i]));
	assert_false(signal_limit_pass(l, 1, &a[0])); /* seen again: a[1] is the oldest now */
	assert_true(signal_limit_pass(l, 1, &a[3]));
	assert_false(signal_limit_pass(l, 1, &a[0]));
	assert_true(signal_limit_pass(l, 1, &a[1]));
	signal_limit_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_rate),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_off_and_defaults),
		cmocka_unit_test(test_the_longest_unseen_is_forgotten),
	};
	return cmocka_run_group_tests_name("signal_limit", tests, NULL, NULL);
}
