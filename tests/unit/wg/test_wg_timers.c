#include "lib/wg/wg_timers.h"

#include "tests/unit/unit.h"
#include "tests/unit/wg/wg_vector.h"

static const uint8_t zeros[1];
static struct wg_vector_rng zero_rng = { zeros, 1, 0 };
static const struct ln_rng rng = { wg_vector_fill, &zero_rng };

static void test_nothing(void **state)
{
	struct wg_timers t;
	wg_timers_init(&t, &wg_timers_standard);
	assert_true(wg_timers_deadline(&t) == LN_TIME_NEVER);
	assert_int_equal(wg_timers_take(&t, LN_TIME_NEVER - 1), -1);
	wg_timers_sent(&t, 1);
	wg_timers_received(&t, 1);
	assert_true(wg_timers_deadline(&t) == LN_TIME_NEVER);
}

static void test_keepalive_and_silence(void **state)
{
	struct wg_timers t;
	wg_timers_init(&t, &wg_timers_standard);
	wg_timers_data_received(&t, 100);
	wg_timers_data_received(&t, 5 * LN_SEC); /* the first one counts */
	assert_int_equal(wg_timers_deadline(&t), 100 + 10 * LN_SEC);
	assert_int_equal(wg_timers_take(&t, 99 + 10 * LN_SEC), -1);
	assert_int_equal(wg_timers_take(&t, 100 + 10 * LN_SEC), WG_TIMER_KEEPALIVE);
	wg_timers_data_received(&t, 0);
	wg_timers_sent(&t, 1);
	assert_true(wg_timers_deadline(&t) == LN_TIME_NEVER);
	wg_timers_data_sent(&t, 0, &rng);
	wg_timers_data_sent(&t, LN_SEC, &rng);
	assert_int_equal(wg_timers_deadline(&t), 15 * LN_SEC);
	wg_timers_received(&t, 2);
	assert_true(wg_timers_deadline(&t) == LN_TIME_NEVER);
}

static void test_retry(void **state)
{
	struct wg_timers t;
	unsigned n = 0;
	wg_timers_init(&t, &wg_timers_standard);
	wg_timers_initiation_sent(&t, 0, &rng);
	assert_int_equal(wg_timers_deadline(&t), 5 * LN_SEC);
	for (; !wg_timers_exhausted(&t); n++)
		t.attempts++;
	assert_int_equal(n, 18); /* 90 s in steps of 5 s */
	wg_timers_handshake_complete(&t);
	assert_false(wg_timers_exhausted(&t));
	wg_timers_session_derived(&t, LN_SEC);
	assert_int_equal(wg_timers_deadline(&t), 541 * LN_SEC);
	wg_timers_gave_up(&t, 2 * LN_SEC); /* does not put off the wiping */
	assert_int_equal(wg_timers_deadline(&t), 541 * LN_SEC);
	assert_int_equal(wg_timers_take(&t, 541 * LN_SEC), WG_TIMER_ZERO_KEYS);
}

static void test_persistent(void **state)
{
	struct wg_timers t;
	wg_timers_init(&t, &wg_timers_standard);
	wg_timers_set_persistent(&t, 0, 25 * LN_SEC);
	assert_int_equal(wg_timers_deadline(&t), 25 * LN_SEC);
	wg_timers_sent(&t, 3 * LN_SEC);
	assert_int_equal(wg_timers_deadline(&t), 28 * LN_SEC);
	wg_timers_received(&t, 4 * LN_SEC);
	assert_int_equal(wg_timers_deadline(&t), 29 * LN_SEC);
	wg_timers_set_persistent(&t, 0, 0);
	assert_true(wg_timers_deadline(&t) == LN_TIME_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_keepalive_and_silence),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_persistent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
