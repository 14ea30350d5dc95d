#include <stdio.h>
#include <stdlib.h>

#include "lib/crypto/ct.h"
#include "lib/ice/ice_agent_internal.h"
#include "lib/ice/ice_via.h"

/* Spec 3.1 and 3.11; each is the value of a zero in the configuration. */
#define CHECK_INTERVAL (200 * LN_MSEC)
#define KEEPALIVE (2 * LN_SEC)
#define DISCONNECT_AFTER (6 * LN_SEC)
#define FAIL_AFTER (12 * LN_SEC)
#define WAIT_SRFLX (500 * LN_MSEC)
#define WAIT_PRFLX (1000 * LN_MSEC)
#define WAIT_RELAY (2000 * LN_MSEC)
#define MAX_REMOTE 64

/* After this many unanswered checks a pair is checked 2.5 times more slowly. */
#define FAST_CHECKS 10
/* Of a second's checks so many may repeat what was asked before: the others are kept for pairs that
 * were never tried, for answers to the peer's checks, and for the nomination. */
#define BUDGET_REPEATS 3
/* So many checks of the selected pair are remembered for its loss; then half of them. */
#define RECENT 60
/* A private address outside our own networks is hardly the way: what STUN servers saw comes first.
 */
#define FAR_HOST_DELAY (100 * LN_MSEC)
/* A proven pair that is not selected is only kept alive. */
#define PROVEN_INTERVAL LN_SEC
/* An unanswered keepalive is repeated, so that 6 s of silence mean more than three losses. */
#define KEEPALIVE_RETRY (500 * LN_MSEC)

static ln_time value_or(ln_time value, ln_time standard)
{
	return value != 0 ? value : standard;
}

struct ice_agent *ice_agent_new(const struct ice_agent_conf *conf, const struct ln_rng *rng,
				ln_time now)
{
	struct ice_agent *a = ln_alloc(sizeof(*a));
	struct ice_agent_conf *c = &a->conf;

	(void)now;
	*c = *conf;
	c->check_interval = value_or(c->check_interval, CHECK_INTERVAL);
	c->keepalive = value_or(c->keepalive, KEEPALIVE);
	c->disconnect_after = value_or(c->disconnect_after, DISCONNECT_AFTER);
	c->fail_after = value_or(c->fail_after, FAIL_AFTER);
	c->wait_srflx = value_or(c->wait_srflx, WAIT_SRFLX);
	c->wait_prflx = value_or(c->wait_prflx, WAIT_PRFLX);
	c->wait_relay = value_or(c->wait_relay, WAIT_RELAY);
	if (c->max_remote == 0)
		c->max_remote = MAX_REMOTE;
	a->rng = *rng;
	a->controlling = conf->controlling;
	a->selected = ICE_NONE;
	a->nominee = ICE_NONE;
	a->next_nomination = LN_TIME_NEVER;
	rng_fill(rng, &a->tie_breaker, sizeof(a->tie_breaker));
	rng_fill(rng, a->tid_prefix, sizeof(a->tid_prefix));
	return a;
}

void ice_agent_free(struct ice_agent *a)
{
	if (a == NULL)
		return;
	free(a->local);
	free(a->pairs);
	ct_wipe(a, sizeof(*a));
	free(a);
}

bool ice_agent_in_overlay(const struct ice_agent *a, const struct ip_addr *addr)
{
	for (unsigned i = 0; i < a->conf.noverlay && i < LN_COUNT(a->conf.overlay); i++)
		if (ip_prefix_contains(&a->conf.overlay[i], addr))
			return true;
	return false;
}

size_t ice_agent_find_pair(const struct ice_agent *a, const struct ip_ep *addr)
{
	for (size_t i = 0; i < a->npairs; i++)
		if (ip_ep_equal(&a->pairs[i].remote.addr, addr))
			return i;
	return ICE_NONE;
}

/* --- candidates ------------------------------------------------------------------------------ */

static bool sendable(const struct ip_ep *e)
{
	bool v6_scoped = e->addr.family == 6 && ip_is_link_local(&e->addr);
	return ip_is_set(&e->addr) && e->port != 0 && !ip_is_unspecified(&e->addr) &&
	       !ip_is_multicast(&e->addr) && !v6_scoped;
}

static void add_twins(struct ice_agent *a, ln_time now);

int ice_agent_add_local(struct ice_agent *a, ln_time now, const struct ice_cand *c)
{
	if (!sendable(&c->addr))
		return LN_E_MALFORMED;
	if (ice_agent_in_overlay(a, &c->addr.addr))
		return LN_E_DENIED;
	for (size_t i = 0; i < a->nlocal; i++)
		if (ip_ep_equal(&a->local[i].addr, &c->addr))
			return LN_E_CONFLICT;
	if (a->nlocal == ICE_LOCAL_MAX)
		return LN_E_LIMIT;
	a->local = ln_realloc(a->local, (a->nlocal + 1) * sizeof(*a->local));
	a->local[a->nlocal++] = *c;
	if (c->type == ICE_CAND_HOST)
		a->count.local_host++;
	else if (c->type == ICE_CAND_RELAY)
		a->count.local_relay++;
	else
		a->count.local_srflx++;
	if (c->type == ICE_CAND_RELAY)
		add_twins(a, now);
	return 0;
}

/*
 * The local candidate that speaks for us towards an address: the relayed one through the
 * allocation, else the first of the family, host before others.
 */
static const struct ice_cand *local_of(const struct ice_agent *a, const struct ip_ep *to)
{
	const struct ice_cand *best = NULL;
	bool via = ice_via_is(to);
	for (size_t i = 0; i < a->nlocal; i++) {
		const struct ice_cand *c = &a->local[i];
		if (via != (c->type == ICE_CAND_RELAY) ||
		    (!via && c->addr.addr.family != to->addr.family))
			continue;
		if (best == NULL || c->priority > best->priority)
			best = c;
	}
	return best;
}

/* Whether checks to this address make sense: we have the family, and it is not ourselves. */
static bool reachable(const struct ice_agent *a, const struct ice_pair *p)
{
	const struct ip_ep *to = &p->remote.addr;
	bool loopback = false;
	if (p->inbound)
		return true;
	for (size_t i = 0; i < a->nlocal; i++) {
		if (a->local[i].type == ICE_CAND_HOST && ip_ep_equal(&a->local[i].addr, to))
			return false;
		loopback |= ip_is_loopback(&a->local[i].addr.addr);
	}
	if (ip_is_loopback(&to->addr) && !loopback)
		return false;
	return local_of(a, to) != NULL;
}

static void count_remote(struct ice_agent *a, enum ice_cand_type t, int by)
{
	unsigned *n[] = {
		[ICE_CAND_HOST] = &a->count.remote_host,
		[ICE_CAND_SRFLX] = &a->count.remote_srflx,
		[ICE_CAND_PRFLX] = &a->count.remote_prflx,
		[ICE_CAND_RELAY] = &a->count.remote_relay,
	};
	*n[t] += (unsigned)by;
}

/* The same /24 or /64 as an address of ours. */
static bool is_near(const struct ice_agent *a, const struct ip_addr *addr)
{
	for (size_t i = 0; i < a->nlocal; i++) {
		struct ip_prefix net = { .addr = a->local[i].addr.addr,
					 .len = addr->family == 4 ? 24 : 64 };
		if (net.addr.family == addr->family && ip_prefix_contains(&net, addr))
			return true;
	}
	return false;
}

/* A slot for one more pair; ICE_NONE at the limit. */
static size_t new_pair(struct ice_agent *a, ln_time now, const struct ice_cand *c)
{
	if (a->npairs >= a->conf.max_remote)
		return ICE_NONE;
	if (a->npairs == a->cap_pairs) {
		a->cap_pairs = a->cap_pairs != 0 ? a->cap_pairs * 2 : 4;
		a->pairs = ln_realloc(a->pairs, a->cap_pairs * sizeof(*a->pairs));
	}
	ln_time delay = 0;
	if (c->type == ICE_CAND_HOST && ip_is_private(&c->addr.addr) && !is_near(a, &c->addr.addr))
		delay = FAR_HOST_DELAY;
	ice_pair_init(&a->pairs[a->npairs], c, now + delay);
	count_remote(a, c->type, 1);
	return a->npairs++;
}

/* The peer-reflexive pair that was quiet longest and serves nothing; for a peer whose NAT gives
 * it ever new ports. */
static size_t oldest_idle_prflx(const struct ice_agent *a)
{
	size_t oldest = ICE_NONE;
	for (size_t i = 0; i < a->npairs; i++) {
		const struct ice_pair *p = &a->pairs[i];
		if (p->remote.type != ICE_CAND_PRFLX || i == a->selected || i == a->nominee)
			continue;
		if (oldest == ICE_NONE || p->last_received < a->pairs[oldest].last_received)
			oldest = i;
	}
	return oldest;
}

size_t ice_agent_prflx_pair(struct ice_agent *a, ln_time now, const struct ip_ep *from,
			    const char *cid)
{
	struct ice_cand c = { .type = ICE_CAND_PRFLX, .addr = *from };
	size_t i = ice_agent_find_pair(a, from);
	if (i != ICE_NONE)
		return i;
	if (!sendable(from))
		return ICE_NONE;
	/* Spec 3.7: a fixed priority; the id comes from attribute 0x8100. */
	c.priority = ice_cand_priority(ICE_CAND_PRFLX, 65535);
	snprintf(c.cid, sizeof(c.cid), "%s", cid);
	i = new_pair(a, now, &c);
	if (i == ICE_NONE) {
		i = oldest_idle_prflx(a);
		if (i != ICE_NONE)
			ice_pair_init(&a->pairs[i], &c, now);
	}
	return i;
}

/* Adds one address, or completes a pair that a check has made before its candidate came. */
static int add_remote(struct ice_agent *a, ln_time now, const struct ice_cand *c)
{
	size_t i = ice_agent_find_pair(a, &c->addr);
	if (i == ICE_NONE)
		return new_pair(a, now, c) != ICE_NONE ? 0 : LN_E_LIMIT;
	struct ice_pair *p = &a->pairs[i];
	if (p->remote.type != ICE_CAND_PRFLX || c->type == ICE_CAND_PRFLX)
		return LN_E_CONFLICT;
	count_remote(a, ICE_CAND_PRFLX, -1);
	count_remote(a, c->type, 1);
	p->remote = *c;
	return 0;
}

/* The same address from our relayed candidate. */
static void add_twin(struct ice_agent *a, ln_time now, const struct ice_cand *c)
{
	struct ice_cand twin = *c;
	if (a->count.local_relay != 0 && ice_via_make(&c->addr, &twin.addr))
		(void)!add_remote(a, now, &twin);
}

static void add_twins(struct ice_agent *a, ln_time now)
{
	size_t n = a->npairs;
	for (size_t i = 0; i < n; i++) {
		struct ice_cand c = a->pairs[i].remote; /* the array may move */
		if (c.type != ICE_CAND_PRFLX)
			add_twin(a, now, &c);
	}
}

int ice_agent_add_remote(struct ice_agent *a, ln_time now, const struct ice_cand *c)
{
	if (!sendable(&c->addr) || ice_via_is(&c->addr))
		return LN_E_MALFORMED;
	if (ice_agent_in_overlay(a, &c->addr.addr))
		return LN_E_DENIED;
	if (a->remote_known && c->ufrag[0] != '\0' && strcmp(c->ufrag, a->remote.ufrag) != 0)
		return LN_E_STALE;
	int err = add_remote(a, now, c);
	if (err == 0)
		add_twin(a, now, c);
	/* Spec 2.10: a router may forward the peer's own port. Clients without cid say so
	 * themselves. */
	if (err == 0 && c->type == ICE_CAND_SRFLX && c->cid[0] != '\0' && c->related.port != 0 &&
	    c->related.port != c->addr.port) {
		struct ice_cand extra = *c;
		extra.addr.port = c->related.port;
		struct ice_cand id;
		ice_cand_init(&id, c->type, &extra.addr, NULL, c->ufrag, &a->rng);
		memcpy(extra.cid, id.cid, sizeof(extra.cid));
		memcpy(extra.foundation, id.foundation, sizeof(extra.foundation));
		(void)!add_remote(a, now, &extra);
	}
	return err;
}

static void drop_foreign(struct ice_agent *a)
{
	size_t kept = 0;
	for (size_t i = 0; i < a->npairs; i++) {
		const struct ice_cand *c = &a->pairs[i].remote;
		if (c->ufrag[0] != '\0' && strcmp(c->ufrag, a->remote.ufrag) != 0)
			count_remote(a, c->type, -1);
		else
			a->pairs[kept++] = a->pairs[i];
	}
	a->npairs = kept;
}

int ice_agent_set_remote(struct ice_agent *a, ln_time now, const struct ice_cred *remote)
{
	if (remote->ufrag[0] == '\0' || remote->pwd[0] == '\0')
		return LN_E_MALFORMED;
	if (a->remote_known)
		return strcmp(remote->ufrag, a->remote.ufrag) == 0 &&
				       strcmp(remote->pwd, a->remote.pwd) == 0
			       ? 0
			       : LN_E_STATE;
	a->remote = *remote;
	a->remote_known = true;
	a->state = ICE_CHECKING;
	a->started = now;
	drop_foreign(a);
	for (size_t i = 0; i < a->npairs; i++)
		a->pairs[i].next_check = LN_MAX(a->pairs[i].next_check, now);
	for (size_t i = 0; i < a->nearly; i++) {
		const struct ice_early *e = &a->early[i];
		if (now - e->at <= ICE_EARLY_LIFE && strcmp(e->ufrag, remote->ufrag) == 0)
			ice_input_note_request(a, now, &e->from, e->cid, e->nominate);
	}
	a->nearly = 0;
	return 0;
}

/* --- the schedule ---------------------------------------------------------------------------- */

uint64_t ice_agent_pair_priority(const struct ice_agent *a, const struct ice_pair *p)
{
	const struct ice_cand *l = local_of(a, &p->remote.addr);
	uint32_t own = l != NULL ? l->priority : ice_cand_priority(ICE_CAND_PRFLX, 65535);
	return a->controlling ? ice_pair_priority(own, p->remote.priority)
			      : ice_pair_priority(p->remote.priority, own);
}

/* From when on fewer than n checks lie in the last second. */
static ln_time budget_from(const struct ice_agent *a, unsigned n)
{
	return a->nsent < n ? 0 : a->sent_at[(a->nsent - n) % ICE_BUDGET] + LN_SEC;
}

/* When pair i wants to be checked next. */
static ln_time pair_wants(const struct ice_agent *a, size_t i)
{
	const struct ice_pair *p = &a->pairs[i];
	if (a->state != ICE_CHECKING && a->state != ICE_CONNECTED)
		return LN_TIME_NEVER;
	if (!reachable(a, p))
		return LN_TIME_NEVER;
	if (a->state == ICE_CHECKING || i == a->selected)
		return ln_time_min(p->next_check, p->trigger_at);
	return p->trigger_at;
}

static bool pair_repeats(const struct ice_agent *a, size_t i)
{
	const struct ice_pair *p = &a->pairs[i];
	return p->sent_at != 0 && p->trigger_at == LN_TIME_NEVER && i != a->nominee &&
	       i != a->selected;
}

/* And when it may be. */
static ln_time pair_due(const struct ice_agent *a, size_t i)
{
	ln_time wants = pair_wants(a, i);
	unsigned budget = pair_repeats(a, i) ? BUDGET_REPEATS : ICE_BUDGET;
	return wants == LN_TIME_NEVER ? wants : LN_MAX(wants, budget_from(a, budget));
}

static ln_time interval_of(const struct ice_agent *a, size_t i)
{
	const struct ice_pair *p = &a->pairs[i];
	ln_time interval = a->conf.check_interval;
	if (a->selected == i)
		return ln_time_min(KEEPALIVE_RETRY, a->conf.keepalive);
	if (a->nominee == i)
		return interval;
	if (p->succeeded)
		return LN_MAX(PROVEN_INTERVAL, interval);
	return p->sent > FAST_CHECKS ? interval * 5 / 2 : interval;
}

static struct ice_check check_of(const struct ice_agent *a, const struct ip_ep *to,
				 const char *peer_cid)
{
	const struct ice_cand *l = local_of(a, to);
	return (struct ice_check){
		.local = &a->conf.local,
		.remote = &a->remote,
		.controlling = a->controlling,
		.tie_breaker = a->tie_breaker,
		/* RFC 8445 7.1.1: what a candidate learnt from this check would be worth. */
		.priority = ice_cand_priority(ICE_CAND_PRFLX, 65535),
		.own_cid = l != NULL ? l->cid : "",
		.peer_cid = peer_cid,
	};
}

static void count_check(struct ice_agent *a, size_t i)
{
	if (a->state != ICE_CONNECTED || i != a->selected) {
		a->count.checks_sent++;
		return;
	}
	struct ice_report *c = &a->count;
	unsigned lost = a->pairs[i].awaiting;
	if (c->recent_sent == RECENT) {
		c->recent_sent /= 2;
		c->recent_lost /= 2;
	}
	c->recent_sent++;
	c->recent_lost += lost;
	c->keepalives_sent++;
	c->keepalives_lost += lost;
}

static void send_check(struct ice_agent *a, ln_time now, size_t i, struct mslice buf,
		       struct ice_out *out)
{
	struct ice_pair *p = &a->pairs[i];
	struct stun_tid tid;
	struct ice_check c = check_of(a, &p->remote.addr, p->remote.cid);

	/* The prefix finds the agent among thousands (ice_mux.h); 64 random bits are left. */
	memcpy(tid.b, a->tid_prefix, ICE_TID_PREFIX);
	rng_fill(&a->rng, tid.b + ICE_TID_PREFIX, STUN_TID_LEN - ICE_TID_PREFIX);
	c.nominate = a->controlling && a->nominee == i;
	count_check(a, i);
	a->sent_at[a->nsent++ % ICE_BUDGET] = now;
	ice_pair_sent(p, now, &tid, c.nominate, a->controlling);
	p->next_check = now + interval_of(a, i);
	*out = (struct ice_out){
		.kind = ICE_OUT_DATAGRAM,
		.to = p->remote.addr,
		.data = ice_check_write_request(buf, &tid, &c),
	};
}

static void send_response(struct ice_agent *a, struct mslice buf, struct ice_out *out)
{
	const struct ice_response *r = &a->responses[a->first_response];
	struct ice_check c = check_of(a, &r->to, r->peer_cid);
	struct ip_ep seen = ice_via_undo(&r->to);

	a->first_response = (a->first_response + 1) % ICE_RESPONSES_MAX;
	a->nresponses--;
	*out = (struct ice_out){
		.kind = ICE_OUT_DATAGRAM,
		.to = r->to,
		.data = r->conflict ? ice_check_write_conflict(buf, &r->tid, &c)
				    : ice_check_write_success(buf, &r->tid, &seen, &c),
	};
}

/* The pair that is due most urgently, or ICE_NONE: repetitions come last, and by turns. */
static size_t due_pair(const struct ice_agent *a, ln_time now)
{
	size_t due = ICE_NONE;
	for (size_t i = 0; i < a->npairs; i++) {
		if (pair_due(a, i) > now)
			continue;
		if (due == ICE_NONE || (pair_repeats(a, due) && !pair_repeats(a, i)) ||
		    (pair_repeats(a, due) == pair_repeats(a, i) &&
		     pair_wants(a, i) < pair_wants(a, due)))
			due = i;
	}
	return due;
}

bool ice_agent_poll(struct ice_agent *a, ln_time now, struct mslice buf, struct ice_out *out)
{
	ln_assert(buf.n >= ICE_CHECK_MAX);
	ice_select_tick(a, now);
	if (a->nresponses != 0) {
		send_response(a, buf, out);
		return true;
	}
	if (a->tell_selected) {
		a->tell_selected = false;
		*out = (struct ice_out){ .kind = ICE_OUT_SELECTED };
		ice_agent_pair_info(a, &a->pairs[a->selected], &out->pair);
		return true;
	}
	if (a->tell_end) {
		a->tell_end = false;
		*out = (struct ice_out){
			.kind = a->state == ICE_FAILED ? ICE_OUT_FAILED : ICE_OUT_DISCONNECTED,
		};
		return true;
	}
	size_t i = due_pair(a, now);
	if (i == ICE_NONE)
		return false;
	send_check(a, now, i, buf, out);
	return true;
}

ln_time ice_agent_deadline(const struct ice_agent *a)
{
	if (a->nresponses != 0 || a->tell_selected || a->tell_end)
		return 0;
	ln_time at = ice_select_deadline(a);
	for (size_t i = 0; i < a->npairs; i++)
		at = ln_time_min(at, pair_due(a, i));
	return at;
}

/* --- what others see ------------------------------------------------------------------------- */

enum ice_state ice_agent_state(const struct ice_agent *a)
{
	return a->state;
}

void ice_agent_pair_info(const struct ice_agent *a, const struct ice_pair *p,
			 struct ice_pair_info *ret)
{
	const struct ice_cand *l = local_of(a, &p->remote.addr);
	struct ice_pair_info info = { .remote = p->remote, .rtt = p->rtt };

	if (l != NULL)
		info.local = *l;
	/* RFC 8445 7.2.5.3.2: the valid pair's local candidate is the one the peer saw. */
	if (ip_is_set(&p->mapped.addr)) {
		for (size_t i = 0; i < a->nlocal; i++) {
			if (ip_ep_equal(&a->local[i].addr, &p->mapped)) {
				info.local = a->local[i];
				*ret = info;
				return;
			}
		}
		info.local.type = ICE_CAND_PRFLX;
		info.local.related = info.local.addr;
		info.local.addr = p->mapped;
		info.local.priority = ice_cand_priority(ICE_CAND_PRFLX, 65535);
	}
	*ret = info;
}

void ice_agent_report(const struct ice_agent *a, struct ice_report *ret)
{
	struct ice_report r = a->count;
	r.state = a->state;
	r.remote_known = a->remote_known;
	r.pairs = 0;
	for (size_t i = 0; i < a->npairs; i++)
		r.pairs += reachable(a, &a->pairs[i]);
	r.selected = a->selected != ICE_NONE;
	if (r.selected) {
		const struct ice_pair *p = &a->pairs[a->selected];
		ice_agent_pair_info(a, p, &r.pair);
		r.last_received = p->last_received;
		r.asked_at = p->awaiting ? p->asked_at : 0;
	}
	*ret = r;
}

struct slice ice_agent_ufrag(const struct ice_agent *a)
{
	return slice_str(a->conf.local.ufrag);
}

struct slice ice_agent_tid_prefix(const struct ice_agent *a)
{
	return slice_of(a->tid_prefix, ICE_TID_PREFIX);
}

void ice_agent_renew_tid_prefix(struct ice_agent *a)
{
	rng_fill(&a->rng, a->tid_prefix, sizeof(a->tid_prefix));
}
