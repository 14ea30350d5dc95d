/* The TURN client against a server of a few lines, in virtual time. Coturn judges it elsewhere. */
#include "lib/stun/stun_auth.h"
#include "lib/turn/turn_client.h"

#include "tests/unit/unit.h"

static uint64_t rng_state;

static void rng_bytes(void *ctx, void *dst, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++) {
		rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)dst)[i] = (uint8_t)(rng_state >> 56);
	}
}

static const struct ln_rng rng = { .fill = rng_bytes };
static struct turn_client *c;
static ln_time now;
static uint8_t buf[STUN_MSG_MAX];
static struct stun_msg asked; /* the newest request */
static uint8_t key[TURN_KEY_LEN];

static struct ip_ep ep(const char *text)
{
	struct ip_ep e;
	assert_int_equal(ip_ep_parse(slice_str(text), &e), 0);
	return e;
}

static void start(bool stream)
{
	struct turn_client_conf conf = {
		.user = "user", .password = "secret", .stream = stream, .rng = &rng
	};
	turn_client_free(c);
	rng_state = 1;
	now = 100 * LN_SEC;
	c = turn_client_new(&conf, now);
	turn_msg_key(slice_str("user"), slice_str("realm"), slice_str("secret"), key);
}

static int setup(void **state)
{
	(void)state;
	start(false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	turn_client_free(c);
	c = NULL;
	return 0;
}

static struct turn_out polled(enum turn_event event)
{
	struct turn_out out = { .code = 0 };
	assert_true(turn_client_poll(c, now, mslice_of(buf, sizeof(buf)), &out));
	assert_int_equal(out.event, event);
	return out;
}

static void quiet(void)
{
	struct turn_out out;
	assert_false(turn_client_poll(c, now, mslice_of(buf, sizeof(buf)), &out));
}

static void asks(enum turn_method method, bool signed_by_us)
{
	static uint8_t copy[STUN_MSG_MAX];
	struct turn_out out = polled(TURN_EV_SEND);
	memcpy(copy, out.bytes.p, out.bytes.n);
	assert_int_equal(stun_msg_read(slice_of(copy, out.bytes.n), &asked), 0);
	assert_int_equal(asked.cls, STUN_REQUEST);
	assert_int_equal(asked.method, method);
	assert_int_equal(stun_auth_verify(&asked, slice_of(key, sizeof(key))), signed_by_us);
}

static int input(struct slice msg)
{
	struct ip_ep from;
	struct slice data;
	return turn_client_input(c, now, msg, &from, &data);
}

static void refuse(unsigned code, const char *nonce)
{
	uint8_t msg[256];
	struct writer w = writer_of(mslice_of(msg, sizeof(msg)));
	stun_msg_begin_method(&w, STUN_ERROR, asked.method, &asked.tid);
	stun_msg_add_error(&w, code, "no");
	stun_msg_add(&w, STUN_ATTR_REALM, slice_str("realm"));
	if (nonce != NULL)
		stun_msg_add(&w, STUN_ATTR_NONCE, slice_str(nonce));
	assert_int_equal(input(writer_slice(&w)), 0);
}

static void grant_with(uint32_t lifetime, struct slice with)
{
	uint8_t msg[256];
	struct ip_ep relayed = ep("192.0.2.1:5000"), mapped = ep("198.51.100.7:41");
	struct writer w = writer_of(mslice_of(msg, sizeof(msg)));
	stun_msg_begin_method(&w, STUN_SUCCESS, asked.method, &asked.tid);
	if (asked.method == TURN_ALLOCATE) {
		stun_msg_add_addr(&w, STUN_ATTR_XOR_RELAYED_ADDRESS, &relayed, &asked.tid);
		stun_msg_add_addr(&w, STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped, &asked.tid);
	}
	stun_msg_add_u32(&w, STUN_ATTR_LIFETIME, lifetime);
	stun_auth_sign(&w, with);
	assert_int_equal(input(writer_slice(&w)), 0);
}

static void grant(uint32_t lifetime)
{
	grant_with(lifetime, slice_of(key, sizeof(key)));
}

static void come_up(void)
{
	asks(TURN_ALLOCATE, false);
	refuse(401, "n1");
	asks(TURN_ALLOCATE, true);
	assert_true(slice_is(asked.attr[STUN_ATTR_NONCE], "n1"));
	assert_true(slice_is(asked.attr[STUN_ATTR_USERNAME], "user"));
	grant(600);
	struct turn_out out = polled(TURN_EV_UP);
	struct ip_ep relayed = ep("192.0.2.1:5000"), mapped = ep("198.51.100.7:41");
	assert_true(ip_ep_equal(&out.relayed, &relayed));
	assert_true(ip_ep_equal(&out.mapped, &mapped));
	quiet();
	assert_true(turn_client_is_up(c));
}

static struct slice writes(const char *to, const char *text)
{
	static uint8_t out[STUN_MSG_MAX];
	struct ip_ep e = ep(to);
	return turn_client_write(c, now, &e, slice_str(text), mslice_of(out, sizeof(out)));
}

static void test_allocate_and_refresh(void **state)
{
	(void)state;
	come_up();
	assert_true(turn_client_deadline(c) == now + 540 * LN_SEC);
	now += 540 * LN_SEC;
	asks(TURN_REFRESH, true);
	refuse(438, "n2");
	asks(TURN_REFRESH, true);
	assert_true(slice_is(asked.attr[STUN_ATTR_NONCE], "n2"));
	grant(60);
	quiet();
	assert_true(turn_client_deadline(c) == now + 30 * LN_SEC);
	turn_client_close(c);
	asks(TURN_REFRESH, true);
	assert_int_equal(stun_attr_u32(asked.attr[STUN_ATTR_LIFETIME]), 0);
	grant(0);
	assert_int_equal(polled(TURN_EV_ENDED).code, 0);
	quiet();
	assert_true(turn_client_deadline(c) == LN_TIME_NEVER);
}

static void test_refusals(void **state)
{
	(void)state;
	asks(TURN_ALLOCATE, false);
	refuse(401, "n1");
	asks(TURN_ALLOCATE, true);
	refuse(401, "n1"); /* the password is wrong */
	assert_int_equal(polled(TURN_EV_ENDED).code, 401);
	start(false);
	asks(TURN_ALLOCATE, false);
	refuse(486, NULL);
	assert_int_equal(polled(TURN_EV_ENDED).code, 486);
	/* A server whose nonces are always stale. */
	start(false);
	asks(TURN_ALLOCATE, false);
	refuse(401, "n");
	for (int i = 0; i < 3; i++) {
		asks(TURN_ALLOCATE, true);
		refuse(438, "n");
	}
	asks(TURN_ALLOCATE, true);
	refuse(438, "n");
	assert_int_equal(polled(TURN_EV_ENDED).code, 438);
}

static void test_a_forged_answer_counts_for_nothing(void **state)
{
	(void)state;
	asks(TURN_ALLOCATE, false);
	refuse(401, "n1");
	asks(TURN_ALLOCATE, true);
	grant_with(600, slice_str("another key"));
	quiet();
	assert_false(turn_client_is_up(c));
	grant(600);
	polled(TURN_EV_UP);
}

static void test_silence(void **state)
{
	(void)state;
	ln_time begun = now;
	for (int i = 0; i < 6; i++) {
		asks(TURN_ALLOCATE, false);
		quiet();
		now = turn_client_deadline(c);
	}
	assert_int_equal(polled(TURN_EV_ENDED).code, 0);
	assert_true(now - begun == 63 * LN_SEC / 2);
	/* A stream repeats nothing. */
	start(true);
	asks(TURN_ALLOCATE, false);
	now = turn_client_deadline(c);
	assert_int_equal(polled(TURN_EV_ENDED).code, 0);
}

static void test_permission_and_channel(void **state)
{
	(void)state;
	struct stun_msg m;
	struct ip_ep peer = ep("203.0.113.5:9"), from;
	struct slice data;
	uint16_t channel;
	come_up();
	assert_int_equal(writes("203.0.113.5:9", "older").n, 0);
	asks(TURN_PERMIT, true);
	assert_int_equal(writes("203.0.113.5:9", "newer").n, 0);
	quiet();
	grant(0);
	/* What waited leaves with the permission: the newest of it. */
	assert_int_equal(stun_msg_read(polled(TURN_EV_SEND).bytes, &m), 0);
	assert_int_equal(m.method, TURN_SEND);
	assert_true(slice_is(m.attr[STUN_ATTR_DATA], "newer"));
	quiet();
	/* Much to say: a channel. */
	for (int i = 0; i < 7; i++) {
		assert_int_equal(stun_msg_read(writes("203.0.113.5:9", "more"), &m), 0);
		assert_int_equal(m.method, TURN_SEND);
	}
	asks(TURN_BIND, true);
	grant(0);
	quiet();
	struct slice msg = writes("203.0.113.5:9", "by channel");
	assert_int_equal(turn_msg_read_channel(msg, &channel, &data), 0);
	assert_int_equal(channel, TURN_CHANNEL_FIRST);
	assert_true(slice_is(data, "by channel"));
	assert_int_equal(turn_client_input(c, now, msg, &from, &data), 1);
	assert_true(ip_ep_equal(&from, &peer) && slice_is(data, "by channel"));
	assert_int_equal(input(slice_of("\x4f\xff\0\0", 4)), 0); /* a channel nobody bound */
	assert_int_equal(input(slice_of("\x40\0\0\5hi", 6)), 0); /* cut off */
	/* Renewed while used, not renewed when not. */
	now += 240 * LN_SEC;
	asks(TURN_BIND, true);
	grant(0);
	quiet();
	now += 240 * LN_SEC;
	quiet();
	/* The server has the binding for ten minutes: what it sends so is known, and the peer gets
	   the same number again. */
	assert_int_equal(input(slice_of("\x40\0\0\2hi\0\0", 8)), 1);
	assert_int_equal(writes("203.0.113.5:9", "again").n, 0);
	asks(TURN_BIND, true);
	assert_memory_equal(asked.attr[STUN_ATTR_CHANNEL_NUMBER].p, "\x40\0", 2);
	grant(0);
	assert_int_equal(turn_msg_read_channel(polled(TURN_EV_SEND).bytes, &channel, &data), 0);
	assert_true(channel == TURN_CHANNEL_FIRST && slice_is(data, "again"));
	quiet();
	/* Forgotten when the number is free. The allocation itself goes on meanwhile. */
	now += 240 * LN_SEC;
	asks(TURN_REFRESH, true);
	grant(100000);
	asks(TURN_BIND, true); /* "again" came after the last request */
	grant(0);
	quiet();
	for (int i = 0; i < 3; i++) {
		now += 240 * LN_SEC;
		quiet();
		assert_int_equal(turn_client_npeers(c), 1);
	}
	now += 240 * LN_SEC;
	quiet();
	assert_int_equal(turn_client_npeers(c), 0);
}

/* A server that has forgotten the number does not keep the peer from being reached. */
static void test_a_channel_refused_after_a_pause(void **state)
{
	(void)state;
	struct stun_msg m;
	come_up();
	assert_int_equal(writes("203.0.113.5:9", "a").n, 0);
	asks(TURN_PERMIT, true);
	grant(0);
	(void)polled(TURN_EV_SEND);
	for (int i = 0; i < 7; i++)
		assert_int_not_equal(writes("203.0.113.5:9", "more").n, 0);
	asks(TURN_BIND, true);
	now += LN_MSEC;
	grant(0);
	now += 240 * LN_SEC; /* its number was never used: not renewed */
	quiet();
	assert_int_equal(writes("203.0.113.5:9", "b").n, 0);
	asks(TURN_BIND, true);
	refuse(400, NULL);
	asks(TURN_PERMIT, true);
	grant(0);
	assert_int_equal(stun_msg_read(polled(TURN_EV_SEND).bytes, &m), 0);
	assert_true(slice_is(m.attr[STUN_ATTR_DATA], "b"));
	quiet();
}

static void test_refused_peers(void **state)
{
	(void)state;
	come_up();
	assert_int_equal(writes("10.0.0.1:9", "x").n, 0);
	asks(TURN_PERMIT, true);
	refuse(403, NULL);
	assert_int_equal(writes("10.0.0.1:9", "x").n, 0);
	quiet();
	now += 31 * LN_SEC;
	assert_int_equal(writes("10.0.0.1:9", "x").n, 0);
	asks(TURN_PERMIT, true);
	/* Another family than the relayed address cannot be reached at all. */
	assert_int_equal(writes("[2001:db8::1]:9", "x").n, 0);
	assert_int_equal(turn_client_npeers(c), 1);
	/* A refused channel is no refused peer. */
	grant(0);
	polled(TURN_EV_SEND);
	for (int i = 0; i < 8; i++)
		assert_true(writes("10.0.0.1:9", "x").n != 0);
	asks(TURN_BIND, true);
	refuse(400, NULL);
	for (int i = 0; i < 20; i++)
		assert_true(writes("10.0.0.1:9", "x").n != 0);
	quiet();
}

static void test_a_lost_allocation(void **state)
{
	(void)state;
	come_up();
	assert_int_equal(writes("10.0.0.1:9", "x").n, 0);
	asks(TURN_PERMIT, true);
	refuse(437, NULL);
	assert_int_equal(polled(TURN_EV_ENDED).code, 437);
	assert_int_equal(writes("10.0.0.1:9", "x").n, 0);
	quiet();
}

static void test_stream_frames(void **state)
{
	(void)state;
	uint8_t out[16];
	struct slice msg = turn_msg_write_channel(mslice_of(out, sizeof(out)), 0x4000,
						  slice_str("12345"), true);
	assert_int_equal(msg.n, 12);
	assert_int_equal(turn_msg_stream_len(slice_of(msg.p, 3)), 0);
	assert_int_equal(turn_msg_stream_len(msg), 12);
	assert_int_equal(turn_msg_stream_len(slice_of("\1\1\0\x08", 4)), 28);
	assert_int_equal(turn_msg_stream_len(slice_of("\1\1\0\7", 4)), LN_E_MALFORMED);
	assert_int_equal(turn_msg_stream_len(slice_of("\x80\1\0\4", 4)), LN_E_MALFORMED);
	assert_int_equal(turn_msg_stream_len(slice_of("\1\1\x40\0", 4)), LN_E_LIMIT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_allocate_and_refresh),
		TEST(test_refusals),
		TEST(test_a_forged_answer_counts_for_nothing),
		TEST(test_silence),
		TEST(test_permission_and_channel),
		TEST(test_a_channel_refused_after_a_pause),
		TEST(test_refused_peers),
		TEST(test_a_lost_allocation),
		TEST(test_stream_frames),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
