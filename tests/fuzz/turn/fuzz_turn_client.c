/*
 * A TURN server that says anything, partly in answer to what was asked: the client's messages stay
 * well formed, and what it hands out lies inside what came.
 */
#include <stdlib.h>

#include "lib/turn/turn_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *ctx, void *dst, size_t n)
{
	uint64_t *v = ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = (uint8_t)(*v)++;
}

static struct stun_tid last; /* of the newest request */

static void check(struct slice msg)
{
	struct stun_msg m;
	uint16_t channel;
	struct slice in;
	if (turn_msg_stream_len(msg) < 0)
		abort();
	if (turn_msg_read_channel(msg, &channel, &in) == 0)
		return;
	if (stun_msg_read(msg, &m) != 0)
		abort();
	if (m.cls == STUN_REQUEST)
		last = m.tid;
}

static void drain(struct turn_client *c, ln_time now)
{
	static uint8_t buf[STUN_MSG_MAX];
	struct turn_out out;
	unsigned n = 0;
	while (turn_client_poll(c, now, mslice_of(buf, sizeof(buf)), &out)) {
		if (out.event == TURN_EV_SEND)
			check(out.bytes);
		if (n++ > 4 * TURN_PEERS_MAX)
			abort();
	}
}

/* Input: records of what, length, time step, bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t seed = 1;
	uint8_t msg[512], buf[STUN_MSG_MAX];
	struct ln_rng rng = { .fill = count, .ctx = &seed };
	struct turn_client_conf conf = { .user = "u",
					 .password = "p",
					 .stream = size != 0 && (data[0] & 0x80) != 0,
					 .rng = &rng };
	ln_time now = 0;
	struct turn_client *c = turn_client_new(&conf, now);
	drain(c, now);
	while (size >= 3) {
		size_t n = LN_MIN((size_t)data[1], size - 3);
		struct ip_ep ep = { .addr = ip_v4(0x0a000000u | (data[0] & 7)), .port = 9 };
		struct slice in;
		now += data[2] * (LN_SEC / 2);
		memcpy(msg, data + 3, n);
		if ((data[0] & 0x40) != 0 && n >= STUN_HEADER_LEN)
			memcpy(msg + 8, last.b, sizeof(last.b));
		if ((data[0] & 0x20) != 0) {
			struct slice out = turn_client_write(c, now, &ep, slice_of(msg, n),
							     mslice_of(buf, sizeof(buf)));
			if (out.n != 0)
				check(out);
		} else if (turn_client_input(c, now, slice_of(msg, n), &ep, &in) == 1 &&
			   (in.p < msg || in.p + in.n > msg + n)) {
			abort();
		}
		drain(c, now);
		data += 3 + n;
		size -= 3 + n;
	}
	turn_client_close(c);
	drain(c, now);
	turn_client_free(c);
	return 0;
}
