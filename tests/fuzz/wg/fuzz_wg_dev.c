/*
 * A device with one peer gets datagrams from anywhere. The input is a list of them: two bytes of
 * length, then bytes. The private key is the one of the recorded agent, so that recorded
 * initiations are opened.
 */
#include "lib/wg/wg_dev.h"
#include "lib/wg/wg_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(void *ctx, void *dst, size_t n)
{
	uint64_t *seed = ctx;
	for (size_t i = 0; i < n; i++) {
		*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
		((uint8_t *)dst)[i] = (uint8_t)(*seed >> 56);
	}
}

static void drain(struct wg_dev *d, ln_time now)
{
	static uint8_t buf[WG_DEV_POLL_ROOM];
	struct wg_out o;
	unsigned n = 0;
	while (wg_dev_poll(d, now, mslice_of(buf, sizeof(buf)), &o))
		ln_assert(++n < 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t msg[65536];
	uint64_t seed = 7;
	struct ln_rng rng = { fill, &seed };
	struct wg_secret secret;
	struct wg_peer_conf p = { 0 };
	struct ip_addr inner = ip_v4(0x64400001);
	struct ip_prefix allowed = ip_prefix_host(&inner);
	struct ip_ep from = { .addr = ip_v4(0xc0000201), .port = 51820 };
	struct wg_dev_conf c;
	wg_dev_conf_default(&c);
	c.handshakes_per_second = 2; /* soon under load: cookies are part of it */
	ln_assert(wg_secret_parse(slice_str("0P1QedReIyiBluBIk5XvUNDjs4+zDHPRf2LtCySzq0U="),
				  &secret) == 0);
	ln_assert(wg_key_parse(slice_str("p8RStZPDHTk4zFqHBHmUUVjL1Bg8zfILjGpC6qR1e0c="), &p.key) ==
		  0);
	c.secret = &secret;
	p.allowed = &allowed;
	p.nallowed = 1;
	struct wg_dev *d = wg_dev_new(&c, &rng);
	ln_time now = LN_SEC;
	wg_dev_set_wall(d, now, 1700000000 * LN_SEC);
	ln_assert(wg_dev_set_peer(d, now, &p) == 0);
	ln_assert(wg_dev_set_endpoint(d, now, &p.key, &from, true) == 0);
	drain(d, now);
	while (size >= 2) {
		size_t n = LN_MIN((size_t)data[0] << 8 | data[1], size - 2);
		memcpy(msg, data + 2, n);
		data += 2 + n;
		size -= 2 + n;
		now += 10 * LN_MSEC;
		struct wg_rx rx = { .msg = mslice_of(msg, n), .from = &from };
		wg_dev_open(d, now, &rx, 1);
		ln_assert(rx.inner.n <= n);
		drain(d, now);
	}
	wg_dev_free(d);
	return 0;
}
