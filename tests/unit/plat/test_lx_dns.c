/* Every way a resolver configuration is changed by, in a folder of our own. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/plat/linux/lx_dns.h"
#include "tests/unit/unit.h"

static char dir[64], path[96];
static struct lx_dns w;

static void run(const char *script)
{
	char command[512];
	snprintf(command, sizeof(command), "cd %s && %s", dir, script);
	assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/ln-dns-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/etc/resolv.conf", dir);
	run("mkdir etc run run2 && echo nameserver 192.0.2.1 >etc/resolv.conf");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	char command[128];
	lx_dns_close(&w);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void watch(void)
{
	assert_int_equal(lx_dns_open(&w, path), 0);
	assert_false(lx_dns_changed(&w));
}

/* The descriptor wakes, and what it says is another configuration. */
static void changes(const char *script)
{
	struct pollfd fd = { .fd = w.fd, .events = POLLIN };
	run(script);
	assert_int_equal(poll(&fd, 1, 2000), 1);
	assert_true(lx_dns_changed(&w));
	assert_false(lx_dns_changed(&w));
}

static void does_not(const char *script)
{
	run(script);
	assert_false(lx_dns_changed(&w));
}

static void test_a_file(void **state)
{
	(void)state;
	watch();
	changes("echo nameserver 192.0.2.2 >etc/resolv.conf");
	changes("echo options edns0 >>etc/resolv.conf");
	changes("echo nameserver 192.0.2.3 >etc/new && mv etc/new etc/resolv.conf");
	changes("echo search example.org >>etc/resolv.conf"); /* the new one is watched too */
	changes("rm etc/resolv.conf");
	changes("echo nameserver 192.0.2.4 >etc/resolv.conf");
	does_not("echo '# written by somebody' >>etc/resolv.conf");
	does_not("cp etc/resolv.conf etc/same && mv etc/same etc/resolv.conf");
	does_not("echo nameserver 192.0.2.9 >etc/other.conf");
}

static void test_a_link(void **state)
{
	(void)state;
	run("mv etc/resolv.conf run/a && ln -s ../run/a etc/resolv.conf");
	watch();
	changes("echo nameserver 192.0.2.2 >run/a");
	changes("echo nameserver 192.0.2.3 >run/new && mv run/new run/a");
	changes("echo nameserver 192.0.2.4 >run2/b && ln -sfn ../run2/b etc/resolv.conf");
	changes("echo nameserver 192.0.2.5 >run2/b");
	does_not("echo nameserver 192.0.2.6 >run/a"); /* not ours any more */
	changes("rm run2/b");
	changes("echo nameserver 192.0.2.7 >run2/b"); /* a link to nothing, until now */
	changes("rm etc/resolv.conf; echo nameserver 192.0.2.8 >etc/resolv.conf");
}

static void test_a_stub(void **state)
{
	(void)state;
	run("echo nameserver 127.0.0.53 >run/stub-resolv.conf && echo nameserver 192.0.2.1 "
	    ">run/resolv.conf && ln -sf ../run/stub-resolv.conf etc/resolv.conf");
	watch();
	changes("echo nameserver 192.0.2.2 >run/x && mv run/x run/resolv.conf");
	changes("echo nameserver 192.0.2.3 >run/resolv.conf");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_link, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_stub, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("lx_dns", tests, NULL, NULL);
}
