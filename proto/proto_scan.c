#include "proto/proto_scan.h"

#define NUMBER_MAX ((1u << 29) - 1)

static uint64_t read_varint(struct cursor *c)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t b = cursor_u8(c);
		if (c->err != 0)
			return 0;
		/* The tenth byte holds one bit. */
		if (shift == 63 && b > 1)
			break;
		v |= (uint64_t)(b & 0x7f) << shift;
		if ((b & 0x80) == 0)
			return v;
	}
	cursor_fail(c, LN_E_MALFORMED);
	return 0;
}

int proto_scan(struct cursor *c, struct proto_field *ret_field)
{
	if (c->err != 0)
		return LN_E_MALFORMED;
	if (cursor_left(c) == 0)
		return 0;
	uint64_t tag = read_varint(c);
	uint64_t number = tag >> 3;
	if (c->err != 0 || number == 0 || number > NUMBER_MAX)
		return LN_E_MALFORMED;

	struct proto_field f = { .number = (uint32_t)number };
	switch (tag & 7) {
	case PROTO_VARINT:
		f.wire = PROTO_VARINT;
		f.value = read_varint(c);
		break;
	case PROTO_FIXED64:
		f.wire = PROTO_FIXED64;
		f.value = cursor_le64(c);
		break;
	case PROTO_BYTES: {
		f.wire = PROTO_BYTES;
		uint64_t n = read_varint(c);
		if (c->err != 0 || n > cursor_left(c))
			return LN_E_MALFORMED;
		f.bytes = cursor_bytes(c, (size_t)n);
		break;
	}
	case PROTO_FIXED32:
		f.wire = PROTO_FIXED32;
		f.value = cursor_le32(c);
		break;
	default:
		return LN_E_MALFORMED;
	}
	if (c->err != 0)
		return LN_E_MALFORMED;
	*ret_field = f;
	return 1;
}

static void put_raw_varint(struct str *dst, uint64_t v)
{
	uint8_t b[10];
	size_t n = 0;
	do {
		b[n] = (uint8_t)(v & 0x7f);
		v >>= 7;
		if (v != 0)
			b[n] |= 0x80;
		n++;
	} while (v != 0);
	str_addn(dst, b, n);
}

void proto_put_varint(struct str *dst, uint32_t number, uint64_t value)
{
	put_raw_varint(dst, (uint64_t)number << 3 | PROTO_VARINT);
	put_raw_varint(dst, value);
}

void proto_put_bytes(struct str *dst, uint32_t number, struct slice bytes)
{
	put_raw_varint(dst, (uint64_t)number << 3 | PROTO_BYTES);
	put_raw_varint(dst, bytes.n);
	str_addn(dst, bytes.p, bytes.n);
}

/* Length of the sequence that begins with b and the smallest code point it may encode. */
static size_t sequence_len(uint8_t b, uint32_t *ret_min, uint32_t *ret_bits)
{
	if (b < 0x80) {
		*ret_min = 0;
		*ret_bits = b;
		return 1;
	}
	if (b >= 0xc2 && b <= 0xdf) {
		*ret_min = 0x80;
		*ret_bits = b & 0x1f;
		return 2;
	}
	if (b >= 0xe0 && b <= 0xef) {
		*ret_min = 0x800;
		*ret_bits = b & 0x0f;
		return 3;
	}
	if (b >= 0xf0 && b <= 0xf4) {
		*ret_min = 0x10000;
		*ret_bits = b & 0x07;
		return 4;
	}
	return 0;
}

bool proto_text_valid(struct slice text)
{
	for (size_t i = 0; i < text.n;) {
		uint32_t min, code;
		size_t len = sequence_len(text.p[i], &min, &code);
		if (len == 0 || len > text.n - i)
			return false;
		for (size_t k = 1; k < len; k++) {
			if ((text.p[i + k] & 0xc0) != 0x80)
				return false;
			code = code << 6 | (text.p[i + k] & 0x3f);
		}
		if (code == 0 || code < min || code > 0x10ffff ||
		    (code >= 0xd800 && code <= 0xdfff))
			return false;
		i += len;
	}
	return true;
}
