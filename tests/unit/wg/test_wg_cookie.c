#include "lib/wg/wg_cookie.h"

#include "tests/unit/unit.h"
#include "tests/unit/wg/wg_vector.h"

static struct wg_key responder;
static struct ip_ep source = { .port = 51820 };
static uint8_t initiation[WG_MSG_INITIATION_LEN];
static uint8_t random_bytes[32 + 24]; /* the checker's secret, then the nonce */
static struct wg_vector_rng vector_rng = { random_bytes, sizeof(random_bytes), 0 };
static const struct ln_rng rng = { wg_vector_fill, &vector_rng };

static int setup(void **state)
{
	struct wg_secret s;
	wg_vector_line("static_r", s.b, sizeof(s.b));
	wg_secret_public(&s, &responder);
	source.addr = ip_v4(0xc000024d);
	wg_vector_line("initiation", initiation, sizeof(initiation));
	wg_vector_line("cookie_secret", random_bytes, 32);
	wg_vector_line("cookie_nonce", random_bytes + 32, 24);
	vector_rng.at = 0;
	return 0;
}

static void test_vector(void **state)
{
	struct wg_cookie_checker c;
	struct wg_cookie_maker k;
	struct wg_msg_cookie reply;
	uint8_t m[WG_MSG_INITIATION_LEN];
	uint8_t want[WG_MSG_INITIATION_LEN];
	struct slice msg = slice_of(m, sizeof(m));
	wg_cookie_checker_init(&c, &responder);
	wg_cookie_maker_init(&k, &responder);

	memcpy(m, initiation, sizeof(m) - 32);
	memset(m + 116, 0xff, 32);
	wg_cookie_stamp(&k, 0, mslice_of(m, sizeof(m)));
	assert_memory_equal(m, initiation, sizeof(m)); /* mac1, and mac2 of zeros */
	assert_int_equal(wg_cookie_check(&c, 0, &rng, msg, &source, false), WG_COOKIE_MAC1);
	assert_int_equal(wg_cookie_check(&c, 0, &rng, msg, &source, true), WG_COOKIE_MAC1);

	wg_cookie_reply(&c, 0, &rng, msg, &source, &reply);
	wg_vector_line("cookie_reply", want, sizeof(want));
	assert_memory_equal(&reply, want, sizeof(reply));
	assert_int_equal(wg_cookie_consume(&k, 0, &reply), 0);
	assert_int_equal(wg_cookie_consume(&k, 0, &reply), LN_E_STATE); /* one per message */

	wg_cookie_stamp(&k, LN_SEC, mslice_of(m, sizeof(m)));
	wg_vector_line("initiation_with_cookie", want, sizeof(want));
	assert_memory_equal(m, want, sizeof(m));
	assert_int_equal(wg_cookie_check(&c, LN_SEC, &rng, msg, &source, true), WG_COOKIE_RETURNED);

	struct ip_ep other = source;
	other.port++;
	assert_int_equal(wg_cookie_check(&c, LN_SEC, &rng, msg, &other, true), WG_COOKIE_MAC1);
	/* The secret changes; the old cookie is worth nothing then, and is not sent any more. */
	random_bytes[0] ^= 1;
	assert_int_equal(wg_cookie_check(&c, WG_COOKIE_SECRET_AGE, &rng, msg, &source, true),
			 WG_COOKIE_MAC1);
	wg_cookie_stamp(&k, WG_COOKIE_AGE, mslice_of(m, sizeof(m)));
	assert_memory_equal(m, initiation, sizeof(m));
}

static void test_damage(void **state)
{
	struct wg_cookie_checker c;
	struct wg_cookie_maker k;
	struct wg_msg_cookie reply;
	uint8_t m[WG_MSG_INITIATION_LEN];
	struct slice msg = slice_of(m, sizeof(m));
	wg_cookie_checker_init(&c, &responder);
	wg_cookie_maker_init(&k, &responder);
	memcpy(m, initiation, sizeof(m));
	for (size_t i = 0; i < 132; i++) {
		m[i] ^= 4;
		assert_int_equal(wg_cookie_check(&c, 0, &rng, msg, &source, false),
				 WG_COOKIE_INVALID);
		m[i] ^= 4;
	}
	wg_cookie_reply(&c, 0, &rng, msg, &source, &reply);
	assert_int_equal(wg_cookie_consume(&k, 0, &reply), LN_E_STATE); /* we sent nothing */
	wg_cookie_stamp(&k, 0, mslice_of(m, sizeof(m)));
	for (size_t i = 8; i < sizeof(reply); i++) {
		((uint8_t *)&reply)[i] ^= 1;
		assert_int_equal(wg_cookie_consume(&k, 0, &reply), LN_E_AUTH);
		((uint8_t *)&reply)[i] ^= 1;
	}
	assert_int_equal(wg_cookie_consume(&k, 0, &reply), 0);
}

/* mac1 of a message recorded between NetBird's agents. */
static void test_recorded(void **state)
{
	struct wg_cookie_checker c;
	struct wg_key a;
	struct wg_key b;
	uint8_t m[256];
	assert_int_equal(
		wg_key_parse(slice_str("p8RStZPDHTk4zFqHBHmUUVjL1Bg8zfILjGpC6qR1e0c="), &a), 0);
	assert_int_equal(
		wg_key_parse(slice_str("iMIGt1RkBzNEetYYtLWvOEse16cq0zc6EyPGOgvmCRs="), &b), 0);
	size_t n = wg_vector_file("netbird-initiation.bin", m, sizeof(m));
	wg_cookie_checker_init(&c, &b);
	assert_int_equal(wg_cookie_check(&c, 0, &rng, slice_of(m, n), &source, false),
			 WG_COOKIE_MAC1);
	n = wg_vector_file("netbird-response.bin", m, sizeof(m));
	assert_int_equal(wg_cookie_check(&c, 0, &rng, slice_of(m, n), &source, false),
			 WG_COOKIE_INVALID);
	wg_cookie_checker_init(&c, &a);
	assert_int_equal(wg_cookie_check(&c, 0, &rng, slice_of(m, n), &source, false),
			 WG_COOKIE_MAC1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_vector, setup),
		cmocka_unit_test_setup(test_damage, setup),
		cmocka_unit_test_setup(test_recorded, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
