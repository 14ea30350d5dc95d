#include "lib/wg/wg_dev.h"

#include "tests/unit/unit.h"
#include "tests/unit/wg/wg_world.h"

static struct world w;

/* Hosts 0 and 1 know each other; 0 also knows where 1 is. */
static void pair(uint64_t seed)
{
	world_init(&w, seed, NULL);
	world_peer(&w, 0, 1, 0, NULL);
	world_peer(&w, 1, 0, 0, NULL);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, false);
}

static int teardown(void **state)
{
	world_fini(&w);
	return 0;
}

static void connect_pair(void)
{
	world_packet(&w, 0, 1, 0, 100);
	world_pass(&w, 100 * LN_MSEC);
	assert_int_equal(w.h[1].delivered, 1);
}

static void test_first_packet(void **state)
{
	pair(1);
	assert_int_equal(world_packet(&w, 0, 1, 7, 100), LN_E_AGAIN);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 1);
	world_pass(&w, 100 * LN_MSEC);
	assert_int_equal(w.h[1].sent[WG_MSG_RESPONSE], 1);
	assert_int_equal(w.h[1].delivered, 1);
	assert_int_equal(w.h[1].last_number, 7);
	assert_int_equal(w.h[0].sent[WG_MSG_DATA], 1); /* the packet confirms, no keepalive */
	assert_int_equal(w.h[0].handshakes, 1);
	assert_int_equal(w.h[1].handshakes, 1);
	assert_int_equal(w.h[1].roamed, 1); /* learned where 0 is */
	assert_int_equal(world_packet(&w, 1, 0, 8, 1280), 0);
	world_pass(&w, 100 * LN_MSEC);
	assert_int_equal(w.h[0].last_number, 8);
	struct wg_peer_stats s;
	assert_int_equal(wg_dev_stats(w.h[0].dev, &w.h[1].key, &s), 0);
	assert_int_equal(s.tx_bytes, 148 + 32 + 112);
	assert_int_equal(s.rx_bytes, 92 + 32 + 1280);
	assert_true(s.last_handshake_wall > 1700000000 * LN_SEC);
	assert_true(ip_ep_equal(&s.endpoint, &w.h[1].ep));
	/* How long its handshake took, to where; the one who answered knows nothing. */
	assert_true(ip_ep_equal(&s.handshake_to, &w.h[1].ep));
	assert_true(s.handshake_rtt == 2 * WORLD_LATENCY);
	assert_int_equal(wg_dev_stats(w.h[1].dev, &w.h[0].key, &s), 0);
	assert_true(s.handshake_rtt == 0);
}

/* Several packets wait and leave in order. */
static void test_staged_order(void **state)
{
	pair(2);
	for (unsigned i = 0; i < 150; i++) {
		world_packet(&w, 0, 1, i, 60);
		world_pass(&w, 10 * LN_USEC);
	}
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 1);
	assert_int_equal(w.h[1].delivered, 128); /* the oldest 22 went */
	assert_int_equal(w.h[1].got[21], 0);
	assert_int_equal(w.h[1].got[22], 1);
	assert_int_equal(w.h[1].last_number, 149);
	assert_int_equal(wg_dev_drops(w.h[0].dev)->queue_full, 22);
}

static void test_no_peer(void **state)
{
	pair(3);
	assert_int_equal(world_packet(&w, 0, 2, 1, 60), LN_E_NOTFOUND);
	assert_int_equal(wg_dev_drops(w.h[0].dev)->no_peer, 1);
	uint8_t b[128] = { 0 };
	struct wg_tx tx = { .msg = b, .inner = 19 };
	b[16] = 0x45;
	wg_dev_seal(w.h[0].dev, w.now, &tx, 1);
	assert_int_equal(tx.err, LN_E_MALFORMED);
	tx.inner = 39;
	b[16] = 0x60;
	wg_dev_seal(w.h[0].dev, w.now, &tx, 1);
	assert_int_equal(tx.err, LN_E_MALFORMED);
}

/* A peer without endpoint is asked for once a second, and its packets survive. */
static void test_wanted(void **state)
{
	static const struct ip_ep none;
	pair(4);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &none, false);
	for (unsigned i = 0; i < 30; i++) {
		world_packet(&w, 0, 1, i, 60);
		world_pass(&w, 100 * LN_MSEC);
	}
	assert_int_equal(w.h[0].wanted, 3);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 0);
	world_pass(&w, 300 * LN_SEC);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, false);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[1].delivered, 30);
	/* Taken away while the session lives: packets wait again, no new handshake is needed. */
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &none, false);
	world_packet(&w, 0, 1, 99, 60);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[0].wanted, 4);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, true);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[1].last_number, 99);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 1);
}

/* initiate: at once, once, and not when there is a young session. */
static void test_initiate(void **state)
{
	pair(5);
	for (unsigned i = 0; i < 5; i++)
		wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, true);
	world_run(&w, w.now);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 1);
	world_pass(&w, LN_MSEC);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, true);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 1);
	assert_int_equal(w.h[0].sent[WG_MSG_DATA], 1); /* a keepalive confirms */
	assert_int_equal(w.h[1].handshakes, 1);
	world_pass(&w, 100 * LN_SEC);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, true);
	world_run(&w, w.now);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 1);
	world_pass(&w, 20 * LN_SEC);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, true);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 2);
	assert_int_equal(w.h[0].handshakes, 2);
}

/* An initiation that went to the wrong place is repeated at once to the right one. */
static void test_initiate_elsewhere(void **state)
{
	struct ip_ep nowhere = { .addr = ip_v4(0xc6336401), .port = 9 };
	pair(6);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &nowhere, true);
	world_pass(&w, LN_SEC);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, true);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 2);
	assert_int_equal(w.h[0].handshakes, 1);
}

/* Both begin in the same moment: both are answered, traffic flows at once. */
static void test_crossing(void **state)
{
	pair(7);
	wg_dev_set_endpoint(w.h[1].dev, w.now, &w.h[0].key, &w.h[0].ep, false);
	world_packet(&w, 0, 1, 1, 60);
	world_packet(&w, 1, 0, 2, 60);
	world_pass(&w, 200 * LN_MSEC);
	assert_int_equal(w.h[0].delivered, 1);
	assert_int_equal(w.h[1].delivered, 1);
	for (unsigned i = 0; i < 400; i++) {
		world_packet(&w, i % 2, 1 - i % 2, 10 + i, 60);
		world_pass(&w, LN_SEC);
	}
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(w.h[1 - i % 2].got[10 + i], 1);
}

static void test_psk(void **state)
{
	struct wg_secret psk = { .b = { 1, 2, 3 } };
	world_init(&w, 8, NULL);
	world_peer(&w, 0, 1, 0, &psk);
	world_peer(&w, 1, 0, 0, NULL);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, false);
	world_packet(&w, 0, 1, 1, 60);
	world_pass(&w, 4 * LN_SEC);
	assert_int_equal(w.h[1].delivered, 0);
	assert_int_equal(w.h[0].handshakes, 0);
	world_peer(&w, 1, 0, 0, &psk);
	world_pass(&w, 4 * LN_SEC); /* the retry */
	assert_int_equal(w.h[1].delivered, 1);
}

/* Traffic for an hour: a new session every 120 s, nothing lost, begun by the first initiator. */
static void test_rekey(void **state)
{
	pair(9);
	connect_pair();
	for (unsigned i = 1; i < 3600; i++) {
		world_packet(&w, 0, 1, 2 * i, 60);
		world_packet(&w, 1, 0, 2 * i + 1, 60);
		world_pass(&w, LN_SEC);
	}
	assert_int_equal(w.h[1].delivered, 3600);
	assert_int_equal(w.h[0].delivered, 3599);
	assert_in_range(w.h[0].sent[WG_MSG_INITIATION], 29, 30);
	assert_int_equal(w.h[1].sent[WG_MSG_INITIATION], 0);
}

/* The wall clock is set back by an hour, forward by a year and back again: no packet is lost. A
 * peer takes no initiation that is stamped earlier than the one before (WireGuard paper 5.1). */
static void test_clock_jumps(void **state)
{
	const ln_wall started = 1700000000 * LN_SEC, year = (ln_wall)365 * 24 * LN_HOUR;
	const ln_wall jumps[] = { 0, -(ln_wall)LN_HOUR, year, -(ln_wall)LN_HOUR };
	pair(22);
	connect_pair();
	for (unsigned i = 1; i < 2400; i++) {
		if (i % 600 == 0)
			for (unsigned h = 0; h < 2; h++)
				wg_dev_set_wall(w.h[h].dev, w.now,
						started + (ln_wall)i * LN_SEC + jumps[i / 600]);
		world_packet(&w, 0, 1, 2 * i, 60);
		world_packet(&w, 1, 0, 2 * i + 1, 60);
		world_pass(&w, LN_SEC);
	}
	assert_int_equal(w.h[1].delivered, 2400);
	assert_int_equal(w.h[0].delivered, 2399);
	assert_in_range(w.h[0].sent[WG_MSG_INITIATION], 19, 20);
}

/* A session that only receives: its initiator renews it before it ends. */
static void test_rekey_by_receiver(void **state)
{
	pair(10);
	connect_pair();
	for (unsigned i = 1; i < 400; i++) {
		world_packet(&w, 1, 0, i, 60);
		world_pass(&w, LN_SEC);
		assert_int_equal(w.h[0].delivered, i);
	}
	assert_int_equal(w.h[1].sent[WG_MSG_INITIATION], 0);
	assert_in_range(w.h[0].sent[WG_MSG_INITIATION], 3, 4);
}

/* Silence: no packet at all is sent; keys are wiped; the next packet begins anew. */
static void test_expiry(void **state)
{
	pair(11);
	connect_pair();
	world_pass(&w, 20 * LN_SEC);
	unsigned sent = w.h[0].sent[WG_MSG_DATA] + w.h[1].sent[WG_MSG_DATA];
	assert_int_equal(sent, 2); /* the packet, and its passive keepalive */
	w.keep_last = true;
	world_packet(&w, 0, 1, 1, 60);
	w.keep_last = false;
	world_pass(&w, 179 * LN_SEC);
	struct world_datagram old = w.last;
	world_pass(&w, 2 * LN_SEC);
	world_arrive(&w, &old); /* after 180 s the session takes nothing, replay or not */
	assert_int_equal(wg_dev_drops(w.h[1].dev)->no_session, 1);
	world_pass(&w, 600 * LN_SEC);
	assert_true(wg_dev_deadline(w.h[0].dev) == LN_TIME_NEVER);
	assert_true(wg_dev_deadline(w.h[1].dev) == LN_TIME_NEVER);
	unsigned before = w.h[0].sent[WG_MSG_INITIATION];
	world_packet(&w, 0, 1, 2, 60);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], before + 1);
	assert_int_equal(w.h[1].last_number, 2);
}

static void test_persistent_keepalive(void **state)
{
	world_init(&w, 12, NULL);
	world_peer(&w, 0, 1, 25, NULL);
	world_peer(&w, 1, 0, 0, NULL);
	world_pass(&w, 100 * LN_SEC);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 0); /* no endpoint, no sign of life */
	assert_int_equal(w.h[0].wanted, 0);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, true);
	world_pass(&w, 1010 * LN_SEC);
	assert_in_range(w.h[0].sent[WG_MSG_DATA], 32, 50);
	assert_in_range(w.h[0].handshakes, 7, 9);
	assert_int_equal(w.h[0].delivered + w.h[1].delivered, 0);
}

/* Nobody answers: 19 initiations 5 s apart, then quiet; what waited is dropped. */
static void test_give_up(void **state)
{
	pair(13);
	w.blocked = true;
	world_packet(&w, 0, 1, 1, 60);
	world_pass(&w, 4 * LN_SEC);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 1);
	world_pass(&w, 2 * LN_SEC);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 2);
	world_pass(&w, 400 * LN_SEC);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 19);
	w.blocked = false;
	world_packet(&w, 0, 1, 2, 60);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[1].delivered, 1);
	assert_int_equal(w.h[1].last_number, 2);
}

/* Data sent, nothing back for 15 s: the other side may be gone, ask. */
static void test_silence(void **state)
{
	pair(14);
	connect_pair();
	world_pass(&w, 30 * LN_SEC);
	w.blocked = true;
	world_packet(&w, 0, 1, 1, 60);
	world_pass(&w, 14 * LN_SEC);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 1);
	world_pass(&w, 2 * LN_SEC);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION], 2);
}

static void set_spare(unsigned i, bool both, ln_time doubt_after)
{
	struct ip_ep to = { 0 };
	if (both)
		to = world_relay_ep(!i);
	assert_int_equal(wg_dev_set_spare(w.h[i].dev, &w.h[!i].key, &to, doubt_after), 0);
}

/* Packets that are answered raise no doubt, others do after the time set, once per time. */
static void test_doubt(void **state)
{
	pair(20);
	connect_pair();
	set_spare(0, false, 100 * LN_MSEC);
	for (uint32_t i = 0; i < 20; i++) {
		world_packet(&w, 0, 1, i, 60);
		world_pass(&w, 20 * LN_MSEC);
		world_packet(&w, 1, 0, i, 60);
		world_pass(&w, 80 * LN_MSEC);
	}
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[0].doubts, 0);
	assert_int_equal(w.h[1].doubts, 0); /* it was not asked to tell */
	/* And answers need not be answered. */
	set_spare(1, false, 100 * LN_MSEC);
	world_packet(&w, 0, 1, 40, 60);
	world_pass(&w, 20 * LN_MSEC);
	world_packet(&w, 1, 0, 40, 60);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[1].doubts, 0);
	w.blocked = true;
	world_packet(&w, 0, 1, 50, 60);
	world_pass(&w, 99 * LN_MSEC);
	assert_int_equal(w.h[0].doubts, 0);
	world_pass(&w, 2 * LN_MSEC);
	assert_int_equal(w.h[0].doubts, 1);
	world_pass(&w, 900 * LN_MSEC);
	assert_int_equal(w.h[0].doubts, 1); /* nothing more was sent */
	/* What the relay brings says nothing about the direct way. */
	world_packet(&w, 0, 1, 51, 60);
	set_spare(1, true, 0);
	world_packet(&w, 1, 0, 52, 60);
	world_pass(&w, 101 * LN_MSEC);
	assert_int_equal(w.h[0].got[52], 1);
	assert_int_equal(w.h[0].doubts, 2);
	set_spare(0, false, 0);
	world_packet(&w, 0, 1, 53, 60);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[0].doubts, 2);
	struct ip_ep nowhere = { 0 };
	assert_int_equal(wg_dev_set_spare(w.h[0].dev, &w.h[2].key, &nowhere, 0), LN_E_NOTFOUND);
}

/* Both ways: one copy is delivered, whichever arrives, and the peer does not move. */
static void test_both_ways(void **state)
{
	pair(21);
	connect_pair();
	struct wg_peer_stats s;
	unsigned roamed = w.h[1].roamed;
	set_spare(0, true, 0);
	for (uint32_t i = 0; i < 10; i++) {
		w.blocked = i % 2 != 0;
		world_packet(&w, 0, 1, 100 + i, 60);
		world_pass(&w, 5 * LN_MSEC);
	}
	world_pass(&w, LN_SEC);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(w.h[1].got[100 + i], 1);
	assert_int_equal(wg_dev_drops(w.h[1].dev)->replayed, 5);
	assert_int_equal(w.h[1].roamed, roamed);
	/* Handshakes take both ways too: the session is renewed over the relay alone. */
	w.blocked = true;
	set_spare(1, true, 0);
	unsigned handshakes = w.h[0].handshakes;
	world_pass(&w, 125 * LN_SEC);
	world_packet(&w, 0, 1, 20, 60);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[0].handshakes, handshakes + 1);
	assert_int_equal(w.h[1].got[20], 1);
	/* The endpoint is the relay: nothing goes twice. */
	struct ip_ep relay = world_relay_ep(1);
	assert_int_equal(wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &relay, false), 0);
	unsigned sent = w.h[0].sent[WG_MSG_DATA];
	world_packet(&w, 0, 1, 21, 60);
	assert_int_equal(w.h[0].sent[WG_MSG_DATA], sent + 1);
	assert_int_equal(wg_dev_stats(w.h[0].dev, &w.h[1].key, &s), 0);
	assert_true(ip_ep_equal(&s.endpoint, &relay));
}

static void test_roaming(void **state)
{
	pair(15);
	connect_pair();
	unsigned roamed = w.h[1].roamed;
	struct ip_ep before = w.h[0].ep;
	w.h[0].ep.port = 7777;
	w.keep_last = true;
	world_packet(&w, 0, 1, 1, 60);
	w.keep_last = false;
	world_pass(&w, 100 * LN_MSEC);
	assert_int_equal(w.h[1].roamed, roamed + 1);
	world_packet(&w, 1, 0, 2, 60);
	world_pass(&w, 100 * LN_MSEC);
	assert_int_equal(w.h[0].last_number, 2);
	/* A replay from elsewhere, and a damaged message, do not move it. */
	struct world_datagram g = w.last;
	g.from.port = 6666;
	world_arrive(&w, &g);
	g.b[8] = 99;
	world_arrive(&w, &g);
	assert_int_equal(wg_dev_drops(w.h[1].dev)->replayed, 1);
	assert_int_equal(wg_dev_drops(w.h[1].dev)->bad_auth, 1);
	assert_int_equal(w.h[1].roamed, roamed + 1);
	assert_int_equal(w.h[1].got[1], 1);
	w.h[0].ep = before;
}

/* The inner source must be among the peer's allowed IPs. */
static void test_inner_source(void **state)
{
	pair(16);
	connect_pair();
	uint8_t b[256] = { 0 };
	uint8_t *p = b + 16;
	p[0] = 0x45;
	p[3] = 60;
	p[12] = p[16] = 10;
	p[15] = 9; /* 10.0.0.9 is nobody's */
	p[19] = 2;
	struct wg_tx tx = { .msg = b, .inner = 60 };
	wg_dev_seal(w.h[0].dev, w.now, &tx, 1);
	world_send(&w, &w.h[0], tx.to, b, tx.len);
	/* Nor may it speak for another peer. */
	world_peer(&w, 1, 2, 0, NULL);
	memset(b, 0, sizeof(b));
	p[0] = 0x45;
	p[3] = 60;
	p[12] = p[16] = 10;
	p[15] = 3;
	p[19] = 2;
	tx = (struct wg_tx){ .msg = b, .inner = 60 };
	wg_dev_seal(w.h[0].dev, w.now, &tx, 1);
	world_send(&w, &w.h[0], tx.to, b, tx.len);
	/* And a length beyond the message. */
	memset(b, 0, sizeof(b));
	p[0] = 0x45;
	p[2] = 1;
	p[12] = p[16] = 10;
	p[15] = 1;
	p[19] = 2;
	tx = (struct wg_tx){ .msg = b, .inner = 60 };
	wg_dev_seal(w.h[0].dev, w.now, &tx, 1);
	world_send(&w, &w.h[0], tx.to, b, tx.len);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[1].delivered, 1);
	assert_int_equal(wg_dev_drops(w.h[1].dev)->bad_source, 3);
}

/* Loss, duplication and reordering on a long run: nothing twice, and little beyond the loss. */
static void test_bad_network(void **state)
{
	for (uint64_t seed = 100; seed < 108; seed++) {
		unsigned n = 2000;
		pair(seed);
		w.loss = 50;
		w.duplicate = 100;
		w.reorder = 300 * LN_MSEC;
		for (unsigned i = 0; i < n; i++) {
			world_packet(&w, i % 2, 1 - i % 2, i, 60 + i % 1000);
			world_pass(&w, 200 * LN_MSEC);
		}
		world_pass(&w, LN_SEC);
		unsigned got = 0;
		for (unsigned i = 0; i < n; i++) {
			assert_true(w.h[0].got[i] + w.h[1].got[i] <= 1);
			got += w.h[0].got[i] + w.h[1].got[i];
		}
		assert_true(got > n * 90 / 100);
		if (seed != 107)
			world_fini(&w);
	}
}

/* Two initiations in one batch, as a NetBird controller sends them: the newest is answered. */
static void test_newest_initiation(void **state)
{
	struct wg_dev_conf c;
	struct world_datagram first;
	pair(17);
	w.keep_last = true;
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, true);
	w.blocked = true;
	world_run(&w, w.now);
	first = w.last;
	/* The same host again, with its clock and key, but no memory of the first one. */
	wg_dev_free(w.h[0].dev);
	wg_dev_conf_default(&c);
	c.secret = &w.h[0].secret;
	w.h[0].dev = wg_dev_new(&c, &w.rng);
	wg_dev_set_wall(w.h[0].dev, w.now, 1700000000 * LN_SEC);
	world_peer(&w, 0, 1, 0, NULL);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, true);
	world_run(&w, w.now);
	w.blocked = false;
	struct wg_rx rx[2] = {
		{ .msg = mslice_of(first.b, first.n), .from = &first.from },
		{ .msg = mslice_of(w.last.b, w.last.n), .from = &w.last.from },
	};
	wg_dev_open(w.h[1].dev, w.now, rx, 2);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[1].sent[WG_MSG_RESPONSE], 1);
	assert_int_equal(w.h[0].handshakes, 1);
}

/* Under load a cookie is asked for, and the retry that carries it gets through. */
static void test_under_load(void **state)
{
	struct wg_dev_conf c;
	wg_dev_conf_default(&c);
	c.handshakes_per_second = 1;
	world_init(&w, 18, &c);
	for (unsigned i = 0; i < 3; i++)
		for (unsigned j = 0; j < 3; j++)
			if (i != j)
				world_peer(&w, i, j, 0, NULL);
	w.keep_last = true;
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[2].key, &w.h[2].ep, true);
	world_run(&w, w.now);
	w.keep_last = false;
	struct world_datagram again = w.last;
	wg_dev_set_endpoint(w.h[1].dev, w.now, &w.h[2].key, &w.h[2].ep, true);
	world_pass(&w, LN_SEC);
	assert_int_equal(w.h[2].sent[WG_MSG_RESPONSE], 1);
	assert_int_equal(w.h[2].sent[WG_MSG_COOKIE], 1);
	/* Somebody keeps the load up with copies, which have no mac2 and get cookies only. */
	for (unsigned i = 0; i < 60; i++) {
		world_arrive(&w, &again);
		world_pass(&w, 100 * LN_MSEC);
	}
	assert_true(wg_dev_drops(w.h[2].dev)->cookies_sent > 30);
	assert_int_equal(wg_dev_drops(w.h[2].dev)->limited, 0);
	assert_int_equal(w.h[2].sent[WG_MSG_RESPONSE], 2);
	assert_int_equal(w.h[0].handshakes + w.h[1].handshakes, 2);
	assert_int_equal(w.h[0].sent[WG_MSG_INITIATION] + w.h[1].sent[WG_MSG_INITIATION], 3);
}

static void test_limits(void **state)
{
	struct wg_dev_conf c;
	struct wg_peer_conf p = { .key = { .b = { 9 } } };
	struct ip_prefix many[3] = { 0 };
	wg_dev_conf_default(&c);
	c.max_peers = 1;
	c.max_prefixes = 2;
	world_init(&w, 19, &c);
	for (unsigned i = 0; i < 3; i++) {
		struct ip_addr a = ip_v4(0x0a000100u + i);
		many[i] = ip_prefix_host(&a);
	}
	p.allowed = many;
	p.nallowed = 3;
	assert_int_equal(wg_dev_set_peer(w.h[0].dev, 0, &p), LN_E_LIMIT);
	p.nallowed = 2;
	assert_int_equal(wg_dev_set_peer(w.h[0].dev, 0, &p), 0);
	assert_int_equal(wg_dev_set_peer(w.h[0].dev, 0, &p), 0); /* the same again */
	p.key.b[0] = 25;
	assert_int_equal(wg_dev_set_peer(w.h[0].dev, 0, &p), LN_E_LIMIT);
	p.key = w.h[0].key;
	assert_int_equal(wg_dev_set_peer(w.h[0].dev, 0, &p), LN_E_CONFLICT);
	many[1].len = 33;
	p.key.b[0] ^= 1;
	assert_int_equal(wg_dev_set_peer(w.h[0].dev, 0, &p), LN_E_MALFORMED);
	p.key = (struct wg_key){ .b = { 9 } };
	assert_int_equal(wg_dev_remove_peer(w.h[0].dev, &p.key), 0);
	assert_int_equal(wg_dev_remove_peer(w.h[0].dev, &p.key), LN_E_NOTFOUND);
	p.key = (struct wg_key){ .b = { 1 } };
	p.nallowed = 0;
	assert_int_equal(wg_dev_set_peer(w.h[0].dev, 0, &p), LN_E_AUTH);
	assert_int_equal(wg_dev_npeers(w.h[0].dev), 0);
}

/* Thousands of peers: a packet for one of them, and the deadline of one of them. */
static void test_many_peers(void **state)
{
	pair(20);
	for (uint32_t i = 0; i < 3000; i++) {
		struct ip_addr a = ip_v4(0x0b000000u + i);
		struct ip_prefix allowed = ip_prefix_host(&a);
		struct wg_peer_conf c = { .allowed = &allowed, .nallowed = 1, .keepalive = 25 };
		world_fill(&w, c.key.b, sizeof(c.key.b));
		assert_int_equal(wg_dev_set_peer(w.h[0].dev, w.now, &c), 0);
	}
	connect_pair();
	assert_int_equal(wg_dev_npeers(w.h[0].dev), 3001);
	struct wg_key key;
	struct wg_peer_stats s;
	unsigned n = 0;
	while (wg_dev_next_changed(w.h[0].dev, &key, &s))
		n++;
	assert_int_equal(n, 3001);
	world_packet(&w, 0, 1, 1, 60);
	assert_true(wg_dev_next_changed(w.h[0].dev, &key, &s));
	assert_true(wg_key_equal(&key, &w.h[1].key));
	assert_false(wg_dev_next_changed(w.h[0].dev, &key, &s));
}

/* A batch for two peers, with strangers between, and more than one AEAD call takes. */
static void test_batches(void **state)
{
	static uint8_t room[200][256];
	struct wg_tx tx[200];
	world_init(&w, 21, NULL);
	for (unsigned i = 1; i < 3; i++) {
		world_peer(&w, 0, i, 0, NULL);
		world_peer(&w, i, 0, 0, NULL);
		wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[i].key, &w.h[i].ep, true);
	}
	world_pass(&w, LN_SEC);
	memset(room, 0, sizeof(room));
	for (unsigned i = 0; i < 200; i++) {
		uint8_t *p = room[i] + 16;
		p[0] = 0x45;
		p[3] = 100;
		p[12] = p[16] = 10;
		p[15] = 1;
		p[19] = i < 150 ? 2 : (uint8_t)(2 + i % 3); /* 2, 3, and 4 who is nobody */
		p[23] = (uint8_t)i;
		tx[i] = (struct wg_tx){ .msg = room[i], .inner = 100 };
	}
	wg_dev_seal(w.h[0].dev, w.now, tx, 200);
	struct wg_rx rx[200];
	unsigned n = 0;
	for (unsigned i = 0; i < 200; i++) {
		bool nobody = i >= 150 && i % 3 == 2;
		assert_int_equal(tx[i].err, nobody ? LN_E_NOTFOUND : 0);
		assert_int_equal(tx[i].len, nobody ? 0 : 144);
		if (!nobody && ip_ep_equal(tx[i].to, &w.h[1].ep))
			rx[n++] = (struct wg_rx){ .msg = mslice_of(room[i], tx[i].len),
						  .from = &w.h[0].ep };
	}
	rx[70].msg.p[8] ^= 1; /* damaged */
	rx[71].msg.p[4] ^= 1; /* unknown index in the middle of a run */
	rx[72].msg.n = 31;    /* too short */
	wg_dev_open(w.h[1].dev, w.now, rx, n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(rx[i].inner.n, i >= 70 && i <= 72 ? 0 : 100);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		T(test_first_packet),
		T(test_staged_order),
		T(test_no_peer),
		T(test_wanted),
		T(test_initiate),
		T(test_initiate_elsewhere),
		T(test_crossing),
		T(test_psk),
		T(test_rekey),
		T(test_clock_jumps),
		T(test_rekey_by_receiver),
		T(test_expiry),
		T(test_persistent_keepalive),
		T(test_give_up),
		T(test_silence),
		T(test_doubt),
		T(test_both_ways),
		T(test_roaming),
		T(test_inner_source),
		T(test_bad_network),
		T(test_newest_initiation),
		T(test_under_load),
		T(test_limits),
		T(test_many_peers),
		T(test_batches),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
