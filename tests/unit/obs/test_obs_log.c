#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/obs/obs_log.h"
#include "tests/unit/unit.h"

static char path[64];
static char content[16384];

static int setup(void **state)
{
	snprintf(path, sizeof(path), "/tmp/test_obs_log.%d", (int)getpid());
	unlink(path);
	assert_int_equal(obs_log_init("test", "info", path, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	obs_log_fini();
	unlink(path);
	return 0;
}

static const char *read_back(void)
{
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	size_t n = fread(content, 1, sizeof(content) - 1, f);
	content[n] = '\0';
	fclose(f);
	return content;
}

static void line_has_time_level_module_and_pairs(void **state)
{
	struct ip_ep ep = { .addr = ip_v4(0x01020304), .port = 5 };
	struct wg_key k = { { 1, 2, 3 } };
	log_info("peer", "connected", LOG_STR("path", "direct"), LOG_INT("n", -3), LOG_UINT("u", 7),
		 LOG_EP("from", &ep), LOG_IP("ip", &ep.addr), LOG_KEY("key", &k),
		 LOG_ERRNO(LN_E_LIMIT), LOG_DUR("took", 1500 * LN_USEC));
	const char *s = read_back();
	assert_non_null(strstr(s, "Z INFO  peer: connected path=direct n=-3 u=7 from=1.2.3.4:5 "
				  "ip=1.2.3.4 key=AQIDAAAA error=\"limit reached\" took=1.5ms\n"));
}

static void hostile_values_stay_on_their_line(void **state)
{
	log_warn("x", "t", LOG_STR("a", "two words"), LOG_STR("b", "q\"\\\n\x1b[31m"),
		 LOG_STR("c", ""), LOG_SLICE("d", slice_of("\0z", 2)), LOG_STR("e", NULL));
	const char *s = read_back();
	assert_non_null(strstr(s, "x: t a=\"two words\" b=\"q\\\"\\\\\\n\\x1b[31m\" c=\"\" "
				  "d=\"\\x00z\" e=\"\"\n"));
	assert_null(strchr(s, '\x1b'));
}

static void long_lines_are_cut(void **state)
{
	static uint8_t big[10000];
	memset(big, 'b', sizeof(big));
	log_info("x", "big", LOG_SLICE("v", slice_of(big, sizeof(big))));
	const char *s = read_back();
	assert_true(strlen(s) < 4300);
	assert_non_null(strstr(s, "bbb...\n"));
}

static void levels_per_module(void **state)
{
	assert_false(obs_log_on(LOG_DEBUG, "ice"));
	assert_int_equal(obs_log_set_level("ice", "debug"), 0);
	assert_true(obs_log_on(LOG_DEBUG, "ice"));
	assert_false(obs_log_on(LOG_DEBUG, "wg"));
	assert_int_equal(obs_log_set_level("", "Panic"), 0);
	assert_false(obs_log_on(LOG_INFO, "ice"));
	assert_true(obs_log_on(LOG_ERROR, "ice"));
	assert_string_equal(obs_log_level_name(), "error");
	assert_int_equal(obs_log_set_level("", "loud"), LN_E_MALFORMED);
	assert_int_equal(obs_log_set_level("", "info"), 0);
	int calls = 0;
	log_debug("wg", "never", LOG_INT("n", ++calls));
	assert_int_equal(calls, 0);
}

static void bad_setup_is_named(void **state)
{
	struct ln_fail f;
	assert_int_equal(obs_log_init("t", "loud", "console", &f), LN_E_MALFORMED);
	assert_non_null(strstr(f.text, "loud"));
	assert_int_equal(obs_log_init("t", "info", "/nonexistent/dir/x", &f), -2);
	assert_non_null(strstr(f.text, "/nonexistent/dir/x"));
	assert_int_equal(obs_log_init("t", "info", "", &f), LN_E_MALFORMED);
	assert_int_equal(obs_log_init("t", "info", "console,console,console,console,console", &f),
			 LN_E_LIMIT);
	log_info("x", "the old destination stays");
	assert_non_null(strstr(read_back(), "stays"));
}

static void reopen_follows_rotation(void **state)
{
	log_info("x", "one");
	char old[80];
	snprintf(old, sizeof(old), "%s.1", path);
	rename(path, old);
	obs_log_reopen();
	log_info("x", "two");
	unlink(old);
	const char *s = read_back();
	assert_null(strstr(s, "one"));
	assert_non_null(strstr(s, "two"));
}

static void limiter_counts_what_it_drops(void **state)
{
	struct log_limit l = { 0 };
	assert_true(log_limit_pass(&l, 10, 5));
	assert_false(log_limit_pass(&l, 14, 5));
	assert_int_equal(l.dropped, 1);
	assert_true(log_limit_pass(&l, 15, 5));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(line_has_time_level_module_and_pairs),
		T(hostile_values_stay_on_their_line),
		T(long_lines_are_cut),
		T(levels_per_module),
		T(bad_setup_is_named),
		T(reopen_follows_rotation),
		T(limiter_counts_what_it_drops),
	};
	return cmocka_run_group_tests_name("obs_log", tests, NULL, NULL);
}
