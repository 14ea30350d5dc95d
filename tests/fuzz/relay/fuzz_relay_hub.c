/*
 * Three connections whose messages the input chooses: what is written is always whole messages,
 * nothing leaks, and queues stay within their bounds.
 */
#include <stdlib.h>

#include "lib/relay/relay_hub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS 3

static void count(void *ctx, void *dst, size_t n)
{
	uint64_t *v = ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = (uint8_t)(*v)++;
}

static void drain(struct relay_hub *h, ln_time now, struct relay_hub_peer **peers)
{
	struct relay_hub_out out;
	while (relay_hub_poll(h, now, &out)) {
		struct slice v[8];
		size_t n, sum = 0;
		for (n = relay_hub_view(out.peer, v, 8); n > 0; n--)
			sum += v[n - 1].n;
		if (sum > (4u << 10) + (65u << 10))
			abort();
		if (out.event == RELAY_HUB_CLOSE) {
			peers[*(size_t *)out.user] = NULL;
			relay_hub_remove(h, out.peer);
		} else if (out.event == RELAY_HUB_WRITE && *(size_t *)out.user != 2) {
			relay_hub_sent(h, out.peer, sum);
		} else {
			relay_hub_blocked(h, out.peer, now, true);
		}
	}
}

static void join(struct relay_hub *h, struct relay_hub_peer *p, const struct relay_token_key *k,
		 size_t i)
{
	struct relay_token_text t;
	struct relay_id id;
	uint8_t token[RELAY_TOKEN_MAX], msg[RELAY_AUTH_MAX];
	relay_token_make(k, 100 * LN_SEC, &t);
	relay_id_of_text(slice_of(&"abc"[i], 1), &id);
	int n = relay_token_join(slice_str(t.payload), slice_str(t.signature),
				 mslice_of(token, sizeof(token)));
	n = relay_msg_write_auth(mslice_of(msg, sizeof(msg)), &id, slice_of(token, (size_t)n));
	(void)relay_hub_input(h, p, 0, 0, slice_of(msg, (size_t)n));
}

/* Input: records of peer and flags, length, time step, bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t seed = 1;
	size_t index[PEERS] = { 0, 1, 2 };
	struct relay_hub_peer *peers[PEERS] = { NULL };
	struct relay_token_key key;
	struct ln_rng rng = { .fill = count, .ctx = &seed };
	relay_token_key_make(slice_str("s"), &key);
	struct relay_hub_conf conf = { .instance_url = "rel://r",
				       .keys = &key,
				       .nkeys = 1,
				       .max_queue = 4096,
				       .max_subscriptions = 8,
				       .rng = &rng };
	struct relay_hub *h = relay_hub_new(&conf);
	ln_time now = 0;
	while (size >= 3) {
		size_t i = (data[0] & 15) % PEERS, n = LN_MIN((size_t)data[1], size - 3);
		now += data[2] * LN_SEC;
		if (peers[i] == NULL) {
			peers[i] = relay_hub_open(h, now, &index[i]);
			if (data[0] & 0x80 && peers[i] != NULL)
				join(h, peers[i], &key, i);
		}
		if (peers[i] != NULL)
			(void)relay_hub_input(h, peers[i], now, 0, slice_of(data + 3, n));
		if (data[0] & 0x40)
			drain(h, now, peers);
		if (data[0] == 0x3f)
			relay_hub_drain(h, now, LN_SEC);
		data += 3 + n;
		size -= 3 + n;
	}
	drain(h, now, peers);
	for (size_t i = 0; i < PEERS; i++)
		if (peers[i] != NULL)
			relay_hub_remove(h, peers[i]);
	relay_hub_free(h);
	return 0;
}
