#pragma once
/*
 * Setup keys: UUIDs that admit new machines (management-protocol 3.5, trap 15; rest-api 2).
 * The text is shown once, upper case; the store keeps a digest of it. Agents send the lower-case
 * form, so every text goes through setup_key_parse() first.
 */
#include "lib/base/b64.h"
#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"
#include "lib/crypto/digest.h"

#define SETUP_KEY_TEXT 37                          /* with its zero */
#define SETUP_KEY_STORED (B64_LEN(SHA256_LEN) + 1) /* with its zero */
#define SETUP_KEY_MASKED 10                        /* five characters, "****", zero */

/* A new random (version 4) key. */
void setup_key_make(const struct ln_rng *rng, char dst[SETUP_KEY_TEXT]);
/* Canonical upper-case form of any case. LN_E_MALFORMED: not 8-4-4-4-12 hex digits. */
LN_MUST_CHECK int setup_key_parse(struct slice text, char dst[SETUP_KEY_TEXT]);
/* base64 of SHA-256 over the canonical text: what is stored and looked up. */
void setup_key_stored(const char canonical[SETUP_KEY_TEXT], char dst[SETUP_KEY_STORED]);
/* The form for lists: the first five characters and four stars. */
void setup_key_mask(const char canonical[SETUP_KEY_TEXT], char dst[SETUP_KEY_MASKED]);

struct setup_key_state {
	bool revoked;
	bool reusable;        /* false: one machine */
	ln_wall expires;      /* 0 = never */
	uint32_t usage_limit; /* reusable keys; 0 = unlimited */
	uint32_t used;        /* machines so far */
};

enum setup_key_verdict {
	SETUP_KEY_VALID,
	SETUP_KEY_REVOKED,
	SETUP_KEY_EXPIRED,
	SETUP_KEY_USED_UP,
};

/* The first reason that holds, in the order of the enumeration. */
enum setup_key_verdict setup_key_judge(const struct setup_key_state *k, ln_wall now);
/* "valid", "revoked", "expired", "overused": the words of lists. */
const char *setup_key_verdict_name(enum setup_key_verdict v);
