#include "src/agent/agent_url.h"
#include "tests/unit/unit.h"

static void test_good(void **state)
{
	(void)state;

	static const struct {
		const char *text, *host, *again;
		uint16_t port;
		bool tls;
	} v[] = {
		{ "https://api.netbird.io", "api.netbird.io", "https://api.netbird.io:443", 443,
		  true },
		{ "http://10.0.0.1", "10.0.0.1", "http://10.0.0.1:80", 80, false },
		{ "HTTP://a:8080/", "a", "http://a:8080", 8080, false },
		{ "https://[fd00::1]:33073/x/y", "fd00::1", "https://[fd00::1]:33073/x/y", 33073,
		  true },
		{ "http://[::1]", "::1", "http://[::1]:80", 80, false },
		{ "https://host-1.example:65535", "host-1.example", "https://host-1.example:65535",
		  65535, true },
	};

	for (size_t i = 0; i < LN_COUNT(v); i++) {
		struct agent_url u;
		char text[AGENT_URL_TEXT_MAX];
		assert_int_equal(agent_url_parse(slice_str(v[i].text), &u, NULL), 0);
		assert_string_equal(u.host, v[i].host);
		assert_int_equal(u.port, v[i].port);
		assert_int_equal(u.tls, v[i].tls);
		agent_url_format(&u, text);
		assert_string_equal(text, v[i].again);
		struct agent_url again;
		assert_int_equal(agent_url_parse(slice_str(text), &again, NULL), 0);
		assert_true(agent_url_same_server(&u, &again));
	}
}

static void test_bad(void **state)
{
	(void)state;
	static const char *const v[] = {
		"",
		"a",
		"ftp://a",
		"http://",
		"http:///x",
		"http://a:0",
		"http://a:65536",
		"http://a:",
		"http://a:1x",
		"http://a b",
		"http://[::1",
		"http://[::1]x",
		"http://[::1]:",
		"http://user@a",
		"http://a:b:1",
		"https://a:123456",
		"http://[]:80",
	};
	for (size_t i = 0; i < LN_COUNT(v); i++) {
		struct agent_url u;
		struct ln_fail f = { 0 };
		assert_int_equal(agent_url_parse(slice_str(v[i]), &u, &f), LN_E_MALFORMED);
		assert_true(f.text[0] != '\0');
	}
}

static void test_limits(void **state)
{
	(void)state;
	char text[400] = "http://";
	struct agent_url u;
	memset(text + 7, 'a', 256);
	assert_int_equal(agent_url_parse(slice_of(text, 7 + 255), &u, NULL), 0);
	assert_int_equal(agent_url_parse(slice_of(text, 7 + 256), &u, NULL), LN_E_MALFORMED);
	text[8] = '/';
	assert_int_equal(agent_url_parse(slice_of(text, 8 + 127), &u, NULL), 0);
	assert_int_equal(agent_url_parse(slice_of(text, 8 + 128), &u, NULL), LN_E_MALFORMED);
}

static void test_same_server(void **state)
{
	(void)state;
	struct agent_url a, b;
	assert_int_equal(agent_url_parse(slice_str("https://A.example"), &a, NULL), 0);
	assert_int_equal(agent_url_parse(slice_str("https://a.EXAMPLE:443/p"), &b, NULL), 0);
	assert_true(agent_url_same_server(&a, &b));
	assert_int_equal(agent_url_parse(slice_str("http://a.example:443"), &b, NULL), 0);
	assert_false(agent_url_same_server(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_same_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
