/* The ways to the other side, how good they are, and when the controller takes a better one. */
#include "lib/peer/peer_internal.h"

/* The newest probes that count, and how many a verdict needs. */
#define QUALITY_RECENT 32
#define QUALITY_PROBES_FEW 3
#define QUALITY_PROBES_SOME 16
/* Lost in at least so many rows: one outage, however long, is no verdict. */
#define QUALITY_LOST 4
#define QUALITY_BURSTS 3
/* Round trips: by 30 % and 10 ms between direct paths; the relay costs others, so by 100 ms. */
#define QUALITY_FASTER_BY (10 * LN_MSEC)
#define QUALITY_RELAY_FASTER_BY (100 * LN_MSEC)
#define QUALITY_TREND (15 * LN_SEC)
/* After a change nothing changes for this long, doubled when it happens again soon. */
#define QUALITY_HOLD LN_MINUTE
/* In any case, between two changes of the pair. */
#define QUALITY_PAIR_HOLD (30 * LN_SEC)
#define QUALITY_HOLD_MOST (16 * LN_MINUTE)
#define QUALITY_HOLD_MEMORY (10 * LN_MINUTE)
#define QUALITY_JUDGE (500 * LN_MSEC)
#define QUALITY_ASKED (600 * LN_MSEC)
/* The other side follows the controller's word for so long without hearing it again. */
#define QUALITY_WORD_LIFE (25 * LN_SEC)
/* What was under way on the old pair may have turned WireGuard's endpoint back. */
#define QUALITY_REASSERT LN_SEC

/* --- rules -------------------------------------------------------------------------------------*/

/* Hundredths of a percent, of the newest probes. */
static unsigned quality_loss(const struct ice_quality *q)
{
	unsigned n = ice_quality_known(q, QUALITY_RECENT);
	return n == 0 ? 0 : 10000 * ice_quality_count_lost(q, QUALITY_RECENT) / n;
}

static bool quality_is_faster(const struct ice_quality *used, const struct ice_quality *alt,
			      ln_time by)
{
	if (used->rtt == 0 || alt->rtt == 0)
		return false;
	/* Three percentage points: one lost probe of 32 says nothing. */
	return alt->rtt * 10 <= used->rtt * 7 && used->rtt - alt->rtt >= by &&
	       quality_loss(alt) <= quality_loss(used) + 300;
}

/* Many losses, at several times. */
static bool quality_loses(const struct ice_quality *q)
{
	return ice_quality_count_lost(q, QUALITY_RECENT) >= QUALITY_LOST &&
	       ice_quality_count_bursts(q, QUALITY_RECENT) >= QUALITY_BURSTS;
}

/* If alt were as bad, two of its probes or more would have been lost; a quarter of that at most is.
 */
static bool quality_is_cleaner(const struct ice_quality *used, const struct ice_quality *alt)
{
	unsigned n = ice_quality_known(used, QUALITY_RECENT);
	unsigned lost = ice_quality_count_lost(used, QUALITY_RECENT);
	unsigned alt_n = ice_quality_known(alt, QUALITY_RECENT);
	unsigned alt_lost = ice_quality_count_lost(alt, QUALITY_RECENT);
	return alt->rtt != 0 && alt_n * lost >= 2 * n && 4 * alt_lost * n <= alt_n * lost;
}

bool peer_quality_faster(const struct ice_quality *used, const struct ice_quality *alt)
{
	return quality_is_faster(used, alt, QUALITY_FASTER_BY);
}

bool peer_quality_cleaner(const struct ice_quality *used, const struct ice_quality *alt)
{
	return quality_loses(used) && quality_is_cleaner(used, alt) &&
	       (used->rtt == 0 || alt->rtt <= 2 * used->rtt + QUALITY_RELAY_FASTER_BY);
}

bool peer_quality_relay_faster(const struct ice_quality *direct, const struct ice_quality *relay)
{
	return quality_is_faster(direct, relay, QUALITY_RELAY_FASTER_BY);
}

bool peer_quality_relay_cleaner(const struct ice_quality *direct, const struct ice_quality *relay)
{
	unsigned n = ice_quality_known(direct, QUALITY_RECENT);
	return n >= QUALITY_PROBES_SOME && quality_loses(direct) && quality_loss(direct) >= 2000 &&
	       quality_loss(relay) <= 200 && quality_is_cleaner(direct, relay);
}

bool peer_quality_doubtful(const struct ice_quality *used)
{
	return ice_quality_count_lost(used, QUALITY_PROBES_SOME) >= 2;
}

bool peer_quality_recovered(const struct ice_quality *direct, unsigned probes)
{
	return probes >= QUALITY_PROBES_SOME &&
	       ice_quality_count_lost(direct, LN_MIN(probes, QUALITY_RECENT)) <= 1;
}

bool peer_quality_trend(struct peer_trend *t, ln_time now, bool holds, const struct ip_ep *other,
			const struct ice_quality *alt)
{
	if (!holds) {
		*t = (struct peer_trend){ 0 };
		return false;
	}
	if (t->since == 0 || !ip_ep_equal(&t->other, other)) {
		*t = (struct peer_trend){ .since = now, .seen = alt->seen, .other = *other };
		return false;
	}
	return now - t->since >= QUALITY_TREND && alt->seen - t->seen >= QUALITY_PROBES_FEW;
}

/* --- changes -----------------------------------------------------------------------------------*/

static bool quality_held(const struct peer_conn *p, ln_time now)
{
	const struct peer_quality *q = &p->quality;
	return q->changed_at != 0 && now - q->changed_at < q->hold;
}

/* Between direct and relay. */
static bool quality_may_change(const struct peer_conn *p, ln_time now)
{
	return !quality_held(p, now) && peer_relay_calm(p, now);
}

static bool quality_pair_rested(const struct peer_conn *p, ln_time now)
{
	ln_time at = p->quality.pair_changed_at;
	return at == 0 || now - at >= QUALITY_PAIR_HOLD;
}

static void quality_note_change(struct peer_conn *p, ln_time now)
{
	struct peer_quality *q = &p->quality;
	bool again = q->changed_at != 0 && now - q->changed_at < q->hold + QUALITY_HOLD_MEMORY;
	q->hold = again ? ln_time_min(2 * q->hold, QUALITY_HOLD_MOST) : QUALITY_HOLD;
	q->changed_at = now;
	q->pairs = q->relay = (struct peer_trend){ 0 };
}

/* What a way costs: its round trip, and a tenth of a second for each percent it loses. */
static ln_time quality_cost(const struct ice_quality *q)
{
	return q->rtt + quality_loss(q) * LN_MSEC;
}

/* Of the pairs behind the selected one the best; 0 when there is none. */
static size_t quality_best(const struct ice_way *ways, size_t n)
{
	size_t best = 0;
	for (size_t i = 1; i < n; i++)
		if (ways[i].quality.rtt != 0 &&
		    (best == 0 ||
		     quality_cost(&ways[i].quality) < quality_cost(&ways[best].quality)))
			best = i;
	return best;
}

/*
 * The selected pair is silent, as for the relay that covers it (peer_relay.c), and another one has
 * answered when it was last asked: it is taken whatever happened before.
 */
static bool quality_judge_silence(struct peer_conn *p, ln_time now, const struct ice_way *ways,
				  size_t n)
{
	struct ice_report r;
	size_t i = quality_best(ways, n);
	ice_agent_report(p->ice, &r);
	if (i == 0 || !quality_pair_rested(p, now) || r.asked_at == 0 ||
	    now - r.asked_at < QUALITY_ASKED ||
	    now - LN_MAX(r.last_received, p->selected_at) < p->conf.silent_after ||
	    ice_quality_count_lost(&ways[i].quality, 1) != 0 ||
	    ice_agent_renominate(p->ice, now, &ways[i].pair.remote.addr) < 0)
		return false;
	quality_note_change(p, now);
	return true;
}

/* True when the direct path changes. */
static bool quality_judge_pairs(struct peer_conn *p, ln_time now, const struct ice_way *ways,
				size_t n)
{
	struct peer_quality *q = &p->quality;
	const struct ice_quality *used = &ways[0].quality;
	size_t i = quality_best(ways, n);
	if (i == 0)
		return false;
	const struct ice_quality *alt = &ways[i].quality;
	const struct ip_ep *other = &ways[i].pair.remote.addr;
	bool faster = peer_quality_faster(used, alt);
	/* While the relay carries nobody notices. */
	bool may = quality_pair_rested(p, now) && (p->relay.covers || !quality_held(p, now));
	bool close = may && (faster || peer_quality_doubtful(used));
	(void)!ice_agent_compare(p->ice, now, close ? other : NULL);
	bool better = peer_quality_trend(&q->pairs, now, faster, other, alt) ||
		      peer_quality_cleaner(used, alt);
	if (!better || !may || ice_agent_renominate(p->ice, now, other) < 0)
		return false;
	if (!p->relay.chosen)
		quality_note_change(p, now);
	q->since_seen = alt->seen;
	return true;
}

/* Another pair that may be the answer, as far as its probes go: then the relay has to wait. */
static bool quality_has_hope(const struct ice_way *ways, size_t n)
{
	const struct ice_quality *used = &ways[0].quality;
	for (size_t i = 1; i < n; i++) {
		const struct ice_quality *alt = &ways[i].quality;
		if (alt->rtt != 0 && 4 * quality_loss(alt) <= quality_loss(used) &&
		    alt->rtt <= 2 * used->rtt + QUALITY_RELAY_FASTER_BY)
			return true;
	}
	return false;
}

static void quality_judge_relay(struct peer_conn *p, ln_time now, const struct ice_way *ways,
				size_t n)
{
	static const struct ip_ep by_relay = { 0 };
	struct peer_quality *q = &p->quality;
	const struct ice_quality *direct = &ways[0].quality, *relay = &q->probe.quality;
	bool faster = peer_quality_relay_faster(direct, relay);
	if (peer_quality_doubtful(direct))
		(void)peer_probe_sooner(p, now);
	bool better = peer_quality_trend(&q->relay, now, faster, &by_relay, relay) ||
		      peer_quality_relay_cleaner(direct, relay);
	if (p->relay.state != PEER_RELAY_UP || !better || quality_has_hope(ways, n) ||
	    !quality_may_change(p, now))
		return;
	quality_note_change(p, now);
	q->since_seen = direct->seen;
	peer_relay_choose(p, now);
	peer_probe_hurry(p, now);
}

static void quality_judge_return(struct peer_conn *p, ln_time now, const struct ice_quality *direct)
{
	struct peer_quality *q = &p->quality;
	if (!quality_may_change(p, now) ||
	    !peer_quality_recovered(direct, direct->seen - q->since_seen) ||
	    peer_quality_relay_faster(direct, &q->probe.quality))
		return;
	quality_note_change(p, now);
	peer_relay_unchoose(p, now);
	peer_probe_hurry(p, now);
}

static void quality_judge(struct peer_conn *p, ln_time now)
{
	struct peer_quality *q = &p->quality;
	struct ice_way ways[PEER_WAYS_MAX];
	if (p->relay.chosen && !p->controller && now - q->told_at >= QUALITY_WORD_LIFE)
		peer_relay_unchoose(p, now);
	if (!p->controller || p->remote_level < PEER_LEVEL_QUALITY || !peer_conn_is_direct(p))
		return;
	/* Most peers have one way and nothing to choose from. */
	if (p->relay.state != PEER_RELAY_UP && !ice_agent_has_choice(p->ice))
		return;
	size_t n = ice_agent_ways(p->ice, ways, LN_COUNT(ways));
	if (n == 0)
		return;
	if (quality_judge_silence(p, now, ways, n) || quality_judge_pairs(p, now, ways, n))
		return;
	if (p->relay.chosen)
		quality_judge_return(p, now, &ways[0].quality);
	else if (!p->relay.covers)
		quality_judge_relay(p, now, ways, n);
}

void peer_quality_told(struct peer_conn *p, ln_time now, uint32_t number, bool by_relay)
{
	struct peer_quality *q = &p->quality;
	if (p->controller || number <= q->heard)
		return;
	q->heard = number;
	q->told_at = now;
	if (by_relay && !p->relay.chosen && peer_conn_is_direct(p))
		peer_relay_choose(p, now);
	else if (!by_relay && p->relay.chosen)
		peer_relay_unchoose(p, now);
}

void peer_quality_pair_changed(struct peer_conn *p, ln_time now)
{
	p->quality.pair_changes++;
	p->quality.pair_changed_at = now;
	/* The silence was that of the old one. */
	p->data.stalls = 0;
	if (p->relay.covers && !p->relay.chosen)
		p->relay.covers_until = now;
	p->quality.reassert_at = now + QUALITY_REASSERT;
}

void peer_quality_reset(struct peer_conn *p)
{
	p->quality =
		(struct peer_quality){ .probe.next = LN_TIME_NEVER, .reassert_at = LN_TIME_NEVER };
}

void peer_quality_run(struct peer_conn *p, ln_time now)
{
	struct peer_quality *q = &p->quality;
	if (p->state == PEER_IDLE)
		return;
	peer_probe_run(p, now);
	if (now >= q->reassert_at) {
		q->reassert_at = LN_TIME_NEVER;
		if (peer_relay_path(p) == PEER_PATH_DIRECT)
			peer_conn_endpoint_set(p, &p->path, false);
	}
	if (now - q->judged_at < QUALITY_JUDGE)
		return;
	q->judged_at = now;
	quality_judge(p, now);
}

/* Judging has no time of its own: there is news only after a check or a probe. */
ln_time peer_quality_deadline(const struct peer_conn *p)
{
	return p->state == PEER_IDLE ? LN_TIME_NEVER
				     : ln_time_min(p->quality.probe.next, p->quality.reassert_at);
}

/* --- what others see ---------------------------------------------------------------------------*/

size_t peer_conn_ways(const struct peer_conn *p, struct peer_way dst[PEER_WAYS_MAX])
{
	struct ice_way pairs[PEER_WAYS_MAX - 1];
	size_t n = 0, npairs = 0;
	enum peer_path path = peer_relay_path(p);
	if (p->ice != NULL)
		npairs = ice_agent_ways(p->ice, pairs, LN_COUNT(pairs));
	for (size_t i = 0; i < npairs; i++)
		dst[n++] = (struct peer_way){
			.path = PEER_PATH_DIRECT,
			.pair = pairs[i].pair,
			.quality = pairs[i].quality,
			.used = path == PEER_PATH_DIRECT && pairs[i].selected,
		};
	if (p->relay.state == PEER_RELAY_UP)
		dst[n++] = (struct peer_way){
			.path = PEER_PATH_RELAY,
			.quality = p->quality.probe.quality,
			.used = path == PEER_PATH_RELAY,
		};
	return n;
}
