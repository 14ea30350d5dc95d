#include "lib/wire/url.h"

#include "tests/unit/unit.h"

static void good_ones(void **state)
{
	static const struct {
		const char *text, *authority, *path;
		bool tls, given;
	} v[] = {
		{ "https://api.netbird.io:443", "api.netbird.io:443", "", true, true },
		{ "https://API.example", "api.example:443", "", true, false },
		{ "http://10.0.0.1", "10.0.0.1:80", "", false, false },
		{ "HTTP://h:33073/some/path?q", "h:33073", "/some/path?q", false, true },
		{ "http://[2001:DB8::1]:8080/", "[2001:db8::1]:8080", "/", false, true },
		{ "https://[::1]", "[::1]:443", "", true, false },
		{ "http://h?x", "h:80", "?x", false, false },
	};

	for (size_t i = 0; i < LN_COUNT(v); i++) {
		struct url u;
		char a[URL_AUTHORITY_TEXT];
		assert_int_equal(url_parse(slice_str(v[i].text), &u, NULL), 0);
		url_authority(&u, a);
		assert_string_equal(a, v[i].authority);
		assert_true(slice_is(u.path, v[i].path));
		assert_int_equal(u.tls, v[i].tls);
		assert_int_equal(u.port_given, v[i].given);
	}
}

static void bad_ones(void **state)
{
	static const char *const bad[] = {
		"",           "h:1",        "ftp://h",     "http://",      "http://:80",
		"http://h:",  "http://h:0", "http://h:1a", "http://[::1",  "http://[h]",
		"http://u@h", "http://h h", "http://[]",   "http://[::]x", "http://h:65536",
		"https:///p", "http://h\n",
	};
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		struct url u = { .port = 77 };
		struct ln_fail f = { 0 };
		assert_true(url_parse(slice_str(bad[i]), &u, &f) < 0);
		assert_int_equal(u.port, 77);
		assert_int_equal(strncmp(f.text, "URL: ", 5), 0);
	}
}

static void host_limit(void **state)
{
	char t[7 + URL_HOST_MAX + 2] = "http://";
	struct url u;
	memset(t + 7, 'a', URL_HOST_MAX);
	assert_int_equal(url_parse(slice_str(t), &u, NULL), 0);
	t[7 + URL_HOST_MAX] = 'a';
	assert_int_equal(url_parse(slice_str(t), &u, NULL), LN_E_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones),
		cmocka_unit_test(bad_ones),
		cmocka_unit_test(host_limit),
	};
	return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
