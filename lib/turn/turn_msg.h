#pragma once
/*
 * The messages of TURN that are not plain STUN (RFC 8656 12, 16 to 18): requests with long-term
 * credentials, and ChannelData. Over a stream every message ends on a multiple of four bytes.
 */
#include "lib/stun/stun_msg.h"

#define TURN_CHANNEL_FIRST 0x4000u
#define TURN_CHANNEL_LAST 0x4fffu
#define TURN_CHANNEL_HEADER 4
#define TURN_DATA_MAX 1400 /* of one datagram: with any header it fits a STUN message */
#define TURN_KEY_LEN 16

enum turn_method {
	TURN_ALLOCATE = 3,
	TURN_REFRESH = 4,
	TURN_SEND = 6,
	TURN_DATA = 7,
	TURN_PERMIT = 8,
	TURN_BIND = 9
};

/* Of the long-term credential mechanism: MD5(user ":" realm ":" password) (RFC 8489 9.2.2). */
void turn_msg_key(struct slice user, struct slice realm, struct slice password,
		  uint8_t ret[TURN_KEY_LEN]);

/*
 * The length on the stream of the message at the front: 0 while more bytes are needed to know;
 * LN_E_MALFORMED when it is neither STUN nor ChannelData, LN_E_LIMIT when no message of ours is
 * so long.
 */
LN_MUST_CHECK int turn_msg_stream_len(struct slice in);
/* LN_E_NOTFOUND: not ChannelData. LN_E_TRUNCATED. Padding behind it is fine. */
LN_MUST_CHECK int turn_msg_read_channel(struct slice msg, uint16_t *ret_channel,
					struct slice *ret_data);
/* pad: for a stream. Empty when it does not fit. */
struct slice turn_msg_write_channel(struct mslice buf, uint16_t channel, struct slice data,
				    bool pad);
/* A Send indication. Empty when it does not fit. */
struct slice turn_msg_write_send(struct mslice buf, const struct stun_tid *tid,
				 const struct ip_ep *to, struct slice data);
/* A Data indication. LN_E_MALFORMED. */
LN_MUST_CHECK int turn_msg_read_data(const struct stun_msg *m, struct ip_ep *ret_from,
				     struct slice *ret_data);
