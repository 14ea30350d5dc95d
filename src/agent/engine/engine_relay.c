/* Relays: the client of src/agent/relay_client.h joined to the peers and to WireGuard. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/stun/stun_msg.h"

#include "src/agent/engine/engine_internal.h"
#include "src/obs/obs_log.h"

#define ENGINE_RELAY_SLOTS 65536u /* addresses of 127.1.0.0/16 */

/* --- what the client says ----------------------------------------------------------------------*/

static void engine_relay_on_home(void *user, const char *instance, const struct ip_addr *server)
{
	struct engine *e = user;
	(void)snprintf(e->local.relay_url, sizeof(e->local.relay_url), "%s",
		       strlen(instance) <= PEER_RELAY_URL_MAX ? instance : "");
	e->local.relay_ip = *server;
	map_for_each(n, &e->peers) {
		struct engine_peer *p = map_entry(n, struct engine_peer, node);
		if (peer_conn_state(p->conn) == PEER_IDLE)
			continue;
		peer_conn_relay_home(p->conn, ev_now());
		heap_set(&e->due, &p->due, ev_now());
	}
	ev_timer_at(&e->timer, heap_deadline(&e->due));
	engine_say(e, ENGINE_EV_STATUS, "");
}

static void engine_relay_on_peer(void *user, struct relay_peer *rp, bool up, const char *why)
{
	struct engine_peer *p = relay_peer_user(rp);
	(void)user;
	log_debug("engine", up ? "peer reached by relay" : "peer not reached by relay",
		  LOG_KEY("peer", &p->key), LOG_STR("why", why));
	if (up) {
		peer_conn_relay_up(p->conn, ev_now());
	} else {
		p->relay = NULL;
		peer_conn_relay_down(p->conn, ev_now(), why);
	}
	engine_peer_drive(p);
}

static void engine_relay_on_packet(void *user, struct relay_peer *rp, struct slice data)
{
	struct engine *e = user;
	struct engine_peer *p = relay_peer_user(rp);
	if (stun_is_message(data)) {
		if (peer_conn_relay_stun(p->conn, ev_now(), data) == 0)
			engine_peer_drive(p);
		return;
	}
	if (peer_conn_relayed(p->conn, ev_now()))
		engine_peer_drive(p);
	struct ip_ep from = peer_conn_relay_source(p->conn);
	if (ip_is_set(&from.addr))
		wgif_inject(e->wg, &from, data);
}

/* --- what WireGuard sends ----------------------------------------------------------------------*/

void engine_relay_packets(struct engine *e, struct slice batch)
{
	struct ip_ep to;
	struct slice data;
	while (uwg_relay_next(&batch, &to, &data)) {
		if (ice_via_is(&to)) {
			engine_turn_send(e, &to, data);
			continue;
		}
		unsigned slot = (unsigned)to.addr.b[2] << 8 | to.addr.b[3];
		struct engine_peer *p = e->relay_slots[slot];
		if (p != NULL && p->relay != NULL)
			relay_peer_send(p->relay, data);
	}
}

/* --- peers -------------------------------------------------------------------------------------*/

/* The last two bytes of the peer's address, or the next that are free (spec 4.6, trap 40). */
void engine_relay_add(struct engine_peer *p)
{
	struct engine *e = p->engine;
	unsigned first = p->v4.family == 4 ? (unsigned)p->v4.b[2] << 8 | p->v4.b[3] : 0;
	for (unsigned i = 0; i < ENGINE_RELAY_SLOTS; i++) {
		unsigned slot = (first + i) % ENGINE_RELAY_SLOTS;
		if (e->relay_slots[slot] != NULL)
			continue;
		e->relay_slots[slot] = p;
		p->relay_slot = slot;
		p->relay_ep = (struct ip_ep){ .addr = ip_v4(0x7f010000u | slot),
					      .port = e->local.wg_port };
		return;
	}
}

void engine_relay_remove(struct engine_peer *p)
{
	if (ip_is_set(&p->relay_ep.addr))
		p->engine->relay_slots[p->relay_slot] = NULL;
	engine_relay_close(p);
}

void engine_relay_open(struct engine_peer *p, const struct peer_out *out)
{
	engine_relay_close(p);
	p->relay = relay_client_open(p->engine->relay, &p->key, out->relay_url, &out->relay_ip, p);
}

void engine_relay_close(struct engine_peer *p)
{
	if (p->relay != NULL)
		relay_client_close(p->relay);
	p->relay = NULL;
}

/* --- life --------------------------------------------------------------------------------------*/

void engine_relay_init(struct engine *e)
{
	struct relay_client_conf c = {
		.own = &e->own,
		.fwmark = e->conf.mark,
		.transport = relay_transport_parse(e->conf.relay_transport),
		.mtu = e->conf.conf->mtu,
		.on_home = engine_relay_on_home,
		.on_peer = engine_relay_on_peer,
		.on_packet = engine_relay_on_packet,
		.user = e,
	};
	e->relay_slots = ln_calloc(ENGINE_RELAY_SLOTS, sizeof(struct engine_peer *));
	e->relay = relay_client_new(e->conf.loop, &c);
}

void engine_relay_fini(struct engine *e)
{
	relay_client_free(e->relay);
	e->relay = NULL;
	free(e->relay_slots);
	e->relay_slots = NULL;
}

void engine_relay_set_servers(struct engine *e, const struct mgmt_servers *s)
{
	/* A list without relays turns them off (spec relay trap 13). */
	size_t n = s->has_relay ? s->relay.nurls : 0;
	e->local.relay_wanted = n > 0;
	if (relay_client_set(e->relay, s->relay.urls, n, s->relay.token_payload,
			     s->relay.token_signature) < 0)
		log_warn("engine", "the server's relay token is unusable");
}
