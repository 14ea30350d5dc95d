#pragma once
/*
 * ICE candidates and credentials as values, and their text form on the signal channel
 * (spec signal-and-connection 2.10; RFC 8445 5.1, RFC 8839 5.1 without the "candidate:" prefix).
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"

#define ICE_UFRAG_MAX 64
#define ICE_PWD_MAX 256
#define ICE_CID_MAX 64
#define ICE_FOUNDATION_MAX 32
#define ICE_CAND_TEXT_MAX 512

enum ice_cand_type {
	ICE_CAND_HOST,
	ICE_CAND_SRFLX,
	ICE_CAND_PRFLX,
	ICE_CAND_RELAY
};

const char *ice_cand_type_name(enum ice_cand_type t); /* "host" ... */

struct ice_cred {
	char ufrag[ICE_UFRAG_MAX + 1]; /* we make 16 letters; accepted from 3 */
	char pwd[ICE_PWD_MAX + 1];     /* we make 32 letters; accepted from 16 */
};

struct ice_cand {
	enum ice_cand_type type;
	struct ip_ep addr;
	struct ip_ep related; /* addr.family 0 when absent */
	uint32_t priority;
	char foundation[ICE_FOUNDATION_MAX + 1];
	char ufrag[ICE_UFRAG_MAX + 1]; /* extension; "" when absent (agents up to v0.50.3) */
	char cid[ICE_CID_MAX + 1];     /* extension; "" when absent */
};

/* 16 + 32 random letters (spec 2.2). */
void ice_cred_generate(struct ice_cred *ret, const struct ln_rng *rng);
/* "<ufrag>:<pwd>". LN_E_MALFORMED unless there are exactly two parts within the limits; both empty
 * is well formed and means "no ICE": then both fields are "". */
LN_MUST_CHECK int ice_cred_parse(struct slice payload, struct ice_cred *ret);
/* Priority with type preference and the given local preference (RFC 8445 5.1.2.1). */
uint32_t ice_cand_priority(enum ice_cand_type t, uint16_t local_pref);
/* Fills foundation (CRC-32 of type, address, "udp4"/"udp6"), priority (local pref 65535) and cid.
 */
void ice_cand_init(struct ice_cand *c, enum ice_cand_type t, const struct ip_ep *addr,
		   const struct ip_ep *related, const char *ufrag, const struct ln_rng *rng);
LN_MUST_CHECK int ice_cand_parse(struct slice text, struct ice_cand *ret);
/* Characters written (without zero). */
size_t ice_cand_format(const struct ice_cand *c, char dst[ICE_CAND_TEXT_MAX]);
