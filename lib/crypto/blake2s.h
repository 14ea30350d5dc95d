#pragma once
/*
 * BLAKE2s (RFC 7693) in the four forms WireGuard uses (its paper, section 5.4): a hash, a keyed MAC
 * of 16 bytes, HMAC, and the key derivation of Noise built on HMAC. Outside of the packet path;
 * none of them can fail.
 */
#include "lib/base/slice.h"

#define BLAKE2S_LEN 32
#define BLAKE2S_BLOCK 64
#define BLAKE2S_MAC_LEN 16

/* Hash of a followed by b; dst may overlap either. */
void blake2s_hash(struct slice a, struct slice b, uint8_t dst[BLAKE2S_LEN]);
/* Keyed BLAKE2s with 16 bytes of output: not a truncated hash. Key of 1 to 32 bytes. */
void blake2s_mac(struct slice key, struct slice data, uint8_t dst[BLAKE2S_MAC_LEN]);
/* HMAC (RFC 2104) over BLAKE2s; key of at most one block. dst may overlap key or data. */
void blake2s_hmac(struct slice key, struct slice data, uint8_t dst[BLAKE2S_LEN]);
/*
 * KDF1..KDF3: as many outputs as there are pointers; t2 and t3 may be null, t3 only with t2.
 * Outputs may overlap key or input: they are written last.
 */
void blake2s_kdf(const uint8_t key[BLAKE2S_LEN], struct slice input, uint8_t *t1, uint8_t *t2,
		 uint8_t *t3);
