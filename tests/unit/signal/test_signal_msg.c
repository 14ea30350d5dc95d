/* Bodies and envelopes: vectors of signal-and-connection 9, then what NetBird's agents sent. */
#include <stdio.h>

#include "lib/base/hex.h"
#include "lib/crypto/box.h"
#include "lib/signal/signal_msg.h"

#include "tests/unit/mgmt/wire_index.h"
#include "tests/unit/unit.h"

static struct wire_index wire;

#define A_PRIVATE "oCUhqP3GA+7NNSLimJwkfS1Wk8mMICF2UIerqUsypnM="
#define A_PUBLIC "Zw7pHoR0rLabeDowDU7JIRBI/c2u1PH8YIxHPD5JFEg="
#define B_PUBLIC "Ye7eIx0R3unqhbONfT0kLjbFGbSQT2DkfyA9LqywNgY="

#define OFFER                                                                                      \
 "12314162436445664768496a4b6c4d6e4f703a6162636465666768696a6b6c6d6e6f7071727374757677787"         \
 "97a414243444546"                                                                                 \
 "18ec94032206302e37302e303a00421c72656c733a2f2f72656c61792e6578616d706c652e6f72673a343433"        \
 "5205e7737d235f5a04cb007109"

#define SEALED                                                                                     \
 "000102030405060708090a0b0c0d0e0f10111213141516171d71b3fc3ee3103cfecc23e1d4927e37"                \
 "7111bc25a466151ec15e2410cddfad108b5f82909cdc010551b4bcf717dbea6f04542f88dd478aa4"                \
 "28f179db075b7f3cdad3a191edc5deea5d3f75861a55b5b52d97489abe33c27bcf2b256cd9abf221"                \
 "f89c76a99f5df8635504b1435be604fb2ef4f31b8570e6a853c74c11"

static struct slice unhex(const char *text)
{
	size_t n = strlen(text) / 2;
	uint8_t *p = arena_alloc(&wire.a, n);
	assert_int_equal(hex_decode(slice_str(text), mslice_of(p, n)), (int)n);
	return slice_of(p, n);
}

static void test_offer(void **state)
{
	(void)state;
	struct signal_body m;
	assert_int_equal(signal_body_read(unhex(OFFER), &wire.a, &m), 0);
	assert_int_equal(m.type, SIGNAL_OFFER);
	assert_true(slice_is(m.payload, "AbCdEfGhIjKlMnOp:abcdefghijklmnopqrstuvwxyzABCDEF"));
	assert_int_equal(m.wg_port, 51820);
	assert_string_equal(m.version, "0.70.0");
	assert_true(m.has_relay);
	assert_string_equal(m.relay_address, "rels://relay.example.org:443");
	assert_int_equal(ip_to_u32(&m.relay_ip), 0xcb007109);
	assert_true(m.has_session);
	assert_memory_equal(m.session, "\xe7\x73\x7d\x23\x5f", 5);
	assert_int_equal(m.rosenpass_key.n, 0);
	assert_string_equal(m.rosenpass_addr, "");

	struct str out = { 0 };
	signal_body_write(&out, &m);
	assert_true(slice_equal(str_slice(&out), unhex(OFFER)));
	str_fini(&out);
}

static void test_sealed(void **state)
{
	(void)state;
	struct wg_secret a;
	struct wg_key b;
	struct box_key key;
	assert_int_equal(wg_secret_parse(slice_str(A_PRIVATE), &a), 0);
	assert_int_equal(wg_key_parse(slice_str(B_PUBLIC), &b), 0);
	assert_int_equal(box_key_init(&key, &a, &b), 0);
	uint8_t nonce[BOX_NONCE_LEN], sealed[148];
	for (size_t i = 0; i < sizeof(nonce); i++)
		nonce[i] = (uint8_t)i;
	assert_int_equal(
		box_seal_nonce(&key, nonce, unhex(OFFER), mslice_of(sealed, sizeof(sealed))), 148);
	assert_memory_equal(sealed, unhex(SEALED).p, 148);

	struct str out = { 0 };
	signal_envelope_write(&out, slice_str(A_PUBLIC), slice_str(B_PUBLIC),
			      slice_of(sealed, sizeof(sealed)));
	assert_int_equal(out.n, 243);
	assert_memory_equal(out.s, "\x12\x2c", 2);
	assert_memory_equal(out.s + 92, "\x22\x94\x01", 3);
	struct signal_envelope e;
	assert_int_equal(signal_envelope_read(str_slice(&out), &e), 0);
	assert_true(slice_is(e.key, A_PUBLIC));
	assert_true(slice_is(e.remote_key, B_PUBLIC));
	assert_true(slice_equal(e.body, slice_of(sealed, sizeof(sealed))));
	str_fini(&out);
}

static void check_write(const struct signal_body *m, const char *hex)
{
	struct str out = { 0 };
	signal_body_write(&out, m);
	struct slice expected = unhex(hex);
	assert_int_equal(out.n, expected.n);
	assert_memory_equal(out.s, expected.p, expected.n);
	str_fini(&out);
}

static void test_small(void **state)
{
	(void)state;
	check_write(&(struct signal_body){ .type = SIGNAL_HEARTBEAT }, "0806");
	check_write(&(struct signal_body){ .type = SIGNAL_GO_IDLE }, "0805");
	/* No ICE: nothing on either side of the colon. OFFER is 0 and therefore absent. */
	check_write(&(struct signal_body){ .payload = slice_str(":") }, "12013a3a00");
	check_write(&(struct signal_body){ .type = SIGNAL_CANDIDATE, .payload = slice_str("x") },
		    "0802120178");
	/* Present and empty is not absent. */
	check_write(&(struct signal_body){ .type = SIGNAL_ANSWER,
					   .has_relay = true,
					   .relay_address = "" },
		    "08013a004200");

	struct signal_body m;
	assert_int_equal(signal_body_read(unhex("08013a004200"), &wire.a, &m), 0);
	assert_true(m.has_relay);
	assert_string_equal(m.relay_address, "");
	assert_int_equal(signal_body_read(unhex("08013a00"), &wire.a, &m), 0);
	assert_false(m.has_relay);
	/* A session or address of another length counts as none. */
	assert_int_equal(signal_body_read(unhex("5204e7737d235a03010203"), &wire.a, &m), 0);
	assert_false(m.has_session);
	assert_int_equal(m.relay_ip.family, 0);
	/* An address mapped into IPv6 is IPv4. */
	assert_int_equal(
		signal_body_read(unhex("5a1000000000000000000000ffffcb007109"), &wire.a, &m), 0);
	assert_int_equal(m.relay_ip.family, 4);
	/* Types we do not know are handed on; unknown fields are skipped. */
	assert_int_equal(signal_body_read(unhex("0863a2060178"), &wire.a, &m), 0);
	assert_int_equal(m.type, 0x63);
	assert_int_equal(signal_body_read(slice_of(NULL, 0), &wire.a, &m), 0);
	assert_int_equal(m.type, SIGNAL_OFFER);
}

static void test_malformed(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"1202ff41",               /* no UTF-8 */
		"12020041",               /* a zero byte in a text */
		"1203eda080",             /* a surrogate */
		"1202c080",               /* overlong */
		"12",                     /* a length is missing */
		"120541",                 /* text cut short */
		"0a",                     /* field 1 without a value */
		"0880",                   /* varint cut short */
		"00",                     /* field number 0 */
		"1b",                     /* a group */
		"10ffffffffffffffffff7f", /* a varint of more than 64 bits */
	};
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		struct signal_body m = { .type = 99 };
		assert_int_equal(signal_body_read(unhex(bad[i]), &wire.a, &m), LN_E_MALFORMED);
		assert_int_equal(m.type, 99);
	}
	/* The caller's limit. */
	struct arena small;
	arena_init(&small, 16);
	struct signal_body m;
	assert_int_equal(signal_body_read(unhex(OFFER), &small, &m), LN_E_LIMIT);
	arena_fini(&small);
}

static void test_envelope(void **state)
{
	(void)state;
	struct signal_envelope e;
	assert_int_equal(signal_envelope_read(slice_of(NULL, 0), &e), 0);
	assert_int_equal(e.key.n + e.remote_key.n + e.body.n, 0);
	/* Unknown fields of every kind; the last of a repeated field counts. */
	assert_int_equal(signal_envelope_read(unhex("080112016112016248"
						    "05310102030405060708"
						    "3d01020304"
						    "1a0163"
						    "220164"),
					      &e),
			 0);
	assert_true(slice_is(e.key, "b"));
	assert_true(slice_is(e.remote_key, "c"));
	assert_true(slice_is(e.body, "d"));
	static const char *const bad[] = { "1005", "1205", "22ffffffffffffffffff01", "ff", "23" };
	for (size_t i = 0; i < LN_COUNT(bad); i++)
		assert_int_equal(signal_envelope_read(unhex(bad[i]), &e), LN_E_MALFORMED);
}

/* --- recorded messages ------------------------------------------------------------------------ */

static const struct {
	const char *name;
	enum signal_type type;
} kinds[] = {
	{ "OFFER", SIGNAL_OFFER },         { "ANSWER", SIGNAL_ANSWER },
	{ "CANDIDATE", SIGNAL_CANDIDATE }, { "HEARTBEAT", SIGNAL_HEARTBEAT },
	{ "GO_IDLE", SIGNAL_GO_IDLE },
};

static void check_recorded(const struct wire_row *row)
{
	struct signal_body m;
	assert_int_equal(signal_body_read(row->plain, &wire.a, &m), 0);
	size_t k = 0;
	while (k < LN_COUNT(kinds) &&
	       strncmp(row->inside, kinds[k].name, strlen(kinds[k].name)) != 0)
		k++;
	assert_true(k < LN_COUNT(kinds));
	assert_int_equal(m.type, kinds[k].type);
	const char *payload = row->inside + strlen(kinds[k].name);
	assert_true(slice_is(m.payload, *payload == ' ' ? payload + 1 : payload));
	if (m.type == SIGNAL_OFFER || m.type == SIGNAL_ANSWER) {
		assert_int_not_equal(m.wg_port, 0);
		/* The session id came after v0.50.3; b is always v0.77.1. */
		bool old = strstr(row->file, "a-to-b") != NULL &&
			   (strstr(row->file, "0.28.9") || strstr(row->file, "0.40.1") ||
			    strstr(row->file, "0.50.3"));
		assert_int_equal(m.has_session, !old);
	}
	/* Written again it is the same bytes: the field order is that of the numbers. */
	struct str out = { 0 };
	signal_body_write(&out, &m);
	assert_true(slice_equal(str_slice(&out), row->plain));
	str_fini(&out);
}

static void test_recorded(void **state)
{
	(void)state;
	size_t bodies = 0, probes = 0;
	for (size_t i = 0; i < wire.nrows; i++) {
		const struct wire_row *row = &wire.rows[i];
		if (strcmp(row->protocol, "signal") != 0)
			continue;
		struct signal_envelope e;
		if (strcmp(row->message, "EncryptedMessage") == 0) {
			assert_int_equal(signal_envelope_read(row->plain, &e), 0);
			assert_true(slice_is(e.remote_key, "dummy"));
			assert_int_equal(e.body.n, 0);
			probes++;
			continue;
		}
		assert_int_equal(signal_envelope_read(row->sealed, &e), 0);
		assert_true(wire_row_opens(&wire, row, e.body));
		struct str out = { 0 };
		signal_envelope_write(&out, e.key, e.remote_key, e.body);
		assert_true(slice_equal(str_slice(&out), row->sealed));
		str_fini(&out);
		check_recorded(row);
		bodies++;
	}
	assert_int_equal(bodies, 53);
	assert_int_equal(probes, 9);
}

static void feed_body(struct slice msg)
{
	struct arena a;
	arena_init(&a, 4096);
	struct signal_body m;
	struct signal_envelope e;
	assert_true(signal_body_read(msg, &a, &m) <= 0);
	assert_true(signal_envelope_read(msg, &e) <= 0);
	arena_fini(&a);
}

static void test_damaged(void **state)
{
	(void)state;
	wire_mutate(unhex(OFFER), feed_body);
	for (size_t i = 0; i < wire.nrows; i++) {
		const struct wire_row *row = &wire.rows[i];
		if (strcmp(row->protocol, "signal") == 0 && strstr(row->file, "0.77.1") != NULL) {
			wire_mutate(row->plain, feed_body);
			wire_mutate(row->sealed, feed_body);
		}
	}
}

int main(void)
{
	wire_index_load(&wire);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offer),    cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_small),    cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_envelope), cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_damaged),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	wire_index_free(&wire);
	return failed;
}
