#include "lib/wire/ws_frame.h"

#define FIN 0x80u
#define RSV 0x70u
#define MASK 0x80u
#define LEN16 126u
#define LEN64 127u

static bool op_is_known(unsigned op)
{
	return op <= WS_FRAME_BINARY || (op >= WS_FRAME_CLOSE && op <= WS_FRAME_PONG);
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

int ws_frame_read(struct slice in, struct ws_frame *ret)
{
	if (in.n < 2)
		return LN_E_TRUNCATED;
	unsigned op = in.p[0] & 0x0fu;
	unsigned code = in.p[1] & ~MASK;
	size_t wide = code == LEN16 ? 2 : code == LEN64 ? 8 : 0;
	struct ws_frame f = { .op = (enum ws_frame_op)op,
			      .fin = (in.p[0] & FIN) != 0,
			      .masked = (in.p[1] & MASK) != 0,
			      .payload = code };
	f.header = 2 + wide + (f.masked ? sizeof(f.mask) : 0);
	if ((in.p[0] & RSV) != 0 || !op_is_known(op))
		return LN_E_MALFORMED;
	if (op >= WS_FRAME_CLOSE && (!f.fin || code > WS_FRAME_CONTROL_MAX))
		return LN_E_MALFORMED;
	if (in.n < f.header)
		return LN_E_TRUNCATED;
	if (wide != 0) {
		f.payload = big_endian(in.p + 2, wide);
		/* RFC 6455 5.2: the shortest form; the top bit of the longest is zero. */
		if (f.payload < (wide == 2 ? LEN16 : 0x10000u) || f.payload >> 63 != 0)
			return LN_E_MALFORMED;
	}
	if (f.masked)
		memcpy(f.mask, in.p + 2 + wide, sizeof(f.mask));
	*ret = f;
	return 0;
}

size_t ws_frame_write(uint8_t dst[WS_FRAME_HEADER_MAX], enum ws_frame_op op, size_t payload,
		      const uint8_t mask[4])
{
	size_t n = 2;
	dst[0] = (uint8_t)(FIN | (unsigned)op);
	if (payload < LEN16) {
		dst[1] = (uint8_t)payload;
	} else {
		size_t wide = payload <= 0xffff ? 2 : 8;
		dst[1] = wide == 2 ? LEN16 : LEN64;
		for (size_t i = 0; i < wide; i++)
			dst[n++] = (uint8_t)((uint64_t)payload >> (8 * (wide - 1 - i)));
	}
	if (mask != NULL) {
		dst[1] |= MASK;
		memcpy(dst + n, mask, 4);
		n += 4;
	}
	return n;
}

void ws_frame_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t mask[4])
{
	uint32_t once;
	memcpy(&once, mask, sizeof(once));
	const uint64_t twice = (uint64_t)once << 32 | once;
	size_t i = 0;
	/* Four words a turn: the compiler makes vectors of them. */
	for (; i + 32 <= n; i += 32) {
		uint64_t v[4];
		memcpy(v, src + i, sizeof(v));
		for (int k = 0; k < 4; k++)
			v[k] ^= twice;
		memcpy(dst + i, v, sizeof(v));
	}
	for (; i < n; i++)
		dst[i] = src[i] ^ mask[i & 3];
}
