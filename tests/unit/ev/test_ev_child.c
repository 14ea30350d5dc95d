#include <signal.h>

#include "lib/base/str.h"

#include "src/ev/ev.h"
#include "tests/unit/unit.h"

struct result {
	bool done;
	int status;
	struct str out;
};

static void on_done(void *arg, int status, struct slice output)
{
	struct result *r = arg;
	r->done = true;
	r->status = status;
	str_addn(&r->out, output.p, output.n);
}

static struct result run(const char *const argv[], const char *input, size_t max, ln_time limit)
{
	struct result r = { .done = false };
	struct ev_loop *l = ev_loop_new();
	str_init(&r.out, 0);
	int e = ev_child_run(l, argv, slice_str(input), max, limit, on_done, &r);
	if (e < 0) {
		r.status = e;
		r.done = true;
	}
	ln_time end = ev_now() + 5 * LN_SEC;
	while (!r.done && ev_now() < end)
		ev_loop_turn(l, 50 * LN_MSEC);
	assert_true(r.done);
	ev_loop_free(l);
	return r;
}

static void child_gets_input_and_gives_output(void **state)
{
	struct result r = run((const char *[]){ "sh", "-c", "cat; echo err >&2; exit 7", NULL },
			      "hello ", 100, 5 * LN_SEC);
	assert_int_equal(r.status, 7);
	assert_string_equal(str_c(&r.out), "hello err\n");
	str_fini(&r.out);
	r = run((const char *[]){ "sh", "-c", "cat /dev/stdin", NULL }, "opened", 100, 5 * LN_SEC);
	assert_string_equal(str_c(&r.out), "opened");
	str_fini(&r.out);
}

static void output_is_bounded(void **state)
{
	struct result r = run((const char *[]){ "head", "-c", "300000", "/dev/zero", NULL }, "",
			      1000, 5 * LN_SEC);
	assert_int_equal(r.status, 0);
	assert_int_equal(r.out.n, 1000);
	str_fini(&r.out);
}

static void limit_kills_the_whole_group(void **state)
{
	ln_time t0 = ev_now();
	struct result r = run((const char *[]){ "sh", "-c", "sleep 30 & sleep 30", NULL }, "", 10,
			      100 * LN_MSEC);
	assert_int_equal(r.status, -SIGKILL);
	assert_true(ev_now() - t0 < 3 * LN_SEC);
	str_fini(&r.out);
}

static void missing_program_is_an_error(void **state)
{
	struct result r = run((const char *[]){ "/nonexistent/x", NULL }, "", 10, LN_SEC);
	assert_int_equal(r.status, -2);
	str_fini(&r.out);
	char out[8];
	assert_int_equal(ev_child_run_sync((const char *[]){ "/nonexistent/x", NULL },
					   slice_str(""), out, sizeof(out), LN_SEC),
			 -2);
	assert_string_equal(out, "");
}

static void blocking_form_is_the_same(void **state)
{
	char out[9];
	int st = ev_child_run_sync((const char *[]){ "cat", NULL }, slice_str("0123456789abc"), out,
				   sizeof(out), 5 * LN_SEC);
	assert_int_equal(st, 0);
	assert_string_equal(out, "01234567");
	st = ev_child_run_sync((const char *[]){ "sleep", "30", NULL }, slice_str(""), out,
			       sizeof(out), 50 * LN_MSEC);
	assert_int_equal(st, -SIGKILL);
	st = ev_child_run_sync(
		(const char *[]){ "sh", "-c", "exec >&- 2>&-; sleep 0.05; exit 3", NULL },
		slice_str(""), NULL, 0, 5 * LN_SEC);
	assert_int_equal(st, 3);
}

static void cancelled_is_silent(void **state)
{
	struct result r = { .done = false };
	struct ev_loop *l = ev_loop_new();
	struct ev_child *c;
	(void)state;
	assert_int_equal(ev_child_start(l, (const char *[]){ "sleep", "30", NULL }, slice_str(""),
					100, 60 * LN_SEC, on_done, &r, &c),
			 0);
	ln_time began = ev_now();
	ev_child_cancel(c);
	ev_child_cancel(NULL);
	for (int i = 0; i < 3; i++)
		ev_loop_turn(l, 10 * LN_MSEC);
	assert_false(r.done);
	assert_true(ev_now() - began < 5 * LN_SEC);
	ev_loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(child_gets_input_and_gives_output),
		cmocka_unit_test(output_is_bounded),
		cmocka_unit_test(limit_kills_the_whole_group),
		cmocka_unit_test(missing_program_is_an_error),
		cmocka_unit_test(blocking_form_is_the_same),
		cmocka_unit_test(cancelled_is_silent),
	};
	return cmocka_run_group_tests_name("ev_child", tests, NULL, NULL);
}
