/*
 * N agents in one process, as far as one real agent can tell: each registers, holds a signal
 * stream and a connection to the relay, answers offers, checks and handshakes from a UDP port of
 * its own, and sends keepalives.
 * They connect to whoever offers first and have no interface. Prints how many are connected, as a
 * JSON line whenever that changed, once a second.
 *
 * Usage: peer_crowd --url http://10.0.0.1:80 --setup-key K --address A [--peers N] [--first-port P]
 */
#include "tests/bench/agent/peer_crowd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/mgmt/mgmt_msg.h"
#include "lib/stun/stun_msg.h"

struct load load;

static struct {
	const char *address;
	unsigned first_port;
} conf = { .first_port = 20000 };

struct member *members;
unsigned nhome;
static unsigned nconnected, nhandshakes;
static uint8_t room[WG_DEV_POLL_ROOM];

/* --- the port ---------------------------------------------------------------------------------*/

static void send_to(const struct member *m, const struct ip_ep *to, struct slice data)
{
	struct sockaddr_storage sa;
	socklen_t n = ip_ep_to_sockaddr(to, &sa);
	if (to->addr.family == 4)
		(void)!sendto(m->fd, data.p, data.n, MSG_DONTWAIT, (struct sockaddr *)&sa, n);
}

static void take_datagram(struct member *m, const struct ip_ep *from, struct mslice msg)
{
	ln_time now = ev_now();
	if (stun_is_message(slice_from(msg))) {
		if (m->conn != NULL)
			(void)!peer_conn_stun(m->conn, now, from, slice_from(msg));
		return;
	}
	struct wg_rx rx = { .msg = msg, .from = from };
	wg_dev_open(m->wg, now, &rx, 1);
}

static void on_port(struct ev_io *io, unsigned events)
{
	struct member *m = ln_container(io, struct member, io);
	uint8_t buf[2048];
	(void)events;
	for (unsigned i = 0; i < 16; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		struct ip_ep from;
		ssize_t n = recvfrom(m->fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&sa,
				     &len);
		if (n <= 0)
			break;
		if (ip_ep_from_sockaddr((struct sockaddr *)&sa, &from) == 0)
			take_datagram(m, &from, mslice_of(buf, (size_t)n));
	}
	member_drive(m);
}

static int open_port(struct member *m, unsigned port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct ip_ep *host = &m->local.hosts[0];
	if (inet_pton(AF_INET, conf.address, &sa.sin_addr) != 1)
		return -EINVAL;
	m->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->fd < 0 || bind(m->fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		return -errno;
	*host = (struct ip_ep){ .addr = ip_v4(ntohl(sa.sin_addr.s_addr)), .port = (uint16_t)port };
	m->local.nhosts = 1;
	m->local.wg_port = (uint16_t)port;
	return ev_io_init(&m->io, load.loop, m->fd, on_port);
}

/* --- signal -----------------------------------------------------------------------------------*/

static const struct box_key *box_of(void *user, const struct wg_key *from)
{
	struct member *m = user;
	if (m->conn != NULL)
		return wg_key_equal(from, &m->remote) ? &m->box : NULL;
	return box_key_init(&m->box, &m->agent->secret, from) == 0 ? &m->box : NULL;
}

/* Whoever offers is the peer. */
static void meet(struct member *m, const struct wg_key *from)
{
	static const struct ip_prefix all = { .addr.family = 4 };
	struct wg_peer_conf peer = { .key = *from, .allowed = &all, .nallowed = 1 };
	struct peer_conn_conf c = {
		.own = m->agent->key,
		.remote = *from,
		.local = &m->local,
		.version = "0.77.1",
		.relay_ep = { .addr = ip_v4(0x7f010001u), .port = 1 },
	};
	if (wg_dev_set_peer(m->wg, ev_now(), &peer) != 0)
		return;
	m->remote = *from;
	m->conn = peer_conn_new(&c, ev_rng(), ev_now());
}

static void on_message(void *user, const struct wg_key *from, const struct signal_body *body)
{
	struct member *m = user;
	if (m->conn == NULL)
		meet(m, from);
	if (m->conn == NULL)
		return;
	(void)!peer_conn_signal(m->conn, ev_now(), body);
	member_drive(m);
}

static void on_state(void *user, bool connected, const char *why)
{
	(void)user, (void)connected, (void)why;
}

static void on_sent(void *user, const struct wg_key *to, uint64_t token, bool ok)
{
	struct member *m = user;
	(void)to;
	peer_conn_sent(m->conn, ev_now(), token, ok);
	member_drive(m);
}

/* --- the cores --------------------------------------------------------------------------------*/

static void give_stats(struct member *m)
{
	struct wg_peer_stats s;
	struct peer_wg_stats w = { 0 };
	if (wg_dev_stats(m->wg, &m->remote, &s) == 0) {
		w.last_handshake = s.last_handshake;
		w.last_data_received = s.last_data_received;
		w.rx_bytes = s.rx_bytes;
		w.tx_bytes = s.tx_bytes;
	}
	peer_conn_wg_stats(m->conn, ev_now(), &w);
}

static void set_endpoint(struct member *m, const struct peer_out *out)
{
	static const struct ip_prefix all = { .addr.family = 4 };
	struct wg_peer_conf peer = {
		.key = m->remote, .allowed = &all, .nallowed = 1, .keepalive = out->keepalive
	};
	if (out->reset)
		(void)!wg_dev_remove_peer(m->wg, &m->remote);
	if (wg_dev_set_peer(m->wg, ev_now(), &peer) == 0)
		(void)!wg_dev_set_endpoint(m->wg, ev_now(), &m->remote, &out->to, out->initiate);
}

static void output(struct member *m, const struct peer_out *out)
{
	switch (out->kind) {
	case PEER_OUT_SIGNAL:
		signal_client_send(m->signal, &m->remote, &m->box, &out->body,
				   out->token != 0 ? on_sent : NULL, out->token);
		break;
	case PEER_OUT_DATAGRAM:
		send_to(m, &out->to, out->data);
		break;
	case PEER_OUT_ENDPOINT:
		set_endpoint(m, out);
		break;
	case PEER_OUT_STATE: {
		bool connected = peer_conn_state(m->conn) == PEER_CONNECTED;
		nconnected += (unsigned)connected - (unsigned)m->connected;
		m->connected = connected;
		break;
	}
	case PEER_OUT_STATS:
		give_stats(m);
		break;
	case PEER_OUT_RELAY_OPEN:
		member_relay_open(m, out);
		break;
	case PEER_OUT_RELAY_CLOSE:
		member_relay_close(m);
		break;
	case PEER_OUT_RELAYED:
		if (m->relayed != NULL)
			relay_peer_send(m->relayed, out->data);
		break;
	case PEER_OUT_GATHER: /* all in one network */
	case PEER_OUT_SPARE:  /* it has nothing to send */
		break;
	}
}

static void drive_wg(struct member *m)
{
	struct wg_out o;
	while (wg_dev_poll(m->wg, ev_now(), mslice_of(room, sizeof(room)), &o)) {
		if (o.kind == WG_OUT_DATAGRAM && o.ep.addr.b[0] != 127)
			send_to(m, &o.ep, slice_of(room, o.len));
		else if (o.kind == WG_OUT_DATAGRAM && m->relayed != NULL)
			relay_peer_send(m->relayed, slice_of(room, o.len));
		if (o.kind == WG_OUT_HANDSHAKE && m->conn != NULL) {
			nhandshakes++;
			peer_conn_handshake(m->conn, ev_now());
		}
	}
}

void member_drive(struct member *m)
{
	uint8_t buf[PEER_BUF_MIN];
	struct peer_out out;
	drive_wg(m);
	ln_time at = wg_dev_deadline(m->wg);
	if (m->conn != NULL) {
		while (peer_conn_poll(m->conn, ev_now(), mslice_of(buf, sizeof(buf)), &out))
			output(m, &out);
		drive_wg(m);
		at = ln_time_min(wg_dev_deadline(m->wg), peer_conn_deadline(m->conn));
	}
	ev_timer_at(&m->timer, at);
}

static void on_due(struct ev_timer *t)
{
	member_drive(ln_container(t, struct member, timer));
}

/* --- life -------------------------------------------------------------------------------------*/

void phase_step(void)
{
	while (load.busy < 64 && load.next < load.nagents) {
		load.busy++;
		agent_login(load.agents[load.next++]);
	}
	load.over = load.done == load.nagents;
}

static void on_server_key(void *user, enum grpc_status status, const char *text, struct slice reply)
{
	(void)user, (void)text;
	if (status != GRPC_OK || mgmt_server_key_read(reply, &load.server_key) != 0)
		load.failed++;
	load.over = true;
}

static void wait_for_end(const char *what)
{
	ln_time end = ev_now() + LN_MINUTE;
	while (!load.over && ev_now() < end)
		ev_loop_turn(load.loop, 50 * LN_MSEC);
	if (!load.over || load.failed != 0) {
		fprintf(stderr, "peer_crowd: %s: %u failed\n", what, load.failed);
		exit(1);
	}
	load.over = false;
}

static void fetch_server_key(void)
{
	struct agent first = { 0 };
	ev_timer_init(&first.retry, load.loop, NULL);
	agent_connect(&first);
	grpc_channel_unary(first.channel, "/management.ManagementService/GetServerKey",
			   slice_of(NULL, 0), ev_now() + 5 * LN_SEC, on_server_key, NULL);
	wait_for_end("the server's key");
	agent_cut(&first);
	ev_timer_fini(&first.retry);
}

static void register_all(void)
{
	load.agents = ln_calloc(load.nagents, sizeof(*load.agents));
	load.times = ln_calloc(load.nagents, sizeof(*load.times));
	for (unsigned i = 0; i < load.nagents; i++)
		load.agents[i] = agent_new(i);
	phase_step();
	wait_for_end("registration");
	for (unsigned i = 0; i < load.nagents; i++)
		agent_cut(load.agents[i]);
}

static void start_member(struct member *m, unsigned i)
{
	struct wg_dev_conf c;
	m->agent = load.agents[i];
	struct signal_client_conf sc = {
		.host = load.host,
		.port = load.url.port,
		.tls = load.url.tls,
		.key = &m->agent->secret,
		.box_of = box_of,
		.on_message = on_message,
		.on_state = on_state,
		.user = m,
	};
	wg_dev_conf_default(&c);
	c.secret = &m->agent->secret;
	c.mtu = 1280;
	m->wg = wg_dev_new(&c, ev_rng());
	wg_dev_set_wall(m->wg, ev_now(), ev_wall());
	ev_timer_init(&m->timer, load.loop, on_due);
	int err = open_port(m, conf.first_port + i);
	if (err < 0) {
		fprintf(stderr, "peer_crowd: port %u: %s\n", conf.first_port + i, strerror(-err));
		exit(1);
	}
	ev_io_want(&m->io, EV_READ);
	member_relay_start(m);
	m->signal = signal_client_new(load.loop, &sc);
}

static bool all_listen(void)
{
	for (unsigned i = 0; i < load.nagents; i++)
		if (!signal_client_connected(members[i].signal))
			return false;
	return true;
}

/* Until it is ended by a signal; nothing is given back. */
static void run(void)
{
	unsigned told = 0, shaken = 0;
	agent_send_login(load.agents[0], crowd_relay_named);
	wait_for_end("the relay's name");
	while (!all_listen() || nhome < load.nagents)
		ev_loop_turn(load.loop, 50 * LN_MSEC);
	printf("{\"listening\": %u}\n", load.nagents);
	fflush(stdout);
	ln_time next = ev_now() + LN_SEC;
	for (;;) {
		ev_loop_turn(load.loop, LN_SEC);
		if (ev_now() < next)
			continue;
		next = ev_now() + LN_SEC;
		if (told == nconnected && shaken == nhandshakes)
			continue;
		told = nconnected;
		shaken = nhandshakes;
		printf("{\"connected\": %u, \"handshakes\": %u}\n", told, shaken);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "url", required_argument, NULL, 'u' },
		{ "setup-key", required_argument, NULL, 'k' },
		{ "address", required_argument, NULL, 'a' },
		{ "peers", required_argument, NULL, 'n' },
		{ "first-port", required_argument, NULL, 'p' },
		{ 0 },
	};
	const char *url = "";
	struct ln_fail f;
	int o;
	load.nagents = 100;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'u')
			url = optarg;
		else if (o == 'k')
			load.setup_key = optarg;
		else if (o == 'a')
			conf.address = optarg;
		else if (o == 'n')
			load.nagents = (unsigned)atoi(optarg);
		else if (o == 'p')
			conf.first_port = (unsigned)atoi(optarg);
	}
	if (load.setup_key == NULL || conf.address == NULL || load.nagents == 0 ||
	    url_parse(slice_str(url), &load.url, &f) != 0) {
		fprintf(stderr, "Usage: peer_crowd --url URL --setup-key KEY --address A "
				"[--peers N] [--first-port P]\n");
		return 2;
	}
	snprintf(load.host, sizeof(load.host), "%s", load.url.host);
	load.loop = ev_loop_new();
	fetch_server_key();
	register_all();
	members = ln_calloc(load.nagents, sizeof(*members));
	for (unsigned i = 0; i < load.nagents; i++)
		start_member(&members[i], i);
	run();
}
