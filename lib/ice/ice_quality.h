#pragma once
/*
 * How good one way to the other side is, by probes with answers: the smoothed round trip and its
 * variation (as RFC 6298 2.2 and 2.3, with a quarter instead of an eighth: a probe in two seconds
 * is a rare sample), and the fate of the last 64 probes. A value, not an object; the owner says
 * when a probe was answered and when it waited too long.
 */
#include <stdint.h>

#include "lib/base/time.h"

#define ICE_QUALITY_WINDOW 64
/* An answer that takes longer is none: nobody can use such a path. */
#define ICE_QUALITY_LATE (2 * LN_SEC)

struct ice_quality {
	ln_time rtt;   /* smoothed; 0 unknown */
	ln_time var;   /* mean deviation from it */
	uint64_t lost; /* bit 0 is the newest probe: 1 it was lost */
	unsigned n;    /* probes whose fate is known, at most 64 */
	unsigned seen; /* the same without a bound, to tell new ones from old */
};

/* The sample of a probe that does not count for the loss, because an answer was not yet due. */
void ice_quality_sample(struct ice_quality *q, ln_time rtt);
void ice_quality_answered(struct ice_quality *q, ln_time rtt);
void ice_quality_lost(struct ice_quality *q);
/* Of the newest `last` probes: how many are known, and how many of those were lost. */
unsigned ice_quality_known(const struct ice_quality *q, unsigned last);
unsigned ice_quality_count_lost(const struct ice_quality *q, unsigned last);
/* And in how many rows of lost ones: an outage of a second is one, steady loss many. */
unsigned ice_quality_count_bursts(const struct ice_quality *q, unsigned last);
