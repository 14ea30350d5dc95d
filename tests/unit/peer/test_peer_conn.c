/* The rules of spec signal-and-connection 2 and 5, one by one. */
#include "tests/unit/peer/peer_pair.h"

static struct pair w;

static void connect_pair(void)
{
	pair_init(&w, (struct peer_conn_conf){ 0 });
	pair_run(&w, w.now + LN_SEC);
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_CONNECTED);
	assert_int_equal(peer_conn_state(w.side[1].conn), PEER_CONNECTED);
}

static void test_connects(void **state)
{
	(void)state;
	connect_pair();
	/* The controller sets the endpoint at once and initiates once; the other side waits. */
	assert_int_equal(w.side[0].endpoints, 1);
	assert_int_equal(w.side[0].initiations, 1);
	assert_true(ip_ep_equal(&w.side[0].endpoint, &w.side[1].local.hosts[0]));
	assert_int_equal(w.side[1].endpoints, 0);
	assert_true(w.side[0].gathers > 0);
	pair_fini(&w);
}

static void test_responder_falls_back(void **state)
{
	(void)state;
	connect_pair();
	ln_time start = w.now;
	pair_run(&w, start + 3 * LN_SEC);
	assert_int_equal(w.side[1].endpoints, 0);
	pair_run(&w, start + 6 * LN_SEC);
	assert_int_equal(w.side[1].endpoints, 1);
	assert_int_equal(w.side[1].initiations, 1);
	pair_fini(&w);
}

static void test_responder_takes_the_handshake(void **state)
{
	(void)state;
	connect_pair();
	peer_conn_handshake(w.side[1].conn, w.now);
	pair_settle(&w);
	assert_int_equal(w.side[1].endpoints, 1);
	assert_int_equal(w.side[1].initiations, 0);
	pair_run(&w, w.now + 10 * LN_SEC);
	assert_int_equal(w.side[1].endpoints, 1);
	pair_fini(&w);
}

static void test_guard(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	w.side[1].deaf_signal = true;
	w.side[0].deaf_signal = true;
	ln_time start = w.now;
	pair_run(&w, start + 40 * LN_MINUTE);
	const struct pair_side *s = &w.side[0];
	ln_time at[32];
	unsigned n = 0;
	for (unsigned i = 0; i < s->nlog && n < 32; i++)
		if (s->log[i].type == SIGNAL_OFFER)
			at[n++] = s->log[i].at - start;
	assert_true(n >= 10);
	assert_int_equal(at[0], 0);
	assert_in_range(at[1], 300 * LN_MSEC, 360 * LN_MSEC);
	static const ln_time gaps[] = { 700, 1500, 3000, 6000, 12000, 24000 };
	for (unsigned i = 0; i < LN_COUNT(gaps); i++)
		assert_in_range(at[i + 2] - at[i + 1], gaps[i] * LN_MSEC,
				gaps[i] * LN_MSEC * 6 / 5 + 1);
	/* The cap, drawn once; and from the tenth offer that finds nobody, ever longer. */
	const ln_time cap = 45 * LN_SEC, last = 5 * LN_MINUTE, rounded = 500 * LN_MSEC;
	for (unsigned i = 8; i < 12; i++)
		assert_in_range(at[i] - at[i - 1], 30 * LN_SEC, cap * 6 / 5 + rounded);
	assert_in_range(at[12] - at[11], 60 * LN_SEC, 2 * cap * 6 / 5 + rounded);
	for (unsigned i = 15; i < n; i++)
		assert_in_range(at[i] - at[i - 1], last, last * 6 / 5 + rounded);
	assert_in_range(n, 17, 22);
	/* Packets wait: one at once, and more after no more than the cap. */
	for (unsigned i = 0; i < 20; i++) {
		peer_conn_wake(w.side[0].conn, w.now);
		pair_run(&w, w.now + 5 * LN_SEC);
	}
	assert_in_range(pair_count(s, SIGNAL_OFFER) - n, 3, 5);
	/* The other side is back: it is heard at once, and so are we. */
	unsigned before = pair_count(s, SIGNAL_OFFER);
	w.side[1].deaf_signal = w.side[0].deaf_signal = false;
	peer_conn_reset_guard(w.side[1].conn, w.now, true);
	pair_run(&w, w.now + 3 * LN_SEC);
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_CONNECTED);
	assert_int_equal(peer_conn_state(w.side[1].conn), PEER_CONNECTED);
	assert_true(pair_count(s, SIGNAL_OFFER) - before <= 2);
	/* The same session all the time: a repetition, not a new negotiation. */
	for (unsigned i = 0; i < s->nlog; i++)
		if (s->log[i].type == SIGNAL_OFFER)
			assert_memory_equal(s->log[0].session, s->log[i].session,
					    SIGNAL_SESSION_LEN);
	pair_fini(&w);
}

static void test_candidates_wait_for_the_offer(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	w.side[0].hold_sends = true;
	w.side[0].deaf_signal = true;
	pair_settle(&w);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_OFFER), 1);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_CANDIDATE), 0);
	peer_conn_sent(w.side[0].conn, w.now, w.side[0].token + 1, true); /* not ours */
	pair_settle(&w);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_CANDIDATE), 0);
	peer_conn_sent(w.side[0].conn, w.now, w.side[0].token, true);
	pair_settle(&w);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_CANDIDATE), 1);
	/* And once more, for an agent that was still being made. */
	w.side[0].deaf_signal = w.side[1].deaf_signal = true;
	pair_run(&w, w.now + 250 * LN_MSEC);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_CANDIDATE), 2);
	pair_fini(&w);
}

static void test_failed_send(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	w.side[0].fail_sends = true;
	w.side[0].deaf_signal = true;
	pair_run(&w, w.now + 200 * LN_MSEC);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_CANDIDATE), 0);
	w.side[0].fail_sends = false;
	peer_conn_reset_guard(w.side[0].conn, w.now, true);
	pair_settle(&w);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_OFFER), 2);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_CANDIDATE), 1);
	pair_fini(&w);
}

static struct signal_body offer(uint32_t type, const char *payload, uint8_t session)
{
	struct signal_body m = { .type = type,
				 .payload = slice_str(payload),
				 .version = "0.77.1",
				 .has_session = session != 0 };
	memset(m.session, session, sizeof(m.session));
	return m;
}

#define CRED "RemoteUfragAbcde:RemotePasswordRemotePasswordRemo"

static void test_sessions(void **state)
{
	(void)state;
	struct peer_info info;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	struct peer_conn *p = w.side[0].conn;
	w.side[0].deaf_net = w.side[1].deaf_signal = true;
	struct signal_body m = offer(SIGNAL_OFFER, CRED, 1);
	assert_int_equal(peer_conn_signal(p, w.now, &m), 0);
	peer_conn_info(p, &info);
	assert_int_equal(info.negotiations, 1);
	/* The same session again: answered, ICE untouched. */
	assert_int_equal(peer_conn_signal(p, w.now, &m), 0);
	/* None at all while an agent lives: likewise. */
	struct signal_body old = offer(SIGNAL_OFFER, CRED, 0);
	assert_int_equal(peer_conn_signal(p, w.now, &old), 0);
	peer_conn_info(p, &info);
	assert_int_equal(info.negotiations, 1);
	/* The controller follows a new session at once. */
	struct signal_body next = offer(SIGNAL_OFFER, CRED, 2);
	assert_int_equal(peer_conn_signal(p, w.now, &next), 0);
	peer_conn_info(p, &info);
	assert_int_equal(info.negotiations, 2);
	pair_fini(&w);
}

static void test_controlled_finishes_what_runs(void **state)
{
	(void)state;
	struct peer_info info;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	struct peer_conn *p = w.side[1].conn;
	struct signal_body m = offer(SIGNAL_OFFER, CRED, 1);
	assert_int_equal(peer_conn_signal(p, w.now, &m), 0);
	struct signal_body next = offer(SIGNAL_OFFER, CRED, 2);
	assert_int_equal(peer_conn_signal(p, w.now + LN_SEC, &next), 0);
	peer_conn_info(p, &info);
	assert_int_equal(info.negotiations, 1);
	/* Other credentials are another process: that one is gone. */
	struct signal_body fresh =
		offer(SIGNAL_OFFER, "OtherUfragAbcdef:RemotePasswordRemotePasswordRemo", 3);
	assert_int_equal(peer_conn_signal(p, w.now + LN_SEC, &fresh), 0);
	peer_conn_info(p, &info);
	assert_int_equal(info.negotiations, 2);
	pair_fini(&w);
}

static void test_one_answer_at_a_time(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ .lazy = true });
	struct pair_side *s = &w.side[0];
	s->hold_sends = true;
	struct signal_body m = offer(SIGNAL_OFFER, CRED, 1);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(peer_conn_signal(s->conn, w.now, &m), 0);
		pair_drain(&w, 0);
	}
	assert_int_equal(pair_count(s, SIGNAL_ANSWER), 1);
	uint64_t first = s->token;
	peer_conn_sent(s->conn, w.now, first, true);
	pair_drain(&w, 0);
	assert_int_equal(pair_count(s, SIGNAL_ANSWER), 2);
	peer_conn_sent(s->conn, w.now, s->token, true);
	pair_drain(&w, 0);
	assert_int_equal(pair_count(s, SIGNAL_ANSWER), 2);
	/* A woken peer answers; its own offer would say the same. */
	assert_int_equal(pair_count(s, SIGNAL_OFFER), 0);
	pair_fini(&w);
}

static void test_malformed_offers(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "a", "a:b:c", "::", "ab" };
	pair_init(&w, (struct peer_conn_conf){ 0 });
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		struct signal_body m = offer(SIGNAL_OFFER, bad[i], 1);
		assert_int_equal(peer_conn_signal(w.side[0].conn, w.now, &m), LN_E_MALFORMED);
	}
	struct signal_body m = offer(SIGNAL_MODE, CRED, 1);
	assert_int_equal(peer_conn_signal(w.side[0].conn, w.now, &m), LN_E_UNSUPPORTED);
	m.type = 77;
	assert_int_equal(peer_conn_signal(w.side[0].conn, w.now, &m), LN_E_UNSUPPORTED);
	assert_false(peer_conn_negotiating(w.side[0].conn));
	pair_fini(&w);
}

static void test_no_ice(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	struct pair_side *s = &w.side[0];
	w.side[1].deaf_signal = true;
	pair_drain(&w, 0);
	struct signal_body m = offer(SIGNAL_OFFER, ":", 0);
	assert_int_equal(peer_conn_signal(s->conn, w.now, &m), 0);
	pair_drain(&w, 0);
	assert_false(peer_conn_negotiating(s->conn));
	assert_int_equal(s->log[s->nlog - 1].type, SIGNAL_ANSWER);
	assert_string_equal(s->log[s->nlog - 1].payload, ":");
	pair_fini(&w);
}

#define CAND_FMT "1 1 udp 2130706431 192.0.2.1 %u typ host ufrag %s cid %032u"

static int early(struct peer_conn *p, unsigned port, const char *ufrag, ln_time now)
{
	char text[256];
	(void)snprintf(text, sizeof(text), CAND_FMT, port, ufrag, port);
	struct signal_body m = { .type = SIGNAL_CANDIDATE, .payload = slice_str(text) };
	return peer_conn_signal(p, now, &m);
}

static unsigned remote_hosts(struct peer_conn *p)
{
	struct peer_info info;
	peer_conn_info(p, &info);
	return info.ice.remote_host;
}

static void test_early_candidates(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	struct peer_conn *p = w.side[0].conn;
	assert_int_equal(early(p, 1001, "RemoteUfragAbcde", w.now), 0);
	assert_int_equal(early(p, 1002, "SomebodyElse", w.now), 0);
	struct signal_body plain = { .type = SIGNAL_CANDIDATE,
				     .payload = slice_str("1 1 udp 2130706431 192.0.2.1 1003 typ "
							  "host") };
	assert_int_equal(peer_conn_signal(p, w.now, &plain), 0);
	struct signal_body m = offer(SIGNAL_OFFER, CRED, 1);
	assert_int_equal(peer_conn_signal(p, w.now, &m), 0);
	assert_int_equal(remote_hosts(p), 2);
	pair_fini(&w);
}

/* One of a thousand that open at once: its offer waits, but not when it is needed. */
static void test_pace(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	w.side[1].deaf_signal = true;
	peer_conn_pace(w.side[0].conn, w.now, 900 * LN_MSEC);
	peer_conn_pace(w.side[1].conn, w.now, 30 * LN_SEC);
	pair_run(&w, w.now + 800 * LN_MSEC);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_OFFER), 0);
	pair_run(&w, w.now + 150 * LN_MSEC);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_OFFER), 1);
	peer_conn_pace(w.side[0].conn, w.now, LN_SEC); /* none is due */
	pair_run(&w, w.now + 350 * LN_MSEC);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_OFFER), 2);
	assert_int_equal(pair_count(&w.side[1], SIGNAL_OFFER), 0);
	peer_conn_wake(w.side[1].conn, w.now);
	pair_settle(&w);
	assert_int_equal(pair_count(&w.side[1], SIGNAL_OFFER), 1);
	pair_fini(&w);
}

/* Candidates without their offer: it was lost, and ours goes out soon instead of in seconds. */
static void test_lost_offer(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	w.side[0].deaf_signal = w.side[1].deaf_signal = true;
	pair_run(&w, w.now + 15 * LN_SEC); /* the next offer would come some 10 s from here */
	unsigned offers = pair_count(&w.side[0], SIGNAL_OFFER);
	pair_run(&w, w.now + LN_SEC);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_OFFER), offers);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(early(w.side[0].conn, 1001 + i, "RemoteUfragAbcde", w.now), 0);
	pair_run(&w, w.now + 600 * LN_MSEC);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_OFFER), offers + 1);
	pair_fini(&w);
}

/* Our candidates were lost: sent three times more, but not to a side that checks us already. */
static void test_candidates_again(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	w.side[0].deaf_net = w.side[1].deaf_net = true;
	pair_run(&w, w.now + 8 * LN_SEC);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_CANDIDATE), 4);
	pair_fini(&w);
	pair_init(&w, (struct peer_conn_conf){ 0 });
	w.side[1].deaf_net = true; /* its checks arrive, ours do not */
	pair_run(&w, w.now + 8 * LN_SEC);
	assert_int_equal(pair_count(&w.side[0], SIGNAL_CANDIDATE), 2);
	pair_fini(&w);
}

static void test_early_limits(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	struct peer_conn *p = w.side[0].conn;
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(early(p, 1000 + i, "RemoteUfragAbcde", w.now), 0);
	assert_int_equal(early(p, 2000, "RemoteUfragAbcde", w.now), LN_E_LIMIT);
	/* Fifteen seconds later they are forgotten. */
	ln_time later = w.now + 16 * LN_SEC;
	assert_int_equal(early(p, 2000, "RemoteUfragAbcde", later), 0);
	struct signal_body m = offer(SIGNAL_OFFER, CRED, 1);
	assert_int_equal(peer_conn_signal(p, later, &m), 0);
	assert_int_equal(remote_hosts(p), 1);
	pair_fini(&w);
}

static void test_forwarded_port(void **state)
{
	(void)state;
	struct peer_info info;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	struct peer_conn *p = w.side[0].conn;
	struct signal_body m = offer(SIGNAL_OFFER, CRED, 1);
	assert_int_equal(peer_conn_signal(p, w.now, &m), 0);
	static const char *const text =
		"1 1 udp 1694498815 198.51.100.1 40001 typ srflx raddr 0.0.0.0 rport 51820";
	struct signal_body c = { .type = SIGNAL_CANDIDATE, .payload = slice_str(text) };
	assert_int_equal(peer_conn_signal(p, w.now, &c), 0);
	peer_conn_info(p, &info);
	assert_int_equal(info.ice.remote_srflx, 1); /* no cid: the sender names both itself */
	c.payload = slice_str("1 1 udp 1694498815 198.51.100.2 40001 typ srflx raddr 0.0.0.0 rport "
			      "51820 ufrag RemoteUfragAbcde cid aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_int_equal(peer_conn_signal(p, w.now, &c), 0);
	peer_conn_info(p, &info);
	assert_int_equal(info.ice.remote_srflx, 3);
	pair_fini(&w);
}

static void test_lazy(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ .lazy = true });
	pair_run(&w, w.now + LN_MINUTE);
	assert_int_equal(w.side[0].nlog + w.side[1].nlog, 0);
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_IDLE);
	assert_true(peer_conn_deadline(w.side[0].conn) == LN_TIME_NEVER);
	peer_conn_wake(w.side[1].conn, w.now);
	pair_run(&w, w.now + 500 * LN_MSEC);
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_CONNECTED);
	assert_int_equal(peer_conn_state(w.side[1].conn), PEER_CONNECTED);
	pair_fini(&w);
}

static void test_sleeps_and_says_so(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ .lazy = true, .idle_after = 5 * LN_MINUTE });
	peer_conn_wake(w.side[0].conn, w.now);
	pair_run(&w, w.now + LN_SEC);
	for (int i = 0; i < 2; i++) {
		w.side[i].wg.last_handshake = w.now;
		peer_conn_handshake(w.side[i].conn, w.now);
	}
	ln_time start = w.now;
	for (; w.now < start + 10 * LN_MINUTE; pair_run(&w, w.now + LN_MINUTE)) {
		bool busy = w.now < start + 3 * LN_MINUTE;
		for (int i = 0; i < 2; i++) {
			w.side[i].wg.last_handshake = w.now;
			if (busy)
				w.side[i].wg.last_data_received = w.now;
		}
		if (busy)
			assert_int_equal(peer_conn_state(w.side[0].conn), PEER_CONNECTED);
	}
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_IDLE);
	assert_int_equal(peer_conn_state(w.side[1].conn), PEER_IDLE);
	/* One of them said it, the other obeyed in silence, and nobody woke up again. */
	assert_int_equal(
		pair_count(&w.side[0], SIGNAL_GO_IDLE) + pair_count(&w.side[1], SIGNAL_GO_IDLE), 1);
	assert_true(w.side[0].resets > 0 && w.side[0].endpoint.addr.family == 0);
	pair_fini(&w);
}

static void test_go_idle_is_for_lazy_peers(void **state)
{
	(void)state;
	connect_pair();
	struct signal_body m = { .type = SIGNAL_GO_IDLE };
	assert_int_equal(peer_conn_signal(w.side[0].conn, w.now, &m), LN_E_UNSUPPORTED);
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_CONNECTED);
	peer_conn_set_lazy(w.side[0].conn, w.now, true);
	assert_int_equal(peer_conn_signal(w.side[0].conn, w.now, &m), 0);
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_IDLE);
	/* And it wakes nobody. */
	assert_int_equal(peer_conn_signal(w.side[0].conn, w.now, &m), LN_E_UNSUPPORTED);
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_IDLE);
	pair_fini(&w);
}

static void test_silence_and_recovery(void **state)
{
	(void)state;
	connect_pair();
	struct pair_side *s = &w.side[0];
	uint8_t before[SIGNAL_SESSION_LEN];
	memcpy(before, s->log[0].session, sizeof(before));
	unsigned resets = s->resets;
	w.side[0].deaf_net = w.side[1].deaf_net = true;
	pair_run(&w, w.now + 8 * LN_SEC);
	assert_int_equal(peer_conn_state(s->conn), PEER_CONNECTING);
	/* The other side is one of ours and keeps the session as well. */
	assert_int_equal(s->resets, resets);
	assert_int_equal(s->endpoint.addr.family, 0);
	assert_memory_not_equal(before, s->log[s->nlog - 1].session, sizeof(before));
	w.side[0].deaf_net = w.side[1].deaf_net = false;
	ln_time start = w.now;
	while (peer_conn_state(s->conn) != PEER_CONNECTED && w.now < start + LN_MINUTE)
		pair_run(&w, w.now + 100 * LN_MSEC);
	assert_in_range(w.now - start, 0, 15 * LN_SEC);
	pair_fini(&w);
}

/* An unmodified agent forgets its keys when the path is lost, so ours are of no use. */
static void test_silence_of_an_unmodified_peer(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	w.side[0].unmodified = w.side[1].unmodified = true;
	pair_run(&w, w.now + 2 * LN_SEC);
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_CONNECTED);
	unsigned resets = w.side[0].resets;
	w.side[0].deaf_net = w.side[1].deaf_net = true;
	pair_run(&w, w.now + 8 * LN_SEC);
	assert_int_equal(w.side[0].resets, resets + 1);
	pair_fini(&w);
}

static void test_handshake_watch(void **state)
{
	(void)state;
	connect_pair();
	struct peer_info info;
	pair_run(&w, w.now + 28 * LN_SEC);
	peer_conn_info(w.side[0].conn, &info);
	assert_int_equal(info.losses, 0);
	pair_run(&w, w.now + 3 * LN_SEC);
	peer_conn_info(w.side[0].conn, &info);
	assert_true(info.losses > 0);
	pair_fini(&w);

	connect_pair();
	for (int i = 0; i < 2; i++) {
		w.side[i].wg.last_handshake = w.now;
		peer_conn_handshake(w.side[i].conn, w.now);
	}
	pair_run(&w, w.now + 200 * LN_SEC);
	peer_conn_info(w.side[0].conn, &info);
	assert_int_equal(info.losses, 0);
	/* No new one in 210 s: the path carries nothing. */
	pair_run(&w, w.now + 30 * LN_SEC);
	peer_conn_info(w.side[0].conn, &info);
	assert_true(info.losses > 0);
	pair_fini(&w);
}

static void test_early_check(void **state)
{
	(void)state;
	/* The other side learns our credentials first and its check arrives before its offer. */
	pair_init(&w, (struct peer_conn_conf){ .lazy = true });
	peer_conn_wake(w.side[0].conn, w.now);
	w.side[0].deaf_signal = true;
	pair_run(&w, w.now + 50 * LN_MSEC);
	assert_false(peer_conn_negotiating(w.side[0].conn));
	assert_true(peer_conn_negotiating(w.side[1].conn));
	w.side[0].deaf_signal = false;
	pair_run(&w, w.now + 700 * LN_MSEC);
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_CONNECTED);
	pair_fini(&w);
}

static void test_close_drops_what_is_in_flight(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ .lazy = true });
	struct pair_side *s = &w.side[0];
	s->hold_sends = true;
	peer_conn_wake(s->conn, w.now);
	pair_drain(&w, 0);
	uint64_t stale = s->token;
	peer_conn_close(s->conn, w.now, false);
	pair_drain(&w, 0);
	peer_conn_wake(s->conn, w.now);
	peer_conn_sent(s->conn, w.now, stale, true);
	pair_drain(&w, 0);
	assert_int_equal(pair_count(s, SIGNAL_CANDIDATE), 0);
	assert_int_equal(pair_count(s, SIGNAL_OFFER), 2);
	assert_string_not_equal(s->log[0].payload, s->log[1].payload); /* new credentials */
	pair_fini(&w);
}

static void test_restart(void **state)
{
	(void)state;
	connect_pair();
	w.side[0].local.hosts[0] = pair_ep("10.3.0.9:51820");
	peer_conn_restart(w.side[0].conn, w.now);
	peer_conn_local_changed(w.side[0].conn, w.now);
	pair_run(&w, w.now + 2 * LN_SEC);
	assert_int_equal(peer_conn_state(w.side[0].conn), PEER_CONNECTED);
	assert_int_equal(peer_conn_state(w.side[1].conn), PEER_CONNECTED);
	struct peer_info info;
	peer_conn_info(w.side[1].conn, &info);
	assert_true(ip_ep_equal(&info.ice.pair.remote.addr, &w.side[0].local.hosts[0]));
	pair_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connects),
		cmocka_unit_test(test_responder_falls_back),
		cmocka_unit_test(test_responder_takes_the_handshake),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_candidates_wait_for_the_offer),
		cmocka_unit_test(test_failed_send),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_controlled_finishes_what_runs),
		cmocka_unit_test(test_one_answer_at_a_time),
		cmocka_unit_test(test_malformed_offers),
		cmocka_unit_test(test_no_ice),
		cmocka_unit_test(test_early_candidates),
		cmocka_unit_test(test_early_limits),
		cmocka_unit_test(test_pace),
		cmocka_unit_test(test_lost_offer),
		cmocka_unit_test(test_candidates_again),
		cmocka_unit_test(test_forwarded_port),
		cmocka_unit_test(test_lazy),
		cmocka_unit_test(test_sleeps_and_says_so),
		cmocka_unit_test(test_go_idle_is_for_lazy_peers),
		cmocka_unit_test(test_silence_and_recovery),
		cmocka_unit_test(test_silence_of_an_unmodified_peer),
		cmocka_unit_test(test_handshake_watch),
		cmocka_unit_test(test_early_check),
		cmocka_unit_test(test_close_drops_what_is_in_flight),
		cmocka_unit_test(test_restart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
