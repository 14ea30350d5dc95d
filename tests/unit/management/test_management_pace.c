/* How changes are gathered before streams hear of them: issue "single change out at once". */
#include "src/management/management_pace.h"
#include "tests/unit/unit.h"

#define START (1000 * LN_SEC)
#define ROUNDS 64

/* An owner as management_push.c is one: it looks at every millisecond whether a round is due. */
struct owner {
	struct management_pace pace;
	ln_time took; /* to read a snapshot: what is committed meanwhile is not in it */
	ln_time told[ROUNDS];
	unsigned ntold;
	ln_time oldest; /* the first change nobody was told of; 0 none */
	ln_time waited; /* at most, until a round began that knew it */
};

static void change(struct owner *o, ln_time now)
{
	management_pace_change(&o->pace, now);
	if (o->oldest == 0)
		o->oldest = now;
}

static void look(struct owner *o, ln_time now, ln_time every)
{
	if (!o->pace.due || now < o->pace.next)
		return;
	assert_true(o->ntold < ROUNDS);
	o->told[o->ntold++] = now;
	if (now - o->oldest > o->waited)
		o->waited = now - o->oldest;
	bool more = every != 0 && o->took >= every;
	o->oldest = more ? now : 0;
	management_pace_told(&o->pace, now, more);
}

/* A change every so often (0: one) for some time, and silence after it. */
static void run(struct owner *o, ln_time every, ln_time length)
{
	for (ln_time t = 0; t < length + 2 * LN_SEC; t += LN_MSEC) {
		if (every != 0 ? t < length && t % every == 0 : t == 0)
			change(o, START + t);
		look(o, START + t, t < length ? every : 0);
	}
	assert_false(o->pace.due);
}

static void test_single_change_at_once(void **state)
{
	(void)state;
	struct owner o = { 0 };
	run(&o, 0, 0);
	assert_int_equal(o.ntold, 1);
	assert_true(o.told[0] == START);
	/* And again after a while, whatever was before. */
	run(&o, 20 * LN_MSEC, LN_SEC);
	change(&o, START + 10 * LN_SEC);
	unsigned before = o.ntold;
	look(&o, START + 10 * LN_SEC, 0);
	assert_int_equal(o.ntold, before + 1);
}

static void test_second_change_waits(void **state)
{
	(void)state;
	struct owner o = { 0 };
	change(&o, START);
	look(&o, START, 0);
	for (ln_time t = 0; t < LN_SEC; t += LN_MSEC) {
		if (t == 30 * LN_MSEC || t == 60 * LN_MSEC)
			change(&o, START + t);
		look(&o, START + t, 0);
	}
	/* Both in one round, 100 ms after the first. */
	assert_int_equal(o.ntold, 2);
	assert_true(o.told[1] == START + 100 * LN_MSEC);
	assert_true(o.waited == 70 * LN_MSEC);
}

static void check_burst(const struct owner *o)
{
	ln_time last = START;
	assert_true(o->told[0] == START);
	for (unsigned i = 1; i < o->ntold; i++) {
		assert_true(o->told[i] - last >= 100 * LN_MSEC);
		assert_true(o->told[i] - last <= LN_SEC);
		last = o->told[i];
	}
	/* Three seconds and the silence after them: few rounds, and nobody waits for long. */
	assert_in_range(o->ntold, 5, 8);
	assert_true(o->waited <= LN_SEC);
	assert_true(last >= START + 3 * LN_SEC - 20 * LN_MSEC);
}

static void test_burst(void **state)
{
	(void)state;
	struct owner o = { 0 };
	run(&o, 20 * LN_MSEC, 3 * LN_SEC);
	check_burst(&o);
}

/* So dense that there is always something newer than the snapshot. */
static void test_dense_burst(void **state)
{
	(void)state;
	struct owner o = { .took = 5 * LN_MSEC };
	run(&o, 2 * LN_MSEC, 3 * LN_SEC);
	check_burst(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_change_at_once),
		cmocka_unit_test(test_second_change_waits),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_dense_burst),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
