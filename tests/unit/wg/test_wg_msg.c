#include "lib/wg/wg_msg.h"

#include "tests/unit/unit.h"
#include "tests/unit/wg/wg_vector.h"

static void test_types(void **state)
{
	static const size_t length[] = { 0, 148, 92, 64, 32 };
	uint8_t b[256] = { 0 };
	for (unsigned type = 0; type < 256; type++) {
		b[0] = (uint8_t)type;
		for (size_t n = 0; n <= sizeof(b); n++) {
			bool right = type >= 1 && type <= 4 &&
				     (n == length[type] || (type == 4 && n > 32));
			assert_int_equal(wg_msg_type(slice_of(b, n)),
					 right ? (int)type : LN_E_MALFORMED);
		}
	}
	for (unsigned i = 1; i < 4; i++) { /* the reserved bytes are part of the type */
		memset(b, 0, sizeof(b));
		b[0] = 4;
		b[i] = 1;
		assert_int_equal(wg_msg_type(slice_of(b, 32)), LN_E_MALFORMED);
	}
}

static void test_padding(void **state)
{
	assert_int_equal(wg_msg_padded(0, 1280), 0);
	assert_int_equal(wg_msg_padded(1, 1280), 16);
	assert_int_equal(wg_msg_padded(16, 1280), 16);
	assert_int_equal(wg_msg_padded(1279, 1280), 1280);
	assert_int_equal(wg_msg_padded(1285, 1290), 1290); /* not beyond the MTU */
	assert_int_equal(wg_msg_padded(1300, 1290), 1300); /* never shorter than it is */
}

/* The example of the TAI64 definition is one second before; the nanoseconds are ours. */
static void test_stamp(void **state)
{
	uint8_t b[WG_STAMP_LEN];
	const uint8_t want[WG_STAMP_LEN] = { 0x40, 0, 0, 0, 0x2a, 0x2b, 0x2c, 0x2d, 0, 0, 0, 5 };
	wg_msg_write_stamp(b, (0x2a2b2c2dll - 10) * 1000000000 + 5);
	assert_memory_equal(b, want, sizeof(b));
}

static void test_recorded(void **state)
{
	uint8_t b[2048];
	size_t n = wg_vector_file("netbird-response.bin", b, sizeof(b));
	assert_int_equal(wg_msg_type(slice_of(b, n)), WG_MSG_RESPONSE);
	assert_int_equal(wg_msg_receiver(slice_of(b, n)), wg_msg_le32(b + 8));
	n = wg_vector_file("netbird-keepalive.bin", b, sizeof(b));
	assert_int_equal(wg_msg_type(slice_of(b, n)), WG_MSG_DATA);
	assert_int_equal(wg_msg_receiver(slice_of(b, n)), wg_msg_le32(b + 4));
	n = wg_vector_file("netbird-punch.bin", b, sizeof(b));
	assert_int_equal(wg_msg_type(slice_of(b, n)), LN_E_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_stamp),
		cmocka_unit_test(test_recorded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
