/* First byte: how the rest is cut. Whole messages must come out the same however it is cut. */
#include <stdlib.h>

#include "lib/wire/grpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX 300

static int read_all(struct slice in, size_t step, uint64_t *sum)
{
	struct grpc_frame_reader r;
	int e = 0;
	grpc_frame_reader_init(&r, MAX);
	for (size_t i = 0; i < in.n && e >= 0; i += step) {
		struct slice s = slice_of(in.p + i, LN_MIN(step, in.n - i)), msg;
		while ((e = grpc_frame_read(&r, &s, &msg)) == 1) {
			ln_assert(msg.n <= MAX);
			*sum = *sum * 31 + msg.n;
			for (size_t k = 0; k < msg.n; k++)
				*sum = *sum * 31 + msg.p[k];
		}
		ln_assert(grpc_frame_held(&r) <= MAX);
	}
	grpc_frame_reader_fini(&r);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t a = 0, b = 0;
	if (size < 2)
		return 0;
	struct slice in = slice_of(data + 1, size - 1);
	int ra = read_all(in, in.n, &a);
	int rb = read_all(in, 1 + data[0] % 17, &b);
	ln_assert(ra == rb && a == b);
	return 0;
}
