#pragma once
/*
 * Digests outside of the packet path: SHA-256, HMAC-SHA256, HMAC-SHA1 (STUN), MD5 (the
 * keys of TURN credentials), CRC-32 (STUN
 * FINGERPRINT, candidate foundations) and FNV-1a. None of them can fail.
 */
#include "lib/base/slice.h"

#define SHA256_LEN 32
#define SHA1_LEN 20
#define MD5_LEN 16

void digest_sha256(struct slice data, uint8_t dst[SHA256_LEN]);
void digest_hmac_sha256(struct slice key, struct slice data, uint8_t dst[SHA256_LEN]);
void digest_hmac_sha1(struct slice key, struct slice data, uint8_t dst[SHA1_LEN]);
/* Where a format demands it: RFC 8489 9.2.2. */
void digest_md5(struct slice data, uint8_t dst[MD5_LEN]);
/* IEEE 802.3, reflected, as zlib's crc32. Start with crc = 0; feed pieces in order. */
uint32_t digest_crc32(uint32_t crc, struct slice data);
/* FNV-1a 64. Start with DIGEST_FNV_INIT. */
#define DIGEST_FNV_INIT 14695981039346656037ull
uint64_t digest_fnv1a(uint64_t h, struct slice data);
