/* A direct path that may have died: when packets go both ways, and when no more. */
#include "tests/unit/peer/peer_pair.h"

static struct pair w;

static void start(bool one_way, bool unmodified)
{
	struct peer_conn_conf c = { .relay_ep = pair_ep("127.1.0.9:51820"), .one_way = one_way };
	pair_init(&w, c);
	for (int i = 0; i < 2; i++) {
		struct peer_local *l = &w.side[i].local;
		(void)snprintf(l->relay_url, sizeof(l->relay_url), "rel://relay-%d.example:80", i);
		l->relay_wanted = true;
	}
	w.side[1].unmodified = unmodified;
	pair_run(&w, w.now + LN_SEC);
	for (int i = 0; i < 2; i++) {
		w.side[i].wg.last_handshake = w.now;
		peer_conn_handshake(w.side[i].conn, w.now);
	}
	pair_run(&w, w.now + 10100 * LN_MSEC); /* between two regular checks */
}

static void deaf(bool yes)
{
	w.side[0].deaf_net = yes;
	w.side[1].deaf_net = yes;
}

static bool both(int i)
{
	struct ip_ep want = pair_ep("127.1.0.9:51820");
	return ip_ep_equal(&w.side[i].spare, &want);
}

static enum peer_path path(int i)
{
	struct peer_info info;
	peer_conn_info(w.side[i].conn, &info);
	return info.path;
}

static unsigned checks(int i)
{
	struct peer_info info;
	peer_conn_info(w.side[i].conn, &info);
	return info.ice.checks_sent + info.ice.keepalives_sent;
}

/* Packets are not answered and neither is the check that they bring forward. */
static void test_dead_path(void **state)
{
	(void)state;
	start(false, false);
	assert_int_equal(w.side[0].doubt_after, 100 * LN_MSEC);
	assert_false(both(0));
	deaf(true);
	ln_time died = w.now;
	peer_conn_doubt(w.side[0].conn, w.now);
	pair_run(&w, died + 60 * LN_MSEC);
	assert_true(both(0));
	assert_in_range(w.side[0].spare_at - died, 1, 50 * LN_MSEC);
	assert_int_equal(path(0), PEER_PATH_DIRECT);
	/* The other side sees our packets come by the relay: so do its own at once. */
	assert_false(both(1));
	assert_true(peer_conn_relayed(w.side[1].conn, w.now));
	pair_settle(&w);
	assert_true(both(1));
	assert_int_equal(path(1), PEER_PATH_DIRECT);
	/* In time it is certain: the relay carries alone. */
	pair_run(&w, died + 3 * LN_SEC);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(path(i), PEER_PATH_RELAY);
		assert_false(both(i));
		assert_int_equal(w.side[i].doubt_after, 0);
	}
	deaf(false);
	pair_run(&w, w.now + 3 * LN_SEC);
	assert_int_equal(path(0), PEER_PATH_DIRECT);
	assert_int_equal(w.side[0].doubt_after, 100 * LN_MSEC);
	pair_fini(&w);
}

/* A check that is lost: both ways until the next one is answered. */
static void test_short_doubt(void **state)
{
	(void)state;
	start(false, false);
	deaf(true);
	ln_time died = w.now;
	peer_conn_doubt(w.side[0].conn, w.now);
	pair_run(&w, died + 200 * LN_MSEC);
	assert_true(both(0));
	deaf(false);
	pair_run(&w, died + 700 * LN_MSEC);
	assert_false(both(0));
	assert_int_equal(path(0), PEER_PATH_DIRECT);
	pair_fini(&w);
}

/* Flows in one direction raise doubts for ever; the path answers, and nothing goes twice. */
static void test_one_way_flow(void **state)
{
	(void)state;
	start(false, false);
	unsigned before = checks(0);
	ln_time spare_at = w.side[0].spare_at;
	for (unsigned i = 0; i < 600; i++) {
		peer_conn_doubt(w.side[0].conn, w.now);
		pair_run(&w, w.now + 100 * LN_MSEC);
		assert_false(both(0));
	}
	assert_int_equal(w.side[0].spare_at, spare_at);
	/* A minute: half a check a second, and one taken early. */
	assert_in_range(checks(0) - before, 28, 31);
	pair_fini(&w);
}

/* What the relay brings while our checks are answered: one question, then it is believed. */
static void test_hint(void **state)
{
	(void)state;
	start(false, false);
	assert_true(peer_conn_relayed(w.side[0].conn, w.now));
	pair_run(&w, w.now + 10 * LN_MSEC);
	assert_false(both(0)); /* answered */
	assert_int_equal(path(0), PEER_PATH_DIRECT);
	/* An answer as young as that is believed more. */
	assert_false(peer_conn_relayed(w.side[0].conn, w.now));
	assert_false(both(0));
	for (unsigned i = 0; i < 5; i++) {
		pair_run(&w, w.now + 500 * LN_MSEC);
		assert_int_equal(path(0), PEER_PATH_DIRECT);
		(void)!peer_conn_relayed(w.side[0].conn, w.now);
		pair_settle(&w);
	}
	assert_int_equal(path(0), PEER_PATH_RELAY);
	pair_fini(&w);
}

/* The same now and then: nobody has left, and a late packet of an earlier way says nothing. */
static void test_rare_hints(void **state)
{
	(void)state;
	start(false, false);
	for (unsigned i = 0; i < 20; i++) {
		(void)!peer_conn_relayed(w.side[0].conn, w.now);
		pair_run(&w, w.now + 4 * LN_SEC);
		assert_false(both(0));
		assert_int_equal(path(0), PEER_PATH_DIRECT);
	}
	peer_conn_reconnect(w.side[0].conn, w.now);
	pair_run(&w, w.now + 200 * LN_MSEC);
	assert_int_equal(path(0), PEER_PATH_DIRECT);
	assert_false(peer_conn_relayed(w.side[0].conn, w.now));
	pair_settle(&w);
	assert_false(both(0));
	pair_fini(&w);
}

/* The kernel's WireGuard has one endpoint: it changes. */
static void test_one_endpoint(void **state)
{
	(void)state;
	start(true, false);
	assert_int_equal(w.side[0].doubt_after, 0);
	assert_true(peer_conn_relayed(w.side[0].conn, w.now));
	pair_settle(&w);
	assert_int_equal(path(0), PEER_PATH_RELAY);
	deaf(true);
	pair_run(&w, w.now + LN_MINUTE);
	assert_int_equal(w.side[0].spare_at, 0);
	pair_fini(&w);
}

/* Without a relay there is no second way, and without a direct path no doubt about it. */
static void test_no_second_way(void **state)
{
	(void)state;
	start(false, false);
	w.side[0].refuse_relay = true;
	peer_conn_relay_down(w.side[0].conn, w.now, "connection lost");
	pair_settle(&w);
	assert_int_equal(w.side[0].doubt_after, 0);
	deaf(true);
	peer_conn_doubt(w.side[0].conn, w.now);
	pair_run(&w, w.now + 2 * LN_SEC);
	assert_false(both(0));
	pair_fini(&w);
}

/* An unmodified one gets both as well, since it listens to both; its hints are believed at once. */
static void test_unmodified(void **state)
{
	(void)state;
	start(false, true);
	deaf(true);
	peer_conn_doubt(w.side[0].conn, w.now);
	pair_run(&w, w.now + 60 * LN_MSEC);
	assert_true(both(0));
	assert_true(peer_conn_relayed(w.side[0].conn, w.now));
	pair_settle(&w);
	assert_int_equal(path(0), PEER_PATH_RELAY);
	assert_false(both(0));
	pair_fini(&w);
}

/* --- rest --------------------------------------------------------------------------------------*/

/* Handshakes go on, as with every idle peer. */
static void rest_for(ln_time seconds)
{
	for (; seconds > 0; seconds -= 10) {
		for (int i = 0; i < 2; i++)
			w.side[i].wg.last_handshake = w.now;
		pair_run(&w, w.now + 10 * LN_SEC);
	}
}

/* As many bytes as a ping a second would make. */
static void traffic(ln_time seconds)
{
	for (; seconds > 0; seconds--) {
		for (int i = 0; i < 2; i++) {
			w.side[i].wg.tx_bytes += 128;
			w.side[i].wg.rx_bytes += 128;
			w.side[i].wg.last_handshake = w.now;
		}
		pair_run(&w, w.now + LN_SEC);
	}
}

/* Without traffic the path is checked every 25 s by one side, with little as every 2 s. */
static void test_rest(void **state)
{
	(void)state;
	start(false, false);
	rest_for(60);
	unsigned before = checks(0) + checks(1);
	rest_for(200);
	assert_in_range(checks(0) + checks(1) - before, 7, 9);
	assert_int_equal(path(0), PEER_PATH_DIRECT);
	assert_int_equal(path(1), PEER_PATH_DIRECT);
	before = checks(0) + checks(1);
	traffic(200);
	assert_in_range(checks(0) + checks(1) - before, 180, 210);
	/* A handshake and keepalives are no traffic. */
	rest_for(30);
	before = checks(0) + checks(1);
	for (int i = 0; i < 8; i++) {
		w.side[i % 2].wg.tx_bytes += 32;
		w.side[!(i % 2)].wg.rx_bytes += 32;
		if (i % 4 == 3) {
			w.side[0].wg.tx_bytes += 148;
			w.side[0].wg.rx_bytes += 92;
			w.side[1].wg.tx_bytes += 92;
			w.side[1].wg.rx_bytes += 148;
		}
		rest_for(20);
	}
	assert_in_range(checks(0) + checks(1) - before, 5, 8);
	/* But one without an answer is. */
	w.side[0].wg.tx_bytes += 148;
	rest_for(10);
	before = checks(0);
	rest_for(10);
	assert_in_range(checks(0) - before, 4, 6);
	pair_fini(&w);
}

/* The first packets after a rest find out at once that the path has died meanwhile. */
static void test_dead_after_rest(void **state)
{
	(void)state;
	for (int late = 0; late < 20; late++) {
		start(false, false);
		rest_for(60);
		pair_run(&w, w.now + late * LN_SEC);
		deaf(true);
		pair_run(&w, w.now + 300 * LN_MSEC);
		ln_time told = w.now;
		if (path(0) == PEER_PATH_DIRECT && !both(0)) {
			peer_conn_doubt(w.side[0].conn, w.now);
			pair_run(&w, told + 60 * LN_MSEC);
			assert_true(both(0));
		}
		(void)peer_conn_relayed(w.side[1].conn, w.now);
		pair_settle(&w);
		assert_true(both(1));
		pair_run(&w, told + 3 * LN_SEC);
		for (int i = 0; i < 2; i++)
			assert_int_equal(path(i), PEER_PATH_RELAY);
		deaf(false);
		pair_run(&w, w.now + 3 * LN_SEC);
		assert_int_equal(path(0), PEER_PATH_DIRECT);
		pair_fini(&w);
	}
}

/* Others are not known to notice, and the kernel's WireGuard does not say that it has doubts. */
static void test_no_rest(void **state)
{
	(void)state;
	for (int unmodified = 0; unmodified < 2; unmodified++) {
		start(!unmodified, unmodified);
		rest_for(60);
		unsigned before = checks(0);
		rest_for(200);
		assert_in_range(checks(0) - before, 90, 210);
		pair_fini(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dead_path),    cmocka_unit_test(test_short_doubt),
		cmocka_unit_test(test_rest),         cmocka_unit_test(test_dead_after_rest),
		cmocka_unit_test(test_no_rest),      cmocka_unit_test(test_one_way_flow),
		cmocka_unit_test(test_hint),         cmocka_unit_test(test_rare_hints),
		cmocka_unit_test(test_one_endpoint), cmocka_unit_test(test_no_second_way),
		cmocka_unit_test(test_unmodified),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
