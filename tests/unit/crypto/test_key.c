#include "lib/base/hex.h"
#include "lib/crypto/key.h"

#include "tests/unit/unit.h"

/* RFC 7748, section 6.1. */
static void test_x25519(void **state)
{
	struct wg_secret a;
	struct wg_secret b;
	struct wg_key pa;
	struct wg_key pb;
	struct wg_secret k;
	char text[65];
	(void)!hex_decode(slice_str("77076d0a7318a57d3c16c17251b26645df4c2f87ebc099"
				    "2ab177fba51db92c2a"),
			  mslice_of(a.b, 32));
	(void)!hex_decode(slice_str("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6"
				    "fd1c2f8b27ff88e0eb"),
			  mslice_of(b.b, 32));
	wg_secret_public(&a, &pa);
	wg_secret_public(&b, &pb);
	hex_encode(slice_of(pa.b, 32), text);
	assert_string_equal(text,
			    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	assert_int_equal(x25519_shared(&a, &pb, &k), 0);
	hex_encode(slice_of(k.b, 32), text);
	assert_string_equal(text,
			    "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	assert_int_equal(x25519_shared(&b, &pa, &k), 0);
	struct wg_key low = { .b = { 1 } };
	assert_int_equal(x25519_shared(&a, &low, &k), LN_E_AUTH);
}

static void test_text(void **state)
{
	const char *text = "p8RStZPDHTk4zFqHBHmUUVjL1Bg8zfILjGpC6qR1e0c=";
	struct wg_key k = { 0 };
	char out[WG_KEY_TEXT];
	assert_true(wg_key_is_zero(&k));
	assert_int_equal(wg_key_parse(slice_str(text), &k), 0);
	wg_key_format(&k, out);
	assert_string_equal(out, text);
	assert_int_equal(wg_key_parse(slice_str("p8RS"), &k), LN_E_MALFORMED);
	assert_int_equal(wg_key_parse(slice_str("p8RStZPDHTk4zFqHBHmUUVjL1Bg8zfILjGpC6qR1e0c"), &k),
			 LN_E_MALFORMED);
}

/* '+' and '/' come before the letters in the text but stand for 62 and 63 in the bytes. */
static void test_order_is_of_the_text(void **state)
{
	struct wg_key plus;
	struct wg_key letter;
	assert_int_equal(
		wg_key_parse(slice_str("+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), &plus), 0);
	assert_int_equal(
		wg_key_parse(slice_str("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), &letter),
		0);
	assert_true(memcmp(plus.b, letter.b, 32) > 0);
	assert_true(wg_key_text_cmp(&plus, &letter) < 0);
	assert_int_equal(wg_key_text_cmp(&plus, &plus), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_x25519),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_order_is_of_the_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
