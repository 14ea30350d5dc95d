/* The client core: against recorded servers, against our hub, and against the clock. */
#include "lib/relay/relay_guard.h"
#include "lib/relay/relay_session.h"

#include "tests/unit/relay/relay_vector.h"
#include "tests/unit/unit.h"

static uint64_t rng_state;

static void rng_bytes(void *ctx, void *dst, size_t n)
{
	uint8_t *p = dst;
	for (size_t i = 0; i < n; i++) {
		rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(rng_state >> 56);
	}
}

static const struct ln_rng rng = { .fill = rng_bytes };
static struct relay_session *s;
static ln_time now;
static uint8_t buf[RELAY_MSG_MAX];
static char marks[8]; /* users of peers */

static void start(struct relay_session_conf conf)
{
	rng_state = 1;
	now = 100 * LN_SEC;
	conf.rng = &rng;
	if (conf.token.n == 0)
		conf.token = slice_str("token");
	s = relay_session_new(&conf, now);
	relay_session_start(s, now);
}

static int setup(void **state)
{
	struct relay_session_conf conf = { .lossy = false };
	relay_id_of_text(slice_str("me"), &conf.own);
	start(conf);
	return 0;
}

static int teardown(void **state)
{
	relay_session_free(s);
	s = NULL;
	return 0;
}

static struct relay_id id_of(const char *text)
{
	struct relay_id id;
	relay_id_of_text(slice_str(text), &id);
	return id;
}

static bool poll_out(struct relay_session_out *out)
{
	return relay_session_poll(s, now, mslice_of(buf, sizeof(buf)), out);
}

static void assert_quiet(void)
{
	struct relay_session_out out;
	assert_false(poll_out(&out));
}

static struct slice assert_sends(enum relay_type type)
{
	struct relay_session_out out = { .user = NULL };
	assert_true(poll_out(&out));
	assert_int_equal(out.event, RELAY_SESSION_SEND);
	assert_int_equal(relay_msg_type(out.bytes), type);
	return out.bytes;
}

static void assert_ids(struct slice msg, const char *text)
{
	struct relay_id id, want = id_of(text);
	assert_int_equal(relay_msg_ids(msg), 1);
	relay_msg_id(msg, 0, &id);
	assert_true(relay_id_equal(&id, &want));
}

static struct relay_session_out assert_event(enum relay_session_event event)
{
	struct relay_session_out out = { .user = NULL };
	assert_true(poll_out(&out));
	assert_int_equal(out.event, event);
	return out;
}

static int input(struct slice msg)
{
	void *user = NULL;
	struct slice payload;
	int r = relay_session_input(s, now, msg, &user, &payload);
	return r;
}

static void server_says(enum relay_type type, const char *text)
{
	uint8_t msg[RELAY_TRANSPORT_HEADER];
	struct relay_id id = id_of(text);
	int n = relay_msg_write_header(mslice_of(msg, sizeof(msg)), type);
	memcpy(msg + n, id.b, RELAY_ID_LEN);
	assert_int_equal(input(slice_of(msg, text[0] == '\0' ? (size_t)n : sizeof(msg))), 0);
}

static void become_ready(void)
{
	assert_sends(RELAY_AUTH);
	assert_int_equal(input(slice_str("\1\7rel://r:80")), 0);
	struct relay_session_out out = assert_event(RELAY_SESSION_READY);
	assert_true(slice_is(out.bytes, "rel://r:80"));
	assert_string_equal(relay_session_url(s), "rel://r:80");
}

static struct relay_session_peer *opened(const char *text, unsigned mark)
{
	struct relay_session_peer *p = NULL;
	struct relay_id id = id_of(text);
	assert_int_equal(relay_session_open(s, now, &id, &marks[mark], &p), 0);
	return p;
}

static int transport(const char *from, const char *payload, const char **ret)
{
	uint8_t msg[200];
	void *user = NULL;
	struct slice in = { 0 };
	struct relay_id id = id_of(from);
	int n = relay_msg_write_transport(mslice_of(msg, sizeof(msg)), &id, slice_str(payload));
	int r = relay_session_input(s, now, slice_of(msg, (size_t)n), &user, &in);
	if (r == 1) {
		assert_true(slice_is(in, payload));
		*ret = user;
	}
	return r;
}

static void test_hello_and_its_limit(void **state)
{
	struct relay_auth auth;
	struct relay_id me = id_of("me");
	struct slice msg = assert_sends(RELAY_AUTH);
	assert_int_equal(relay_msg_read_auth(msg, &auth), 0);
	assert_true(relay_id_equal(&auth.id, &me));
	assert_true(slice_is(auth.token, "token"));
	assert_quiet();
	assert_false(relay_session_is_ready(s));
	assert_true(relay_session_deadline(s) == now + RELAY_SESSION_HELLO_LIMIT);
	now += RELAY_SESSION_HELLO_LIMIT;
	assert_int_equal(assert_event(RELAY_SESSION_ENDED).end, RELAY_SESSION_HELLO_TIMEOUT);
	assert_quiet();
	assert_true(relay_session_deadline(s) == LN_TIME_NEVER);
}

static void test_bad_answers(void **state)
{
	static const char *const v[] = { "\1\7", "\1\7a\0b" };
	static const size_t n[] = { 2, 5 };
	for (size_t i = 0; i < LN_COUNT(v); i++) {
		relay_session_free(s);
		setup(NULL);
		assert_sends(RELAY_AUTH);
		/* What is no answer is skipped until the limit (spec relay 5). */
		assert_int_equal(input(slice_of("\1\5", 2)), 0);
		assert_int_equal(input(slice_of("\2\7x", 3)), 0);
		assert_int_equal(input(slice_of("", 0)), 0);
		assert_quiet();
		assert_int_equal(input(slice_of(v[i], n[i])), 0);
		assert_int_equal(assert_event(RELAY_SESSION_ENDED).end, RELAY_SESSION_BAD_ANSWER);
	}
}

static void test_lossy_hello_is_repeated_once(void **state)
{
	relay_session_free(s);
	start((struct relay_session_conf){ .lossy = true });
	assert_sends(RELAY_AUTH);
	now += RELAY_SESSION_HELLO_AGAIN;
	assert_sends(RELAY_AUTH);
	now += RELAY_SESSION_HELLO_AGAIN;
	assert_quiet();
}

static void test_a_peer_comes_and_goes(void **state)
{
	const char *user = NULL;
	become_ready();
	struct relay_session_peer *p = opened("x", 1);
	struct relay_id id = id_of("x");
	assert_int_equal(relay_session_open(s, now, &id, NULL, &p), LN_E_CONFLICT);
	assert_ids(assert_sends(RELAY_SUBSCRIBE), "x");
	assert_quiet();
	assert_false(relay_session_peer_is_online(p));
	/* Old agents send before anything is subscribed: the newest of it follows the news. */
	assert_int_equal(transport("x", "hi", &user), 0);
	assert_int_equal(transport("x", "ho", &user), 0);
	assert_quiet();
	server_says(RELAY_ONLINE, "x");
	assert_ptr_equal(assert_event(RELAY_SESSION_ONLINE).user, &marks[1]);
	assert_true(slice_is(assert_event(RELAY_SESSION_EARLY).bytes, "ho"));
	assert_quiet();
	assert_int_equal(transport("x", "now", &user), 1);
	assert_ptr_equal(user, &marks[1]);
	assert_true(relay_session_peer_is_online(p));
	server_says(RELAY_ONLINE, "x"); /* again: ignored */
	assert_quiet();
	server_says(RELAY_OFFLINE, "x");
	assert_ptr_equal(assert_event(RELAY_SESSION_OFFLINE).user, &marks[1]);
	assert_ids(assert_sends(RELAY_UNSUBSCRIBE), "x");
	assert_quiet();
	assert_int_equal(relay_session_npeers(s), 0);
	assert_true(relay_session_unused_since(s) == now);
	/* And once more, closed by us and opened again in one turn: the order counts. */
	p = opened("x", 1);
	assert_sends(RELAY_SUBSCRIBE);
	relay_session_close(s, p);
	opened("x", 2);
	assert_sends(RELAY_UNSUBSCRIBE);
	assert_sends(RELAY_SUBSCRIBE);
	assert_quiet();
}

static void test_open_fails_after_its_limit(void **state)
{
	become_ready();
	opened("x", 3);
	assert_sends(RELAY_SUBSCRIBE);
	now += RELAY_SESSION_OPEN_LIMIT - 1;
	assert_quiet();
	now += 1;
	assert_ptr_equal(assert_event(RELAY_SESSION_FAILED).user, &marks[3]);
	assert_ids(assert_sends(RELAY_UNSUBSCRIBE), "x");
}

static void test_lossy_subscribe_is_repeated(void **state)
{
	relay_session_free(s);
	start((struct relay_session_conf){ .lossy = true });
	become_ready();
	opened("x", 1);
	for (int i = 0; i < 4; i++) {
		assert_sends(RELAY_SUBSCRIBE);
		assert_quiet();
		now += RELAY_SESSION_SUBSCRIBE_AGAIN;
	}
	server_says(RELAY_ONLINE, "x");
	assert_event(RELAY_SESSION_ONLINE);
	now += RELAY_SESSION_SUBSCRIBE_AGAIN;
	assert_quiet();
}

static void test_opened_before_ready(void **state)
{
	opened("x", 1);
	assert_sends(RELAY_AUTH);
	assert_quiet();
	assert_int_equal(input(slice_str("\1\7rel://r:80")), 0);
	assert_event(RELAY_SESSION_READY);
	assert_sends(RELAY_SUBSCRIBE);
}

/* A relay that cannot be dialled: peers fail in their own time, nothing is sent. */
static void test_opened_before_the_transport(void **state)
{
	struct relay_session_conf conf = { .token = slice_str("token"), .rng = &rng };
	relay_session_free(s);
	s = relay_session_new(&conf, now);
	opened("x", 1);
	relay_session_close(s, opened("y", 2));
	assert_quiet();
	assert_true(relay_session_deadline(s) == now + RELAY_SESSION_OPEN_LIMIT);
	now += RELAY_SESSION_OPEN_LIMIT;
	assert_ptr_equal(assert_event(RELAY_SESSION_FAILED).user, &marks[1]);
	assert_quiet();
	opened("z", 3);
	relay_session_start(s, now);
	become_ready();
	assert_ids(assert_sends(RELAY_SUBSCRIBE), "z");
	assert_quiet();
}

static void test_three_hundred_peers_in_two_messages(void **state)
{
	become_ready();
	for (unsigned i = 0; i < 300; i++) {
		char name[16];
		snprintf(name, sizeof(name), "p%u", i);
		opened(name, 0);
	}
	assert_int_equal(relay_msg_ids(assert_sends(RELAY_SUBSCRIBE)), RELAY_IDS_MAX);
	assert_int_equal(relay_msg_ids(assert_sends(RELAY_SUBSCRIBE)), 300 - RELAY_IDS_MAX);
	assert_quiet();
}

static void test_early_messages(void **state)
{
	const char *user;
	/* Also before the server's answer (trap 17); the newer of two is kept (trap 24). */
	assert_sends(RELAY_AUTH);
	assert_int_equal(transport("x", "old", &user), 0);
	assert_int_equal(transport("x", "new", &user), 0);
	assert_int_equal(input(slice_str("\1\7rel://r:80")), 0);
	assert_event(RELAY_SESSION_READY);
	opened("x", 4);
	assert_sends(RELAY_SUBSCRIBE);
	assert_quiet();
	server_says(RELAY_ONLINE, "x");
	assert_event(RELAY_SESSION_ONLINE);
	struct relay_session_out out = assert_event(RELAY_SESSION_EARLY);
	assert_true(slice_is(out.bytes, "new"));
	assert_ptr_equal(out.user, &marks[4]);
	assert_quiet();
	/* Only for five seconds. */
	assert_int_equal(transport("y", "late", &user), 0);
	assert_true(relay_session_deadline(s) == now + RELAY_SESSION_EARLY_LIFE);
	now += RELAY_SESSION_EARLY_LIFE;
	assert_quiet();
	opened("y", 5);
	assert_sends(RELAY_SUBSCRIBE);
	/* That holds for what waits behind an open, too. */
	assert_int_equal(transport("y", "older", &user), 0);
	now += RELAY_SESSION_EARLY_LIFE;
	server_says(RELAY_ONLINE, "y");
	assert_event(RELAY_SESSION_ONLINE);
	assert_quiet();
}

static void test_early_messages_are_bounded(void **state)
{
	const char *user;
	relay_session_free(s);
	start((struct relay_session_conf){ .max_early = 1 });
	become_ready();
	assert_int_equal(transport("x", "1", &user), 0);
	assert_int_equal(transport("y", "2", &user), 0);
	opened("y", 1);
	assert_sends(RELAY_SUBSCRIBE);
	server_says(RELAY_ONLINE, "y");
	assert_event(RELAY_SESSION_ONLINE);
	assert_quiet();
	opened("x", 2);
	assert_sends(RELAY_SUBSCRIBE);
	server_says(RELAY_ONLINE, "x");
	assert_event(RELAY_SESSION_ONLINE);
	assert_event(RELAY_SESSION_EARLY);
}

static void test_health(void **state)
{
	become_ready();
	for (int i = 0; i < 5; i++) {
		now += 25 * LN_SEC;
		assert_quiet();
		server_says(RELAY_HEALTH_CHECK, "");
		assert_sends(RELAY_HEALTH_CHECK);
		assert_quiet();
	}
	now += RELAY_SESSION_LOOK;
	assert_quiet(); /* the window held one */
	now += RELAY_SESSION_LOOK;
	assert_int_equal(assert_event(RELAY_SESSION_ENDED).end, RELAY_SESSION_SILENT);
}

static void test_both_ways_to_leave(void **state)
{
	struct relay_id id = id_of("y");
	struct relay_session_peer *p;
	become_ready();
	opened("x", 1);
	assert_sends(RELAY_SUBSCRIBE);
	relay_session_leave(s);
	assert_sends(RELAY_CLOSE); /* without Unsubscribe, as seen */
	assert_int_equal(assert_event(RELAY_SESSION_ENDED).end, RELAY_SESSION_WE_LEFT);
	assert_int_equal(relay_session_open(s, now, &id, NULL, &p), LN_E_STATE);
	relay_session_free(s);
	setup(NULL);
	become_ready();
	server_says(RELAY_CLOSE, "");
	assert_int_equal(assert_event(RELAY_SESSION_ENDED).end, RELAY_SESSION_SERVER_LEFT);
	assert_quiet();
}

/* What a recorded agent sent comes out of the session when it hears what that agent heard. */
static void test_recorded_servers(void **state)
{
	struct relay_vector v;
	relay_session_free(s);
	s = NULL;
	relay_vector_open(&v, "blocked");
	while (relay_vector_next(&v)) {
		struct slice msg = slice_of(v.bytes, v.n);
		struct relay_auth auth;
		void *user;
		struct slice payload;
		if (v.agent != 0)
			continue;
		switch (relay_msg_type(msg)) {
		case RELAY_AUTH:
			assert_int_equal(relay_msg_read_auth(msg, &auth), 0);
			start((struct relay_session_conf){ .own = auth.id, .token = auth.token });
			assert_true(slice_equal(assert_sends(RELAY_AUTH), msg));
			break;
		case RELAY_SUBSCRIBE: {
			struct relay_id id;
			struct relay_session_peer *p;
			relay_msg_id(msg, 0, &id);
			assert_int_equal(relay_session_open(s, now, &id, &marks[6], &p), 0);
			assert_true(slice_equal(assert_sends(RELAY_SUBSCRIBE), msg));
			break;
		}
		case RELAY_TRANSPORT:
			if (!v.from_client) {
				assert_int_equal(relay_session_input(s, now, msg, &user, &payload),
						 1);
				assert_ptr_equal(user, &marks[6]);
			}
			break;
		case RELAY_HEALTH_CHECK:
			if (v.from_client)
				assert_sends(RELAY_HEALTH_CHECK);
			else
				input(msg);
			break;
		case RELAY_CLOSE:
			relay_session_leave(s);
			assert_true(slice_equal(assert_sends(RELAY_CLOSE), msg));
			break;
		case RELAY_AUTH_RESPONSE:
			input(msg);
			assert_event(RELAY_SESSION_READY);
			break;
		default:
			input(msg);
			assert_event(RELAY_SESSION_ONLINE);
			break;
		}
	}
	assert_int_equal(assert_event(RELAY_SESSION_ENDED).end, RELAY_SESSION_WE_LEFT);
}

/* --- the guard --------------------------------------------------------------------------------*/

static void test_guard_reconnects(void **state)
{
	struct relay_guard g;
	relay_guard_init(&g, NULL);
	assert_true(relay_guard_deadline(&g) == LN_TIME_NEVER);
	relay_guard_want(&g, now, true);
	assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_CHOOSE);
	assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_NOTHING);
	relay_guard_connected(&g);
	relay_guard_want(&g, now, true);
	assert_true(relay_guard_deadline(&g) == LN_TIME_NEVER);
	relay_guard_lost(&g, now, true, false, &rng);
	assert_true(relay_guard_deadline(&g) >= now + RELAY_GUARD_SAME);
	now += RELAY_GUARD_SAME;
	assert_true(relay_guard_deadline(&g) <= now + RELAY_GUARD_JITTER);
	now += RELAY_GUARD_JITTER;
	assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_DIAL_SAME);
	relay_guard_failed(&g, now, &rng);
	assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_CHOOSE); /* at once */
	ln_time pause = RELAY_GUARD_FIRST;
	for (int i = 0; i < 10; i++) {
		relay_guard_failed(&g, now, &rng);
		ln_time wait = relay_guard_deadline(&g) - now;
		assert_true(wait >= pause / 2 && wait <= pause + pause / 2);
		now += wait;
		assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_CHOOSE);
		pause = ln_time_min(2 * pause, RELAY_GUARD_LAST);
	}
	assert_true(pause == RELAY_GUARD_LAST);
}

static void test_guard_spreads_after_close(void **state)
{
	ln_time least = LN_TIME_NEVER, most = 0;
	for (int i = 0; i < 1000; i++) {
		struct relay_guard g;
		relay_guard_init(&g, NULL);
		relay_guard_want(&g, now, true);
		relay_guard_connected(&g);
		relay_guard_lost(&g, now, true, true, &rng);
		ln_time wait = relay_guard_deadline(&g) - now;
		least = LN_MIN(least, wait);
		most = LN_MAX(most, wait);
	}
	assert_true(least >= RELAY_GUARD_SAME && least < RELAY_GUARD_SAME + 100 * LN_MSEC);
	assert_true(most <= RELAY_GUARD_SAME + RELAY_GUARD_AFTER_CLOSE && most > 4 * LN_SEC);
}

static void test_guard_waits_for_a_network(void **state)
{
	struct relay_guard g;
	relay_guard_init(&g, NULL);
	relay_guard_want(&g, now, true);
	relay_guard_connected(&g);
	relay_guard_network(&g, now, false);
	relay_guard_lost(&g, now, false, false, &rng); /* its URL is gone: all others at once */
	assert_true(relay_guard_deadline(&g) == LN_TIME_NEVER);
	now += LN_HOUR;
	relay_guard_network(&g, now, true);
	assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_CHOOSE);
	relay_guard_failed(&g, now, &rng);
	relay_guard_want(&g, now, false);
	assert_true(relay_guard_deadline(&g) == LN_TIME_NEVER);
	relay_guard_want(&g, now, true);
	assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_CHOOSE);
}

/* A new token or address: what was refused a moment ago may work now. */
static void test_guard_hurries(void **state)
{
	struct relay_guard_conf conf = { .same = LN_MSEC, .first = 7 * LN_SEC, .last = LN_MINUTE };
	struct relay_guard g;
	relay_guard_init(&g, &conf);
	relay_guard_hurry(&g, now); /* without addresses it means nothing */
	assert_true(relay_guard_deadline(&g) == LN_TIME_NEVER);
	relay_guard_want(&g, now, true);
	assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_CHOOSE);
	relay_guard_failed(&g, now, &rng);
	assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_CHOOSE);
	relay_guard_failed(&g, now, &rng);
	assert_true(relay_guard_deadline(&g) >= now + conf.first / 2);
	relay_guard_hurry(&g, now);
	assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_CHOOSE);
	relay_guard_hurry(&g, now); /* while dialling: one more attempt at once */
	assert_true(relay_guard_deadline(&g) == LN_TIME_NEVER);
	relay_guard_failed(&g, now, &rng);
	assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_CHOOSE);
	relay_guard_connected(&g);
	relay_guard_lost(&g, now, true, false, &rng);
	assert_true(relay_guard_deadline(&g) <= now + 2 * conf.same);
	relay_guard_hurry(&g, now); /* also instead of the one address that was lost */
	assert_int_equal(relay_guard_take(&g, now), RELAY_GUARD_CHOOSE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hello_and_its_limit),
		TEST(test_bad_answers),
		TEST(test_lossy_hello_is_repeated_once),
		TEST(test_a_peer_comes_and_goes),
		TEST(test_open_fails_after_its_limit),
		TEST(test_lossy_subscribe_is_repeated),
		TEST(test_opened_before_ready),
		TEST(test_opened_before_the_transport),
		TEST(test_three_hundred_peers_in_two_messages),
		TEST(test_early_messages),
		TEST(test_early_messages_are_bounded),
		TEST(test_health),
		TEST(test_both_ways_to_leave),
		TEST(test_recorded_servers),
		TEST(test_guard_reconnects),
		TEST(test_guard_spreads_after_close),
		TEST(test_guard_waits_for_a_network),
		TEST(test_guard_hurries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
