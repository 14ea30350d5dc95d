#include "lib/base/b64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void b64_encode(struct slice src, char *dst)
{
	size_t i = 0;
	for (; i + 3 <= src.n; i += 3) {
		uint32_t v = (uint32_t)src.p[i] << 16 | (uint32_t)src.p[i + 1] << 8 | src.p[i + 2];
		*dst++ = alphabet[v >> 18];
		*dst++ = alphabet[v >> 12 & 63];
		*dst++ = alphabet[v >> 6 & 63];
		*dst++ = alphabet[v & 63];
	}
	if (i < src.n) {
		bool two = i + 1 < src.n;
		uint32_t v = (uint32_t)src.p[i] << 16 | (two ? (uint32_t)src.p[i + 1] << 8 : 0);
		*dst++ = alphabet[v >> 18];
		*dst++ = alphabet[v >> 12 & 63];
		*dst++ = two ? alphabet[v >> 6 & 63] : '=';
		*dst++ = '=';
	}
	*dst = '\0';
}

/* 0..63, or -1 for a character outside of the alphabet. */
static int value_of(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

int b64_decode(struct slice src, struct mslice dst)
{
	if (src.n % 4 != 0)
		return LN_E_MALFORMED;
	size_t pad = 0;
	while (pad < 2 && pad < src.n && src.p[src.n - 1 - pad] == '=')
		pad++;
	size_t len = src.n / 4 * 3 - pad;
	if (len > dst.n)
		return LN_E_LIMIT;
	size_t out = 0;
	for (size_t i = 0; i < src.n; i += 4) {
		uint32_t v = 0;
		for (size_t k = 0; k < 4; k++) {
			bool padding = i + k >= src.n - pad;
			int d = padding ? 0 : value_of(src.p[i + k]);
			if (d < 0)
				return LN_E_MALFORMED;
			v = v << 6 | (uint32_t)d;
		}
		for (unsigned k = 0; k < 3 && out < len; k++)
			dst.p[out++] = (uint8_t)(v >> (16 - 8 * k));
	}
	return (int)len;
}

int b64_decode_exact(struct slice src, void *dst, size_t n)
{
	uint8_t tmp[256];
	if (n > sizeof(tmp) || src.n != B64_LEN(n))
		return LN_E_MALFORMED;
	int len = b64_decode(src, mslice_of(tmp, sizeof(tmp)));
	if (len < 0 || (size_t)len != n)
		return LN_E_MALFORMED;
	memcpy(dst, tmp, n);
	explicit_bzero(tmp, sizeof(tmp));
	return 0;
}
