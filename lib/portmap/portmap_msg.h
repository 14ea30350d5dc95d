#pragma once
/*
 * Messages between a host and its gateway on UDP port 5351: PCP (RFC 6887, version 2) and NAT-PMP
 * (RFC 6886, version 0), as far as mapping one UDP port needs them. Pure functions.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"

#define PORTMAP_SERVER_PORT 5351
#define PORTMAP_MSG_MAX 60 /* of what we send */
#define PORTMAP_NONCE_LEN 12

enum portmap_kind {
	PORTMAP_PCP_ANNOUNCE,
	PORTMAP_PCP_MAP,
	PORTMAP_PMP_ADDRESS,
	PORTMAP_PMP_MAP
};

enum { /* result codes we act on; every other one but 0 is a refusal */
	PORTMAP_OK = 0,
	PORTMAP_UNSUPP_VERSION = 1 /* in both protocols */
};

struct portmap_request {
	enum portmap_kind kind;
	struct ip_addr client; /* PCP: source address of the request */
	uint8_t nonce[PORTMAP_NONCE_LEN];
	uint16_t port;       /* ours */
	struct ip_ep wanted; /* port 0 and family 0: any */
	uint32_t lifetime;   /* seconds; 0 deletes */
};

struct portmap_answer {
	enum portmap_kind kind;
	bool other_version; /* the gateway speaks the other protocol only; the rest is unset */
	uint16_t result;
	uint32_t epoch;    /* seconds since the gateway forgot its mappings */
	uint32_t lifetime; /* of a mapping, or how long an error lasts (PCP) */
	uint8_t nonce[PORTMAP_NONCE_LEN];
	uint16_t port;       /* ours */
	struct ip_ep mapped; /* NAT-PMP tells the address (port 0) and the port (family 0) apart */
};

/* Length written, at most PORTMAP_MSG_MAX. */
size_t portmap_msg_write(const struct portmap_request *q, uint8_t dst[PORTMAP_MSG_MAX]);
/* LN_E_TRUNCATED, LN_E_MALFORMED, LN_E_UNSUPPORTED for opcodes we never send. */
LN_MUST_CHECK int portmap_msg_read(struct slice pkt, struct portmap_answer *ret);
