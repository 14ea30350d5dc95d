#pragma once
/*
 * Connectivity checks on the wire: requests, answers and role-conflict errors, with attribute
 * 0x8100 in front of MESSAGE-INTEGRITY so that it is covered (spec signal-and-connection 3.6,
 * 3.11; RFC 8445 7). Stateless.
 */
#include "lib/ice/ice_cand.h"
#include "lib/stun/stun_msg.h"

#define ICE_CHECK_MAX 1280 /* a buffer of this size holds every message of ours */

struct ice_check {
	const struct ice_cred *local;
	const struct ice_cred *remote;
	bool controlling;
	bool nominate;
	uint64_t tie_breaker;
	uint32_t priority;
	uint32_t nomination; /* of a later nomination, from 1 on; 0 none */
	/* For 0x8100, which is left out when either is empty. */
	const char *own_cid;
	const char *peer_cid;
};

/* The message, inside buf. */
struct slice ice_check_write_request(struct mslice buf, const struct stun_tid *tid,
				     const struct ice_check *c);
/* Uses the local password and the two ids of c. */
struct slice ice_check_write_success(struct mslice buf, const struct stun_tid *tid,
				     const struct ip_ep *mapped, const struct ice_check *c);
struct slice ice_check_write_conflict(struct mslice buf, const struct stun_tid *tid,
				      const struct ice_check *c);

/* "<receiver ufrag>:<sender ufrag>" in two; LN_E_MALFORMED without a colon. */
LN_MUST_CHECK int ice_check_split_username(struct slice username, struct slice *ret_receiver,
					   struct slice *ret_sender);
/* The sender's id of 0x8100 (in front of the first colon); "" when absent or too long. */
void ice_check_source_cid(const struct stun_msg *m, char dst[ICE_CID_MAX + 1]);
