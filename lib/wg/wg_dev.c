#include "lib/wg/wg_dev.h"

#include <stdlib.h>

#include "lib/crypto/ct.h"
#include "lib/wg/wg_dev_internal.h"

void wg_dev_conf_default(struct wg_dev_conf *c)
{
	*c = (struct wg_dev_conf){
		.mtu = 1280,
		.max_peers = 100000,
		.max_prefixes = 10000,
		.staged_per_peer = 128,
		.staged_bytes = 16 << 20,
		.handshakes_per_second = 1000,
		.timers = &wg_timers_standard,
		.aead = &aead_evp,
	};
}

struct wg_dev *wg_dev_new(const struct wg_dev_conf *c, const struct ln_rng *rng)
{
	struct wg_dev *d = ln_alloc(sizeof(*d));
	d->conf = *c;
	d->conf.secret = NULL;
	d->rng = rng;
	wg_noise_local_init(&d->local, c->secret);
	wg_cookie_checker_init(&d->checker, &d->local.key);
	wg_limit_init(&d->limit, rng);
	map_init(&d->peers, rng_u64(rng), rng_u64(rng));
	map_init(&d->indices, rng_u64(rng), rng_u64(rng));
	wg_aips_init(&d->allowed, (const uint64_t[2]){ rng_u64(rng), rng_u64(rng) });
	heap_init(&d->deadlines);
	list_init(&d->todo);
	list_init(&d->changed);
	return d;
}

void wg_dev_free(struct wg_dev *d)
{
	struct map_node *n;
	if (d == NULL)
		return;
	while ((n = map_first(&d->peers)) != NULL) {
		struct wg_key key = map_entry(n, struct wg_peer, by_key)->key;
		wg_dev_remove_peer(d, &key);
	}
	map_fini(&d->peers);
	map_fini(&d->indices);
	wg_aips_fini(&d->allowed);
	heap_fini(&d->deadlines);
	ct_wipe(d, sizeof(*d));
	free(d);
}

void wg_dev_set_wall(struct wg_dev *d, ln_time now, ln_wall wall)
{
	d->wall_offset = wall - now;
}

const struct wg_key *wg_dev_key(const struct wg_dev *d)
{
	return &d->local.key;
}

size_t wg_dev_npeers(const struct wg_dev *d)
{
	return d->peers.count;
}

const struct wg_dev_drops *wg_dev_drops(const struct wg_dev *d)
{
	return &d->drops;
}

/* --- lists, heap and indices ------------------------------------------------------------------ */

struct wg_peer *wg_dev_find_peer(const struct wg_dev *d, const struct wg_key *key)
{
	struct map_node *n = map_find(&d->peers, slice_of(key->b, sizeof(key->b)));
	return n != NULL ? map_entry(n, struct wg_peer, by_key) : NULL;
}

void wg_dev_todo(struct wg_dev *d, struct wg_peer *p, unsigned what)
{
	if (p->todo == 0)
		list_add_tail(&d->todo, &p->todo_link);
	p->todo |= what;
}

void wg_dev_todo_done(struct wg_peer *p, unsigned what)
{
	p->todo &= ~what;
	if (p->todo == 0)
		list_remove(&p->todo_link);
}

void wg_dev_changed(struct wg_dev *d, struct wg_peer *p)
{
	if (list_empty(&p->changed_link))
		list_add_tail(&d->changed, &p->changed_link);
}

void wg_dev_rearm(struct wg_dev *d, struct wg_peer *p)
{
	ln_time at = wg_timers_deadline(&p->timers);
	if (at < p->deadline.at)
		heap_set(&d->deadlines, &p->deadline, at);
}

struct wg_index *wg_dev_index_find(const struct wg_dev *d, uint32_t id)
{
	uint8_t b[4];
	wg_msg_put_le32(b, id);
	struct map_node *n = map_find(&d->indices, slice_of(b, sizeof(b)));
	return n != NULL ? map_entry(n, struct wg_index, node) : NULL;
}

uint32_t wg_dev_index_new(struct wg_dev *d)
{
	uint32_t id;
	do
		id = rng_u32(d->rng);
	while (wg_dev_index_find(d, id) != NULL);
	return id;
}

void wg_dev_index_add(struct wg_dev *d, struct wg_index *x, struct wg_peer *p)
{
	x->peer = p;
	x->listed = true;
	map_insert(&d->indices, &x->node, slice_of(x->id, sizeof(x->id)));
}

void wg_dev_index_remove(struct wg_dev *d, struct wg_index *x)
{
	if (!x->listed)
		return;
	map_remove(&d->indices, &x->node);
	x->listed = false;
}

/* --- sessions --------------------------------------------------------------------------------- */

void wg_dev_drop_keypair(struct wg_dev *d, struct wg_keypair *k)
{
	if (k == NULL)
		return;
	wg_dev_index_remove(d, &k->index);
	wg_keypair_free(k);
}

void wg_dev_drop_sessions(struct wg_dev *d, struct wg_peer *p)
{
	wg_dev_drop_keypair(d, p->keypairs.current);
	wg_dev_drop_keypair(d, p->keypairs.previous);
	wg_dev_drop_keypair(d, p->keypairs.next);
	p->keypairs = (struct wg_keypairs){ 0 };
	wg_dev_index_remove(d, &p->handshake);
	wg_noise_forget(&p->noise);
}

void wg_dev_begin_session(struct wg_dev *d, struct wg_peer *p, ln_time now,
			  const struct wg_noise_keys *keys, bool initiator)
{
	struct wg_keypair *out[2];
	struct wg_keypair *k = wg_keypair_new(d->conf.aead, keys, initiator, now);
	if (initiator) /* the number goes over from the handshake to the session */
		wg_dev_index_remove(d, &p->handshake);
	wg_dev_index_add(d, &k->index, p);
	wg_keypairs_add(&p->keypairs, k, out);
	wg_dev_drop_keypair(d, out[0]);
	wg_dev_drop_keypair(d, out[1]);
	p->refreshed = false;
	wg_timers_session_derived(&p->timers, now);
}

struct wg_keypair *wg_dev_session(const struct wg_dev *d, const struct wg_peer *p, ln_time now)
{
	struct wg_keypair *k = p->keypairs.current;
	return wg_keypair_can_send(k, now, d->conf.timers->reject_after) ? k : NULL;
}

void wg_dev_want_session(struct wg_dev *d, struct wg_peer *p, ln_time now, bool retry)
{
	if (!wg_peer_has_endpoint(p)) {
		if (p->was_wanted && now - p->wanted_at < LN_SEC)
			return;
		p->was_wanted = true;
		p->wanted_at = now;
		wg_dev_todo(d, p, WG_TODO_WANTED);
		return;
	}
	if (!retry)
		p->timers.attempts = 0;
	if (ip_ep_equal(&p->initiated_to, &p->ep) &&
	    now - p->initiated_at < d->conf.timers->rekey_timeout)
		return;
	wg_dev_todo(d, p, WG_TODO_INITIATE);
}

/* --- packets that wait ------------------------------------------------------------------------ */

void wg_dev_stage(struct wg_dev *d, struct wg_peer *p, struct slice packet)
{
	while (p->nstaged != 0 && (p->nstaged >= d->conf.staged_per_peer ||
				   d->staged_bytes + packet.n > d->conf.staged_bytes)) {
		free(wg_dev_unstage(d, p)); /* the oldest goes, as it is the least useful */
		d->drops.queue_full++;
	}
	if (d->staged_bytes + packet.n > d->conf.staged_bytes) {
		d->drops.queue_full++;
		return;
	}
	struct wg_staged *s = ln_alloc(sizeof(*s) + packet.n);
	s->n = packet.n;
	memcpy(s->packet, packet.p, packet.n);
	list_add_tail(&p->staged, &s->link);
	p->nstaged++;
	d->staged_bytes += packet.n;
}

struct wg_staged *wg_dev_unstage(struct wg_dev *d, struct wg_peer *p)
{
	struct list *l = list_pop(&p->staged);
	if (l == NULL)
		return NULL;
	struct wg_staged *s = list_entry(l, struct wg_staged, link);
	p->nstaged--;
	d->staged_bytes -= s->n;
	return s;
}

void wg_dev_purge_staged(struct wg_dev *d, struct wg_peer *p)
{
	struct wg_staged *s;
	while ((s = wg_dev_unstage(d, p)) != NULL)
		free(s);
}

/* --- peers ------------------------------------------------------------------------------------ */

static int check_conf(const struct wg_dev *d, const struct wg_peer_conf *c)
{
	if (wg_key_equal(&c->key, &d->local.key))
		return LN_E_CONFLICT;
	if (c->nallowed > d->conf.max_prefixes)
		return LN_E_LIMIT;
	for (size_t i = 0; i < c->nallowed; i++)
		if (!ip_is_set(&c->allowed[i].addr) ||
		    c->allowed[i].len > ip_bits(&c->allowed[i].addr))
			return LN_E_MALFORMED;
	return 0;
}

int wg_dev_set_peer(struct wg_dev *d, ln_time now, const struct wg_peer_conf *c)
{
	int r = check_conf(d, c);
	if (r < 0)
		return r;
	struct wg_peer *p = wg_dev_find_peer(d, &c->key);
	if (p == NULL) {
		if (d->peers.count >= d->conf.max_peers)
			return LN_E_LIMIT;
		r = wg_peer_new(&c->key, &d->local, d->conf.timers, &p);
		if (r < 0)
			return r;
		map_insert(&d->peers, &p->by_key, slice_of(p->key.b, sizeof(p->key.b)));
		wg_dev_changed(d, p);
	}
	p->noise.psk = c->psk;
	wg_aips_clear(&d->allowed, &p->allowed);
	for (size_t i = 0; i < c->nallowed; i++)
		ln_assert(wg_aips_insert(&d->allowed, &p->allowed, &c->allowed[i]) == 0);
	if (p->timers.persistent != c->keepalive * LN_SEC)
		wg_timers_set_persistent(&p->timers, now, c->keepalive * LN_SEC);
	wg_dev_rearm(d, p);
	return 0;
}

int wg_dev_remove_peer(struct wg_dev *d, const struct wg_key *key)
{
	struct wg_peer *p = wg_dev_find_peer(d, key);
	if (p == NULL)
		return LN_E_NOTFOUND;
	map_remove(&d->peers, &p->by_key);
	wg_aips_clear(&d->allowed, &p->allowed);
	wg_dev_purge_staged(d, p);
	wg_dev_drop_sessions(d, p);
	heap_remove(&d->deadlines, &p->deadline);
	list_remove(&p->todo_link);
	list_remove(&p->changed_link);
	wg_peer_free(p);
	return 0;
}

int wg_dev_set_endpoint(struct wg_dev *d, ln_time now, const struct wg_key *key,
			const struct ip_ep *ep, bool initiate)
{
	struct wg_peer *p = wg_dev_find_peer(d, key);
	if (p == NULL)
		return LN_E_NOTFOUND;
	if (!ip_ep_equal(&p->ep, ep))
		p->path_inner = 0;
	p->ep = ip_is_set(&ep->addr) ? *ep : (struct ip_ep){ 0 };
	p->stats.endpoint = p->ep;
	p->was_wanted = false;
	wg_dev_changed(d, p);
	if (!wg_peer_has_endpoint(p)) {
		/* Nobody can answer: no retries until there is an endpoint again. */
		wg_timers_cancel(&p->timers, WG_TIMER_RETRY);
		wg_dev_todo_done(p, WG_TODO_INITIATE | WG_TODO_KEEPALIVE);
		return 0;
	}
	if (p->timers.at[WG_TIMER_PERSISTENT] == LN_TIME_NEVER) /* ran out without an endpoint */
		wg_timers_set_persistent(&p->timers, now, p->timers.persistent);
	wg_dev_rearm(d, p);
	const struct wg_keypair *k = wg_dev_session(d, p, now);
	if (k != NULL && p->nstaged != 0)
		wg_dev_todo(d, p, WG_TODO_STAGED);
	bool young = k != NULL && now - k->created < d->conf.timers->rekey_after;
	if ((initiate && !young) || (k == NULL && p->nstaged != 0))
		wg_dev_want_session(d, p, now, false);
	return 0;
}

int wg_dev_set_spare(struct wg_dev *d, const struct wg_key *key, const struct ip_ep *spare,
		     ln_time doubt_after)
{
	struct wg_peer *p = wg_dev_find_peer(d, key);
	if (p == NULL)
		return LN_E_NOTFOUND;
	p->spare = *spare;
	wg_timers_set_doubt(&p->timers, doubt_after);
	return 0;
}

const struct ip_ep *wg_dev_spare(const struct wg_peer *p)
{
	return ip_is_set(&p->spare.addr) && !ip_ep_equal(&p->spare, &p->ep) ? &p->spare : NULL;
}

void wg_dev_path_mtu(struct wg_dev *d, ln_time now, const struct ip_ep *to, size_t mtu)
{
	map_for_each(n, &d->peers) {
		struct wg_peer *p = map_entry(n, struct wg_peer, by_key);
		if (!wg_peer_has_endpoint(p) || !ip_ep_equal(&p->ep, to))
			continue;
		p->path_inner = wg_path_inner(mtu, to->addr.family);
		p->path_until = now + WG_PATH_KNOWN;
	}
}

size_t wg_dev_path_inner(struct wg_peer *p, ln_time now)
{
	if (p->path_inner != 0 && now >= p->path_until)
		p->path_inner = 0;
	return p->path_inner;
}

int wg_dev_stats(const struct wg_dev *d, const struct wg_key *key, struct wg_peer_stats *ret)
{
	const struct wg_peer *p = wg_dev_find_peer(d, key);
	if (p == NULL)
		return LN_E_NOTFOUND;
	*ret = p->stats;
	return 0;
}

bool wg_dev_next_changed(struct wg_dev *d, struct wg_key *ret_key, struct wg_peer_stats *ret)
{
	struct list *l = list_pop(&d->changed);
	if (l == NULL)
		return false;
	const struct wg_peer *p = list_entry(l, struct wg_peer, changed_link);
	*ret_key = p->key;
	*ret = p->stats;
	return true;
}

void wg_dev_sent(struct wg_dev *d, struct wg_peer *p, ln_time now, size_t bytes)
{
	p->stats.tx_bytes += bytes;
	wg_timers_sent(&p->timers, now);
	wg_dev_changed(d, p);
	wg_dev_rearm(d, p);
}

void wg_dev_received(struct wg_dev *d, struct wg_peer *p, ln_time now, size_t bytes,
		     const struct ip_ep *from, bool direct)
{
	p->stats.rx_bytes += bytes;
	p->stats.last_received = now;
	wg_timers_received(&p->timers, now);
	if (direct)
		wg_timers_heard(&p->timers);
	if (!ip_ep_equal(&p->ep, from)) {
		if (ip_ep_equal(&p->initiated_to, &p->ep))
			p->initiated_to = *from; /* still the same peer: one initiation is enough */
		p->ep = *from;
		p->path_inner = 0;
		p->stats.endpoint = *from;
		wg_dev_todo(d, p, WG_TODO_ROAMED);
	}
	wg_dev_changed(d, p);
	wg_dev_rearm(d, p);
}
