#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd/linnet_cli.h"
#include "src/cmd/linnet_daemon.h"
#include "tests/unit/unit.h"

static struct linnet_cli cli;
static struct ln_fail why;
static char warnings[1024];

static int parse_in(const char *const *environment, const char *const *words)
{
	char *argv[32];
	int n = 0;
	struct str warn;
	static char texts[32][128];
	for (; words[n] != NULL; n++) {
		snprintf(texts[n], sizeof(texts[n]), "%s", words[n]);
		argv[n] = texts[n];
	}
	argv[n] = NULL;
	linnet_cli_fini(&cli);
	str_init(&warn, 0);
	why.text[0] = '\0';
	int r = linnet_cli_parse(&cli, n, argv, environment, &warn, &why);
	snprintf(warnings, sizeof(warnings), "%s", str_c(&warn));
	str_fini(&warn);
	return r;
}

#define WORDS(...) ((const char *const[]){ "linnet", __VA_ARGS__, NULL })
#define ENV(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define parse(...) parse_in(NULL, WORDS(__VA_ARGS__))

static void test_commands(void **state)
{
	(void)state;
	assert_int_equal(parse("up"), 0);
	assert_string_equal(cli.command->words, "up");
	/* The value of a global option is no word. */
	assert_int_equal(parse("service", "-l", "start", "stop"), 0);
	assert_string_equal(cli.command->words, "service stop");
	assert_int_equal(parse("--daemon-addr", "unix:///x", "-l", "debug", "service", "start"), 0);
	assert_string_equal(cli.command->words, "service start");
	assert_string_equal(linnet_text(&cli, OPT_DAEMON_ADDR), "unix:///x");
	assert_int_equal(parse("deregister"), 0);
	assert_string_equal(cli.command->words, "logout");
	assert_int_equal(parse("completion", "zsh"), 0);
	assert_string_equal(cli.args[0], "zsh");
	assert_int_equal(parse("completion", "zsh", "bash"), LN_E_MALFORMED);
	assert_int_equal(parse("--help"), 0);
	assert_null(cli.command);
	assert_true(linnet_on(&cli, OPT_HELP));
	assert_int_equal(parse("service"), 0);
	assert_null(cli.command);
	assert_int_equal(parse("peer"), 0);
	assert_null(cli.command);
	assert_int_equal(parse("peer", "dance"), LN_E_NOTFOUND);
	assert_non_null(strstr(why.text, "\"linnet peer\""));
	assert_int_equal(parse("peer", "reconnect", "db-1", "--json"), 0);
	assert_string_equal(cli.command->words, "peer reconnect");
	assert_string_equal(cli.args[0], "db-1");
	assert_true(linnet_on(&cli, OPT_JSON));
	assert_int_equal(parse("peer", "reconnect", "db-1", "db-2"), LN_E_MALFORMED);
	assert_int_equal(parse("badcmd"), LN_E_NOTFOUND);
	assert_string_equal(why.text,
			    "unknown command \"badcmd\" for \"linnet\"\nRun 'linnet --help' "
			    "for usage.");
	assert_int_equal(parse("service", "dance"), LN_E_NOTFOUND);
}

static void test_options(void **state)
{
	(void)state;
	assert_int_equal(parse("up", "-m", "https://a", "--mtu=1400", "-F", "--disable-dns=false",
			       "-kKEY", "-n=host"),
			 0);
	assert_string_equal(linnet_text(&cli, OPT_MANAGEMENT_URL), "https://a");
	assert_int_equal(cli.values[OPT_MTU].number, 1400);
	assert_true(linnet_on(&cli, OPT_FOREGROUND));
	assert_true(linnet_given(&cli, OPT_DISABLE_DNS));
	assert_false(linnet_on(&cli, OPT_DISABLE_DNS));
	assert_string_equal(linnet_text(&cli, OPT_SETUP_KEY), "KEY");
	assert_string_equal(linnet_text(&cli, OPT_HOSTNAME), "host");
	assert_false(linnet_given(&cli, OPT_WIREGUARD_PORT));
	assert_int_equal(cli.values[OPT_WIREGUARD_PORT].number, 51820);

	/* One letter, two commands. */
	assert_int_equal(parse("up", "-N"), 0);
	assert_true(linnet_on(&cli, OPT_NETWORK_MONITOR));
	assert_int_equal(parse("status", "-N", "a,b", "-N", "c", "-dj"), 0);
	assert_int_equal(cli.values[OPT_FILTER_NAMES].nlist, 3);
	assert_string_equal(cli.values[OPT_FILTER_NAMES].list[2], "c");
	assert_true(linnet_on(&cli, OPT_DETAIL));
	assert_true(linnet_on(&cli, OPT_JSON));

	assert_int_equal(parse("up", "--dns-router-interval", "1h2m3.5s"), 0);
	assert_int_equal(cli.values[OPT_DNS_ROUTER_INTERVAL].number, 3723500000000);
}

static void test_refusals(void **state)
{
	(void)state;
	assert_int_equal(parse("up", "--badflag"), LN_E_NOTFOUND);
	assert_string_equal(why.text, "unknown flag: --badflag");
	assert_int_equal(parse("down", "--mtu", "5"), LN_E_NOTFOUND); /* not an option of down */
	assert_int_equal(parse("up", "-x"), LN_E_NOTFOUND);
	assert_string_equal(why.text, "unknown shorthand flag: 'x' in -x");
	assert_int_equal(parse("up", "-m"), LN_E_MALFORMED);
	assert_int_equal(parse("up", "--setup-key"), LN_E_MALFORMED);
	assert_string_equal(why.text, "flag needs an argument: --setup-key");
	assert_int_equal(parse("up", "--mtu", "65536"), LN_E_MALFORMED);
	assert_int_equal(parse("up", "--mtu", "-1"), LN_E_MALFORMED);
	assert_int_equal(parse("up", "--mtu", ""), LN_E_MALFORMED);
	assert_int_equal(parse("up", "--disable-dns=maybe"), LN_E_MALFORMED);
	assert_int_equal(parse("up", "--dns-router-interval", "5"), LN_E_MALFORMED);
	assert_int_equal(parse("up", "extra"), LN_E_MALFORMED);
	assert_int_equal(parse("up", "--", "-m"), LN_E_MALFORMED);
}

static void test_environment_wins(void **state)
{
	(void)state;
	const char *const env[] = { "NB_MANAGEMENT_URL=https://env",
				    "WT_SETUP_KEY=old",
				    "WT_HOSTNAME=wt",
				    "NB_HOSTNAME=nb",
				    "NB_MTU=1300",
				    "NB_EXTRA_DNS_LABELS=c,d",
				    "NB_DISABLE_DNS=true",
				    "NB_HELP=true",
				    "NB_FILTER_BY_STATUS=idle",
				    NULL };
	assert_int_equal(parse_in(env, WORDS("up", "-m", "https://flag", "--extra-dns-labels",
					     "a,b", "--disable-dns=false")),
			 0);
	assert_string_equal(linnet_text(&cli, OPT_MANAGEMENT_URL), "https://env");
	assert_string_equal(linnet_text(&cli, OPT_SETUP_KEY), "old");
	assert_string_equal(linnet_text(&cli, OPT_HOSTNAME), "nb");
	assert_int_equal(cli.values[OPT_MTU].number, 1300);
	assert_int_equal(cli.values[OPT_EXTRA_DNS_LABELS].nlist, 4); /* lists grow */
	assert_true(linnet_on(&cli, OPT_DISABLE_DNS));
	assert_false(linnet_on(&cli, OPT_HELP));
	assert_string_equal(linnet_text(&cli, OPT_FILTER_STATUS), ""); /* of another command */
	assert_string_equal(warnings, "");
	/* Present and empty counts; what cannot be read is named and skipped. */
	assert_int_equal(parse_in(ENV("NB_SETUP_KEY=", "NB_MTU=big", "NB_DISABLE_DNS="),
				  WORDS("up", "-k", "K", "--mtu", "1400")),
			 0);
	assert_string_equal(linnet_text(&cli, OPT_SETUP_KEY), "");
	assert_int_equal(cli.values[OPT_MTU].number, 1400);
	assert_false(linnet_given(&cli, OPT_DISABLE_DNS));
	assert_non_null(strstr(warnings, "NB_MTU"));
	assert_non_null(strstr(warnings, "NB_DISABLE_DNS"));
}

static void test_texts_from_the_tables(void **state)
{
	(void)state;
	struct str text;
	str_init(&text, 0);
	linnet_help(NULL, &text);
	for (const struct linnet_command *c = linnet_commands; c->words != NULL; c++) {
		assert_true(c->hidden || strstr(str_c(&text), c->words) != NULL);
		assert_true(c->run != NULL && c->brief[0] != '\0' && c->text[0] != '\0');
	}
	str_clear(&text);
	linnet_help(&linnet_commands[0], &text);
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct linnet_opt *o = &linnet_opts[i];
		char name[64];
		snprintf(name, sizeof(name), "--%s", o->name);
		bool wanted = (o->scopes & (LINNET_UP | LINNET_GLOBAL)) != 0 && !o->hidden;
		if (wanted)
			assert_non_null(strstr(str_c(&text), name));
		assert_true(o->id == i && o->help != NULL);
		/* A switch has no value, everything else names it. */
		assert_int_equal(o->type == LINNET_BOOL, o->arg == NULL);
	}
	static const char *const shells[] = { "bash", "zsh", "fish" };
	for (size_t i = 0; i < LN_COUNT(shells); i++) {
		str_clear(&text);
		assert_int_equal(linnet_completion(shells[i], &text), 0);
		assert_non_null(strstr(str_c(&text), "wireguard-port"));
		assert_non_null(strstr(str_c(&text), "uninstall"));
	}
	assert_int_equal(linnet_completion("tcsh", &text), LN_E_NOTFOUND);
	str_clear(&text);
	linnet_manual(&text);
	assert_non_null(strstr(str_c(&text), "\\-\\-wireguard\\-port"));
	str_fini(&text);
}

static void test_socket_fallback(void **state)
{
	(void)state;
	char dir[] = "/tmp/ln-sock-XXXXXX", path[64], got[128], want[128];
	assert_non_null(mkdtemp(dir));
	linnet_daemon_resolve("unix:///nonexistent/a.sock", dir, got, sizeof(got));
	assert_string_equal(got, "unix:///nonexistent/a.sock"); /* none */
	snprintf(path, sizeof(path), "%s/one.sock", dir);
	snprintf(want, sizeof(want), "unix://%s", path);
	fclose(fopen(path, "w"));
	linnet_daemon_resolve("unix:///nonexistent/a.sock", dir, got, sizeof(got));
	assert_string_equal(got, want);
	linnet_daemon_resolve("unix:///dev/null", dir, got, sizeof(got)); /* exists */
	assert_string_equal(got, "unix:///dev/null");
	linnet_daemon_resolve("tcp://127.0.0.1:1", dir, got, sizeof(got));
	assert_string_equal(got, "tcp://127.0.0.1:1");
	char two[64];
	snprintf(two, sizeof(two), "%s/two.sock", dir);
	fclose(fopen(two, "w"));
	linnet_daemon_resolve("unix:///nonexistent/a.sock", dir, got, sizeof(got));
	assert_string_equal(got, "unix:///nonexistent/a.sock"); /* two */
	remove(path);
	remove(two);
	remove(dir);
}

static void test_bad_addresses(void **state)
{
	(void)state;
	static const char *const bad[] = { "",         "http://x",   "tcp://",
					   "tcp://a",  "tcp://a:0",  "tcp://a:65536",
					   "tcp://:1", "tcp://[]:1", "unix" };
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		struct linnet_daemon d;
		assert_int_equal(linnet_daemon_open(&d, bad[i], NULL, false, &why), LN_E_MALFORMED);
		linnet_daemon_close(&d);
	}
	struct linnet_daemon d;
	assert_int_equal(linnet_daemon_open(&d, "unix:///nonexistent/a.sock", NULL, false, &why),
			 -ENOENT);
	assert_non_null(strstr(why.text, "service start"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_environment_wins),
		cmocka_unit_test(test_texts_from_the_tables),
		cmocka_unit_test(test_socket_fallback),
		cmocka_unit_test(test_bad_addresses),
	};
	int r = cmocka_run_group_tests_name("linnet_parse", tests, NULL, NULL);
	linnet_cli_fini(&cli);
	return r;
}
