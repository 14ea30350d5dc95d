#include "lib/base/hex.h"
#include "lib/crypto/digest.h"

#include "tests/unit/unit.h"

static void expect_hex(const uint8_t *p, size_t n, const char *want)
{
	char text[256];
	hex_encode(slice_of(p, n), text);
	assert_string_equal(text, want);
}

/* FIPS 180-4 "abc"; RFC 4231 case 2; RFC 2202 case 2. */
static void test_hashes(void **state)
{
	uint8_t out[SHA256_LEN];
	struct slice what = slice_str("what do ya want for nothing?");
	digest_sha256(slice_str("abc"), out);
	expect_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_hmac_sha256(slice_str("Jefe"), what, out);
	expect_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	digest_hmac_sha1(slice_str("Jefe"), what, out);
	expect_hex(out, 20, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}

/* The check value of CRC-32/ISO-HDLC, whole and in pieces. */
static void test_crc(void **state)
{
	assert_int_equal(digest_crc32(0, slice_str("123456789")), 0xcbf43926u);
	assert_int_equal(digest_crc32(digest_crc32(0, slice_str("1234")), slice_str("56789")),
			 0xcbf43926u);
	assert_int_equal(digest_crc32(0, slice_of(NULL, 0)), 0);
	uint8_t every[256];
	for (size_t i = 0; i < sizeof(every); i++)
		every[i] = (uint8_t)i;
	assert_int_equal(digest_crc32(0, slice_of(every, sizeof(every))), 0x29058c73u);
}

/* Test vectors of the FNV authors. */
static void test_fnv(void **state)
{
	assert_true(digest_fnv1a(DIGEST_FNV_INIT, slice_of(NULL, 0)) == 0xcbf29ce484222325ull);
	assert_true(digest_fnv1a(DIGEST_FNV_INIT, slice_str("foobar")) == 0x85944171f73967e8ull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_fnv),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
