#include "lib/base/hex.h"
#include "lib/crypto/blake2s.h"

#include "tests/unit/unit.h"

static void expect_hex(const uint8_t *p, size_t n, const char *want)
{
	char text[256];
	hex_encode(slice_of(p, n), text);
	assert_string_equal(text, want);
}

/* RFC 7693, appendix B; and the hash of nothing (Python's hashlib). */
static void test_hash(void **state)
{
	uint8_t out[BLAKE2S_LEN];
	blake2s_hash(slice_str("abc"), slice_of(NULL, 0), out);
	expect_hex(out, 32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
	blake2s_hash(slice_str("a"), slice_str("bc"), out);
	expect_hex(out, 32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
	blake2s_hash(slice_of(NULL, 0), slice_of(NULL, 0), out);
	expect_hex(out, 32, "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9");
}

/* hashlib.blake2s(b"data", key=b"k" * n, digest_size=16) */
static void test_mac(void **state)
{
	uint8_t out[BLAKE2S_MAC_LEN];
	uint8_t key[32];
	memset(key, 'k', sizeof(key));
	blake2s_mac(slice_of(key, 32), slice_str("data"), out);
	expect_hex(out, 16, "4369f34699c43fd4a50d2f291971554a");
	blake2s_mac(slice_of(key, 16), slice_str("data"), out);
	expect_hex(out, 16, "7f824fc71c2194ba68d293e50ba7c52a");
}

/* hmac.new(b"k" * 32, b"data", hashlib.blake2s) */
static void test_hmac(void **state)
{
	uint8_t out[BLAKE2S_LEN];
	uint8_t key[32];
	memset(key, 'k', sizeof(key));
	blake2s_hmac(slice_of(key, 32), slice_str("data"), out);
	expect_hex(out, 32, "1b3b81abdc97a097da15fce4e261a1199ad81f9aa193a97a3eaeb4d770bbf6dd");
	blake2s_hmac(slice_of(key, 32), slice_str("data"), key); /* over its own key */
	expect_hex(key, 32, "1b3b81abdc97a097da15fce4e261a1199ad81f9aa193a97a3eaeb4d770bbf6dd");
}

/* The chain of HMACs as the paper writes it, and that fewer outputs do not change the first. */
static void test_kdf(void **state)
{
	uint8_t key[32];
	uint8_t t1[32];
	uint8_t t2[32];
	uint8_t t3[32];
	memset(key, 'k', sizeof(key));
	blake2s_kdf(key, slice_str("data"), t1, t2, t3);
	expect_hex(t1, 32, "5b55c1d0f2c576d049fead050d1aa3dbd4c706133d280c79c30378e27155d46e");
	expect_hex(t2, 32, "51ed5ddda4a7e80d63bb7a4a3862ae4686bc3a87b25e6bbad03370597f8a6a9e");
	expect_hex(t3, 32, "826c07705b06b461640991474dbdea62dd4d845892ef4809add38543a6b4580c");
	blake2s_kdf(key, slice_str("data"), key, NULL, NULL);
	assert_memory_equal(key, t1, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_mac),
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_kdf),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
