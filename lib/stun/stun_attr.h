#pragma once
/*
 * STUN attributes: their numbers and the wire form of their values (RFC 8489 14, RFC 8445 16.1,
 * spec signal-and-connection 3.6). A value is the bytes between the attribute's header and its
 * padding. Values never allocate; readers point into the message.
 */
#include "lib/base/cursor.h"
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"

#define STUN_MAGIC 0x2112a442u
#define STUN_TID_LEN 12

struct stun_tid {
	uint8_t b[STUN_TID_LEN];
};

/* The attributes we understand. The number on the wire is stun_attr_type(). */
enum stun_attr {
	STUN_ATTR_MAPPED_ADDRESS,
	STUN_ATTR_USERNAME,
	STUN_ATTR_MESSAGE_INTEGRITY,
	STUN_ATTR_ERROR_CODE,
	STUN_ATTR_UNKNOWN_ATTRIBUTES,
	STUN_ATTR_REALM,
	STUN_ATTR_NONCE,
	STUN_ATTR_XOR_MAPPED_ADDRESS,
	STUN_ATTR_PRIORITY,
	STUN_ATTR_USE_CANDIDATE,
	STUN_ATTR_SOFTWARE,
	STUN_ATTR_FINGERPRINT,
	STUN_ATTR_ICE_CONTROLLED,
	STUN_ATTR_ICE_CONTROLLING,
	/* of TURN (RFC 8656 18) */
	STUN_ATTR_CHANNEL_NUMBER,
	STUN_ATTR_LIFETIME,
	STUN_ATTR_XOR_PEER_ADDRESS,
	STUN_ATTR_DATA,
	STUN_ATTR_XOR_RELAYED_ADDRESS,
	STUN_ATTR_REQUESTED_TRANSPORT,
	STUN_ATTR_PAIR_ID, /* 0x8100: "<source cid>:<destination cid>", unauthenticated upstream */
	STUN_ATTR_NOMINATION, /* 0xc001: number of a renomination (draft-thatcher-ice-renomination)
			       */
	STUN_ATTR_WAY, /* 0xfe01, ours: the word of a probe by the relay (docs/design/peer.md) */
	STUN_ATTR_COUNT
};

uint16_t stun_attr_type(enum stun_attr a);
/* STUN_ATTR_COUNT for a number that is not in the table. */
enum stun_attr stun_attr_find(uint16_t type);
/* Whether a value of this length is possible for the attribute. */
bool stun_attr_len_ok(enum stun_attr a, size_t len);

/*
 * (XOR-)MAPPED-ADDRESS. With tid null the address is read as it stands, else it is XORed with the
 * magic cookie and the transaction id. LN_E_MALFORMED.
 */
LN_MUST_CHECK int stun_attr_read_addr(struct slice value, const struct stun_tid *tid,
				      struct ip_ep *ret);
/* 8 or 20 bytes; dst holds 20. Zero for an endpoint without address. */
size_t stun_attr_addr_value(const struct ip_ep *ep, const struct stun_tid *tid, uint8_t dst[20]);
/* Code 300..699. LN_E_MALFORMED. */
LN_MUST_CHECK int stun_attr_read_error(struct slice value, unsigned *ret_code);
uint32_t stun_attr_u32(struct slice value); /* length was checked by the message reader */
uint64_t stun_attr_u64(struct slice value);
