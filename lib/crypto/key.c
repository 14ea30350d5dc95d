#include "lib/crypto/key.h"

#include <sodium.h>

#include "lib/crypto/ct.h"

void wg_secret_wipe(struct wg_secret *s)
{
	ct_wipe(s->b, sizeof(s->b));
}

void wg_secret_generate(struct wg_secret *ret, const struct ln_rng *rng)
{
	rng_fill(rng, ret->b, sizeof(ret->b));
	/* RFC 7748 5: the clamping that every X25519 does anyway; stored clamped as wg genkey does.
	 */
	ret->b[0] &= 248;
	ret->b[31] = (uint8_t)((ret->b[31] & 127) | 64);
}

void wg_secret_public(const struct wg_secret *s, struct wg_key *ret)
{
	crypto_scalarmult_curve25519_base(ret->b, s->b);
}

bool wg_secret_is_zero(const struct wg_secret *s)
{
	return ct_is_zero(s->b, sizeof(s->b));
}

int wg_secret_parse(struct slice text, struct wg_secret *ret)
{
	return b64_decode_exact(text, ret->b, sizeof(ret->b));
}

void wg_secret_write(const struct wg_secret *s, char dst[WG_KEY_TEXT])
{
	b64_encode(slice_of(s->b, sizeof(s->b)), dst);
}

int wg_key_parse(struct slice text, struct wg_key *ret)
{
	return b64_decode_exact(text, ret->b, sizeof(ret->b));
}

void wg_key_format(const struct wg_key *k, char dst[WG_KEY_TEXT])
{
	b64_encode(slice_of(k->b, sizeof(k->b)), dst);
}

bool wg_key_equal(const struct wg_key *a, const struct wg_key *b)
{
	return ct_equal(a->b, b->b, sizeof(a->b));
}

bool wg_key_is_zero(const struct wg_key *k)
{
	return ct_is_zero(k->b, sizeof(k->b));
}

int wg_key_text_cmp(const struct wg_key *a, const struct wg_key *b)
{
	char ta[WG_KEY_TEXT];
	char tb[WG_KEY_TEXT];
	wg_key_format(a, ta);
	wg_key_format(b, tb);
	return memcmp(ta, tb, B64_KEY_LEN);
}

int x25519_shared(const struct wg_secret *mine, const struct wg_key *theirs, struct wg_secret *ret)
{
	LN_SECRET(wg_secret) out;
	if (crypto_scalarmult_curve25519(out.b, mine->b, theirs->b) != 0)
		return LN_E_AUTH;
	*ret = out;
	return 0;
}
