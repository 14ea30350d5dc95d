#pragma once
/* Lower-case hexadecimal text. */
#include "lib/base/err.h"
#include "lib/base/slice.h"

/* Writes 2 * src.n characters and a zero. */
void hex_encode(struct slice src, char *dst);
/* Bytes written; either case; LN_E_MALFORMED (odd or foreign characters) or LN_E_LIMIT. */
LN_MUST_CHECK int hex_decode(struct slice src, struct mslice dst);
