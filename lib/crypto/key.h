#pragma once
/*
 * X25519 keys as WireGuard and NetBird use them.
 *
 * struct wg_key is public and may be printed; struct wg_secret (private or preshared key) may not:
 * it has no formatter but the one for the configuration file, and goes away with
 * `LN_SECRET(wg_secret) s` or wg_secret_wipe().
 */
#include "lib/base/b64.h"
#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"

#define WG_KEY_LEN 32
#define WG_KEY_TEXT (B64_KEY_LEN + 1)

struct wg_key {
	uint8_t b[WG_KEY_LEN];
};

struct wg_secret {
	uint8_t b[WG_KEY_LEN];
};

void wg_secret_wipe(struct wg_secret *s);
/* A local variable of this kind is wiped when it leaves its scope. */
#define LN_SECRET(type) LN_AUTO(type##_wipe) struct type

void wg_secret_generate(struct wg_secret *ret, const struct ln_rng *rng); /* clamped */
void wg_secret_public(const struct wg_secret *s, struct wg_key *ret);
bool wg_secret_is_zero(const struct wg_secret *s);
/* Base64 of exactly 32 bytes. LN_E_MALFORMED. */
LN_MUST_CHECK int wg_secret_parse(struct slice text, struct wg_secret *ret);
/* For the configuration file only. */
void wg_secret_write(const struct wg_secret *s, char dst[WG_KEY_TEXT]);

LN_MUST_CHECK int wg_key_parse(struct slice text, struct wg_key *ret);
void wg_key_format(const struct wg_key *k, char dst[WG_KEY_TEXT]);
bool wg_key_equal(const struct wg_key *a, const struct wg_key *b);
bool wg_key_is_zero(const struct wg_key *k);
/*
 * Order of the base64 texts, byte by byte: what decides the controller of a pair
 * (spec signal-and-connection 2.8). Not the order of the raw bytes.
 */
int wg_key_text_cmp(const struct wg_key *a, const struct wg_key *b);

/* X25519. LN_E_AUTH when the result is all zero (a low-order point). */
LN_MUST_CHECK int x25519_shared(const struct wg_secret *mine, const struct wg_key *theirs,
				struct wg_secret *ret);
