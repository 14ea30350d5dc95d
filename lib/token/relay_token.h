#pragma once
/*
 * The token that opens a relay (spec relay 4.2): algorithm, HMAC-SHA256, and the second at which it
 * ends, as decimal text. It says "made by somebody who has the secret, not yet over"; it names no
 * peer and cannot be called back. Management makes it as two texts, the agent joins them to the
 * binary form, the relay checks that. The key is SHA-256 of the secret's text, never the text.
 */
#include "lib/base/b64.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"
#include "lib/crypto/digest.h"

#define RELAY_TOKEN_PAYLOAD_MIN 10 /* characters */
#define RELAY_TOKEN_PAYLOAD_MAX 137
#define RELAY_TOKEN_MAX (1 + SHA256_LEN + RELAY_TOKEN_PAYLOAD_MAX)

/* Secret: wipe it. */
struct relay_token_key {
	uint8_t b[SHA256_LEN];
};

void relay_token_key_make(struct slice secret, struct relay_token_key *ret);
void relay_token_key_wipe(struct relay_token_key *k);

/* As RelayConfig carries it. */
struct relay_token_text {
	char payload[24];
	char signature[B64_LEN(SHA256_LEN) + 1];
};

/* Valid up to and including the second of `expires`. */
void relay_token_make(const struct relay_token_key *k, ln_wall expires,
		      struct relay_token_text *ret);
/*
 * The binary form of the Auth message from the two texts, as any server sends them: the payload
 * is opaque. Its length; LN_E_MALFORMED (no such signature), LN_E_LIMIT (too long for dst or Auth).
 */
LN_MUST_CHECK int relay_token_join(struct slice payload, struct slice signature, struct mslice dst);
/*
 * Checks the binary form against every key in constant time. 0, LN_E_MALFORMED (form),
 * LN_E_UNSUPPORTED (algorithm), LN_E_AUTH (no key made it) or LN_E_STALE (over). The reason is for
 * counters; the peer never learns it (spec relay trap 21).
 */
LN_MUST_CHECK int relay_token_check(const struct relay_token_key *keys, size_t nkeys,
				    struct slice token, ln_wall now);
