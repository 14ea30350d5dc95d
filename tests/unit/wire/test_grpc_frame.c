#include <stdlib.h>

#include "lib/wire/grpc_frame.h"

#include "tests/unit/unit.h"

static void whole_message_is_not_copied(void **state)
{
	struct grpc_frame_reader r;
	grpc_frame_reader_init(&r, 10);
	static const uint8_t in[] = { 0, 0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0, 0, 0, 0 };
	struct slice s = slice_of(in, sizeof(in)), msg;
	assert_int_equal(grpc_frame_read(&r, &s, &msg), 1);
	assert_ptr_equal(msg.p, in + 5);
	assert_int_equal(msg.n, 3);
	assert_int_equal(grpc_frame_read(&r, &s, &msg), 1);
	assert_int_equal(msg.n, 0);
	assert_true(grpc_frame_at_boundary(&r));
	assert_int_equal(grpc_frame_read(&r, &s, &msg), 0);
	assert_int_equal(s.n, 0);
	assert_false(grpc_frame_at_boundary(&r));
	grpc_frame_reader_fini(&r);
}

/* Every way to cut two messages into three pieces gives the same two messages. */
static void every_split_gives_the_same(void **state)
{
	static const uint8_t in[] = { 0, 0, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0, 2, 5, 6 };
	for (size_t a = 0; a <= sizeof(in); a++)
		for (size_t b = a; b <= sizeof(in); b++) {
			const size_t cut[] = { 0, a, b, sizeof(in) };
			struct grpc_frame_reader r;
			uint8_t got[16];
			size_t n = 0, count = 0;
			grpc_frame_reader_init(&r, 4);
			for (size_t i = 0; i < 3; i++) {
				struct slice s = slice_of(in + cut[i], cut[i + 1] - cut[i]), msg;
				while (grpc_frame_read(&r, &s, &msg) == 1) {
					memcpy(got + n, msg.p, msg.n);
					n += msg.n;
					count++;
				}
			}
			assert_int_equal(count, 2);
			assert_int_equal(n, 6);
			assert_memory_equal(got, ((uint8_t[]){ 1, 2, 3, 4, 5, 6 }), 6);
			grpc_frame_reader_fini(&r);
		}
}

static int read_head(const char *head, size_t max)
{
	struct grpc_frame_reader r;
	struct slice s = slice_of(head, 5), msg;
	grpc_frame_reader_init(&r, max);
	int e = grpc_frame_read(&r, &s, &msg);
	grpc_frame_reader_fini(&r);
	return e;
}

static void limits_and_flags(void **state)
{
	assert_int_equal(read_head("\0\0\0\1\0", 256), 0);
	assert_int_equal(read_head("\0\0\0\1\1", 256), LN_E_LIMIT);
	assert_int_equal(read_head("\0\xff\xff\xff\xff", 256), LN_E_LIMIT);
	assert_int_equal(read_head("\1\0\0\0\0", 256), LN_E_UNSUPPORTED);
	assert_int_equal(read_head("\2\0\0\0\0", 256), LN_E_MALFORMED);
}

static void announced_length_costs_nothing(void **state)
{
	struct grpc_frame_reader r;
	struct slice s = slice_of("\0\0\x40\0\0x", 6), msg;
	grpc_frame_reader_init(&r, 4u << 20);
	assert_int_equal(grpc_frame_read(&r, &s, &msg), 0);
	assert_true(grpc_frame_held(&r) <= 1024);
	grpc_frame_reader_fini(&r);
}

static void head_round_trip(void **state)
{
	uint8_t h[5];
	grpc_frame_head(h, 0x01020304);
	assert_memory_equal(h, "\0\1\2\3\4", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_message_is_not_copied),
		cmocka_unit_test(every_split_gives_the_same),
		cmocka_unit_test(limits_and_flags),
		cmocka_unit_test(announced_length_costs_nothing),
		cmocka_unit_test(head_round_trip),
	};
	return cmocka_run_group_tests_name("grpc_frame", tests, NULL, NULL);
}
