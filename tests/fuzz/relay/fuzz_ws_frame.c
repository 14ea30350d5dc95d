/* A header that is accepted is what we would write for the same length; a mask undoes itself. */
#include <stdlib.h>

#include "lib/wire/ws_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ws_frame f;
	uint8_t head[WS_FRAME_HEADER_MAX], buf[512];
	if (ws_frame_read(slice_of(data, size), &f) < 0)
		return 0;
	size_t n = ws_frame_write(head, f.op, f.payload, f.masked ? f.mask : NULL);
	head[0] &= f.fin ? 0xff : 0x7f;
	if (n != f.header || memcmp(head, data, n) != 0)
		abort();
	size_t take = LN_MIN(LN_MIN(size - n, sizeof(buf)), f.payload);
	ws_frame_mask(buf, data + n, take, f.mask);
	if (f.masked) {
		ws_frame_mask(buf, buf, take, f.mask);
		if (memcmp(buf, data + n, take) != 0)
			abort();
	}
	return 0;
}
