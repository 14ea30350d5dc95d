/* What status shows of one network (spec agent 1.3, 1.6). */
#include <stdio.h>
#include <strings.h>

#include "src/agent/engine/engine_internal.h"
#include "src/obs/obs_log.h"

#define ENGINE_STATUS_RELAYS 32

static const char *engine_status_ip(struct arena *a, const struct ip_addr *ip)
{
	char text[IP_TEXT_MAX];
	if (ip->family == 0)
		return "";
	ip_format(ip, text);
	return arena_strdup(a, text);
}

static const char *engine_status_prefix(struct arena *a, const struct ip_prefix *p)
{
	char text[IP_PREFIX_TEXT_MAX];
	if (p->addr.family == 0)
		return "";
	ip_prefix_format(p, text);
	return arena_strdup(a, text);
}

static const char *engine_status_ep(struct arena *a, const struct ip_ep *ep)
{
	char text[IP_EP_TEXT_MAX];
	if (ep->addr.family == 0)
		return "";
	ip_ep_format(ep, text);
	return arena_strdup(a, text);
}

static const char *engine_status_key(struct arena *a, const struct wg_key *k)
{
	char text[WG_KEY_TEXT];
	wg_key_format(k, text);
	return arena_strdup(a, text);
}

/*
 * What answers no probes by the relay answers handshakes: the last one that went there says about
 * how long that takes, if it was ours.
 */
static void engine_status_estimate(const struct engine_peer *p, const struct uwg_peer_stats *s,
				   struct daemon_path_state *w)
{
	if (w->rtt != 0 || s->handshake_rtt == 0 || !ip_ep_equal(&s->handshake_to, &p->relay_ep))
		return;
	w->rtt = s->handshake_rtt;
	w->estimated = true;
}

static void engine_status_paths(const struct engine_peer *p, const struct peer_info *info,
				const struct uwg_peer_stats *s, struct arena *a,
				struct daemon_peer_state *ret)
{
	struct peer_way ways[PEER_WAYS_MAX];
	size_t n = peer_conn_ways(p->conn, ways);
	struct daemon_path_state *v = arena_calloc(a, n + 1, sizeof(*v));
	if (v == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		const struct peer_way *w = &ways[i];
		bool relayed = w->path == PEER_PATH_RELAY;
		struct ip_ep remote = ice_via_undo(&w->pair.remote.addr);
		v[i] = (struct daemon_path_state){
			.kind = relayed ? "Relayed" : "P2P",
			.local = relayed ? "" : engine_status_ep(a, &w->pair.local.addr),
			.remote = relayed ? arena_strdup(a, info->relay_url)
					  : engine_status_ep(a, &remote),
			.used = w->used,
			.rtt = w->quality.rtt,
			.variation = w->quality.rtt != 0 ? w->quality.var : 0,
			.checks = (int32_t)w->quality.n,
			.checks_lost =
				(int32_t)ice_quality_count_lost(&w->quality, ICE_QUALITY_WINDOW),
		};
		if (v[i].local == NULL || v[i].remote == NULL)
			return;
		if (relayed)
			engine_status_estimate(p, s, &v[i]);
		if (!w->used)
			continue;
		ret->latency = v[i].rtt;
		ret->checks = v[i].checks;
		ret->checks_lost = v[i].checks_lost;
	}
	ret->paths = v;
	ret->npaths = n;
}

static void engine_status_peer(struct engine_peer *p, struct arena *a,
			       struct daemon_peer_state *ret)
{
	struct peer_info info;
	struct uwg_peer_stats s = { 0 };
	peer_conn_info(p->conn, &info);
	if (wgif_peer_stats(p->engine->wg, &p->key, &s) < 0)
		s = (struct uwg_peer_stats){ 0 };
	*ret = (struct daemon_peer_state){
		.ip = engine_status_ip(a, &p->v4),
		.ipv6 = engine_status_ip(a, &p->v6),
		.key = engine_status_key(a, &p->key),
		.fqdn = arena_strdup(a, p->fqdn),
		.status = peer_state_name(info.state),
		.status_changed = p->changed,
		.local_cand_type = "",
		.remote_cand_type = "",
		.local_cand_ep = "",
		.remote_cand_ep = "",
		.relay_address = "",
		.reason = arena_strdup(a, info.reason),
	};
	if (info.state != PEER_CONNECTED)
		return;
	ret->last_handshake = s.last_handshake_wall;
	ret->rx_bytes = (int64_t)s.rx_bytes;
	ret->tx_bytes = (int64_t)s.tx_bytes;
	if (info.relay_up)
		ret->relay_address = arena_strdup(a, info.relay_url);
	ret->relayed = info.path == PEER_PATH_RELAY;
	engine_status_paths(p, &info, &s, a, ret);
	if (ret->relayed)
		return;
	ret->local_cand_type = ice_cand_type_name(info.ice.pair.local.type);
	ret->remote_cand_type = ice_cand_type_name(info.ice.pair.remote.type);
	ret->local_cand_ep = engine_status_ep(a, &info.ice.pair.local.addr);
	struct ip_ep remote = ice_via_undo(&info.ice.pair.remote.addr);
	ret->remote_cand_ep = engine_status_ep(a, &remote);
}

static void engine_status_offline(const struct engine_offline *o, struct arena *a,
				  struct daemon_peer_state *ret)
{
	*ret = (struct daemon_peer_state){
		.ip = engine_status_ip(a, &o->v4),
		.ipv6 = engine_status_ip(a, &o->v6),
		.key = engine_status_key(a, &o->key),
		.fqdn = arena_strdup(a, o->fqdn),
		.status = peer_state_name(PEER_IDLE),
		.local_cand_type = "",
		.remote_cand_type = "",
		.local_cand_ep = "",
		.remote_cand_ep = "",
		.relay_address = "",
		.reason = "not connected to the server",
	};
}

static int engine_status_servers(struct engine *e, struct arena *a,
				 struct daemon_status_response *ret)
{
	const struct stun_query_server *v;
	struct relay_client_state relays[ENGINE_STATUS_RELAYS];
	size_t n = stun_query_list(e->stun, &v);
	size_t nrelays = relay_client_list(e->relay, relays, LN_COUNT(relays));
	struct daemon_relay_state *out = arena_calloc(a, n + nrelays + 1, sizeof(*out));
	if (out == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < n; i++) {
		char ep[IP_EP_TEXT_MAX];
		ip_ep_format(&v[i].addr, ep);
		bool known = v[i].mapped.addr.family != 0;
		out[i] = (struct daemon_relay_state){
			.uri = arena_printf(a, "stun:%s", ep),
			.available = known && v[i].state != STUN_QUERY_FAILED,
			.error = v[i].state == STUN_QUERY_FAILED ? "no answer"
				 : known                         ? ""
								 : "not asked yet",
			.transport = "",
		};
		if (out[i].uri == NULL)
			return LN_E_LIMIT;
	}
	for (size_t i = 0; i < nrelays; i++) {
		out[n + i] = (struct daemon_relay_state){
			.uri = arena_strdup(a, relays[i].url),
			.available = relays[i].connected,
			.error = arena_strdup(a, relays[i].error),
			.transport = !relays[i].connected ? ""
				     : relays[i].quic     ? "quic"
							  : "ws",
		};
		if (out[n + i].uri == NULL || out[n + i].error == NULL)
			return LN_E_LIMIT;
	}
	ret->relays = out;
	ret->nrelays = n + nrelays;
	return 0;
}

int engine_status(struct engine *e, struct arena *a, struct daemon_status_response *ret)
{
	size_t cap = e->peers.count + e->noffline, n = 0;
	struct daemon_peer_state *v = arena_calloc(a, cap + 1, sizeof(*v));
	if (v == NULL)
		return LN_E_LIMIT;
	map_for_each(node, &e->peers)
		engine_status_peer(map_entry(node, struct engine_peer, node), a, &v[n++]);
	for (size_t i = 0; i < e->noffline; i++)
		engine_status_offline(&e->offline[i], a, &v[n++]);
	/* One look behind the loop instead of one per text: the arena's last words decide. */
	for (size_t i = 0; i < n; i++)
		if (v[i].ip == NULL || v[i].ipv6 == NULL || v[i].key == NULL || v[i].fqdn == NULL ||
		    v[i].reason == NULL || v[i].local_cand_ep == NULL ||
		    v[i].remote_cand_ep == NULL || v[i].relay_address == NULL)
			return LN_E_LIMIT;
	ret->peers = v;
	ret->npeers = n;
	ret->ip = engine_status_prefix(a, &e->address);
	ret->ipv6 = engine_status_prefix(a, &e->address_v6);
	ret->key = engine_status_key(a, &e->own);
	ret->fqdn = arena_strdup(a, e->fqdn);
	ret->wg_port = e->local.wg_port;
	ret->lazy = e->lazy;
	ret->kernel_interface = wgif_is_kernel(e->wg);
	ret->signal.url = arena_strdup(a, e->signal_url);
	ret->signal.connected = signal_client_connected(e->signal);
	ret->signal.error = ret->signal.connected ? "" : arena_strdup(a, e->signal_error);
	if (ret->ip == NULL || ret->ipv6 == NULL || ret->key == NULL || ret->fqdn == NULL ||
	    ret->signal.url == NULL || ret->signal.error == NULL)
		return LN_E_LIMIT;
	return engine_status_servers(e, a, ret);
}

/* --- one peer by name --------------------------------------------------------------------------*/

static bool engine_status_is_called(const struct engine_peer *p, const char *name)
{
	struct ip_addr ip;
	struct wg_key key;
	if (ip_parse(slice_str(name), &ip) == 0)
		return ip_equal(&ip, &p->v4) || ip_equal(&ip, &p->v6);
	if (wg_key_parse(slice_str(name), &key) == 0)
		return wg_key_equal(&key, &p->key);
	size_t n = strlen(name), label = strcspn(p->fqdn, ".");
	return strcasecmp(p->fqdn, name) == 0 || (n == label && strncasecmp(p->fqdn, name, n) == 0);
}

int engine_reconnect(struct engine *e, const char *name, struct arena *a,
		     struct daemon_reconnect_response *ret, struct ln_fail *f)
{
	struct engine_peer *found = NULL;
	map_for_each(node, &e->peers) {
		struct engine_peer *p = map_entry(node, struct engine_peer, node);
		if (name[0] == '\0' || !engine_status_is_called(p, name))
			continue;
		if (found != NULL)
			return ln_fail(f, LN_E_CONFLICT,
				       "several peers are called \"%.60s\": say the full name",
				       name);
		found = p;
	}
	for (size_t i = 0; found == NULL && i < e->noffline; i++)
		if (strcasecmp(e->offline[i].fqdn, name) == 0)
			return ln_fail(f, LN_E_NOTFOUND,
				       "the peer \"%.60s\" is not connected to the server", name);
	if (found == NULL)
		return ln_fail(f, LN_E_NOTFOUND, "there is no peer \"%.60s\"", name);
	*ret = (struct daemon_reconnect_response){
		.fqdn = arena_strdup(a, found->fqdn),
		.ip = engine_status_ip(a, &found->v4),
		.key = engine_status_key(a, &found->key),
	};
	if (ret->fqdn == NULL || ret->ip == NULL || ret->key == NULL)
		return ln_fail(f, LN_E_LIMIT, "the answer is too long");
	log_info("engine", "a path is negotiated anew, as somebody wishes",
		 LOG_KEY("peer", &found->key), LOG_STR("name", found->fqdn));
	peer_conn_reconnect(found->conn, ev_now());
	engine_peer_drive(found);
	return 0;
}
