#pragma once
/*
 * Base64, standard alphabet with padding (RFC 4648 section 4). Decoding is exact about length,
 * alphabet and padding, but tolerates set spare bits in the last character, because other
 * implementations of this protocol do (spec management-protocol 2.2).
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

/* Characters without the terminating zero for n bytes. */
#define B64_LEN(n) (((n) + 2) / 3 * 4)
#define B64_KEY_LEN 44 /* a 32-byte key */

/* Writes B64_LEN(src.n) characters and a zero; dst has room for B64_LEN(src.n) + 1. */
void b64_encode(struct slice src, char *dst);
/* Bytes written into dst; LN_E_MALFORMED, or LN_E_LIMIT when dst is too small. */
LN_MUST_CHECK int b64_decode(struct slice src, struct mslice dst);
/* Decodes text that must hold exactly n bytes. 0 or LN_E_MALFORMED. */
LN_MUST_CHECK int b64_decode_exact(struct slice src, void *dst, size_t n);
