/* The estimator, with numbers worked out by hand. */
#include "lib/ice/ice_pair.h"
#include "lib/ice/ice_quality.h"

#include "tests/unit/unit.h"

static void round_trips(void **state)
{
	(void)state;
	struct ice_quality q = { 0 };
	assert_true(q.rtt == 0);
	/* The first sample R: SRTT = R, RTTVAR = R / 2. */
	ice_quality_answered(&q, 80 * LN_MSEC);
	assert_true(q.rtt == 80 * LN_MSEC && q.var == 40 * LN_MSEC);
	/* RTTVAR = 3/4 * 40 + 1/4 * |80 - 160| = 50; SRTT = 3/4 * 80 + 1/4 * 160 = 100. */
	ice_quality_answered(&q, 160 * LN_MSEC);
	assert_true(q.rtt == 100 * LN_MSEC && q.var == 50 * LN_MSEC);
	/* RTTVAR = 3/4 * 50 + 1/4 * |100 - 10| = 60; SRTT = 3/4 * 100 + 1/4 * 10 = 77.5. */
	ice_quality_answered(&q, 10 * LN_MSEC);
	assert_true(q.rtt == 77500 * LN_USEC && q.var == 60 * LN_MSEC);
	/* A round trip below the clock's step is still one. */
	struct ice_quality z = { 0 };
	ice_quality_answered(&z, 0);
	assert_true(z.rtt == 1);
}

static void losses(void **state)
{
	(void)state;
	struct ice_quality q = { 0 };
	assert_int_equal(ice_quality_known(&q, 32), 0);
	assert_int_equal(ice_quality_count_lost(&q, 64), 0);
	for (int i = 0; i < 8; i++)
		ice_quality_lost(&q);
	assert_true(q.rtt == 0); /* says nothing about the round trip */
	assert_int_equal(ice_quality_known(&q, 32), 8);
	assert_int_equal(ice_quality_count_lost(&q, 32), 8);
	for (int i = 0; i < 30; i++)
		ice_quality_answered(&q, LN_MSEC);
	/* The newest 32: two of the lost ones are still among them; of all 38 it is eight. */
	assert_int_equal(ice_quality_count_lost(&q, 32), 2);
	assert_int_equal(ice_quality_count_lost(&q, 64), 8);
	assert_int_equal(ice_quality_count_lost(&q, 1), 0);
	for (int i = 0; i < 26; i++)
		ice_quality_answered(&q, LN_MSEC);
	assert_int_equal(ice_quality_count_lost(&q, 64), 8);
	ice_quality_answered(&q, LN_MSEC);
	assert_int_equal(ice_quality_known(&q, 100), 64);
	assert_int_equal(ice_quality_count_lost(&q, 64), 7);
	assert_int_equal(q.seen, 8 + 30 + 26 + 1);
}

static void bursts(void **state)
{
	(void)state;
	struct ice_quality q = { 0 };
	static const char fates[] = "..xxx..x.xx...x";
	for (const char *f = fates; *f != '\0'; f++)
		if (*f == 'x')
			ice_quality_lost(&q);
		else
			ice_quality_answered(&q, LN_MSEC);
	assert_int_equal(ice_quality_count_lost(&q, 64), 7);
	assert_int_equal(ice_quality_count_bursts(&q, 64), 4);
	assert_int_equal(ice_quality_count_bursts(&q, 6), 2); /* "xx...x" */
	assert_int_equal(ice_quality_count_bursts(&q, 4), 1);
}

static struct stun_tid tid(unsigned n)
{
	return (struct stun_tid){ { (uint8_t)n } };
}

/* What a pair makes of its checks: a hole that is not punched yet loses nothing. */
static void checks_of_a_pair(void **state)
{
	(void)state;
	struct ice_cand c = { .type = ICE_CAND_HOST };
	struct ice_pair p;
	ice_pair_init(&p, &c, 0);
	struct stun_tid t = tid(1), u = tid(2);
	ice_pair_sent(&p, 0, &t, false, true);
	ice_pair_sent(&p, LN_SEC, &u, false, true);
	ice_pair_expire(&p, 10 * LN_SEC);
	assert_int_equal(p.quality.n, 0);
	/* The first answer is a round trip but no probe of the window. */
	struct ice_pending *at = ice_pair_find(&p, 2 * LN_SEC, &u);
	assert_non_null(at);
	ice_pair_answered(&p, 1020 * LN_MSEC, at);
	p.succeeded = true;
	assert_int_equal(p.quality.n, 0);
	assert_true(p.quality.rtt == 20 * LN_MSEC);
	/* From now on each has a fate: answered, late, answered. */
	for (unsigned i = 3; i < 6; i++) {
		t = tid(i);
		ice_pair_sent(&p, 10 * LN_SEC + i, &t, false, true);
	}
	t = tid(3);
	ice_pair_answered(&p, 10 * LN_SEC + LN_MSEC, ice_pair_find(&p, 10 * LN_SEC, &t));
	t = tid(5);
	ice_pair_answered(&p, 10 * LN_SEC + LN_MSEC, ice_pair_find(&p, 10 * LN_SEC, &t));
	ice_pair_expire(&p, 12 * LN_SEC);
	assert_int_equal(p.quality.n, 2);
	ice_pair_expire(&p, 12 * LN_SEC + 4);
	assert_int_equal(p.quality.n, 3);
	assert_int_equal(ice_quality_count_lost(&p.quality, 64), 1);
	/* The late answer proves that the pair lives, and stays lost. */
	t = tid(4);
	at = ice_pair_find(&p, 12 * LN_SEC + 5, &t);
	assert_non_null(at);
	ice_pair_answered(&p, 12 * LN_SEC + 5, at);
	assert_int_equal(p.quality.n, 3);
	assert_int_equal(ice_quality_count_lost(&p.quality, 64), 1);
	assert_int_equal(p.counting, 0);
	/* More than are remembered: those that are forgotten are lost. */
	for (unsigned i = 0; i < ICE_PAIR_PENDING + 2; i++) {
		t = tid(100 + i);
		ice_pair_sent(&p, 20 * LN_SEC + i, &t, false, true);
	}
	assert_int_equal(p.quality.n, 5);
	assert_int_equal(p.counting, ICE_PAIR_PENDING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(losses),
		cmocka_unit_test(bursts),
		cmocka_unit_test(checks_of_a_pair),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
