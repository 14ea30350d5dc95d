#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "src/plat/linux/lx_nft.h"
#include "tests/unit/unit.h"

static void test_names(void **state)
{
	(void)state;
	assert_true(lx_nft_ifname_ok("wt0"));
	assert_true(lx_nft_ifname_ok("a.b-c_012345678"));
	assert_false(lx_nft_ifname_ok(""));
	assert_false(lx_nft_ifname_ok(".."));
	assert_false(lx_nft_ifname_ok("wt*"));
	assert_false(lx_nft_ifname_ok("wt\"0"));
	assert_false(lx_nft_ifname_ok("0123456789abcdef")); /* 16 */
	assert_true(lx_nft_name_ok("netbird"));
	assert_false(lx_nft_name_ok("1netbird"));
	assert_false(lx_nft_name_ok("net bird"));
	assert_false(lx_nft_name_ok(""));
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;
	assert_int_equal(ip_prefix_parse(slice_str(text), &p), 0);
	return p;
}

static json_t *commands_of(const struct str *text)
{
	json_error_t e;
	json_t *o = json_loadb(text->s, text->n, JSON_REJECT_DUPLICATES, &e);
	if (o == NULL)
		fail_msg("%s at %d", e.text, e.position);
	return o;
}

/* How many commands add an object of this kind. */
static unsigned count(json_t *o, const char *verb, const char *kind)
{
	size_t i;
	json_t *c;
	unsigned n = 0;
	json_array_foreach(json_object_get(o, "nftables"), i, c) n +=
		json_object_get(json_object_get(c, verb), kind) != NULL;
	return n;
}

static void test_text(void **state)
{
	(void)state;
	const struct plat_rule rules[] = {
		{ .source = prefix("100.64.0.1/32"), .protocol = 6, .port_first = 22 },
		{ .source = prefix("100.64.0.2/32"), .protocol = 6, .port_first = 22 },
		{ .source = prefix("100.64.1.0/24"),
		  .protocol = 17,
		  .port_first = 1,
		  .port_last = 9 },
		{ .source = prefix("0.0.0.0/0"), .protocol = 1 },
		{ .source = prefix("100.64.0.7/32"), .drop = true },
		{ .source = prefix("fd00::1/128") },
	};
	struct plat_want want = { .ifname = "wt0",
				  .filter = true,
				  .filter_table = "netbird",
				  .rules = rules,
				  .nrules = LN_COUNT(rules) };
	struct lx_nft_facts facts, again;
	struct str text;
	str_init(&text, 0);
	assert_int_equal(lx_nft_text(&want, true, &text, &facts), 0);
	json_t *o = commands_of(&text);
	assert_int_equal(count(o, "add", "table"), 4);
	assert_int_equal(count(o, "delete", "table"), 2);
	assert_int_equal(count(o, "add", "set"), 1);
	assert_int_equal(count(o, "add", "chain"), 6);
	/* v4: 1 drop, established, 3 accepts, 2 of input, mark; v6: established, 1, 2, mark. */
	assert_int_equal(count(o, "add", "rule"), 8 + 5);
	assert_int_equal(facts.handles[0], 1 + 3 + 1 + 8);
	assert_int_equal(facts.handles[1], 1 + 3 + 5);
	json_decref(o);
	/* Drop above established, accept below. */
	const char *drop = strstr(text.s, "100.64.0.7");
	const char *established = strstr(text.s, "established");
	assert_true(drop != NULL && drop < established);
	assert_true(strstr(text.s, "@nb0000001") > established);

	assert_int_equal(lx_nft_text(&want, true, &text, &again), 0);
	assert_string_equal(facts.mark, again.mark);
	want.nrules--;
	assert_int_equal(lx_nft_text(&want, true, &text, &again), 0);
	assert_string_not_equal(facts.mark, again.mark);
	/* Without IPv6 in the kernel there is one table only. */
	assert_int_equal(lx_nft_text(&want, false, &text, &again), 0);
	assert_null(strstr(text.s, "ip6"));
	lx_nft_text_remove("netbird", true, &text);
	o = commands_of(&text);
	assert_int_equal(count(o, "delete", "table"), 2);
	json_decref(o);
	str_fini(&text);
}

static void test_closed_and_open(void **state)
{
	(void)state;
	struct plat_want want = { .ifname = "wt0", .filter = true, .filter_table = "netbird" };
	struct lx_nft_facts facts;
	struct str text;
	str_init(&text, 0);
	assert_int_equal(lx_nft_text(&want, false, &text, &facts), 0);
	json_t *o = commands_of(&text);
	assert_int_equal(count(o, "add", "rule"), 4); /* established, jump, drop, mark */
	json_decref(o);
	want.filter_allow_all = true;
	assert_int_equal(lx_nft_text(&want, false, &text, &facts), 0);
	o = commands_of(&text);
	assert_int_equal(count(o, "add", "rule"), 5);
	json_decref(o);
	str_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_closed_and_open),
	};
	return cmocka_run_group_tests_name("lx_nft", tests, NULL, NULL);
}
