#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/cmd/linnet_status.h"
#include "tests/unit/unit.h"

static char *read_vector(const char *name, size_t *ret_n)
{
	char path[512];
	const char *root = getenv("LN_VECTORS");
	snprintf(path, sizeof(path), "%s/linnet-status/%s", root != NULL ? root : "tests/vectors",
		 name);
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		fail_msg("%s is missing", path);
	char *text = ln_alloc(65536);
	*ret_n = fread(text, 1, 65535, file);
	fclose(file);
	return text;
}

typedef void print_fn(const struct linnet_status_view *v, struct str *dst);

static void compare(const struct linnet_status_view *v, const char *stem, const char *kind,
		    print_fn *print)
{
	char name[64];
	size_t n;
	snprintf(name, sizeof(name), "%s.%s", stem, kind);
	char *want = read_vector(name, &n);
	struct str got;
	str_init(&got, 0);
	print(v, &got);
	assert_string_equal(str_c(&got), want);
	str_fini(&got);
	free(want);
}

static void golden(const char *stem, ln_wall now)
{
	char name[64];
	struct arena a;
	struct daemon_status_response st;
	size_t n;
	snprintf(name, sizeof(name), "%s.bin", stem);
	char *bytes = read_vector(name, &n);
	arena_init(&a, 1 << 20);
	assert_int_equal(daemon_status_response_read(slice_of(bytes, n), &a, &st), 0);
	struct linnet_status_view v = { .st = &st,
					.platform = "linux/amd64",
					.version = "0.77.1",
					.profile = "default",
					.program = "linnet",
					.now = now };
	compare(&v, stem, "summary.txt", linnet_status_summary);
	compare(&v, stem, "detail.txt", linnet_status_detail);
	compare(&v, stem, "json", linnet_status_json);
	compare(&v, stem, "yaml", linnet_status_yaml);
	free(bytes);
	arena_fini(&a);
}

static void test_recorded(void **state)
{
	(void)state;
	golden("recorded", 1795276492550 * LN_MSEC);
}

static void test_made(void **state)
{
	(void)state;
	golden("made", 1795276534500 * LN_MSEC);
}

static struct daemon_peer_state some_peers[] = {
	{ .ip = "100.64.0.30", .fqdn = "c.example", .status = "Connecting" },
	{ .ip = "100.64.0.9", .fqdn = "b.example", .status = "Connected", .relayed = true },
	{ .ip = "100.64.0.2", .ipv6 = "fd00::2", .fqdn = "a.example", .status = "Idle" },
	{ .ip = "100.64.0.3", .status = "Connected" },
};

static void expect_peers(struct linnet_status_filter f, const char *const *ips, size_t connected)
{
	struct daemon_status_response st = { .peers = some_peers, .npeers = LN_COUNT(some_peers) };
	struct linnet_status_view v = { .st = &st, .filter = f };
	size_t n, c, want = 0;
	const struct daemon_peer_state **list = linnet_status_peers(&v, &n, &c);
	for (; ips[want] != NULL; want++) {
		assert_true(want < n);
		assert_string_equal(list[want]->ip, ips[want]);
	}
	assert_int_equal(n, want);
	assert_int_equal(c, connected);
	free(list);
}

#define IPS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_filters(void **state)
{
	(void)state;
	struct linnet_status_filter f = { 0 };
	const char *const none[] = { NULL };
	expect_peers(f, IPS("100.64.0.2", "100.64.0.3", "100.64.0.9", "100.64.0.30"), 2);
	f.ips = IPS("100.64.0.2", "100.64.0.9");
	expect_peers(f, IPS("100.64.0.2", "100.64.0.9"), 1);
	f.ips = IPS("fd00::2");
	expect_peers(f, IPS("100.64.0.2"), 0);
	f.names = IPS("c.exa");
	expect_peers(f, none, 0); /* both lists must name the peer */
	f.ips = NULL;
	f.names = IPS("C.EXA");
	expect_peers(f, IPS("100.64.0.30"), 0);
	f.names = NULL;
	f.status = "CONNECTED";
	expect_peers(f, IPS("100.64.0.3", "100.64.0.9"), 2);
	f.connection = "relayed";
	expect_peers(f, IPS("100.64.0.9"), 1);
	f.status = "";
	f.connection = "P2P";
	expect_peers(f, IPS("100.64.0.3"), 1);
}

static void test_paths(void **state)
{
	(void)state;
	static const struct daemon_path_state paths[] = {
		{ .kind = "P2P",
		  .local = "10.0.0.2:51820",
		  .remote = "10.0.0.3:51820",
		  .used = true,
		  .rtt = 12500 * LN_USEC,
		  .variation = 250 * LN_USEC,
		  .checks = 64,
		  .checks_lost = 2 },
		{ .kind = "Relayed", .local = "", .remote = "rel://r.example:443" },
		{ .kind = "Relayed", .remote = "rel://s", .rtt = LN_MSEC, .estimated = true },
	};
	static const struct daemon_peer_state peer = { .fqdn = "a.example",
						       .status = "Connected",
						       .checks = 64,
						       .checks_lost = 2,
						       .paths = paths,
						       .npaths = 3 };
	struct daemon_status_response st = { .peers = &peer, .npeers = 1 };
	struct linnet_status_view v = {
		.st = &st, .platform = "p", .version = "v", .profile = "d"
	};
	struct str out = { 0 };
	linnet_status_detail(&v, &out);
	assert_non_null(strstr(str_c(&out),
			       "  Loss: 3.1% of the last 64 checks\n"
			       "  Paths:\n"
			       "   P2P 10.0.0.2:51820 - 10.0.0.3:51820 (in use): 12.5ms +/- 250µs, "
			       "3.1% of 64 checks lost\n"
			       "   Relayed rel://r.example:443: latency unknown\n"
			       "   Relayed rel://s: 1ms (by the last handshake)\n"));
	str_clear(&out);
	linnet_status_json(&v, &out);
	assert_non_null(strstr(str_c(&out),
			       "\"checks\":64,\"checksLost\":2,\"paths\":[{\"connectionType\":"
			       "\"P2P\",\"local\":\"10.0.0.2:51820\",\"remote\":"
			       "\"10.0.0.3:51820\",\"used\":true,\"latency\":12500000,"
			       "\"latencyVariation\":250000,\"checks\":64,\"checksLost\":2},"
			       "{\"connectionType\":\"Relayed\",\"remote\":"
			       "\"rel://r.example:443\",\"used\":false,\"checks\":0,"
			       "\"checksLost\":0},{\"connectionType\":\"Relayed\",\"remote\":"
			       "\"rel://s\",\"used\":false,\"latency\":1000000,"
			       "\"latencyByHandshake\":true,\"checks\":0,\"checksLost\":0}]}"));
	str_clear(&out);
	linnet_status_yaml(&v, &out);
	assert_non_null(strstr(str_c(&out), "latencyVariation: 250µs\n"));
	str_fini(&out);
}

static void test_words(void **state)
{
	(void)state;
	char w[LINNET_WORD_MAX];
	const ln_wall now = 2000000 * LN_SEC;

	static const struct {
		int seconds;
		const char *text;
	} ago[] = {
		{ -5, "Now" },
		{ 0, "Now" },
		{ 1, "1 second ago" },
		{ 59, "59 seconds ago" },
		{ 60, "1 minute ago" },
		{ 61, "1 minute, 1 second ago" },
		{ 119, "1 minute, 59 seconds ago" },
		{ 3601, "1 hour ago" },
		{ 3661, "1 hour, 1 minute ago" },
		{ 86400, "1 day ago" },
		{ 90061, "1 day, 1 hour ago" },
		{ 172800, "2 days ago" },
	};

	for (size_t i = 0; i < LN_COUNT(ago); i++) {
		linnet_status_ago(now - ago[i].seconds * LN_SEC, now, w);
		assert_string_equal(w, ago[i].text);
	}
	linnet_status_ago(0, now, w);
	assert_string_equal(w, "-");

	static const struct {
		ln_time t;
		const char *text;
	} spans[] = {
		{ 0, "0s" },
		{ 5, "5ns" },
		{ 174458, "174.458µs" },
		{ 12345678, "12.345678ms" },
		{ 1000000, "1ms" },
		{ 1500000000, "1.5s" },
		{ 61 * LN_SEC, "1m1s" },
		{ 3600 * LN_SEC, "1h0m0s" },
		{ -1500000000, "-1.5s" },
	};

	for (size_t i = 0; i < LN_COUNT(spans); i++) {
		linnet_status_span(spans[i].t, w);
		assert_string_equal(w, spans[i].text);
	}
	linnet_status_span(INT64_MIN, w);
	linnet_status_span(INT64_MAX, w);
	linnet_status_size(1023, w);
	assert_string_equal(w, "1023 B");
	linnet_status_size(1024, w);
	assert_string_equal(w, "1.0 KiB");
	linnet_status_size(1536, w);
	assert_string_equal(w, "1.5 KiB");
	linnet_status_size(INT64_MAX, w);
	assert_string_equal(w, "8.0 EiB");
	linnet_status_time(1795273619 * LN_SEC + 202937850, w);
	assert_string_equal(w, "2026-11-21T15:06:59.20293785Z");
	linnet_status_time(-1, w);
	assert_string_equal(w, "1969-12-31T23:59:59.999999999Z");
	linnet_status_until(now + 100800 * LN_SEC, now, w);
	assert_string_equal(w, "1d 4h");
	linnet_status_until(now + 3599 * LN_SEC, now, w);
	assert_string_equal(w, "59m");
	linnet_status_until(now + 58 * LN_SEC, now, w);
	assert_string_equal(w, "58s");
	linnet_status_until(now - 100 * LN_SEC, now, w);
	assert_string_equal(w, "expired 1m ago");
}

static void print_own(const struct linnet_status_view *v, struct str *dst)
{
	linnet_status_address(v->st, false, dst);
	linnet_status_address(v->st, true, dst);
}

static void test_short_answers(void **state)
{
	(void)state;
	struct daemon_status_response st = { .status = "NeedsLogin", .ip = "100.64.0.1/16" };
	struct linnet_status_view v = { .st = &st, .program = "linnet" };
	struct str s;
	str_init(&s, 0);
	print_own(&v, &s);
	assert_string_equal(str_c(&s), "100.64.0.1\n");
	str_clear(&s);
	assert_true(linnet_status_needs_login(&st));
	linnet_status_login_hint(&v, &s);
	assert_non_null(strstr(str_c(&s), "Daemon status: NeedsLogin\n"));
	assert_non_null(strstr(str_c(&s), "linnet up --management-url"));
	st.status = "Idle";
	assert_false(linnet_status_needs_login(&st));
	st.status = NULL; /* an answer without anything must not hurt */
	assert_false(linnet_status_needs_login(&st));
	str_fini(&s);
}

/* How YAML writes what could be taken for something else; as NetBird's writer does. */
static void test_yaml_texts(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "1", "\"1\"" },        { "true", "\"true\"" },
		{ "a: b", "'a: b'" },    { "x #y", "'x #y'" },
		{ " lead", "' lead'" },  { "it's", "it's" },
		{ "q\"u", "q\"u" },      { "null", "\"null\"" },
		{ "1e3", "\"1e3\"" },    { "0x1f", "\"0x1f\"" },
		{ "~", "\"~\"" },        { "a\tb", "\"a\\tb\"" },
		{ "-x", "-x" },          { "- x", "'- x'" },
		{ "a:", "'a:'" },        { "@a", "'@a'" },
		{ "yes", "\"yes\"" },    { "No", "\"No\"" },
		{ "'a: b", "'''a: b'" }, { "%", "'%'" },
		{ "[a]", "'[a]'" },      { "a\nb", "|-\n        a\n        b" },
		{ "x\\y", "x\\y" },
	};
	for (size_t i = 0; i < LN_COUNT(rows); i++) {
		struct daemon_status_response st = { .management.url = rows[i][0] };
		struct linnet_status_view v = { .st = &st, .version = "1", .profile = "p" };
		struct str s, want;
		str_init(&s, 0);
		str_init(&want, 0);
		linnet_status_yaml(&v, &s);
		str_addf(&want, "    url: %s\n", rows[i][1]);
		if (strstr(str_c(&s), str_c(&want)) == NULL)
			fail_msg("%s is not written as %s", rows[i][0], rows[i][1]);
		str_fini(&s);
		str_fini(&want);
	}
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	tzset();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded),   cmocka_unit_test(test_made),
		cmocka_unit_test(test_filters),    cmocka_unit_test(test_paths),
		cmocka_unit_test(test_words),      cmocka_unit_test(test_short_answers),
		cmocka_unit_test(test_yaml_texts),
	};
	return cmocka_run_group_tests_name("linnet_status", tests, NULL, NULL);
}
