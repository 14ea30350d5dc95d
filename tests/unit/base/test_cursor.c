#include "lib/base/cursor.h"

#include "tests/unit/unit.h"

static void round_trip(void **state)
{
	uint8_t buf[64];
	struct writer w = writer_of(mslice_of(buf, sizeof(buf)));
	writer_u8(&w, 1);
	writer_u16(&w, 0x0203);
	writer_u32(&w, 0x04050607);
	writer_u64(&w, 0x08090a0b0c0d0e0f);
	writer_le16(&w, 0x1110);
	writer_le32(&w, 0x15141312);
	writer_le64(&w, 0x1d1c1b1a19181716);
	writer_bytes(&w, slice_str("xyz"));
	writer_zero(&w, 2);
	struct slice s = writer_slice(&w);
	for (size_t i = 0; i < 15; i++)
		assert_int_equal(s.p[i], i + 1);

	struct cursor c = cursor_of(s);
	assert_int_equal(cursor_u8(&c), 1);
	assert_int_equal(cursor_u16(&c), 0x0203);
	assert_int_equal(cursor_u32(&c), 0x04050607);
	assert_true(cursor_u64(&c) == 0x08090a0b0c0d0e0f);
	assert_int_equal(cursor_le16(&c), 0x1110);
	assert_int_equal(cursor_le32(&c), 0x15141312);
	assert_true(cursor_le64(&c) == 0x1d1c1b1a19181716);
	assert_true(slice_is(cursor_bytes(&c, 3), "xyz"));
	assert_int_equal(cursor_done(&c), LN_E_MALFORMED);
	cursor_skip(&c, 2);
	assert_int_equal(cursor_done(&c), 0);
}

static void first_error_sticks(void **state)
{
	uint8_t three[3] = { 1, 2, 3 };
	struct cursor c = cursor_of(slice_of(three, 3));
	assert_int_equal(cursor_u32(&c), 0);
	assert_int_equal(cursor_u8(&c), 0);
	assert_int_equal(cursor_done(&c), LN_E_TRUNCATED);
	cursor_fail(&c, LN_E_LIMIT);
	assert_int_equal(c.err, LN_E_TRUNCATED);

	struct writer w = writer_of(mslice_of(three, 3));
	writer_u32(&w, 7);
	writer_u8(&w, 9);
	assert_int_equal(w.err, LN_E_LIMIT);
	assert_int_equal(writer_slice(&w).n, 0);
	assert_int_equal(three[0], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(first_error_sticks),
	};
	return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
