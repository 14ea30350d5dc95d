#include "lib/stun/stun_attr.h"

/* RFC 8489 14.3: USERNAME is at most 508 bytes; 14.9, 14.10: REALM and NONCE at most 763. */
static const struct attr_row {
	uint16_t type;
	uint16_t min;
	uint16_t max;
} attr_rows[STUN_ATTR_COUNT] = {
	[STUN_ATTR_MAPPED_ADDRESS] = { 0x0001, 8, 20 },
	[STUN_ATTR_USERNAME] = { 0x0006, 1, 513 },
	[STUN_ATTR_MESSAGE_INTEGRITY] = { 0x0008, 20, 20 },
	[STUN_ATTR_ERROR_CODE] = { 0x0009, 4, 767 },
	[STUN_ATTR_UNKNOWN_ATTRIBUTES] = { 0x000a, 0, 767 },
	[STUN_ATTR_REALM] = { 0x0014, 0, 763 },
	[STUN_ATTR_NONCE] = { 0x0015, 0, 763 },
	[STUN_ATTR_XOR_MAPPED_ADDRESS] = { 0x0020, 8, 20 },
	[STUN_ATTR_PRIORITY] = { 0x0024, 4, 4 },
	[STUN_ATTR_USE_CANDIDATE] = { 0x0025, 0, 0 },
	[STUN_ATTR_SOFTWARE] = { 0x8022, 0, 763 },
	[STUN_ATTR_FINGERPRINT] = { 0x8028, 4, 4 },
	[STUN_ATTR_ICE_CONTROLLED] = { 0x8029, 8, 8 },
	[STUN_ATTR_ICE_CONTROLLING] = { 0x802a, 8, 8 },
	[STUN_ATTR_CHANNEL_NUMBER] = { 0x000c, 4, 4 },
	[STUN_ATTR_LIFETIME] = { 0x000d, 4, 4 },
	[STUN_ATTR_XOR_PEER_ADDRESS] = { 0x0012, 8, 20 },
	[STUN_ATTR_DATA] = { 0x0013, 0, 1500 },
	[STUN_ATTR_XOR_RELAYED_ADDRESS] = { 0x0016, 8, 20 },
	[STUN_ATTR_REQUESTED_TRANSPORT] = { 0x0019, 4, 4 },
	[STUN_ATTR_PAIR_ID] = { 0x8100, 0, 256 },
	[STUN_ATTR_NOMINATION] = { 0xc001, 4, 4 },
	[STUN_ATTR_WAY] = { 0xfe01, 4, 4 },
};

uint16_t stun_attr_type(enum stun_attr a)
{
	return attr_rows[a].type;
}

enum stun_attr stun_attr_find(uint16_t type)
{
	for (unsigned i = 0; i < STUN_ATTR_COUNT; i++)
		if (attr_rows[i].type == type)
			return (enum stun_attr)i;
	return STUN_ATTR_COUNT;
}

bool stun_attr_len_ok(enum stun_attr a, size_t len)
{
	return len >= attr_rows[a].min && len <= attr_rows[a].max;
}

/* RFC 8489 14.2: IPv4 is XORed with the cookie, IPv6 with cookie and transaction id. */
static void xor_addr(uint8_t *addr, size_t n, const struct stun_tid *tid)
{
	uint8_t mask[16] = { 0x21, 0x12, 0xa4, 0x42 };
	memcpy(mask + 4, tid->b, STUN_TID_LEN);
	for (size_t i = 0; i < n; i++)
		addr[i] ^= mask[i];
}

int stun_attr_read_addr(struct slice value, const struct stun_tid *tid, struct ip_ep *ret)
{
	struct cursor c = cursor_of(value);
	uint8_t addr[16];
	struct ip_ep ep = { 0 };

	cursor_skip(&c, 1);
	uint8_t family = cursor_u8(&c);
	ep.port = cursor_u16(&c);
	size_t n = family == 1 ? 4 : 16;
	cursor_copy(&c, addr, n);
	if (cursor_done(&c) != 0 || (family != 1 && family != 2))
		return LN_E_MALFORMED;
	if (tid != NULL) {
		ep.port ^= STUN_MAGIC >> 16;
		xor_addr(addr, n, tid);
	}
	if (ip_from_bytes(slice_of(addr, n), &ep.addr) != 0)
		return LN_E_MALFORMED;
	*ret = ep;
	return 0;
}

size_t stun_attr_addr_value(const struct ip_ep *ep, const struct stun_tid *tid, uint8_t dst[20])
{
	size_t n = ip_bits(&ep->addr) / 8;
	uint16_t port = ep->port;
	if (n == 0)
		return 0;
	if (tid != NULL)
		port ^= STUN_MAGIC >> 16;
	dst[0] = 0;
	dst[1] = n == 4 ? 1 : 2;
	dst[2] = (uint8_t)(port >> 8);
	dst[3] = (uint8_t)port;
	memcpy(dst + 4, ep->addr.b, n);
	if (tid != NULL)
		xor_addr(dst + 4, n, tid);
	return 4 + n;
}

int stun_attr_read_error(struct slice value, unsigned *ret_code)
{
	if (value.n < 4)
		return LN_E_MALFORMED;
	unsigned hundreds = value.p[2] & 7;
	unsigned rest = value.p[3];
	if (hundreds < 3 || hundreds > 6 || rest > 99)
		return LN_E_MALFORMED;
	*ret_code = hundreds * 100 + rest;
	return 0;
}

uint32_t stun_attr_u32(struct slice value)
{
	struct cursor c = cursor_of(value);
	return cursor_u32(&c);
}

uint64_t stun_attr_u64(struct slice value)
{
	struct cursor c = cursor_of(value);
	return cursor_u64(&c);
}
