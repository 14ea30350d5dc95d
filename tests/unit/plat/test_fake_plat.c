#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>

#include "src/plat/fake/fake_plat.h"
#include "tests/unit/unit.h"

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;
	assert_int_equal(ip_prefix_parse(slice_str(text), &p), 0);
	return p;
}

static void test_apply_twice_changes_once(void **state)
{
	(void)state;
	struct plat *p;
	assert_int_equal(plat_new("", &p, NULL), 0);
	struct ip_prefix addresses[] = { prefix("100.64.0.1/16"), prefix("fd00::1/64") };
	struct ip_prefix routes[] = { prefix("10.0.0.1/8") };
	struct plat_rule rules[] = {
		{ .source = prefix("100.64.0.2/32"), .protocol = IPPROTO_TCP, .port_first = 22 }
	};
	struct plat_want want = { .ifname = "wt0",
				  .mtu = 1280,
				  .up = true,
				  .addresses = addresses,
				  .naddresses = 2,
				  .routes = routes,
				  .nroutes = 1,
				  .filter = true,
				  .filter_table = "netbird",
				  .rules = rules,
				  .nrules = 1 };
	assert_int_equal(plat_apply(p, &want, NULL), 0);
	assert_int_equal(plat_apply(p, &want, NULL), 0);
	const struct fake_plat_network *n = fake_plat_find(p, "wt0");
	assert_non_null(n);
	assert_int_equal(n->applied, 1);
	assert_int_equal(n->addresses.n, 2);
	struct ip_addr friend = prefix("100.64.0.2/32").addr, other = prefix("100.64.0.3/32").addr;
	assert_true(fake_plat_passes(p, "wt0", &friend, IPPROTO_TCP, 22));
	assert_false(fake_plat_passes(p, "wt0", &friend, IPPROTO_TCP, 23));
	assert_false(fake_plat_passes(p, "wt0", &other, IPPROTO_TCP, 22));
	fake_plat_fail_next(p, -EPERM);
	struct ln_fail f;
	want.naddresses = 1;
	assert_int_equal(plat_apply(p, &want, &f), -EPERM);
	assert_int_equal(n->addresses.n, 2);
	assert_int_equal(plat_apply(p, &want, &f), 0);
	assert_int_equal(n->addresses.n, 1);
	want.filter = false;
	want.nrules = 0;
	assert_int_equal(plat_apply(p, &want, NULL), 0);
	assert_true(fake_plat_passes(p, "wt0", &other, IPPROTO_TCP, 22));
	assert_int_equal(plat_remove(p, "wt0", "netbird", NULL), 0);
	assert_null(fake_plat_find(p, "wt0"));
	assert_int_equal(plat_remove(p, "wt0", "netbird", NULL), 0);
	plat_free(p);
}

static void test_events_and_addresses(void **state)
{
	(void)state;
	struct plat *p;
	struct plat_event ev;
	struct plat_addr a = { .ifname = "eth0", .ifindex = 2, .up = true }, back[2];
	assert_int_equal(plat_new("", &p, NULL), 0);
	struct pollfd fd = { .fd = plat_event_fd(p), .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 0), 0);
	fake_plat_push_event(p, (struct plat_event){ .kind = PLAT_EV_LINK, .ifindex = 7 });
	assert_int_equal(poll(&fd, 1, 0), 1);
	assert_true(plat_event_next(p, &ev));
	assert_int_equal(ev.ifindex, 7);
	assert_false(plat_event_next(p, &ev));
	assert_int_equal(poll(&fd, 1, 0), 0);
	fake_plat_set_addresses(p, &a, 1);
	assert_int_equal(plat_addresses(p, back, 2), 1);
	assert_string_equal(back[0].ifname, "eth0");
	assert_int_equal(plat_addresses(p, back, 0), 0);
	plat_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apply_twice_changes_once),
		cmocka_unit_test(test_events_and_addresses),
	};
	return cmocka_run_group_tests_name("fake_plat", tests, NULL, NULL);
}
