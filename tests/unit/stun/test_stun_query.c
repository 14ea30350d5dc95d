#include "lib/stun/stun_auth.h"
#include "lib/stun/stun_msg.h"
#include "lib/stun/stun_query.h"

#include "tests/unit/unit.h"

static void count_up(void *ctx, void *dst, size_t n)
{
	uint8_t *next = ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = (*next)++;
}

static uint8_t counter;
static const struct ln_rng rng = { count_up, &counter };
static uint8_t scratch[1280];

static struct ip_ep ep(const char *text)
{
	struct ip_ep e;
	assert_int_equal(ip_ep_parse(slice_str(text), &e), 0);
	return e;
}

static bool poll_one(struct stun_query *q, ln_time now, struct stun_query_out *out)
{
	return stun_query_poll(q, now, mslice_of(scratch, sizeof(scratch)), out);
}

/* An answer to the request in `req`, with the given mapped address. */
static struct slice answer(struct slice req, enum stun_class cls, const char *mapped, uint8_t *buf)
{
	struct stun_msg m;
	assert_int_equal(stun_msg_read(req, &m), 0);
	struct writer w = writer_of(mslice_of(buf, 256));
	stun_msg_begin(&w, cls, &m.tid);
	struct ip_ep e = ep(mapped);
	stun_msg_add_addr(&w, STUN_ATTR_XOR_MAPPED_ADDRESS, &e, &m.tid);
	stun_auth_fingerprint(&w);
	return writer_slice(&w);
}

static void asks_and_caches(void **state)
{
	struct ip_ep servers[2] = { ep("198.51.100.10:3478"), ep("[2001:db8::10]:3478") };
	struct stun_query_out out;
	uint8_t buf[256];
	struct stun_query *q = stun_query_new(&rng);
	stun_query_set_servers(q, servers, 2);
	assert_true(stun_query_deadline(q) == LN_TIME_NEVER);
	stun_query_start(q, LN_SEC, 0);
	assert_true(stun_query_deadline(q) == LN_SEC);

	assert_true(poll_one(q, LN_SEC, &out));
	assert_int_equal(out.kind, STUN_QUERY_SEND);
	assert_int_equal(out.data.n, 20); /* spec trap 26: a bare header */
	assert_true(ip_ep_equal(&out.server, &servers[0]));
	struct slice a = answer(out.data, STUN_SUCCESS, "203.0.113.7:40001", buf);
	struct ip_ep other = ep("198.51.100.11:3478");
	assert_int_equal(stun_query_input(q, LN_SEC, &other, a), LN_E_NOTFOUND);
	assert_int_equal(stun_query_input(q, LN_SEC + 30 * LN_MSEC, &servers[0], a), 0);
	assert_int_equal(stun_query_input(q, LN_SEC + 30 * LN_MSEC, &servers[0], a), LN_E_NOTFOUND);
	assert_true(poll_one(q, LN_SEC + 30 * LN_MSEC, &out));
	assert_int_equal(out.kind, STUN_QUERY_MAPPED);
	assert_int_equal(out.mapped.port, 40001);

	/* The other server: an answer of the wrong family ends it. */
	assert_true(poll_one(q, LN_SEC + 30 * LN_MSEC, &out));
	assert_int_equal(out.kind, STUN_QUERY_SEND);
	a = answer(out.data, STUN_SUCCESS, "203.0.113.7:40001", buf);
	assert_int_equal(stun_query_input(q, 2 * LN_SEC, &servers[1], a), 0);
	assert_true(poll_one(q, 2 * LN_SEC, &out));
	assert_int_equal(out.kind, STUN_QUERY_GAVE_UP);
	assert_false(poll_one(q, 2 * LN_SEC, &out));

	/* 25 s later minus a moment only the failed one is asked again; afterwards both. */
	stun_query_start(q, LN_SEC + 25 * LN_SEC, 0);
	const struct stun_query_server *list;
	assert_int_equal(stun_query_list(q, &list), 2);
	assert_int_equal(list[0].state, STUN_QUERY_ANSWERED);
	assert_true(list[0].rtt == 30 * LN_MSEC);
	assert_int_equal(list[1].state, STUN_QUERY_WAITING);
	stun_query_start(q, 27 * LN_SEC, 0);
	assert_int_equal(list[0].state, STUN_QUERY_WAITING);

	/* A server that stays keeps its state; one that goes is forgotten. */
	stun_query_set_servers(q, &servers[1], 1);
	assert_int_equal(stun_query_list(q, &list), 1);
	assert_int_equal(list[0].state, STUN_QUERY_WAITING);
	stun_query_free(q);
}

static void retransmits_and_gives_up(void **state)
{
	static const ln_time want[] = { 0, 500 * LN_MSEC, 1500 * LN_MSEC, 3500 * LN_MSEC };
	struct ip_ep server = ep("198.51.100.10:3478");
	struct stun_query_out out;
	uint8_t first[20];
	struct stun_query *q = stun_query_new(&rng);
	stun_query_set_servers(q, &server, 1);
	stun_query_start(q, 0, 0);
	for (size_t i = 0; i < LN_COUNT(want); i++) {
		assert_true(stun_query_deadline(q) == want[i]);
		if (want[i] > 0)
			assert_false(poll_one(q, want[i] - 1, &out));
		assert_true(poll_one(q, want[i], &out));
		assert_int_equal(out.kind, STUN_QUERY_SEND);
		if (i == 0)
			memcpy(first, out.data.p, sizeof(first));
		assert_memory_equal(first, out.data.p, sizeof(first));
		assert_false(poll_one(q, want[i], &out));
	}
	assert_true(stun_query_deadline(q) == 5 * LN_SEC);
	assert_true(poll_one(q, 5 * LN_SEC, &out));
	assert_int_equal(out.kind, STUN_QUERY_GAVE_UP);
	stun_query_free(q);
}

/* Nobody else would notice that a silent server can be reached again. */
static void asks_the_silent_again(void **state)
{
	static const ln_time waits[] = { 5, 10, 20, 40, 60, 60 };
	struct ip_ep server = ep("198.51.100.10:3478");
	struct stun_query_out out = { 0 };
	uint8_t buf[256];
	ln_time now = 0;
	struct stun_query *q = stun_query_new(&rng);
	stun_query_set_servers(q, &server, 1);
	stun_query_start(q, now, 0);
	for (size_t i = 0; i < LN_COUNT(waits); i++) {
		unsigned sent = 0;
		do {
			now = stun_query_deadline(q);
			assert_true(poll_one(q, now, &out));
			sent += out.kind == STUN_QUERY_SEND;
		} while (out.kind != STUN_QUERY_GAVE_UP);
		assert_int_equal(sent, 4);
		assert_in_range(stun_query_deadline(q) - now, waits[i] * LN_SEC,
				waits[i] * LN_SEC * 6 / 5);
	}
	now = stun_query_deadline(q);
	assert_true(poll_one(q, now, &out));
	struct slice a = answer(out.data, STUN_SUCCESS, "203.0.113.7:40001", buf);
	assert_int_equal(stun_query_input(q, now, &server, a), 0);
	assert_true(poll_one(q, now, &out));
	assert_int_equal(out.kind, STUN_QUERY_MAPPED);
	assert_true(stun_query_deadline(q) == LN_TIME_NEVER);
	stun_query_free(q);
}

static void refuses_damage(void **state)
{
	struct ip_ep server = ep("198.51.100.10:3478");
	struct stun_query_out out;
	uint8_t buf[256];
	struct stun_query *q = stun_query_new(&rng);
	stun_query_set_servers(q, &server, 1);
	stun_query_start(q, 0, 0);
	assert_true(poll_one(q, 0, &out));
	struct slice a = answer(out.data, STUN_SUCCESS, "203.0.113.7:40001", buf);
	for (size_t n = 0; n < a.n; n++)
		assert_int_equal(stun_query_input(q, 1, &server, slice_of(a.p, n)), LN_E_NOTFOUND);
	buf[30] ^= 1; /* the CRC notices */
	assert_int_equal(stun_query_input(q, 1, &server, a), LN_E_NOTFOUND);
	buf[30] ^= 1;
	buf[10] ^= 1; /* another transaction */
	assert_int_equal(stun_query_input(q, 1, &server, a), LN_E_NOTFOUND);
	buf[10] ^= 1;
	assert_int_equal(stun_query_input(q, 1, &server, a), 0);
	stun_query_free(q);
}

static void list_limit(void **state)
{
	struct ip_ep servers[STUN_QUERY_SERVERS_MAX + 2];
	const struct stun_query_server *list;
	for (size_t i = 0; i < LN_COUNT(servers); i++)
		servers[i] = (struct ip_ep){ ip_v4(0xc6336401u + (uint32_t)i), 3478 };
	servers[1] = servers[0];
	struct stun_query *q = stun_query_new(&rng);
	stun_query_set_servers(q, servers, LN_COUNT(servers));
	assert_int_equal(stun_query_list(q, &list), STUN_QUERY_SERVERS_MAX);
	assert_false(ip_ep_equal(&list[0].addr, &list[1].addr));
	stun_query_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_and_caches),
		cmocka_unit_test(retransmits_and_gives_up),
		cmocka_unit_test(asks_the_silent_again),
		cmocka_unit_test(refuses_damage),
		cmocka_unit_test(list_limit),
	};
	return cmocka_run_group_tests_name("stun_query", tests, NULL, NULL);
}
