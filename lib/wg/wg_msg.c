#include "lib/wg/wg_msg.h"

void wg_msg_put_le32(uint8_t b[4], uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}

void wg_msg_put_le64(uint8_t b[8], uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}

int wg_msg_type(struct slice datagram)
{
	if (datagram.n < 4)
		return LN_E_MALFORMED;
	size_t n = datagram.n;
	switch (wg_msg_le32(datagram.p)) {
	case WG_MSG_INITIATION:
		return n == WG_MSG_INITIATION_LEN ? WG_MSG_INITIATION : LN_E_MALFORMED;
	case WG_MSG_RESPONSE:
		return n == WG_MSG_RESPONSE_LEN ? WG_MSG_RESPONSE : LN_E_MALFORMED;
	case WG_MSG_COOKIE:
		return n == WG_MSG_COOKIE_LEN ? WG_MSG_COOKIE : LN_E_MALFORMED;
	case WG_MSG_DATA:
		return n >= WG_MSG_DATA_MIN ? WG_MSG_DATA : LN_E_MALFORMED;
	default: /* the three reserved bytes are part of the type */
		return LN_E_MALFORMED;
	}
}

uint32_t wg_msg_receiver(struct slice datagram)
{
	bool response = wg_msg_le32(datagram.p) == WG_MSG_RESPONSE;
	return wg_msg_le32(datagram.p + (response ? 8 : 4));
}

void wg_msg_write_data_header(uint8_t dst[WG_MSG_DATA_HEADER_LEN], uint32_t receiver,
			      uint64_t counter)
{
	wg_msg_put_le32(dst, WG_MSG_DATA);
	wg_msg_put_le32(dst + 4, receiver);
	wg_msg_put_le64(dst + 8, counter);
}

size_t wg_msg_padded(size_t inner, size_t mtu)
{
	size_t padded = (inner + WG_MSG_PAD - 1) / WG_MSG_PAD * WG_MSG_PAD;
	return padded <= mtu ? padded : LN_MAX(inner, mtu);
}

void wg_msg_write_stamp(uint8_t dst[WG_STAMP_LEN], int64_t wall)
{
	uint64_t secs = 0x400000000000000aull + (uint64_t)(wall / 1000000000);
	uint32_t nanos = (uint32_t)(wall % 1000000000);
	for (unsigned i = 0; i < 8; i++)
		dst[i] = (uint8_t)(secs >> (56 - 8 * i));
	for (unsigned i = 0; i < 4; i++)
		dst[8 + i] = (uint8_t)(nanos >> (24 - 8 * i));
}
