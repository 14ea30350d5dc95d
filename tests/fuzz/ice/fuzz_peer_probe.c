/*
 * What comes by the relay in the place of WireGuard's messages: the input is cut into records of
 * one length byte pair and that many bytes. Each is given as it stands, and once more as the
 * attributes of a request that the right peer has signed: its word may say anything.
 */
#include <stdio.h>

#include "lib/base/cursor.h"
#include "lib/peer/peer_conn.h"
#include "lib/stun/stun_auth.h"
#include "lib/stun/stun_msg.h"

#define OUTPUTS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char remote_ufrag[] = "QrStUvWxYzAbCdEf";
static char own_ufrag[ICE_UFRAG_MAX + 1], own_pwd[ICE_PWD_MAX + 1];

static void fill(void *ctx, void *dst, size_t n)
{
	uint8_t *next = ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = (*next)++;
}

static void drain(struct peer_conn *p, ln_time now)
{
	uint8_t buf[PEER_BUF_MIN];
	struct peer_out out;
	for (unsigned n = 0; peer_conn_poll(p, now, mslice_of(buf, sizeof(buf)), &out); n++) {
		ln_assert(n < OUTPUTS_MAX);
		struct ice_cred c;
		if (out.kind == PEER_OUT_RELAY_OPEN)
			peer_conn_relay_up(p, now);
		if (out.kind == PEER_OUT_RELAYED)
			ln_assert(stun_is_message(out.data));
		if (out.kind != PEER_OUT_SIGNAL || out.body.type != SIGNAL_OFFER)
			continue;
		ln_assert(ice_cred_parse(out.body.payload, &c) == 0);
		memcpy(own_ufrag, c.ufrag, sizeof(own_ufrag));
		memcpy(own_pwd, c.pwd, sizeof(own_pwd));
		peer_conn_sent(p, now, out.token, true);
	}
}

static void signed_probe(struct peer_conn *p, ln_time now, struct slice word)
{
	uint8_t pkt[512];
	char name[2 * ICE_UFRAG_MAX + 2];
	struct writer w = writer_of(mslice_of(pkt, sizeof(pkt)));
	struct stun_tid tid = { { 1 } };
	(void)snprintf(name, sizeof(name), "%s:%s", own_ufrag, remote_ufrag);
	stun_msg_begin(&w, STUN_REQUEST, &tid);
	stun_msg_add(&w, STUN_ATTR_USERNAME, slice_str(name));
	stun_msg_add(&w, STUN_ATTR_WAY, slice_of(word.p, LN_MIN(word.n, 8)));
	stun_auth_sign(&w, slice_str(own_pwd));
	stun_auth_fingerprint(&w);
	int err = peer_conn_relay_stun(p, now, writer_slice(&w));
	ln_assert(word.n != 4 || err == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t counter = 0;
	struct ln_rng rng = { fill, &counter };
	struct peer_local local = { .hosts = { { ip_v4(0x0a010002), 51820 } },
				    .nhosts = 1,
				    .wg_port = 51820,
				    .relay_url = "rel://r" };
	struct peer_conn_conf conf = { .local = &local, .relay_ep = { ip_v4(0x7f010009), 51820 } };
	conf.own.b[0] = (uint8_t)size;
	conf.remote.b[0] = 0x55;
	ln_time now = LN_SEC;
	struct peer_conn *p = peer_conn_new(&conf, &rng, now);
	drain(p, now);
	struct signal_body offer = {
		.type = SIGNAL_OFFER,
		.payload = slice_str("QrStUvWxYzAbCdEf:FEDCBAzyxwvutsrqponmlkjihgfedcbb"),
		.linnet_level = PEER_LEVEL_QUALITY,
		.has_relay = true,
		.relay_address = local.relay_url,
		.has_session = true,
	};
	ln_assert(peer_conn_signal(p, now, &offer) == 0);
	drain(p, now);
	struct cursor in = cursor_of(slice_of(data, size));
	while (cursor_left(&in) != 0) {
		size_t n = cursor_u16(&in);
		struct slice pkt = cursor_bytes(&in, LN_MIN(n, cursor_left(&in)));
		if (pkt.n > 0) {
			(void)peer_conn_relay_stun(p, now, pkt);
			drain(p, now);
			signed_probe(p, now, pkt);
		}
		drain(p, now);
		now += LN_SEC;
	}
	peer_conn_free(p);
	return 0;
}
