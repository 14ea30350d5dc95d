/* svc_conf: every type, every source, every refusal with its line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/svc/svc_conf.h"
#include "tests/unit/unit.h"

struct values {
	const char *listen;
	int64_t port;
	bool on;
	ln_time wait;
	struct svc_conf_ints ports;
	struct svc_conf_strs uris;
	struct svc_conf_strs names;
	const char *secret;
};

static const char *check_listen(const char *text)
{
	return strchr(text, ':') != NULL ? NULL : "HOST:PORT";
}

#define AT(m) .offset = offsetof(struct values, m)
static const struct svc_conf_row rows[] = {
	{ .key = "server.listenAddress",
	  .type = CONF_STR,
	  AT(listen),
	  .preset = ":443",
	  .env = "T_LISTEN",
	  .flag = "listen",
	  .arg = "HOST:PORT",
	  .check = check_listen,
	  .help = "where to listen" },
	{ .key = "server.port",
	  .type = CONF_INT,
	  AT(port),
	  .preset = "7",
	  .min = 1,
	  .max = 65535,
	  .env = "T_PORT",
	  .flag = "port",
	  .flags = CONF_RELOAD,
	  .help = "a port" },
	{ .key = "server.on", .type = CONF_BOOL, AT(on), .help = "a switch" },
	{ .key = "server.wait",
	  .type = CONF_DURATION,
	  AT(wait),
	  .preset = "10s",
	  .min = LN_SEC,
	  .max = LN_HOUR,
	  .help = "a wait" },
	{ .key = "server.stunPorts",
	  .type = CONF_INT_LIST,
	  AT(ports),
	  .preset = "3478",
	  .min = 1,
	  .max = 65535,
	  .env = "T_PORTS",
	  .help = "ports" },
	{ .key = "server.stuns[].uri", .type = CONF_STR_LIST, AT(uris), .help = "an address" },
	{ .key = "server.stuns[].proto", .type = CONF_ANY, .help = "ignored" },
	{ .key = "server.names", .type = CONF_STR_LIST, AT(names), .help = "names" },
	{ .key = "server.auth", .type = CONF_ANY, .flags = CONF_LATER, .help = "later" },
	{ .key = "server.store.secret",
	  .type = CONF_STR,
	  AT(secret),
	  .flags = CONF_SECRET,
	  .help = "a key" },
};

struct fixture {
	struct values v;
	struct svc_conf c;
	struct ln_fail f;
};

static int read_into(struct fixture *x, const char *text)
{
	memset(x, 0, sizeof(*x));
	svc_conf_init(&x->c, rows, LN_COUNT(rows), &x->v);
	return svc_conf_read_text(&x->c, "f.yaml", slice_str(text), &x->f);
}

static void expect_error(const char *text, int code, const char *message)
{
	struct fixture x;
	int err = read_into(&x, text);
	if (err != code || strcmp(x.f.text, message) != 0)
		print_message("# for: %s\n# got %d: %s\n", text, err, x.f.text);
	assert_int_equal(err, code);
	assert_string_equal(x.f.text, message);
	svc_conf_fini(&x.c);
}

static void test_defaults(void **state)
{
	struct fixture x;
	(void)state;
	assert_int_equal(read_into(&x, ""), 0);
	assert_string_equal(x.v.listen, ":443");
	assert_int_equal(x.v.port, 7);
	assert_false(x.v.on);
	assert_int_equal(x.v.wait, 10 * LN_SEC);
	assert_int_equal(x.v.ports.n, 1);
	assert_int_equal(x.v.ports.v[0], 3478);
	assert_string_equal(x.v.secret, "");
	svc_conf_fini(&x.c);
	assert_int_equal(read_into(&x, "# nothing\nserver:\n"), 0);
	assert_false(svc_conf_is_set(&x.c, "server.port"));
	svc_conf_fini(&x.c);
}

static const char full[] = "server:\n"
			   "  listenAddress: \"127.0.0.1:80\"\n"
			   "  port: 12\n"
			   "  on: true\n"
			   "  wait: 1m30s\n"
			   "  stunPorts: [1, 65535]\n"
			   "  stuns:\n"
			   "    - uri: stun:a:1\n"
			   "      proto: udp\n"
			   "    - {uri: 'stun:b:2'}\n"
			   "  names: [x]\n"
			   "  auth: {a: [1, {b: c}], d: e}\n"
			   "  store: {secret: hush}\n";

static void test_full(void **state)
{
	struct fixture x;
	char where[64];
	(void)state;
	assert_int_equal(read_into(&x, full), 0);
	assert_string_equal(x.v.listen, "127.0.0.1:80");
	assert_int_equal(x.v.port, 12);
	assert_true(x.v.on);
	assert_int_equal(x.v.wait, 90 * LN_SEC);
	assert_int_equal(x.v.ports.n, 2);
	assert_int_equal(x.v.ports.v[1], 65535);
	assert_int_equal(x.v.uris.n, 2);
	assert_string_equal(x.v.uris.v[1], "stun:b:2");
	assert_string_equal(x.v.secret, "hush");
	svc_conf_where(&x.c, "server.port", where, sizeof(where));
	assert_string_equal(where, "f.yaml:3: server.port");
	struct str later;
	str_init(&later, 0);
	svc_conf_later(&x.c, &later);
	assert_string_equal(str_c(&later), "server.auth");
	str_fini(&later);
	svc_conf_fini(&x.c);
}

static void test_json(void **state)
{
	struct fixture x;
	(void)state;
	assert_int_equal(read_into(&x, "{\n\t\"server\": {\n\t\t\"port\": 9,\n\t\t\"on\": true,\n"
				       "\t\t\"stunPorts\": [5, 6]\n\t}\n}\n"),
			 0);
	assert_int_equal(x.v.port, 9);
	assert_int_equal(x.v.ports.v[1], 6);
	svc_conf_fini(&x.c);
}

static void test_null_keeps_default(void **state)
{
	struct fixture x;
	(void)state;
	assert_int_equal(read_into(&x, "server: {port: ~, listenAddress: null, auth: }"), 0);
	assert_int_equal(x.v.port, 7);
	assert_false(svc_conf_is_set(&x.c, "server.auth"));
	svc_conf_fini(&x.c);
}

static void test_refusals(void **state)
{
	(void)state;
	expect_error("server:\n  port: 0\n", LN_E_MALFORMED,
		     "f.yaml:2: server.port: \"0\" is not allowed; allowed: a whole number from 1 "
		     "to 65535");
	expect_error(
		"server:\n  port: 65536\n", LN_E_MALFORMED,
		"f.yaml:2: server.port: \"65536\" is not allowed; allowed: a whole number from "
		"1 to 65535");
	expect_error("server:\n\n  stunPorts: [1, x]\n", LN_E_MALFORMED,
		     "f.yaml:3: server.stunPorts: \"x\" is not allowed; allowed: a whole number "
		     "from 1 to 65535");
	expect_error("server:\n  listenAddress: nix\n", LN_E_MALFORMED,
		     "f.yaml:2: server.listenAddress: \"nix\" is not allowed; allowed: HOST:PORT");
	expect_error("server: {on: perhaps}", LN_E_MALFORMED,
		     "f.yaml:1: server.on: \"perhaps\" is not allowed; allowed: true or false");
	expect_error("server: {wait: 999ms}", LN_E_MALFORMED,
		     "f.yaml:1: server.wait: \"999ms\" is not allowed; allowed: a duration such as "
		     "10s or 1h30m, from 1s to 1h");
	expect_error("server: {store: {secret: \"a\\tb\"}}", LN_E_MALFORMED,
		     "f.yaml:1: server.store.secret: \"***\" is not allowed; allowed: text without "
		     "control characters");
}

static void test_shapes(void **state)
{
	(void)state;
	expect_error("server: 1", LN_E_MALFORMED,
		     "f.yaml:1: server must be a section with keys of its own");
	expect_error("server: {port: [1]}", LN_E_MALFORMED,
		     "f.yaml:1: server.port must be one plain value");
	expect_error("server: {stunPorts: 1}", LN_E_MALFORMED,
		     "f.yaml:1: server.stunPorts must be a list: [a, b]");
	expect_error("server: {stuns: {uri: x}}", LN_E_MALFORMED,
		     "f.yaml:1: server.stuns must be a list of maps");
	expect_error("server: {stuns: [x]}", LN_E_MALFORMED,
		     "f.yaml:1: server.stuns[] must be a map, as in - uri: stun:host:3478");
	expect_error("[1]", LN_E_MALFORMED, "f.yaml:1: the file must be a map of keys");
	expect_error("server: {}\n---\nserver: {}\n", LN_E_MALFORMED,
		     "f.yaml:2: a second document begins here");
	expect_error("server: {port: &a 1, names: [*a]}", LN_E_MALFORMED,
		     "f.yaml:1: server.names must be a list of plain values");
	expect_error("server: {auth: [&a x, *a]}", LN_E_MALFORMED,
		     "f.yaml:1: server.auth must be written out: aliases are not supported");
	expect_error("server: {\n  port: 1\n", LN_E_MALFORMED,
		     "f.yaml:3: not YAML: did not find expected ',' or '}'");
	expect_error("server: {port: 1}\nserver: {port: 2}\n", LN_E_CONFLICT,
		     "f.yaml:2: server.port is given twice, first on line 1");
}

static void test_unknown_keys(void **state)
{
	(void)state;
	expect_error("server:\n  prot: 1\n", LN_E_NOTFOUND,
		     "f.yaml:2: there is no key \"prot\" under server; did you mean port?");
	expect_error("server:\n  LISTENaddress: 1\n", LN_E_NOTFOUND,
		     "f.yaml:2: there is no key \"LISTENaddress\" under server; did you mean "
		     "listenAddress?");
	expect_error("sever: 1\n", LN_E_NOTFOUND,
		     "f.yaml:1: there is no key \"sever\" at the top; did you mean server?");
	expect_error("server: {store: {something: 1}}", LN_E_NOTFOUND,
		     "f.yaml:1: there is no key \"something\" under server.store; allowed: secret");
	expect_error("server.port: 1\n", LN_E_NOTFOUND,
		     "f.yaml:1: there is no key \"server.port\" at the top; allowed: server");
	expect_error("[a]: 1\n", LN_E_NOTFOUND,
		     "f.yaml:1: there is no key \"(not a plain key)\" at the top; allowed: server");
}

static void test_depth_and_size(void **state)
{
	struct fixture x;
	struct str text;
	(void)state;
	str_init(&text, 0);
	str_add(&text, "server: {auth: ");
	for (int i = 0; i < 40; i++)
		str_addc(&text, '[');
	assert_int_equal(read_into(&x, str_c(&text)), LN_E_MALFORMED);
	svc_conf_fini(&x.c);
	str_clear(&text);
	str_add(&text, "server: {names: [a");
	for (int i = 1; i < 1000; i++)
		str_add(&text, ",a");
	size_t n = text.n;
	str_add(&text, "]}");
	assert_int_equal(read_into(&x, str_c(&text)), 0);
	assert_int_equal(x.v.names.n, 1000);
	svc_conf_fini(&x.c);
	text.n = n;
	str_add(&text, ",a]}");
	assert_int_equal(read_into(&x, str_c(&text)), LN_E_LIMIT);
	svc_conf_fini(&x.c);
	str_clear(&text);
	while (text.n < (1 << 20))
		str_add(&text, "# comment comment comment comment\n");
	assert_int_equal(read_into(&x, str_c(&text)), LN_E_LIMIT);
	svc_conf_fini(&x.c);
	str_fini(&text);
}

static void test_truncations(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(full); n++) {
		struct fixture x = { 0 };
		svc_conf_init(&x.c, rows, LN_COUNT(rows), &x.v);
		int err = svc_conf_read_text(&x.c, "f", slice_of(full, n), &x.f);
		assert_true(err == 0 || x.f.text[0] != '\0');
		svc_conf_fini(&x.c);
	}
}

static const char *fake_env(const char *name)
{
	return strcmp(name, "T_PORT") == 0     ? "99"
	       : strcmp(name, "T_PORTS") == 0  ? " 1, 2,3 "
	       : strcmp(name, "T_LISTEN") == 0 ? ""
					       : NULL;
}

static const char *bad_env(const char *name)
{
	return strcmp(name, "T_PORT") == 0 ? "ninety" : NULL;
}

static void test_sources(void **state)
{
	struct fixture x;
	(void)state;
	assert_int_equal(read_into(&x, full), 0);
	assert_int_equal(svc_conf_read_env(&x.c, fake_env, &x.f), 0);
	const struct svc_conf_row *port = svc_conf_find(&x.c, "server.port");
	const struct svc_conf_row *listen = svc_conf_find(&x.c, "server.listenAddress");
	assert_int_equal(svc_conf_set(&x.c, port, "55", SVC_CONF_FLAG, "--port", &x.f), 0);
	assert_int_equal(svc_conf_set(&x.c, listen, ":1", SVC_CONF_FLAG, "--listen", &x.f), 0);
	assert_int_equal(x.v.port, 99); /* the environment wins over the flag */
	assert_string_equal(x.v.listen, ":1");
	assert_int_equal(x.v.ports.n, 3);
	assert_int_equal(x.v.ports.v[2], 3);
	assert_int_equal(svc_conf_read_env(&x.c, bad_env, &x.f), LN_E_MALFORMED);
	assert_string_equal(x.f.text, "T_PORT: \"ninety\" is not allowed; allowed: a whole number "
				      "from 1 to 65535");
	svc_conf_fini(&x.c);
}

static void test_reload(void **state)
{
	struct fixture a, b;
	(void)state;
	assert_int_equal(read_into(&a, full), 0);
	assert_int_equal(read_into(&b, full), 0);
	assert_null(svc_conf_unreloadable(&a.c, &b.c));
	b.v.port = 13;
	assert_null(svc_conf_unreloadable(&a.c, &b.c));
	b.v.names.v[0] = "y";
	assert_string_equal(svc_conf_unreloadable(&a.c, &b.c), "server.names");
	svc_conf_fini(&a.c);
	svc_conf_fini(&b.c);
}

static void test_dump(void **state)
{
	struct fixture x, y;
	struct str text;
	(void)state;
	str_init(&text, 0);
	assert_int_equal(read_into(&x, full), 0);
	svc_conf_dump(&x.c, &text);
	assert_null(strstr(str_c(&text), "hush"));
	assert_non_null(strstr(str_c(&text), "  port: 12  # line 3\n"));
	assert_non_null(strstr(str_c(&text), "  wait: 1m30s  # line 5\n"));
	assert_non_null(strstr(str_c(&text), "    - uri: \"stun:b:2\"\n"));
	assert_non_null(strstr(str_c(&text), "    secret: \"***\"  # line 13\n"));
	/* What is dumped can be read again. */
	assert_int_equal(read_into(&y, str_c(&text)), 0);
	assert_int_equal(y.v.uris.n, 2);
	assert_int_equal(y.v.wait, 90 * LN_SEC);
	svc_conf_fini(&y.c);
	str_clear(&text);
	svc_conf_sample(rows, LN_COUNT(rows), &text);
	assert_non_null(strstr(str_c(&text), "  # listenAddress: \":443\"\n"));
	assert_int_equal(read_into(&y, str_c(&text)), 0);
	svc_conf_fini(&y.c);
	svc_conf_fini(&x.c);
	str_fini(&text);
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		ln_time t;
	} good[] = {
		{ "0", 0 },
		{ "1500", 1500 },
		{ "10s", 10 * LN_SEC },
		{ "1h30m", 90 * LN_MINUTE },
		{ "1.5s", 1500 * LN_MSEC },
		{ "250ms", 250 * LN_MSEC },
		{ "3us7ns", 3007 },
	};

	static const char *const bad[] = { "",
					   "s",
					   "1",
					   "-1s",
					   "1x",
					   "1s ",
					   "s1",
					   "1.2.3s",
					   ".s",
					   "99999999999999999999",
					   "9999999999h",
					   "1d" };
	ln_time t;
	char text[32];
	(void)state;
	for (size_t i = 0; i < LN_COUNT(good); i++) {
		assert_int_equal(svc_conf_parse_duration(good[i].text, &t), 0);
		assert_int_equal(t, good[i].t);
	}
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		int err = svc_conf_parse_duration(bad[i], &t);
		assert_int_equal(err, strcmp(bad[i], "1") == 0 ? 0 : LN_E_MALFORMED);
	}
	svc_conf_format_duration(INT64_MAX, text);
	svc_conf_format_duration(90 * LN_MINUTE, text);
	assert_string_equal(text, "1h30m");
}

static void test_file(void **state)
{
	struct fixture x = { 0 };
	(void)state;
	svc_conf_init(&x.c, rows, LN_COUNT(rows), &x.v);
	assert_int_equal(svc_conf_read_file(&x.c, "/nonexistent/x", &x.f), -2);
	assert_string_equal(x.f.text, "cannot read the configuration /nonexistent/x: No such file "
				      "or directory");
	assert_int_equal(svc_conf_read_file(&x.c, "/tmp", &x.f), -21);
	char path[] = "/tmp/ln-svc-conf-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, full, sizeof(full) - 1), sizeof(full) - 1);
	close(fd);
	assert_int_equal(svc_conf_read_file(&x.c, path, &x.f), 0);
	assert_int_equal(x.v.port, 12);
	unlink(path);
	svc_conf_fini(&x.c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),     cmocka_unit_test(test_full),
		cmocka_unit_test(test_json),         cmocka_unit_test(test_null_keeps_default),
		cmocka_unit_test(test_refusals),     cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_unknown_keys), cmocka_unit_test(test_depth_and_size),
		cmocka_unit_test(test_truncations),  cmocka_unit_test(test_sources),
		cmocka_unit_test(test_reload),       cmocka_unit_test(test_dump),
		cmocka_unit_test(test_durations),    cmocka_unit_test(test_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
