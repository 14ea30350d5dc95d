#include "lib/token/relay_token.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/crypto/ct.h"

#define ALGO_HMAC_SHA256 1

void relay_token_key_make(struct slice secret, struct relay_token_key *ret)
{
	digest_sha256(secret, ret->b);
}

void relay_token_key_wipe(struct relay_token_key *k)
{
	ct_wipe(k, sizeof(*k));
}

static void sign(const struct relay_token_key *k, struct slice payload, uint8_t dst[SHA256_LEN])
{
	digest_hmac_sha256(slice_of(k->b, sizeof(k->b)), payload, dst);
}

void relay_token_make(const struct relay_token_key *k, ln_wall expires,
		      struct relay_token_text *ret)
{
	uint8_t sig[SHA256_LEN];
	snprintf(ret->payload, sizeof(ret->payload), "%010" PRId64, (int64_t)(expires / LN_SEC));
	sign(k, slice_str(ret->payload), sig);
	b64_encode(slice_of(sig, sizeof(sig)), ret->signature);
}

int relay_token_join(struct slice payload, struct slice signature, struct mslice dst)
{
	size_t n = 1 + SHA256_LEN + payload.n;
	if (payload.n > RELAY_TOKEN_PAYLOAD_MAX || dst.n < n)
		return LN_E_LIMIT;
	uint8_t sig[SHA256_LEN];
	int r = b64_decode_exact(signature, sig, sizeof(sig));
	if (r < 0)
		return r;
	dst.p[0] = ALGO_HMAC_SHA256;
	memcpy(dst.p + 1, sig, sizeof(sig));
	if (payload.n != 0)
		memcpy(dst.p + 1 + sizeof(sig), payload.p, payload.n);
	return (int)n;
}

/* A signed decimal number that fills the slice. */
static bool parse_seconds(struct slice s, int64_t *ret)
{
	bool negative = s.n != 0 && s.p[0] == '-';
	int64_t v = 0;
	size_t i = s.n != 0 && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
	if (i == s.n)
		return false;
	for (; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, s.p[i] - '0', &v))
			return false;
	}
	*ret = negative ? -v : v;
	return true;
}

int relay_token_check(const struct relay_token_key *keys, size_t nkeys, struct slice token,
		      ln_wall now)
{
	if (token.n < 1 + SHA256_LEN + RELAY_TOKEN_PAYLOAD_MIN || token.n > RELAY_TOKEN_MAX)
		return LN_E_MALFORMED;
	if (token.p[0] != ALGO_HMAC_SHA256)
		return LN_E_UNSUPPORTED;
	const uint8_t *sig = token.p + 1;
	struct slice payload = slice_after(token, 1 + SHA256_LEN);
	bool good = false;
	for (size_t i = 0; i < nkeys; i++) {
		uint8_t want[SHA256_LEN];
		sign(&keys[i], payload, want);
		good |= ct_equal(want, sig, sizeof(want));
		ct_wipe(want, sizeof(want));
	}
	int64_t until;
	if (!good)
		return LN_E_AUTH;
	if (!parse_seconds(payload, &until))
		return LN_E_MALFORMED;
	return now / LN_SEC > until ? LN_E_STALE : 0;
}
