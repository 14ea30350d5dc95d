/* grpc-timeout and grpc-message: what is read can be written and read again. */
#include "lib/wire/grpc_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	ln_time t, back;
	if (grpc_timeout_parse(in, &t) == 0) {
		char text[GRPC_TIMEOUT_TEXT];
		grpc_timeout_format(t, text);
		int r = grpc_timeout_parse(slice_str(text), &back);
		ln_assert(r == 0 && back >= t);
	}
	struct str a, b;
	str_init(&a, 0);
	str_init(&b, 0);
	grpc_message_decode(in, &a);
	ln_assert(a.n <= size);
	str_clear(&a);
	grpc_message_encode(in, &a);
	grpc_message_decode(str_slice(&a), &b);
	ln_assert(slice_equal(str_slice(&b), in));
	str_fini(&a);
	str_fini(&b);
	return 0;
}
