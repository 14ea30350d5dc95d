#include "lib/wg/wg_keypair.h"

#include "tests/unit/unit.h"

static struct wg_keypair *make(uint32_t index, bool initiator)
{
	struct wg_noise_keys k = { .local_index = index, .remote_index = index + 1 };
	return wg_keypair_new(&aead_evp, &k, initiator, 100);
}

/* Frees what fell out and says which those were. */
static void add(struct wg_keypairs *s, struct wg_keypair *k, const struct wg_keypair *a,
		const struct wg_keypair *b)
{
	struct wg_keypair *out[2];
	wg_keypairs_add(s, k, out);
	assert_ptr_equal(out[0], a);
	assert_ptr_equal(out[1], b);
	wg_keypair_free(out[0]);
	wg_keypair_free(out[1]);
}

static void test_initiator(void **state)
{
	struct wg_keypairs s = { 0 };
	struct wg_keypair *a = make(1, true);
	struct wg_keypair *b = make(2, true);
	struct wg_keypair *c = make(3, true);
	add(&s, a, NULL, NULL);
	assert_ptr_equal(s.current, a);
	add(&s, b, NULL, NULL);
	assert_ptr_equal(s.previous, a);
	add(&s, c, a, NULL);
	assert_ptr_equal(s.current, c);
	assert_ptr_equal(s.previous, b);
	wg_keypair_free(b);
	wg_keypair_free(c);
}

static void test_responder(void **state)
{
	struct wg_keypairs s = { 0 };
	struct wg_keypair *a = make(1, false);
	struct wg_keypair *b = make(2, false);
	struct wg_keypair *c = make(3, false);
	add(&s, a, NULL, NULL);
	assert_null(s.current); /* not to send with yet */
	add(&s, b, NULL, a);    /* the peer never used it */
	assert_null(wg_keypairs_confirm(&s));
	assert_ptr_equal(s.current, b);
	assert_null(s.next);
	add(&s, c, NULL, NULL);
	assert_ptr_equal(s.current, b);
	assert_null(wg_keypairs_confirm(&s));
	assert_ptr_equal(s.previous, b);
	struct wg_keypair *d = make(4, false);
	add(&s, d, b, NULL);
	assert_ptr_equal(s.current, c);
	wg_keypair_free(c);
	wg_keypair_free(d);
}

/* Crossing handshakes: the session we answered stays for receiving. */
static void test_crossing(void **state)
{
	struct wg_keypairs s = { 0 };
	struct wg_keypair *old = make(1, true);
	struct wg_keypair *answered = make(2, false);
	struct wg_keypair *ours = make(3, true);
	add(&s, old, NULL, NULL);
	add(&s, answered, NULL, NULL);
	add(&s, ours, NULL, old);
	assert_ptr_equal(s.current, ours);
	assert_ptr_equal(s.previous, answered);
	assert_null(s.next);
	wg_keypair_free(ours);
	wg_keypair_free(answered);
}

static void test_can_send(void **state)
{
	struct wg_keypair *k = make(1, true);
	assert_false(wg_keypair_can_send(NULL, 0, 50));
	assert_true(wg_keypair_can_send(k, 149, 50));
	assert_false(wg_keypair_can_send(k, 150, 50));
	k->send_counter = WG_COUNTER_MAX - 1;
	assert_true(wg_keypair_can_send(k, 100, 50));
	k->send_counter++;
	assert_false(wg_keypair_can_send(k, 100, 50));
	wg_keypair_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_initiator),
		cmocka_unit_test(test_responder),
		cmocka_unit_test(test_crossing),
		cmocka_unit_test(test_can_send),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
