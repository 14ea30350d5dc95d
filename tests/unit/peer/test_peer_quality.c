/* Which way is better: the rules with numbers by hand, then two connections that live by them. */
#include "lib/peer/peer_quality.h"

#include "tests/unit/peer/peer_pair.h"

#define HOME "rel://home.example:443"

/* A way that answered `n` probes after `rtt`; those at the given places, the oldest is 0, not. */
static struct ice_quality way(unsigned n, ln_time rtt, const char *lost)
{
	struct ice_quality q = { 0 };
	ice_quality_sample(&q, rtt);
	for (unsigned i = 0; i < n; i++)
		if (i < strlen(lost) && lost[i] == 'x')
			ice_quality_lost(&q);
		else
			ice_quality_answered(&q, rtt);
	return q;
}

static bool faster(ln_time used, ln_time alt)
{
	struct ice_quality u = way(32, used, ""), a = way(3, alt, "");
	return peer_quality_faster(&u, &a);
}

static void round_trips(void **state)
{
	(void)state;
	/* By 30 %, and by 10 ms. */
	assert_true(faster(100 * LN_MSEC, 70 * LN_MSEC));
	assert_false(faster(100 * LN_MSEC, 71 * LN_MSEC));
	assert_true(faster(20 * LN_MSEC, 10 * LN_MSEC));
	assert_false(faster(20 * LN_MSEC, 11 * LN_MSEC));
	assert_false(faster(12 * LN_MSEC, 3 * LN_MSEC));
	assert_false(faster(70 * LN_MSEC, 100 * LN_MSEC));
	/* A faster way that loses is none. */
	struct ice_quality u = way(32, 100 * LN_MSEC, ""), a = way(32, LN_MSEC, "x");
	assert_false(peer_quality_faster(&u, &a)); /* 3.1 % against none */
	u = way(32, 100 * LN_MSEC, "x");
	assert_true(peer_quality_faster(&u, &a));
	/* The relay costs others: 100 ms. */
	u = way(32, 150 * LN_MSEC, "");
	a = way(8, 51 * LN_MSEC, "");
	assert_false(peer_quality_relay_faster(&u, &a));
	a = way(8, 50 * LN_MSEC, "");
	assert_true(peer_quality_relay_faster(&u, &a));
}

static void losses(void **state)
{
	(void)state;
	struct ice_quality clean = way(32, 10 * LN_MSEC, "");
	struct ice_quality u = way(32, 10 * LN_MSEC, "x......x.......x....x");
	assert_true(peer_quality_cleaner(&u, &clean));
	assert_false(peer_quality_relay_cleaner(&u, &clean)); /* 12.5 % */
	u = way(32, 10 * LN_MSEC, "x......x.......x");
	assert_false(peer_quality_cleaner(&u, &clean)); /* three are too few */
	u = way(32, 10 * LN_MSEC, "xxxx.....xxxxxxxxx");
	assert_false(peer_quality_cleaner(&u, &clean)); /* two outages */
	u = way(32, 10 * LN_MSEC, "xx.x.x...xx...x...");
	assert_true(peer_quality_cleaner(&u, &clean));
	assert_true(peer_quality_relay_cleaner(&u, &clean)); /* 7 of 32: 21.9 % */
	/* Of 9 probes 7/32 would be 1.97: not two. */
	struct ice_quality a = way(9, 10 * LN_MSEC, "");
	assert_false(peer_quality_cleaner(&u, &a));
	a = way(10, 10 * LN_MSEC, "");
	assert_true(peer_quality_cleaner(&u, &a));
	/* A quarter of it at most: 7 against 1 of 32 passes, against 2 not. */
	a = way(32, 10 * LN_MSEC, "x");
	assert_true(peer_quality_cleaner(&u, &a));
	assert_false(peer_quality_relay_cleaner(&u, &a)); /* the relay must lose next to nothing */
	a = way(32, 10 * LN_MSEC, "x.x");
	assert_false(peer_quality_cleaner(&u, &a));
	/* Not at any price in time: twice as long and 100 ms. */
	a = way(32, 120 * LN_MSEC, "");
	assert_true(peer_quality_cleaner(&u, &a));
	a = way(32, 125 * LN_MSEC, "");
	assert_false(peer_quality_cleaner(&u, &a));
	/* Half is lost: a few probes of each are enough, but not for the relay. */
	u = way(9, 10 * LN_MSEC, "x.xx..x.x");
	a = way(4, 10 * LN_MSEC, "");
	assert_true(peer_quality_cleaner(&u, &a));
	assert_false(peer_quality_relay_cleaner(&u, &a));
	/* An alternative that never answered is none. */
	memset(&a, 0, sizeof(a));
	assert_false(peer_quality_cleaner(&u, &a));
	assert_false(peer_quality_faster(&u, &a));
}

static void doubt_and_recovery(void **state)
{
	(void)state;
	struct ice_quality q = way(16, LN_MSEC, "x");
	assert_false(peer_quality_doubtful(&q));
	q = way(16, LN_MSEC, "x..............x");
	assert_true(peer_quality_doubtful(&q));
	/* Of the probes since the change only: the bad ones before them do not count. */
	q = way(40, LN_MSEC, "xx.x.xx.x.x.xxx.....x...");
	assert_false(peer_quality_recovered(&q, 15));
	assert_true(peer_quality_recovered(&q, 16));
	assert_true(peer_quality_recovered(&q, 24));
	assert_false(peer_quality_recovered(&q, 40));
}

static void trends(void **state)
{
	(void)state;
	struct peer_trend t = { 0 };
	struct ip_ep one = pair_ep("10.0.0.1:1"), two = pair_ep("10.0.0.2:1");
	struct ice_quality q = way(10, LN_MSEC, "");
	assert_false(peer_quality_trend(&t, LN_SEC, true, &one, &q));
	q = way(13, LN_MSEC, "");
	assert_false(peer_quality_trend(&t, 15 * LN_SEC, true, &one, &q));
	assert_true(peer_quality_trend(&t, 16 * LN_SEC, true, &one, &q));
	/* Another way, or once not: from the beginning. */
	assert_false(peer_quality_trend(&t, 17 * LN_SEC, true, &two, &q));
	assert_false(peer_quality_trend(&t, 40 * LN_SEC, false, &two, &q));
	assert_false(peer_quality_trend(&t, 41 * LN_SEC, true, &two, &q));
	/* Time without new probes proves nothing. */
	assert_false(peer_quality_trend(&t, 100 * LN_SEC, true, &two, &q));
	q = way(16, LN_MSEC, "");
	assert_true(peer_quality_trend(&t, 101 * LN_SEC, true, &two, &q));
	/* What swings to and fro never holds for long enough. */
	for (int i = 0; i < 600; i++) {
		q.seen++;
		assert_false(peer_quality_trend(&t, (200 + i) * LN_SEC, i % 14 != 0, &one, &q));
	}
}

/* --- two connections ---------------------------------------------------------------------------*/

static void start(struct pair *w, bool unmodified)
{
	pair_init(w,
		  (struct peer_conn_conf){ .relay_ep = pair_ep("127.1.0.9:51820"), .lazy = true });
	for (int i = 0; i < 2; i++) {
		struct pair_side *s = &w->side[i];
		(void)snprintf(s->local.relay_url, sizeof(s->local.relay_url), HOME);
		s->unmodified = unmodified;
		peer_conn_set_lazy(s->conn, w->now, false);
	}
	pair_run(w, w->now + 2 * LN_SEC);
	for (int i = 0; i < 2; i++)
		peer_conn_handshake(w->side[i].conn, w->now);
}

static enum peer_path path(const struct pair *w, int i)
{
	struct peer_info info;
	peer_conn_info(w->side[i].conn, &info);
	return info.path;
}

static struct peer_way used(const struct pair *w, int i)
{
	struct peer_way v[PEER_WAYS_MAX];
	size_t n = peer_conn_ways(w->side[i].conn, v);
	for (size_t k = 0; k < n; k++)
		if (v[k].used)
			return v[k];
	fail_msg("no way is in use");
	return v[0];
}

static unsigned lost(const struct pair *w, int i)
{
	struct peer_way v = used(w, i);
	return ice_quality_count_lost(&v.quality, ICE_QUALITY_WINDOW);
}

static void keep_sessions(struct pair *w, ln_time until)
{
	while (w->now < until) {
		pair_run(w, ln_time_min(until, w->now + 20 * LN_SEC));
		for (int i = 0; i < 2; i++)
			peer_conn_handshake(w->side[i].conn, w->now);
	}
}

/* Relayed: four probes soon, then one in 30 s; 5 s while there is traffic; lost ones are counted.
 */
static void relay_is_probed(void **state)
{
	(void)state;
	struct pair w;
	pair_init(&w,
		  (struct peer_conn_conf){ .relay_ep = pair_ep("127.1.0.9:51820"), .lazy = true });
	for (int i = 0; i < 2; i++) {
		struct pair_side *s = &w.side[i];
		(void)snprintf(s->local.relay_url, sizeof(s->local.relay_url), HOME);
		s->deaf_net = true;
		peer_conn_set_lazy(s->conn, w.now, false);
	}
	keep_sessions(&w, w.now + 60 * LN_SEC);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(path(&w, i), PEER_PATH_RELAY);
		assert_true(used(&w, i).quality.rtt != 0);
		/* A probe and an answer to each of the other side's. */
		assert_in_range(w.side[i].probes, 2 * 5, 2 * 6);
		w.side[i].probes = 0;
	}
	keep_sessions(&w, w.now + 600 * LN_SEC);
	for (int i = 0; i < 2; i++)
		assert_in_range(w.side[i].probes, 2 * 19, 2 * 21);
	/* Traffic, which only one of them sees. */
	w.side[0].probes = w.side[1].probes = 0;
	for (int s = 0; s < 100; s++) {
		for (int k = 0; k < 2; k++)
			(void)peer_conn_relayed(w.side[0].conn, w.now);
		pair_run(&w, w.now + LN_SEC);
	}
	for (int i = 0; i < 2; i++)
		assert_in_range(w.side[i].probes, 2 * 18, 2 * 21);
	/* The relay loses what goes to one of them: both directions of its probes suffer. */
	w.side[1].deaf_relay = true;
	assert_int_equal(lost(&w, 0), 0);
	keep_sessions(&w, w.now + 300 * LN_SEC);
	assert_in_range(lost(&w, 0), 8, 12);
	pair_fini(&w);
}

static void unmodified_gets_no_probe(void **state)
{
	(void)state;
	struct pair w;
	start(&w, true);
	keep_sessions(&w, w.now + 300 * LN_SEC);
	assert_int_equal(w.side[0].probes + w.side[1].probes, 0);
	struct peer_way v[PEER_WAYS_MAX];
	assert_int_equal(peer_conn_ways(w.side[0].conn, v), 2);
	assert_int_equal(v[1].path, PEER_PATH_RELAY);
	assert_true(v[1].quality.rtt == 0);
	pair_fini(&w);
}

/* Probes that nobody of this session has written, and an old word, change nothing. */
static void strangers(void **state)
{
	(void)state;
	struct pair w;
	start(&w, false);
	struct pair_side *s = &w.side[1];
	uint8_t pkt[256];
	struct writer wr = writer_of(mslice_of(pkt, sizeof(pkt)));
	struct stun_tid tid = { { 1, 2, 3 } };
	stun_msg_begin(&wr, STUN_REQUEST, &tid);
	assert_int_equal(peer_conn_relay_stun(s->conn, w.now, writer_slice(&wr)), LN_E_NOTFOUND);
	wr = writer_of(mslice_of(pkt, sizeof(pkt)));
	stun_msg_begin(&wr, STUN_SUCCESS, &tid);
	assert_int_equal(peer_conn_relay_stun(s->conn, w.now, writer_slice(&wr)), LN_E_NOTFOUND);
	wr = writer_of(mslice_of(pkt, sizeof(pkt)));
	stun_msg_begin(&wr, STUN_INDICATION, &tid);
	assert_int_equal(peer_conn_relay_stun(s->conn, w.now, writer_slice(&wr)), LN_E_UNSUPPORTED);
	/* A real one whose word was turned: the MAC is wrong. */
	w.side[1].deaf_relay = true;
	while (s->heard.n == 0 || s->heard.b[0] != 0)
		pair_run(&w, w.now + LN_SEC);
	struct stun_msg m;
	assert_int_equal(stun_msg_read(slice_of(s->heard.b, s->heard.n), &m), 0);
	size_t at = (size_t)(m.attr[STUN_ATTR_WAY].p - s->heard.b) + 3;
	assert_int_equal(s->heard.b[at] & 1, 0);
	s->heard.b[at] |= 1;
	assert_true(peer_conn_relay_stun(s->conn, w.now, slice_of(s->heard.b, s->heard.n)) < 0);
	assert_int_equal(path(&w, 1), PEER_PATH_DIRECT);
	pair_fini(&w);
}

/* A third of the direct path's packets are lost: both go to the relay, once, and both come back
 * when it has been good for a while, not before a minute. */
static void relay_for_a_lossy_path(void **state)
{
	(void)state;
	struct pair w;
	start(&w, false);
	w.busy = true;
	assert_int_equal(path(&w, 0), PEER_PATH_DIRECT);
	keep_sessions(&w, w.now + 120 * LN_SEC);
	struct peer_info before, after;
	peer_conn_info(w.side[0].conn, &before);
	w.lose_every = 3;
	ln_time bad = w.now;
	while (path(&w, 0) == PEER_PATH_DIRECT && w.now < bad + 120 * LN_SEC)
		pair_run(&w, w.now + LN_SEC);
	assert_int_equal(path(&w, 0), PEER_PATH_RELAY);
	assert_true(w.now - bad <= 60 * LN_SEC);
	pair_settle(&w);
	assert_int_equal(path(&w, 1), PEER_PATH_RELAY);
	peer_conn_info(w.side[1].conn, &after);
	assert_non_null(strstr(after.reason, "the direct path is worse"));
	ln_time changed = w.now;
	/* As long as it is bad nobody goes back. */
	keep_sessions(&w, w.now + 600 * LN_SEC);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(path(&w, i), PEER_PATH_RELAY);
		peer_conn_info(w.side[i].conn, &after);
		assert_int_equal(after.path_changes - before.path_changes, 1);
	}
	w.lose_every = 0;
	ln_time good = w.now;
	while (path(&w, 0) == PEER_PATH_RELAY && w.now < good + 300 * LN_SEC)
		pair_run(&w, w.now + LN_SEC);
	assert_int_equal(path(&w, 0), PEER_PATH_DIRECT);
	assert_true(w.now - changed >= 60 * LN_SEC && w.now - good <= 120 * LN_SEC);
	pair_run(&w, w.now + 3 * LN_SEC);
	assert_int_equal(path(&w, 1), PEER_PATH_DIRECT);
	/* Late packets by the relay are no hint that the other side has stayed there. */
	(void)peer_conn_relayed(w.side[0].conn, w.now);
	assert_int_equal(path(&w, 0), PEER_PATH_DIRECT);
	pair_fini(&w);
}

/* The controlled side does not wait for ever for a controller that says nothing any more. */
static void word_grows_old(void **state)
{
	(void)state;
	struct pair w;
	start(&w, false);
	w.busy = true;
	keep_sessions(&w, w.now + 120 * LN_SEC);
	w.lose_every = 3;
	while (path(&w, 1) == PEER_PATH_DIRECT)
		pair_run(&w, w.now + LN_SEC);
	w.lose_every = 0;
	w.side[1].deaf_relay = true;
	pair_run(&w, w.now + 20 * LN_SEC);
	assert_int_equal(path(&w, 1), PEER_PATH_RELAY);
	pair_run(&w, w.now + 10 * LN_SEC);
	assert_int_equal(path(&w, 1), PEER_PATH_DIRECT);
	pair_fini(&w);
}

/* A path that is good and bad in turn for minutes: ever longer between two changes. */
static void never_flaps(void **state)
{
	(void)state;
	struct pair w;
	start(&w, false);
	w.busy = true;
	keep_sessions(&w, w.now + 120 * LN_SEC);
	struct peer_info info;
	peer_conn_info(w.side[0].conn, &info);
	unsigned last = info.path_changes, changes = 0;
	ln_time last_at = 0;
	for (int minute = 0; minute < 240; minute++) {
		w.lose_every = minute / 2 % 2 == 0 ? 3 : 0;
		for (int s = 0; s < 60; s++) {
			pair_run(&w, w.now + LN_SEC);
			peer_conn_info(w.side[0].conn, &info);
			if (info.path_changes == last)
				continue;
			assert_true(last_at == 0 || w.now - last_at >= 59 * LN_SEC);
			changes++;
			last = info.path_changes;
			last_at = w.now;
		}
		for (int i = 0; i < 2; i++)
			peer_conn_handshake(w.side[i].conn, w.now);
	}
	/* Two in a minute would be 480; with doubling it is one in 16 minutes in the end. */
	assert_in_range(changes, 2, 30);
	pair_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),        cmocka_unit_test(losses),
		cmocka_unit_test(doubt_and_recovery), cmocka_unit_test(trends),
		cmocka_unit_test(relay_is_probed),    cmocka_unit_test(unmodified_gets_no_probe),
		cmocka_unit_test(strangers),          cmocka_unit_test(relay_for_a_lossy_path),
		cmocka_unit_test(word_grows_old),     cmocka_unit_test(never_flaps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
