#pragma once
/*
 * Whether another way to the other side is clearly better than the one in use. The rules are
 * functions of two measured ways; the rest is the state behind them, inside struct peer_conn:
 * probes by the relay, how long something has looked better, when the last change was.
 * For the files of lib/peer only. The numbers and their reasons: docs/design/peer.md, "Quality".
 */
#include "lib/base/ip.h"
#include "lib/ice/ice_quality.h"
#include "lib/stun/stun_attr.h"

/* --- rules -------------------------------------------------------------------------------------*/

/* The answers of `alt` come clearly sooner, and it does not lose more. */
bool peer_quality_faster(const struct ice_quality *used, const struct ice_quality *alt);
/* `alt` clearly loses less, and is not much slower. */
bool peer_quality_cleaner(const struct ice_quality *used, const struct ice_quality *alt);
/* The same for the relay in the place of a direct path, which takes much more. */
bool peer_quality_relay_faster(const struct ice_quality *direct, const struct ice_quality *relay);
bool peer_quality_relay_cleaner(const struct ice_quality *direct, const struct ice_quality *relay);
/* Something is wrong with the way in use, so that the others deserve a closer look. */
bool peer_quality_doubtful(const struct ice_quality *used);
/* The direct path lost next to nothing in its last `probes` probes. */
bool peer_quality_recovered(const struct ice_quality *direct, unsigned probes);

/* Something that must have held for a while and for a number of new probes. */
struct peer_trend {
	ln_time since;      /* 0 it does not hold */
	unsigned seen;      /* probes of the other way by then */
	struct ip_ep other; /* which one; family 0 the relay */
};

/* True when `holds` has held for that way long enough. */
bool peer_quality_trend(struct peer_trend *t, ln_time now, bool holds, const struct ip_ep *other,
			const struct ice_quality *alt);

/* --- state -------------------------------------------------------------------------------------*/

struct peer_probe { /* of the relay: a STUN request and its answer, as relay payload */
	struct ice_quality quality;
	ln_time next; /* the next probe; NEVER: the relay cannot be probed */
	ln_time sent_at;
	bool waiting, counts;
	struct stun_tid tid;
	unsigned sent;
	bool answer_due;
	struct stun_tid answer_tid;
	unsigned packets;   /* that came by the relay since the last probe */
	ln_time busy_until; /* there is traffic, by us or by the other side's word */
};

struct peer_quality {
	struct peer_probe probe;
	struct peer_trend pairs, relay;
	ln_time judged_at;
	ln_time changed_at;      /* 0 never */
	ln_time hold;            /* after the last change nothing changes again for so long */
	unsigned since_seen;     /* probes of the direct path when the relay was chosen */
	ln_time told_at;         /* the controller's last word that the relay be used */
	uint32_t word, heard;    /* number of our last word, of the other side's */
	uint64_t busy_bytes;     /* WireGuard's counters at the last look */
	ln_time reassert_at;     /* the endpoint once more, after a change of the pair */
	ln_time pair_changed_at; /* 0 never */
	unsigned pair_changes;
};
