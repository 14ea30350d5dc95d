#pragma once
/*
 * One remote candidate and the checks to it. All local candidates of a family share one socket, so
 * a pair is told apart by its remote address only (spec signal-and-connection 3.11 no. 6).
 */
#include "lib/base/time.h"
#include "lib/ice/ice_cand.h"
#include "lib/ice/ice_quality.h"
#include "lib/stun/stun_attr.h"

#define ICE_PAIR_PENDING 16               /* transactions remembered; older ones are forgotten */
#define ICE_TRANSACTION_LIFE (4 * LN_SEC) /* spec 3.1 */

struct ice_pending {
	struct stun_tid tid;
	ln_time at;
	bool used;
	bool counts; /* for the loss: its fate is not known yet */
	bool nominate;
	bool controlling; /* the role claimed in this check */
};

struct ice_pair {
	struct ice_cand remote;
	bool inbound;          /* a valid request came from there */
	bool far;              /* private, and in no network of ours */
	bool succeeded;        /* a check was answered */
	bool use_candidate;    /* the controlling peer has nominated it */
	unsigned sent;         /* checks since the pair was made or revived: the back-off */
	bool awaiting;         /* the newest check is not answered yet */
	ln_time asked_at;      /* then: the first since the last answer */
	ln_time sent_at;       /* newest check; 0 none */
	ln_time next_check;    /* the ordinary schedule */
	ln_time slot_at;       /* selected: when its next regular check is due */
	bool early;            /* and it is to be taken before */
	bool ahead;            /* it was */
	ln_time trigger_at;    /* triggered check; NEVER when none */
	ln_time rtt;           /* 0 unknown */
	ln_time last_received; /* any accepted message */
	ln_time last_answered; /* of our checks; 0 never */
	struct ice_quality quality;
	unsigned counting;   /* pending ones that count */
	struct ip_ep mapped; /* our address as the peer saw it */
	struct ice_pending pending[ICE_PAIR_PENDING];
	unsigned next_pending;
};

void ice_pair_init(struct ice_pair *p, const struct ice_cand *remote, ln_time now);
/* RFC 8445 6.1.2.3 with upstream's factor: G of the controlling, D of the controlled side. */
uint64_t ice_pair_priority(uint32_t g, uint32_t d);
void ice_pair_sent(struct ice_pair *p, ln_time now, const struct stun_tid *tid, bool nominate,
		   bool controlling);
/* Checks that were answered, or that have waited so long that they count as lost. Only those count
 * that were sent when the pair had answered before: what a NAT swallows at first is no loss. */
void ice_pair_answered(struct ice_pair *p, ln_time now, struct ice_pending *t);
void ice_pair_expire(struct ice_pair *p, ln_time now);
/* The unanswered transaction with this id, or null; the caller clears .used to end it. */
struct ice_pending *ice_pair_find(struct ice_pair *p, ln_time now, const struct stun_tid *tid);
