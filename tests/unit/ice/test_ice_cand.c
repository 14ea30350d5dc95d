#include <stdio.h>

#include "lib/ice/ice_cand.h"

#include "tests/unit/unit.h"

static void count_up(void *ctx, void *dst, size_t n)
{
	uint32_t *next = ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = (uint8_t)((*next = *next * 1103515245 + 12345) >> 16);
}

static uint32_t seed = 1;
static const struct ln_rng rng = { count_up, &seed };

static struct ip_ep ep(const char *text)
{
	struct ip_ep e;
	assert_int_equal(ip_ep_parse(slice_str(text), &e), 0);
	return e;
}

/* Spec signal-and-connection 9 and candidates recorded from agents. */
static void round_trips(void **state)
{
	static const char *const text[] = {
		("1014915973 1 udp 2130706431 192.168.1.100 51820 typ host ufrag AbCdEfGhIjKlMnOp "
		 "cid AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
		"3891555988 1 udp 1694498815 203.0.113.7 51820 typ srflx raddr 0.0.0.0 rport 51820",
		"5 1 udp 1 2001:db8::1 51820 typ relay raddr ::1 rport 9 cid candidate:abc",
		"+/Z 1 udp 1862270975 203.0.113.7 1 typ prflx",
		" 1 udp 7 203.0.113.7 65535 typ host",
	};
	for (size_t i = 0; i < LN_COUNT(text); i++) {
		char out[ICE_CAND_TEXT_MAX];
		struct ice_cand c;
		assert_int_equal(ice_cand_parse(slice_str(text[i]), &c), 0);
		assert_int_equal(ice_cand_format(&c, out), strlen(text[i]));
		assert_string_equal(out, text[i]);
	}
}

static void makes_upstreams_text(void **state)
{
	struct ip_ep host = ep("192.168.1.100:51820");
	struct ip_ep mapped = ep("203.0.113.7:51820");
	struct ip_ep any = ep("0.0.0.0:51820");
	struct ice_cand c;
	char text[ICE_CAND_TEXT_MAX];
	ice_cand_init(&c, ICE_CAND_HOST, &host, NULL, "AbCdEfGhIjKlMnOp", &rng);
	assert_string_equal(c.foundation, "1014915973");
	assert_int_equal(strlen(c.cid), 32);
	snprintf(c.cid, sizeof(c.cid), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	ice_cand_format(&c, text);
	assert_string_equal(text, "1014915973 1 udp 2130706431 192.168.1.100 51820 typ host "
				  "ufrag AbCdEfGhIjKlMnOp cid AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	ice_cand_init(&c, ICE_CAND_SRFLX, &mapped, &any, "x", &rng);
	assert_string_equal(c.foundation, "3891555988");
	assert_int_equal(c.priority, 1694498815);
	assert_int_equal(ice_cand_priority(ICE_CAND_PRFLX, 65535), 1862270975);
	assert_int_equal(ice_cand_priority(ICE_CAND_RELAY, 65535), 16777215);
}

static void tolerates(void **state)
{
	static const char *const text[] = {
		"candidate:1 1 udp 0 10.0.0.1 5 typ host",
		"1 2 UDP 2130706431 10.0.0.1 5 typ HOST",
		"1 1 udp 2130706431 fe80::1%eth0 5 typ host",
		"1 1 udp 2130706431 10.0.0.1 5 typ host generation 0 network-cost 999 odd",
	};
	struct ice_cand c;
	for (size_t i = 0; i < LN_COUNT(text); i++) {
		assert_int_equal(ice_cand_parse(slice_str(text[i]), &c), 0);
		assert_int_equal(c.priority, 2130706431);
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *text;
		int err;
	} cases[] = {
		{ "", LN_E_MALFORMED },
		{ "1", LN_E_MALFORMED },
		{ "1 x udp 1 10.0.0.1 5 typ host", LN_E_MALFORMED },
		{ "1 1 tcp 1 10.0.0.1 5 typ host", LN_E_UNSUPPORTED },
		{ "1 1 udp 4294967296 10.0.0.1 5 typ host", LN_E_MALFORMED },
		{ "1 1 udp -1 10.0.0.1 5 typ host", LN_E_MALFORMED },
		{ "1 1 udp 1 host.example 5 typ host", LN_E_MALFORMED },
		{ "1 1 udp 1 5d0a1c.local 5 typ host", LN_E_UNSUPPORTED },
		{ "1 1 udp 1 10.0.0.1 0 typ host", LN_E_MALFORMED },
		{ "1 1 udp 1 10.0.0.1 65536 typ host", LN_E_MALFORMED },
		{ "1 1 udp 1 10.0.0.1 5 host", LN_E_MALFORMED },
		{ "1 1 udp 1 10.0.0.1 5 typ", LN_E_UNSUPPORTED },
		{ "1 1 udp 1 10.0.0.1 5 typ other", LN_E_UNSUPPORTED },
		{ "1 1 udp 1 10.0.0.1 5 typ srflx raddr x rport 1", LN_E_MALFORMED },
		{ "1 1 udp 1 10.0.0.1 5 typ srflx raddr 1.1.1.1 rport x", LN_E_MALFORMED },
		{ "123456789012345678901234567890123 1 udp 1 10.0.0.1 5 typ host", LN_E_MALFORMED },
		{ "a,b 1 udp 1 10.0.0.1 5 typ host", LN_E_MALFORMED },
	};
	struct ice_cand c;
	for (size_t i = 0; i < LN_COUNT(cases); i++)
		assert_int_equal(ice_cand_parse(slice_str(cases[i].text), &c), cases[i].err);
}

static void text_limits(void **state)
{
	char text[ICE_CAND_TEXT_MAX + 64];
	struct ice_cand c;
	for (int len = ICE_CID_MAX; len <= ICE_CID_MAX + 1; len++) {
		snprintf(text, sizeof(text), "1 1 udp 1 10.0.0.1 5 typ host cid %0*d", len, 0);
		assert_int_equal(ice_cand_parse(slice_str(text), &c),
				 len == ICE_CID_MAX ? 0 : LN_E_MALFORMED);
		snprintf(text, sizeof(text), "1 1 udp 1 10.0.0.1 5 typ host ufrag %0*d", len, 0);
		assert_int_equal(ice_cand_parse(slice_str(text), &c),
				 len == ICE_UFRAG_MAX ? 0 : LN_E_MALFORMED);
	}
	snprintf(text, sizeof(text), "1 1 udp 1 10.0.0.1 5 typ host x %0*d", ICE_CAND_TEXT_MAX, 0);
	assert_int_equal(ice_cand_parse(slice_of(text, ICE_CAND_TEXT_MAX - 1), &c), 0);
	assert_int_equal(ice_cand_parse(slice_of(text, ICE_CAND_TEXT_MAX), &c), LN_E_LIMIT);
}

static void credentials(void **state)
{
	struct ice_cred c;
	ice_cred_generate(&c, &rng);
	assert_int_equal(strlen(c.ufrag), 16);
	assert_int_equal(strlen(c.pwd), 32);
	assert_int_equal(strspn(c.pwd, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), 32);
	assert_int_equal(
		ice_cred_parse(slice_str("AbCdEfGhIjKlMnOp:abcdefghijklmnopqrstuvwxyzABCDEF"), &c),
		0);
	assert_string_equal(c.ufrag, "AbCdEfGhIjKlMnOp");
	assert_string_equal(c.pwd, "abcdefghijklmnopqrstuvwxyzABCDEF");
	assert_int_equal(ice_cred_parse(slice_str(":"), &c), 0);
	assert_string_equal(c.ufrag, "");
	static const char *const bad[] = {
		"",
		"abc",
		"abc:def:ghi",
		"ab:abcdefghijklmnop",
		"abc:abcdefghijklmno",
		"a c:abcdefghijklmnop",
		"abc:abcdefghijkl\nop",
	};
	for (size_t i = 0; i < LN_COUNT(bad); i++)
		assert_int_equal(ice_cred_parse(slice_str(bad[i]), &c), LN_E_MALFORMED);
	assert_int_equal(ice_cred_parse(slice_str("abc:abcdefghijklmnop"), &c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips), cmocka_unit_test(makes_upstreams_text),
		cmocka_unit_test(tolerates),   cmocka_unit_test(refuses),
		cmocka_unit_test(text_limits), cmocka_unit_test(credentials),
	};
	return cmocka_run_group_tests_name("ice_cand", tests, NULL, NULL);
}
