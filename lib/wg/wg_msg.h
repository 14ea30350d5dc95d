#pragma once
/*
 * The four messages of WireGuard (its paper, section 5.4) and every constant of the wire. The
 * structures consist of bytes only: no padding, no alignment, integers are little-endian.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/crypto/aead.h"
#include "lib/crypto/blake2s.h"
#include "lib/crypto/key.h"

enum wg_msg_type {
	WG_MSG_INITIATION = 1,
	WG_MSG_RESPONSE = 2,
	WG_MSG_COOKIE = 3,
	WG_MSG_DATA = 4,
};

#define WG_STAMP_LEN 12 /* TAI64N */
#define WG_MAC_LEN BLAKE2S_MAC_LEN
#define WG_COOKIE_LEN 16

struct wg_msg_initiation {
	uint8_t type[4];
	uint8_t sender[4];
	uint8_t ephemeral[WG_KEY_LEN];
	uint8_t remote_static[WG_KEY_LEN + AEAD_TAG_LEN];
	uint8_t stamp[WG_STAMP_LEN + AEAD_TAG_LEN];
	uint8_t mac1[WG_MAC_LEN];
	uint8_t mac2[WG_MAC_LEN];
};

struct wg_msg_response {
	uint8_t type[4];
	uint8_t sender[4];
	uint8_t receiver[4];
	uint8_t ephemeral[WG_KEY_LEN];
	uint8_t nothing[AEAD_TAG_LEN];
	uint8_t mac1[WG_MAC_LEN];
	uint8_t mac2[WG_MAC_LEN];
};

struct wg_msg_cookie {
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t nonce[AEAD_XNONCE_LEN];
	uint8_t cookie[WG_COOKIE_LEN + AEAD_TAG_LEN];
};

struct wg_msg_data_header {
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t counter[8];
};

#define WG_MSG_INITIATION_LEN 148
#define WG_MSG_RESPONSE_LEN 92
#define WG_MSG_COOKIE_LEN 64
#define WG_MSG_DATA_HEADER_LEN 16
#define WG_MSG_DATA_MIN (WG_MSG_DATA_HEADER_LEN + AEAD_TAG_LEN) /* a keepalive */
#define WG_MSG_DATA_OVERHEAD WG_MSG_DATA_MIN
#define WG_MSG_PAD 16 /* inner packets are padded to a multiple of this, but not beyond the MTU */

_Static_assert(sizeof(struct wg_msg_initiation) == WG_MSG_INITIATION_LEN, "initiation");
_Static_assert(sizeof(struct wg_msg_response) == WG_MSG_RESPONSE_LEN, "response");
_Static_assert(sizeof(struct wg_msg_cookie) == WG_MSG_COOKIE_LEN, "cookie");
_Static_assert(sizeof(struct wg_msg_data_header) == WG_MSG_DATA_HEADER_LEN, "data");

static inline uint32_t wg_msg_le32(const uint8_t b[4])
{
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t wg_msg_le64(const uint8_t b[8])
{
	return (uint64_t)wg_msg_le32(b) | (uint64_t)wg_msg_le32(b + 4) << 32;
}

void wg_msg_put_le32(uint8_t b[4], uint32_t v);
void wg_msg_put_le64(uint8_t b[8], uint64_t v);

/*
 * The type of a datagram when its first four bytes and its length agree with one of the four
 * messages (data: at least 32 bytes); otherwise LN_E_MALFORMED.
 */
LN_MUST_CHECK int wg_msg_type(struct slice datagram);
/* Index of the receiver in a response, cookie reply or data message (checked by wg_msg_type). */
uint32_t wg_msg_receiver(struct slice datagram);
/* Writes the header of a data message. */
void wg_msg_write_data_header(uint8_t dst[WG_MSG_DATA_HEADER_LEN], uint32_t receiver,
			      uint64_t counter);
/* Bytes of an inner packet after padding. */
size_t wg_msg_padded(size_t inner, size_t mtu);

/*
 * The external nature of TAI64N: seconds since 1970 plus 2^62 + 10, big-endian, then nanoseconds.
 */
void wg_msg_write_stamp(uint8_t dst[WG_STAMP_LEN], int64_t wall);
