#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/cmd/linnet_settings.h"
#include "tests/unit/unit.h"

static struct linnet_cli cli;
static struct daemon_settings set;
static struct ln_fail why;

static int settings(const char *a, const char *b)
{
	static char texts[4][256];
	char *argv[] = { texts[0], texts[1], texts[2], texts[3], NULL };
	struct str warn;
	strcpy(texts[0], "linnet");
	strcpy(texts[1], "up");
	snprintf(texts[2], sizeof(texts[2]), "%s", a);
	snprintf(texts[3], sizeof(texts[3]), "%s", b);
	linnet_cli_fini(&cli);
	str_init(&warn, 0);
	assert_int_equal(linnet_cli_parse(&cli, 4, argv, NULL, &warn, &why), 0);
	str_fini(&warn);
	return linnet_settings(&cli, &set, &why);
}

static void test_only_what_was_given(void **state)
{
	(void)state;
	assert_int_equal(settings("--mtu", "1400"), 0);
	assert_true(set.has_mtu && set.mtu == 1400);
	assert_false(set.has_wireguard_port || set.has_interface_name || set.has_disable_dns);
	assert_int_equal(set.dns_address.n, 0);
	assert_false(set.clean_external_ips || set.clean_dns_labels);
	assert_int_equal(settings("-l", "info"), 0);
	assert_false(set.has_mtu);
	assert_int_equal(settings("--disable-dns=false", "--block-inbound"), 0);
	assert_true(set.has_disable_dns && !set.disable_dns);
	assert_true(set.has_block_inbound && set.block_inbound);
}

static void test_empty_clears(void **state)
{
	(void)state;
	assert_int_equal(settings("--external-ip-map", ""), 0);
	assert_true(set.clean_external_ips && set.nexternal_ips == 0);
	assert_int_equal(settings("--extra-dns-labels", ""), 0);
	assert_true(set.clean_dns_labels);
	assert_int_equal(settings("--dns-resolver-address", ""), 0);
	assert_true(slice_is(set.dns_address, "empty"));
	assert_int_equal(settings("--dns-resolver-address", "127.0.0.1:5053"), 0);
	assert_true(slice_is(set.dns_address, "127.0.0.1:5053"));
}

static void test_refusals(void **state)
{
	(void)state;
	static const char *const bad[][2] = {
		{ "--mtu", "575" },
		{ "--mtu", "8193" },
		{ "--management-url", "ftp://x" },
		{ "--preshared-key", "short" },
		{ "--dns-resolver-address", "127.0.0.1" },
		{ "--interface-name", "0123456789abcdef" },
		{ "--interface-name", "a/b" },
		{ "--interface-name", "" },
		{ "--external-ip-map", "nonsense" },
		{ "--external-ip-map", "1.2.3.4/" },
		{ "--external-ip-map", "1.2.3.4/eth0/x" },
		{ "--extra-dns-labels", "-a" },
		{ "--extra-dns-labels", "a.b" },
		{ "--extra-dns-labels",
		  "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,0,1,2,3,4,5,6" },
	};
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		assert_int_equal(settings(bad[i][0], bad[i][1]), LN_E_MALFORMED);
		assert_int_equal(strncmp(why.text, bad[i][0], strlen(bad[i][0])), 0);
		assert_null(strstr(why.text, "short")); /* secrets are not repeated */
	}
	assert_int_equal(settings("--mtu", "576"), 0);
	assert_int_equal(settings("--external-ip-map", "1.2.3.4,1.2.3.5/10.0.0.1,1.2.3.6/eth0"), 0);
	assert_int_equal(set.nexternal_ips, 3);
	assert_int_equal(
		settings("--extra-dns-labels",
			 "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,0,1,2,3,4,5"),
		0);
}

static void test_setup_key(void **state)
{
	(void)state;
	char path[] = "/tmp/ln-key-XXXXXX";
	const char *key = NULL;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "  ABC-1\n\n", 9), 9);
	assert_int_equal(settings("--setup-key-file", path), 0);
	assert_int_equal(linnet_setup_key(&cli, &key, &why), 0);
	assert_string_equal(key, "ABC-1");
	char too_long[5000];
	memset(too_long, 'x', sizeof(too_long));
	assert_int_equal(write(fd, too_long, sizeof(too_long)), sizeof(too_long));
	assert_int_equal(linnet_setup_key(&cli, &key, &why), LN_E_LIMIT);
	close(fd);
	unlink(path);
	assert_int_equal(linnet_setup_key(&cli, &key, &why), -ENOENT);
	assert_int_equal(settings("--setup-key", "K"), 0);
	assert_int_equal(linnet_setup_key(&cli, &key, &why), 0);
	assert_string_equal(key, "K");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_what_was_given),
		cmocka_unit_test(test_empty_clears),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_setup_key),
	};
	int r = cmocka_run_group_tests_name("linnet_settings", tests, NULL, NULL);
	linnet_cli_fini(&cli);
	return r;
}
