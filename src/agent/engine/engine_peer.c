/* Peers: the pure cores of lib/peer joined to signal, WireGuard and the clock. */
#include <errno.h>
#include <stdlib.h>

#include "lib/crypto/ct.h"

#include "src/agent/agent_version.h"
#include "src/agent/engine/engine_internal.h"
#include "src/obs/obs_log.h"

#define ENGINE_POLL_MAX 2048 /* outputs of one peer in one turn: more is a mistake of ours */
/* So many offers at once are spread over 50 ms times the root of their number (spec 5.15). */
#define ENGINE_PACE_FROM 16
#define ENGINE_PACE_STEP (50 * LN_MSEC)
/* From here on an agent understands GO_IDLE (spec signal-and-connection 5.10). */
#define ENGINE_LAZY_VERSION "0.45.0"

struct engine_peer *engine_peer_find(struct engine *e, const struct wg_key *key)
{
	struct map_node *n = map_find(&e->peers, slice_of(key->b, sizeof(key->b)));
	return n != NULL ? map_entry(n, struct engine_peer, node) : NULL;
}

/* --- WireGuard ---------------------------------------------------------------------------------*/

static void engine_peer_program(struct engine_peer *p)
{
	const struct agent_conf *c = p->engine->conf.conf;
	struct uwg_peer_conf pc = {
		.key = p->key,
		.allowed = p->allowed,
		.nallowed = p->nallowed,
		.keepalive = p->keepalive,
	};
	if (c->has_psk)
		pc.psk = c->psk;
	wgif_peer_set(p->engine->wg, &pc);
	wg_secret_wipe(&pc.psk);
}

static void engine_peer_endpoint(struct engine_peer *p, const struct peer_out *out)
{
	struct wgif *w = p->engine->wg;
	if (out->reset) {
		wgif_peer_remove(w, &p->key);
		p->keepalive = out->keepalive;
		engine_peer_program(p);
	}
	/* The endpoint first: a keepalive towards nowhere would ask for the peer again. */
	if (out->to.addr.family != 0 || !out->reset)
		wgif_peer_endpoint(w, &p->key, &out->to, out->initiate);
	if (p->keepalive != out->keepalive) {
		p->keepalive = out->keepalive;
		engine_peer_program(p);
	}
	log_debug("engine", out->to.addr.family != 0 ? "endpoint set" : "endpoint cleared",
		  LOG_KEY("peer", &p->key), LOG_EP("endpoint", &out->to),
		  LOG_INT("initiate", out->initiate));
}

/* --- outputs of the core -----------------------------------------------------------------------*/

static void engine_peer_sent(void *user, const struct wg_key *to, uint64_t token, bool ok)
{
	struct engine_peer *p = engine_peer_find(user, to);
	if (p == NULL)
		return;
	peer_conn_sent(p->conn, ev_now(), token, ok);
	engine_peer_drive(p);
}

static void engine_peer_datagram(struct engine_peer *p, const struct peer_out *out)
{
	struct engine *e = p->engine;
	if (ice_via_is(&out->to)) {
		engine_turn_send(e, &out->to, out->data);
		return;
	}
	int err = wgif_send(e->wg, &out->to, out->data);
	/* Only what means "this host forbids it"; a missing route to one family is ordinary. */
	if (err == -EPERM || err == -EACCES)
		e->local.udp_refused = true;
	else if (err == 0)
		e->local.udp_refused = false;
}

static void engine_peer_stats(struct engine_peer *p, ln_time now)
{
	struct uwg_peer_stats s;
	struct peer_wg_stats ws = { 0 };
	if (wgif_peer_stats(p->engine->wg, &p->key, &s) == 0) {
		ws.last_handshake = s.last_handshake;
		ws.last_data_received = s.last_data_received;
		ws.rx_bytes = s.rx_bytes;
		ws.tx_bytes = s.tx_bytes;
	}
	peer_conn_wg_stats(p->conn, now, &ws);
}

static void engine_peer_spare(struct engine_peer *p, const struct peer_out *out)
{
	wgif_peer_spare(p->engine->wg, &p->key, &out->to, out->doubt_after);
	log_debug("engine",
		  out->to.addr.family != 0 ? "packets go both ways" : "packets go one way",
		  LOG_KEY("peer", &p->key), LOG_INT("doubt_ms", out->doubt_after / LN_MSEC));
}

static void engine_peer_state(struct engine_peer *p)
{
	enum peer_state s = peer_conn_state(p->conn);
	struct peer_info info;
	peer_conn_info(p->conn, &info);
	if (s == p->state && info.path == p->path)
		return;
	if (s != p->state)
		p->changed = ev_wall();
	p->state = s;
	p->path = info.path;
	if (s != PEER_IDLE)
		wgif_expect(p->engine->wg);
	log_info("engine", "peer state", LOG_KEY("peer", &p->key), LOG_STR("name", p->fqdn),
		 LOG_STR("state", peer_state_name(s)), LOG_STR("reason", info.reason));
	engine_say(p->engine, ENGINE_EV_STATUS, "");
}

static void engine_peer_output(struct engine_peer *p, const struct peer_out *out, ln_time now)
{
	struct engine *e = p->engine;
	switch (out->kind) {
	case PEER_OUT_SIGNAL:
		signal_client_send(e->signal, &p->key, &p->box, &out->body,
				   out->token != 0 ? engine_peer_sent : NULL, out->token);
		break;
	case PEER_OUT_DATAGRAM:
		engine_peer_datagram(p, out);
		break;
	case PEER_OUT_ENDPOINT:
		engine_peer_endpoint(p, out);
		break;
	case PEER_OUT_SPARE:
		engine_peer_spare(p, out);
		break;
	case PEER_OUT_STATE:
		engine_peer_state(p);
		break;
	case PEER_OUT_GATHER:
		/* After a loss the NAT may map anew: answers older than this are asked again. */
		engine_addr_gather(e, LN_SEC);
		break;
	case PEER_OUT_STATS:
		engine_peer_stats(p, now);
		break;
	case PEER_OUT_RELAY_OPEN:
		engine_relay_open(p, out);
		break;
	case PEER_OUT_RELAYED:
		if (p->relay != NULL)
			relay_peer_send(p->relay, out->data);
		break;
	case PEER_OUT_RELAY_CLOSE:
		engine_relay_close(p);
		break;
	}
}

void engine_peer_drive(struct engine_peer *p)
{
	struct engine *e = p->engine;
	uint8_t buf[PEER_BUF_MIN];
	struct peer_out out;
	ln_time now = ev_now();
	unsigned n = 0;
	peer_conn_route(p->conn, e->mux, &p->slot);
	while (n++ < ENGINE_POLL_MAX &&
	       peer_conn_poll(p->conn, now, mslice_of(buf, sizeof(buf)), &out))
		engine_peer_output(p, &out, now);
	peer_conn_route(p->conn, e->mux, &p->slot);
	ln_time at = peer_conn_deadline(p->conn);
	if (n >= ENGINE_POLL_MAX) {
		log_error("engine", "a peer's core does not come to rest",
			  LOG_KEY("peer", &p->key));
		at = now + LN_SEC;
	}
	heap_set(&e->due, &p->due, at);
	ev_timer_at(&e->timer, heap_deadline(&e->due));
}

void engine_peer_due(struct ev_timer *t)
{
	struct engine *e = ln_container(t, struct engine, timer);
	ln_time now = ev_now();
	for (unsigned i = 0; i < 256; i++) {
		struct heap_node *n = heap_top(&e->due);
		if (n == NULL || n->at > now)
			break;
		engine_peer_drive(ln_container(n, struct engine_peer, due));
	}
	/* The rest comes in the next turn, so that other work is not kept waiting. */
	ev_timer_at(&e->timer, heap_deadline(&e->due));
}

/* --- STUN between peers ------------------------------------------------------------------------*/

void engine_peer_stun(struct engine *e, const struct ip_ep *from, struct slice pkt)
{
	if (engine_overlay_has(e, &from->addr))
		return;
	struct engine_peer *p = ice_mux_find(e->mux, pkt);
	if (p == NULL || peer_conn_stun(p->conn, ev_now(), from, pkt) == LN_E_NOTFOUND)
		return;
	engine_peer_drive(p);
}

/* --- table -------------------------------------------------------------------------------------*/

static bool engine_peer_may_sleep(const struct engine *e, const char *version)
{
	return e->lazy && mgmt_version_cmp(version, ENGINE_LAZY_VERSION) >= 0;
}

static struct peer_conn *engine_peer_conn(struct engine *e, const struct engine_peer *p)
{
	struct peer_conn_conf c = {
		.own = e->own,
		.remote = p->key,
		.local = &e->local,
		.version = AGENT_NETBIRD_VERSION,
		.lazy = engine_peer_may_sleep(e, p->version),
		.idle_after = e->conf.idle_after,
		.idle_check = ln_time_min(e->conf.idle_after / 4, LN_MINUTE),
		.relay_ep = p->relay_ep,
		.one_way = wgif_is_kernel(e->wg),
		.noverlay = e->noverlay,
	};
	memcpy(c.overlay, e->overlay, sizeof(e->overlay));
	return peer_conn_new(&c, ev_rng(), ev_now());
}

struct engine_peer *engine_peer_add(struct engine *e, const struct netmap_peer *m,
				    const struct ip_prefix *allowed, size_t nallowed)
{
	struct box_key box;
	if (box_key_init(&box, &e->conf.conf->key, &m->key) < 0)
		return NULL;
	struct engine_peer *p = ln_alloc(sizeof(*p));
	p->engine = e;
	p->slot.owner = p;
	p->key = m->key;
	p->box = box;
	box_key_wipe(&box);
	p->v4 = m->v4;
	p->v6 = m->v6;
	p->nallowed = LN_MIN(nallowed, ENGINE_ALLOWED_MAX);
	memcpy(p->allowed, allowed, p->nallowed * sizeof(allowed[0]));
	p->fqdn = ln_strdup(m->fqdn != NULL ? m->fqdn : "");
	p->version = ln_strdup(m->agent_version != NULL ? m->agent_version : "");
	p->changed = ev_wall();
	heap_node_init(&p->due);
	map_insert(&e->peers, &p->node, slice_of(p->key.b, sizeof(p->key.b)));
	engine_peer_program(p);
	engine_relay_add(p);
	p->conn = engine_peer_conn(e, p);
	p->state = peer_conn_state(p->conn);
	return p;
}

void engine_peer_remove(struct engine_peer *p)
{
	struct engine *e = p->engine;
	ice_mux_set(e->mux, &p->slot, "", NULL);
	engine_relay_remove(p);
	heap_remove(&e->due, &p->due);
	map_remove(&e->peers, &p->node);
	if (e->wg != NULL)
		wgif_peer_remove(e->wg, &p->key);
	peer_conn_free(p->conn);
	box_key_wipe(&p->box);
	free(p->fqdn);
	free(p->version);
	ev_defer_free(e->conf.loop, p);
}

void engine_peer_set_lazy(struct engine_peer *p)
{
	peer_conn_set_lazy(p->conn, ev_now(), engine_peer_may_sleep(p->engine, p->version));
}

void engine_peer_pace(struct engine_peer *p, size_t n)
{
	size_t root = 1;
	if (n < ENGINE_PACE_FROM)
		return;
	while (root * root < n)
		root++;
	peer_conn_pace(p->conn, ev_now(), rng_below64(ev_rng(), root * ENGINE_PACE_STEP));
}

void engine_peer_local_changed(struct engine *e)
{
	map_for_each(n, &e->peers) {
		struct engine_peer *p = map_entry(n, struct engine_peer, node);
		if (peer_conn_state(p->conn) == PEER_IDLE)
			continue;
		peer_conn_local_changed(p->conn, ev_now());
		heap_set(&e->due, &p->due, ev_now());
	}
	ev_timer_at(&e->timer, heap_deadline(&e->due));
}

void engine_peer_restart_all(struct engine *e)
{
	map_for_each(n, &e->peers)
		peer_conn_restart(map_entry(n, struct engine_peer, node)->conn, ev_now());
}

void engine_peer_reset_all(struct engine *e, bool at_once)
{
	size_t open = 0;
	map_for_each(n, &e->peers)
		open += peer_conn_state(map_entry(n, struct engine_peer, node)->conn) != PEER_IDLE;
	map_for_each(n, &e->peers) {
		struct engine_peer *p = map_entry(n, struct engine_peer, node);
		if (peer_conn_state(p->conn) == PEER_IDLE)
			continue;
		peer_conn_reset_guard(p->conn, ev_now(), at_once);
		engine_peer_pace(p, open);
		heap_set(&e->due, &p->due, ev_now());
	}
	ev_timer_at(&e->timer, heap_deadline(&e->due));
}
