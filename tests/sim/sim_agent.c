#include "tests/sim/sim_agent.h"

#include <stdlib.h>

#include "lib/stun/stun_msg.h"

/* The stand-in for WireGuard: type and sender's index, padded to the real sizes. */
enum wg_type {
	WG_INITIATION = 1,
	WG_RESPONSE = 2,
	WG_DATA = 4
};

#define WG_RETRY (5 * LN_SEC)
#define WG_REKEY (120 * LN_SEC)

static const char *const stun_servers[] = { "198.51.100.10:3478", "198.51.100.11:3478",
					    "[2001:db8:ffff::10]:3478" };

static ln_time now_of(const struct sim_agent *a)
{
	return a->world->clock.now;
}

static void settle(struct sim_agent *a);

static void wake(struct sim_event *e)
{
	struct sim_agent *a = ln_container(e, struct sim_agent, timer);
	if (!a->asleep)
		settle(a);
}

/* --- WireGuard's stand-in -------------------------------------------------------------------- */

static void wg_doubts(struct sim_event *e)
{
	struct sim_peer *p = ln_container(e, struct sim_peer, doubt);
	if (p->conn == NULL || p->agent->asleep)
		return;
	peer_conn_doubt(p->conn, now_of(p->agent));
	p->touched = true;
	settle(p->agent);
}

static void wg_send(struct sim_peer *p, enum wg_type type, const struct ip_ep *to)
{
	static const size_t size[] = { [WG_INITIATION] = 148, [WG_RESPONSE] = 92, [WG_DATA] = 128 };
	uint8_t pkt[148] = { (uint8_t)type, 0, 0, 0, (uint8_t)p->agent->index };
	p->tx_bytes += size[type];
	if (to->addr.family == 4 && to->addr.b[0] == 127)
		sim_relay_send(p, slice_of(pkt, size[type]));
	else if (ip_is_set(&to->addr))
		sim_host_send(&p->agent->host, p->agent->port, to, slice_of(pkt, size[type]));
}

static void wg_handshake_due(struct sim_event *e)
{
	struct sim_peer *p = ln_container(e, struct sim_peer, handshake);
	struct sim_clock *c = &p->agent->world->clock;
	if (!ip_is_set(&p->endpoint.addr) || p->agent->asleep)
		return;
	wg_send(p, WG_INITIATION, &p->endpoint);
	sim_clock_at(c, &p->handshake, c->now + WG_RETRY);
}

/* direct: not by the relay, whatever address it is shown under. */
static void wg_receive(struct sim_agent *a, const struct ip_ep *from, struct slice pkt, bool direct)
{
	if (pkt.n < 5 || pkt.p[4] >= a->world->nagents)
		return;
	struct sim_peer *p = &a->peers[pkt.p[4]];
	ln_time now = now_of(a);
	if (p->conn == NULL)
		return;
	p->rx_bytes += pkt.n;
	if (direct)
		sim_clock_at(&a->world->clock, &p->doubt, LN_TIME_NEVER);
	switch (pkt.p[0]) {
	case WG_INITIATION:
		p->endpoint = *from; /* authenticated packets move the endpoint */
		p->last_handshake = now;
		p->touched = true;
		wg_send(p, WG_RESPONSE, from);
		peer_conn_handshake(p->conn, now);
		break;
	case WG_RESPONSE:
		p->endpoint = *from;
		p->last_handshake = now;
		p->touched = true;
		peer_conn_handshake(p->conn, now);
		sim_clock_at(&a->world->clock, &p->handshake,
			     p->initiator ? now + WG_REKEY : LN_TIME_NEVER);
		break;
	case WG_DATA:
		if (p->last_handshake != 0) {
			p->endpoint = *from; /* WireGuard roams by data, too */
			p->pings++;
		}
		break;
	default:
		break;
	}
}

void sim_agent_relayed(struct sim_peer *p, struct slice pkt)
{
	if (p->agent->asleep)
		return;
	if (stun_is_message(pkt)) {
		p->touched |= peer_conn_relay_stun(p->conn, now_of(p->agent), pkt) == 0;
		settle(p->agent);
		return;
	}
	p->touched |= peer_conn_relayed(p->conn, now_of(p->agent));
	struct ip_ep from = peer_conn_relay_source(p->conn);
	if (!ip_is_set(&from.addr))
		return;
	wg_receive(p->agent, &from, pkt, from.addr.b[0] == 127);
	settle(p->agent);
}

void sim_agent_ping(struct sim_peer *p)
{
	struct sim_clock *c = &p->agent->world->clock;
	if (p->agent->asleep)
		return;
	/* Without a session WireGuard asks for one first. */
	if (p->last_handshake == 0 && ip_is_set(&p->endpoint.addr) &&
	    p->handshake.node.index == SIZE_MAX)
		sim_clock_at(c, &p->handshake, c->now);
	wg_send(p, WG_DATA, &p->endpoint);
	if (ip_is_set(&p->spare.addr))
		wg_send(p, WG_DATA, &p->spare);
	if (p->doubt_after != 0 && p->doubt.node.index == SIZE_MAX)
		sim_clock_at(c, &p->doubt, c->now + p->doubt_after);
}

/* --- effects of the cores -------------------------------------------------------------------- */

static void count_check(struct sim_peer *p, struct slice pkt)
{
	ln_time second = now_of(p->agent) / LN_SEC;
	if (pkt.n < 2 || pkt.p[0] != 0 || pkt.p[1] != 1)
		return;
	if (second != p->second) {
		p->second = second;
		p->in_second = 0;
	}
	p->checks++;
	p->in_second++;
	p->busiest_second = LN_MAX(p->busiest_second, p->in_second);
}

static void set_endpoint(struct sim_peer *p, const struct peer_out *out)
{
	struct sim_clock *c = &p->agent->world->clock;
	p->endpoint = out->to;
	if (out->reset)
		p->last_handshake = 0;
	if (out->initiate) {
		p->initiator = true;
		sim_clock_at(c, &p->handshake, c->now);
	}
	if (!ip_is_set(&out->to.addr))
		sim_clock_at(c, &p->handshake, LN_TIME_NEVER);
}

static void note_state(struct sim_peer *p)
{
	enum peer_state state = peer_conn_state(p->conn);
	struct peer_info info;
	peer_conn_info(p->conn, &info);
	if (state == PEER_CONNECTED) {
		p->pair = info.ice.pair;
		if (p->state != PEER_CONNECTED)
			p->connects++;
		if (p->connected_at == 0)
			p->connected_at = now_of(p->agent);
	}
	p->state = state;
}

static void apply(struct sim_peer *p, const struct peer_out *out)
{
	struct sim_agent *a = p->agent;
	switch (out->kind) {
	case PEER_OUT_SIGNAL:
		sim_signal_send(p, &out->body, out->token);
		break;
	case PEER_OUT_DATAGRAM:
		count_check(p, out->data);
		sim_host_send(&a->host, a->port, &out->to, out->data);
		break;
	case PEER_OUT_ENDPOINT:
		set_endpoint(p, out);
		break;
	case PEER_OUT_SPARE:
		p->spare = out->to;
		p->doubt_after = out->doubt_after;
		if (p->doubt_after == 0)
			sim_clock_at(&a->world->clock, &p->doubt, LN_TIME_NEVER);
		break;
	case PEER_OUT_STATE:
		note_state(p);
		break;
	case PEER_OUT_GATHER:
		/* After a loss the mapping may be another one: what is older than a second is
		 * asked again. */
		stun_query_start(a->query, now_of(a), LN_SEC);
		break;
	case PEER_OUT_STATS: {
		struct peer_wg_stats s = { .last_handshake = p->last_handshake,
					   .last_data_received = now_of(a),
					   .rx_bytes = p->rx_bytes,
					   .tx_bytes = p->tx_bytes };
		peer_conn_wg_stats(p->conn, now_of(a), &s);
		break;
	}
	case PEER_OUT_RELAY_OPEN:
		sim_relay_open(p);
		break;
	case PEER_OUT_RELAYED:
		sim_relay_send(p, out->data);
		break;
	case PEER_OUT_RELAY_CLOSE:
		sim_relay_close(p);
		break;
	}
}

static void local_changed(struct sim_agent *a)
{
	for (size_t i = 0; i < a->world->nagents; i++) {
		struct sim_peer *p = &a->peers[i];
		if (p->conn == NULL)
			continue;
		p->touched = true;
		peer_conn_local_changed(p->conn, now_of(a));
	}
}

/* The list of reflexive addresses as the queries know it now. */
static void refresh_srflx(struct sim_agent *a)
{
	const struct stun_query_server *list;
	struct peer_local *l = &a->local;
	size_t n = stun_query_list(a->query, &list);

	l->nsrflx = 0;
	for (size_t i = 0; i < n; i++) {
		bool known = list[i].state != STUN_QUERY_ANSWERED;
		for (unsigned k = 0; k < l->nsrflx; k++)
			known |= ip_ep_equal(&l->srflx[k], &list[i].mapped);
		for (unsigned k = 0; k < l->nhosts; k++)
			known |= ip_ep_equal(&l->hosts[k], &list[i].mapped);
		if (!known && l->nsrflx < PEER_LOCAL_SRFLX_MAX)
			l->srflx[l->nsrflx++] = list[i].mapped;
	}
	local_changed(a);
}

static bool drain_query(struct sim_agent *a)
{
	uint8_t buf[PEER_BUF_MIN];
	struct stun_query_out out;
	bool any = false;
	while (stun_query_poll(a->query, now_of(a), mslice_of(buf, sizeof(buf)), &out)) {
		any = true;
		if (out.kind == STUN_QUERY_SEND)
			sim_host_send(&a->host, a->port, &out.server, out.data);
		if (out.kind == STUN_QUERY_MAPPED)
			refresh_srflx(a);
	}
	return any;
}

static bool drain_peer(struct sim_peer *p)
{
	uint8_t buf[PEER_BUF_MIN];
	struct peer_out out;
	bool any = false;
	if (p->conn == NULL || (!p->touched && p->deadline > now_of(p->agent)))
		return false;
	ln_time now = now_of(p->agent);
	p->touched = false;
	peer_conn_route(p->conn, p->agent->mux, &p->slot);
	for (unsigned n = 0; peer_conn_poll(p->conn, now, mslice_of(buf, sizeof(buf)), &out); n++) {
		ln_assert(n < 1000); /* a core that never stops talking is a bug */
		any = true;
		apply(p, &out);
	}
	peer_conn_route(p->conn, p->agent->mux, &p->slot);
	p->deadline = peer_conn_deadline(p->conn);
	ln_assert(p->touched || p->deadline > now);
	return any;
}

/* Drains every core until all are silent, then sleeps until the earliest deadline. */
static void settle(struct sim_agent *a)
{
	bool any = true;
	while (any) {
		any = drain_query(a);
		for (size_t i = 0; i < a->world->nagents; i++)
			any |= drain_peer(&a->peers[i]);
	}
	ln_time at = stun_query_deadline(a->query);
	for (size_t i = 0; i < a->world->nagents; i++)
		if (a->peers[i].conn != NULL)
			at = ln_time_min(at, a->peers[i].deadline);
	ln_assert(at > now_of(a));
	sim_clock_at(&a->world->clock, &a->timer, at);
}

/* --- inputs ---------------------------------------------------------------------------------- */

static void receive(struct sim_host *h, const struct ip_ep *from, const struct ip_ep *to,
		    struct slice data)
{
	struct sim_agent *a = ln_container(h, struct sim_agent, host);
	if (a->world->closing || a->asleep || to->port != a->port)
		return;
	if (!stun_is_message(data)) {
		if (!a->world->wg_blocked && !a->world->apart)
			wg_receive(a, from, data, true);
	} else if (stun_query_input(a->query, now_of(a), from, data) == LN_E_NOTFOUND &&
		   !a->world->apart) {
		struct sim_peer *p = ice_mux_find(a->mux, data);
		if (p != NULL) {
			(void)peer_conn_stun(p->conn, now_of(a), from, data);
			p->touched = true;
		}
	}
	settle(a);
}

void sim_agent_signal(struct sim_agent *a, struct sim_agent *from, struct slice body)
{
	struct peer_conn *c = a->peers[from->index].conn;
	struct signal_body m;
	struct arena arena;
	if (c == NULL || a->asleep)
		return;
	arena_init(&arena, 8192);
	ln_assert(signal_body_read(body, &arena, &m) == 0);
	(void)!peer_conn_signal(c, now_of(a), &m);
	a->peers[from->index].touched = true;
	arena_fini(&arena);
	settle(a);
}

/* --- what happens to a host (in the engine: engine.c) ------------------------------------------
 */

static void for_each_peer(struct sim_agent *a, void (*fn)(struct sim_agent *a, struct sim_peer *p))
{
	for (size_t i = 0; i < a->world->nagents; i++) {
		struct sim_peer *p = &a->peers[i];
		if (p->conn == NULL)
			continue;
		fn(a, p);
		p->touched = true;
	}
	sim_clock_at(&a->world->clock, &a->timer, now_of(a));
}

static void reset_guard(struct sim_agent *a, struct sim_peer *p)
{
	peer_conn_reset_guard(p->conn, now_of(a), true);
}

static void restart(struct sim_agent *a, struct sim_peer *p)
{
	peer_conn_restart(p->conn, now_of(a));
	peer_conn_local_changed(p->conn, now_of(a));
}

void sim_agent_signal_back(struct sim_agent *a)
{
	for_each_peer(a, reset_guard);
}

void sim_agent_move(struct sim_agent *a, struct sim_segment *s, const char *addr)
{
	sim_host_detach(&a->host);
	sim_host_attach(&a->host, s, addr);
	a->local.nsrflx = 0;
	a->local.nhosts = 1;
	a->local.hosts[0] = (struct ip_ep){ a->host.addrs[0], a->port };
	stun_query_start(a->query, now_of(a), 0);
	for_each_peer(a, restart);
}

void sim_agent_sleep(struct sim_agent *a)
{
	a->asleep = true;
}

void sim_agent_wake(struct sim_agent *a)
{
	a->asleep = false;
	stun_query_start(a->query, now_of(a), LN_SEC);
	for_each_peer(a, restart);
}

struct sim_agent *sim_agent_new(struct sim_world *w, size_t index)
{
	struct ip_ep servers[LN_COUNT(stun_servers)];
	struct sim_agent *a = ln_alloc(sizeof(*a));
	a->world = w;
	a->index = index;
	a->port = SIM_WG_PORT;
	rng_fill(&w->rng.rng, a->key.b, sizeof(a->key.b));
	sim_host_init(&a->host, &w->net, receive);
	sim_event_init(&a->timer, wake);
	a->query = stun_query_new(&w->rng.rng);
	a->mux = ice_mux_new(&w->rng.rng);
	for (size_t i = 0; i < LN_COUNT(stun_servers); i++)
		ln_assert(ip_ep_parse(slice_str(stun_servers[i]), &servers[i]) == 0);
	stun_query_set_servers(a->query, servers, LN_COUNT(servers));
	for (size_t i = 0; i < SIM_AGENTS_MAX; i++) {
		sim_event_init(&a->peers[i].handshake, wg_handshake_due);
		sim_event_init(&a->peers[i].doubt, wg_doubts);
	}
	return a;
}

void sim_agent_stop(struct sim_agent *a)
{
	for (size_t i = 0; i < SIM_AGENTS_MAX; i++) {
		sim_clock_at(&a->world->clock, &a->peers[i].handshake, LN_TIME_NEVER);
		sim_clock_at(&a->world->clock, &a->peers[i].doubt, LN_TIME_NEVER);
		ice_mux_set(a->mux, &a->peers[i].slot, "", NULL);
		peer_conn_free(a->peers[i].conn);
		a->peers[i].conn = NULL;
	}
	sim_clock_at(&a->world->clock, &a->timer, LN_TIME_NEVER);
	stun_query_free(a->query);
	a->query = NULL;
	ice_mux_free(a->mux);
	a->mux = NULL;
}

void sim_agent_add_peer(struct sim_agent *a, struct sim_agent *remote)
{
	struct sim_peer *p = &a->peers[remote->index];
	struct peer_conn_conf conf = {
		.own = a->key,
		.remote = remote->key,
		.local = &a->local,
		.version = "0.77.1",
		.noverlay = a->world->noverlay,
	};
	memcpy(conf.overlay, a->world->overlay, sizeof(a->world->overlay));
	if (a->world->relay.used)
		conf.relay_ep =
			(struct ip_ep){ .addr = ip_v4(0x7f010000u | (uint32_t)remote->index),
					.port = a->port };
	if (a->local.nhosts == 0) {
		a->local.wg_port = a->port;
		for (size_t i = 0; i < a->host.naddrs; i++)
			a->local.hosts[a->local.nhosts++] =
				(struct ip_ep){ a->host.addrs[i], a->port };
		stun_query_start(a->query, now_of(a), 0);
	}
	p->agent = a;
	p->slot.owner = p;
	p->remote = remote;
	p->conn = peer_conn_new(&conf, &a->world->rng.rng, now_of(a));
	peer_conn_open(p->conn, now_of(a));
	p->touched = true;
	sim_clock_at(&a->world->clock, &a->timer, now_of(a));
}
