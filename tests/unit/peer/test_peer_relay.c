/* Two ways to one peer: which is opened, which carries, and the change between them. */
#include "tests/unit/peer/peer_homes.h"

static void test_blocked(void **state)
{
	(void)state;
	start(conf(), false);
	pair_run(&w, w.now + LN_SEC);
	assert_path(PEER_PATH_RELAY);
	/* Both meet at the controller's home; the hint of the other side goes with its address. */
	assert_string_equal(w.side[0].relay_url, HOME_0);
	assert_string_equal(w.side[1].relay_url, HOME_0);
	assert_string_equal(info[1].relay_url, HOME_0);
	/* The controller initiates; the other one learns the address from its handshake. */
	assert_true(is_relay_ep(&w.side[0].endpoint));
	assert_int_equal(w.side[0].initiations, 1);
	assert_int_equal(w.side[1].endpoints, 0);
	handshake();
	assert_true(is_relay_ep(&w.side[1].endpoint));
	assert_int_equal(w.side[1].initiations, 0);
	struct ip_ep source = peer_conn_relay_source(w.side[1].conn);
	assert_true(is_relay_ep(&source));
	pair_fini(&w);
}

static void test_responder_sets_it_after_the_delay(void **state)
{
	(void)state;
	start(conf(), false);
	pair_run(&w, w.now + 4900 * LN_MSEC);
	assert_int_equal(w.side[1].endpoints, 0);
	pair_run(&w, w.now + 200 * LN_MSEC);
	assert_true(is_relay_ep(&w.side[1].endpoint));
	assert_int_equal(w.side[1].initiations, 1);
	pair_fini(&w);
}

/* The session made over the relay is kept, on both sides, at once. */
static void test_upgrade(void **state)
{
	(void)state;
	struct ip_ep direct[2] = { pair_ep("10.2.0.2:51820"), pair_ep("10.1.0.2:51820") };
	start(conf(), false);
	pair_run(&w, w.now + 2 * LN_SEC);
	handshake();
	assert_path(PEER_PATH_RELAY);
	unsigned resets = w.side[0].resets + w.side[1].resets;
	unsigned initiations = w.side[1].initiations;
	deaf(false);
	pair_run(&w, w.now + LN_SEC);
	assert_path(PEER_PATH_DIRECT);
	for (int i = 0; i < 2; i++) {
		assert_true(ip_ep_equal(&w.side[i].endpoint, &direct[i]));
		struct ip_ep source = peer_conn_relay_source(w.side[i].conn);
		assert_true(ip_ep_equal(&source, &direct[i]));
		assert_true(info[i].relay_up);
		assert_int_equal(info[i].losses, 0);
	}
	assert_int_equal(w.side[0].resets + w.side[1].resets, resets);
	assert_int_equal(w.side[1].initiations, initiations);
	pair_fini(&w);
}

static void test_downgrade(void **state)
{
	(void)state;
	start(conf(), true);
	pair_run(&w, w.now + LN_SEC);
	handshake();
	pair_run(&w, w.now + 9700 * LN_MSEC);
	assert_path(PEER_PATH_DIRECT);
	unsigned resets = w.side[0].resets + w.side[1].resets;
	deaf(true);
	pair_run(&w, w.now + 3 * LN_SEC);
	assert_path(PEER_PATH_RELAY);
	assert_non_null(strstr(info[0].reason, "is silent"));
	for (int i = 0; i < 2; i++)
		assert_true(is_relay_ep(&w.side[i].endpoint));
	/* ICE gives up as well: nothing changes for the packets. */
	pair_run(&w, w.now + 20 * LN_SEC);
	assert_path(PEER_PATH_RELAY);
	assert_int_equal(w.side[0].resets + w.side[1].resets, resets);
	assert_int_equal(info[0].losses + info[1].losses, 0);
	pair_fini(&w);
}

/* Silence of three seconds now and then, for an hour: at most two changes there and back a minute.
 */
static void test_does_not_flap(void **state)
{
	(void)state;
	start(conf(), true);
	pair_run(&w, w.now + LN_SEC);
	look();
	for (unsigned minute = 0; minute < 60; minute++) {
		unsigned before = info[0].path_changes;
		for (unsigned i = 0; i < 6; i++) {
			handshake();
			deaf(true);
			pair_run(&w, w.now + 3500 * LN_MSEC);
			deaf(false);
			pair_run(&w, w.now + 6500 * LN_MSEC);
		}
		look();
		assert_int_equal(info[0].state, PEER_CONNECTED);
		assert_in_range(info[0].path_changes - before, 0, 4);
	}
	assert_int_equal(info[0].losses, 0);
	pair_fini(&w);
}

static void test_relay_lost(void **state)
{
	(void)state;
	start(conf(), false);
	pair_run(&w, w.now + LN_SEC);
	handshake();
	for (int i = 0; i < 2; i++)
		w.side[i].refuse_relay = true;
	for (int i = 0; i < 2; i++)
		peer_conn_relay_down(w.side[i].conn, w.now, "connection lost");
	pair_run(&w, w.now + 10 * LN_SEC);
	assert_path(PEER_PATH_NONE);
	assert_non_null(strstr(info[0].reason, "refused by the test"));
	assert_int_equal(w.side[0].endpoint.addr.family, 0);
	assert_int_equal(w.side[0].resets, 0);
	/* Every offer and answer asks the relay again. */
	assert_true(w.side[0].relay_opens >= 3);
	for (int i = 0; i < 2; i++)
		w.side[i].refuse_relay = false;
	unsigned endpoints = w.side[1].endpoints;
	pair_run(&w, w.now + 30 * LN_SEC);
	assert_path(PEER_PATH_RELAY);
	/* The session was kept: nobody waits for another one. */
	assert_true(w.side[1].endpoints > endpoints);
	assert_int_equal(w.side[1].initiations, 0);
	pair_fini(&w);
}

/* An unmodified one has left the direct path and says so by what it sends: we follow at once. */
static void test_packets_by_the_relay(void **state)
{
	(void)state;
	start(conf(), true);
	w.side[1].unmodified = true;
	pair_run(&w, w.now + LN_SEC);
	handshake();
	assert_path(PEER_PATH_DIRECT);
	/* What was under way when the path changed says nothing. */
	assert_false(peer_conn_relayed(w.side[0].conn, w.now));
	pair_run(&w, w.now + 6 * LN_SEC);
	assert_true(peer_conn_relayed(w.side[0].conn, w.now));
	struct ip_ep source = peer_conn_relay_source(w.side[0].conn);
	assert_true(is_relay_ep(&source));
	assert_false(peer_conn_relayed(w.side[0].conn, w.now));
	pair_settle(&w);
	look();
	assert_int_equal(info[0].path, PEER_PATH_RELAY);
	assert_int_equal(info[1].path, PEER_PATH_DIRECT);
	assert_true(is_relay_ep(&w.side[0].endpoint));
	/* It was a mistake: the checks go on and are heard. */
	pair_run(&w, w.now + 4 * LN_SEC);
	assert_path(PEER_PATH_DIRECT);
	pair_fini(&w);
}

/* Checks pass, WireGuard does not: both go by the relay, and a direct path is tried again later. */
static void test_packets_do_not_pass(void **state)
{
	(void)state;
	start(conf(), true);
	pair_run(&w, w.now + LN_SEC);
	handshake();
	assert_path(PEER_PATH_DIRECT);
	/* Something comes every ten seconds: no reason to leave, however much we send. */
	for (unsigned i = 0; i < 30; i++) {
		w.side[0].wg.tx_bytes += 100;
		w.side[0].wg.rx_bytes += i % 2 * 32;
		pair_run(&w, w.now + 5 * LN_SEC);
	}
	assert_path(PEER_PATH_DIRECT);
	handshake();
	ln_time from = w.now;
	while (w.now - from < LN_MINUTE) {
		w.side[0].wg.tx_bytes += 100;
		pair_run(&w, w.now + LN_SEC);
		look();
		if (info[0].path == PEER_PATH_RELAY && info[1].path == PEER_PATH_RELAY)
			break;
	}
	assert_in_range(w.now - from, 10 * LN_SEC, 20 * LN_SEC);
	assert_non_null(strstr(info[0].reason, "packets did not pass directly"));
	assert_string_equal(w.side[0].log[w.side[0].nlog - 1].payload, ":");
	assert_int_equal(info[0].losses + info[1].losses, 0);
	run_lively(4 * LN_MINUTE);
	assert_path(PEER_PATH_RELAY);
	run_lively(2 * LN_MINUTE);
	assert_path(PEER_PATH_DIRECT);
	/* Again in vain: twice as long. */
	for (unsigned i = 0; i < 5; i++) {
		w.side[0].wg.tx_bytes += 100;
		pair_run(&w, w.now + 5 * LN_SEC);
	}
	assert_path(PEER_PATH_RELAY);
	run_lively(9 * LN_MINUTE);
	assert_path(PEER_PATH_RELAY);
	/* A person may ask earlier; and without the relay a bad path is better than none. */
	peer_conn_reconnect(w.side[0].conn, w.now);
	pair_run(&w, w.now + 2 * LN_SEC);
	assert_path(PEER_PATH_DIRECT);
	pair_fini(&w);
}

static void test_relay_lost_while_direct(void **state)
{
	(void)state;
	start(conf(), true);
	pair_run(&w, w.now + LN_SEC);
	unsigned endpoints = w.side[0].endpoints;
	w.side[0].refuse_relay = true;
	peer_conn_relay_down(w.side[0].conn, w.now, "connection lost");
	pair_run(&w, w.now + LN_SEC);
	assert_path(PEER_PATH_DIRECT);
	assert_int_equal(w.side[0].endpoints, endpoints);
	/* The standby is opened again by the offers that follow (spec 5.17 e). */
	w.side[0].refuse_relay = false;
	pair_run(&w, w.now + 60 * LN_SEC);
	look();
	assert_true(info[0].relay_up);
	assert_int_equal(info[0].path, PEER_PATH_DIRECT);
	pair_fini(&w);
}

/* The home relay of one side connects after the first offers went out. */
static void test_home_comes_late(void **state)
{
	(void)state;
	start(conf(), false);
	w.side[0].local.relay_url[0] = '\0';
	pair_run(&w, w.now + 5 * LN_SEC);
	assert_path(PEER_PATH_NONE);
	assert_non_null(strstr(info[0].reason, "our relay is not connected"));
	assert_non_null(strstr(info[1].reason, "the other side names no relay"));
	set_home(0, HOME_0);
	peer_conn_relay_home(w.side[0].conn, w.now);
	pair_settle(&w);
	assert_path(PEER_PATH_RELAY);
	pair_fini(&w);
}

/* The other side cannot reach the controller's home: both meet at its own (spec relay 15). */
static void failover(bool unmodified)
{
	start(conf(), false);
	w.side[1].unmodified = unmodified;
	w.side[1].refuse_url = HOME_0;
	w.side[0].lonely_url = HOME_0;
	pair_run(&w, w.now + 9 * LN_SEC);
	assert_path(PEER_PATH_NONE);
	pair_run(&w, w.now + 6 * LN_SEC);
	assert_path(PEER_PATH_RELAY);
	assert_string_equal(w.side[0].relay_url, HOME_1);
	assert_string_equal(w.side[1].relay_url, HOME_1);
	/* It stays there while it works, also when our home was away for a moment. */
	unsigned opens = w.side[0].relay_opens;
	handshake();
	peer_conn_relay_home(w.side[0].conn, w.now);
	run_lively(20 * LN_MINUTE);
	assert_path(PEER_PATH_RELAY);
	assert_int_equal(w.side[0].relay_opens, opens);
	/* And goes home when it ends there. */
	w.side[1].refuse_url = w.side[0].lonely_url = NULL;
	for (int i = 0; i < 2; i++)
		peer_conn_relay_down(w.side[i].conn, w.now, "connection lost");
	pair_run(&w, w.now + 10 * LN_SEC);
	assert_path(PEER_PATH_RELAY);
	assert_string_equal(w.side[1].relay_url, HOME_0);
	pair_fini(&w);
}

static void test_failover(void **state)
{
	(void)state;
	failover(false);
	failover(true);
}

/* Neither reaches the other's: no storm of offers, and it works as soon as one can. */
static void test_failover_fails(void **state)
{
	(void)state;
	start(conf(), false);
	w.side[1].refuse_url = HOME_0;
	w.side[0].refuse_url = HOME_1;
	w.side[0].lonely_url = HOME_0;
	pair_run(&w, w.now + 5 * LN_MINUTE);
	assert_path(PEER_PATH_NONE);
	assert_in_range(w.side[0].relay_opens, 4, 40);
	assert_in_range(pair_count(&w.side[0], SIGNAL_OFFER), 4, 60);
	w.side[0].refuse_url = NULL;
	w.side[1].lonely_url = NULL;
	pair_run(&w, w.now + LN_MINUTE);
	assert_path(PEER_PATH_RELAY);
	assert_string_equal(w.side[1].relay_url, HOME_1);
	pair_fini(&w);
}

/* Nobody answers: there is no reason to go anywhere. */
static void test_no_failover_for_the_absent(void **state)
{
	(void)state;
	start(conf(), false);
	w.side[0].lonely_url = HOME_0;
	w.side[1].refuse_url = HOME_0;
	pair_run(&w, w.now + LN_SEC);
	assert_int_equal(w.side[0].relay_opens, 1);
	w.side[0].deaf_signal = true;
	pair_run(&w, w.now + 8 * LN_SEC);
	unsigned opens = w.side[0].relay_opens;
	/* What was heard before the opening began counts once: it may have been cut off just now.
	 */
	pair_run(&w, w.now + 10 * LN_MINUTE);
	assert_in_range(w.side[0].relay_opens, opens, opens + 1);
	pair_fini(&w);
}

static void test_home_moves(void **state)
{
	(void)state;
	start(conf(), false);
	pair_run(&w, w.now + LN_SEC);
	set_home(0, "rel://relay-2.example:80");
	peer_conn_relay_down(w.side[0].conn, w.now, "home lost");
	peer_conn_relay_home(w.side[0].conn, w.now);
	pair_run(&w, w.now + LN_SEC);
	assert_path(PEER_PATH_RELAY);
	assert_string_equal(w.side[1].relay_url, "rel://relay-2.example:80");
	assert_int_equal(w.side[1].relay_closes, 1);
	pair_fini(&w);
}

/* spec 5.4: three offers, then one an hour, and at once after a reset. */
static void test_unmodified_schedule(void **state)
{
	(void)state;
	start(conf(), false);
	for (int i = 0; i < 2; i++)
		w.side[i].unmodified = true;
	run_lively(3 * LN_MINUTE);
	unsigned before = offers(0);
	run_lively(50 * LN_MINUTE);
	assert_int_equal(offers(0), before);
	before = offers(0);
	peer_conn_reset_guard(w.side[0].conn, w.now, true);
	pair_settle(&w);
	assert_int_equal(offers(0), before + 1);
	pair_fini(&w);
}

static void test_new_address_is_a_retry(void **state)
{
	(void)state;
	start(conf(), false);
	w.side[1].unmodified = true;
	run_lively(10 * LN_MINUTE);
	deaf(false);
	unsigned before = offers(0);
	w.side[0].local.hosts[w.side[0].local.nhosts++] = pair_ep("10.1.0.3:51820");
	peer_conn_local_changed(w.side[0].conn, w.now);
	pair_run(&w, w.now + LN_SEC);
	assert_int_equal(offers(0), before + 1);
	assert_path(PEER_PATH_DIRECT);
	pair_fini(&w);
}

/* The other side starts anew: the controller makes a new session over the relay. */
static void test_remote_restarts(void **state)
{
	(void)state;
	start(conf(), false);
	pair_run(&w, w.now + LN_SEC);
	handshake();
	unsigned resets = w.side[0].resets, initiations = w.side[0].initiations;
	peer_conn_free(w.side[1].conn);
	pair_make(&w, 1, conf());
	pair_run(&w, w.now + LN_SEC);
	assert_path(PEER_PATH_RELAY);
	assert_int_equal(w.side[0].resets, resets + 1);
	assert_int_equal(w.side[0].initiations, initiations + 1);
	pair_fini(&w);
}

/* A relay that swallows everything is found by WireGuard's missing handshakes. */
static void test_watch(void **state)
{
	(void)state;
	start(conf(), false);
	pair_run(&w, w.now + 29 * LN_SEC);
	assert_int_equal(w.side[0].relay_closes, 0);
	pair_run(&w, w.now + 3 * LN_SEC);
	assert_int_equal(w.side[0].relay_closes, 1);
	assert_true(w.side[0].relay_opens >= 2);
	pair_fini(&w);
}

static void test_close(void **state)
{
	(void)state;
	start(conf(), false);
	pair_run(&w, w.now + LN_SEC);
	peer_conn_close(w.side[0].conn, w.now, false);
	pair_drain(&w, 0);
	assert_int_equal(w.side[0].relay_closes, 1);
	assert_int_equal(w.side[0].endpoint.addr.family, 0);
	struct ip_ep source = peer_conn_relay_source(w.side[0].conn);
	assert_int_equal(source.addr.family, 0);
	/* A late word of the owner changes nothing. */
	peer_conn_relay_up(w.side[0].conn, w.now);
	pair_drain(&w, 0);
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_IDLE);
	pair_fini(&w);
}

static void test_without_relay_address(void **state)
{
	(void)state;
	start((struct peer_conn_conf){ 0 }, false);
	pair_run(&w, w.now + 10 * LN_SEC);
	assert_int_equal(w.side[0].relay_opens + w.side[1].relay_opens, 0);
	assert_path(PEER_PATH_NONE);
	pair_fini(&w);
}

/* Without ICE on the other side the relay is all there is, and enough. */
static void test_remote_without_ice(void **state)
{
	(void)state;
	start(conf(), true);
	w.side[1].deaf_signal = true;
	struct signal_body m = { .type = SIGNAL_OFFER,
				 .payload = slice_str(":"),
				 .has_relay = true,
				 .relay_address = HOME_1 };
	pair_settle(&w);
	assert_int_equal(peer_conn_signal(w.side[0].conn, w.now, &m), 0);
	pair_settle(&w);
	look();
	assert_int_equal(info[0].path, PEER_PATH_RELAY);
	assert_non_null(strstr(info[0].reason, "accepts no direct connections"));
	unsigned before = offers(0);
	w.side[1].deaf_signal = false;
	peer_conn_close(w.side[1].conn, w.now, false);
	w.side[1].deaf_signal = true;
	w.side[0].wg.last_handshake = w.now + 25 * LN_SEC;
	pair_run(&w, w.now + 20 * LN_SEC);
	assert_int_equal(offers(0), before);
	pair_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocked),
		cmocka_unit_test(test_responder_sets_it_after_the_delay),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_downgrade),
		cmocka_unit_test(test_does_not_flap),
		cmocka_unit_test(test_relay_lost),
		cmocka_unit_test(test_packets_by_the_relay),
		cmocka_unit_test(test_packets_do_not_pass),
		cmocka_unit_test(test_relay_lost_while_direct),
		cmocka_unit_test(test_home_comes_late),
		cmocka_unit_test(test_failover),
		cmocka_unit_test(test_failover_fails),
		cmocka_unit_test(test_no_failover_for_the_absent),
		cmocka_unit_test(test_home_moves),
		cmocka_unit_test(test_unmodified_schedule),
		cmocka_unit_test(test_new_address_is_a_retry),
		cmocka_unit_test(test_remote_restarts),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_without_relay_address),
		cmocka_unit_test(test_remote_without_ice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
