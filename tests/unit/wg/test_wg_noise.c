#include "lib/crypto/ct.h"
#include "lib/wg/wg_noise.h"

#include "tests/unit/unit.h"
#include "tests/unit/wg/wg_vector.h"

struct world {
	struct wg_noise_local i;
	struct wg_noise_local r;
	struct wg_noise_peer i_of_r; /* what the responder knows of the initiator */
	struct wg_noise_peer r_of_i;
	uint8_t stamp[WG_STAMP_LEN];
	struct wg_msg_initiation initiation;
	struct wg_msg_response response;
	struct wg_noise_keys ikeys;
	struct wg_noise_keys rkeys;
};

static struct wg_secret line_secret(const char *name)
{
	struct wg_secret s;
	assert_int_equal(wg_vector_line(name, s.b, sizeof(s.b)), 32);
	return s;
}

static void world_init(struct world *w)
{
	struct wg_secret si = line_secret("static_i");
	struct wg_secret sr = line_secret("static_r");
	wg_noise_local_init(&w->i, &si);
	wg_noise_local_init(&w->r, &sr);
	assert_int_equal(wg_noise_peer_init(&w->r_of_i, &w->i, &w->r.key), 0);
	assert_int_equal(wg_noise_peer_init(&w->i_of_r, &w->r, &w->i.key), 0);
	w->r_of_i.psk = w->i_of_r.psk = line_secret("psk");
	wg_vector_line("stamp", w->stamp, sizeof(w->stamp));
}

static void initiate(struct world *w, const char *ephemeral)
{
	struct wg_secret e = line_secret(ephemeral);
	struct wg_vector_rng r = { e.b, sizeof(e.b), 0 };
	wg_noise_write_initiation(&w->r_of_i, &w->i, &(struct ln_rng){ wg_vector_fill, &r },
				  0x01020304, w->stamp, &w->initiation);
}

static int accept_it(struct world *w)
{
	struct wg_noise_opening o;
	int r = wg_noise_open_initiation(&w->r, &w->initiation, &o);
	if (r < 0)
		return r;
	assert_true(wg_key_equal(&o.remote, &w->i.key));
	return wg_noise_accept_initiation(&w->i_of_r, &o);
}

static int respond(struct world *w)
{
	struct wg_secret e = line_secret("ephemeral_r");
	struct wg_vector_rng r = { e.b, sizeof(e.b), 0 };
	return wg_noise_write_response(&w->i_of_r, &(struct ln_rng){ wg_vector_fill, &r },
				       0xa0b0c0d0u, &w->response, &w->rkeys);
}

static int finish(struct world *w)
{
	return wg_noise_read_response(&w->r_of_i, &w->i, &w->response, &w->ikeys);
}

/* Byte for byte what an independent implementation of the paper computes. */
static void test_handshake_vector(void **state)
{
	struct world w = { 0 };
	uint8_t want[256];
	uint8_t key[32];
	world_init(&w);
	initiate(&w, "ephemeral_i");
	assert_int_equal(wg_vector_line("initiation", want, sizeof(want)), WG_MSG_INITIATION_LEN);
	assert_memory_equal(&w.initiation, want, WG_MSG_INITIATION_LEN - 2 * WG_MAC_LEN);
	assert_int_equal(accept_it(&w), 0);
	assert_int_equal(respond(&w), 0);
	assert_int_equal(wg_vector_line("response", want, sizeof(want)), WG_MSG_RESPONSE_LEN);
	assert_memory_equal(&w.response, want, WG_MSG_RESPONSE_LEN - 2 * WG_MAC_LEN);
	assert_int_equal(finish(&w), 0);
	wg_vector_line("key_to_r", key, sizeof(key));
	assert_memory_equal(w.ikeys.send, key, 32);
	assert_memory_equal(w.rkeys.recv, key, 32);
	wg_vector_line("key_to_i", key, sizeof(key));
	assert_memory_equal(w.ikeys.recv, key, 32);
	assert_memory_equal(w.rkeys.send, key, 32);
	assert_int_equal(w.ikeys.local_index, 0x01020304);
	assert_int_equal(w.ikeys.remote_index, 0xa0b0c0d0u);
	assert_int_equal(w.rkeys.remote_index, 0x01020304);
	/* A handshake ends once. */
	assert_int_equal(finish(&w), LN_E_STATE);
	assert_int_equal(respond(&w), LN_E_STATE);
}

/* The data messages of the vector, through both kinds of AEAD. */
static void test_data_vector(void **state)
{
	uint8_t key[32];
	uint8_t m[128];
	uint8_t packet[128];
	wg_vector_line("key_to_r", key, sizeof(key));
	size_t inner = wg_vector_line("packet", packet, sizeof(packet));
	struct aead_ctx *c = aead_evp.ctx_new(&aead_evp, key, AEAD_OPEN);
	const char *const names[] = { "data_0", "data_7" };
	for (unsigned i = 0; i < 2; i++) {
		size_t n = wg_vector_line(names[i], m, sizeof(m));
		assert_int_equal(wg_msg_type(slice_of(m, n)), WG_MSG_DATA);
		struct aead_job j = { .text = m + 16, .n = n - 32, .counter = wg_msg_le64(m + 8) };
		assert_int_equal(j.n, wg_msg_padded(inner, 1420));
		aead_evp.open_batch(c, &j, 1);
		assert_true(j.ok);
		assert_memory_equal(m + 16, packet, inner);
	}
	aead_evp.ctx_free(c);
}

/* Every single bit of either message matters, and a refusal changes nothing. */
static void test_every_bit(void **state)
{
	struct world w = { 0 };
	world_init(&w);
	initiate(&w, "ephemeral_i");
	uint8_t *b = (uint8_t *)&w.initiation;
	for (size_t i = 8; i < WG_MSG_INITIATION_LEN - 32;
	     i++) { /* type and index are macs' work */
		b[i] ^= (uint8_t)(1u << (i % 8));
		/* X25519 ignores the top bit of a point, but the transcript does not. */
		assert_int_equal(accept_it(&w), LN_E_AUTH);
		b[i] ^= (uint8_t)(1u << (i % 8));
	}
	assert_false(w.i_of_r.accepted);
	assert_int_equal(accept_it(&w), 0);
	assert_int_equal(respond(&w), 0);
	b = (uint8_t *)&w.response;
	for (size_t i = 8; i < WG_MSG_RESPONSE_LEN - 32; i++) {
		b[i] ^= (uint8_t)(1u << (i % 8));
		assert_int_equal(finish(&w), i < 12 ? LN_E_STATE : LN_E_AUTH);
		b[i] ^= (uint8_t)(1u << (i % 8));
	}
	assert_int_equal(finish(&w), 0);
}

static void test_wrong_psk(void **state)
{
	struct world w = { 0 };
	world_init(&w);
	w.i_of_r.psk.b[31] ^= 1;
	initiate(&w, "ephemeral_i");
	assert_int_equal(accept_it(&w), 0); /* the psk is mixed in by the response only */
	assert_int_equal(respond(&w), 0);
	assert_int_equal(finish(&w), LN_E_AUTH);
}

static void test_replay(void **state)
{
	struct world w = { 0 };
	world_init(&w);
	initiate(&w, "ephemeral_i");
	assert_int_equal(accept_it(&w), 0);
	assert_int_equal(accept_it(&w), LN_E_REPLAY);
	struct wg_msg_initiation first = w.initiation;
	/* Same stamp, another handshake: the sender rounds its clock. */
	initiate(&w, "ephemeral_r");
	assert_int_equal(accept_it(&w), 0);
	assert_int_equal(accept_it(&w), LN_E_REPLAY);
	w.initiation = first;
	assert_int_equal(accept_it(&w), LN_E_REPLAY);
	w.stamp[WG_STAMP_LEN - 1]++;
	initiate(&w, "static_i");
	assert_int_equal(accept_it(&w), 0);
	w.stamp[WG_STAMP_LEN - 1]--;
	initiate(&w, "psk");
	assert_int_equal(accept_it(&w), LN_E_REPLAY); /* older */
}

/* At most WG_NOISE_SAME_STAMP different ones per stamp. */
static void test_same_stamp_limit(void **state)
{
	static const char *const ephemerals[] = { "ephemeral_i", "ephemeral_r", "static_i",
						  "static_r", "psk" };
	struct world w = { 0 };
	world_init(&w);
	for (unsigned i = 0; i < LN_COUNT(ephemerals); i++) {
		initiate(&w, ephemerals[i]);
		assert_int_equal(accept_it(&w), i < WG_NOISE_SAME_STAMP ? 0 : LN_E_REPLAY);
	}
}

static void test_low_order_key(void **state)
{
	struct world w = { 0 };
	struct wg_noise_peer p;
	struct wg_key low = { .b = { 1 } };
	world_init(&w);
	assert_int_equal(wg_noise_peer_init(&p, &w.i, &low), LN_E_AUTH);
	initiate(&w, "ephemeral_i");
	memcpy(w.initiation.ephemeral, low.b, 32);
	assert_int_equal(accept_it(&w), LN_E_AUTH);
}

static void local_of(const char *text, struct wg_noise_local *l)
{
	struct wg_secret s;
	assert_int_equal(wg_secret_parse(slice_str(text), &s), 0);
	wg_noise_local_init(l, &s);
}

/* What NetBird's agents put on the wire opens with the keys of its receiver. */
static void test_recorded_initiation(void **state)
{
	struct wg_noise_local a;
	struct wg_noise_local b;
	struct wg_noise_peer p;
	struct wg_noise_opening o;
	struct wg_msg_initiation m;
	local_of("aH9gKbGCp9SkM1gHNpptbIg4qIuQ0SOpBw5SalzsZnE=", &a);
	local_of("0P1QedReIyiBluBIk5XvUNDjs4+zDHPRf2LtCySzq0U=", &b);
	assert_int_equal(wg_vector_file("netbird-initiation.bin", &m, sizeof(m)), sizeof(m));
	assert_int_equal(wg_noise_open_initiation(&a, &m, &o), LN_E_AUTH);
	assert_int_equal(wg_noise_open_initiation(&b, &m, &o), 0);
	assert_true(wg_key_equal(&o.remote, &a.key));
	assert_int_equal(wg_noise_peer_init(&p, &b, &o.remote), 0);
	assert_int_equal(wg_noise_accept_initiation(&p, &o), 0);
	assert_int_equal(p.stamp[0], 0x40);
	assert_int_equal(wg_noise_accept_initiation(&p, &o), LN_E_REPLAY);
}

/*
 * Two initiations of one agent 0.3 ms apart: their stamps are equal, because that implementation
 * rounds its clock to 2^24 ns. The second is the one that counts.
 */
static void test_recorded_pair(void **state)
{
	struct wg_noise_local a;
	struct wg_noise_peer p;
	struct wg_noise_opening o[2];
	struct wg_msg_initiation m;
	const char *const names[] = { "netbird-first-of-two.bin", "netbird-second-of-two.bin" };
	local_of("KOEbFuBHzmTwAF1qIDzosYIbYEWS99b7wE5CLxloDEE=", &a);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(wg_vector_file(names[i], &m, sizeof(m)), sizeof(m));
		assert_int_equal(wg_noise_open_initiation(&a, &m, &o[i]), 0);
	}
	assert_true(wg_key_equal(&o[0].remote, &o[1].remote));
	assert_int_equal(wg_noise_peer_init(&p, &a, &o[0].remote), 0);
	assert_int_equal(wg_noise_accept_initiation(&p, &o[0]), 0);
	uint8_t stamp[WG_STAMP_LEN];
	memcpy(stamp, p.stamp, sizeof(stamp));
	assert_int_equal(wg_noise_accept_initiation(&p, &o[1]), 0);
	assert_memory_equal(stamp, p.stamp, sizeof(stamp));
	assert_int_equal(p.remote_index, o[1].remote_index);
	assert_int_equal(wg_noise_accept_initiation(&p, &o[0]), LN_E_REPLAY);
}

/* Data of both directions opens with the session keys noted when it was recorded. */
static void test_recorded_data(void **state)
{
	static const struct {
		const char *file;
		const char *key;
		size_t inner;
	} rows[] = {
		{ "netbird-keepalive.bin",
		  "4bb98181f4b3e755a4d797e1d3d07dcaf18062a2b5b9748808bb60f087dd6b36", 0 },
		{ "netbird-data-a.bin",
		  "4bb98181f4b3e755a4d797e1d3d07dcaf18062a2b5b9748808bb60f087dd6b36", 96 },
		{ "netbird-data-b.bin",
		  "95aa754536b2ad004fb42c089a85333b2c417dc252d836245fd4c82e86d4299a", 96 },
	};

	for (unsigned i = 0; i < LN_COUNT(rows); i++) {
		uint8_t key[32];
		uint8_t m[256];
		assert_int_equal(hex_decode(slice_str(rows[i].key), mslice_of(key, 32)), 32);
		size_t n = wg_vector_file(rows[i].file, m, sizeof(m));
		assert_int_equal(wg_msg_type(slice_of(m, n)), WG_MSG_DATA);
		struct aead_ctx *c = aead_evp.ctx_new(&aead_evp, key, AEAD_OPEN);
		struct aead_job j = { .text = m + 16, .n = n - 32, .counter = wg_msg_le64(m + 8) };
		aead_evp.open_batch(c, &j, 1);
		assert_true(j.ok);
		assert_int_equal(j.n, rows[i].inner);
		if (j.n != 0)
			assert_int_equal(m[16] >> 4, 4);
		aead_evp.ctx_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake_vector), cmocka_unit_test(test_data_vector),
		cmocka_unit_test(test_every_bit),        cmocka_unit_test(test_wrong_psk),
		cmocka_unit_test(test_replay),           cmocka_unit_test(test_same_stamp_limit),
		cmocka_unit_test(test_low_order_key),    cmocka_unit_test(test_recorded_initiation),
		cmocka_unit_test(test_recorded_pair),    cmocka_unit_test(test_recorded_data),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
