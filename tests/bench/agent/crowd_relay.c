/* The crowd at the relay: each member has its connection there, and reaches its peer by it. */
#include <stdio.h>
#include <string.h>

#include "lib/mgmt/mgmt_msg.h"
#include "lib/stun/stun_msg.h"

#include "tests/bench/agent/peer_crowd.h"

static void on_home(void *user, const char *instance, const struct ip_addr *server)
{
	struct member *m = user;
	nhome += (unsigned)(instance[0] != '\0') - (unsigned)(m->local.relay_url[0] != '\0');
	(void)snprintf(m->local.relay_url, sizeof(m->local.relay_url), "%s", instance);
	m->local.relay_ip = *server;
	if (m->conn == NULL)
		return;
	peer_conn_relay_home(m->conn, ev_now());
	member_drive(m);
}

static void on_relay_peer(void *user, struct relay_peer *p, bool up, const char *why)
{
	struct member *m = relay_peer_user(p);
	(void)user;
	if (up) {
		peer_conn_relay_up(m->conn, ev_now());
	} else {
		m->relayed = NULL;
		peer_conn_relay_down(m->conn, ev_now(), why);
	}
	member_drive(m);
}

static void on_relay_packet(void *user, struct relay_peer *p, struct slice data)
{
	struct member *m = relay_peer_user(p);
	uint8_t buf[2048];
	(void)user;
	if (stun_is_message(data)) {
		(void)!peer_conn_relay_stun(m->conn, ev_now(), data);
	} else if (data.n <= sizeof(buf)) {
		(void)peer_conn_relayed(m->conn, ev_now());
		struct ip_ep from = peer_conn_relay_source(m->conn);
		memcpy(buf, data.p, data.n);
		struct wg_rx rx = { .msg = mslice_of(buf, data.n), .from = &from };
		if (ip_is_set(&from.addr))
			wg_dev_open(m->wg, ev_now(), &rx, 1);
	}
	member_drive(m);
}

void member_relay_close(struct member *m)
{
	if (m->relayed != NULL)
		relay_client_close(m->relayed);
	m->relayed = NULL;
}

void member_relay_open(struct member *m, const struct peer_out *out)
{
	member_relay_close(m);
	m->relayed = relay_client_open(m->relay, &m->remote, out->relay_url, &out->relay_ip, m);
}

void member_relay_start(struct member *m)
{
	struct relay_client_conf c = { .own = &m->agent->key,
				       .transport = RELAY_TRANSPORT_WS,
				       .on_home = on_home,
				       .on_peer = on_relay_peer,
				       .on_packet = on_relay_packet,
				       .user = m };
	m->relay = relay_client_new(load.loop, &c);
}

/* The relay's token is good for every agent. */
void crowd_relay_named(void *user, enum grpc_status status, const char *text, struct slice reply)
{
	struct mgmt_login_response r;
	struct arena arena;
	struct slice plain;
	(void)text;
	load.over = true;
	arena_init(&arena, (size_t)1 << 20);
	if (status != GRPC_OK || !agent_open_reply(user, reply, &arena, &plain) ||
	    mgmt_login_response_read(plain, &arena, &r) != 0 || !r.has_servers ||
	    !r.servers.has_relay) {
		load.failed++;
		arena_fini(&arena);
		return;
	}
	const struct mgmt_relay *relay = &r.servers.relay;
	for (unsigned i = 0; i < load.nagents; i++) {
		members[i].local.relay_wanted = true;
		load.failed += relay_client_set(members[i].relay, relay->urls, relay->nurls,
						relay->token_payload, relay->token_signature) < 0;
	}
	arena_fini(&arena);
}
