#include <netinet/in.h>

#include "lib/base/ip.h"

#include "tests/unit/unit.h"

static struct ip_addr addr(const char *text)
{
	struct ip_addr a;
	assert_int_equal(ip_parse(slice_str(text), &a), 0);
	return a;
}

static void addresses(void **state)
{
	static const char *const good[] = {
		"0.0.0.0", "100.64.1.2",          "255.255.255.255",       "::",
		"::1",     "fd12:3456:789a:1::5", "2001:db8::ff00:42:8329"
	};
	static const char *const bad[] = {
		"",          "1.2.3",
		"1.2.3.4.5", "256.1.1.1",
		"1.2.3.4 ",  "fe80::1%eth0",
		"[::1]",     "1::2::3",
		"host",      "11111111111111111111111111111111111111111111111"
	};
	for (size_t i = 0; i < LN_COUNT(good); i++) {
		char text[IP_TEXT_MAX];
		struct ip_addr a = addr(good[i]);
		ip_format(&a, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		struct ip_addr a;
		assert_int_equal(ip_parse(slice_str(bad[i]), &a), LN_E_MALFORMED);
	}
	struct ip_addr mapped = addr("::ffff:127.0.0.1");
	assert_int_equal(mapped.family, 4);
	assert_true(ip_is_loopback(&mapped));
}

static void classes(void **state)
{
	struct ip_addr a = addr("fe80::1"), b = addr("169.254.7.7"), c = addr("ff02::1");
	struct ip_addr d = addr("100.127.255.255"), e = addr("100.128.0.0"), f = addr("fd00::1");
	assert_true(ip_is_link_local(&a) && ip_is_link_local(&b) && !ip_is_link_local(&c));
	assert_true(ip_is_multicast(&c) && !ip_is_multicast(&a));
	assert_true(ip_is_private(&d) && !ip_is_private(&e) && ip_is_private(&f));
}

static void endpoints(void **state)
{
	static const char *const good[] = { "1.2.3.4:0", "198.51.100.10:65535", "[::1]:3478" };
	static const char *const bad[] = { "1.2.3.4", "1.2.3.4:",      ":80",
					   "::1:80",  "1.2.3.4:65536", "1.2.3.4:+1",
					   "[::1]",   "[1.2.3.4:1",    "1.2.3.4:123456" };
	for (size_t i = 0; i < LN_COUNT(good); i++) {
		struct ip_ep e, back;
		char text[IP_EP_TEXT_MAX];
		struct sockaddr_storage ss;
		assert_int_equal(ip_ep_parse(slice_str(good[i]), &e), 0);
		ip_ep_format(&e, text);
		assert_string_equal(text, good[i]);
		assert_true(ip_ep_to_sockaddr(&e, &ss) > 0);
		assert_int_equal(ip_ep_from_sockaddr((struct sockaddr *)&ss, &back), 0);
		assert_true(ip_ep_equal(&e, &back));
	}
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		struct ip_ep e;
		assert_int_equal(ip_ep_parse(slice_str(bad[i]), &e), LN_E_MALFORMED);
	}
}

static void prefixes(void **state)
{
	struct ip_prefix p;
	struct ip_addr in = addr("100.64.9.9"), out = addr("100.65.0.0");
	assert_int_equal(ip_prefix_parse(slice_str("100.64.10.5/16"), &p), 0);
	assert_true(ip_prefix_contains(&p, &in) && !ip_prefix_contains(&p, &out));
	char text[IP_PREFIX_TEXT_MAX];
	struct ip_prefix m = ip_prefix_mask(&p);
	ip_prefix_format(&m, text);
	assert_string_equal(text, "100.64.0.0/16");
	assert_int_equal(ip_prefix_parse(slice_str("1.2.3.4/33"), &p), LN_E_MALFORMED);
	assert_int_equal(ip_prefix_parse(slice_str("::1/129"), &p), LN_E_MALFORMED);
	assert_int_equal(ip_prefix_parse(slice_str("::1"), &p), 0);
	assert_int_equal(p.len, 128);
	assert_int_equal(ip_prefix_parse(slice_str("0.0.0.0/0"), &p), 0);
	assert_true(ip_prefix_contains(&p, &out));
}

/* spec management-protocol 8. */
static void compact_form(void **state)
{
	static const uint8_t wire[5] = { 0x64, 0x40, 0x0a, 0x05, 0x20 };
	struct ip_prefix p;
	uint8_t back[17];
	assert_int_equal(ip_prefix_from_compact(slice_of(wire, 5), &p), 0);
	char text[IP_PREFIX_TEXT_MAX];
	ip_prefix_format(&p, text);
	assert_string_equal(text, "100.64.10.5/32");
	assert_int_equal(ip_prefix_to_compact(&p, back), 5);
	assert_memory_equal(back, wire, 5);
	assert_int_equal(ip_prefix_from_compact(slice_of(wire, 4), &p), LN_E_MALFORMED);
	static const uint8_t long_len[5] = { 0, 0, 0, 0, 33 };
	assert_int_equal(ip_prefix_from_compact(slice_of(long_len, 5), &p), LN_E_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),    cmocka_unit_test(classes),
		cmocka_unit_test(endpoints),    cmocka_unit_test(prefixes),
		cmocka_unit_test(compact_form),
	};
	return cmocka_run_group_tests_name("ip", tests, NULL, NULL);
}
