#pragma once
/*
 * STUN messages: header, framing, one pass over the attributes (RFC 8489 5, 14; RFC 5389 is the
 * same on the wire). A read message points into the datagram and lives as long as that.
 *
 * Upstream appends attribute 0x8100 behind FINGERPRINT and enlarges the header's length afterwards
 * (spec signal-and-connection 3.6), so nothing here demands that FINGERPRINT stands last.
 */
#include "lib/stun/stun_attr.h"

#define STUN_HEADER_LEN 20
#define STUN_MSG_MAX 1500 /* longer ones are refused: no attribute of ours needs it */
#define STUN_METHOD_BINDING 1
#define STUN_UNKNOWN_MAX 8

enum stun_class {
	STUN_REQUEST,
	STUN_INDICATION,
	STUN_SUCCESS,
	STUN_ERROR
};

struct stun_msg {
	struct slice raw;
	enum stun_class cls;
	uint16_t method;
	struct stun_tid tid;
	/* The first of each kind. RFC 8489 14.5: what follows MESSAGE-INTEGRITY is ignored, except
	 * FINGERPRINT and our unauthenticated hint 0x8100. .p is null when absent. */
	struct slice attr[STUN_ATTR_COUNT];
	/* Numbers below 0x8000 that we do not know; the first few of them. */
	uint16_t unknown[STUN_UNKNOWN_MAX];
	unsigned nunknown;
	size_t integrity_at; /* offset of the MESSAGE-INTEGRITY header; 0 when absent */
	size_t fingerprint_at;
};

/*
 * Whether a datagram on the shared port is STUN and not WireGuard (spec 4.3, the strict rule):
 * at least 20 bytes, the two top bits clear, the cookie, a length field that is a multiple of four
 * and equals the rest; and not the shape of a WireGuard message (32 bytes or more whose first
 * little-endian word is 1..4).
 */
bool stun_is_message(struct slice pkt);

/* LN_E_MALFORMED, LN_E_TRUNCATED, LN_E_LIMIT (longer than STUN_MSG_MAX). */
LN_MUST_CHECK int stun_msg_read(struct slice pkt, struct stun_msg *ret);

static inline bool stun_msg_has(const struct stun_msg *m, enum stun_attr a)
{
	return m->attr[a].p != NULL;
}

/* XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS of an old server. LN_E_NOTFOUND, LN_E_MALFORMED. */
LN_MUST_CHECK int stun_msg_mapped(const struct stun_msg *m, struct ip_ep *ret);

/*
 * Writing: begin, attributes, integrity and fingerprint (stun_auth.h), end. The header's length
 * follows every attribute, so that a MAC over what is there so far is simply a MAC.
 */
void stun_msg_begin(struct writer *w, enum stun_class cls, const struct stun_tid *tid);
/* The same for another method than Binding (TURN). */
void stun_msg_begin_method(struct writer *w, enum stun_class cls, uint16_t method,
			   const struct stun_tid *tid);
void stun_msg_add(struct writer *w, enum stun_attr a, struct slice value);
void stun_msg_add_u32(struct writer *w, enum stun_attr a, uint32_t v);
void stun_msg_add_u64(struct writer *w, enum stun_attr a, uint64_t v);
void stun_msg_add_addr(struct writer *w, enum stun_attr a, const struct ip_ep *ep,
		       const struct stun_tid *tid);
void stun_msg_add_error(struct writer *w, unsigned code, const char *reason);
/* Sets the length field to what was written plus `extra` bytes that are still to come. */
void stun_msg_set_len(struct writer *w, size_t extra);
