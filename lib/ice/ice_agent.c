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

/* A private address outside our own networks is hardly the way: what STUN servers saw comes first.
 */
#define FAR_HOST_DELAY (100 * LN_MSEC)

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
	a->budget = conf->budget;
	a->rng = *rng;
	a->controlling = conf->controlling;
	a->selected = ICE_NONE;
	a->nominee = a->wanted = a->compared = ICE_NONE;
	a->alt_at = LN_TIME_NEVER;
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

const struct ice_cand *ice_agent_local_of(const struct ice_agent *a, const struct ip_ep *to)
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

bool ice_agent_reachable(const struct ice_agent *a, const struct ice_pair *p)
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
	return ice_agent_local_of(a, to) != NULL;
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
	bool far = c->type == ICE_CAND_HOST && ip_is_private(&c->addr.addr) &&
		   !is_near(a, &c->addr.addr);
	ice_pair_init(&a->pairs[a->npairs], c, far ? now + FAR_HOST_DELAY : now);
	a->pairs[a->npairs].far = far;
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
		if (p->remote.type != ICE_CAND_PRFLX || i == a->selected || i == a->nominee ||
		    i == a->wanted || i == a->compared)
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
	a->fail_at = now + a->conf.fail_after;
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

uint64_t ice_agent_pair_priority(const struct ice_agent *a, const struct ice_pair *p)
{
	const struct ice_cand *l = ice_agent_local_of(a, &p->remote.addr);
	uint32_t own = l != NULL ? l->priority : ice_cand_priority(ICE_CAND_PRFLX, 65535);
	return a->controlling ? ice_pair_priority(own, p->remote.priority)
			      : ice_pair_priority(p->remote.priority, own);
}

/* --- what others see ------------------------------------------------------------------------- */

enum ice_state ice_agent_state(const struct ice_agent *a)
{
	return a->state;
}

void ice_agent_pair_info(const struct ice_agent *a, const struct ice_pair *p,
			 struct ice_pair_info *ret)
{
	const struct ice_cand *l = ice_agent_local_of(a, &p->remote.addr);
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
	r.lingers = a->linger != 0;
	r.pairs = 0;
	for (size_t i = 0; i < a->npairs; i++)
		r.pairs += ice_agent_reachable(a, &a->pairs[i]);
	r.selected = a->selected != ICE_NONE;
	if (r.selected) {
		const struct ice_pair *p = &a->pairs[a->selected];
		ice_agent_pair_info(a, p, &r.pair);
		r.last_received = p->last_received;
		r.quality = p->quality;
		r.asked_at = p->awaiting ? p->asked_at : 0;
	}
	*ret = r;
}

void ice_agent_pulse(const struct ice_agent *a, struct ice_pulse *ret)
{
	*ret = (struct ice_pulse){ 0 };
	if (a->selected == ICE_NONE)
		return;
	const struct ice_pair *p = &a->pairs[a->selected];
	ret->asked_at = p->awaiting ? p->asked_at : 0;
	ret->answered_at = p->last_answered;
	ret->next_at = ln_time_min(p->next_check, p->trigger_at);
	ret->rtt = LN_MAX(p->rtt, p->quality.rtt);
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
