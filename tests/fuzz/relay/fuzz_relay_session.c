/* A server that says anything, and an owner that opens and closes: every message out is well
 * formed. */
#include <stdlib.h>

#include "lib/relay/relay_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS 4

static void count(void *ctx, void *dst, size_t n)
{
	uint64_t *v = ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = (uint8_t)(*v)++;
}

/* False when the session is over. */
static bool drain(struct relay_session *s, ln_time now)
{
	static uint8_t buf[RELAY_MSG_MAX];
	struct relay_session_out out;
	while (relay_session_poll(s, now, mslice_of(buf, sizeof(buf)), &out)) {
		if (out.event == RELAY_SESSION_SEND &&
		    (relay_msg_type(out.bytes) < 0 || out.bytes.n > RELAY_MSG_MAX))
			abort();
		if (out.event == RELAY_SESSION_OFFLINE || out.event == RELAY_SESSION_FAILED)
			*(struct relay_session_peer **)out.user = NULL;
		if (out.event == RELAY_SESSION_ENDED)
			return false;
	}
	return true;
}

/* Input: records of what, length, time step, bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t seed = 1;
	struct relay_session_peer *peers[PEERS] = { NULL };
	struct ln_rng rng = { .fill = count, .ctx = &seed };
	struct relay_session_conf conf = { .token = slice_str("t"),
					   .lossy = size != 0 && (data[0] & 0x80) != 0,
					   .max_early = 3,
					   .rng = &rng };
	ln_time now = 0;
	relay_id_of_text(slice_str("me"), &conf.own);
	struct relay_session *s = relay_session_new(&conf, now);
	relay_session_start(s, now);
	bool alive = true;
	while (size >= 3 && alive) {
		size_t i = data[0] % PEERS, n = LN_MIN((size_t)data[1], size - 3);
		void *user;
		struct slice payload;
		struct relay_id id;
		now += data[2] * (LN_SEC / 4);
		relay_id_of_text(slice_of("abcd" + i, 1), &id);
		switch (data[0] >> 4 & 3) {
		case 0:
			if (peers[i] == NULL &&
			    relay_session_open(s, now, &id, &peers[i], &peers[i]) < 0)
				peers[i] = NULL;
			break;
		case 1:
			if (peers[i] != NULL)
				relay_session_close(s, peers[i]);
			peers[i] = NULL;
			break;
		default:
			if (relay_session_input(s, now, slice_of(data + 3, n), &user, &payload) ==
				    1 &&
			    (payload.p < data + 3 || payload.p + payload.n > data + 3 + n))
				abort();
			break;
		}
		/* A handle is good until its event was told: told before anything else happens. */
		alive = drain(s, now);
		data += 3 + n;
		size -= 3 + n;
	}
	relay_session_free(s);
	return 0;
}
