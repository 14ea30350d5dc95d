/* RFC 5769's vectors, the vectors of spec signal-and-connection 9, recorded traffic, edges. */
#include "lib/base/hex.h"
#include "lib/stun/stun_auth.h"
#include "lib/stun/stun_msg.h"

#include "tests/unit/stun/stun_vector.h"
#include "tests/unit/unit.h"

#define RFC_PASSWORD "VOkJxbRl1RmTxUk/WvJxBt"

/* RFC 5769 2.1 */
static const char rfc_request[] = "000100582112a442b7e7a701bc34d686fa87dfae"
				  "802200105354554e207465737420636c69656e74"
				  "002400046e0001ff80290008932ff9b151263b36"
				  "000600096576746a3a68367659202020"
				  "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
				  "80280004e57a3bcf";
/* RFC 5769 2.2 */
static const char rfc_response4[] = "0101003c2112a442b7e7a701bc34d686fa87dfae"
				    "8022000b7465737420766563746f7220002000080001a147e112a643"
				    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
				    "80280004c07d4c96";
/* RFC 5769 2.3 */
static const char rfc_response6[] = "010100482112a442b7e7a701bc34d686fa87dfae"
				    "8022000b7465737420766563746f7220"
				    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
				    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
				    "80280004c8fb0b4c";
/* RFC 5769 2.4; the key is MD5(user ":" realm ":" SASLprep(password)) */
static const char rfc_long_term[] = "000100602112a44278ad3433c6ad72c029da412e"
				    "00060012e3839ee38388e383aae38383e382afe382b90000"
				    "0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473"
				    "410014000b6578616d706c652e6f726700"
				    "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

/* Spec 9: a check and its answer; FINGERPRINT is not last and the length was enlarged later. */
static const char spec_request[] =
	"000100a42112a442000102030405060708090a0b"
	"000600215172537455765778597a4162436445663a4162436445664768496a4b6c4d6e4f70000000"
	"802a00081122334455667788002400047effffff"
	"000800141562330edae356ae043c57d577352b1f879526ae80280004a72d734e"
	"8100004141414141414141414141414141414141414141414141414141414141414141413a"
	"4242424242424242424242424242424242424242424242424242424242424242000000";
static const char spec_response[] =
	"010100742112a442000102030405060708090a0b002000080001eb7eea12d545"
	"00080014f799df06c6dcaeca859127e8d6d97a9ccd20b62c80280004246120a9"
	"8100004142424242424242424242424242424242424242424242424242424242424242423a"
	"4141414141414141414141414141414141414141414141414141414141414141000000";
#define SPEC_PASSWORD "FEDCBAzyxwvutsrqponmlkjihgfedcba"

static struct slice unhex(const char *text, uint8_t *buf, size_t size)
{
	int n = hex_decode(slice_str(text), mslice_of(buf, size));
	assert_true(n > 0);
	return slice_of(buf, (size_t)n);
}

static void check_ep(const struct stun_msg *m, const char *want)
{
	struct ip_ep ep;
	char text[IP_EP_TEXT_MAX];
	assert_int_equal(stun_msg_mapped(m, &ep), 0);
	ip_ep_format(&ep, text);
	assert_string_equal(text, want);
}

static void rfc5769_request(void **state)
{
	uint8_t buf[256];
	struct stun_msg m;
	struct slice s = unhex(rfc_request, buf, sizeof(buf));
	assert_true(stun_is_message(s));
	assert_int_equal(stun_msg_read(s, &m), 0);
	assert_int_equal(m.cls, STUN_REQUEST);
	assert_int_equal(m.method, STUN_METHOD_BINDING);
	assert_true(slice_is(m.attr[STUN_ATTR_SOFTWARE], "STUN test client"));
	assert_true(slice_is(m.attr[STUN_ATTR_USERNAME], "evtj:h6vY"));
	assert_int_equal(stun_attr_u32(m.attr[STUN_ATTR_PRIORITY]), 0x6e0001ff);
	assert_true(stun_attr_u64(m.attr[STUN_ATTR_ICE_CONTROLLED]) == 0x932ff9b151263b36);
	assert_true(stun_auth_verify(&m, slice_str(RFC_PASSWORD)));
	assert_false(stun_auth_verify(&m, slice_str("another password......")));
	assert_true(stun_auth_fingerprint_ok(&m));
}

static void rfc5769_responses(void **state)
{
	uint8_t buf[256];
	struct stun_msg m;
	assert_int_equal(stun_msg_read(unhex(rfc_response4, buf, sizeof(buf)), &m), 0);
	assert_int_equal(m.cls, STUN_SUCCESS);
	assert_true(stun_auth_verify(&m, slice_str(RFC_PASSWORD)));
	assert_true(stun_auth_fingerprint_ok(&m));
	check_ep(&m, "192.0.2.1:32853");

	assert_int_equal(stun_msg_read(unhex(rfc_response6, buf, sizeof(buf)), &m), 0);
	assert_true(stun_auth_verify(&m, slice_str(RFC_PASSWORD)));
	assert_true(stun_auth_fingerprint_ok(&m));
	check_ep(&m, "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
}

static void rfc5769_long_term(void **state)
{
	static const uint8_t key[16] = { 0xe8, 0xca, 0x7a, 0xd5, 0x9d, 0x5e, 0xb0, 0x51,
					 0x8e, 0x31, 0x29, 0x11, 0xd2, 0xda, 0xb2, 0xa9 };
	uint8_t buf[256];
	struct stun_msg m;
	assert_int_equal(stun_msg_read(unhex(rfc_long_term, buf, sizeof(buf)), &m), 0);
	assert_true(slice_is(m.attr[STUN_ATTR_REALM], "example.org"));
	assert_true(slice_is(m.attr[STUN_ATTR_NONCE], "f//499k954d6OL34oL9FSTvy64sA"));
	assert_true(stun_auth_verify(&m, slice_of(key, sizeof(key))));
	assert_true(stun_auth_fingerprint_ok(&m)); /* absent */
}

static void upstream_vectors(void **state)
{
	uint8_t buf[256];
	struct stun_msg m;
	assert_int_equal(stun_msg_read(unhex(spec_request, buf, sizeof(buf)), &m), 0);
	assert_true(stun_auth_verify(&m, slice_str(SPEC_PASSWORD)));
	assert_true(stun_auth_fingerprint_ok(&m));
	assert_int_equal(m.attr[STUN_ATTR_PAIR_ID].n, 65);
	assert_true(slice_is(m.attr[STUN_ATTR_USERNAME], "QrStUvWxYzAbCdEf:AbCdEfGhIjKlMnOp"));
	assert_true(stun_attr_u64(m.attr[STUN_ATTR_ICE_CONTROLLING]) == 0x1122334455667788);

	assert_int_equal(stun_msg_read(unhex(spec_response, buf, sizeof(buf)), &m), 0);
	assert_true(stun_auth_verify(&m, slice_str(SPEC_PASSWORD)));
	assert_true(stun_auth_fingerprint_ok(&m));
	check_ep(&m, "203.0.113.7:51820");
}

/* What precedes 0x8100 in the specification's vector, written by us, is the same bytes. */
static void writer_matches_vector(void **state)
{
	uint8_t want[256];
	uint8_t got[256];
	struct stun_tid tid;
	struct slice v = unhex(spec_request, want, sizeof(want));
	for (size_t i = 0; i < STUN_TID_LEN; i++)
		tid.b[i] = (uint8_t)i;
	struct writer w = writer_of(mslice_of(got, sizeof(got)));
	stun_msg_begin(&w, STUN_REQUEST, &tid);
	stun_msg_add(&w, STUN_ATTR_USERNAME, slice_str("QrStUvWxYzAbCdEf:AbCdEfGhIjKlMnOp"));
	stun_msg_add_u64(&w, STUN_ATTR_ICE_CONTROLLING, 0x1122334455667788);
	stun_msg_add_u32(&w, STUN_ATTR_PRIORITY, 0x7effffff);
	stun_auth_sign(&w, slice_str(SPEC_PASSWORD));
	stun_auth_fingerprint(&w);
	stun_msg_add(&w, STUN_ATTR_PAIR_ID, slice_of(v.p + v.n - 68, 65));
	assert_int_equal(w.err, 0);
	assert_true(slice_equal(writer_slice(&w), v));
}

static void addresses(void **state)
{
	static const char *const text[] = { "1.2.3.4:5", "255.255.255.255:65535",
					    "[2001:db8::1]:3478", "[::1]:1" };
	struct stun_tid tid = { { 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 255, 254 } };
	for (size_t i = 0; i < LN_COUNT(text); i++) {
		struct ip_ep ep;
		struct ip_ep back;
		uint8_t value[20];
		assert_int_equal(ip_ep_parse(slice_str(text[i]), &ep), 0);
		for (int xored = 0; xored < 2; xored++) {
			const struct stun_tid *t = xored ? &tid : NULL;
			size_t n = stun_attr_addr_value(&ep, t, value);
			assert_int_equal(n, ep.addr.family == 4 ? 8 : 20);
			assert_int_equal(stun_attr_read_addr(slice_of(value, n), t, &back), 0);
			assert_true(ip_ep_equal(&ep, &back));
			for (size_t cut = 0; cut < n; cut++)
				assert_int_equal(
					stun_attr_read_addr(slice_of(value, cut), t, &back),
					LN_E_MALFORMED);
		}
	}
	uint8_t family3[8] = { 0, 3, 0, 1, 1, 2, 3, 4 };
	struct ip_ep ep;
	assert_int_equal(stun_attr_read_addr(slice_of(family3, 8), NULL, &ep), LN_E_MALFORMED);
	unsigned code;
	uint8_t error[4] = { 0, 0, 4, 87 };
	assert_int_equal(stun_attr_read_error(slice_of(error, 4), &code), 0);
	assert_int_equal(code, 487);
	error[3] = 100;
	assert_int_equal(stun_attr_read_error(slice_of(error, 4), &code), LN_E_MALFORMED);
}

/* Every truncation is refused, every changed bit breaks the MAC, the frame or the CRC. */
static void damage(void **state)
{
	uint8_t buf[256];
	struct stun_msg m;
	struct slice s = unhex(rfc_request, buf, sizeof(buf));
	for (size_t n = 0; n < s.n; n++)
		assert_true(stun_msg_read(slice_of(buf, n), &m) < 0);
	for (size_t bit = 0; bit < s.n * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		bool good = stun_msg_read(s, &m) == 0 && m.nunknown == 0 &&
			    stun_msg_has(&m, STUN_ATTR_FINGERPRINT) &&
			    stun_auth_verify(&m, slice_str(RFC_PASSWORD)) &&
			    stun_auth_fingerprint_ok(&m);
		assert_false(good);
		buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
}

static void attribute_rules(void **state)
{
	uint8_t buf[2048];
	struct stun_tid tid = { { 0 } };
	struct stun_msg m;
	struct writer w = writer_of(mslice_of(buf, sizeof(buf)));
	stun_msg_begin(&w, STUN_REQUEST, &tid);
	stun_msg_add(&w, STUN_ATTR_USERNAME, slice_str("a"));
	stun_msg_add(&w, STUN_ATTR_USERNAME, slice_str("second"));
	stun_auth_sign(&w, slice_str("key"));
	stun_msg_add(&w, STUN_ATTR_USE_CANDIDATE, slice_of(NULL, 0)); /* not covered: ignored */
	stun_msg_add(&w, STUN_ATTR_PAIR_ID, slice_str("x:y"));
	stun_auth_fingerprint(&w);
	assert_int_equal(stun_msg_read(writer_slice(&w), &m), 0);
	assert_true(slice_is(m.attr[STUN_ATTR_USERNAME], "a"));
	assert_false(stun_msg_has(&m, STUN_ATTR_USE_CANDIDATE));
	assert_true(stun_msg_has(&m, STUN_ATTR_PAIR_ID));
	assert_true(stun_auth_verify(&m, slice_str("key")));
	assert_true(stun_auth_fingerprint_ok(&m));

	/* A wrong length of a known attribute; unknown ones below and above 0x8000. */
	w = writer_of(mslice_of(buf, sizeof(buf)));
	stun_msg_begin(&w, STUN_REQUEST, &tid);
	stun_msg_add(&w, STUN_ATTR_PRIORITY, slice_str("abc"));
	assert_int_equal(stun_msg_read(writer_slice(&w), &m), LN_E_MALFORMED);
	w = writer_of(mslice_of(buf, sizeof(buf)));
	stun_msg_begin(&w, STUN_REQUEST, &tid);
	writer_u32(&w, 0x7abc0000);
	writer_u32(&w, 0xfabc0000);
	stun_msg_set_len(&w, 0);
	assert_int_equal(stun_msg_read(writer_slice(&w), &m), 0);
	assert_int_equal(m.nunknown, 1);
	assert_int_equal(m.unknown[0], 0x7abc);

	/* A hundred unknown ones are counted up to the limit; a message may be 1,500 bytes. */
	w = writer_of(mslice_of(buf, sizeof(buf)));
	stun_msg_begin(&w, STUN_REQUEST, &tid);
	while (writer_len(&w) < STUN_MSG_MAX)
		writer_u32(&w, 0x7abc0000);
	stun_msg_set_len(&w, 0);
	assert_int_equal(stun_msg_read(writer_slice(&w), &m), 0);
	assert_int_equal(m.nunknown, STUN_UNKNOWN_MAX);
	writer_u32(&w, 0x7abc0000);
	stun_msg_set_len(&w, 0);
	assert_int_equal(stun_msg_read(writer_slice(&w), &m), LN_E_LIMIT);
}

static void classes(void **state)
{
	uint8_t buf[64];
	struct stun_tid tid = { { 0 } };
	struct stun_msg m;
	static const uint16_t type[] = { 0x0001, 0x0011, 0x0101, 0x0111 };
	for (unsigned c = 0; c < 4; c++) {
		struct writer w = writer_of(mslice_of(buf, sizeof(buf)));
		stun_msg_begin(&w, (enum stun_class)c, &tid);
		assert_int_equal(buf[0] << 8 | buf[1], type[c]);
		assert_int_equal(stun_msg_read(writer_slice(&w), &m), 0);
		assert_int_equal(m.cls, c);
		assert_int_equal(m.method, STUN_METHOD_BINDING);
	}
}

/* WireGuard is classified first: a session index may equal the cookie (spec trap 38). */
static void classification(void **state)
{
	uint8_t pkt[64] = { 0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42 };
	assert_true(stun_is_message(slice_of(pkt, 20)));
	assert_false(stun_is_message(slice_of(pkt, 19)));
	assert_false(stun_is_message(slice_of(pkt, 24)));
	pkt[3] = 4;
	assert_true(stun_is_message(slice_of(pkt, 24)));
	pkt[3] = 3;
	assert_false(stun_is_message(slice_of(pkt, 23)));
	pkt[3] = 0;
	pkt[0] = 0x40;
	assert_false(stun_is_message(slice_of(pkt, 20)));
	for (uint8_t type = 1; type <= 4; type++) {
		uint8_t wg[32] = { type, 0, 0, 0, 0x21, 0x12, 0xa4, 0x42 };
		assert_false(stun_is_message(slice_of(wg, sizeof(wg))));
	}
}

static void recorded(void **state)
{
	static const char *const files[] = { "pair-0.28.9.txt", "pair-0.77.1.txt" };
	unsigned count = 0;
	for (size_t i = 0; i < LN_COUNT(files); i++) {
		struct stun_vector v;
		FILE *f = stun_vector_open(files[i]);
		assert_non_null(f);
		while (stun_vector_next(f, &v)) {
			struct stun_msg m;
			assert_true(stun_is_message(slice_of(v.bytes, v.n)));
			assert_int_equal(stun_msg_read(slice_of(v.bytes, v.n), &m), 0);
			assert_int_equal(m.nunknown, 0);
			bool fp = strcmp(v.fingerprint, "yes") == 0;
			assert_int_equal(stun_msg_has(&m, STUN_ATTR_FINGERPRINT), fp);
			assert_true(stun_auth_fingerprint_ok(&m));
			bool mac = strcmp(v.password, "-") != 0;
			assert_int_equal(stun_auth_verify(&m, slice_str(v.password)), mac);
			/* The last byte before the MAC is covered by it. */
			if (mac) {
				v.bytes[m.integrity_at - 1] ^= 1;
				assert_false(stun_auth_verify(&m, slice_str(v.password)));
			}
			count++;
		}
		fclose(f);
	}
	assert_int_equal(count, 140);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc5769_request),
		cmocka_unit_test(rfc5769_responses),
		cmocka_unit_test(rfc5769_long_term),
		cmocka_unit_test(upstream_vectors),
		cmocka_unit_test(writer_matches_vector),
		cmocka_unit_test(addresses),
		cmocka_unit_test(damage),
		cmocka_unit_test(attribute_rules),
		cmocka_unit_test(classes),
		cmocka_unit_test(classification),
		cmocka_unit_test(recorded),
	};
	return cmocka_run_group_tests_name("stun_msg", tests, NULL, NULL);
}
