#include "src/agent/engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/crypto/ct.h"

#include "src/agent/engine/engine_internal.h"
#include "src/obs/obs_log.h"

#define ENGINE_FILTER_WATCH LN_MINUTE

void engine_say(struct engine *e, enum engine_event ev, const char *text)
{
	e->conf.on_event(e->conf.user, ev, text);
}

void engine_check_ready(struct engine *e)
{
	if (e->ready_said || !e->have_map || !e->signal_tried)
		return;
	e->ready_said = true;
	engine_say(e, ENGINE_EV_READY, "");
}

/* --- the host ----------------------------------------------------------------------------------*/

int engine_apply_host(struct engine *e, struct ln_fail *f)
{
	const struct agent_conf *c = e->conf.conf;
	struct ip_prefix addresses[2];
	struct plat_want want = {
		.mtu = c->mtu,
		.up = true,
		.addresses = addresses,
		/* Off means open; block-inbound means closed, whatever the map says (spec
		   agent 5.2). */
		.filter = !c->disable_firewall,
		.filter_table = e->filter_table,
		.filter_allow_all = e->allow_all && !c->block_inbound,
		.rules = e->rules,
		.nrules = c->block_inbound ? 0 : e->nrules,
		.mark = e->conf.mark,
	};
	memcpy(want.ifname, e->ifname, sizeof(want.ifname));
	addresses[want.naddresses++] = e->address;
	if (e->address_v6.addr.family == 6)
		addresses[want.naddresses++] = e->address_v6;
	/* A host that refuses IPv6 still gets its IPv4 network: plat sees to that. */
	return plat_apply(e->conf.plat, &want, f);
}

/* Firewall programs flush tables that are not theirs (spec agent trap 37); ours comes back. */
static void engine_on_filter_watch(struct ev_timer *t)
{
	struct engine *e = ln_container(t, struct engine, filter_watch);
	struct ln_fail f = { 0 };
	ev_timer_after(t, ENGINE_FILTER_WATCH);
	if (plat_filter_check(e->conf.plat, e->ifname, &f) != LN_E_STALE)
		return;
	log_warn("engine", "the packet filter was changed by somebody else and is set again",
		 LOG_STR("interface", e->ifname), LOG_STR("why", f.text));
	if (engine_apply_host(e, &f) < 0)
		log_error("engine", "the packet filter cannot be set", LOG_STR("why", f.text));
}

/* --- device ------------------------------------------------------------------------------------*/

static void engine_on_wanted(struct engine *e, const struct wg_key *key)
{
	struct engine_peer *p = engine_peer_find(e, key);
	if (p == NULL)
		return;
	peer_conn_wake(p->conn, ev_now());
	engine_peer_drive(p);
}

static void engine_on_doubt(struct engine *e, const struct wg_key *key)
{
	struct engine_peer *p = engine_peer_find(e, key);
	if (p == NULL)
		return;
	peer_conn_doubt(p->conn, ev_now());
	engine_peer_drive(p);
}

static void engine_on_handshake(struct engine *e, const struct wg_key *key)
{
	struct engine_peer *p = engine_peer_find(e, key);
	if (p == NULL)
		return;
	log_debug("engine", "WireGuard session", LOG_KEY("peer", key));
	peer_conn_handshake(p->conn, ev_now());
	engine_peer_drive(p);
}

static void engine_on_uwg(void *user, const struct uwg_event *ev)
{
	struct engine *e = user;
	switch (ev->kind) {
	case UWG_EV_STUN:
		/* Such names are given by us alone. */
		if (!ice_via_is(&ev->from) && !engine_addr_stun(e, &ev->from, ev->data))
			engine_peer_stun(e, &ev->from, ev->data);
		break;
	case UWG_EV_WANTED:
		engine_on_wanted(e, &ev->key);
		break;
	case UWG_EV_HANDSHAKE:
		engine_on_handshake(e, &ev->key);
		break;
	case UWG_EV_ROAMED:
		log_debug("engine", "peer moved", LOG_KEY("peer", &ev->key),
			  LOG_EP("to", &ev->from));
		break;
	case UWG_EV_SEND_FAILED:
		log_debug("engine", "a handshake could not be sent", LOG_KEY("peer", &ev->key),
			  LOG_EP("to", &ev->from), LOG_ERRNO(ev->err));
		break;
	case UWG_EV_DOUBT:
		engine_on_doubt(e, &ev->key);
		break;
	case UWG_EV_RELAY:
		engine_relay_packets(e, ev->data);
		break;
	case UWG_EV_DOWN:
		engine_say(e, ENGINE_EV_RESTART, "the network interface is gone");
		break;
	}
}

/* --- signal ------------------------------------------------------------------------------------*/

static const struct box_key *engine_signal_box(void *user, const struct wg_key *key)
{
	struct engine_peer *p = engine_peer_find(user, key);
	return p != NULL ? &p->box : NULL;
}

static void engine_signal_message(void *user, const struct wg_key *from,
				  const struct signal_body *m)
{
	struct engine_peer *p = engine_peer_find(user, from);
	if (p == NULL)
		return;
	int err = peer_conn_signal(p->conn, ev_now(), m);
	log_trace("engine", "signal message", LOG_KEY("peer", from), LOG_UINT("type", m->type),
		  LOG_ERRNO(err));
	engine_peer_drive(p);
}

static void engine_signal_state(void *user, bool connected, const char *why)
{
	struct engine *e = user;
	if (connected != !e->local.signal_down || !e->signal_tried)
		log_info("engine", connected ? "signal connected" : "signal not connected",
			 LOG_STR("url", e->signal_url), LOG_STR("why", why));
	bool first = !e->signal_tried;
	e->signal_tried = true;
	e->local.signal_down = !connected;
	(void)snprintf(e->signal_error, sizeof(e->signal_error), "%s", why);
	/* What was offered meanwhile is lost; at the very start nothing has been. */
	if (connected)
		engine_peer_reset_all(e, true);
	if (first)
		engine_check_ready(e);
	engine_say(e, ENGINE_EV_STATUS, "");
}

static int engine_start_signal(struct engine *e, const struct mgmt_host *h, struct ln_fail *f)
{
	char host[256];
	uint16_t port;
	if (agent_url_parse_host(slice_str(h->uri), h->https ? 443 : 80, host, &port) < 0)
		return ln_fail(f, LN_E_MALFORMED,
			       "the server names an unusable signal address '%.100s'", h->uri);
	char url[320];
	(void)snprintf(url, sizeof(url), "%s://%s", h->https ? "https" : "http", h->uri);
	e->signal_url = ln_strdup(url);
	struct signal_client_conf c = {
		.host = host,
		.port = port,
		.tls = h->https,
		.key = &e->conf.conf->key,
		.fwmark = e->conf.mark,
		.box_of = engine_signal_box,
		.on_message = engine_signal_message,
		.on_state = engine_signal_state,
		.user = e,
	};
	e->signal = signal_client_new(e->conf.loop, &c);
	return 0;
}

/* --- life --------------------------------------------------------------------------------------*/

static int engine_check_login(const struct mgmt_login_response *login, struct ln_fail *f)
{
	if (!login->has_self || login->self.address.addr.family != 4)
		return ln_fail(f, LN_E_MALFORMED, "the server gave this peer no address");
	if (!login->has_servers || !login->servers.has_signal)
		return ln_fail(f, LN_E_MALFORMED, "the server names no signal server");
	return 0;
}

static void engine_set_self(struct engine *e, const struct netmap_self *self)
{
	e->address = self->address;
	e->overlay[0] = ip_prefix_mask(&self->address);
	e->noverlay = 1;
	if (!e->conf.conf->disable_ipv6 && self->address_v6.addr.family == 6) {
		e->address_v6 = self->address_v6;
		e->overlay[1] = ip_prefix_mask(&self->address_v6);
		e->noverlay = 2;
	}
	e->fqdn = ln_strdup(self->fqdn != NULL ? self->fqdn : "");
}

static int engine_start_device(struct engine *e, struct ln_fail *f)
{
	const struct agent_conf *c = e->conf.conf;
	/* A crash may have left the interface, its table or its routes behind. */
	int err = plat_remove(e->conf.plat, e->ifname, e->filter_table, f);
	if (err < 0)
		return err;
	struct uwg_conf uc = {
		.ifname = e->ifname,
		.mtu = c->mtu,
		.port = c->wg_port,
		.first_port = e->conf.first_port,
		.key = &c->key,
		.fwmark = e->conf.mark,
		.redirect = e->conf.redirect,
	};
	err = wgif_new(e->conf.loop, e->conf.plat, e->conf.no_kernel, &uc, engine_on_uwg, e, &e->wg,
		       f);
	if (err < 0)
		return err;
	e->local.wg_port = wgif_port(e->wg);
	if (c->wg_port != 0 && e->local.wg_port != c->wg_port)
		log_warn("engine", "the WireGuard port is busy, using another",
			 LOG_UINT("wanted", c->wg_port), LOG_UINT("port", e->local.wg_port));
	return engine_apply_host(e, f);
}

int engine_new(const struct engine_conf *conf, const struct mgmt_login_response *login,
	       struct engine **ret, struct ln_fail *f)
{
	int err = engine_check_login(login, f);
	if (err < 0)
		return err;
	struct engine *e = ln_alloc(sizeof(*e));
	e->conf = *conf;
	(void)snprintf(e->ifname, sizeof(e->ifname), "%s", conf->ifname);
	(void)snprintf(e->filter_table, sizeof(e->filter_table), "%s", conf->filter_table);
	wg_secret_public(&conf->conf->key, &e->own);
	map_init(&e->peers, rng_u64(ev_rng()), rng_u64(ev_rng()));
	e->mux = ice_mux_new(ev_rng());
	heap_init(&e->due);
	ev_timer_init(&e->timer, conf->loop, engine_peer_due);
	ev_timer_init(&e->filter_watch, conf->loop, engine_on_filter_watch);
	if (!conf->conf->disable_firewall)
		ev_timer_after(&e->filter_watch, ENGINE_FILTER_WATCH);
	e->local.signal_down = true;
	engine_set_self(e, &login->self);
	engine_addr_init(e);
	engine_relay_init(e);
	engine_turn_init(e);
	/* The network is slow and the device is not: dial first. */
	err = engine_start_signal(e, &login->servers.signal, f);
	if (err == 0)
		err = engine_start_device(e, f);
	if (err < 0) {
		engine_free(e);
		return err;
	}
	e->lazy = login->self.lazy_connections;
	engine_portmap_init(e);
	(void)engine_addr_rescan(e, NULL);
	engine_addr_set_servers(e, &login->servers);
	engine_relay_set_servers(e, &login->servers);
	engine_turn_set_servers(e, &login->servers);
	log_info("engine", "network interface is up", LOG_STR("interface", e->ifname),
		 LOG_IP("address", &e->address.addr), LOG_UINT("port", e->local.wg_port));
	*ret = e;
	return 0;
}

void engine_free(struct engine *e)
{
	if (e == NULL)
		return;
	signal_client_free(e->signal);
	engine_portmap_fini(e);
	engine_addr_fini(e);
	engine_map_fini(e);
	engine_relay_fini(e);
	engine_turn_fini(e);
	ev_timer_fini(&e->timer);
	ev_timer_fini(&e->filter_watch);
	heap_fini(&e->due);
	map_fini(&e->peers);
	ice_mux_free(e->mux);
	wgif_free(e->wg);
	struct ln_fail f;
	if (plat_remove(e->conf.plat, e->ifname, e->filter_table, &f) < 0)
		log_warn("engine", "something of ours stays on this host",
			 LOG_STR("interface", e->ifname), LOG_STR("why", f.text));
	free(e->signal_url);
	free(e->fqdn);
	ev_defer_free(e->conf.loop, e);
}

void engine_sync(struct engine *e, const struct mgmt_sync_response *m)
{
	if (m->has_servers) {
		engine_addr_set_servers(e, &m->servers);
		engine_relay_set_servers(e, &m->servers);
		engine_turn_set_servers(e, &m->servers);
	}
	if (m->has_map)
		engine_map_apply(e, &m->map);
}

bool engine_network_changed(struct engine *e, bool default_route)
{
	bool lost = false;
	wgif_check(e->wg);
	bool changed = engine_addr_rescan(e, &lost);
	/* Connections whose packets now leave elsewhere with an address that is not at home there.
	 */
	bool moved = engine_addr_new_way(e) && default_route;
	bool anew = lost || (moved && e->conf.conf->network_monitor);
	/* Another way out may mean another NAT even with the same addresses. */
	engine_addr_gather(e, 1);
	if (!changed && !moved)
		return false;
	log_info("engine", "the host's network changed", LOG_UINT("candidates", e->local.nhosts),
		 LOG_STR("route", moved ? "another" : "the same"),
		 LOG_STR("paths", anew ? "all anew" : "kept"));
	if (anew)
		engine_peer_restart_all(e);
	engine_peer_local_changed(e);
	if (!anew)
		engine_peer_reset_all(e, true);
	if (lost || moved)
		signal_client_redial(e->signal);
	if (lost || moved)
		relay_client_redial(e->relay);
	return lost || moved;
}

void engine_dns_changed(struct engine *e)
{
	engine_addr_resolve(e);
	signal_client_hurry(e->signal);
	relay_client_hurry(e->relay);
	engine_turn_hurry(e);
}

void engine_woke(struct engine *e)
{
	wgif_check(e->wg);
	(void)engine_addr_rescan(e, NULL);
	(void)engine_addr_new_way(e);
	engine_addr_gather(e, 1);
	engine_peer_restart_all(e);
	engine_peer_reset_all(e, true);
	signal_client_redial(e->signal);
	relay_client_redial(e->relay);
}

bool engine_overlay_has(const struct engine *e, const struct ip_addr *a)
{
	for (unsigned i = 0; i < e->noverlay; i++)
		if (ip_prefix_contains(&e->overlay[i], a))
			return true;
	return false;
}

uint16_t engine_port(const struct engine *e)
{
	return e->local.wg_port;
}

const char *engine_ifname(const struct engine *e)
{
	return e->ifname;
}
