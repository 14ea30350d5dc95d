/* svc_opts: long, short, stuck and missing values, words in between. */
#include <stdio.h>
#include <string.h>

#include "src/svc/svc_opts.h"
#include "tests/unit/unit.h"

static const struct svc_opt opts[] = {
	{ .name = "config", .letter = 'c', .arg = "FILE", .help = "read this file" },
	{ .name = "json", .help = "print JSON" },
	{ .name = "hidden", .arg = "X" },
};

/* Runs a command line and writes what came out as "config=x json=true [word] ". */
static int run(const char *const *argv, char *out, size_t size, struct ln_fail *f)
{
	struct svc_opts o;
	char *args[16];
	int argc = 0;
	for (; argv[argc] != NULL; argc++)
		args[argc] = (char *)(uintptr_t)argv[argc];
	struct str s;
	str_init(&s, 0);
	svc_opts_init(&o, argc, args, opts, LN_COUNT(opts));
	int kind;
	while ((kind = svc_opts_next(&o, f)) > 0) {
		if (kind == SVC_OPTS_OPTION)
			str_addf(&s, "%s=%s ", o.opt->name, o.value);
		else
			str_addf(&s, "[%s] ", o.value);
	}
	snprintf(out, size, "%s", str_c(&s));
	str_fini(&s);
	return kind;
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL }, out, sizeof(out), &f)

static void test_good(void **state)
{
	char out[200];
	struct ln_fail f;
	(void)state;
	assert_int_equal(RUN("--config", "a", "word", "--config=b", "-c", "d", "-ce", "--json"), 0);
	assert_string_equal(out, "config=a [word] config=b config=d config=e json=true ");
	assert_int_equal(RUN("--json=false", "-", "--", "--json", "-c"), 0);
	assert_string_equal(out, "json=false [-] [--json] [-c] ");
	assert_int_equal(RUN("--config="), 0);
	assert_string_equal(out, "config= ");
}

static void test_bad(void **state)
{
	char out[200];
	struct ln_fail f;
	(void)state;
	assert_int_equal(RUN("--nothing"), LN_E_NOTFOUND);
	assert_string_equal(f.text, "there is no option --nothing; see --help");
	assert_int_equal(RUN("-x"), LN_E_NOTFOUND);
	assert_int_equal(RUN("--conf", "a"), LN_E_NOTFOUND);
	assert_int_equal(RUN("--config"), LN_E_MALFORMED);
	assert_string_equal(f.text, "--config wants a value: FILE");
	assert_int_equal(RUN("--json=maybe"), LN_E_MALFORMED);
}

static void test_help(void **state)
{
	struct str s;
	(void)state;
	str_init(&s, 0);
	svc_opts_help(opts, LN_COUNT(opts), &s);
	assert_string_equal(str_c(&s), "  -c, --config FILE               read this file\n"
				       "      --json                      print JSON\n");
	str_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_help),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
