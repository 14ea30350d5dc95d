#include "lib/crypto/box.h"

#include <limits.h>
#include <sodium.h>

#include "lib/crypto/ct.h"

void box_key_wipe(struct box_key *k)
{
	ct_wipe(k->k, sizeof(k->k));
}

int box_key_init(struct box_key *ret, const struct wg_secret *mine, const struct wg_key *theirs)
{
	struct box_key k;
	if (crypto_box_beforenm(k.k, theirs->b, mine->b) != 0)
		return LN_E_AUTH;
	*ret = k;
	box_key_wipe(&k);
	return 0;
}

int box_seal_nonce(const struct box_key *k, const uint8_t nonce[BOX_NONCE_LEN], struct slice plain,
		   struct mslice dst)
{
	static const uint8_t none[1];
	if (plain.n > INT_MAX - BOX_OVERHEAD || dst.n < plain.n + BOX_OVERHEAD)
		return LN_E_LIMIT;
	memmove(dst.p, nonce, BOX_NONCE_LEN);
	if (crypto_box_easy_afternm(dst.p + BOX_NONCE_LEN, plain.n != 0 ? plain.p : none, plain.n,
				    nonce, k->k) != 0)
		return LN_E_INTERNAL;
	return (int)(plain.n + BOX_OVERHEAD);
}

int box_seal(const struct box_key *k, const struct ln_rng *rng, struct slice plain,
	     struct mslice dst)
{
	uint8_t nonce[BOX_NONCE_LEN];
	rng_fill(rng, nonce, sizeof(nonce));
	return box_seal_nonce(k, nonce, plain, dst);
}

int box_seal_in_place(const struct box_key *k, const struct ln_rng *rng, struct mslice buf)
{
	if (buf.n < BOX_OVERHEAD || buf.n > INT_MAX)
		return LN_E_LIMIT;
	uint8_t *nonce = buf.p, *tag = buf.p + BOX_NONCE_LEN, *text = buf.p + BOX_OVERHEAD;
	rng_fill(rng, nonce, BOX_NONCE_LEN);
	if (crypto_box_detached_afternm(text, tag, text, buf.n - BOX_OVERHEAD, nonce, k->k) != 0)
		return LN_E_INTERNAL;
	return (int)buf.n;
}

int box_open(const struct box_key *k, struct slice body, struct mslice dst)
{
	uint8_t none[1];
	if (body.n < BOX_OVERHEAD || body.n > INT_MAX)
		return LN_E_MALFORMED;
	size_t n = body.n - BOX_OVERHEAD;
	if (dst.n < n)
		return LN_E_LIMIT;
	if (crypto_box_open_easy_afternm(n != 0 ? dst.p : none, body.p + BOX_NONCE_LEN,
					 body.n - BOX_NONCE_LEN, body.p, k->k) != 0)
		return LN_E_AUTH;
	return (int)n;
}
