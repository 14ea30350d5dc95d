#include "lib/base/hex.h"
#include "lib/crypto/box.h"

#include "tests/unit/unit.h"

/* The box of NaCl's own tests (tests/box.c there, "valid"): keys, nonce, 131 bytes. */
static void test_nacl(void **state)
{
	struct wg_secret a;
	struct wg_key b;
	uint8_t nonce[24];
	uint8_t plain[131];
	uint8_t body[131 + BOX_OVERHEAD];
	uint8_t out[131];
	LN_AUTO(box_key_wipe) struct box_key k;
	(void)!hex_decode(slice_str("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db9"
				    "2c2a"),
			  mslice_of(a.b, 32));
	(void)!hex_decode(slice_str("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f88"
				    "2b4f"),
			  mslice_of(b.b, 32));
	(void)!hex_decode(slice_str("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"),
			  mslice_of(nonce, 24));
	(void)!hex_decode(
		slice_str("be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf"
			  "33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06d"
			  "ceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c"
			  "60902e52f0a089bc76897040e082f937763848645e0705"),
		mslice_of(plain, 131));
	assert_int_equal(box_key_init(&k, &a, &b), 0);
	assert_int_equal(
		box_seal_nonce(&k, nonce, slice_of(plain, 131), mslice_of(body, sizeof(body))),
		sizeof(body));
	char tag[33];
	hex_encode(slice_of(body + 24, 16), tag);
	assert_string_equal(tag, "f3ffc7703f9400e52a7dfb4b3d3305d9");
	assert_int_equal(box_open(&k, slice_of(body, sizeof(body)), mslice_of(out, sizeof(out))),
			 131);
	assert_memory_equal(out, plain, 131);
	for (size_t n = 0; n < sizeof(body); n++)
		assert_int_equal(box_open(&k, slice_of(body, n), mslice_of(out, sizeof(out))),
				 n < BOX_OVERHEAD ? LN_E_MALFORMED : LN_E_AUTH);
	assert_int_equal(box_open(&k, slice_of(body, sizeof(body)), mslice_of(out, 130)),
			 LN_E_LIMIT);
	assert_int_equal(
		box_seal_nonce(&k, nonce, slice_of(plain, 131), mslice_of(body, sizeof(body) - 1)),
		LN_E_LIMIT);
}

static void zeros(void *ctx, void *p, size_t n)
{
	(void)ctx;
	memset(p, 0, n);
}

/* Sealing in place is sealing, at every length around the blocks of the cipher. */
static void test_in_place(void **state)
{
	(void)state;
	const struct ln_rng rng = { .fill = zeros };
	const struct box_key k = { { 1, 2, 3 } };
	uint8_t plain[300], body[300 + BOX_OVERHEAD], in_place[300 + BOX_OVERHEAD];
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 7);
	for (size_t n = 0; n <= sizeof(plain); n++) {
		size_t all = n + BOX_OVERHEAD;
		assert_int_equal(box_seal(&k, &rng, slice_of(plain, n), mslice_of(body, all)), all);
		memcpy(in_place + BOX_OVERHEAD, plain, n);
		assert_int_equal(box_seal_in_place(&k, &rng, mslice_of(in_place, all)), all);
		assert_memory_equal(in_place, body, all);
	}
	assert_int_equal(box_seal_in_place(&k, &rng, mslice_of(in_place, BOX_OVERHEAD - 1)),
			 LN_E_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_nacl),
					    cmocka_unit_test(test_in_place) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
