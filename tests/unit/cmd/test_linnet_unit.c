#include <string.h>

#include "src/cmd/linnet_unit.h"
#include "tests/unit/unit.h"

static void test_unit_text(void **state)
{
	(void)state;
	struct arena a;
	struct str text;
	struct linnet_unit u = { .name = "linnetd",
				 .program = "/opt/my programs/linnetd",
				 .log_level = "info",
				 .daemon_addr = "unix:///run/100%/a.sock",
				 .config_path = "/etc/a\"b$c.json",
				 .management_url = "https://m.example",
				 .log_files = { "/var/log/x.log", "syslog" },
				 .nlog_files = 2 };
	arena_init(&a, 1 << 16);
	assert_int_equal(linnet_unit_set_env(&u, &a, "NB_MTU=1300"), 0);
	assert_int_equal(linnet_unit_set_env(&u, &a, "X=a b=c"), 0);
	assert_int_equal(linnet_unit_set_env(&u, &a, "NB_MTU=1400"), 0);
	assert_int_equal(u.nenv, 2);
	assert_int_equal(linnet_unit_set_env(&u, &a, "NB_MTU"), LN_E_MALFORMED);
	assert_int_equal(linnet_unit_set_env(&u, &a, "=x"), LN_E_MALFORMED);
	assert_int_equal(linnet_unit_set_env(&u, &a, "A=x\nExecStart=/bin/sh"), LN_E_MALFORMED);
	str_init(&text, 0);
	linnet_unit_text(&u, &text);
	assert_non_null(strstr(str_c(&text),
			       "ExecStart=\"/opt/my programs/linnetd\" --log-level \"info\" "
			       "--daemon-addr \"unix:///run/100%%/a.sock\" --config "
			       "\"/etc/a\\\"b$$c.json\" --log-file \"/var/log/x.log\" --log-file "
			       "\"syslog\"\n"));
	assert_non_null(strstr(str_c(&text), "Environment=SYSTEMD_UNIT=linnetd\n"));
	assert_non_null(
		strstr(str_c(&text), "Environment=\"NB_MANAGEMENT_URL=https://m.example\"\n"));
	assert_non_null(strstr(str_c(&text), "Environment=\"NB_MTU=1400\"\n"));
	assert_non_null(strstr(str_c(&text), "After=network.target syslog.target\n"));
	str_fini(&text);
	arena_fini(&a);
}

static void test_parameters(void **state)
{
	(void)state;
	struct arena a;
	struct str text;
	struct linnet_unit u = { .log_level = "debug",
				 .daemon_addr = "unix:///a",
				 .log_files = { "x" },
				 .nlog_files = 1,
				 .disable_networks = true };
	struct linnet_unit back = { .log_level = "info", .config_path = "kept" };
	arena_init(&a, 1 << 16);
	assert_int_equal(linnet_unit_set_env(&u, &a, "K=V"), 0);
	str_init(&text, 0);
	linnet_unit_write(&u, &text);
	assert_int_equal(linnet_unit_read(str_slice(&text), &a, &back), 0);
	assert_string_equal(back.log_level, "debug");
	assert_string_equal(back.daemon_addr, "unix:///a");
	assert_string_equal(back.config_path, "kept");
	assert_true(back.disable_networks && !back.disable_profiles);
	assert_int_equal(back.nlog_files, 1);
	assert_string_equal(back.env[0].value, "V");
	/* Every truncation of a good file is refused or harmless. */
	for (size_t n = 0; n < text.n; n++) {
		struct linnet_unit x = { 0 };
		int r = linnet_unit_read(slice_of(text.s, n), &a, &x);
		assert_true(r == LN_E_MALFORMED || n + 1 >= text.n);
	}
	static const char foreign[] = "{\"log_level\":5,\"log_files\":\"x\",\"service_env_vars\":"
				      "{\"a b\":\"c\"}}";
	assert_int_equal(linnet_unit_read(slice_str(foreign), &a, &back), LN_E_MALFORMED);
	assert_int_equal(linnet_unit_read(slice_str("[]"), &a, &back), LN_E_MALFORMED);
	str_fini(&text);
	arena_fini(&a);
}

static void test_names(void **state)
{
	(void)state;
	assert_true(linnet_unit_name_ok("linnetd"));
	assert_true(linnet_unit_name_ok("linnetd@two"));
	assert_false(linnet_unit_name_ok(""));
	assert_false(linnet_unit_name_ok("../x"));
	assert_false(linnet_unit_name_ok("-x"));
	assert_false(linnet_unit_name_ok("a b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unit_text),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests_name("linnet_unit", tests, NULL, NULL);
}
