#include "lib/ice/ice_quality.h"

#include "lib/base/err.h"

void ice_quality_sample(struct ice_quality *q, ln_time rtt)
{
	/* A clock of coarse steps may say nothing at all; 0 stands for unknown here. */
	rtt = LN_MAX(rtt, 1);
	if (q->rtt == 0) {
		q->rtt = rtt;
		q->var = rtt / 2;
		return;
	}
	ln_time off = q->rtt > rtt ? q->rtt - rtt : rtt - q->rtt;
	q->var += (off - q->var) / 4;
	q->rtt += (rtt - q->rtt) / 4;
}

static void ice_quality_note(struct ice_quality *q, bool lost)
{
	q->lost = q->lost << 1 | lost;
	q->n = LN_MIN(q->n + 1, (unsigned)ICE_QUALITY_WINDOW);
	q->seen++;
}

void ice_quality_answered(struct ice_quality *q, ln_time rtt)
{
	/* The samples before the first probe had to wait for neighbours and NATs. */
	if (q->seen == 0)
		q->rtt = 0;
	ice_quality_sample(q, rtt);
	ice_quality_note(q, false);
}

void ice_quality_lost(struct ice_quality *q)
{
	ice_quality_note(q, true);
}

unsigned ice_quality_known(const struct ice_quality *q, unsigned last)
{
	return LN_MIN(q->n, last);
}

unsigned ice_quality_count_lost(const struct ice_quality *q, unsigned last)
{
	unsigned n = ice_quality_known(q, last);
	uint64_t newest = n == ICE_QUALITY_WINDOW ? UINT64_MAX : ((uint64_t)1 << n) - 1;
	return (unsigned)__builtin_popcountll(q->lost & newest);
}

unsigned ice_quality_count_bursts(const struct ice_quality *q, unsigned last)
{
	unsigned n = ice_quality_known(q, last);
	uint64_t newest = n == ICE_QUALITY_WINDOW ? UINT64_MAX : ((uint64_t)1 << n) - 1;
	uint64_t lost = q->lost & newest;
	/* A row begins where the next older probe was not lost. */
	return (unsigned)__builtin_popcountll(lost & ~(lost >> 1));
}
