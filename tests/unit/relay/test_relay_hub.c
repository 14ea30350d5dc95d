/* The relay server without sockets: conversations, queues, fairness, time. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/relay/relay_hub.h"
#include "lib/wire/ws_frame.h"

#include "tests/unit/relay/relay_vector.h"
#include "tests/unit/unit.h"

#define URL "rel://relay.example:80"
#define KIB 1024u

static struct relay_hub *hub;
static struct relay_token_key key;
static ln_time now;
static uint64_t rng_state;

/* One connection as its owner sees it. */
struct end {
	struct relay_hub_peer *peer;
	struct relay_id id;
	uint8_t in[2u << 20]; /* what was written to its socket */
	size_t n, at;
	bool stuck; /* the socket takes nothing */
	bool closed;
	enum relay_hub_reason reason;
	unsigned checks;
};

static struct end ends[8];

static void rng_bytes(void *ctx, void *dst, size_t n)
{
	uint8_t *p = dst;
	for (size_t i = 0; i < n; i++) {
		rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(rng_state >> 56);
	}
}

static const struct ln_rng rng = { .fill = rng_bytes };

/* Four bytes of length: the tests need to find the borders again. */
static size_t frame(uint8_t dst[RELAY_HUB_FRAME_MAX], size_t n)
{
	for (int i = 0; i < 4; i++)
		dst[i] = (uint8_t)(n >> (8 * i));
	return 4;
}

static void start(struct relay_hub_conf conf)
{
	relay_token_key_make(slice_str("secret"), &key);
	conf.instance_url = URL;
	conf.keys = &key;
	conf.nkeys = 1;
	conf.frame = frame;
	conf.rng = &rng;
	rng_state = 1;
	now = 1000 * LN_SEC;
	hub = relay_hub_new(&conf);
	memset(ends, 0, sizeof(ends));
}

static int setup(void **state)
{
	start((struct relay_hub_conf){ .max_peers = 0 });
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < LN_COUNT(ends); i++)
		if (ends[i].peer != NULL)
			relay_hub_remove(hub, ends[i].peer);
	relay_hub_free(hub);
	return 0;
}

static void take(struct end *e, size_t limit)
{
	struct slice v[3];
	size_t n;
	while (limit != 0 && (n = relay_hub_view(e->peer, v, LN_COUNT(v))) != 0) {
		size_t sum = 0;
		for (size_t i = 0; i < n && limit != 0; i++) {
			size_t part = LN_MIN(v[i].n, limit);
			assert_true(e->n + part <= sizeof(e->in));
			memcpy(e->in + e->n, v[i].p, part);
			e->n += part;
			sum += part;
			limit -= part;
		}
		relay_hub_sent(hub, e->peer, sum);
	}
}

/* What the driver does at the end of a turn. */
static void turn(void)
{
	struct relay_hub_out out;
	while (relay_hub_poll(hub, now, &out)) {
		struct end *e = out.user;
		switch (out.event) {
		case RELAY_HUB_WRITE:
			if (!e->stuck)
				take(e, SIZE_MAX);
			else
				relay_hub_blocked(hub, out.peer, now, true);
			break;
		case RELAY_HUB_CHECK:
			e->checks++;
			relay_hub_close(hub, out.peer, RELAY_HUB_STALLED);
			break;
		case RELAY_HUB_CLOSE:
			if (!e->stuck)
				take(e, SIZE_MAX);
			e->closed = true;
			e->reason = out.reason;
			relay_hub_remove(hub, out.peer);
			e->peer = NULL;
			break;
		}
	}
}

static void advance(ln_time t)
{
	ln_time end = now + t;
	while (relay_hub_deadline(hub) <= end) {
		now = LN_MAX(now, relay_hub_deadline(hub));
		turn();
	}
	now = end;
	turn();
}

/* The next message written to e; empty: none. */
static struct slice next(struct end *e)
{
	turn();
	if (e->at == e->n)
		return slice_of(NULL, 0);
	uint32_t n;
	memcpy(&n, e->in + e->at, 4);
	struct slice s = slice_of(e->in + e->at + 4, n);
	assert_true(e->at + 4 + n <= e->n);
	e->at += 4 + n;
	return s;
}

static int input(struct end *e, struct slice msg)
{
	return relay_hub_input(hub, e->peer, now, 100 * LN_SEC, msg);
}

static int auth(struct end *e, const struct relay_token_key *k, ln_wall expires)
{
	struct relay_token_text t;
	uint8_t token[RELAY_TOKEN_MAX], msg[RELAY_AUTH_MAX];
	relay_token_make(k, expires, &t);
	int n = relay_token_join(slice_str(t.payload), slice_str(t.signature),
				 mslice_of(token, sizeof(token)));
	n = relay_msg_write_auth(mslice_of(msg, sizeof(msg)), &e->id, slice_of(token, (size_t)n));
	assert_true(n > 0);
	return input(e, slice_of(msg, (size_t)n));
}

static struct end *opened(unsigned i)
{
	char name[8];
	snprintf(name, sizeof(name), "p%u", i);
	ends[i] = (struct end){ .closed = false };
	relay_id_of_text(slice_str(name), &ends[i].id);
	ends[i].peer = relay_hub_open(hub, now, &ends[i]);
	return &ends[i];
}

static struct end *joined(unsigned i)
{
	struct end *e = opened(i);
	struct slice url;
	assert_non_null(e->peer);
	assert_int_equal(auth(e, &key, 200 * LN_SEC), RELAY_HUB_JOINED);
	assert_int_equal(relay_msg_read_auth_response(next(e), &url), 0);
	assert_true(slice_is(url, URL));
	return e;
}

static int send_to(struct end *from, const struct relay_id *to, size_t n, uint8_t fill)
{
	static uint8_t msg[RELAY_MSG_MAX], payload[RELAY_PAYLOAD_MAX];
	memset(payload, fill, n);
	int r = relay_msg_write_transport(mslice_of(msg, sizeof(msg)), to, slice_of(payload, n));
	assert_true(r > 0);
	return input(from, slice_of(msg, (size_t)r));
}

static void send_ids(struct end *e, enum relay_type type, const struct end *const *of, size_t n)
{
	uint8_t msg[RELAY_MSG_MAX];
	int at = relay_msg_write_header(mslice_of(msg, sizeof(msg)), type);
	for (size_t i = 0; i < n; i++, at += RELAY_ID_LEN)
		memcpy(msg + at, of[i]->id.b, RELAY_ID_LEN);
	input(e, slice_of(msg, (size_t)at));
}

static void send_header(struct end *e, unsigned type)
{
	input(e, slice_of((uint8_t[]){ 1, (uint8_t)type }, 2));
}

static void assert_transport(struct slice msg, const struct end *from, size_t n, uint8_t fill)
{
	struct relay_id id;
	struct slice payload;
	assert_int_equal(relay_msg_type(msg), RELAY_TRANSPORT);
	assert_int_equal(relay_msg_read_transport(msg, &id, &payload), 0);
	assert_true(relay_id_equal(&id, &from->id));
	assert_int_equal(payload.n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(payload.p[i], fill);
}

static void assert_news(struct end *e, enum relay_type type, const struct end *of)
{
	struct slice msg = next(e);
	struct relay_id id;
	assert_int_equal(relay_msg_type(msg), type);
	assert_int_equal(relay_msg_ids(msg), 1);
	relay_msg_id(msg, 0, &id);
	assert_true(relay_id_equal(&id, &of->id));
}

static void assert_quiet(struct end *e)
{
	assert_int_equal(next(e).n, 0);
}

/* --- handshake --------------------------------------------------------------------------------*/

static void test_refused_hellos_get_no_answer(void **state)
{
	struct relay_token_key other;
	relay_token_key_make(slice_str("other"), &other);
	const struct relay_hub_counters *c = relay_hub_counters(hub);
	for (unsigned i = 0; i < 5; i++) {
		struct end *e = opened(0);
		if (i == 0)
			auth(e, &other, 200 * LN_SEC);
		else if (i == 1)
			auth(e, &key, 99 * LN_SEC);
		else if (i == 2)
			send_header(e, RELAY_HEALTH_CHECK);
		else if (i == 3)
			input(e, slice_of("", 0));
		else
			advance(RELAY_HUB_HANDSHAKE);
		turn();
		assert_true(e->closed);
		assert_int_equal(e->reason, i == 4 ? RELAY_HUB_LATE : RELAY_HUB_REFUSED);
		assert_int_equal(e->n, 0);
	}
	assert_int_equal(c->refused[RELAY_HUB_BAD_SIGNATURE], 1);
	assert_int_equal(c->refused[RELAY_HUB_EXPIRED], 1);
	assert_int_equal(c->refused[RELAY_HUB_BAD_MESSAGE], 2);
	assert_int_equal(c->refused[RELAY_HUB_TIMEOUT], 1);
}

static void test_keys_change_while_connected(void **state)
{
	struct relay_token_key other;
	struct end *a = joined(0), *b = opened(1);
	relay_token_key_make(slice_str("other"), &other);
	relay_hub_set_keys(hub, &other, 1);
	auth(b, &key, 200 * LN_SEC);
	turn();
	assert_true(b->closed);
	key = other;
	joined(1);
	turn();
	assert_false(a->closed);
}

static void test_second_connection_replaces(void **state)
{
	struct end *w = joined(2), *old = joined(0), *fresh = &ends[1];
	send_ids(w, RELAY_SUBSCRIBE, (const struct end *[]){ old }, 1);
	assert_news(w, RELAY_ONLINE, old);
	opened(1);
	fresh->id = old->id;
	assert_int_equal(auth(fresh, &key, 200 * LN_SEC), RELAY_HUB_JOINED);
	turn();
	assert_true(old->closed);
	assert_int_equal(old->reason, RELAY_HUB_REPLACED);
	assert_int_equal(old->at, old->n);
	assert_int_equal(relay_hub_counters(hub)->replaced, 1);
	/* Online again, never offline. */
	assert_news(w, RELAY_ONLINE, fresh);
	assert_quiet(w);
	send_to(w, &fresh->id, 10, 7);
	next(fresh);
	assert_transport(next(fresh), w, 10, 7);
}

/* --- traffic ----------------------------------------------------------------------------------*/

static void test_transport(void **state)
{
	struct end *a = joined(0), *b = joined(1);
	struct relay_id nobody;
	relay_id_of_text(slice_str("nobody"), &nobody);
	send_to(a, &b->id, 0, 0);
	assert_transport(next(b), a, 0, 0);
	send_to(a, &b->id, RELAY_PAYLOAD_MAX, 3);
	assert_transport(next(b), a, RELAY_PAYLOAD_MAX, 3);
	send_to(a, &a->id, 5, 4);
	assert_transport(next(a), a, 5, 4);
	send_to(a, &nobody, 5, 4);
	assert_int_equal(relay_hub_counters(hub)->unknown, 1);
	input(a, slice_of("\1\3short", 7));
	turn();
	assert_false(a->closed);
	/* The last destination is remembered; it may go and come back meanwhile. */
	relay_hub_remove(hub, b->peer);
	send_to(a, &b->id, 5, 4);
	assert_int_equal(relay_hub_counters(hub)->unknown, 2);
	b = joined(1);
	send_to(a, &b->id, 6, 5);
	assert_transport(next(b), a, 6, 5);
}

static void test_wrong_types_close(void **state)
{
	static const uint8_t v[][2] = { { 1, 0 },  { 1, 1 },  { 1, 2 },  { 1, 7 },
					{ 1, 10 }, { 1, 11 }, { 1, 12 }, { 2, 3 } };
	for (size_t i = 0; i <= LN_COUNT(v); i++) {
		struct end *a = joined(0);
		input(a, i < LN_COUNT(v) ? slice_of(v[i], 2) : slice_of(v, 1));
		turn();
		assert_true(a->closed);
		assert_int_equal(a->reason, RELAY_HUB_PROTOCOL);
	}
}

static void test_close_and_repeated_auth(void **state)
{
	struct end *a = joined(0);
	struct slice url;
	auth(a, &key, 200 * LN_SEC);
	assert_int_equal(relay_msg_read_auth_response(next(a), &url), 0);
	a->id.b[5] ^= 1; /* another id: ignored */
	auth(a, &key, 200 * LN_SEC);
	assert_quiet(a);
	assert_false(a->closed);
	send_header(a, RELAY_CLOSE);
	turn();
	assert_true(a->closed);
	assert_int_equal(a->reason, RELAY_HUB_LEFT);
}

static void test_recorded_clients(void **state)
{
	/* Both recorded agents against the hub, in the order of their own connections. */
	struct relay_vector v;
	static const char *const files[] = { "pair", "blocked" };
	for (size_t i = 0; i < 2; i++) {
		relay_vector_open(&v, files[i]);
		opened(0);
		opened(1);
		while (relay_vector_next(&v)) {
			struct relay_token_key k;
			relay_token_key_make(slice_str(v.secret), &k);
			relay_hub_set_keys(hub, &k, 1);
			if (v.from_client && ends[v.agent].peer != NULL)
				input(&ends[v.agent], slice_of(v.bytes, v.n));
			turn();
		}
		/* `blocked` ends with both Closes, `pair` in the middle. */
		for (size_t e = 0; e < 2; e++) {
			assert_int_equal(ends[e].closed, i == 1);
			if (ends[e].peer != NULL)
				relay_hub_remove(hub, ends[e].peer);
			ends[e].peer = NULL;
		}
	}
}

/* --- peer state -------------------------------------------------------------------------------*/

static void test_subscriptions(void **state)
{
	struct end *a = joined(0), *b = &ends[1];
	relay_id_of_text(slice_str("p1"), &b->id);
	send_ids(a, RELAY_SUBSCRIBE, (const struct end *[]){ b }, 1);
	assert_quiet(a); /* nobody there: no answer */
	joined(1);
	assert_news(a, RELAY_ONLINE, b);
	/* Its end is told, its return is not: want_online was used up. */
	relay_hub_remove(hub, b->peer);
	assert_news(a, RELAY_OFFLINE, b);
	joined(1);
	assert_quiet(a);
	relay_hub_remove(hub, b->peer);
	assert_news(a, RELAY_OFFLINE, b);
	send_ids(a, RELAY_SUBSCRIBE, (const struct end *[]){ b }, 1);
	joined(1);
	assert_news(a, RELAY_ONLINE, b);
	send_ids(a, RELAY_UNSUBSCRIBE, (const struct end *[]){ b }, 1);
	relay_hub_remove(hub, b->peer);
	b->peer = NULL;
	assert_quiet(a);
	struct relay_hub_gauges g;
	relay_hub_gauges(hub, now, &g);
	assert_int_equal(g.subscriptions, 0);
}

/* Subscribe while the news "gone" waits: the answer is the present, nothing older follows. */
static void test_news_collapse_to_the_last(void **state)
{
	struct end *a = joined(0), *b = joined(1);
	send_ids(a, RELAY_SUBSCRIBE, (const struct end *[]){ b }, 1);
	assert_news(a, RELAY_ONLINE, b);
	relay_hub_remove(hub, b->peer);
	opened(1);
	assert_int_equal(auth(b, &key, 200 * LN_SEC), RELAY_HUB_JOINED);
	send_ids(a, RELAY_SUBSCRIBE, (const struct end *[]){ b }, 1);
	assert_news(a, RELAY_ONLINE, b);
	assert_quiet(a);
	send_ids(a, RELAY_SUBSCRIBE, (const struct end *[]){ b }, 1);
	relay_hub_remove(hub, b->peer);
	b->peer = NULL;
	assert_news(a, RELAY_OFFLINE, b);
	assert_quiet(a);
}

static void test_three_hundred_subscriptions(void **state)
{
	static struct end many[300];
	static uint8_t msg[RELAY_MSG_MAX];
	struct end *a = joined(0);
	size_t told = 0;
	for (size_t i = 0; i < 300; i++) {
		char name[16];
		snprintf(name, sizeof(name), "m%zu", i);
		relay_id_of_text(slice_str(name), &many[i].id);
		many[i].peer = relay_hub_open(hub, now, &many[i]);
		assert_int_equal(auth(&many[i], &key, 200 * LN_SEC), RELAY_HUB_JOINED);
	}
	for (size_t from = 0; from < 300; from += RELAY_IDS_MAX) {
		int at = relay_msg_write_header(mslice_of(msg, sizeof(msg)), RELAY_SUBSCRIBE);
		for (size_t i = from; i < LN_MIN(from + RELAY_IDS_MAX, (size_t)300); i++) {
			memcpy(msg + at, many[i].id.b, RELAY_ID_LEN);
			at += RELAY_ID_LEN;
		}
		input(a, slice_of(msg, (size_t)at));
	}
	for (struct slice s; (s = next(a)).n != 0;) {
		assert_int_equal(relay_msg_type(s), RELAY_ONLINE);
		assert_true(relay_msg_ids(s) <= RELAY_IDS_MAX);
		told += (size_t)relay_msg_ids(s);
	}
	assert_int_equal(told, 300);
	for (size_t i = 0; i < 300; i++)
		relay_hub_remove(hub, many[i].peer);
	for (struct slice s; (s = next(a)).n != 0;)
		told += (size_t)relay_msg_ids(s);
	assert_int_equal(told, 600);
}

static void test_subscriptions_are_bounded(void **state)
{
	relay_hub_free(hub);
	start((struct relay_hub_conf){ .max_subscriptions = 1 });
	struct end *a = joined(0), *b = joined(1), *c = joined(2);
	send_ids(a, RELAY_SUBSCRIBE, (const struct end *[]){ b, c }, 2);
	assert_news(a, RELAY_ONLINE, b);
	assert_quiet(a);
}

/* --- slow receivers ---------------------------------------------------------------------------*/

static void test_full_queue_drops_the_newest(void **state)
{
	struct end *a = joined(0), *b = joined(1), *c = joined(2);
	b->stuck = true;
	size_t sent = 0;
	while (relay_hub_counters(hub)->dropped == 0) {
		send_to(a, &b->id, 1200, (uint8_t)sent++);
		turn();
	}
	/* A flow alone gets two thirds of 256 KiB. */
	assert_in_range(sent * 1242, 170 * KIB, 177 * KIB);
	/* Another pair of the same sender does not notice. */
	send_to(a, &c->id, 1200, 9);
	assert_transport(next(c), a, 1200, 9);
	b->stuck = false;
	relay_hub_blocked(hub, b->peer, now, false);
	take(b, SIZE_MAX);
	for (size_t i = 0; i < sent - 1; i++)
		assert_transport(next(b), a, 1200, (uint8_t)i);
	assert_quiet(b);
}

static void test_senders_share_a_full_queue(void **state)
{
	size_t got[3] = { 0 };
	struct end *b = joined(3);
	for (unsigned i = 0; i < 3; i++)
		joined(i);
	b->stuck = true;
	send_to(&ends[0], &b->id, 1200, 0);
	turn();
	/* One floods, the others send a little: the first is there long before them. */
	for (int i = 0; i < 2000; i++)
		send_to(&ends[0], &b->id, 1200, 0);
	for (int i = 0; i < 4000; i++) {
		send_to(&ends[0], &b->id, 1200, 0);
		if (i % 20 == 0) {
			send_to(&ends[1], &b->id, 1200, 1);
			send_to(&ends[2], &b->id, 1200, 2);
		}
		if (i % 5 == 0) { /* the link takes one message now and then */
			b->stuck = false;
			take(b, 1242);
			b->stuck = true;
		}
	}
	take(b, SIZE_MAX);
	for (struct slice s; (s = next(b)).n != 0;)
		got[s.p[RELAY_TRANSPORT_HEADER]]++;
	/* Each of the two offers a quarter of the link, less than its third: all of it arrives. */
	assert_true(got[1] == 200 && got[2] == 200);
	assert_true(got[0] > 400);
}

static void test_memory_of_all_queues_is_bounded(void **state)
{
	relay_hub_free(hub);
	start((struct relay_hub_conf){ .max_memory = 64 * KIB });
	struct end *a = joined(0);
	for (unsigned i = 1; i < 8; i++) {
		joined(i)->stuck = true;
		send_to(a, &ends[i].id, 8000, 1);
		turn();
	}
	assert_true(relay_hub_counters(hub)->dropped >= 2);
	turn();
	/* Newcomers and control messages have a reserve. */
	for (unsigned i = 0; i < 8; i++)
		assert_false(ends[i].closed);
}

static void test_a_large_queue_asks_to_be_written(void **state)
{
	struct end *a = joined(0), *b = joined(1);
	unsigned n = 0;
	while (send_to(a, &b->id, 1200, 1) == 0)
		n++;
	assert_in_range(n, 30, 45);
	turn();
	assert_int_equal(relay_hub_counters(hub)->dropped, 0);
}

static void test_stalled_receiver_is_cut_off(void **state)
{
	struct end *a = joined(0), *b = joined(1);
	b->stuck = true;
	send_to(a, &b->id, 1200, 1);
	turn();
	advance(RELAY_HUB_STALL - LN_SEC);
	assert_int_equal(b->checks, 0);
	advance(2 * LN_SEC);
	assert_int_equal(b->checks, 1);
	assert_true(b->closed);
	assert_int_equal(b->reason, RELAY_HUB_STALLED);
}

/* --- time -------------------------------------------------------------------------------------*/

static void test_health_checks(void **state)
{
	struct end *a = joined(0), *b = joined(1);
	for (int i = 0; i < 8; i++) {
		advance(RELAY_HUB_HEALTH_EVERY);
		if (!b->closed)
			send_header(a, RELAY_HEALTH_CHECK);
		assert_int_equal(relay_msg_type(next(a)), RELAY_HEALTH_CHECK);
		send_header(a, RELAY_HEALTH_CHECK);
		turn();
		/* b never answers: gone at the look after 45 s. */
		assert_int_equal(b->closed, i >= 1);
	}
	assert_int_equal(b->reason, RELAY_HUB_SILENT);
	assert_false(a->closed);
	assert_int_equal(relay_hub_counters(hub)->health_failures, 1);
}

static void test_drain_spreads_closes(void **state)
{
	struct end *e = opened(7);
	for (unsigned i = 0; i < 6; i++)
		joined(i);
	relay_hub_drain(hub, now, 10 * LN_SEC);
	assert_null(relay_hub_open(hub, now, e));
	turn();
	assert_true(e->closed); /* had not said who it is */
	size_t early = 0, closed = 0;
	advance(5 * LN_SEC);
	for (unsigned i = 0; i < 6; i++)
		early += ends[i].closed;
	advance(5 * LN_SEC);
	for (unsigned i = 0; i < 6; i++) {
		struct slice s = next(&ends[i]);
		closed += ends[i].closed && ends[i].reason == RELAY_HUB_DRAINED;
		assert_int_equal(relay_msg_type(s), RELAY_CLOSE);
	}
	assert_in_range(early, 1, 5);
	assert_int_equal(closed, 6);
}

static void test_gauges_and_limits(void **state)
{
	relay_hub_free(hub);
	start((struct relay_hub_conf){ .max_peers = 3 });
	struct relay_hub_gauges g;
	struct end *a = joined(0), *b = joined(1);
	opened(2);
	assert_null(relay_hub_open(hub, now, &ends[3]));
	send_to(a, &b->id, 10, 1);
	relay_hub_gauges(hub, now, &g);
	assert_int_equal(g.peers, 2);
	assert_int_equal(g.handshaking, 1);
	assert_int_equal(g.active, 1);
	assert_int_equal(g.idle, 1);
	relay_hub_gauges(hub, now + RELAY_HUB_ACTIVE, &g);
	assert_int_equal(g.active, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_refused_hellos_get_no_answer),
		TEST(test_keys_change_while_connected),
		TEST(test_second_connection_replaces),
		TEST(test_transport),
		TEST(test_wrong_types_close),
		TEST(test_close_and_repeated_auth),
		TEST(test_recorded_clients),
		TEST(test_subscriptions),
		TEST(test_news_collapse_to_the_last),
		TEST(test_three_hundred_subscriptions),
		TEST(test_subscriptions_are_bounded),
		TEST(test_full_queue_drops_the_newest),
		TEST(test_senders_share_a_full_queue),
		TEST(test_memory_of_all_queues_is_bounded),
		TEST(test_a_large_queue_asks_to_be_written),
		TEST(test_stalled_receiver_is_cut_off),
		TEST(test_health_checks),
		TEST(test_drain_spreads_closes),
		TEST(test_gauges_and_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
