/* The relay service over QUIC: our own client core on datagrams, and strangers. */
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/relay/relay_session.h"

#include "src/ev/ev.h"
#include "src/front/front.h"
#include "src/net/net_quic.h"
#include "src/net/net_stream.h"
#include "src/net/net_tls.h"
#include "src/net/net_ws.h"
#include "src/relay/relay_server.h"
#include "tests/unit/net/net_cert.h"
#include "tests/unit/unit.h"

static struct ev_loop *loop;
static struct net_tls_ctx *roots;
static struct relay_server *relay;
static struct relay_token_key key;

struct client {
	struct net_quic *q;
	struct relay_session *session;
	struct relay_session_peer *peer;
	bool up, ready, online, offline, ended, gone;
	int err;
	unsigned messages;
	size_t last;
};

static struct client clients[2];

static int setup(void **state)
{
	struct ln_fail f;
	const struct relay_server_quic quic = { .at = { .addr = ip_v4(0x7f000001) },
						.cert_file = net_cert_file,
						.key_file = net_cert_key };
	loop = ev_loop_new();
	relay_token_key_make(slice_str("secret"), &key);
	const struct relay_server_conf rc = {
		.instance_url = "rels://127.0.0.1:1", .keys = &key, .nkeys = 1, .handshakes = 20
	};
	relay = relay_server_new(loop, &rc);
	assert_int_equal(relay_server_listen_quic(relay, &quic, &f), 0);
	memset(clients, 0, sizeof(clients));
	return net_tls_ctx_client(net_cert_file, &roots, &f);
}

static int teardown(void **state)
{
	for (size_t i = 0; i < LN_COUNT(clients); i++) {
		net_quic_free(clients[i].q);
		relay_session_free(clients[i].session);
	}
	relay_server_free(relay);
	net_tls_ctx_free(roots);
	for (int i = 0; i < 4; i++)
		ev_loop_turn(loop, 0);
	ev_loop_free(loop);
	return 0;
}

#define wait_for(cond)                                                                             \
 do {                                                                                              \
  for (ln_time end = ev_now() + 5 * LN_SEC; !(cond) && ev_now() < end;)                            \
   ev_loop_turn(loop, 5 * LN_MSEC);                                                                \
  assert_true(cond);                                                                               \
 } while (0)

/* --- the client -------------------------------------------------------------------------------*/

static void client_poll(struct client *c)
{
	static uint8_t buf[RELAY_MSG_MAX];
	struct relay_session_out out;
	while (c->session != NULL &&
	       relay_session_poll(c->session, ev_now(), mslice_of(buf, sizeof(buf)), &out)) {
		c->ready |= out.event == RELAY_SESSION_READY;
		c->online |= out.event == RELAY_SESSION_ONLINE;
		c->offline |= out.event == RELAY_SESSION_OFFLINE;
		c->ended |= out.event == RELAY_SESSION_ENDED;
		if (out.event == RELAY_SESSION_SEND)
			assert_int_equal(net_quic_send(c->q, out.bytes), 0);
	}
}

static void on_ready(void *user)
{
	((struct client *)user)->up = true;
	client_poll(user);
}

static void on_message(void *user, struct slice msg)
{
	struct client *c = user;
	void *peer;
	struct slice payload;
	if (c->session != NULL &&
	    relay_session_input(c->session, ev_now(), msg, &peer, &payload) == 1) {
		c->messages++;
		c->last = payload.n;
	}
	client_poll(c);
}

static void on_writable(void *user)
{
}

static void on_closed(void *user, int err, const char *why)
{
	struct client *c = user;
	c->gone = true;
	c->err = err;
}

static const struct net_quic_ops ops = {
	.ready = on_ready, .message = on_message, .writable = on_writable, .closed = on_closed
};

static void dial(struct client *c)
{
	const struct net_quic_target t = {
		.host = NET_CERT_HOST,
		.at = { .addr = ip_v4(0x7f000001), .port = relay_server_quic_port(relay) },
		.alpn = "nb-quic",
		.idle = 240 * LN_SEC,
	};
	assert_int_equal(net_quic_connect(loop, roots, &t, &ops, c, &c->q), 0);
}

static int make_token(uint8_t dst[RELAY_TOKEN_MAX])
{
	struct relay_token_text t;
	relay_token_make(&key, ev_wall() + LN_HOUR, &t);
	return relay_token_join(slice_str(t.payload), slice_str(t.signature),
				mslice_of(dst, RELAY_TOKEN_MAX));
}

static void client_start(struct client *c, const char *name)
{
	uint8_t token[RELAY_TOKEN_MAX];
	int n = make_token(token);
	struct relay_session_conf conf = { .token = slice_of(token, (size_t)n),
					   .lossy = true,
					   .rng = ev_rng() };
	relay_id_of_text(slice_str(name), &conf.own);
	c->session = relay_session_new(&conf, ev_now());
	relay_session_start(c->session, ev_now());
	dial(c);
	wait_for(c->ready);
	assert_string_equal(relay_session_url(c->session), "rels://127.0.0.1:1");
}

static void pair_up(void)
{
	const char *names[] = { "a", "b" };
	for (size_t i = 0; i < 2; i++) {
		struct relay_id id;
		client_start(&clients[i], names[i]);
		relay_id_of_text(slice_str(names[1 - i]), &id);
		assert_int_equal(relay_session_open(clients[i].session, ev_now(), &id, &clients[i],
						    &clients[i].peer),
				 0);
		client_poll(&clients[i]);
	}
	wait_for(clients[0].online && clients[1].online);
}

static int client_send(struct client *c, struct slice payload)
{
	uint8_t msg[RELAY_MSG_MAX];
	int n = relay_msg_write_transport(mslice_of(msg, sizeof(msg)),
					  relay_session_peer_id(c->peer), payload);
	assert_true(n > 0);
	return net_quic_send(c->q, slice_of(msg, (size_t)n));
}

static bool metric(const char *line)
{
	LN_AUTO(str_fini) struct str text;
	str_init(&text, 0);
	relay_server_metrics(relay, &text);
	return strstr(str_c(&text), line) != NULL;
}

/* --- tests ------------------------------------------------------------------------------------*/

static void a_pair_talks(void **state)
{
	uint8_t full[1312] = { 4 }; /* 1,280 of overlay and WireGuard around it */
	pair_up();
	assert_int_equal(client_send(&clients[0], slice_str("small")), 0);
	wait_for(clients[1].messages == 1);
	wait_for(net_quic_room(clients[0].q) >= sizeof(full) + RELAY_TRANSPORT_HEADER);
	/* The relay finds the size of the path to the receiver by itself, at its own pace. */
	unsigned tries = 0;
	for (; clients[1].last != sizeof(full) && tries < 500; tries++) {
		assert_int_equal(client_send(&clients[0], slice_of(full, sizeof(full))), 0);
		ev_loop_turn(loop, 5 * LN_MSEC);
	}
	assert_int_equal(clients[1].last, sizeof(full));
	assert_true(metric("relay_peers{transport=\"quic\"} 2\n"));
	assert_true(metric("relay_peers{transport=\"ws\"} 0\n"));
	assert_true(metric("relay_peer_authentication_time_milliseconds_count 2\n"));
}

/* --- beside a WebSocket -----------------------------------------------------------------------*/

static size_t heard;

static void ws_ready(void *user)
{
	((struct client *)user)->up = true;
}

static void ws_message(void *user, struct slice msg)
{
	heard = relay_msg_type(msg) == RELAY_TRANSPORT ? msg.n : heard;
}

static void ws_closed(void *user, int err, const char *why)
{
	fail();
}

static struct net_ws *ws_dial(struct front *front, struct client *c)
{
	static const struct net_ws_ops ws = { .ready = ws_ready,
					      .message = ws_message,
					      .writable = on_writable,
					      .closed = ws_closed };
	static const struct net_stream_ops none;
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(front_port(front, 0)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct net_stream *stream;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(net_stream_new(loop, fd, NULL, &none, NULL, &stream), 0);
	return net_ws_connect(loop, stream, "x", "/relay", RELAY_MSG_MAX, &ws, c);
}

/* What no datagram holds is dropped and counted; the rest goes on, in both directions. */
static void both_transports_meet(void **state)
{
	static uint8_t msg[RELAY_MSG_MAX], payload[4000];
	struct ip_ep at = { .addr = ip_v4(0x7f000001) };
	const struct front_conf fc = { .listen = &at, .nlisten = 1 };
	struct client c = { .up = false };
	struct relay_id id;
	struct front *front;
	struct ln_fail f;
	size_t nrows;
	const struct front_row *rows = relay_server_rows(relay, &nrows);
	assert_int_equal(front_new(loop, &fc, &front, &f), 0);
	front_add(front, rows, nrows);
	client_start(&clients[1], "b");
	struct net_ws *ws = ws_dial(front, &c);
	wait_for(c.up);
	relay_id_of_text(slice_str("a"), &id);
	uint8_t token[RELAY_TOKEN_MAX];
	int n = make_token(token);
	n = relay_msg_write_auth(mslice_of(msg, sizeof(msg)), &id, slice_of(token, (size_t)n));
	net_ws_send(ws, slice_of(msg, (size_t)n));
	wait_for(relay_server_peers(relay) == 2);
	assert_int_equal(relay_session_open(clients[1].session, ev_now(), &id, &clients[1],
					    &clients[1].peer),
			 0);
	client_poll(&clients[1]);
	wait_for(clients[1].online);
	relay_id_of_text(slice_str("b"), &id);
	for (size_t i = 0; i < 3; i++) {
		const size_t sizes[] = { 4000, 2000, 100 };
		n = relay_msg_write_transport(mslice_of(msg, sizeof(msg)), &id,
					      slice_of(payload, sizes[i]));
		net_ws_send(ws, slice_of(msg, (size_t)n));
	}
	wait_for(clients[1].messages == 1);
	assert_int_equal(clients[1].last, 100);
	assert_true(metric("relay_datagram_too_large_total 2\n"));
	assert_true(metric("relay_peers{transport=\"ws\"} 1\n"));
	assert_true(metric("relay_peers{transport=\"quic\"} 1\n"));
	assert_int_equal(client_send(&clients[1], slice_str("and back")), 0);
	wait_for(heard == RELAY_TRANSPORT_HEADER + 8);
	net_ws_free(ws);
	front_free(front);
}

static void an_end_is_told(void **state)
{
	pair_up();
	net_quic_free(clients[0].q);
	clients[0].q = NULL;
	wait_for(clients[1].offline);
	assert_int_equal(relay_server_peers(relay), 1);
	assert_true(metric("relay_peers{transport=\"quic\"} 1\n"));
}

static void the_same_peer_again_replaces(void **state)
{
	client_start(&clients[0], "a");
	client_start(&clients[1], "a");
	wait_for(clients[0].gone);
	assert_int_equal(clients[0].err, LN_E_CLOSED);
	assert_false(clients[0].ended); /* no Close message (spec relay 5) */
	assert_true(metric("relay_peer_reconnections_total 1\n"));
	assert_true(metric("relay_peers{transport=\"quic\"} 1\n"));
}

static void drained(void *arg)
{
	*(bool *)arg = true;
}

static void drain_says_close_and_ends(void **state)
{
	bool done = false;
	pair_up();
	relay_server_drain(relay, 50 * LN_MSEC, 2 * LN_SEC, drained, &done);
	wait_for(clients[0].ended && clients[1].ended && done);
	/* Nobody new. */
	struct client late = { .up = false };
	dial(&late);
	for (int i = 0; i < 20; i++)
		ev_loop_turn(loop, 5 * LN_MSEC);
	assert_false(late.up);
	net_quic_free(late.q);
}

/* --- strangers --------------------------------------------------------------------------------*/

static void refused(const void *hello, size_t n)
{
	struct client c = { .up = false };
	dial(&c);
	wait_for(c.up);
	assert_int_equal(net_quic_send(c.q, slice_of(hello, n)), 0);
	wait_for(c.gone);
	assert_int_equal(c.err, LN_E_CLOSED);
	assert_int_equal(c.messages, 0);
	net_quic_free(c.q);
}

static void wrong_hellos_are_closed_without_a_word(void **state)
{
	uint8_t hello[85] = { 1, 6, 0x21, 0x12, 0xa4, 0x42, 's', 'h', 'a', '-', [42] = 1 };
	memcpy(hello + 75, "1893456000", 10);
	refused(hello, sizeof(hello)); /* no signature of ours */
	refused("\1\5", 2);
	refused("\2\6", 2);
	refused("x", 1);
	assert_true(metric("relay_handshake_failures_total{reason=\"signature\"} 1\n"));
	assert_int_equal(relay_server_peers(relay), 0);
}

static void a_broken_message_ends_the_connection(void **state)
{
	client_start(&clients[0], "a");
	assert_int_equal(net_quic_send(clients[0].q, slice_of("\1\12xx", 4)), 0);
	wait_for(clients[0].gone);
	assert_int_equal(relay_server_peers(relay), 0);
}

static void handshakes_are_limited(void **state)
{
	static struct client many[60];
	unsigned up = 0;
	memset(many, 0, sizeof(many));
	for (size_t i = 0; i < LN_COUNT(many); i++)
		dial(&many[i]);
	for (ln_time end = ev_now() + 400 * LN_MSEC; ev_now() < end;)
		ev_loop_turn(loop, 5 * LN_MSEC);
	for (size_t i = 0; i < LN_COUNT(many); i++)
		up += many[i].up;
	/* The bucket holds two seconds' worth, and 20 a second come back. */
	assert_in_range(up, 20, 59);
	for (size_t i = 0; i < LN_COUNT(many); i++)
		net_quic_free(many[i].q);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pair_talks),
		TEST(both_transports_meet),
		TEST(an_end_is_told),
		TEST(the_same_peer_again_replaces),
		TEST(drain_says_close_and_ends),
		TEST(wrong_hellos_are_closed_without_a_word),
		TEST(a_broken_message_ends_the_connection),
		TEST(handshakes_are_limited),
	};
	return cmocka_run_group_tests(tests, net_cert_make, net_cert_remove);
}
