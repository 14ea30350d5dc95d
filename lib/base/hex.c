#include "lib/base/hex.h"

void hex_encode(struct slice src, char *dst)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < src.n; i++) {
		*dst++ = digits[src.p[i] >> 4];
		*dst++ = digits[src.p[i] & 15];
	}
	*dst = '\0';
}

static int digit_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hex_decode(struct slice src, struct mslice dst)
{
	if (src.n % 2 != 0)
		return LN_E_MALFORMED;
	if (src.n / 2 > dst.n)
		return LN_E_LIMIT;
	for (size_t i = 0; i < src.n; i += 2) {
		int hi = digit_of(src.p[i]);
		int lo = digit_of(src.p[i + 1]);
		if (hi < 0 || lo < 0)
			return LN_E_MALFORMED;
		dst.p[i / 2] = (uint8_t)(hi << 4 | lo);
	}
	return (int)(src.n / 2);
}
