/*
 * An agent under a stream of datagrams: the input is cut into records of one length byte pair and
 * that many bytes, each fed as a datagram and followed by polling. Whatever arrives, the agent
 * neither breaks nor sends more than a few messages per input.
 */
#include "lib/base/cursor.h"
#include "lib/ice/ice_agent.h"
#include "lib/ice/ice_mux.h"

#define OUTPUTS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(void *ctx, void *dst, size_t n)
{
	uint8_t *next = ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = (*next)++;
}

static void drain(struct ice_agent *a, ln_time now)
{
	uint8_t buf[1280];
	struct ice_out out;
	for (unsigned n = 0; ice_agent_poll(a, now, mslice_of(buf, sizeof(buf)), &out); n++)
		ln_assert(n < OUTPUTS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ice_cred local = { "AbCdEfGhIjKlMnOp",
					       "FEDCBAzyxwvutsrqponmlkjihgfedcba" };
	static const struct ice_cred remote = { "QrStUvWxYzAbCdEf",
						"FEDCBAzyxwvutsrqponmlkjihgfedcbb" };
	uint8_t counter = 0;
	struct ln_rng rng = { fill, &counter };
	struct ice_agent_conf conf = { .controlling = size & 1, .local = local };
	struct ip_ep host = { ip_v4(0x0a010002), 51820 };
	struct ice_cand c;
	ln_time now = 0;
	struct ice_agent *a = ice_agent_new(&conf, &rng, now);
	struct ice_mux *m = ice_mux_new(&rng);
	struct ice_mux_slot slot = { .owner = a };
	ice_mux_set(m, &slot, conf.local.ufrag, a);
	ice_cand_init(&c, ICE_CAND_HOST, &host, NULL, local.ufrag, &rng);
	ln_assert(ice_agent_add_local(a, now, &c) == 0);
	struct cursor in = cursor_of(slice_of(data, size));
	for (unsigned i = 0; cursor_left(&in) != 0; i++) {
		struct ip_ep from = { ip_v4(0xcb007100u + i % 7), (uint16_t)(1 + i % 3) };
		size_t n = cursor_u16(&in);
		struct slice pkt = cursor_bytes(&in, LN_MIN(n, cursor_left(&in)));
		if (i == 2)
			ln_assert(ice_agent_set_remote(a, now, &remote) == 0);
		(void)ice_mux_find(m, pkt);
		(void)ice_agent_input(a, now, &from, pkt);
		if (ice_cand_parse(pkt, &c) == 0)
			(void)!ice_agent_add_remote(a, now, &c);
		drain(a, now);
		now += 150 * LN_MSEC;
	}
	ice_mux_free(m);
	ice_agent_free(a);
	return 0;
}
