#pragma once
/*
 * What a STUN server says to one datagram (RFC 8489 6.3.1): a pure function. An answer is never
 * larger than three times the request, so that a forged source gains nothing (an IPv6 answer to a
 * bare request is 52 bytes for 20).
 */
#include "lib/base/ip.h"
#include "lib/base/slice.h"

#define STUN_ANSWER_MAX 128

enum stun_answer {
	STUN_ANSWER_NONE,        /* no message, no request, or a wrong FINGERPRINT: silence */
	STUN_ANSWER_SUCCESS,     /* XOR-MAPPED-ADDRESS */
	STUN_ANSWER_UNKNOWN_ATTR /* error 420: it demands what we do not know */
};

/* buf holds STUN_ANSWER_MAX bytes; *ret is inside it, empty for NONE. */
enum stun_answer stun_answer_write(struct slice request, const struct ip_ep *from,
				   struct mslice buf, struct slice *ret);
