#include "lib/base/b64.h"
#include "lib/base/hex.h"

#include "tests/unit/unit.h"

/* RFC 4648 section 10. */
static const struct {
	const char *plain, *text;
} rfc4648[] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "fo", "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" },
};

static void rfc_vectors(void **state)
{
	for (size_t i = 0; i < LN_COUNT(rfc4648); i++) {
		char text[16];
		uint8_t plain[16];
		b64_encode(slice_str(rfc4648[i].plain), text);
		assert_string_equal(text, rfc4648[i].text);
		int n = b64_decode(slice_str(text), mslice_of(plain, sizeof(plain)));
		assert_int_equal(n, strlen(rfc4648[i].plain));
		assert_memory_equal(plain, rfc4648[i].plain, (size_t)n);
	}
}

static void bad_input(void **state)
{
	static const char *const bad[] = { "Z",    "Zg=",    "Zg",   "Z===", "====",
					   "Zg=A", "Zm9v\n", "Zm 9", "Zm9_", "=m9v" };
	uint8_t out[16];
	for (size_t i = 0; i < LN_COUNT(bad); i++)
		assert_int_equal(b64_decode(slice_str(bad[i]), mslice_of(out, sizeof(out))),
				 LN_E_MALFORMED);
	assert_int_equal(b64_decode(slice_str("Zm9v"), mslice_of(out, 2)), LN_E_LIMIT);
}

/* spec management-protocol 2.2: four spellings of one key must decode alike. */
static void spare_bits_are_tolerated(void **state)
{
	uint8_t a[2], b[2];
	assert_int_equal(b64_decode_exact(slice_str("Zm8="), a, 2), 0);
	assert_int_equal(b64_decode_exact(slice_str("Zm9="), b, 2), 0);
	assert_memory_equal(a, b, 2);
	assert_int_equal(b64_decode_exact(slice_str("Zm9v"), a, 2), LN_E_MALFORMED);
}

static void hex(void **state)
{
	uint8_t out[4];
	char text[9];
	assert_int_equal(hex_decode(slice_str("00fFA5"), mslice_of(out, sizeof(out))), 3);
	hex_encode(slice_of(out, 3), text);
	assert_string_equal(text, "00ffa5");
	assert_int_equal(hex_decode(slice_str("0"), mslice_of(out, 4)), LN_E_MALFORMED);
	assert_int_equal(hex_decode(slice_str("0g"), mslice_of(out, 4)), LN_E_MALFORMED);
	assert_int_equal(hex_decode(slice_str("0000000000"), mslice_of(out, 4)), LN_E_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_vectors),
		cmocka_unit_test(bad_input),
		cmocka_unit_test(spare_bits_are_tolerated),
		cmocka_unit_test(hex),
	};
	return cmocka_run_group_tests_name("b64", tests, NULL, NULL);
}
