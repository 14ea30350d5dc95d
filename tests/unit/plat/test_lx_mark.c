/*
 * Marks, routing rules and the ways of marked packets against a kernel: every test runs in a
 * network namespace of its own. Skipped without the right to make one.
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/plat/plat_mark.h"
#include "tests/unit/unit.h"

#define NETWORKS 2

static char dir[64];
static int tun[NETWORKS] = { -1, -1 };
static char out[65536];

static struct ip_addr address(const char *text)
{
	struct ip_addr a;
	assert_int_equal(ip_parse(slice_str(text), &a), 0);
	return a;
}

static const char *shell(const char *command)
{
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	size_t n = fread(out, 1, sizeof(out) - 1, pipe);
	out[n] = '\0';
	assert_int_equal(pclose(pipe), 0);
	return out;
}

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static int open_tun(const char *ifname)
{
	struct ifreq req = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	strncpy(req.ifr_name, ifname, sizeof(req.ifr_name) - 1);
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &req) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/ln-mark-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	strcat(dir, "/state");
	if (unshare(CLONE_NEWNET) == 0) {
		tun[0] = open_tun("wt0");
		tun[1] = open_tun("wt1");
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	char command[128];
	for (int i = 0; i < NETWORKS; i++) {
		if (tun[i] >= 0)
			close(tun[i]);
		tun[i] = -1;
	}
	*strrchr(dir, '/') = '\0';
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* A host with one uplink: ve0, its router 192.0.2.254 and 2001:db8:1::fe. */
static void need_host(void)
{
	if (tun[1] < 0 || system("ip -V >/dev/null 2>&1") != 0) {
		print_message("skipped: needs root, /dev/net/tun and ip\n");
		skip();
	}
	run("ip link set lo up && ip link add ve0 type veth peer name ve1 && ip link set ve0 up && "
	    "ip link set ve1 up && ip addr add 192.0.2.1/24 dev ve0 && "
	    "ip addr add 2001:db8:1::1/64 dev ve0 nodad && ip route add default via 192.0.2.254 && "
	    "ip -6 route add default via 2001:db8:1::fe dev ve0");
}

static struct plat *new_plat(void)
{
	struct plat *p;
	struct ln_fail f = { 0 };
	if (plat_new(dir, &p, &f) < 0 || plat_mark_probe(p, &f) < 0)
		fail_msg("%s", f.text);
	return p;
}

static int try_apply(struct plat *p, unsigned i)
{
	static const char *const text[][2] = { { "100.90.1.2/16", "fd52::1:2/64" },
					       { "100.91.1.2/16", "fd53::1:2/64" } };
	struct ip_prefix a[2];
	struct ln_fail f = { 0 };
	for (int k = 0; k < 2; k++)
		assert_int_equal(ip_prefix_parse(slice_str(text[i][k]), &a[k]), 0);
	struct plat_want want = { .up = true,
				  .mtu = 1280,
				  .addresses = a,
				  .naddresses = 2,
				  .mark = plat_mark(PLAT_MARK_BASE, i) };
	snprintf(want.ifname, sizeof(want.ifname), "wt%u", i);
	return plat_apply(p, &want, &f);
}

static void apply(struct plat *p, unsigned i)
{
	assert_int_equal(try_apply(p, i), 0);
}

static void remove_network(struct plat *p, const char *ifname)
{
	struct ln_fail f = { 0 };
	assert_int_equal(plat_remove(p, ifname, NULL, &f), 0);
}

/* The interface packets to an address leave by; "" when there is none. */
static const char *way(struct plat *p, const char *to, uint32_t mark)
{
	static char name[IF_NAMESIZE];
	struct plat_way w;
	struct ip_addr a = address(to);
	if (plat_way(p, &a, mark, &w) < 0)
		return "";
	return if_indextoname(w.ifindex, name) != NULL ? name : "?";
}

static void assert_ways(struct plat *p, const char *to, const char *marked, const char *others)
{
	assert_string_equal(way(p, to, plat_mark(PLAT_MARK_BASE, 0)), marked);
	assert_string_equal(way(p, to, 0), others);
}

/* Empties the queue: the kernel's own addresses of the interfaces come when they like. */
static bool told_of_routes(struct plat *p)
{
	struct plat_event ev;
	bool told = false;
	while (plat_event_next(p, &ev))
		told |= ev.kind == PLAT_EV_ROUTES;
	return told;
}

static void test_the_table_of_the_network(void **state)
{
	(void)state;
	need_host();
	struct plat *p = new_plat();
	apply(p, 0);
	assert_ways(p, "203.0.113.9", "ve0", "ve0");
	run("ip route add default dev wt0 table 7120 && ip -6 route add default dev wt0 table 7120 && "
	    "ip route add 192.0.2.128/25 dev wt0 table 7120");
	assert_ways(p, "203.0.113.9", "ve0", "wt0");
	assert_ways(p, "2001:db8:9::9", "ve0", "wt0");
	/* More specific ways of the main table come first, for everybody (spec agent 4.6). */
	assert_ways(p, "192.0.2.200", "ve0", "ve0");
	assert_ways(p, "100.90.7.7", "", "wt0");
	remove_network(p, "wt0");
	assert_null(strstr(shell("ip -N rule; ip -N -6 rule"), "71"));
	assert_null(strstr(out, "proto 78"));
	plat_free(p);
}

static void test_routes_in_the_main_table(void **state)
{
	(void)state;
	need_host();
	struct plat *p = new_plat();
	apply(p, 0);
	(void)told_of_routes(p);
	run("ip route add 0.0.0.0/1 dev wt0 && ip route add 128.0.0.0/1 dev wt0 && "
	    "ip -6 route add ::/1 dev wt0 && ip -6 route add 8000::/1 dev wt0 && "
	    "ip route add 192.0.2.128/25 dev wt0 && ip -6 route add 2001:db8:1::8000/113 dev wt0");
	assert_true(told_of_routes(p));
	/* Until somebody has looked there is no way at all, and never one into the tunnel. */
	assert_ways(p, "203.0.113.9", "", "wt0");
	plat_mark_refresh(p);
	assert_ways(p, "203.0.113.9", "ve0", "wt0");
	assert_ways(p, "10.0.0.1", "ve0", "wt0");
	assert_ways(p, "2001:db8:9::9", "ve0", "wt0");
	assert_ways(p, "f000::9", "ve0", "wt0");
	assert_ways(p, "192.0.2.200", "ve0", "wt0");
	assert_ways(p, "2001:db8:1::9000", "ve0", "wt0");
	/* Each by its own way: the neighbours are on the link, the rest is behind the router. */
	struct plat_way w;
	struct ip_addr a = address("192.0.2.200"), b = address("203.0.113.9");
	assert_int_equal(plat_way(p, &a, PLAT_MARK_BASE, &w), 0);
	assert_false(ip_is_set(&w.gateway));
	assert_int_equal(plat_way(p, &b, PLAT_MARK_BASE, &w), 0);
	struct ip_addr router = address("192.0.2.254"), next = address("192.0.2.253");
	assert_true(ip_equal(&w.gateway, &router));
	/* It follows the underlay. */
	run("ip route replace default via 192.0.2.253 dev ve0");
	plat_mark_refresh(p);
	assert_int_equal(plat_way(p, &b, PLAT_MARK_BASE, &w), 0);
	assert_true(ip_equal(&w.gateway, &next));
	run("ip route del default");
	plat_mark_refresh(p);
	assert_ways(p, "203.0.113.9", "", "wt0");
	assert_ways(p, "192.0.2.200", "ve0", "wt0");
	/* Nothing to go round, nothing there. */
	run("ip route flush dev wt0 root 0/0 proto boot; ip -6 route flush dev wt0 proto boot");
	plat_mark_refresh(p);
	assert_string_equal(shell("ip route show table 7184; ip -6 route show table 7184"), "");
	remove_network(p, "wt0");
	plat_free(p);
}

/* Next hops as lists and as objects, and metrics. */
static void test_attributes_are_kept(void **state)
{
	(void)state;
	need_host();
	struct plat *p = new_plat();
	apply(p, 0);
	run("ip route add 198.51.100.0/24 nexthop via 192.0.2.10 nexthop via 192.0.2.11 weight 3 && "
	    "ip nexthop add id 7 via 192.0.2.12 dev ve0 && ip route add 203.0.113.0/24 nhid 7 && "
	    "ip route add 203.0.113.0/24 via 192.0.2.13 metric 50 && "
	    "ip route add 198.51.100.0/25 dev wt0 && ip route add 203.0.113.0/25 dev wt0");
	plat_mark_refresh(p);
	assert_ways(p, "198.51.100.1", "ve0", "wt0");
	assert_ways(p, "203.0.113.1", "ve0", "wt0");
	shell("ip route show table 7184");
	assert_non_null(strstr(out, "nexthop via 192.0.2.11 dev ve0 weight 3"));
	assert_non_null(strstr(out, "203.0.113.0/25 nhid 7 via 192.0.2.12"));
	remove_network(p, "wt0");
	assert_string_equal(shell("ip route show table 7184"), "");
	plat_free(p);
}

/* Two exit nodes do not feed each other, and the first to go leaves the other alone. */
static void test_two_networks(void **state)
{
	(void)state;
	need_host();
	struct plat *p = new_plat();
	apply(p, 0);
	apply(p, 1);
	run("ip route add default dev wt0 table 7120 && ip route add default dev wt1 table 7121 && "
	    "ip route add 0.0.0.0/1 dev wt1");
	plat_mark_refresh(p);
	for (unsigned i = 0; i < NETWORKS; i++) {
		assert_string_equal(way(p, "203.0.113.9", plat_mark(PLAT_MARK_BASE, i)), "ve0");
		assert_string_equal(way(p, "10.0.0.9", plat_mark(PLAT_MARK_BASE, i)), "ve0");
	}
	assert_string_equal(way(p, "203.0.113.9", 0), "wt0");
	remove_network(p, "wt0");
	assert_string_equal(way(p, "203.0.113.9", 0), "wt1");
	assert_string_equal(way(p, "203.0.113.9", plat_mark(PLAT_MARK_BASE, 1)), "ve0");
	assert_string_equal(way(p, "10.0.0.9", plat_mark(PLAT_MARK_BASE, 1)), "ve0");
	remove_network(p, "wt1");
	assert_null(strstr(shell("ip -N rule; ip -N -6 rule"), "proto 78"));
	plat_free(p);
}

static void test_slots_of_others(void **state)
{
	(void)state;
	need_host();
	struct plat *p = new_plat();
	unsigned slot = 9;
	assert_int_equal(plat_mark_free_slot(p, 0, &slot), 0);
	assert_int_equal(slot, 0);
	assert_int_equal(plat_mark_free_slot(p, 5, &slot), 0);
	assert_int_equal(slot, 1);
	run("ip rule add pref 110 not fwmark 0x1bd00 lookup 7120 && "
	    "ip -6 rule add pref 111 lookup 7121");
	assert_int_equal(plat_mark_free_slot(p, 0, &slot), 0);
	assert_int_equal(slot, 2);
	assert_int_equal(plat_mark_free_slot(p, UINT64_MAX, &slot), LN_E_LIMIT);
	/* Taken between the question and the use. */
	run("ip rule add pref 110 not fwmark 0x1bd00/0xffffff lookup 7120");
	assert_int_equal(try_apply(p, 0), LN_E_CONFLICT);
	remove_network(p, "wt0");
	assert_non_null(strstr(shell("ip -N rule"), "0x1bd00/0xffffff"));
	plat_free(p);
}

static void test_flushed_rules_come_back(void **state)
{
	(void)state;
	need_host();
	struct plat *p = new_plat();
	apply(p, 0);
	char before[4096];
	snprintf(before, sizeof(before), "%.4000s", shell("ip -N rule; ip -N -6 rule"));
	(void)told_of_routes(p);
	run("ip rule del pref 110; ip -6 rule del pref 105; ip rule del pref 32763");
	assert_true(told_of_routes(p));
	plat_mark_refresh(p);
	assert_string_equal(shell("ip -N rule; ip -N -6 rule"), before);
	remove_network(p, "wt0");
	plat_free(p);
}

static int rp_filter(const char *ifname)
{
	char command[100];
	snprintf(command, sizeof(command), "cat /proc/sys/net/ipv4/conf/%s/rp_filter", ifname);
	return atoi(shell(command));
}

static void test_reverse_path_filter(void **state)
{
	(void)state;
	need_host();
	run("cd /proc/sys/net/ipv4/conf && echo 1 >ve0/rp_filter && echo 0 >ve1/rp_filter && "
	    "echo 1 >all/rp_filter && echo 1 >wt0/rp_filter && echo 1 >lo/rp_filter");
	struct plat *p = new_plat();
	apply(p, 0);
	assert_int_equal(rp_filter("ve0"), 2);
	assert_int_equal(rp_filter("all"), 2);
	assert_int_equal(rp_filter("ve1"), 0);
	assert_int_equal(rp_filter("wt0"), 1);
	assert_int_equal(rp_filter("lo"), 1);
	/* One that comes later, and a second network that outlives the first. */
	apply(p, 1);
	run("echo 1 >/proc/sys/net/ipv4/conf/ve1/rp_filter");
	plat_mark_refresh(p);
	assert_int_equal(rp_filter("ve1"), 2);
	remove_network(p, "wt0");
	assert_int_equal(rp_filter("ve0"), 2);
	/* What somebody has set meanwhile is theirs. */
	run("echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter");
	remove_network(p, "wt1");
	assert_int_equal(rp_filter("ve0"), 1);
	assert_int_equal(rp_filter("ve1"), 1);
	assert_int_equal(rp_filter("all"), 0);
	plat_free(p);
}

static void test_after_a_crash(void **state)
{
	(void)state;
	need_host();
	run("echo 1 >/proc/sys/net/ipv4/conf/ve0/rp_filter");
	pid_t child = fork();
	if (child == 0) {
		apply(new_plat(), 0);
		_exit(system("ip route add 0.0.0.0/1 dev ve0 table 7184 proto 78"));
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(rp_filter("ve0"), 2);
	assert_non_null(strstr(shell("ip -N rule"), "lookup 7120"));
	struct plat *p = new_plat();
	struct ln_fail f = { 0 };
	assert_int_equal(plat_recover(p, &f), 0);
	assert_int_equal(rp_filter("ve0"), 1);
	assert_null(strstr(shell("ip -N rule; ip -N -6 rule"), "proto 78"));
	assert_string_equal(shell("ip route show table 7184"), "");
	plat_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_table_of_the_network, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_routes_in_the_main_table, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_attributes_are_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_two_networks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_slots_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flushed_rules_come_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reverse_path_filter, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_after_a_crash, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("lx_mark", tests, NULL, NULL);
}
