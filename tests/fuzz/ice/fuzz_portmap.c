/* What a gateway may answer: the first byte is time to pass, the rest one datagram; and again. */
#include "lib/portmap/portmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fixed(void *ctx, void *dst, size_t n)
{
	(void)ctx;
	memset(dst, 7, n);
}

static void drain(struct portmap *p, ln_time now)
{
	struct portmap_out out;
	for (int i = 0; portmap_poll(p, now, &out); i++) {
		ln_assert(i < 16);
		ln_assert(out.kind != PORTMAP_OUT_SEND || out.data.n <= PORTMAP_MSG_MAX);
		ln_assert(out.kind != PORTMAP_OUT_MAPPED || out.ep.port != 0);
	}
	ln_assert(portmap_deadline(p) > now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ln_rng rng = { fixed, NULL };
	static const struct portmap_conf conf = { .port = 51820 };
	static const struct ip_addr gateway = { .family = 4, .b = { 10, 0, 0, 1 } };
	static const struct ip_addr source = { .family = 4, .b = { 10, 0, 0, 2 } };
	ln_time now = LN_SEC;
	struct portmap *p = portmap_new(&conf, &rng);
	portmap_start(p, now, &gateway, &source);
	drain(p, now);
	while (size > 0) {
		size_t n = LN_MIN(size - 1, (size_t)60);
		now += (ln_time)data[0] * LN_SEC;
		drain(p, now);
		(void)!portmap_input(p, now, slice_of(data + 1, n));
		drain(p, now);
		data += 1 + n;
		size -= 1 + n;
	}
	portmap_stop(p, now);
	drain(p, now);
	portmap_free(p);
	return 0;
}
