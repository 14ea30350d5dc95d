#include "lib/peer/peer_conn.h"

#include <stdlib.h>

#include "lib/peer/peer_internal.h"

/* While relayed, new addresses of ours bring a retry at most this often. */
#define PEER_RETRY_EVERY (10 * LN_SEC)

const char *peer_state_name(enum peer_state s)
{
	switch (s) {
	case PEER_IDLE:
		return "Idle";
	case PEER_CONNECTING:
		return "Connecting";
	case PEER_CONNECTED:
		return "Connected";
	}
	return "Idle";
}

/* --- life --------------------------------------------------------------------------------------*/

static ln_time peer_conn_or(ln_time value, ln_time fallback)
{
	return value != 0 ? value : fallback;
}

static void peer_conn_defaults(struct peer_conn_conf *c)
{
	c->wait_srflx = peer_conn_or(c->wait_srflx, 80 * LN_MSEC);
	c->wait_prflx = peer_conn_or(c->wait_prflx, 120 * LN_MSEC);
	c->wait_relay = peer_conn_or(c->wait_relay, 2 * LN_SEC);
	c->guard_first = peer_conn_or(c->guard_first, 3 * LN_SEC);
	c->guard_reset = peer_conn_or(c->guard_reset, 800 * LN_MSEC);
	c->endpoint_delay = peer_conn_or(c->endpoint_delay, 5 * LN_SEC);
	c->repeat_after = peer_conn_or(c->repeat_after, 200 * LN_MSEC);
	c->idle_after = peer_conn_or(c->idle_after, 15 * LN_MINUTE);
	c->idle_check = peer_conn_or(c->idle_check, LN_MINUTE);
	c->watch_first = peer_conn_or(c->watch_first, 30 * LN_SEC);
	c->watch_period = peer_conn_or(c->watch_period, 210 * LN_SEC);
	c->silent_after = peer_conn_or(c->silent_after, 2800 * LN_MSEC);
	c->early_age = peer_conn_or(c->early_age, 15 * LN_SEC);
	if (c->max_early == 0)
		c->max_early = 64;
}

struct peer_conn *peer_conn_new(const struct peer_conn_conf *conf, const struct ln_rng *rng,
				ln_time now)
{
	ln_assert(conf->local != NULL && conf->noverlay <= LN_COUNT(conf->overlay));
	struct peer_conn *p = ln_alloc(sizeof(*p));
	p->conf = *conf;
	peer_conn_defaults(&p->conf);
	if (conf->version != NULL) {
		size_t n = LN_MIN(strlen(conf->version), sizeof(p->version) - 1);
		memcpy(p->version, conf->version, n);
	}
	p->conf.version = p->version;
	p->rng = rng;
	p->lazy = conf->lazy;
	p->controller = wg_key_text_cmp(&conf->own, &conf->remote) > 0;
	p->since = now;
	p->token_next = 1;
	p->guard_at = LN_TIME_NEVER;
	p->repeat_at = LN_TIME_NEVER;
	p->ep_fallback_at = LN_TIME_NEVER;
	p->watch_at = LN_TIME_NEVER;
	p->data.look_at = LN_TIME_NEVER;
	peer_quality_reset(p);
	p->idle_at = LN_TIME_NEVER;
	p->relay.look_at = p->relay.wait_at = LN_TIME_NEVER;
	peer_doubt_forget(p);
	if (!p->lazy)
		peer_conn_open(p, now);
	return p;
}

void peer_conn_free(struct peer_conn *p)
{
	if (p == NULL)
		return;
	peer_nego_fini(p);
	free(p);
}

void peer_conn_set_state(struct peer_conn *p, ln_time now, enum peer_state s)
{
	p->want_state = true;
	if (p->state == s)
		return;
	p->state = s;
	p->since = now;
}

void peer_conn_open(struct peer_conn *p, ln_time now)
{
	if (p->state != PEER_IDLE)
		return;
	peer_conn_set_state(p, now, PEER_CONNECTING);
	p->opened_at = now;
	p->heard_at = now;
	p->want_go_idle = false;
	p->watch_lost = false;
	p->path_lost = false;
	p->idle_at = p->lazy ? now + p->conf.idle_check : LN_TIME_NEVER;
	peer_nego_open(p, now);
	peer_guard_start(p, now);
}

void peer_conn_close(struct peer_conn *p, ln_time now, bool say_idle)
{
	if (p->state == PEER_IDLE)
		return;
	peer_nego_fini(p);
	peer_relay_close(p);
	p->want_offer = false;
	p->want_answer = false;
	p->want_go_idle = say_idle;
	p->want_gather = false;
	p->want_stats = false;
	p->token_inflight = 0;
	p->guard_at = LN_TIME_NEVER;
	p->repeat_at = LN_TIME_NEVER;
	p->ep_fallback_at = LN_TIME_NEVER;
	p->watch_at = LN_TIME_NEVER;
	p->data = (struct peer_data){ .look_at = LN_TIME_NEVER };
	peer_quality_reset(p);
	p->idle_at = LN_TIME_NEVER;
	peer_conn_endpoint_clear(p, true);
	peer_conn_set_state(p, now, PEER_IDLE);
}

void peer_conn_wake(struct peer_conn *p, ln_time now)
{
	p->heard_at = now;
	peer_conn_open(p, now);
	peer_guard_wanted(p, now);
}

void peer_conn_set_lazy(struct peer_conn *p, ln_time now, bool lazy)
{
	if (p->lazy == lazy)
		return;
	p->lazy = lazy;
	if (!lazy) {
		p->idle_at = LN_TIME_NEVER;
		peer_conn_open(p, now);
		return;
	}
	/* Whoever is open counts as active from now on (spec agent 2.7). */
	p->heard_at = now;
	p->idle_at = now + p->conf.idle_check;
}

/* --- inputs ------------------------------------------------------------------------------------*/

int peer_conn_signal(struct peer_conn *p, ln_time now, const struct signal_body *m)
{
	switch (m->type) {
	case SIGNAL_GO_IDLE:
		/* Only a watched, connected lazy peer obeys; nothing is sent back (spec 1.8). */
		if (!p->lazy || p->state != PEER_CONNECTED)
			return LN_E_UNSUPPORTED;
		peer_conn_close(p, now, false);
		return 0;
	case SIGNAL_OFFER:
	case SIGNAL_ANSWER:
	case SIGNAL_CANDIDATE:
		break;
	default:
		return LN_E_UNSUPPORTED;
	}
	bool was_idle = p->state == PEER_IDLE;
	p->heard_at = now;
	peer_conn_open(p, now);
	peer_guard_hurry(p, now);
	if (m->type == SIGNAL_CANDIDATE)
		return peer_nego_candidate(p, now, m->payload);
	int err = peer_nego_offer(p, now, m, m->type == SIGNAL_ANSWER);
	/* Our answer does what an offer would: the guard speaks only if nothing follows it. */
	if (err == 0 && was_idle && m->type == SIGNAL_OFFER && p->ice != NULL)
		p->guard_at = now + 500 * LN_MSEC;
	return err;
}

void peer_conn_sent(struct peer_conn *p, ln_time now, uint64_t token, bool ok)
{
	if (token == 0 || token != p->token_inflight)
		return;
	p->token_inflight = 0;
	p->offer_failed = !ok;
	if (ok)
		peer_nego_announced(p, now);
}

/* A check that came before the offer did: kept, and answered when the credentials are known. */
static int peer_conn_keep_packet(struct peer_conn *p, ln_time now, const struct ip_ep *from,
				 struct slice pkt)
{
	char name[ICE_UFRAG_MAX + 2];
	size_t n = strlen(p->cred.ufrag);
	if (n == 0 || pkt.n > PEER_EARLY_PACKET_MAX)
		return LN_E_NOTFOUND;
	memcpy(name, p->cred.ufrag, n);
	name[n] = ':';
	if (memmem(pkt.p, pkt.n, name, n + 1) == NULL)
		return LN_E_NOTFOUND;
	if (p->early_packets == NULL)
		p->early_packets = ln_calloc(PEER_EARLY_PACKETS, sizeof(*p->early_packets));
	if (p->nearly_packets == PEER_EARLY_PACKETS) {
		memmove(&p->early_packets[0], &p->early_packets[1],
			(PEER_EARLY_PACKETS - 1) * sizeof(p->early_packets[0]));
		p->nearly_packets--;
	}
	struct peer_early_packet *e = &p->early_packets[p->nearly_packets++];
	e->from = *from;
	e->at = now;
	e->n = pkt.n;
	memcpy(e->b, pkt.p, pkt.n);
	return 0;
}

int peer_conn_stun(struct peer_conn *p, ln_time now, const struct ip_ep *from, struct slice pkt)
{
	if (p->state == PEER_IDLE)
		return LN_E_NOTFOUND;
	for (unsigned i = 0; i < p->conf.noverlay; i++)
		if (ip_prefix_contains(&p->conf.overlay[i], &from->addr))
			return LN_E_NOTFOUND;
	if (p->ice == NULL)
		return peer_conn_keep_packet(p, now, from, pkt);
	int err = ice_agent_input(p->ice, now, from, pkt);
	if (err == 0)
		p->confirmed = true;
	return err == LN_E_NOTFOUND ? err : 0;
}

void peer_conn_local_changed(struct peer_conn *p, ln_time now)
{
	if (!peer_nego_sync_cands(p, now))
		return;
	if (p->ice != NULL)
		ice_agent_hurry(p->ice, now);
	if (p->relay.state != PEER_RELAY_UP || p->ice != NULL)
		return;
	p->data.refused_until = 0;
	/* Relayed, and a new address may be what was missing (spec trap 55). */
	if (p->retried_at == 0 || now - p->retried_at >= PEER_RETRY_EVERY) {
		p->retried_at = now;
		peer_guard_reset(p, now, 0);
	}
}

void peer_conn_reset_guard(struct peer_conn *p, ln_time now, bool at_once)
{
	if (p->state == PEER_IDLE)
		return;
	peer_guard_reset(p, now, at_once ? 0 : p->conf.guard_reset);
}

void peer_conn_pace(struct peer_conn *p, ln_time now, ln_time by)
{
	if (p->state == PEER_IDLE || p->guard_at > now || by <= 0)
		return;
	p->guard_at = now + by;
	p->guard_paced = true;
}

void peer_conn_restart(struct peer_conn *p, ln_time now)
{
	if (p->state == PEER_IDLE)
		return;
	p->data.refused_until = 0;
	peer_nego_end(p, now, false);
	p->want_gather = true;
	peer_guard_reset(p, now, 0);
}

void peer_conn_reconnect(struct peer_conn *p, ln_time now)
{
	/* Whoever asks does not want to wait because of what happened before. */
	p->relay.nchanged = 0;
	p->relay.covered = 0;
	if (p->state == PEER_IDLE)
		peer_conn_wake(p, now);
	else
		peer_conn_restart(p, now);
}

bool peer_conn_has_session(const struct peer_conn *p, ln_time now)
{
	return p->session_at != 0 && now - p->session_at < PEER_SESSION_LIFE;
}

void peer_conn_handshake(struct peer_conn *p, ln_time now)
{
	p->handshake_at = now;
	p->session_at = now;
	if (p->ep_fallback_at == LN_TIME_NEVER)
		return;
	/* The controller's session is there: naming the endpoint starts no second one. */
	struct ip_ep ep = peer_relay_endpoint(p);
	p->ep_fallback_at = LN_TIME_NEVER;
	if (ip_is_set(&ep.addr))
		peer_conn_endpoint_set(p, &ep, false);
}

void peer_conn_path_dead(struct peer_conn *p, ln_time now)
{
	bool had_path = peer_conn_is_direct(p);
	peer_nego_end(p, now, false);
	/* Our NAT may have another mapping for us by now: that may be what happened. */
	p->want_gather |= had_path;
	/* spec 5.4: a loss resets the guard. A first failure waits there for the next tick, which
	 * may be 9 s away: we do not. */
	if (had_path)
		peer_guard_reset(p, now, p->conf.guard_reset);
	else if (p->relay.state == PEER_RELAY_UP)
		peer_guard_failed(p, now);
	else
		p->guard_at = ln_time_min(p->guard_at, now + p->conf.guard_first);
	p->want_state = true;
}

void peer_conn_no_path(struct peer_conn *p, ln_time now, bool restarted)
{
	p->losses++;
	p->path_lost = true;
	p->watch_at = LN_TIME_NEVER;
	/* An unmodified agent forgets its session keys too (spec 5.5): ours would be talking to
	 * nobody. One of ours keeps them, and the next path carries at once. */
	peer_conn_endpoint_clear(p, restarted || p->remote_level == 0);
	peer_conn_set_state(p, now, PEER_CONNECTING);
}

/* --- WireGuard endpoint ------------------------------------------------------------------------*/

void peer_conn_endpoint_set(struct peer_conn *p, const struct ip_ep *ep, bool initiate)
{
	p->ep_fallback_at = LN_TIME_NEVER;
	p->ep_set = true;
	p->ep = *ep;
	p->ep_initiate = initiate;
}

void peer_conn_endpoint_clear(struct peer_conn *p, bool reset)
{
	p->ep_fallback_at = LN_TIME_NEVER;
	p->ep_set = false;
	p->ep_reset = reset || (p->ep_clear && p->ep_reset);
	p->ep_clear = true;
	if (reset) {
		p->session_at = 0;
		p->handshake_at = 0;
	}
}

/* --- facts -------------------------------------------------------------------------------------*/

enum peer_state peer_conn_state(const struct peer_conn *p)
{
	return p->state;
}

bool peer_conn_is_direct(const struct peer_conn *p)
{
	return p->ice != NULL && ip_is_set(&p->path.addr);
}

bool peer_conn_negotiating(const struct peer_conn *p)
{
	return p->ice != NULL;
}

void peer_conn_route(const struct peer_conn *p, struct ice_mux *m, struct ice_mux_slot *slot)
{
	ice_mux_set(m, slot, p->state == PEER_IDLE ? "" : p->cred.ufrag, p->ice);
}

void peer_conn_info(const struct peer_conn *p, struct peer_info *ret)
{
	*ret = (struct peer_info){
		.state = p->state,
		.since = p->since,
		.path = peer_relay_path(p),
		.relay_up = p->relay.state == PEER_RELAY_UP,
		.relay_url = p->relay.state == PEER_RELAY_UP ? p->relay.url : "",
		.controller = p->controller,
		.offers_sent = p->offers_sent,
		.offers_received = p->offers_received,
		.answers_received = p->answers_received,
		.negotiations = p->negotiations,
		.losses = p->losses,
		.path_changes = p->path_changes,
		.pair_changes = p->quality.pair_changes,
	};
	if (p->ice != NULL)
		ice_agent_report(p->ice, &ret->ice);
	else if (p->report_valid)
		ret->ice = p->report;
	memcpy(ret->version, p->remote_version, sizeof(ret->version));
	peer_reason_write(p, ret->reason, sizeof(ret->reason));
}
