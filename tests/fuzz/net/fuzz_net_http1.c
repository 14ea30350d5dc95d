/* HTTP/1.1 requests, however they are cut. */
#include "src/net/net_http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct net_http1 *h = net_http1_new(1000);
	size_t step = 1 + data[0];
	int r = 0;
	for (size_t i = 1; i < size && r >= 0; i += step) {
		struct slice s = slice_of(data + i, LN_MIN(step, size - i));
		while ((r = net_http1_input(h, &s)) == 1) {
			const struct net_http1_request *q = net_http1_get(h);
			ln_assert(q->body.n <= 1000 && strlen(q->target) <= NET_HTTP1_TARGET_MAX);
			net_http1_next(h);
		}
	}
	net_http1_free(h);
	return 0;
}
