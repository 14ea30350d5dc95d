#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "src/plat/plat_filter.h"
#include "tests/unit/unit.h"

static struct plat_rule rule(const char *source, uint8_t protocol, uint16_t first, uint16_t last,
			     bool drop)
{
	struct plat_rule r = {
		.protocol = protocol, .port_first = first, .port_last = last, .drop = drop
	};
	assert_int_equal(ip_prefix_parse(slice_str(source), &r.source), 0);
	return r;
}

static void expect_group(const struct plat_filter *x, size_t i, bool drop, uint8_t protocol,
			 unsigned first, unsigned last, size_t nsources)
{
	assert_true(i < x->ngroups);
	assert_int_equal(x->groups[i].drop, drop);
	assert_int_equal(x->groups[i].protocol, protocol);
	assert_int_equal(x->groups[i].port_first, first);
	assert_int_equal(x->groups[i].port_last, last);
	assert_int_equal(x->groups[i].nsources, nsources);
}

static void test_rules_that_differ_by_source_are_one_group(void **state)
{
	(void)state;
	const struct plat_rule rules[] = {
		rule("100.64.0.3/32", IPPROTO_TCP, 22, 22, false),
		rule("100.64.0.1/32", IPPROTO_TCP, 22, 0, false),
		rule("100.64.0.1/32", IPPROTO_TCP, 22, 22, false),
		rule("100.64.0.2/32", IPPROTO_TCP, 22, 22, true),
		rule("100.64.0.9/32", IPPROTO_TCP, 80, 90, false),
		rule("fd00::1/128", IPPROTO_TCP, 22, 22, false),
	};
	struct plat_filter x;
	assert_int_equal(plat_filter_build(rules, LN_COUNT(rules), 4, &x), 0);
	assert_int_equal(x.ngroups, 3);
	expect_group(&x, 0, true, IPPROTO_TCP, 22, 22, 1);
	expect_group(&x, 1, false, IPPROTO_TCP, 22, 22, 2);
	expect_group(&x, 2, false, IPPROTO_TCP, 80, 90, 1);
	plat_filter_fini(&x);
	assert_int_equal(plat_filter_build(rules, LN_COUNT(rules), 6, &x), 0);
	assert_int_equal(x.ngroups, 1);
	plat_filter_fini(&x);
}

static void test_covered_prefixes_go(void **state)
{
	(void)state;
	const struct plat_rule rules[] = {
		rule("10.1.2.3/32", 0, 0, 0, false),
		rule("10.1.0.0/16", 0, 0, 0, false),
		rule("10.1.2.99/24", 0, 0, 0, false),
		rule("10.2.0.0/16", 0, 0, 0, false),
		rule("0.0.0.0/0", IPPROTO_ICMP, 0, 0, false),
		rule("1.1.1.1/32", IPPROTO_ICMP, 0, 0, false),
	};
	struct plat_filter x;
	assert_int_equal(plat_filter_build(rules, LN_COUNT(rules), 4, &x), 0);
	assert_int_equal(x.ngroups, 2);
	expect_group(&x, 0, false, 0, 0, 0, 2);
	assert_false(x.groups[0].any_source);
	assert_int_equal(x.groups[0].sources[0].len, 16);
	expect_group(&x, 1, false, IPPROTO_ICMP, 0, 0, 1);
	assert_true(x.groups[1].any_source);
	plat_filter_fini(&x);
}

static void test_protocols(void **state)
{
	(void)state;
	struct plat_rule any_source = { .protocol = IPPROTO_ICMP };
	const struct plat_rule rules[] = {
		any_source,
		rule("::/0", 0, 53, 53, false),         /* all protocols with a port */
		rule("::/0", 47, 53, 53, false),        /* GRE has no ports */
		rule("::/0", IPPROTO_UDP, 9, 5, false), /* a last port below the first */
		rule("::/0", IPPROTO_SCTP, 7, 7, false),
	};
	struct plat_filter x;
	assert_int_equal(plat_filter_build(rules, LN_COUNT(rules), 6, &x), 0);
	assert_int_equal(x.ngroups, 6);
	expect_group(&x, 0, false, IPPROTO_TCP, 53, 53, 1);
	expect_group(&x, 1, false, IPPROTO_UDP, 9, 9, 1);
	expect_group(&x, 2, false, IPPROTO_UDP, 53, 53, 1);
	expect_group(&x, 3, false, 47, 0, 0, 1);
	expect_group(&x, 4, false, IPPROTO_ICMPV6, 0, 0, 1);
	expect_group(&x, 5, false, IPPROTO_SCTP, 7, 7, 1);
	plat_filter_fini(&x);
	assert_int_equal(plat_filter_build(rules, LN_COUNT(rules), 4, &x), 0);
	expect_group(&x, 0, false, IPPROTO_ICMP, 0, 0, 1);
	plat_filter_fini(&x);
}

static void test_limits_and_nonsense(void **state)
{
	(void)state;
	struct plat_filter x;
	assert_int_equal(plat_filter_build(NULL, 0, 4, &x), 0);
	assert_int_equal(x.ngroups, 0);
	plat_filter_fini(&x);
	struct plat_rule bad = rule("1.2.3.4/32", 0, 0, 0, false);
	bad.source.len = 33;
	assert_int_equal(plat_filter_build(&bad, 1, 4, &x), LN_E_MALFORMED);
	assert_int_equal(plat_filter_build(&bad, PLAT_RULES_MAX + 1, 4, &x), LN_E_LIMIT);
	/* One address more than there may be prefixes; every second one, so that none merge. */
	size_t n = PLAT_PREFIXES_MAX + 1;
	struct plat_rule *many = ln_calloc(n, sizeof(*many));
	for (size_t i = 0; i < n; i++)
		many[i].source = (struct ip_prefix){ ip_v4(0x0a000000u + 2 * (uint32_t)i), 32 };
	assert_int_equal(plat_filter_build(many, n, 4, &x), LN_E_LIMIT);
	assert_int_equal(plat_filter_build(many, n - 1, 4, &x), 0);
	assert_int_equal(x.ngroups, 1);
	assert_int_equal(x.groups[0].nsources, n - 1);
	plat_filter_fini(&x);
	free(many);
}

/* The slow, obviously right twin: does one of the rules match? */
static int twin(const struct plat_rule *rules, size_t n, const struct ip_addr *a, uint8_t protocol,
		uint16_t port)
{
	int verdict = -1;
	for (size_t i = 0; i < n; i++) {
		const struct plat_rule *r = &rules[i];
		bool ports = r->port_first == 0 ||
			     (port >= r->port_first && port <= LN_MAX(r->port_first, r->port_last));
		if (!ip_prefix_contains(&r->source, a) ||
		    (r->protocol != 0 && r->protocol != protocol) || !ports)
			continue;
		if (r->drop)
			return 0;
		verdict = 1;
	}
	return verdict;
}

static int grouped(const struct plat_filter *x, const struct ip_addr *a, uint8_t protocol,
		   uint16_t port)
{
	for (size_t i = 0; i < x->ngroups; i++) {
		const struct plat_filter_group *g = &x->groups[i];
		if ((g->protocol != 0 && g->protocol != protocol) ||
		    (g->port_first != 0 && (port < g->port_first || port > g->port_last)))
			continue;
		for (size_t k = 0; k < g->nsources; k++)
			if (ip_prefix_contains(&g->sources[k], a))
				return !g->drop;
	}
	return -1;
}

static void test_against_the_slow_twin(void **state)
{
	(void)state;
	srand(7);
	for (int round = 0; round < 300; round++) {
		struct plat_rule rules[12];
		size_t n = (size_t)(rand() % 12);
		for (size_t i = 0; i < n; i++) {
			rules[i] = (struct plat_rule){
				.source = { ip_v4(0x0a000000u + (unsigned)(rand() % 16)),
					    (uint8_t)(rand() % 8 == 0 ? 0 : 26 + rand() % 7) },
				.protocol = (uint8_t)(rand() % 2 ? IPPROTO_TCP : IPPROTO_UDP),
				.port_first = (uint16_t)(rand() % 4),
				.drop = rand() % 4 == 0,
			};
			if (rules[i].port_first != 0)
				rules[i].port_last = (uint16_t)(rand() % 5);
		}
		struct plat_filter x;
		assert_int_equal(plat_filter_build(rules, n, 4, &x), 0);
		for (unsigned a = 0; a < 17; a++)
			for (uint16_t port = 1; port < 6; port++) {
				struct ip_addr from = ip_v4(0x0a000000u + a);
				assert_int_equal(grouped(&x, &from, IPPROTO_TCP, port),
						 twin(rules, n, &from, IPPROTO_TCP, port));
			}
		plat_filter_fini(&x);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_that_differ_by_source_are_one_group),
		cmocka_unit_test(test_covered_prefixes_go),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_limits_and_nonsense),
		cmocka_unit_test(test_against_the_slow_twin),
	};
	return cmocka_run_group_tests_name("plat_filter", tests, NULL, NULL);
}
