/* The dialogue with a gateway, in virtual time. */
#include <string.h>

#include "lib/base/cursor.h"
#include "lib/portmap/portmap.h"

#include "tests/unit/unit.h"

static void count_up(void *ctx, void *dst, size_t n)
{
	uint8_t *next = ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = (*next)++;
}

static uint8_t counter;
static const struct ln_rng rng = { count_up, &counter };
static const struct portmap_conf conf = { .port = 51820 };
static const struct ip_addr gateway = { .family = 4, .b = { 10, 1, 0, 1 } };
static const struct ip_addr source = { .family = 4, .b = { 10, 1, 0, 2 } };
static ln_time now;
static uint32_t epoch;
static struct portmap *p;
static struct portmap_out out;

static int begin(void **state)
{
	(void)state;
	now = 1000 * LN_SEC;
	epoch = 500;
	p = portmap_new(&conf, &rng);
	assert_int_equal(portmap_deadline(p), LN_TIME_NEVER);
	portmap_start(p, now, &gateway, &source);
	return 0;
}

static int end(void **state)
{
	(void)state;
	portmap_free(p);
	return 0;
}

static bool next(void)
{
	return portmap_poll(p, now, &out);
}

/* The next request; its version and opcode. */
static void expect_request(uint8_t version, uint8_t op)
{
	assert_true(next());
	assert_int_equal(out.kind, PORTMAP_OUT_SEND);
	assert_int_equal(out.data.p[0], version);
	assert_int_equal(out.data.p[1], op);
}

static void answer_pcp_map(uint8_t result, uint16_t port, uint32_t life)
{
	uint8_t buf[60];
	struct writer w = writer_of(mslice_of(buf, sizeof(buf)));
	struct slice nonce = slice_of(out.data.p + 24, PORTMAP_NONCE_LEN);
	writer_u8(&w, 2), writer_u8(&w, 0x81), writer_u8(&w, 0), writer_u8(&w, result);
	writer_u32(&w, life), writer_u32(&w, epoch), writer_zero(&w, 12);
	writer_bytes(&w, nonce);
	writer_u32(&w, 17u << 24);
	writer_u16(&w, 51820), writer_u16(&w, port);
	writer_zero(&w, 10), writer_u16(&w, 0xffff), writer_u32(&w, 0xc6336415);
	assert_int_equal(portmap_input(p, now, writer_slice(&w)), 0);
}

static void answer_announce(void)
{
	uint8_t buf[24] = { 2, 0x80 };
	for (int i = 0; i < 4; i++)
		buf[8 + i] = (uint8_t)(epoch >> (24 - 8 * i));
	assert_int_equal(portmap_input(p, now, slice_of(buf, sizeof(buf))), 0);
}

static void answer_pmp(uint8_t op, uint16_t result, uint32_t value, uint32_t life)
{
	uint8_t buf[16];
	struct writer w = writer_of(mslice_of(buf, sizeof(buf)));
	writer_u8(&w, 0), writer_u8(&w, 0x80 | op), writer_u16(&w, result), writer_u32(&w, epoch);
	if (op == 0) {
		writer_u32(&w, value);
	} else {
		writer_u16(&w, 51820), writer_u16(&w, (uint16_t)value), writer_u32(&w, life);
	}
	assert_int_equal(portmap_input(p, now, writer_slice(&w)), 0);
}

static void expect_mapped(const char *text)
{
	char got[IP_EP_TEXT_MAX];
	assert_true(next());
	assert_int_equal(out.kind, PORTMAP_OUT_MAPPED);
	ip_ep_format(&out.ep, got);
	assert_string_equal(got, text);
}

static void pass(ln_time span)
{
	now += span;
	epoch += (uint32_t)(span / LN_SEC);
}

static void test_pcp(void **state)
{
	(void)state;
	expect_request(2, 1);
	assert_false(next());
	answer_pcp_map(0, 40001, 7200);
	expect_mapped("198.51.100.21:40001");
	assert_false(next());

	/* Every minute the epoch; an hour later a renewal, which says nothing new. */
	unsigned looks = 0;
	for (ln_time end = now + LN_HOUR - LN_SEC; portmap_deadline(p) < end; looks++) {
		pass(portmap_deadline(p) - now);
		expect_request(2, 0);
		answer_announce();
		assert_false(next());
	}
	assert_in_range(looks, 58, 60);
	pass(portmap_deadline(p) - now);
	expect_request(2, 1);
	assert_int_equal(out.data.p[42] << 8 | out.data.p[43], 40001); /* the same again */
	answer_pcp_map(0, 40001, 7200);
	assert_false(next());

	portmap_stop(p, now);
	for (int i = 0; i < 2; i++) {
		expect_request(2, 1);
		assert_memory_equal(out.data.p + 4, "\0\0\0\0", 4);
	}
	assert_false(next());
	assert_int_equal(portmap_deadline(p), LN_TIME_NEVER);
}

/* Its epoch begins anew: it has forgotten us, and its next mapping has another port. */
static void test_gateway_restarts(void **state)
{
	(void)state;
	expect_request(2, 1);
	answer_pcp_map(0, 40001, 7200);
	expect_mapped("198.51.100.21:40001");
	pass(portmap_deadline(p) - now);
	epoch = 3;
	expect_request(2, 0);
	answer_announce();
	expect_request(2, 1);
	answer_pcp_map(0, 40009, 7200);
	expect_mapped("198.51.100.21:40009");
}

static void test_nat_pmp_only(void **state)
{
	static const uint8_t old[8] = { 0, 0x81, 0, 1 };
	(void)state;
	expect_request(2, 1);
	assert_int_equal(portmap_input(p, now, slice_of(old, sizeof(old))), 0);
	expect_request(0, 0);
	assert_string_equal(portmap_protocol(p), "NAT-PMP");
	answer_pmp(0, 0, 0xc6336415, 0);
	expect_request(0, 1);
	answer_pmp(1, 0, 40001, 3600);
	expect_mapped("198.51.100.21:40001");

	/* The health check is the address; another one is another mapping. */
	pass(portmap_deadline(p) - now);
	expect_request(0, 0);
	answer_pmp(0, 0, 0xc6336416, 0);
	expect_request(0, 1);
	answer_pmp(1, 0, 40001, 3600);
	expect_mapped("198.51.100.22:40001");
}

static void test_nobody_answers(void **state)
{
	unsigned pcp = 0, pmp = 0;
	(void)state;
	ln_time began = now;
	for (;;) {
		pass(portmap_deadline(p) - now);
		if (!next())
			continue;
		if (out.kind != PORTMAP_OUT_SEND)
			break;
		pcp += out.data.p[0] == 2;
		pmp += out.data.p[0] == 0;
	}
	assert_int_equal(out.kind, PORTMAP_OUT_NONE);
	assert_string_equal(out.why, "the gateway does not answer");
	assert_int_equal(pcp, 4);
	assert_int_equal(pmp, 4);
	assert_true(now - began < 8 * LN_SEC);
	assert_false(next());
	assert_true(portmap_deadline(p) - now == 15 * LN_MINUTE);
	pass(portmap_deadline(p) - now);
	expect_request(2, 1);
}

static void test_refused_port(void **state)
{
	(void)state;
	expect_request(2, 1);
	portmap_refused(p, now);
	expect_request(0, 0);
	portmap_refused(p, now);
	assert_true(next());
	assert_int_equal(out.kind, PORTMAP_OUT_NONE);
}

/* A mapping outlives a gateway that is silent for a while, but not its own life. */
static void test_silent_renewal(void **state)
{
	(void)state;
	expect_request(2, 1);
	answer_pcp_map(0, 40001, 600);
	expect_mapped("198.51.100.21:40001");
	ln_time gone = now + 600 * LN_SEC;
	do {
		pass(portmap_deadline(p) - now);
	} while (!next() || out.kind == PORTMAP_OUT_SEND);
	assert_int_equal(out.kind, PORTMAP_OUT_NONE);
	assert_in_range(now, gone, gone + LN_MINUTE);
}

static void test_strangers(void **state)
{
	static const uint8_t announce[24] = { 2, 0x80 };
	(void)state;
	expect_request(2, 1);
	assert_int_equal(portmap_input(p, now, slice_of(announce, 24)), LN_E_NOTFOUND);
	/* Another nonce: the answer to somebody else, or a guess. */
	uint8_t request[60];
	memcpy(request, out.data.p, sizeof(request));
	request[30] ^= 1;
	out.data = slice_of(request, sizeof(request));
	uint8_t buf[60];
	struct writer w = writer_of(mslice_of(buf, sizeof(buf)));
	writer_u32(&w, 2u << 24 | 0x81u << 16), writer_u32(&w, 7200), writer_u32(&w, epoch);
	writer_zero(&w, 12), writer_bytes(&w, slice_of(request + 24, 12)),
		writer_u32(&w, 17u << 24);
	writer_u16(&w, 51820), writer_u16(&w, 40001), writer_zero(&w, 16);
	assert_int_equal(portmap_input(p, now, writer_slice(&w)), LN_E_NOTFOUND);
	assert_false(next());
}

static void test_another_gateway(void **state)
{
	static const struct ip_addr other = { .family = 4, .b = { 10, 9, 0, 1 } };
	(void)state;
	expect_request(2, 1);
	answer_pcp_map(0, 40001, 7200);
	expect_mapped("198.51.100.21:40001");
	portmap_start(p, now, &other, &source);
	assert_true(next());
	assert_int_equal(out.kind, PORTMAP_OUT_NONE);
	expect_request(2, 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		CASE(test_pcp),          CASE(test_gateway_restarts),
		CASE(test_nat_pmp_only), CASE(test_nobody_answers),
		CASE(test_refused_port), CASE(test_silent_renewal),
		CASE(test_strangers),    CASE(test_another_gateway),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
