/* signal_hub: registration, displacement, delivery, bounds, stuck targets; then all at random. */
#include <stdlib.h>
#include <string.h>

#include "lib/signal/signal_hub.h"
#include "lib/signal/signal_msg.h"

#include "tests/unit/unit.h"

static uint64_t rng_state;

static void rng_fill_test(void *ctx, void *dst, size_t n)
{
	(void)ctx;
	for (uint8_t *p = dst; n > 0; n--) {
		rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
		*p++ = (uint8_t)(rng_state >> 33);
	}
}

static const struct ln_rng rng = { .fill = rng_fill_test };
static const struct ip_addr here = { .family = 4, .b = { 10, 0, 0, 1 } };
static const struct ip_addr there = { .family = 4, .b = { 10, 0, 0, 2 } };

static struct signal_hub *hub(const struct signal_hub_conf *conf)
{
	static const struct signal_hub_conf defaults;
	return signal_hub_new(conf != NULL ? conf : &defaults, &rng);
}

static struct signal_stream *join(struct signal_hub *h, ln_time now, const char *id, void *user)
{
	struct signal_stream *s = NULL;
	assert_int_equal(signal_hub_register(h, now, slice_str(id), &here, user, &s), 0);
	return s;
}

static int post(struct signal_hub *h, const char *to, size_t body)
{
	struct str m;
	uint8_t *bytes = calloc(1, body + 1);
	str_init(&m, 0);
	signal_envelope_write(&m, slice_str("from"), slice_str(to), slice_of(bytes, body));
	int err = signal_hub_send(h, 0, str_slice(&m), NULL);
	str_fini(&m);
	free(bytes);
	return err;
}

static void test_unchanged(void **state)
{
	/* An envelope with an unknown field 9 and its fields out of order. */
	static const uint8_t msg[] = { 0x4a, 1, 'x', 0x22, 2, 7, 8, 0x1a, 1, 'b', 0x12, 1, 'a' };
	struct signal_hub *h = hub(NULL);
	struct signal_hub_out out;
	int user;
	(void)state;
	struct signal_stream *s = join(h, 1, "b", &user);
	assert_int_equal(signal_hub_send(h, 1, slice_of(msg, sizeof(msg)), NULL), 0);
	assert_true(signal_hub_poll(h, 2, &out));
	assert_int_equal(out.type, SIGNAL_HUB_SEND);
	assert_ptr_equal(out.user, &user);
	assert_int_equal(out.msg.n, sizeof(msg));
	assert_memory_equal(out.msg.p, msg, sizeof(msg));
	assert_false(signal_hub_poll(h, 2, &out));
	signal_hub_unregister(h, s);
	signal_hub_free(h);
}

/* Who waits for nothing gets the sender's own bytes; behind them everything keeps its order. */
static void test_straight_through(void **state)
{
	struct signal_hub *h = hub(NULL);
	struct signal_hub_out out;
	struct str m;
	int user;
	str_init(&m, 0);
	signal_envelope_write(&m, slice_str("a"), slice_str("b"), slice_str("body"));
	assert_int_equal(signal_hub_send(h, 5, str_slice(&m), &out), 0); /* nobody is there */
	struct signal_stream *s = join(h, 1, "b", &user);
	assert_int_equal(signal_hub_send(h, 5, str_slice(&m), &out), 1);
	assert_int_equal(out.type, SIGNAL_HUB_SEND);
	assert_ptr_equal(out.user, &user);
	assert_ptr_equal(out.msg.p, m.s);
	assert_int_equal(out.msg.n, m.n);
	assert_false(signal_hub_poll(h, 5, &out));
	assert_int_equal(signal_hub_deadline(h), 5 + 10 * LN_SEC);
	/* Busy now: the next two wait, also when the first of them could go at once. */
	assert_int_equal(signal_hub_send(h, 6, str_slice(&m), &out), 0);
	signal_hub_ready(h, s);
	assert_int_equal(signal_hub_send(h, 6, str_slice(&m), &out), 0);
	assert_true(signal_hub_poll(h, 7, &out));
	assert_ptr_not_equal(out.msg.p, m.s);
	signal_hub_ready(h, s);
	assert_true(signal_hub_poll(h, 7, &out));
	signal_hub_ready(h, s);
	assert_false(signal_hub_poll(h, 7, &out));
	assert_int_equal(signal_hub_counters(h)->forwarded, 3);
	signal_hub_unregister(h, s);
	signal_hub_free(h);
	str_fini(&m);
}

static void test_one_at_a_time_in_order(void **state)
{
	struct signal_hub *h = hub(NULL);
	struct signal_hub_out out;
	(void)state;
	struct signal_stream *s = join(h, 1, "b", NULL);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(post(h, "b", i), 0);
	size_t last = 0;
	for (size_t i = 0; i < 3; i++) {
		assert_true(signal_hub_poll(h, 5, &out));
		assert_true(out.msg.n > last);
		last = out.msg.n;
		assert_false(signal_hub_poll(h, 5, &out));
		signal_hub_ready(h, s);
	}
	assert_false(signal_hub_poll(h, 5, &out));
	assert_int_equal(signal_hub_deadline(h), LN_TIME_NEVER);
	assert_int_equal(signal_hub_counters(h)->forwarded, 3);
	signal_hub_unregister(h, s);
	signal_hub_free(h);
}

static void test_unknown_target(void **state)
{
	struct signal_hub *h = hub(NULL);
	struct signal_hub_out out;
	(void)state;
	assert_int_equal(post(h, "dummy", 3), 0);
	assert_int_equal(signal_hub_send(h, 1, slice_of(NULL, 0), NULL), 0);
	assert_false(signal_hub_poll(h, 1, &out));
	assert_int_equal(signal_hub_counters(h)->not_connected, 2);
	assert_int_equal(signal_hub_send(h, 1,
					 slice_str("\x12\x05"
						   "ab"),
					 NULL),
			 LN_E_MALFORMED);
	signal_hub_free(h);
}

static void test_size_limit(void **state)
{
	const struct signal_hub_conf conf = { .max_message = 100 };
	struct signal_hub *h = hub(&conf);
	(void)state;
	/* 2+4 key, 2+1 remote key, 2 + body */
	assert_int_equal(post(h, "b", 89), 0);
	assert_int_equal(post(h, "b", 90), LN_E_LIMIT);
	assert_int_equal(signal_hub_counters(h)->oversized, 1);
	signal_hub_free(h);
}

static void test_replaced(void **state)
{
	struct signal_hub *h = hub(NULL);
	struct signal_hub_out out;
	int one, two;
	struct signal_stream *s;
	(void)state;
	struct signal_stream *a = join(h, 10, "b", &one);
	assert_int_equal(post(h, "b", 1), 0);
	/* Not later than the old one: refused, and the old one stays. */
	assert_int_equal(signal_hub_register(h, 10, slice_str("b"), &here, &two, &s), LN_E_STALE);
	struct signal_stream *b = join(h, 11, "b", &two);
	assert_true(signal_hub_poll(h, 11, &out));
	assert_int_equal(out.type, SIGNAL_HUB_END);
	assert_int_equal(out.reason, SIGNAL_HUB_DISPLACED);
	assert_ptr_equal(out.user, &one);
	assert_false(signal_hub_poll(h, 11, &out));
	/* The old one leaves late: the new one stays registered. */
	signal_hub_unregister(h, a);
	assert_int_equal(post(h, "b", 1), 0);
	assert_true(signal_hub_poll(h, 12, &out));
	assert_ptr_equal(out.user, &two);
	const struct signal_hub_counters *n = signal_hub_counters(h);
	assert_int_equal(n->registrations, 1);
	assert_int_equal(n->deregistrations, 0);
	assert_int_equal(n->displaced, 1);
	assert_int_equal(n->lost, 1);
	assert_int_equal(n->refused, 1);
	assert_int_equal(n->active, 1);
	signal_hub_unregister(h, b);
	assert_int_equal(n->active, 0);
	signal_hub_free(h);
}

static void test_strangers_are_slowed(void **state)
{
	struct signal_hub *h = hub(NULL);
	struct signal_hub_out out;
	struct signal_stream *s = join(h, 1, "b", NULL), *next;
	ln_time now = 1;
	(void)state;
	/* The owner may come back as often as it likes. */
	for (int i = 0; i < 50; i++) {
		next = join(h, ++now, "b", NULL);
		while (signal_hub_poll(h, now, &out))
			;
		signal_hub_unregister(h, s);
		s = next;
	}
	const struct ip_addr *from[] = { &there, &here };
	for (int i = 0; i < 4; i++) {
		assert_int_equal(
			signal_hub_register(h, ++now, slice_str("b"), from[i % 2], NULL, &next), 0);
		while (signal_hub_poll(h, now, &out))
			;
		signal_hub_unregister(h, s);
		s = next;
	}
	assert_int_equal(signal_hub_register(h, ++now, slice_str("b"), &there, NULL, &next),
			 LN_E_STALE);
	now += 15 * LN_SEC;
	assert_int_equal(signal_hub_register(h, now, slice_str("b"), &there, NULL, &next), 0);
	signal_hub_unregister(h, s);
	signal_hub_unregister(h, next);
	signal_hub_free(h);
}

static void test_stuck(void **state)
{
	struct signal_hub *h = hub(NULL);
	struct signal_hub_out out;
	(void)state;
	struct signal_stream *s = join(h, 1, "b", NULL), *t = join(h, 1, "c", NULL);
	assert_int_equal(post(h, "b", 1), 0);
	assert_int_equal(post(h, "b", 2), 0);
	assert_int_equal(post(h, "c", 2), 0);
	assert_true(signal_hub_poll(h, LN_SEC, &out));
	assert_true(signal_hub_poll(h, 2 * LN_SEC, &out));
	assert_int_equal(signal_hub_deadline(h), 11 * LN_SEC);
	assert_false(signal_hub_poll(h, 11 * LN_SEC - 1, &out));
	assert_true(signal_hub_poll(h, 11 * LN_SEC, &out));
	assert_int_equal(out.type, SIGNAL_HUB_END);
	assert_int_equal(out.reason, SIGNAL_HUB_STUCK);
	assert_ptr_equal(out.stream, s);
	assert_int_equal(signal_hub_deadline(h), 12 * LN_SEC);
	assert_false(signal_hub_poll(h, 11 * LN_SEC, &out));
	assert_int_equal(post(h, "b", 1), 0); /* nobody has that id now */
	assert_int_equal(signal_hub_counters(h)->not_connected, 1);
	signal_hub_ready(h, t);
	assert_int_equal(signal_hub_deadline(h), LN_TIME_NEVER);
	signal_hub_unregister(h, s);
	signal_hub_unregister(h, t);
	signal_hub_free(h);
}

static void test_queue_bounds(void **state)
{
	struct signal_hub *h = hub(NULL);
	struct signal_hub_out out;
	(void)state;
	struct signal_stream *s = join(h, 1, "b", NULL);
	for (size_t i = 0; i < 256; i++)
		assert_int_equal(post(h, "b", i), 0);
	assert_int_equal(signal_hub_counters(h)->dropped, 0);
	assert_int_equal(post(h, "b", 256), 0);
	assert_int_equal(signal_hub_counters(h)->dropped, 1);
	assert_true(signal_hub_poll(h, 1, &out));
	assert_int_equal(out.msg.n, 12); /* the oldest, with an empty body, is gone */
	signal_hub_unregister(h, s);
	assert_int_equal(signal_hub_counters(h)->lost, 255);
	signal_hub_free(h);

	const struct signal_hub_conf small = { .max_bytes = 1000 };
	h = hub(&small);
	s = join(h, 1, "b", NULL);
	assert_int_equal(post(h, "b", 400), 0);
	assert_int_equal(post(h, "b", 400), 0);
	assert_int_equal(post(h, "b", 400), 0);
	assert_int_equal(post(h, "b", 2000), 0); /* larger than the whole queue may be */
	assert_int_equal(signal_hub_counters(h)->dropped, 2);
	assert_true(signal_hub_poll(h, 1, &out));
	signal_hub_unregister(h, s);
	signal_hub_free(h);
}

static void test_ids(void **state)
{
	const struct signal_hub_conf conf = { .max_streams = 2 };
	struct signal_hub *h = hub(&conf);
	struct signal_stream *s;
	uint8_t id[SIGNAL_HUB_ID_MAX + 1] = { 0 };
	(void)state;
	assert_int_equal(signal_hub_register(h, 1, slice_of(id, 0), &here, NULL, &s),
			 LN_E_MALFORMED);
	assert_int_equal(signal_hub_register(h, 1, slice_of(id, sizeof(id)), &here, NULL, &s),
			 LN_E_MALFORMED);
	assert_int_equal(signal_hub_register(h, 1, slice_of(id, sizeof(id) - 1), &here, NULL, &s),
			 0);
	struct signal_stream *b = join(h, 1, "b", NULL);
	struct signal_stream *c;
	assert_int_equal(signal_hub_register(h, 1, slice_str("c"), &here, NULL, &c), LN_E_LIMIT);
	signal_hub_unregister(h, s);
	c = join(h, 1, "c", NULL);
	signal_hub_unregister(h, b);
	signal_hub_unregister(h, c);
	signal_hub_free(h);
}

/* Random life against one invariant: every message is forwarded, dropped, lost or waiting. */
static void test_random(void **state)
{
	enum {
		IDS = 6,
		STREAMS = 12
	};
	const struct signal_hub_conf conf = { .max_queue = 4,
					      .max_total = 3000,
					      .send_timeout = LN_SEC };
	struct signal_hub *h = hub(&conf);
	struct signal_stream *live[STREAMS] = { NULL };
	struct signal_hub_out out;
	uint64_t sent = 0;
	ln_time now = 1;
	(void)state;
	for (int step = 0; step < 100000; step++) {
		char id[2] = { (char)('a' + rng_below(&rng, IDS)), 0 };
		size_t at = rng_below(&rng, STREAMS);
		now += (ln_time)rng_below(&rng, 100) * LN_MSEC;
		switch (rng_below(&rng, 4)) {
		case 0:
			if (live[at] != NULL)
				signal_hub_unregister(h, live[at]);
			live[at] = NULL;
			if (signal_hub_register(h, now, slice_str(id),
						rng_below(&rng, 2) ? &here : &there, &live[at],
						&live[at]) < 0)
				live[at] = NULL;
			break;
		case 1:
			if (live[at] != NULL)
				signal_hub_ready(h, live[at]);
			break;
		default:
			assert_int_equal(post(h, id, rng_below(&rng, 600)), 0);
			sent++;
			break;
		}
		while (signal_hub_poll(h, now, &out))
			assert_ptr_equal(*(struct signal_stream **)out.user, out.stream);
	}
	for (size_t i = 0; i < STREAMS; i++)
		if (live[i] != NULL)
			signal_hub_unregister(h, live[i]);
	const struct signal_hub_counters *n = signal_hub_counters(h);
	assert_int_equal(sent, n->forwarded + n->not_connected + n->dropped + n->lost);
	assert_true(n->forwarded > 1000 && n->dropped > 100 && n->displaced > 100 && n->stuck > 10);
	assert_int_equal(n->active, 0);
	signal_hub_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unchanged),
		cmocka_unit_test(test_straight_through),
		cmocka_unit_test(test_one_at_a_time_in_order),
		cmocka_unit_test(test_unknown_target),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_strangers_are_slowed),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_queue_bounds),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
