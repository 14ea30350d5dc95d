#pragma once
/*
 * The in-memory kernel's WireGuard behind plat_wg.h, for tests: remembers peers as a kernel does,
 * and lets a test play the other side (handshakes, traffic, STUN). Peers live in a plain array.
 */
#include "src/plat/plat_wg.h"

#define FAKE_WG_PEERS 64
#define FAKE_WG_SENT 256 /* bytes kept of the last datagram sent */

struct fake_wg_peer {
	struct plat_wg_peer p;
	struct ip_prefix allowed[16];
	bool has_psk;
	unsigned sent_keepalives; /* packets forced by turning the keepalive on */
};

struct fake_wg { /* of one fake host */
	bool available;
	int fail_new;        /* result of the next plat_wg_new(), then 0 */
	struct plat_wg *dev; /* the one device, or null */
	unsigned dumps;      /* asked so far */
	unsigned changes;
	struct fake_wg_peer peers[FAKE_WG_PEERS];
	size_t npeers;
	/* last datagram of plat_wg_send() */
	struct ip_ep sent_to;
	uint8_t sent[FAKE_WG_SENT];
	size_t sent_len;
	unsigned nsent;
	/* and of plat_wg_inject() */
	struct ip_ep injected_from;
	size_t injected_len;
	unsigned ninjected;
	int stun;  /* the test's end of the IPv4 "raw socket" */
	bool gone; /* the link was removed by somebody */
};

struct fake_wg_peer *fake_wg_find(struct fake_wg *w, const struct wg_key *key);
/* A datagram for the agent, as from the raw socket. */
void fake_wg_push_stun(struct fake_wg *w, const struct ip_ep *from, struct slice data);
