#include "src/net/net_goaway.h"
#include "tests/unit/unit.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/* DATA that looks like a GOAWAY inside, a GOAWAY naming stream 5, a PING. */
static const char frames[] = "\0\0\x0d\0\0\0\0\0\1\0\0\x08\7\0\0\0\0\0ABCD"
			     "\0\0\x0a\7\0\0\0\0\0\0\0\0\5\0\0\0\0hi"
			     "\0\0\x08\6\0\0\0\0\0\0\0\0\7pong";

static void last_stream_id_becomes_zero_at_every_split(void **state)
{
	uint8_t in[24 + sizeof(frames) - 1], want[sizeof(in)];
	memcpy(in, preface, 24);
	memcpy(in + 24, frames, sizeof(frames) - 1);
	memcpy(want, in, sizeof(in));
	want[24 + 22 + 9 + 3] = 0;
	assert_int_equal(in[24 + 22 + 9 + 3], 5);
	for (size_t step = 1; step <= sizeof(in); step++) {
		struct net_goaway g;
		uint8_t out[sizeof(in)];
		size_t n = 0;
		net_goaway_init(&g);
		for (size_t i = 0; i < sizeof(in); i += step) {
			struct slice s =
				slice_of(in + i, i + step > sizeof(in) ? sizeof(in) - i : step);
			while (s.n != 0) {
				struct slice p = net_goaway_next(&g, &s);
				assert_true(p.n != 0 && n + p.n <= sizeof(out));
				memcpy(out + n, p.p, p.n);
				n += p.n;
			}
		}
		assert_int_equal(n, sizeof(in));
		assert_memory_equal(out, want, sizeof(in));
	}
}

static void short_goaway_is_left_alone(void **state)
{
	struct net_goaway g = { 0 };
	struct slice s = slice_of("\0\0\3\7\0\0\0\0\0abc\0\0\0\6\0\0\0\0\0", 21);
	struct slice p = net_goaway_next(&g, &s);
	assert_int_equal(p.n, 21);
	assert_int_equal(s.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_stream_id_becomes_zero_at_every_split),
		cmocka_unit_test(short_goaway_is_left_alone),
	};
	return cmocka_run_group_tests_name("net_goaway", tests, NULL, NULL);
}
