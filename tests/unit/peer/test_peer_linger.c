/* A failed negotiation between two of ours goes on slowly while the relay carries. */
#include "tests/unit/peer/peer_homes.h"

static unsigned checks(int i)
{
	look();
	return info[i].ice.checks_sent;
}

static ln_time time_to_direct(void)
{
	ln_time from = w.now;
	while (look(), info[0].path != PEER_PATH_DIRECT || info[1].path != PEER_PATH_DIRECT) {
		assert_true(w.now - from < LN_MINUTE);
		pair_run(&w, w.now + 100 * LN_MSEC);
	}
	return w.now - from;
}

/*
 * Between two of ours a failed negotiation goes on with one check in two seconds, later in ten: a
 * path that opens unseen is found soon, with few messages by the signal server.
 */
static void test_lingers(void **state)
{
	(void)state;
	start(conf(), false);
	run_lively(LN_MINUTE);
	assert_path(PEER_PATH_RELAY);
	assert_true(info[0].ice.lingers && info[1].ice.lingers);
	assert_non_null(strstr(info[0].reason, "checks answered"));
	unsigned before[2] = { checks(0), checks(1) }, said = offers(0) + offers(1);
	run_lively(5 * LN_MINUTE);
	for (int i = 0; i < 2; i++)
		assert_in_range(checks(i) - before[i], 140, 151);
	assert_in_range(offers(0) + offers(1) - said, 6, 22);
	assert_int_equal(info[0].negotiations, 1);
	deaf(false);
	assert_in_range(time_to_direct(), 0, 2 * LN_SEC);
	/* And again after it was lost, and after a long time. */
	deaf(true);
	run_lively(20 * LN_MINUTE);
	assert_path(PEER_PATH_RELAY);
	before[0] = checks(0);
	run_lively(10 * LN_MINUTE);
	assert_in_range(checks(0) - before[0], 55, 61);
	deaf(false);
	assert_in_range(time_to_direct(), 0, 10 * LN_SEC);
	pair_fini(&w);
}

/* Whatever may be a reason is one at once: an address of ours, or one of theirs. */
static void test_lingering_hurries(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		start(conf(), false);
		run_lively(30 * LN_MINUTE);
		assert_true(info[0].ice.lingers || checks(0) > 0);
		deaf(false);
		w.side[i].local.hosts[w.side[i].local.nhosts++] = pair_ep("10.1.0.3:51820");
		peer_conn_local_changed(w.side[i].conn, w.now);
		assert_in_range(time_to_direct(), 0, LN_SEC);
		pair_fini(&w);
	}
}

/* The relay goes, and what lingers is the only way there is. */
static void test_lingering_without_relay(void **state)
{
	(void)state;
	start(conf(), false);
	run_lively(30 * LN_MINUTE);
	deaf(false);
	for (int i = 0; i < 2; i++) {
		w.side[i].refuse_relay = true;
		peer_conn_relay_down(w.side[i].conn, w.now, "connection lost");
	}
	assert_in_range(time_to_direct(), 0, LN_SEC);
	pair_fini(&w);
}

/* Our NAT may have forgotten us: STUN is asked when the path falls silent and when it ends, and a
 * new mapping is told at once. */
static void test_new_mapping(void **state)
{
	(void)state;
	start(conf(), true);
	pair_run(&w, w.now + 10 * LN_SEC);
	handshake();
	unsigned before = w.side[0].gathers;
	deaf(true);
	pair_run(&w, w.now + 3 * LN_SEC);
	assert_path(PEER_PATH_RELAY);
	assert_int_equal(w.side[0].gathers, before + 1);
	unsigned said = pair_count(&w.side[0], SIGNAL_CANDIDATE);
	w.side[0].local.srflx[w.side[0].local.nsrflx++] = pair_ep("203.0.113.9:40001");
	peer_conn_local_changed(w.side[0].conn, w.now);
	pair_settle(&w);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_CANDIDATE), said + 1);
	assert_non_null(strstr(w.side[0].log[w.side[0].nlog - 1].payload, "203.0.113.9 40001"));
	assert_int_equal(w.side[0].gathers, before + 1);
	pair_run(&w, w.now + 4 * LN_SEC); /* the negotiation has ended, and begun anew */
	assert_in_range(w.side[0].gathers, before + 2, before + 4);
	/* The other side's mapping is a reason for us, too. */
	run_lively(30 * LN_SEC);
	look();
	assert_true(info[0].ice.lingers && info[1].ice.lingers);
	unsigned asked = checks(0);
	w.side[1].local.srflx[w.side[1].local.nsrflx++] = pair_ep("203.0.113.10:40002");
	peer_conn_local_changed(w.side[1].conn, w.now);
	pair_run(&w, w.now + 2 * LN_SEC);
	assert_in_range(checks(0) - asked, 5, 10);
	pair_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lingers),
		cmocka_unit_test(test_lingering_hurries),
		cmocka_unit_test(test_lingering_without_relay),
		cmocka_unit_test(test_new_mapping),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
