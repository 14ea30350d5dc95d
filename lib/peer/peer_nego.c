/*
 * Negotiations: what an offer or answer does to the ICE agent (spec signal-and-connection 5.8),
 * candidates in both directions (2.10), and what a selected or lost path means for WireGuard (5.6).
 */
#include <stdlib.h>

#include "lib/crypto/ct.h"
#include "lib/peer/peer_internal.h"

/* A changed session of the same credentials soon after the start is a peer in step with us. */
#define PEER_NEGO_SETTLE (3 * LN_SEC)
/* Candidates sent at most this long ago are not sent again because of another answer. */
#define PEER_NEGO_RECENT (150 * LN_MSEC)
/* WireGuard repeats an initiation after this time (Rekey-Timeout). */
#define PEER_NEGO_HANDSHAKE (5 * LN_SEC)
/* An offer overtaken by its candidates comes within this time, or it is lost. */
#define PEER_NEGO_OVERTAKEN (500 * LN_MSEC)

/*
 * When candidates are sent again: first because of an agent that was still being made when they
 * came and dropped them (spec 2.10); then, as long as the other side has not shown by a check that
 * it knows any, because the signal service loses messages without a word (spec 1.5).
 */
static const ln_time peer_nego_repeats[] = { 0 /* conf.repeat_after */, LN_SEC, 3 * LN_SEC };

/* --- local candidates ------------------------------------------------------------------------- */

static struct peer_cand *peer_nego_find_cand(struct peer_conn *p, const struct ip_ep *ep)
{
	for (unsigned i = 0; i < p->ncands; i++)
		if (ip_ep_equal(&p->cands[i].c.addr, ep))
			return &p->cands[i];
	return NULL;
}

static struct peer_cand *peer_nego_cand_slot(struct peer_conn *p)
{
	if (p->ncands < p->cap_cands)
		return &p->cands[p->ncands++];
	if (p->ncands < PEER_CANDS_MAX) {
		unsigned cap = LN_MIN(p->cap_cands + PEER_CANDS_STEP, PEER_CANDS_MAX);
		struct peer_cand *v = ln_calloc(cap, sizeof(*v));
		if (p->ncands > 0)
			memcpy(v, p->cands, p->ncands * sizeof(*v));
		free(p->cands);
		p->cands = v;
		p->cap_cands = cap;
		return &p->cands[p->ncands++];
	}
	for (unsigned i = 0; i < p->ncands; i++)
		if (p->cands[i].gone)
			return &p->cands[i];
	return NULL;
}

/* True when the address is new. */
static bool peer_nego_add_cand(struct peer_conn *p, ln_time now, enum ice_cand_type type,
			       const struct ip_ep *ep, const struct ip_ep *related)
{
	struct peer_cand *c = peer_nego_find_cand(p, ep);
	if (c != NULL) {
		bool back = c->gone;
		c->gone = false;
		return back && !c->seen;
	}
	c = peer_nego_cand_slot(p);
	if (c == NULL)
		return false;
	*c = (struct peer_cand){ .due = true };
	ice_cand_init(&c->c, type, ep, related, p->cred.ufrag, p->rng);
	if (p->ice != NULL)
		(void)ice_agent_add_local(p->ice, now, &c->c);
	return true;
}

bool peer_nego_sync_cands(struct peer_conn *p, ln_time now)
{
	bool found = false;
	if (p->state == PEER_IDLE)
		return false;
	const struct peer_local *l = p->conf.local;
	for (unsigned i = 0; i < p->ncands; i++) {
		p->cands[i].seen = !p->cands[i].gone;
		p->cands[i].gone = true;
	}
	for (unsigned i = 0; i < l->nhosts; i++)
		found |= peer_nego_add_cand(p, now, ICE_CAND_HOST, &l->hosts[i], NULL);
	/* Other agents name the unspecified address of their socket here (spec 2.10). */
	struct ip_ep base = { .addr = ip_v4(0), .port = l->wg_port };
	for (unsigned i = 0; i < l->nsrflx; i++)
		found |= peer_nego_add_cand(p, now, ICE_CAND_SRFLX, &l->srflx[i], &base);
	/* TURN only where no relay can carry (spec relay 18). */
	bool no_relay = l->relay_url[0] == '\0' ||
			(p->relay.heard_at != 0 && p->relay.remote_url[0] == '\0');
	if (ip_is_set(&l->relayed.addr) && no_relay)
		found |= peer_nego_add_cand(p, now, ICE_CAND_RELAY, &l->relayed, &base);
	return found;
}

const struct ice_cand *peer_nego_next_cand(struct peer_conn *p, ln_time now)
{
	if (!p->announced || p->token_inflight != 0 || peer_data_refuses_direct(p, now))
		return NULL;
	for (unsigned i = 0; i < p->ncands; i++) {
		struct peer_cand *c = &p->cands[i];
		if (!c->due || c->gone)
			continue;
		c->due = false;
		c->sent_at = now;
		return &c->c;
	}
	return NULL;
}

void peer_nego_announced(struct peer_conn *p, ln_time now)
{
	p->announced = true;
	for (unsigned i = 0; i < p->ncands; i++) {
		struct peer_cand *c = &p->cands[i];
		if (c->sent_at == 0 || now - c->sent_at > PEER_NEGO_RECENT)
			c->due = true;
	}
	p->repeats = 0;
	p->repeat_at = now + p->conf.repeat_after;
}

void peer_nego_run(struct peer_conn *p, ln_time now)
{
	if (now < p->repeat_at)
		return;
	p->repeat_at = LN_TIME_NEVER;
	if (p->state == PEER_IDLE || peer_conn_is_direct(p))
		return;
	struct ice_report r = { 0 };
	if (p->ice != NULL)
		ice_agent_report(p->ice, &r);
	if (p->repeats > 0 && r.checks_received + r.checks_answered > 0)
		return;
	if (++p->repeats < LN_COUNT(peer_nego_repeats))
		p->repeat_at = now + peer_nego_repeats[p->repeats];
	for (unsigned i = 0; i < p->ncands; i++)
		p->cands[i].due = true;
}

/* --- sessions ----------------------------------------------------------------------------------*/

/* Everything is unsaid again: the other side will make a new agent for the new session. */
static void peer_nego_new_session(struct peer_conn *p)
{
	rng_fill(p->rng, p->session, sizeof(p->session));
	p->announced = false;
	p->repeat_at = LN_TIME_NEVER;
	for (unsigned i = 0; i < p->ncands; i++) {
		p->cands[i].sent_at = 0;
		p->cands[i].due = true;
	}
}

void peer_nego_open(struct peer_conn *p, ln_time now)
{
	ice_cred_generate(&p->cred, p->rng);
	p->ncands = 0;
	p->remote_without_ice = false;
	p->report_valid = false;
	p->unanswered = 0;
	peer_nego_new_session(p);
	(void)peer_nego_sync_cands(p, now);
	p->want_gather = true;
}

static void peer_nego_drop_agent(struct peer_conn *p)
{
	if (p->ice == NULL)
		return;
	ice_agent_report(p->ice, &p->report);
	p->report_valid = true;
	ice_agent_budget(p->ice, &p->budget);
	ice_agent_free(p->ice);
	p->ice = NULL;
	p->has_remote_session = false;
	p->confirmed = false;
	p->path = (struct ip_ep){ 0 };
}

void peer_nego_fini(struct peer_conn *p)
{
	peer_nego_drop_agent(p);
	free(p->early);
	p->early = NULL;
	p->nearly = 0;
	free(p->early_packets);
	p->early_packets = NULL;
	p->nearly_packets = 0;
	free(p->cands);
	p->cands = NULL;
	p->ncands = p->cap_cands = 0;
	ct_wipe(&p->cred, sizeof(p->cred));
	ct_wipe(&p->remote_cred, sizeof(p->remote_cred));
}

void peer_nego_end(struct peer_conn *p, ln_time now, bool restarted)
{
	bool direct = peer_conn_is_direct(p);
	peer_nego_drop_agent(p);
	peer_nego_new_session(p);
	if (direct)
		p->ep_fallback_at = LN_TIME_NEVER;
	if (!direct && !restarted)
		return;
	if (peer_relay_take_over(p, now, restarted))
		return;
	if (direct)
		peer_conn_no_path(p, now, restarted);
	else
		peer_conn_endpoint_clear(p, true);
}

static struct ice_agent *peer_nego_make_agent(struct peer_conn *p, ln_time now)
{
	struct ice_agent_conf c = {
		.controlling = p->controller,
		.local = p->cred,
		.check_interval = p->conf.check_interval,
		.disconnect_after = p->conf.disconnect_after,
		.fail_after = p->conf.fail_after,
		.wait_srflx = p->conf.wait_srflx,
		.wait_prflx = p->conf.wait_prflx,
		.wait_relay = p->conf.wait_relay,
		.budget = p->budget,
		.noverlay = p->conf.noverlay,
		.renominate = p->remote_level >= PEER_LEVEL_QUALITY,
	};
	memcpy(c.overlay, p->conf.overlay, sizeof(c.overlay));
	struct ice_agent *a = ice_agent_new(&c, p->rng, now);
	ct_wipe(&c.local, sizeof(c.local));
	for (unsigned i = 0; i < p->ncands; i++)
		if (!p->cands[i].gone)
			(void)ice_agent_add_local(a, now, &p->cands[i].c);
	return a;
}

/* --- candidates of the other side --------------------------------------------------------------*/

static void peer_nego_add_remote(struct peer_conn *p, ln_time now, const struct ice_cand *c)
{
	p->confirmed = true;
	/* An address that is new may be the one that was missing. */
	if (ice_agent_add_remote(p->ice, now, c) == 0)
		ice_agent_hurry(p->ice, now);
	/* A router may forward the WireGuard port itself (spec 2.10). Agents that know no cid
	 * signal that candidate themselves. */
	if (c->type != ICE_CAND_SRFLX || c->cid[0] == '\0' || c->related.port == 0 ||
	    c->related.port == c->addr.port)
		return;
	struct ip_ep ep = { .addr = c->addr.addr, .port = c->related.port };
	struct ice_cand extra;
	ice_cand_init(&extra, ICE_CAND_SRFLX, &ep, &c->related, c->ufrag, p->rng);
	(void)ice_agent_add_remote(p->ice, now, &extra);
}

static bool peer_nego_cand_is_current(const struct peer_conn *p, const struct ice_cand *c)
{
	return p->ice != NULL &&
	       (c->ufrag[0] == '\0' || strcmp(c->ufrag, p->remote_cred.ufrag) == 0);
}

static int peer_nego_keep_early(struct peer_conn *p, ln_time now, const struct ice_cand *c)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < p->nearly; i++)
		if (now - p->early[i].at <= p->conf.early_age)
			p->early[kept++] = p->early[i];
	p->nearly = kept;
	if (p->nearly >= p->conf.max_early)
		return LN_E_LIMIT;
	if (p->early == NULL)
		p->early = ln_calloc(p->conf.max_early, sizeof(*p->early));
	p->early[p->nearly++] = (struct peer_early_cand){ .c = *c, .at = now };
	/* The other side has made an offer that did not arrive: ours needs not wait. */
	if (p->ice == NULL && p->unanswered > 0)
		p->guard_at = ln_time_min(p->guard_at, now + PEER_NEGO_OVERTAKEN);
	return 0;
}

int peer_nego_candidate(struct peer_conn *p, ln_time now, struct slice text)
{
	struct ice_cand c;
	int err = ice_cand_parse(text, &c);
	if (err < 0)
		return err;
	if (!peer_nego_cand_is_current(p, &c))
		return peer_nego_keep_early(p, now, &c);
	peer_nego_add_remote(p, now, &c);
	return 0;
}

/* What came before the credentials did: candidates, and checks of a peer that was faster. */
static void peer_nego_use_early(struct peer_conn *p, ln_time now)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < p->nearly; i++) {
		struct peer_early_cand *e = &p->early[i];
		if (now - e->at > p->conf.early_age)
			continue;
		if (peer_nego_cand_is_current(p, &e->c))
			peer_nego_add_remote(p, now, &e->c);
		else
			p->early[kept++] = *e;
	}
	p->nearly = kept;
	for (unsigned i = 0; i < p->nearly_packets; i++) {
		struct peer_early_packet *e = &p->early_packets[i];
		if (now - e->at <= p->conf.early_age &&
		    ice_agent_input(p->ice, now, &e->from, slice_of(e->b, e->n)) == 0)
			p->confirmed = true;
	}
	p->nearly_packets = 0;
}

/* --- offers and answers ------------------------------------------------------------------------*/

static bool peer_nego_same_session(const struct peer_conn *p, const struct signal_body *m)
{
	return p->has_remote_session &&
	       memcmp(p->remote_session, m->session, sizeof(m->session)) == 0;
}

static bool peer_nego_same_cred(const struct peer_conn *p, const struct ice_cred *c)
{
	return strcmp(p->remote_cred.ufrag, c->ufrag) == 0 &&
	       strcmp(p->remote_cred.pwd, c->pwd) == 0;
}

static void peer_nego_set_session(struct peer_conn *p, const struct signal_body *m)
{
	p->has_remote_session = m->has_session;
	if (m->has_session)
		memcpy(p->remote_session, m->session, sizeof(p->remote_session));
}

/* True when the message leaves the running negotiation alone (spec 5.8). */
static bool peer_nego_keeps_running(struct peer_conn *p, ln_time now, const struct signal_body *m,
				    const struct ice_cred *cred)
{
	if (!m->has_session || peer_nego_same_session(p, m))
		return true;
	/*
	 * Two sides that answer each other's new session with another new one never end. The
	 * controlled side finishes what runs; the same credentials fit the new agent as well.
	 */
	if (!p->controller && !peer_conn_is_direct(p) && now - p->nego_at < PEER_NEGO_SETTLE &&
	    peer_nego_same_cred(p, cred)) {
		peer_nego_set_session(p, m);
		for (unsigned i = 0; i < p->ncands; i++)
			p->cands[i].due = true;
		return true;
	}
	return false;
}

static void peer_nego_begin(struct peer_conn *p, ln_time now, const struct signal_body *m,
			    const struct ice_cred *cred)
{
	p->ice = peer_nego_make_agent(p, now);
	/* Who draws new credentials counts its words from one again. */
	if (!peer_nego_same_cred(p, cred))
		p->quality.heard = 0;
	p->remote_cred = *cred;
	peer_nego_set_session(p, m);
	p->nego_at = now;
	p->data.refused_until = 0;
	p->negotiations++;
	p->watch_lost = false;
	p->want_gather = true;
	p->want_state = true;
	if (ice_agent_set_remote(p->ice, now, cred) < 0) {
		peer_nego_drop_agent(p);
		return;
	}
	peer_nego_use_early(p, now);
}

int peer_nego_offer(struct peer_conn *p, ln_time now, const struct signal_body *m, bool answer)
{
	struct ice_cred cred;
	int err = ice_cred_parse(m->payload, &cred);
	if (err < 0)
		return err;
	p->unanswered = 0;
	size_t vn =
		m->version != NULL ? LN_MIN(strlen(m->version), sizeof(p->remote_version) - 1) : 0;
	if (vn > 0)
		memcpy(p->remote_version, m->version, vn);
	p->remote_version[vn] = '\0';
	if (answer)
		p->answers_received++;
	else
		p->offers_received++;

	peer_relay_heard(p, now, m);
	if (ip_is_set(&p->conf.local->relayed.addr))
		(void)peer_nego_sync_cands(p, now);
	bool without_ice = cred.ufrag[0] == '\0';
	bool refused = peer_data_refuses_direct(p, now);
	bool restarted =
		!without_ice && p->remote_cred.ufrag[0] != '\0' && !peer_nego_same_cred(p, &cred);
	/* An answer without echoes our own refusal. */
	bool remote_without = without_ice && !(answer && refused);
	if (remote_without != p->remote_without_ice)
		p->want_state = true;
	p->remote_without_ice = remote_without;
	if (without_ice || refused) {
		if (p->ice != NULL || restarted)
			peer_nego_end(p, now, restarted);
	} else if (p->ice == NULL) {
		if (restarted)
			peer_nego_end(p, now, true);
		peer_nego_begin(p, now, m, &cred);
	} else if (!peer_nego_keeps_running(p, now, m, &cred)) {
		peer_nego_end(p, now, restarted);
		peer_nego_begin(p, now, m, &cred);
	}
	if (answer) {
		/* Answered by somebody who saw our offer: they have our credentials. */
		p->confirmed = p->ice != NULL;
	} else {
		p->want_answer = true;
	}
	ct_wipe(&cred, sizeof(cred));
	return 0;
}

/* --- paths -------------------------------------------------------------------------------------*/

void peer_nego_selected(struct peer_conn *p, ln_time now, const struct ice_pair_info *pair)
{
	bool first = !peer_conn_is_direct(p);
	ln_time since = p->relay.state == PEER_RELAY_UP ? p->relay.since : p->nego_at;
	bool moved = !ip_ep_equal(&p->path, &pair->remote.addr);
	p->confirmed = true;
	p->path = pair->remote.addr;
	p->unanswered = 0;
	p->path_lost = false;
	p->want_state = true;
	if (first) {
		p->selected_at = now;
		p->guard_tries = 0;
		/* Over a relay the watch has begun already and goes on. */
		if (p->watch_at == LN_TIME_NEVER)
			peer_conn_watch(p, now, p->nego_at);
		peer_relay_selected(p, now);
		peer_conn_set_state(p, now, PEER_CONNECTED);
	}
	if (!first && moved)
		peer_quality_pair_changed(p, now);
	if ((!first && !moved) || p->relay.covers)
		return;
	/* From a working path to a better one: the session goes with it, on both sides at once. */
	if (!first && p->remote_level != 0 && peer_conn_has_session(p, now)) {
		peer_conn_endpoint_set(p, &p->path, false);
		return;
	}
	if (p->controller) {
		/* Not a second initiation while the first is on its way by the relay: an
		 * unmodified peer that answers the first one stalls us (spec 5.6). */
		bool under_way = p->relay.state == PEER_RELAY_UP && p->session_at < since &&
				 now - since < PEER_NEGO_HANDSHAKE;
		peer_conn_endpoint_set(p, &p->path, !under_way);
		return;
	}
	/*
	 * The controller initiates; setting our endpoint now would let both sides do it and throw
	 * away each other's handshakes (spec 5.6). Its first packet teaches WireGuard the address.
	 */
	if (first && peer_conn_has_session(p, now))
		peer_conn_endpoint_set(p, &p->path, false);
	else
		p->ep_fallback_at = now + p->conf.endpoint_delay;
}
