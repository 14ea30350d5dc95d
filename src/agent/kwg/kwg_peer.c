#include <errno.h>
#include <stdlib.h>

#include "src/agent/kwg/kwg_internal.h"
#include "src/obs/obs_log.h"

/* --- table ------------------------------------------------------------------------------------ */

struct kwg_peer *kwg_peer_find(const struct kwg *k, const struct wg_key *key)
{
	struct map_node *n = map_find(&k->peers, slice_of(key->b, sizeof(key->b)));
	return n != NULL ? map_entry(n, struct kwg_peer, node) : NULL;
}

static struct kwg_peer *find_slot(const struct kwg *k, uint32_t slot)
{
	struct map_node *n = map_find(&k->slots, slice_of(&slot, sizeof(slot)));
	return n != NULL ? map_entry(n, struct kwg_peer, by_slot) : NULL;
}

static struct kwg_peer *add(struct kwg *k, const struct wg_key *key)
{
	struct kwg_peer *p = ln_alloc(sizeof(*p));
	p->key = *key;
	list_init(&p->news);
	list_init(&p->waiting);
	/* In turn, so that a late message of a peer that went does not wake its successor. */
	do
		p->slot = k->next_slot = k->next_slot % (KWG_WAKE_SLOTS - 1) + 1;
	while (find_slot(k, p->slot) != NULL);
	map_insert(&k->peers, &p->node, slice_of(p->key.b, sizeof(p->key.b)));
	map_insert(&k->slots, &p->by_slot, slice_of(&p->slot, sizeof(p->slot)));
	return p;
}

static void drop_waiting(struct kwg_peer *p)
{
	struct list *l;
	while ((l = list_pop(&p->waiting)) != NULL)
		free(list_entry(l, struct kwg_waiting, link));
	p->nwaiting = 0;
	p->initiation_at = 0;
}

void kwg_peer_free(struct kwg *k, struct kwg_peer *p)
{
	drop_waiting(p);
	list_remove(&p->news);
	map_remove(&k->peers, &p->node);
	map_remove(&k->slots, &p->by_slot);
	free(p->allowed);
	free(p);
}

void kwg_peer_fini_all(struct kwg *k)
{
	struct map_node *n;
	while ((n = map_first(&k->peers)) != NULL)
		kwg_peer_free(k, map_entry(n, struct kwg_peer, node));
}

/* --- to the kernel ---------------------------------------------------------------------------- */

static void change(struct kwg *k, const struct plat_wg_change *c)
{
	int r = plat_wg_change(k->dev, c);
	if (r == -ENODEV)
		kwg_poll_down(k);
	else if (r < 0) /* our own key, or a prefix the kernel does not like */
		log_warn("kwg", "the kernel refuses a change of a peer", LOG_KEY("peer", &c->key),
			 LOG_ERRNO(r));
}

static bool same_allowed(const struct kwg_peer *p, const struct uwg_peer_conf *c)
{
	if (p->nallowed != c->nallowed)
		return false;
	for (size_t i = 0; i < c->nallowed; i++)
		if (!ip_prefix_equal(&p->allowed[i], &c->allowed[i]))
			return false;
	return true;
}

static void keep_allowed(struct kwg_peer *p, const struct uwg_peer_conf *c)
{
	free(p->allowed);
	p->allowed = NULL;
	p->nallowed = c->nallowed;
	if (c->nallowed == 0)
		return;
	p->allowed = ln_calloc(c->nallowed, sizeof(p->allowed[0]));
	memcpy(p->allowed, c->allowed, c->nallowed * sizeof(p->allowed[0]));
}

void kwg_peer_set(struct kwg *k, const struct uwg_peer_conf *c)
{
	struct kwg_peer *p = kwg_peer_find(k, &c->key);
	bool fresh = p == NULL;
	if (fresh)
		p = add(k, &c->key);
	p->keepalive = c->keepalive;
	struct ip_ep wake = kwg_wake_endpoint(&k->wake, p->slot);
	struct plat_wg_change ch = {
		.key = c->key,
		.psk = &c->psk,
		/* Towards the wake endpoint a keepalive would call for the peer all by itself. */
		.keepalive = ip_is_set(&p->ep.addr) ? c->keepalive : 0,
		.endpoint = fresh ? &wake : NULL,
	};
	/* Replacing the same list would let packets fall through for a moment. */
	if (fresh || !same_allowed(p, c)) {
		keep_allowed(p, c);
		ch.replace_allowed = true;
		ch.allowed = c->allowed;
		ch.nallowed = c->nallowed;
	}
	change(k, &ch);
}

void kwg_peer_remove(struct kwg *k, const struct wg_key *key)
{
	struct kwg_peer *p = kwg_peer_find(k, key);
	if (p == NULL)
		return;
	kwg_peer_free(k, p);
	change(k, &(struct plat_wg_change){ .key = *key, .remove = true });
}

/* --- endpoints -------------------------------------------------------------------------------- */

/*
 * The kernel has no request "send a handshake". Turning the keepalive on sends one at once, and
 * that needs a session: without one a handshake leaves, unless one was sent less than five seconds
 * ago, which then is the one that waits here.
 */
static void initiate(struct kwg *k, const struct kwg_peer *p)
{
	struct plat_wg_change ch = { .key = p->key, .update_only = true };
	ch.keepalive = p->keepalive != 0 ? p->keepalive : 25;
	change(k, &ch);
	if (p->keepalive == 0) {
		ch.keepalive = 0;
		change(k, &ch);
	}
}

static void send_to_peer(struct kwg *k, const struct kwg_peer *p, struct slice b)
{
	if (!uwg_is_relay(&p->ep)) {
		(void)!plat_wg_send(k->dev, &p->ep, b);
		return;
	}
	kwg_relay_out(k, &p->ep, b);
	kwg_poll_arm(k); /* events never come from inside a call */
}

static void send_waiting(struct kwg *k, struct kwg_peer *p)
{
	/* Both sides sending an initiation would throw away each other's: only if we are to. */
	if (p->initiate && p->initiation_at != 0 &&
	    ev_now() - p->initiation_at < KWG_INITIATION_AGE &&
	    p->stats.last_handshake_wall == p->initiation_after)
		send_to_peer(k, p, slice_of(p->initiation, sizeof(p->initiation)));
	list_for_each(it, &p->waiting) {
		const struct kwg_waiting *w = list_entry(it, struct kwg_waiting, link);
		send_to_peer(k, p, slice_of(w->b, w->n));
	}
	drop_waiting(p);
}

void kwg_peer_endpoint(struct kwg *k, const struct wg_key *key, const struct ip_ep *ep,
		       bool with_initiation)
{
	struct kwg_peer *p = kwg_peer_find(k, key);
	if (p == NULL)
		return;
	bool set = ip_is_set(&ep->addr);
	struct ip_ep to = set ? kwg_relay_for_kernel(k, ep) : kwg_wake_endpoint(&k->wake, p->slot);
	kwg_relay_in_flush(k); /* afterwards WireGuard would follow its source */
	p->ep = *ep;
	p->initiate = set && with_initiation;
	if (set) /* so that our own choice is not taken for a move of the peer */
		p->seen = *ep;
	struct plat_wg_change ch = {
		.key = p->key,
		.update_only = true,
		.endpoint = &to,
		.keepalive = set && !p->initiate ? p->keepalive : 0,
	};
	change(k, &ch);
	if (!set)
		return;
	if (p->initiate)
		initiate(k, p);
	send_waiting(k, p);
	kwg_expect(k);
}

/* --- what the kernel sent to the wake endpoint ------------------------------------------------ */

static void keep_data(struct kwg_peer *p, struct slice b)
{
	if (p->nwaiting == KWG_WAITING_MAX) { /* the oldest goes */
		free(list_entry(list_pop(&p->waiting), struct kwg_waiting, link));
		p->nwaiting--;
	}
	struct kwg_waiting *w = ln_alloc(sizeof(*w) + b.n);
	w->n = b.n;
	memcpy(w->b, b.p, b.n);
	list_add_tail(&p->waiting, &w->link);
	p->nwaiting++;
}

void kwg_peer_captured(struct kwg *k, uint32_t slot, struct slice b)
{
	struct kwg_peer *p = find_slot(k, slot);
	if (p == NULL || b.n == 0)
		return;
	ln_time now = ev_now();
	if (b.n == WG_MSG_INITIATION_LEN && b.p[0] == WG_MSG_INITIATION) {
		memcpy(p->initiation, b.p, b.n);
		p->initiation_at = now;
		p->initiation_after = p->stats.last_handshake_wall;
	} else if (b.n > WG_MSG_DATA_MIN && b.p[0] == WG_MSG_DATA) {
		keep_data(p, b);
	} else {
		return; /* keepalives call for nobody */
	}
	if (ip_is_set(&p->ep.addr)) { /* it was on its way when the endpoint came */
		send_waiting(k, p);
		return;
	}
	if (p->wanted_at != 0 && now - p->wanted_at < KWG_WANTED_EVERY)
		return;
	p->wanted_at = now;
	(void)kwg_say(k, &(struct uwg_event){ .kind = UWG_EV_WANTED, .key = p->key });
}
