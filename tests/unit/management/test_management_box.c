/* Opening requests, and the window in which a nonce is remembered. */
#include <string.h>

#include "src/management/management_internal.h"
#include "tests/unit/unit.h"

static void seal(struct management *m, const struct wg_secret *from, const char *plain,
		 struct str *dst)
{
	struct box_key box;
	struct wg_key public;
	uint8_t body[256];
	wg_secret_public(from, &public);
	assert_int_equal(box_key_init(&box, from, &m->key), 0);
	int n = box_seal(&box, ev_rng(), slice_str(plain), mslice_of(body, sizeof(body)));
	assert_true(n > 0);
	mgmt_envelope_write(dst, &public, slice_of(body, (size_t)n));
}

static void service_init(struct management *m)
{
	*m = (struct management){ .hash_seed = { 1, 2 } };
	wg_secret_generate(&m->secret, ev_rng());
	wg_secret_public(&m->secret, &m->key);
	map_init(&m->peers, 3, 4);
}

static void test_open(void **state)
{
	struct management m;
	struct wg_secret peer;
	struct management_request req;
	struct arena a;
	struct str msg;
	service_init(&m);
	wg_secret_generate(&peer, ev_rng());
	arena_init(&a, 1 << 16);
	str_init(&msg, 0);
	seal(&m, &peer, "hello", &msg);
	assert_int_equal(management_open(&m, str_slice(&msg), &a, &req), 0);
	assert_true(slice_is(req.plain, "hello"));
	/* The same through the cached key. */
	struct management_peer *p = management_peer_confirm(&m, &req.key, &req.box, 7);
	assert_int_equal(p->since, 7);
	assert_ptr_equal(management_peer_confirm(&m, &req.key, &req.box, 5), p);
	assert_int_equal(p->since, 7);
	assert_int_equal(management_open(&m, str_slice(&msg), &a, &req), 0);
	/* Every truncation and every changed byte is refused; none of them crashes. */
	for (size_t n = 0; n < msg.n; n++)
		assert_true(management_open(&m, slice_of(msg.s, n), &a, &req) < 0);
	for (size_t i = 0; i < msg.n; i++) {
		msg.s[i] = (char)(msg.s[i] ^ 1);
		int r = management_open(&m, str_slice(&msg), &a, &req);
		/* Two spare bits of the key text do not change the key (spec 2.2). */
		assert_true(r < 0 || i < 46);
		msg.s[i] = (char)(msg.s[i] ^ 1);
	}
	management_peer_free(&m, p);
	map_fini(&m.peers);
	str_fini(&msg);
	arena_fini(&a);
}

static void nonce_of(unsigned n, uint8_t dst[BOX_NONCE_LEN])
{
	memset(dst, 0, BOX_NONCE_LEN);
	memcpy(dst, &n, sizeof(n));
}

static void test_nonces(void **state)
{
	struct management m;
	struct wg_key key = { .b = { 1 } };
	struct box_key box = { 0 };
	uint8_t nonce[BOX_NONCE_LEN];
	service_init(&m);
	struct management_peer *p = management_peer_confirm(&m, &key, &box, 1);
	for (unsigned i = 0; i < MANAGEMENT_NONCES_MAX; i++) {
		nonce_of(i, nonce);
		assert_true(management_nonce_fresh(p, m.hash_seed, nonce, (ln_time)i));
		assert_false(management_nonce_fresh(p, m.hash_seed, nonce, (ln_time)i));
	}
	for (unsigned i = 0; i < MANAGEMENT_NONCES_MAX; i++) {
		nonce_of(i, nonce);
		assert_false(management_nonce_fresh(p, m.hash_seed, nonce, LN_HOUR));
	}
	/* One more: the oldest goes, the rest stays, memory does not grow. */
	nonce_of(5000, nonce);
	assert_true(management_nonce_fresh(p, m.hash_seed, nonce, LN_HOUR));
	assert_false(management_nonce_fresh(p, m.hash_seed, nonce, LN_HOUR));
	assert_int_equal(p->cap, MANAGEMENT_NONCES_MAX);
	assert_int_equal(p->nnonces, MANAGEMENT_NONCES_MAX);
	nonce_of(1, nonce);
	assert_false(management_nonce_fresh(p, m.hash_seed, nonce, LN_HOUR));
	nonce_of(0, nonce);
	assert_true(management_nonce_fresh(p, m.hash_seed, nonce, LN_HOUR));
	/* After a day a nonce may come again. */
	nonce_of(9, nonce);
	assert_false(management_nonce_fresh(p, m.hash_seed, nonce, MANAGEMENT_NONCE_AGE + 8));
	assert_true(management_nonce_fresh(p, m.hash_seed, nonce, MANAGEMENT_NONCE_AGE + 9));
	management_peer_free(&m, p);
	map_fini(&m.peers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_nonces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
