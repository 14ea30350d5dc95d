/*
 * The Linux back end against a kernel: every test runs in a network namespace of its own, with a
 * TUN interface made here. Skipped without the right to make one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/plat/plat.h"
#include "tests/unit/unit.h"

static char dir[64];
static int tun = -1;
static char out[65536];

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;
	assert_int_equal(ip_prefix_parse(slice_str(text), &p), 0);
	return p;
}

/* Output of a shell command, for comparing; its exit status. */
static int shell(const char *command)
{
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	size_t n = fread(out, 1, sizeof(out) - 1, pipe);
	out[n] = '\0';
	return pclose(pipe);
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
	strcpy(dir, "/tmp/ln-plat-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	strcat(dir, "/state");
	if (unshare(CLONE_NEWNET) == 0)
		tun = open_tun("wt0");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	char command[128];
	if (tun >= 0)
		close(tun);
	tun = -1;
	*strrchr(dir, '/') = '\0';
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void need_namespace(void)
{
	if (tun >= 0 && system("nft --version >/dev/null 2>&1 && ip -V >/dev/null 2>&1") == 0)
		return;
	print_message("skipped: needs root, /dev/net/tun, nft and ip\n");
	skip();
}

static struct plat *new_plat(void)
{
	struct plat *p;
	struct ln_fail f = { 0 };
	if (plat_new(dir, &p, &f) < 0)
		fail_msg("%s", f.text);
	return p;
}

static void apply(struct plat *p, const struct plat_want *want)
{
	struct ln_fail f = { 0 };
	if (plat_apply(p, want, &f) < 0)
		fail_msg("%s", f.text);
}

static void test_link_addresses_routes(void **state)
{
	(void)state;
	need_namespace();
	struct plat *p = new_plat();
	struct ip_prefix addresses[] = { prefix("100.90.1.2/16"), prefix("fd52::1:2/64") };
	struct ip_prefix routes[] = { prefix("10.20.0.0/16"), prefix("fd99::/48"),
				      prefix("10.30.0.0/16") };
	struct plat_want want = { .ifname = "wt0",
				  .mtu = 1280,
				  .txqueuelen = 1000,
				  .up = true,
				  .addresses = addresses,
				  .naddresses = 2,
				  .routes = routes,
				  .nroutes = 3 };
	apply(p, &want);
	assert_int_equal(shell("ip link show dev wt0"), 0);
	assert_non_null(strstr(out, "mtu 1280"));
	assert_non_null(strstr(out, "qlen 1000"));
	assert_non_null(strstr(out, "qdisc noqueue"));
	assert_non_null(strstr(out, "UP"));
	assert_int_equal(shell("ip addr show dev wt0"), 0);
	assert_non_null(strstr(out, "inet 100.90.1.2/16 scope global wt0"));
	assert_non_null(strstr(out, "inet6 fd52::1:2/64"));
	/* at once; the link's own fe80:: may still be */
	assert_int_equal(shell("ip addr show dev wt0 to fd52::/16"), 0);
	assert_non_null(strstr(out, "inet6 fd52::1:2/64"));
	assert_null(strstr(out, "tentative"));
	assert_int_equal(shell("ip route; ip -6 route"), 0);
	assert_non_null(strstr(out, "100.90.0.0/16 dev wt0 proto kernel"));
	assert_non_null(strstr(out, "10.20.0.0/16 dev wt0 proto 78"));
	assert_non_null(strstr(out, "fd99::/48 dev wt0 proto 78"));

	/* The same again sends nothing: the kernel has nothing to tell. */
	struct plat_event ev;
	while (plat_event_next(p, &ev))
		;
	apply(p, &want);
	assert_int_equal(system("sleep 0.05"), 0);
	assert_false(plat_event_next(p, &ev));

	/* Another address of the same subnet: the primary goes and must not take the new one along.
	 */
	struct ip_prefix moved[] = { prefix("100.90.1.3/16"), prefix("100.90.1.4/16") };
	want.addresses = moved;
	want.nroutes = 1;
	apply(p, &want);
	assert_true(plat_event_next(p, &ev));
	assert_int_equal(shell("ip addr show dev wt0; ip route; ip -6 route"), 0);
	assert_null(strstr(out, "100.90.1.2/16"));
	assert_non_null(strstr(out, "100.90.1.3/16"));
	assert_non_null(strstr(out, "100.90.1.4/16"));
	assert_null(strstr(out, "fd52::1:2"));
	assert_null(strstr(out, "10.30.0.0/16"));
	assert_null(strstr(out, "fd99::/48"));
	assert_non_null(strstr(out, "10.20.0.0/16"));
	want.addresses = moved + 1; /* the primary of two */
	want.naddresses = 1;
	apply(p, &want);
	assert_int_equal(shell("ip addr show dev wt0; ip route"), 0);
	assert_non_null(strstr(out, "100.90.1.4/16"));
	assert_non_null(strstr(out, "10.20.0.0/16"));

	struct ln_fail f = { 0 };
	assert_int_equal(plat_remove(p, "wt0", NULL, &f), 0);
	assert_int_equal(plat_remove(p, "wt0", NULL, &f), 0);
	assert_int_equal(shell("ip addr show dev wt0; ip route; ip -6 route show proto 78"), 0);
	assert_null(strstr(out, "100.90"));
	assert_null(strstr(out, "10.20"));
	plat_free(p);
}

static void test_foreign_things_stay(void **state)
{
	(void)state;
	need_namespace();
	struct plat *p = new_plat();
	struct ln_fail f = { 0 };
	assert_int_equal(system("ip link add ve0 type veth peer name ve1 && ip link set ve0 up && "
				"ip addr add 192.0.2.1/24 dev ve0 && ip link set wt0 up && "
				"ip addr add 100.90.1.2/16 dev wt0 && "
				"ip route add 10.40.0.0/16 dev wt0 && "
				"ip route add 10.50.0.0/16 dev ve0"),
			 0);
	/* Not a tunnel: refused, nothing touched, also by remove. */
	struct plat_want want = { .ifname = "ve0", .up = true };
	assert_int_equal(plat_apply(p, &want, &f), LN_E_DENIED);
	assert_non_null(strstr(f.text, "--interface-name"));
	assert_int_equal(plat_remove(p, "ve0", NULL, &f), 0);
	assert_int_equal(shell("ip addr show dev ve0"), 0);
	assert_non_null(strstr(out, "192.0.2.1/24"));
	/* A route somebody else made through our interface stays; one in our way is an error. */
	struct ip_prefix address = prefix("100.90.1.2/16");
	struct ip_prefix routes[] = { prefix("10.50.0.0/16"), prefix("10.60.0.0/16") };
	want = (struct plat_want){ .ifname = "wt0",
				   .up = true,
				   .addresses = &address,
				   .naddresses = 1,
				   .routes = routes,
				   .nroutes = 2 };
	assert_int_equal(plat_apply(p, &want, &f), -EEXIST);
	assert_non_null(strstr(f.text, "10.50.0.0/16"));
	assert_int_equal(shell("ip route"), 0);
	assert_non_null(strstr(out, "10.40.0.0/16 dev wt0"));
	assert_non_null(strstr(out, "10.60.0.0/16 dev wt0 proto 78"));
	assert_non_null(strstr(out, "10.50.0.0/16 dev ve0"));
	strcpy(want.ifname, "none0");
	assert_int_equal(plat_apply(p, &want, &f), -ENODEV);
	assert_int_equal(plat_remove(p, "wt0", NULL, &f), 0);
	plat_free(p);
}

static struct plat_rule sample_rules(int i)
{
	struct plat_rule r = { .source = prefix("100.90.1.0/32"),
			       .protocol = IPPROTO_TCP,
			       .port_first = 22 };
	r.source.addr.b[3] = (uint8_t)(i + 1);
	return r;
}

static void test_filter(void **state)
{
	(void)state;
	need_namespace();
	struct plat *p = new_plat();
	struct ln_fail f = { 0 };
	struct plat_rule rules[40];
	for (int i = 0; i < 36; i++)
		rules[i] = sample_rules(i);
	rules[36] = (struct plat_rule){ .source = prefix("100.90.2.0/24"),
					.protocol = IPPROTO_UDP,
					.port_first = 10,
					.port_last = 20 };
	rules[37] = (struct plat_rule){ .source = prefix("0.0.0.0/0"), .protocol = IPPROTO_ICMP };
	rules[38] = (struct plat_rule){ .source = prefix("100.90.3.1/32"), .drop = true };
	rules[39] = (struct plat_rule){ .source = prefix("fd52::7/128"), .protocol = 1 };
	struct ip_prefix address = prefix("100.90.1.2/16");
	struct plat_want want = { .ifname = "wt0",
				  .up = true,
				  .addresses = &address,
				  .naddresses = 1,
				  .filter = true,
				  .filter_table = "netbird",
				  .rules = rules,
				  .nrules = LN_COUNT(rules) };
	/* A table of that name that an earlier run left is replaced. */
	assert_int_equal(system("nft add table ip netbird && nft add chain ip netbird old"), 0);
	apply(p, &want);
	assert_int_equal(shell("nft list ruleset"), 0);
	assert_null(strstr(out, "chain old"));
	assert_non_null(strstr(out, "table ip6 netbird"));
	assert_non_null(strstr(out, "tcp dport 22"));
	assert_non_null(strstr(out, "ip saddr @nb0000001"));
	assert_non_null(strstr(out, "100.90.1.36"));
	assert_non_null(strstr(out, "ip saddr 100.90.2.0/24"));
	assert_non_null(strstr(out, "udp dport 10-20"));
	assert_non_null(strstr(out, "iifname \"wt0\" jump netbird-acl-input-rules"));
	assert_non_null(strstr(out, "iifname \"wt0\" drop"));
	assert_true(strstr(out, "ip saddr 100.90.3.1 drop") <
		    strstr(out, "ct state established,related counter"));
	assert_int_equal(plat_filter_check(p, "wt0", &f), 0);

	/* Twice the same: the handles stay, so nothing was sent. */
	assert_int_equal(shell("nft -a list ruleset | sha256sum"), 0);
	char before[65];
	memcpy(before, out, 64);
	apply(p, &want);
	assert_int_equal(shell("nft -a list ruleset | sha256sum"), 0);
	assert_memory_equal(before, out, 64);

	/* Somebody flushes: noticed when asked, and put back. */
	assert_int_equal(system("nft flush chain ip netbird netbird-acl-input-filter"), 0);
	assert_int_equal(plat_filter_check(p, "wt0", &f), LN_E_STALE);
	apply(p, &want);
	assert_int_equal(plat_filter_check(p, "wt0", &f), 0);
	assert_int_equal(system("nft flush ruleset"), 0);
	assert_int_equal(plat_filter_check(p, "wt0", &f), LN_E_STALE);
	assert_non_null(strstr(f.text, "gone"));
	apply(p, &want);
	assert_int_equal(plat_filter_check(p, "wt0", &f), 0);

	/* A second network may not take the table of the first. */
	struct plat_want other = want;
	strcpy(other.ifname, "wt1");
	assert_int_equal(plat_apply(p, &other, &f), LN_E_CONFLICT);

	/* Another name: the former table goes. Then none. */
	want.filter_table = "linnet-a";
	apply(p, &want);
	assert_int_equal(shell("nft list tables"), 0);
	assert_string_equal(out, "table ip linnet-a\ntable ip6 linnet-a\n");
	want.filter = false;
	want.nrules = 0;
	apply(p, &want);
	assert_int_equal(shell("nft list tables"), 0);
	assert_string_equal(out, "");
	assert_int_equal(plat_remove(p, "wt0", "linnet-a", &f), 0);
	plat_free(p);
}

/* A process that dies without a word; the next one with the same folder cleans up. */
static void test_recover(void **state)
{
	(void)state;
	need_namespace();
	struct ln_fail f = { 0 };
	pid_t child = fork();
	if (child == 0) {
		struct plat *p;
		struct ip_prefix address = prefix("100.90.1.2/16"), route = prefix("10.9.0.0/16");
		struct plat_want want = { .ifname = "wt0",
					  .up = true,
					  .addresses = &address,
					  .naddresses = 1,
					  .routes = &route,
					  .nroutes = 1,
					  .filter = true,
					  .filter_table = "netbird" };
		int r = plat_new(dir, &p, &f);
		if (r == 0)
			r = plat_apply(p, &want, &f);
		_exit(r == 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(shell("nft list tables; ip addr show dev wt0; ip route"), 0);
	assert_non_null(strstr(out, "table ip netbird"));
	assert_non_null(strstr(out, "100.90.1.2/16"));
	struct plat *p = new_plat();
	assert_int_equal(plat_recover(p, &f), 0);
	assert_int_equal(shell("nft list tables; ip addr show dev wt0; ip route"), 0);
	assert_null(strstr(out, "netbird"));
	assert_null(strstr(out, "100.90"));
	assert_null(strstr(out, "10.9.0.0"));
	char command[160];
	snprintf(command, sizeof(command), "ls %s", dir);
	assert_int_equal(shell(command), 0);
	assert_string_equal(out, "");
	assert_int_equal(plat_recover(p, &f), 0);
	plat_free(p);
}

static void test_addresses_and_events(void **state)
{
	(void)state;
	need_namespace();
	struct plat *p = new_plat();
	struct plat_event ev;
	assert_false(plat_event_next(p, &ev));
	assert_int_equal(system("ip link set lo up && ip link add ve0 type veth peer name ve1 && "
				"ip link set ve0 up && ip link set ve1 up && "
				"ip addr add 192.0.2.1/24 dev ve0 && "
				"ip route add default via 192.0.2.254"),
			 0);
	struct pollfd fd = { .fd = plat_event_fd(p), .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 1000), 1);
	unsigned seen = 0;
	while (plat_event_next(p, &ev))
		seen |= 1u << ev.kind;
	assert_int_equal(seen, 1u << PLAT_EV_ADDRESS | 1u << PLAT_EV_DEFAULT_ROUTE |
				       1u << PLAT_EV_LINK | 1u << PLAT_EV_ROUTES);
	struct plat_addr addrs[16];
	int n = plat_addresses(p, addrs, LN_COUNT(addrs));
	bool lo = false, ve0 = false;
	for (int i = 0; i < n; i++) {
		char text[IP_PREFIX_TEXT_MAX];
		ip_prefix_format(&addrs[i].prefix, text);
		lo |= addrs[i].loopback && strcmp(text, "127.0.0.1/8") == 0;
		if (strcmp(text, "192.0.2.1/24") == 0) {
			ve0 = strcmp(addrs[i].ifname, "ve0") == 0 && addrs[i].up &&
			      !addrs[i].loopback && !addrs[i].temporary &&
			      addrs[i].ifindex == if_nametoindex("ve0") &&
			      (addrs[i].mac[0] | addrs[i].mac[5]) != 0;
		}
	}
	assert_true(lo);
	assert_true(ve0);
	assert_int_equal(plat_addresses(p, addrs, 1), 1);
	assert_int_equal(system("ip route del default && ip link del ve0"), 0);
	seen = 0;
	while (plat_event_next(p, &ev))
		seen |= ev.gone && ev.kind != PLAT_EV_ROUTES ? 1u << ev.kind : 0;
	assert_int_equal(seen,
			 1u << PLAT_EV_ADDRESS | 1u << PLAT_EV_DEFAULT_ROUTE | 1u << PLAT_EV_LINK);
	plat_free(p);
}

static void test_refused_wants(void **state)
{
	(void)state;
	struct plat *p = new_plat();
	struct ln_fail f = { 0 };
	struct plat_want want = { .ifname = "wt*" };
	assert_int_equal(plat_apply(p, &want, &f), LN_E_MALFORMED);
	memset(want.ifname, 'a', sizeof(want.ifname)); /* not terminated */
	assert_int_equal(plat_apply(p, &want, &f), LN_E_MALFORMED);
	strcpy(want.ifname, "wt9");
	want.filter = true;
	assert_int_equal(plat_apply(p, &want, &f), LN_E_MALFORMED);
	want.filter_table = "x\"}";
	assert_int_equal(plat_apply(p, &want, &f), LN_E_MALFORMED);
	assert_int_equal(plat_remove(p, "a/b", NULL, &f), LN_E_MALFORMED);
	struct ip_prefix bad = { .addr = ip_v4(1), .len = 33 };
	want = (struct plat_want){ .ifname = "wt9", .addresses = &bad, .naddresses = 1 };
	assert_int_equal(plat_apply(p, &want, &f), LN_E_MALFORMED);
	struct plat_sysinfo s;
	plat_sysinfo(p, &s);
	assert_string_equal(s.kernel, "Linux");
	assert_true(s.hostname[0] != '\0' && s.os[0] != '\0' && s.platform[0] != '\0');
	plat_free(p);
}

static void test_nft_missing(void **state)
{
	(void)state;
	need_namespace();
	if (access("/usr/sbin/nft", X_OK) != 0)
		skip();
	/* PATH without nft still finds it in /usr/sbin. */
	char *path = strdup(getenv("PATH"));
	setenv("PATH", "/nonexistent", 1);
	struct plat *p = new_plat();
	struct plat_want want = { .ifname = "wt0", .filter = true, .filter_table = "netbird" };
	struct ln_fail f = { 0 };
	int r = plat_apply(p, &want, &f);
	setenv("PATH", path, 1);
	free(path);
	assert_int_equal(r, 0);
	assert_int_equal(plat_remove(p, "wt0", "netbird", &f), 0);
	plat_free(p);
}

static void test_without_privilege(void **state)
{
	(void)state;
	need_namespace();
	pid_t child = fork();
	if (child == 0) {
		struct plat *p;
		struct ln_fail f = { 0 };
		char own[64];
		snprintf(own, sizeof(own), "%s", dir);
		if (plat_new(own, &p, &f) < 0 || chown(own, 65534, 65534) < 0 ||
		    chmod(own, 0777) < 0)
			_exit(2);
		*strrchr(own, '/') = '\0';
		if (chmod(own, 0777) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
			_exit(3);
		struct plat_want want = { .ifname = "wt0", .up = true };
		int r = plat_apply(p, &want, &f);
		if (r != -EPERM || strstr(f.text, "CAP_NET_ADMIN") == NULL) {
			fprintf(stderr, "# link: %d %s\n", r, f.text);
			_exit(4);
		}
		want.filter = true;
		want.filter_table = "netbird";
		r = plat_apply(p, &want, &f);
		if (r != -EPERM || strstr(f.text, "CAP_NET_ADMIN") == NULL) {
			fprintf(stderr, "# nft: %d %s\n", r, f.text);
			_exit(5);
		}
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refused_wants, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_link_addresses_routes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign_things_stay, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_filter, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_recover, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_addresses_and_events, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nft_missing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_privilege, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("lx_plat", tests, NULL, NULL);
}
