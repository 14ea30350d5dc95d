#pragma once
/*
 * NaCl box as the control protocols use it: body = nonce (24 random bytes) | tag (16) | ciphertext
 * (spec management-protocol 2.1, signal-and-connection 1.4). Curve25519, XSalsa20-Poly1305.
 *
 * The shared key of a pair is computed once (box_key_init) and used for both directions.
 */
#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"
#include "lib/crypto/key.h"

#define BOX_NONCE_LEN 24
#define BOX_TAG_LEN 16
#define BOX_OVERHEAD (BOX_NONCE_LEN + BOX_TAG_LEN)

struct box_key {
	uint8_t k[32];
};

void box_key_wipe(struct box_key *k);
/* LN_E_AUTH when `theirs` is a low-order point. */
LN_MUST_CHECK int box_key_init(struct box_key *ret, const struct wg_secret *mine,
			       const struct wg_key *theirs);
/* Writes plain.n + BOX_OVERHEAD bytes to dst. LN_E_LIMIT when dst is smaller. Bytes written. */
LN_MUST_CHECK int box_seal(const struct box_key *k, const struct ln_rng *rng, struct slice plain,
			   struct mslice dst);
/* The plain text stands at buf.p + BOX_OVERHEAD and is sealed where it is, to all of buf. */
LN_MUST_CHECK int box_seal_in_place(const struct box_key *k, const struct ln_rng *rng,
				    struct mslice buf);
/* Same with a given nonce: for test vectors. */
LN_MUST_CHECK int box_seal_nonce(const struct box_key *k, const uint8_t nonce[BOX_NONCE_LEN],
				 struct slice plain, struct mslice dst);
/* Writes body.n - BOX_OVERHEAD bytes. LN_E_MALFORMED (shorter than 40), LN_E_LIMIT, LN_E_AUTH. */
LN_MUST_CHECK int box_open(const struct box_key *k, struct slice body, struct mslice dst);
