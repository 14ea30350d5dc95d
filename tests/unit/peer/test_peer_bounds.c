/*
 * How many checks leave: five in any second while a path is looked for, one in two seconds while
 * the peer is connected, directly or by the relay, and none when it is given up.
 */
#include "tests/unit/peer/peer_homes.h"

static unsigned sent(int i)
{
	return w.side[i].ndatagrams;
}

/* More addresses than can be asked in the time there is. */
static void add_hosts(void)
{
	for (int i = 0; i < 2; i++)
		for (unsigned n = 0; n < 10; n++) {
			char text[32];
			(void)snprintf(text, sizeof(text), "203.0.113.%u:51820",
				       1 + 10 * (unsigned)i + n);
			w.side[i].local.hosts[w.side[i].local.nhosts++] = pair_ep(text);
		}
}

/* Each negotiation anew has the budget of the one before. */
static void test_checking(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	add_hosts();
	for (int i = 0; i < 2; i++) {
		peer_conn_local_changed(w.side[i].conn, w.now);
		w.side[i].deaf_net = true;
	}
	for (unsigned n = 0; n < 100; n++) {
		pair_run(&w, w.now + 300 * LN_MSEC);
		w.side[0].nlog = w.side[1].nlog = 0;
		peer_conn_reconnect(w.side[n % 2].conn, w.now);
	}
	pair_run(&w, w.now + LN_MINUTE);
	for (int i = 0; i < 2; i++) {
		assert_in_range(sent(i), 100, 90 * 5);
		assert_in_range(w.side[i].busiest, 3, 5);
	}
	pair_fini(&w);
}

static void test_connected(void **state)
{
	(void)state;
	start(conf(), true);
	add_hosts(); /* they never answer */
	for (int i = 0; i < 2; i++)
		peer_conn_local_changed(w.side[i].conn, w.now);
	pair_run(&w, w.now + 5 * LN_SEC);
	assert_path(PEER_PATH_DIRECT);
	unsigned before[2] = { sent(0), sent(1) };
	for (unsigned n = 0; n < 6000; n++) {
		if (n % 200 == 0)
			handshake();
		peer_conn_doubt(w.side[n / 20 % 2].conn, w.now);
		pair_run(&w, w.now + 100 * LN_MSEC);
	}
	for (int i = 0; i < 2; i++)
		assert_in_range(sent(i) - before[i], 250, 302);
	pair_fini(&w);
}

static void test_relayed(void **state)
{
	(void)state;
	start(conf(), false);
	add_hosts();
	for (int i = 0; i < 2; i++)
		peer_conn_local_changed(w.side[i].conn, w.now);
	run_lively(20 * LN_SEC);
	assert_path(PEER_PATH_RELAY);
	unsigned before[2] = { sent(0), sent(1) };
	for (unsigned n = 0; n < 8; n++) {
		run_lively(LN_MINUTE);
		w.side[0].nlog = w.side[1].nlog = 0;
	}
	for (int i = 0; i < 2; i++)
		assert_in_range(sent(i) - before[i], 230, 241);
	pair_fini(&w);
}

static void assert_quiet(ln_time for_how_long)
{
	unsigned before[2] = { sent(0), sent(1) };
	run_lively(for_how_long);
	for (int i = 0; i < 2; i++)
		assert_int_equal(sent(i), before[i]);
}

static void test_closed(void **state)
{
	(void)state;
	start(conf(), true);
	pair_run(&w, w.now + LN_SEC);
	for (int i = 0; i < 2; i++)
		peer_conn_close(w.side[i].conn, w.now, false);
	assert_quiet(LN_HOUR);
	pair_fini(&w);
}

/* Nobody is there: offers go out, checks do not. */
static void test_absent(void **state)
{
	(void)state;
	start(conf(), true);
	w.side[1].deaf_signal = true;
	for (int i = 0; i < 2; i++)
		peer_conn_close(w.side[i].conn, w.now, false);
	peer_conn_wake(w.side[0].conn, w.now);
	assert_quiet(10 * LN_MINUTE);
	pair_fini(&w);
}

/* Checks pass and packets do not: the direct path is refused, and no check is sent. */
static void test_refused(void **state)
{
	(void)state;
	start(conf(), true);
	pair_run(&w, w.now + LN_SEC);
	handshake();
	while (look(), info[0].path == PEER_PATH_DIRECT || info[1].path == PEER_PATH_DIRECT) {
		w.side[0].wg.tx_bytes += 100;
		pair_run(&w, w.now + LN_SEC);
		assert_true(w.now < LN_MINUTE);
	}
	pair_run(&w, w.now + LN_SEC);
	assert_quiet(4 * LN_MINUTE);
	pair_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checking), cmocka_unit_test(test_connected),
		cmocka_unit_test(test_relayed),  cmocka_unit_test(test_closed),
		cmocka_unit_test(test_absent),   cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
