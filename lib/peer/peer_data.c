/*
 * Whether packets really pass, by WireGuard's own counters: the handshake watcher (spec
 * signal-and-connection 5.7), and the direct path that answers checks but carries nothing.
 */
#include "lib/peer/peer_internal.h"

/* Looks at whole multiples of this, so that one reading of the device serves many peers. */
#define PEER_DATA_LOOK (5 * LN_SEC)
#define PEER_DATA_LOOK_RESTING (10 * LN_SEC)
/* WireGuard answers what it gets within 10 s, if need be with an empty packet: three looks in a row
 * at which we have sent and nothing has come mean that it does not arrive. */
#define PEER_DATA_STALLS 3
/* Where checks are lost as well it may be chance. */
#define PEER_DATA_STALLS_LOSSY 6
/* For so long no direct path is negotiated then, doubled each time. */
#define PEER_DATA_REFUSE_FIRST (5 * LN_MINUTE)
#define PEER_DATA_REFUSE_MOST LN_HOUR
/* Between two looks: a handshake and keepalives are no traffic; of what stays without an answer
 * only the keepalives. */
#define PEER_DATA_QUIET 320
#define PEER_DATA_QUIET_UNANSWERED 64
/* After so many looks without traffic the direct path is checked seldom. */
#define PEER_DATA_QUIETS 4

/* --- handshakes -------------------------------------------------------------------------------*/

void peer_conn_watch(struct peer_conn *p, ln_time now, ln_time path_since)
{
	if (peer_conn_has_session(p, now)) {
		/* Made on an earlier path and kept: the next one is due when it is always due. */
		p->watch_baseline = 0;
		p->watch_at =
			LN_MAX(p->session_at + p->conf.watch_period, now + p->conf.watch_first);
		return;
	}
	p->watch_at = now + p->conf.watch_first;
	/* The other side may have been faster: its handshake on the new path can come before we
	 * know of it and is not an old one (spec trap 46). */
	p->watch_baseline = p->handshake_at < path_since ? p->handshake_at : 0;
}

/* A path that is up carries no WireGuard session (spec 5.7). */
static void peer_data_watch_failed(struct peer_conn *p, ln_time now)
{
	p->watch_at = LN_TIME_NEVER;
	p->session_at = 0;
	if (peer_conn_is_direct(p) && p->relay.state == PEER_RELAY_UP)
		peer_data_refuse_direct(p, now);
	else if (peer_conn_is_direct(p))
		peer_conn_path_dead(p, now);
	else
		peer_relay_end(p, now);
	p->watch_lost = true;
}

static void peer_data_watch(struct peer_conn *p, ln_time now)
{
	if (p->handshake_at == 0 || p->handshake_at == p->watch_baseline ||
	    now - p->handshake_at > p->conf.watch_period) {
		peer_data_watch_failed(p, now);
		return;
	}
	p->watch_baseline = p->handshake_at;
	p->watch_at = LN_MAX(p->handshake_at + p->conf.watch_period, now + LN_SEC);
}

/* --- packets ----------------------------------------------------------------------------------*/

bool peer_data_refuses_direct(const struct peer_conn *p, ln_time now)
{
	return now < p->data.refused_until;
}

void peer_data_refuse_direct(struct peer_conn *p, ln_time now)
{
	struct peer_data *d = &p->data;
	d->refuse_for = d->refuse_for == 0 ? PEER_DATA_REFUSE_FIRST
					   : ln_time_min(2 * d->refuse_for, PEER_DATA_REFUSE_MOST);
	d->refused_until = now + d->refuse_for;
	peer_nego_end(p, now, false);
	/* An offer without credentials: the other side leaves the direct path as well. */
	p->want_offer = true;
	peer_guard_reset(p, now, d->refuse_for);
}

static bool peer_data_lossy(const struct peer_conn *p)
{
	struct ice_report r;
	ice_agent_report(p->ice, &r);
	return peer_quality_doubtful(&r.quality);
}

/*
 * Who sends nothing loses nothing: a path without traffic is checked seldom. The first packets that
 * stay without an answer end that, see peer_doubt.c; so only where there is a second way, which the
 * device can send on at the same time, to an agent that does likewise.
 */
static void peer_data_rest(struct peer_conn *p, ln_time now, bool quiet)
{
	struct peer_data *d = &p->data;
	d->quiet = quiet ? d->quiet + 1 : 0;
	if (ice_agent_rests(p->ice)) {
		if (d->quiet == 0)
			peer_doubt_ask(p, now);
		return;
	}
	if (d->quiet >= PEER_DATA_QUIETS && !p->conf.one_way && p->remote_level != 0 &&
	    !peer_data_lossy(p))
		ice_agent_rest(p->ice, now, true);
}

static void peer_data_look(struct peer_conn *p, ln_time now, const struct peer_wg_stats *s)
{
	struct peer_data *d = &p->data;
	peer_probe_traffic(p, now, s->tx_bytes + s->rx_bytes);
	bool sent = s->tx_bytes > d->tx, received = s->rx_bytes != d->rx;
	uint64_t bytes = s->tx_bytes - d->tx + s->rx_bytes - d->rx;
	uint64_t bound = received ? PEER_DATA_QUIET : PEER_DATA_QUIET_UNANSWERED;
	d->tx = s->tx_bytes;
	d->rx = s->rx_bytes;
	/* A path that was hardly asked is asked first, before its silence counts. */
	bool rested = ice_agent_rests(p->ice);
	peer_data_rest(p, now, d->known && bytes <= bound);
	if (!d->known || received || !sent || rested)
		d->stalls = 0;
	else
		d->stalls++;
	d->known = true;
	if (received && now - p->selected_at > PEER_DATA_REFUSE_FIRST)
		d->refuse_for = 0;
	if (d->stalls < PEER_DATA_STALLS ||
	    (d->stalls < PEER_DATA_STALLS_LOSSY && peer_data_lossy(p)))
		return;
	d->stalls = 0;
	peer_data_refuse_direct(p, now);
}

/* Only where there is another way: else the handshake watcher has the word. */
static bool peer_data_judges(const struct peer_conn *p)
{
	return peer_relay_path(p) == PEER_PATH_DIRECT && p->relay.state == PEER_RELAY_UP;
}

void peer_conn_wg_stats(struct peer_conn *p, ln_time now, const struct peer_wg_stats *s)
{
	if (s->last_handshake > p->handshake_at)
		p->handshake_at = p->session_at = s->last_handshake;
	if (s->last_data_received > p->heard_at)
		p->heard_at = s->last_data_received;
	bool watch = p->stats_for_watch, idle = p->stats_for_idle, look = p->stats_for_look;
	p->stats_for_watch = p->stats_for_idle = p->stats_for_look = false;
	if (idle && p->lazy && p->state != PEER_IDLE && now - p->heard_at >= p->conf.idle_after) {
		peer_conn_close(p, now, true);
		return;
	}
	if (look && peer_data_judges(p))
		peer_data_look(p, now, s);
	if (watch && p->state == PEER_CONNECTED)
		peer_data_watch(p, now);
}

void peer_data_run(struct peer_conn *p, ln_time now)
{
	struct peer_data *d = &p->data;
	if (now >= p->watch_at) {
		p->watch_at = LN_TIME_NEVER;
		p->stats_for_watch = true;
		p->want_stats = true;
	}
	if (!peer_data_judges(p)) {
		d->look_at = LN_TIME_NEVER;
		d->known = false;
		if (p->ice != NULL)
			ice_agent_rest(p->ice, now, false);
		return;
	}
	if (now >= d->look_at) {
		p->stats_for_look = true;
		p->want_stats = true;
	}
	if (now >= d->look_at || d->look_at == LN_TIME_NEVER) {
		ln_time every = ice_agent_rests(p->ice) ? PEER_DATA_LOOK_RESTING : PEER_DATA_LOOK;
		d->look_at = (now / every + 1) * every;
	}
}
