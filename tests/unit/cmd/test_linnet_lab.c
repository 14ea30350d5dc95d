#include <stdlib.h>
#include <string.h>

#include "src/cmd/linnet_lab.h"
#include "src/ev/ev.h"
#include "tests/unit/unit.h"

static struct linnet_lab_site site(const char *kind, unsigned number)
{
	static const char *const names[] = { "a", "b", "c" };
	const struct linnet_lab_nat *nat = linnet_lab_nat(kind);
	assert_non_null(nat);
	return (struct linnet_lab_site){
		.name = names[number - 1], .number = number, .nat = nat, .port = 51820, .ipv6 = true
	};
}

/* The script of a site; the caller frees it. */
static void plan(const struct linnet_lab_site *s, struct str *dst)
{
	struct ln_fail f;
	str_init(dst, 0);
	assert_int_equal(linnet_lab_site_check(s, &f), 0);
	linnet_lab_plan_site("t1-", s, dst);
}

static void assert_has(const struct str *text, const char *part)
{
	if (strstr(str_c(text), part) == NULL)
		fail_msg("\"%s\" is not in:\n%s", part, str_c(text));
}

static void assert_lacks(const struct str *text, const char *part)
{
	if (strstr(str_c(text), part) != NULL)
		fail_msg("\"%s\" is in:\n%s", part, str_c(text));
}

/* Whatever is asked for, a shell can read the script. */
static void test_scripts_are_shell(void **state)
{
	static const char *const argv[] = { "sh", "-n", NULL };
	(void)state;
	for (const struct linnet_lab_nat *n = linnet_lab_nats; n->name != NULL; n++) {
		struct linnet_lab_site s = site(n->name, 2);
		struct str text;
		char said[256];
		str_init(&text, 0);
		linnet_lab_plan_segment("t1-", &text);
		linnet_lab_plan_site("t1-", &s, &text);
		if (n->home != LINNET_LAB_OPEN) {
			struct linnet_lab_site other = site(n->name, 3);
			other.behind = s.name;
			other.behind_number = s.number;
			linnet_lab_plan_site("t1-", &other, &text);
		}
		linnet_lab_plan_remove("t1-", &text);
		linnet_lab_plan_remove_stale(&text);
		assert_int_equal(
			ev_child_run_sync(argv, str_slice(&text), said, sizeof(said), 10 * LN_SEC),
			0);
		str_fini(&text);
	}
}

static void test_kinds_differ(void **state)
{
	struct str text;
	(void)state;
	struct linnet_lab_site s = site("port-restricted", 1);
	plan(&s, &text);
	assert_has(&text, "oifname \"wan\" masquerade");
	assert_lacks(&text, "dnat to");
	assert_lacks(&text, "fully-random");
	str_fini(&text);

	s = site("full-cone", 1);
	plan(&s, &text);
	assert_has(&text, "iifname \"wan\" ip daddr 198.51.100.21 udp dport 40001 dnat to "
			  "10.1.0.2:51820");
	assert_has(&text, "ip saddr 10.1.0.2 udp sport 51820 snat to 198.51.100.21:40001");
	str_fini(&text);

	s = site("address-restricted", 1);
	plan(&s, &text);
	assert_has(&text, "ip saddr @to40001 udp dport 40001 dnat");
	str_fini(&text);

	s = site("symmetric", 2);
	plan(&s, &text);
	assert_has(&text, "ip saddr 10.2.0.2 meta l4proto udp masquerade fully-random");
	str_fini(&text);

	s = site("udp-blocked", 2);
	plan(&s, &text);
	assert_has(&text, "udp dport != 53 udp sport != 53 drop");
	str_fini(&text);
}

/* Two machines of one router: a second inner network, the router made once, another port. */
static void test_shared_router(void **state)
{
	struct str text;
	(void)state;
	struct linnet_lab_site s = site("hairpin", 2);
	s.behind = "a";
	s.behind_number = 1;
	s.isolated = true;
	plan(&s, &text);
	assert_lacks(&text, "n=t1-natb\n");
	assert_has(&text, "ip -n t1-nata link add lan2 ");
	assert_has(&text, "add rule ip nat4 pre ip daddr 198.51.100.21 udp dport 40002 dnat to "
			  "10.2.0.2:51820");
	assert_has(&text, "ct status ! dnat drop");
	str_fini(&text);

	/* Behind one carrier each has a home router of its own. */
	s.nat = linnet_lab_nat("carrier-grade");
	plan(&s, &text);
	assert_has(&text, "n=t1-natb\n");
	assert_lacks(&text, "n=t1-ispb\n");
	assert_has(&text, "ip -n t1-ispa link add lan2 ");
	str_fini(&text);
}

static void test_refusals(void **state)
{
	struct ln_fail f;
	(void)state;
	struct linnet_lab_site s = site("symmetric", 1);
	s.name = "a; reboot";
	assert_int_equal(linnet_lab_site_check(&s, &f), LN_E_MALFORMED);
	s.name = "muchtoolong";
	assert_int_equal(linnet_lab_site_check(&s, &f), LN_E_MALFORMED);
	s.name = "a";
	s.number = LINNET_LAB_SITES_MAX + 1;
	assert_int_equal(linnet_lab_site_check(&s, &f), LN_E_MALFORMED);
	s.number = 1;
	s.behind = "b$x";
	s.behind_number = 2;
	assert_int_equal(linnet_lab_site_check(&s, &f), LN_E_MALFORMED);
	s.behind = "b";
	s.behind_number = 1;
	assert_int_equal(linnet_lab_site_check(&s, &f), LN_E_MALFORMED);
	s.behind_number = 2;
	assert_int_equal(linnet_lab_site_check(&s, &f), 0);
	s.nat = linnet_lab_nat("none");
	assert_int_equal(linnet_lab_site_check(&s, &f), LN_E_MALFORMED);
	assert_null(linnet_lab_nat("conical"));
	assert_false(linnet_lab_name_ok("../x", LINNET_LAB_PREFIX_MAX));
	assert_false(linnet_lab_name_ok("-x", LINNET_LAB_PREFIX_MAX));
	assert_false(linnet_lab_name_ok("", LINNET_LAB_PREFIX_MAX));
}

static void test_drawing(void **state)
{
	struct str text;
	(void)state;
	struct linnet_lab_site sites[2] = { site("carrier-grade", 1), site("none", 2) };
	str_init(&text, 0);
	linnet_lab_draw(sites, &text);
	assert_has(&text, "[carrier's NAT 198.51.100.21]");
	assert_has(&text, "[home router]");
	assert_has(&text, "machine b, 198.51.100.102");
	assert_has(&text, "2001:db8:101::2");
	str_clear(&text);
	sites[0] = site("hairpin", 1);
	sites[1] = site("hairpin", 2);
	sites[1].behind = "a";
	sites[1].behind_number = 1;
	linnet_lab_draw(sites, &text);
	assert_has(&text, "[router 198.51.100.21]-");
	assert_null(strstr(strstr(str_c(&text), "[router") + 1, "[router"));
	str_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts_are_shell), cmocka_unit_test(test_kinds_differ),
		cmocka_unit_test(test_shared_router),     cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_drawing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
