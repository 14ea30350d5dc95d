#pragma once
/*
 * Two connections in virtual time, joined by a perfect signal server, a flat network and a relay,
 * for the unit tests of lib/peer. Everything that comes out is counted; a side can be made deaf.
 */
#include <stdio.h>
#include <string.h>

#include "lib/peer/peer_conn.h"
#include "lib/stun/stun_msg.h"

#include "tests/unit/unit.h"

#define PAIR_LOG 512
#define PAIR_RECENT 16

struct pair_signal {
	ln_time at;
	uint32_t type;
	uint8_t session[SIGNAL_SESSION_LEN];
	char payload[512];
};

struct pair_side {
	struct peer_conn *conn;
	struct peer_local local;
	struct wg_key key;
	struct pair_signal log[PAIR_LOG];
	unsigned nlog;
	struct ip_ep endpoint, spare;
	ln_time spare_at, doubt_after;
	/* Checks: how many, and the most within a second. */
	unsigned ndatagrams, busiest;
	ln_time last_datagrams[PAIR_RECENT];
	unsigned endpoints, initiations, resets, stats, gathers;
	ln_time endpoint_at;
	uint64_t token; /* of a send that the test ends by itself */
	bool hold_sends;
	bool fail_sends;
	bool deaf_signal, deaf_net;
	bool unmodified;                     /* its messages carry no level */
	bool at_relay, refuse_relay;         /* has a peer connection; gets none */
	const char *refuse_url, *lonely_url; /* a relay it cannot dial; one where nobody comes */
	char relay_url[PEER_RELAY_URL_MAX + 1];
	struct ip_addr relay_ip;
	unsigned relay_opens, relay_closes;
	unsigned probes; /* and answers sent by the relay */
	bool deaf_relay; /* gets no probes; the last is kept */

	struct {
		size_t n;
		uint8_t b[512];
	} heard;
	struct peer_wg_stats wg;
	unsigned checks;
};

struct pair {
	ln_time now;
	struct pair_side side[2]; /* 0 is the controller */
	unsigned lose_every;      /* check of each side; 0 none */
	bool busy;                /* packets pass all the time, both ways */
};

static uint64_t pair_seed;

static void pair_fill(void *ctx, void *dst, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++) {
		pair_seed = pair_seed * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)dst)[i] = (uint8_t)(pair_seed >> 56);
	}
}

static const struct ln_rng pair_rng = { pair_fill, NULL };

static inline struct ip_ep pair_ep(const char *text)
{
	struct ip_ep e;
	assert_int_equal(ip_ep_parse(slice_str(text), &e), 0);
	return e;
}

static inline void pair_make(struct pair *w, int i, struct peer_conn_conf c)
{
	struct pair_side *s = &w->side[i];
	c.own = s->key;
	c.remote = w->side[!i].key;
	c.local = &s->local;
	c.version = "0.77.1";
	s->conn = peer_conn_new(&c, &pair_rng, w->now);
}

static inline void pair_init(struct pair *w, struct peer_conn_conf c)
{
	static const char *const hosts[2] = { "10.1.0.2:51820", "10.2.0.2:51820" };
	memset(w, 0, sizeof(*w));
	pair_seed = 7;
	w->now = LN_SEC;
	for (int i = 0; i < 2; i++) {
		struct wg_secret secret;
		wg_secret_generate(&secret, &pair_rng);
		wg_secret_public(&secret, &w->side[i].key);
		w->side[i].local.hosts[0] = pair_ep(hosts[i]);
		w->side[i].local.nhosts = 1;
		w->side[i].local.wg_port = 51820;
	}
	if (wg_key_text_cmp(&w->side[0].key, &w->side[1].key) < 0) {
		struct wg_key k = w->side[0].key;
		w->side[0].key = w->side[1].key;
		w->side[1].key = k;
	}
	pair_make(w, 0, c);
	pair_make(w, 1, c);
}

static inline void pair_fini(struct pair *w)
{
	peer_conn_free(w->side[0].conn);
	peer_conn_free(w->side[1].conn);
}

static inline void pair_drain(struct pair *w, int i);

static inline void pair_on_signal(struct pair *w, int i, const struct peer_out *o)
{
	struct pair_side *s = &w->side[i], *other = &w->side[!i];
	assert_true(s->nlog < PAIR_LOG);
	struct pair_signal *m = &s->log[s->nlog++];
	m->at = w->now;
	m->type = o->body.type;
	memcpy(m->session, o->body.session, sizeof(m->session));
	if (o->body.payload.n > 0)
		memcpy(m->payload, o->body.payload.p, o->body.payload.n);
	if (s->hold_sends && o->token != 0) {
		s->token = o->token;
		return;
	}
	struct signal_body body = o->body;
	if (s->unmodified)
		body.linnet_level = 0;
	if (!s->fail_sends && !other->deaf_signal)
		(void)!peer_conn_signal(other->conn, w->now, &body);
	if (o->token != 0)
		peer_conn_sent(s->conn, w->now, o->token, !s->fail_sends);
}

static inline void pair_on_endpoint(struct pair *w, int i, const struct peer_out *o)
{
	struct pair_side *s = &w->side[i];
	s->endpoint = o->to;
	s->endpoint_at = w->now;
	s->endpoints++;
	s->initiations += o->initiate;
	s->resets += o->reset;
}

/* The relay knows everybody: an opening succeeds at once unless the test says otherwise. */
static inline void pair_on_relay(struct pair *w, int i, const struct peer_out *o)
{
	struct pair_side *s = &w->side[i];
	if (o->kind == PEER_OUT_RELAY_CLOSE) {
		s->relay_closes++;
		s->at_relay = false;
		return;
	}
	s->relay_opens++;
	(void)snprintf(s->relay_url, sizeof(s->relay_url), "%s", o->relay_url);
	s->relay_ip = o->relay_ip;
	s->at_relay = false;
	if (s->lonely_url != NULL && strcmp(s->lonely_url, o->relay_url) == 0)
		return;
	bool refuse = s->refuse_relay ||
		      (s->refuse_url != NULL && strcmp(s->refuse_url, o->relay_url) == 0);
	s->at_relay = !refuse;
	if (refuse)
		peer_conn_relay_down(s->conn, w->now, "refused by the test");
	else
		peer_conn_relay_up(s->conn, w->now);
}

static inline bool pair_loses(struct pair *w, int i, struct slice pkt)
{
	bool request = pkt.n > 0 && pkt.p[0] == 0;
	return request && w->lose_every != 0 && ++w->side[i].checks % w->lose_every == 0;
}

static inline void pair_on_relayed(struct pair *w, int i, const struct peer_out *o)
{
	struct pair_side *s = &w->side[i], *other = &w->side[!i];
	assert_true(stun_is_message(o->data));
	s->probes++;
	assert_true(o->data.n <= sizeof(other->heard.b));
	memcpy(other->heard.b, o->data.p, o->data.n);
	other->heard.n = o->data.n;
	if (s->at_relay && other->at_relay && !other->deaf_relay)
		(void)!peer_conn_relay_stun(other->conn, w->now, o->data);
}

/* A request: the first byte of an answer is 1. */
static inline void pair_count_check(struct pair *w, struct pair_side *s)
{
	unsigned n = 0;
	s->last_datagrams[s->ndatagrams++ % PAIR_RECENT] = w->now;
	for (unsigned k = 0; k < LN_MIN(s->ndatagrams, PAIR_RECENT); k++)
		n += s->last_datagrams[k] > w->now - LN_SEC;
	s->busiest = LN_MAX(s->busiest, n);
}

static inline void pair_drain(struct pair *w, int i)
{
	struct pair_side *s = &w->side[i], *other = &w->side[!i];
	uint8_t buf[PEER_BUF_MIN];
	struct peer_out o;
	unsigned n = 0;
	while (peer_conn_poll(s->conn, w->now, mslice_of(buf, sizeof(buf)), &o)) {
		assert_true(n++ < 1000);
		switch (o.kind) {
		case PEER_OUT_SIGNAL:
			pair_on_signal(w, i, &o);
			break;
		case PEER_OUT_DATAGRAM:
			if (o.data.p[0] == 0)
				pair_count_check(w, s);
			if (pair_loses(w, i, o.data))
				break;
			if (!other->deaf_net && ip_ep_equal(&o.to, &other->local.hosts[0]))
				(void)!peer_conn_stun(other->conn, w->now, &s->local.hosts[0],
						      o.data);
			break;
		case PEER_OUT_ENDPOINT:
			pair_on_endpoint(w, i, &o);
			break;
		case PEER_OUT_SPARE:
			s->spare = o.to;
			s->spare_at = w->now;
			s->doubt_after = o.doubt_after;
			break;
		case PEER_OUT_STATE:
			break;
		case PEER_OUT_RELAYED:
			pair_on_relayed(w, i, &o);
			break;
		case PEER_OUT_GATHER:
			s->gathers++;
			break;
		case PEER_OUT_STATS:
			s->stats++;
			s->wg.tx_bytes += w->busy ? 5000 : 0;
			s->wg.rx_bytes += w->busy ? 5000 : 0;
			peer_conn_wg_stats(s->conn, w->now, &s->wg);
			break;
		case PEER_OUT_RELAY_OPEN:
		case PEER_OUT_RELAY_CLOSE:
			pair_on_relay(w, i, &o);
			break;
		}
	}
}

static inline void pair_settle(struct pair *w)
{
	for (int k = 0; k < 20; k++) {
		pair_drain(w, 0);
		pair_drain(w, 1);
	}
}

/* Runs both until `until`, deadline by deadline. */
static inline void pair_run(struct pair *w, ln_time until)
{
	unsigned steps = 0;
	for (;;) {
		pair_settle(w);
		ln_time next = ln_time_min(peer_conn_deadline(w->side[0].conn),
					   peer_conn_deadline(w->side[1].conn));
		assert_true(steps++ < 200000);
		if (next >= until)
			break;
		w->now = LN_MAX(next, w->now + 1);
	}
	w->now = until;
	pair_settle(w);
}

static inline unsigned pair_count(const struct pair_side *s, uint32_t type)
{
	unsigned n = 0;
	for (unsigned i = 0; i < s->nlog; i++)
		n += s->log[i].type == type;
	return n;
}
