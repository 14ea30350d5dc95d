/* Vectors of the specification (relay 20), every recorded message, edges and limits. */
#include "lib/relay/relay_msg.h"
#include "lib/token/relay_token.h"

#include "tests/unit/relay/relay_vector.h"
#include "tests/unit/unit.h"

#define SECRET "linnet-test-secret"
#define EXPIRES 1893456000
#define P1 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define P2 "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

static void assert_hex(const void *p, size_t n, const char *hex)
{
	char text[1024];
	assert_true(n * 2 < sizeof(text));
	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", ((const uint8_t *)p)[i]);
	assert_string_equal(text, hex);
}

static void id_of(const char *text, struct relay_id *ret)
{
	struct wg_key k;
	assert_int_equal(wg_key_parse(slice_str(text), &k), 0);
	relay_id_of_key(&k, ret);
}

static void test_ids(void **state)
{
	struct relay_id id;
	char text[RELAY_ID_TEXT];
	id_of(P1, &id);
	assert_hex(id.b, 36,
		   "7368612d51643eac9777b63a7b268174d1fd4276daedec9bc9ea0bc6e5abf69047bc54f6");
	relay_id_format(&id, text);
	assert_string_equal(text, "sha-UWQ+rJd3tjp7JoF00f1Cdtrt7JvJ6gvG5av2kEe8VPY=");
	id_of(P2, &id);
	assert_hex(id.b, 36,
		   "7368612dc57cc3b55d39f9a6f772f508e3821e0a280822352c0d0f0d259fba63b74da9a0");
	relay_id_of_text(slice_str("healthcheck-agent"), &id);
	assert_hex(id.b, 36,
		   "7368612d8997fbf9a582b2f557ce6510601a8b993f8bef68ff11aac982e2f0963ba9f61c");
}

static size_t make_auth(uint8_t *dst, size_t size)
{
	struct relay_token_key k;
	struct relay_token_text t;
	struct relay_id id;
	uint8_t token[RELAY_TOKEN_MAX];
	relay_token_key_make(slice_str(SECRET), &k);
	relay_token_make(&k, EXPIRES * LN_SEC, &t);
	assert_string_equal(t.payload, "1893456000");
	assert_string_equal(t.signature, "OGCyNhkhKnpslS7R0nE00jweYvqOLJOS7ZleXpVGxRM=");
	int n = relay_token_join(slice_str(t.payload), slice_str(t.signature),
				 mslice_of(token, sizeof(token)));
	assert_int_equal(n, 43);
	id_of(P1, &id);
	n = relay_msg_write_auth(mslice_of(dst, size), &id, slice_of(token, (size_t)n));
	assert_int_equal(n, 85);
	return (size_t)n;
}

static void test_written_messages(void **state)
{
	uint8_t b[RELAY_MSG_MAX];
	struct relay_id id;
	struct mslice m = mslice_of(b, sizeof(b));
	size_t n = make_auth(b, sizeof(b));
	assert_hex(
		b, n,
		"01062112a4427368612d51643eac9777b63a7b268174d1fd4276daedec9bc9ea0bc6e5abf69047bc54f6"
		"013860b23619212a7a6c952ed1d27134d23c1e62fa8e2c9392ed995e5e9546c513"
		"31383933343536303030");
	int r = relay_msg_write_auth_response(m, slice_str("rels://relay-1.example.com:443"));
	assert_hex(b, (size_t)r,
		   "010772656c733a2f2f72656c61792d312e6578616d706c652e636f6d3a343433");
	id_of(P2, &id);
	r = relay_msg_write_transport(m, &id, slice_str("ping"));
	assert_hex(b, (size_t)r,
		   "01037368612dc57cc3b55d39f9a6f772f508e3821e0a280822352c0d0f0d259fba63b74da9a0"
		   "70696e67");
	assert_int_equal(relay_msg_write_header(m, RELAY_HEALTH_CHECK), 2);
	assert_hex(b, 2, "0105");
	assert_int_equal(relay_msg_write_header(m, RELAY_CLOSE), 2);
	assert_hex(b, 2, "0104");
}

static void test_limits_of_writers(void **state)
{
	static uint8_t big[RELAY_MSG_MAX + 1], b[RELAY_MSG_MAX + 1];
	struct relay_id id = { 0 };
	struct mslice m = mslice_of(b, sizeof(b));
	assert_int_equal(relay_msg_write_transport(m, &id, slice_of(big, RELAY_PAYLOAD_MAX)),
			 RELAY_MSG_MAX);
	assert_int_equal(relay_msg_write_transport(m, &id, slice_of(big, RELAY_PAYLOAD_MAX + 1)),
			 LN_E_LIMIT);
	assert_int_equal(relay_msg_write_transport(mslice_of(b, 41), &id, slice_of(big, 4)),
			 LN_E_LIMIT);
	assert_int_equal(relay_msg_write_auth(m, &id, slice_of(big, RELAY_AUTH_MAX - 42)),
			 RELAY_AUTH_MAX);
	assert_int_equal(relay_msg_write_auth(m, &id, slice_of(big, RELAY_AUTH_MAX - 41)),
			 LN_E_LIMIT);
	assert_int_equal(relay_msg_write_auth_response(m, slice_of(big, 8190)), 8192);
	assert_int_equal(relay_msg_write_auth_response(m, slice_of(big, 8191)), LN_E_LIMIT);
	assert_int_equal(relay_msg_write_auth_response(m, slice_of(big, 0)), LN_E_LIMIT);
	assert_int_equal(relay_msg_write_header(mslice_of(b, 1), RELAY_CLOSE), LN_E_LIMIT);
}

static void test_reading_edges(void **state)
{
	uint8_t b[RELAY_AUTH_MAX + 1] = { 1, RELAY_AUTH };
	struct relay_auth auth;
	struct relay_id id;
	struct slice s;
	size_t n = make_auth(b, sizeof(b));
	for (size_t i = 0; i < RELAY_AUTH_HEADER; i++)
		assert_int_equal(relay_msg_read_auth(slice_of(b, i), &auth), LN_E_TRUNCATED);
	assert_int_equal(relay_msg_read_auth(slice_of(b, n), &auth), 0);
	assert_int_equal(auth.token.n, 43);
	assert_int_equal(relay_msg_read_auth(slice_of(b, RELAY_AUTH_MAX), &auth), 0);
	assert_int_equal(relay_msg_read_auth(slice_of(b, RELAY_AUTH_MAX + 1), &auth), LN_E_LIMIT);
	for (size_t i = 0; i < 6; i++) {
		b[i] ^= 1;
		assert_int_equal(relay_msg_read_auth(slice_of(b, n), &auth), LN_E_MALFORMED);
		b[i] ^= 1;
	}
	assert_int_equal(relay_msg_type(slice_of(b, 0)), LN_E_TRUNCATED);
	assert_int_equal(relay_msg_type(slice_of(b, 1)), LN_E_TRUNCATED);
	static const uint8_t types[] = { 0, 1, 2, 12, 255 };
	for (size_t i = 0; i < sizeof(types); i++)
		assert_int_equal(relay_msg_type(slice_of((uint8_t[]){ 1, types[i] }, 2)),
				 LN_E_UNSUPPORTED);
	assert_int_equal(relay_msg_type(slice_of((uint8_t[]){ 2, 3 }, 2)), LN_E_UNSUPPORTED);
	assert_int_equal(relay_msg_read_transport(slice_of(b, 37), &id, &s), LN_E_TRUNCATED);
	assert_int_equal(relay_msg_read_transport(slice_of(b, 38), &id, &s), 0);
	assert_int_equal(s.n, 0);
	assert_int_equal(relay_msg_ids(slice_of(b, 2)), 0);
	assert_int_equal(relay_msg_ids(slice_of(b, 38)), 1);
	assert_int_equal(relay_msg_ids(slice_of(b, 39)), LN_E_MALFORMED);
	assert_int_equal(relay_msg_ids(slice_of(b, 74)), 2);
	assert_int_equal(relay_msg_read_auth_response(slice_of(b, 2), &s), LN_E_MALFORMED);
	assert_int_equal(relay_msg_read_auth_response(slice_of(b, 3), &s), 0);
}

static void test_tokens(void **state)
{
	struct relay_token_key keys[2];
	uint8_t b[RELAY_AUTH_MAX];
	struct slice token = slice_of(b + RELAY_AUTH_HEADER, make_auth(b, sizeof(b)) - 42);
	uint8_t *t = b + RELAY_AUTH_HEADER;
	relay_token_key_make(slice_str("another"), &keys[0]);
	relay_token_key_make(slice_str(SECRET), &keys[1]);
	assert_hex(keys[1].b, 32,
		   "d2219c39824547d024aeedd43991a20dca08ece2712a09c9cbaf2e6b62659bdf");
	ln_wall end = EXPIRES * LN_SEC;
	assert_int_equal(relay_token_check(keys, 2, token, end - LN_SEC), 0);
	assert_int_equal(relay_token_check(keys, 2, token, end), 0);
	assert_int_equal(relay_token_check(keys, 2, token, end + LN_SEC), LN_E_STALE);
	assert_int_equal(relay_token_check(keys, 1, token, end), LN_E_AUTH);
	assert_int_equal(relay_token_check(keys, 0, token, end), LN_E_AUTH);
	for (size_t i = 0; i < token.n; i++) {
		t[i] ^= 1;
		assert_int_equal(relay_token_check(keys, 2, token, end),
				 i == 0 ? LN_E_UNSUPPORTED : LN_E_AUTH);
		t[i] ^= 1;
	}
	for (size_t i = 0; i < token.n; i++)
		assert_int_equal(relay_token_check(keys, 2, slice_of(t, i), end), LN_E_MALFORMED);
	assert_int_equal(relay_token_join(slice_str("1"), slice_str("AA=="), mslice_of(b, 212)),
			 LN_E_MALFORMED);
	assert_int_equal(relay_token_join(slice_str("1893456000"),
					  slice_str("OGCyNhkhKnpslS7R0nE00jweYvqOLJOS7ZleXpVGxRM="),
					  mslice_of(b, 42)),
			 LN_E_LIMIT);
}

/* A payload that is signed but no number (spec relay 4.3 is off), and one that overflows. */
static void test_signed_nonsense(void **state)
{
	static const char *const payloads[] = { "1893456000x", "healthcheck",
						"99999999999999999999", "-000000001",
						"          " };
	struct relay_token_key k;
	relay_token_key_make(slice_str(SECRET), &k);
	for (size_t i = 0; i < LN_COUNT(payloads); i++) {
		uint8_t token[RELAY_TOKEN_MAX] = { 1 };
		size_t n = strlen(payloads[i]);
		digest_hmac_sha256(slice_of(k.b, 32), slice_str(payloads[i]), token + 1);
		memcpy(token + 33, payloads[i], n);
		assert_int_equal(relay_token_check(&k, 1, slice_of(token, 33 + n), 0),
				 payloads[i][0] == '-' ? LN_E_STALE : LN_E_MALFORMED);
	}
}

static void check_state(const struct relay_vector *v, struct slice msg)
{
	struct relay_id want, id;
	relay_id_of_key(&v->key[!v->agent], &want);
	assert_int_equal(relay_msg_ids(msg), 1);
	relay_msg_id(msg, 0, &id);
	assert_true(relay_id_equal(&id, &want));
}

static void check_recorded(struct relay_vector *v)
{
	struct slice msg = slice_of(v->bytes, v->n), s;
	struct relay_id own, other, id;
	struct relay_auth auth;
	struct relay_token_key k;
	uint8_t again[RELAY_MSG_MAX];
	struct mslice m = mslice_of(again, sizeof(again));
	int n = 0;
	relay_id_of_key(&v->key[v->agent], &own);
	relay_id_of_key(&v->key[!v->agent], &other);
	relay_token_key_make(slice_str(v->secret), &k);
	switch (relay_msg_type(msg)) {
	case RELAY_AUTH:
		assert_int_equal(relay_msg_read_auth(msg, &auth), 0);
		assert_true(relay_id_equal(&auth.id, &own));
		assert_int_equal(relay_token_check(&k, 1, auth.token, 0), 0);
		n = relay_msg_write_auth(m, &auth.id, auth.token);
		break;
	case RELAY_AUTH_RESPONSE:
		assert_int_equal(relay_msg_read_auth_response(msg, &s), 0);
		assert_true(slice_is(s, "rel://198.51.100.10:80"));
		n = relay_msg_write_auth_response(m, s);
		break;
	case RELAY_TRANSPORT:
		assert_int_equal(relay_msg_read_transport(msg, &id, &s), 0);
		assert_true(relay_id_equal(&id, &other));
		n = relay_msg_write_transport(m, &id, s);
		break;
	case RELAY_CLOSE:
	case RELAY_HEALTH_CHECK:
		n = relay_msg_write_header(m, (enum relay_type)v->bytes[1]);
		break;
	default:
		check_state(v, msg);
		return;
	}
	assert_int_equal(n, v->n);
	assert_memory_equal(again, v->bytes, v->n);
}

static void test_recorded_messages(void **state)
{
	static const char *const files[] = { "pair", "blocked" };
	for (size_t i = 0; i < LN_COUNT(files); i++) {
		struct relay_vector v;
		size_t n = 0;
		relay_vector_open(&v, files[i]);
		for (; relay_vector_next(&v); n++)
			check_recorded(&v);
		assert_int_equal(n, i == 0 ? 22 : 54);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_written_messages),
		cmocka_unit_test(test_limits_of_writers),
		cmocka_unit_test(test_reading_edges),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_signed_nonsense),
		cmocka_unit_test(test_recorded_messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
