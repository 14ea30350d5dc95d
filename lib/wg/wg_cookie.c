#include "lib/wg/wg_cookie.h"

#include "lib/crypto/ct.h"

static void keys_of(struct wg_cookie_keys *k, const struct wg_key *of)
{
	struct slice key = slice_of(of->b, sizeof(of->b));
	blake2s_hash(slice_str("mac1----"), key, k->mac1);
	blake2s_hash(slice_str("cookie--"), key, k->seal);
}

/* Where the two MACs of a handshake message stand. */
static size_t mac1_at(size_t n)
{
	return n - 2 * WG_MAC_LEN;
}

static size_t mac2_at(size_t n)
{
	return n - WG_MAC_LEN;
}

/* The cookie of a source: a MAC over its address and port with the secret of the hour. */
static void cookie_of(struct wg_cookie_checker *c, ln_time now, const struct ln_rng *rng,
		      const struct ip_ep *from, uint8_t dst[WG_COOKIE_LEN])
{
	uint8_t source[18];
	size_t n = ip_bits(&from->addr) / 8;
	if (!c->has_secret || now - c->secret_made >= WG_COOKIE_SECRET_AGE) {
		rng_fill(rng, c->secret, sizeof(c->secret));
		c->secret_made = now;
		c->has_secret = true;
	}
	memcpy(source, from->addr.b, n);
	source[n] = (uint8_t)(from->port >> 8);
	source[n + 1] = (uint8_t)from->port;
	blake2s_mac(slice_of(c->secret, sizeof(c->secret)), slice_of(source, n + 2), dst);
}

void wg_cookie_checker_init(struct wg_cookie_checker *c, const struct wg_key *ours)
{
	*c = (struct wg_cookie_checker){ 0 };
	keys_of(&c->keys, ours);
}

void wg_cookie_checker_wipe(struct wg_cookie_checker *c)
{
	ct_wipe(c, sizeof(*c));
}

enum wg_cookie_verdict wg_cookie_check(struct wg_cookie_checker *c, ln_time now,
				       const struct ln_rng *rng, struct slice m,
				       const struct ip_ep *from, bool test_mac2)
{
	uint8_t mac[WG_MAC_LEN];
	uint8_t cookie[WG_COOKIE_LEN];
	ln_assert(m.n == WG_MSG_INITIATION_LEN || m.n == WG_MSG_RESPONSE_LEN);
	blake2s_mac(slice_of(c->keys.mac1, sizeof(c->keys.mac1)), slice_of(m.p, mac1_at(m.n)), mac);
	if (!ct_equal(mac, m.p + mac1_at(m.n), sizeof(mac)))
		return WG_COOKIE_INVALID;
	if (!test_mac2)
		return WG_COOKIE_MAC1;
	cookie_of(c, now, rng, from, cookie);
	blake2s_mac(slice_of(cookie, sizeof(cookie)), slice_of(m.p, mac2_at(m.n)), mac);
	return ct_equal(mac, m.p + mac2_at(m.n), sizeof(mac)) ? WG_COOKIE_RETURNED : WG_COOKIE_MAC1;
}

void wg_cookie_reply(struct wg_cookie_checker *c, ln_time now, const struct ln_rng *rng,
		     struct slice m, const struct ip_ep *from, struct wg_msg_cookie *ret)
{
	uint8_t cookie[WG_COOKIE_LEN];
	cookie_of(c, now, rng, from, cookie);
	wg_msg_put_le32(ret->type, WG_MSG_COOKIE);
	memcpy(ret->receiver, m.p + 4, sizeof(ret->receiver)); /* the sender of either message */
	rng_fill(rng, ret->nonce, sizeof(ret->nonce));
	aead_xseal(c->keys.seal, ret->nonce, slice_of(m.p + mac1_at(m.n), WG_MAC_LEN),
		   slice_of(cookie, sizeof(cookie)), ret->cookie);
}

void wg_cookie_maker_init(struct wg_cookie_maker *k, const struct wg_key *theirs)
{
	*k = (struct wg_cookie_maker){ 0 };
	keys_of(&k->keys, theirs);
}

void wg_cookie_maker_wipe(struct wg_cookie_maker *k)
{
	ct_wipe(k, sizeof(*k));
}

void wg_cookie_stamp(struct wg_cookie_maker *k, ln_time now, struct mslice m)
{
	uint8_t *mac1 = m.p + mac1_at(m.n);
	uint8_t *mac2 = m.p + mac2_at(m.n);
	blake2s_mac(slice_of(k->keys.mac1, sizeof(k->keys.mac1)), slice_of(m.p, mac1_at(m.n)),
		    mac1);
	memcpy(k->last_mac1, mac1, sizeof(k->last_mac1));
	k->sent = true;
	if (k->has_cookie && now - k->cookie_got < WG_COOKIE_AGE)
		blake2s_mac(slice_of(k->cookie, sizeof(k->cookie)), slice_of(m.p, mac2_at(m.n)),
			    mac2);
	else
		memset(mac2, 0, WG_MAC_LEN);
}

int wg_cookie_consume(struct wg_cookie_maker *k, ln_time now, const struct wg_msg_cookie *m)
{
	uint8_t cookie[WG_COOKIE_LEN];
	if (!k->sent)
		return LN_E_STATE;
	int r = aead_xopen(k->keys.seal, m->nonce, slice_of(k->last_mac1, sizeof(k->last_mac1)),
			   slice_of(m->cookie, sizeof(m->cookie)), cookie);
	if (r < 0)
		return LN_E_AUTH;
	memcpy(k->cookie, cookie, sizeof(cookie));
	k->cookie_got = now;
	k->has_cookie = true;
	k->sent = false; /* one reply per message */
	return 0;
}
