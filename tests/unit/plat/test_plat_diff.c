#include <string.h>

#include "src/plat/plat_diff.h"
#include "tests/unit/unit.h"

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;
	assert_int_equal(ip_prefix_parse(slice_str(text), &p), 0);
	return p;
}

static void fill(struct plat_prefixes *l, const char *const *texts)
{
	for (; *texts != NULL; texts++) {
		struct ip_prefix p = prefix(*texts);
		assert_int_equal(plat_prefixes_add(l, &p), 0);
	}
	plat_prefixes_sort(l);
}

static void expect(const struct plat_prefixes *l, const char *const *texts)
{
	size_t n = 0;
	for (; texts[n] != NULL; n++) {
		char text[IP_PREFIX_TEXT_MAX];
		assert_true(n < l->n);
		ip_prefix_format(&l->v[n], text);
		assert_string_equal(text, texts[n]);
	}
	assert_int_equal(l->n, n);
}

static void test_difference(void **state)
{
	(void)state;
	const char *have[] = { "10.0.0.2/16", "10.0.0.1/16", "fd00::1/64", "10.0.0.1/16", NULL };
	const char *want[] = { "fd00::2/64", "10.0.0.1/16", "10.0.0.1/24", NULL };
	const char *missing[] = { "10.0.0.1/24", "fd00::2/64", NULL };
	const char *extra[] = { "10.0.0.2/16", "fd00::1/64", NULL };
	struct plat_prefixes h = { 0 }, w = { 0 }, m = { 0 }, e = { 0 };
	fill(&h, have);
	fill(&w, want);
	assert_int_equal(h.n, 3); /* the double is gone */
	assert_int_equal(plat_diff(&h, &w, &m, &e), 0);
	expect(&m, missing);
	expect(&e, extra);
	m.n = e.n = 0;
	assert_int_equal(plat_diff(&w, &w, &m, &e), 0);
	assert_int_equal(m.n + e.n, 0);
	plat_prefixes_fini(&h);
	plat_prefixes_fini(&w);
	plat_prefixes_fini(&m);
	plat_prefixes_fini(&e);
}

static void test_empty_sides(void **state)
{
	(void)state;
	const char *some[] = { "10.0.0.0/8", "10.1.0.0/16", NULL };
	const char *none[] = { NULL };
	struct plat_prefixes s = { 0 }, n = { 0 }, m = { 0 }, e = { 0 };
	fill(&s, some);
	assert_int_equal(plat_diff(&n, &s, &m, &e), 0);
	expect(&m, some);
	expect(&e, none);
	m.n = 0;
	assert_int_equal(plat_diff(&s, &n, &m, &e), 0);
	expect(&m, none);
	expect(&e, some);
	plat_prefixes_fini(&s);
	plat_prefixes_fini(&m);
	plat_prefixes_fini(&e);
}

static void test_limit(void **state)
{
	(void)state;
	struct plat_prefixes l = { 0 };
	struct ip_prefix p = prefix("10.0.0.0/8");
	for (size_t i = 0; i < PLAT_PREFIXES_MAX; i++)
		assert_int_equal(plat_prefixes_add(&l, &p), 0);
	assert_int_equal(plat_prefixes_add(&l, &p), LN_E_LIMIT);
	plat_prefixes_sort(&l);
	assert_int_equal(l.n, 1);
	plat_prefixes_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_difference),
		cmocka_unit_test(test_empty_sides),
		cmocka_unit_test(test_limit),
	};
	return cmocka_run_group_tests_name("plat_diff", tests, NULL, NULL);
}
