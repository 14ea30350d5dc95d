#pragma once
/*
 * Two or three WireGuard devices and the network between them in virtual time. Every datagram
 * travels for 10 ms unless a test loses, doubles or delays it. Delivered inner packets and events
 * are noted down.
 */
#include <stdlib.h>

#include "lib/wg/wg_dev.h"
#include "lib/wg/wg_msg.h"

#define WORLD_HOSTS 3
#define WORLD_FLIGHT 4096
#define WORLD_LATENCY (10 * LN_MSEC)
#define WORLD_PACKET_MAX 1600

struct world_datagram {
	ln_time at;
	struct ip_ep from;
	struct ip_ep to;
	size_t n;
	uint8_t b[WORLD_PACKET_MAX];
	bool indirect; /* by the relay, shown under the sender's own address */
	bool used;
};

struct world_host {
	struct wg_dev *dev;
	struct wg_secret secret;
	struct wg_key key;
	struct ip_ep ep;
	unsigned sent[5]; /* by message type */
	unsigned delivered;
	uint32_t last_number; /* of the last packet delivered */
	unsigned wanted, handshakes, roamed, doubts;
	uint8_t got[8192]; /* times each numbered packet was delivered */
};

struct world {
	ln_time now;
	uint64_t seed;
	struct ln_rng rng;
	struct world_host h[WORLD_HOSTS];
	unsigned loss;      /* per mille */
	unsigned duplicate; /* per mille */
	ln_time reorder;    /* random extra delay below this */
	bool blocked;
	bool keep_last;
	struct world_datagram last; /* a copy of the last datagram sent, if wanted */
	struct world_datagram *flight;
};

static inline uint32_t world_rand(struct world *w)
{
	w->seed = w->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(w->seed >> 33);
}

static inline void world_fill(void *ctx, void *dst, size_t n)
{
	struct world *w = ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = (uint8_t)(world_rand(w) >> 7);
}

/* Host i has the inner address 10.0.0.(i+1) and the outer one 192.0.2.(i+1):1000. */
static inline struct ip_ep world_ep(unsigned i)
{
	return (struct ip_ep){ .addr = ip_v4(0xc0000201u + i), .port = 1000 };
}

static inline void world_init(struct world *w, uint64_t seed, const struct wg_dev_conf *base)
{
	*w = (struct world){ .now = LN_SEC, .seed = seed * 977 + 1 };
	w->rng = (struct ln_rng){ world_fill, w };
	w->flight = calloc(WORLD_FLIGHT, sizeof(*w->flight));
	for (unsigned i = 0; i < WORLD_HOSTS; i++) {
		struct world_host *h = &w->h[i];
		struct wg_dev_conf c;
		wg_dev_conf_default(&c);
		if (base != NULL)
			c = *base;
		wg_secret_generate(&h->secret, &w->rng);
		wg_secret_public(&h->secret, &h->key);
		c.secret = &h->secret;
		h->ep = world_ep(i);
		h->dev = wg_dev_new(&c, &w->rng);
		wg_dev_set_wall(h->dev, w->now, 1700000000 * LN_SEC);
	}
}

static inline void world_fini(struct world *w)
{
	for (unsigned i = 0; i < WORLD_HOSTS; i++)
		wg_dev_free(w->h[i].dev);
	free(w->flight);
}

/* Host i gets host j as a peer. */
static inline void world_peer(struct world *w, unsigned i, unsigned j, uint16_t keepalive,
			      const struct wg_secret *psk)
{
	struct ip_addr inner = ip_v4(0x0a000001u + j);
	struct ip_prefix allowed = ip_prefix_host(&inner);
	struct wg_peer_conf c = {
		.key = w->h[j].key, .allowed = &allowed, .nallowed = 1, .keepalive = keepalive
	};
	if (psk != NULL)
		c.psk = *psk;
	if (wg_dev_set_peer(w->h[i].dev, w->now, &c) != 0)
		abort();
}

static inline struct world_datagram *world_put(struct world *w, ln_time at,
					       const struct ip_ep *from, const struct ip_ep *to,
					       const uint8_t *b, size_t n)
{
	for (unsigned i = 0; i < WORLD_FLIGHT; i++) {
		struct world_datagram *g = &w->flight[i];
		if (g->used)
			continue;
		*g = (struct world_datagram){
			.at = at, .from = *from, .to = *to, .n = n, .used = true
		};
		memcpy(g->b, b, n);
		return g;
	}
	abort();
}

/* The relay's name for host i; it is slower than the direct way, and never blocked. */
static inline struct ip_ep world_relay_ep(unsigned i)
{
	return (struct ip_ep){ .addr = ip_v4(0x7f010001u + i), .port = 1000 };
}

static inline void world_relay(struct world *w, const struct world_host *h, const struct ip_ep *to,
			       const uint8_t *b, size_t n)
{
	for (unsigned i = 0; i < WORLD_HOSTS; i++) {
		struct ip_ep name = world_relay_ep(i);
		if (ip_ep_equal(&name, to))
			world_put(w, w->now + 2 * WORLD_LATENCY, &h->ep, &w->h[i].ep, b, n)
				->indirect = true;
	}
}

static inline void world_send(struct world *w, struct world_host *h, const struct ip_ep *to,
			      const uint8_t *b, size_t n)
{
	int type = wg_msg_type(slice_of(b, n));
	if (type < 0 || n > WORLD_PACKET_MAX)
		abort();
	h->sent[type]++;
	if (w->keep_last) {
		w->last = (struct world_datagram){ .from = h->ep, .to = *to, .n = n };
		memcpy(w->last.b, b, n);
	}
	if (to->addr.b[0] == 127) {
		world_relay(w, h, to, b, n);
		return;
	}
	if (w->blocked)
		return;
	unsigned copies = 1 + (world_rand(w) % 1000 < w->duplicate);
	for (unsigned i = 0; i < copies; i++) {
		if (world_rand(w) % 1000 < w->loss)
			continue;
		ln_time extra = w->reorder != 0 ? world_rand(w) % w->reorder : 0;
		world_put(w, w->now + WORLD_LATENCY + extra, &h->ep, to, b, n);
	}
}

static inline void world_poll(struct world *w, struct world_host *h)
{
	static uint8_t buf[WG_DEV_POLL_ROOM];
	struct wg_out o;
	while (wg_dev_poll(h->dev, w->now, mslice_of(buf, sizeof(buf)), &o)) {
		switch (o.kind) {
		case WG_OUT_DATAGRAM:
			world_send(w, h, &o.ep, buf, o.len);
			if (ip_is_set(&o.also.addr))
				world_send(w, h, &o.also, buf, o.len);
			break;
		case WG_OUT_WANTED:
			h->wanted++;
			break;
		case WG_OUT_HANDSHAKE:
			h->handshakes++;
			break;
		case WG_OUT_ROAMED:
			h->roamed++;
			break;
		case WG_OUT_DOUBT:
			h->doubts++;
			break;
		}
	}
}

static inline void world_note(struct world_host *h, struct slice inner)
{
	uint32_t number = (uint32_t)inner.p[20] << 24 | (uint32_t)inner.p[21] << 16 |
			  (uint32_t)inner.p[22] << 8 | inner.p[23];
	h->delivered++;
	h->last_number = number;
	if (number < sizeof(h->got))
		h->got[number]++;
}

static inline void world_arrive(struct world *w, const struct world_datagram *g)
{
	uint8_t b[WORLD_PACKET_MAX];
	memcpy(b, g->b, g->n);
	for (unsigned i = 0; i < WORLD_HOSTS; i++) {
		struct world_host *h = &w->h[i];
		if (!ip_ep_equal(&h->ep, &g->to))
			continue;
		struct wg_rx rx = { .msg = mslice_of(b, g->n),
				    .from = &g->from,
				    .indirect = g->indirect };
		wg_dev_open(h->dev, w->now, &rx, 1);
		if (rx.inner.n != 0)
			world_note(h, rx.inner);
		world_poll(w, h);
	}
}

/* An inner IPv4 packet of `size` bytes with a number in it. Returns the error of wg_tx. */
static inline int world_packet(struct world *w, unsigned from, unsigned to, uint32_t number,
			       size_t size)
{
	uint8_t b[WORLD_PACKET_MAX] = { 0 };
	uint8_t *p = b + WG_MSG_DATA_HEADER_LEN;
	struct world_host *h = &w->h[from];
	p[0] = 0x45;
	p[2] = (uint8_t)(size >> 8);
	p[3] = (uint8_t)size;
	p[12] = p[16] = 10;
	p[15] = (uint8_t)(from + 1);
	p[19] = (uint8_t)(to + 1);
	for (unsigned i = 0; i < 4; i++)
		p[20 + i] = (uint8_t)(number >> (24 - 8 * i));
	struct wg_tx tx = { .msg = b, .inner = size };
	wg_dev_seal(h->dev, w->now, &tx, 1);
	if (tx.len != 0)
		world_send(w, h, tx.to, b, tx.len);
	if (tx.len != 0 && tx.also != NULL)
		world_send(w, h, tx.also, b, tx.len);
	world_poll(w, h);
	return tx.err;
}

static inline ln_time world_next(const struct world *w)
{
	ln_time at = LN_TIME_NEVER;
	for (unsigned i = 0; i < WORLD_HOSTS; i++)
		at = ln_time_min(at, wg_dev_deadline(w->h[i].dev));
	for (unsigned i = 0; i < WORLD_FLIGHT; i++)
		if (w->flight[i].used)
			at = ln_time_min(at, w->flight[i].at);
	return at;
}

/* Lets everything happen until `until`. */
static inline void world_run(struct world *w, ln_time until)
{
	for (unsigned i = 0; i < WORLD_HOSTS; i++)
		world_poll(w, &w->h[i]);
	for (ln_time at; (at = world_next(w)) <= until;) {
		w->now = LN_MAX(w->now, at);
		for (unsigned i = 0; i < WORLD_FLIGHT; i++) {
			if (!w->flight[i].used || w->flight[i].at > w->now)
				continue;
			w->flight[i].used = false;
			world_arrive(w, &w->flight[i]);
		}
		for (unsigned i = 0; i < WORLD_HOSTS; i++)
			world_poll(w, &w->h[i]);
	}
	w->now = until;
}

static inline void world_pass(struct world *w, ln_time d)
{
	world_run(w, w->now + d);
}
