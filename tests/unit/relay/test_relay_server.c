/* The relay service behind a front: our own client core over real sockets, and raw strangers. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/relay/relay_session.h"

#include "src/front/front.h"
#include "src/net/net_stream.h"
#include "src/net/net_tls.h"
#include "src/net/net_ws.h"
#include "src/relay/relay_server.h"
#include "tests/unit/net/net_cert.h"
#include "tests/unit/unit.h"

#define WITH_TLS 16u
#define UPGRADE                                                                                    \
 "GET /relay HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"     \
 "Sec-Websocket-Version: 13\r\nSec-Websocket-Key: h96wHduzASeTaMZ+BquGkg==\r\n\r\n"

static struct ev_loop *loop;
static struct front *front;
static struct relay_server *relay;
static struct relay_token_key key;
static struct net_tls_ctx *roots; /* null: clear text */

struct client {
	struct net_ws *ws;
	struct relay_session *session;
	struct relay_session_peer *peer;
	bool ready, online, offline, ended, gone;
	size_t messages, bytes;
	uint32_t sum;
};

static struct client clients[2];

/* --- the server -------------------------------------------------------------------------------*/

/* *state: the number of loops, and WITH_TLS. */
static int setup(void **state)
{
	unsigned how = (unsigned)(uintptr_t)*state;
	struct ip_ep at = { .addr = ip_v4(0x7f000001) };
	struct front_conf fc = { .listen = &at, .nlisten = 1 };
	struct ln_fail f;
	size_t n;
	roots = NULL;
	if ((how & WITH_TLS) != 0) {
		fc.cert_file = net_cert_file;
		fc.key_file = net_cert_key;
		assert_int_equal(net_tls_ctx_client(net_cert_file, &roots, &f), 0);
	}
	loop = ev_loop_new();
	assert_int_equal(front_new(loop, &fc, &front, &f), 0);
	relay_token_key_make(slice_str("secret"), &key);
	const struct relay_server_conf rc = { .instance_url = "rel://127.0.0.1:1",
					      .keys = &key,
					      .nkeys = 1,
					      .handshakes = 20,
					      .loops = how & ~WITH_TLS };
	relay = relay_server_new(loop, &rc);
	const struct front_row *rows = relay_server_rows(relay, &n);
	front_add(front, rows, n);
	memset(clients, 0, sizeof(clients));
	return 0;
}

static void client_free(struct client *c)
{
	net_ws_free(c->ws);
	relay_session_free(c->session);
	*c = (struct client){ .ready = false };
}

static int teardown(void **state)
{
	for (size_t i = 0; i < LN_COUNT(clients); i++)
		client_free(&clients[i]);
	relay_server_free(relay);
	front_free(front);
	ev_loop_free(loop);
	net_tls_ctx_free(roots);
	return 0;
}

static bool until(const bool *flag)
{
	for (ln_time end = ev_now() + 5 * LN_SEC; !*flag && ev_now() < end;)
		ev_loop_turn(loop, 20 * LN_MSEC);
	return *flag;
}

static int dial(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(front_port(front, 0)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* --- the client -------------------------------------------------------------------------------*/

static void client_poll(struct client *c)
{
	static uint8_t buf[RELAY_MSG_MAX];
	struct relay_session_out out;
	while (relay_session_poll(c->session, ev_now(), mslice_of(buf, sizeof(buf)), &out)) {
		c->ready |= out.event == RELAY_SESSION_READY;
		c->online |= out.event == RELAY_SESSION_ONLINE;
		c->offline |= out.event == RELAY_SESSION_OFFLINE;
		c->ended |= out.event == RELAY_SESSION_ENDED;
		if (out.event == RELAY_SESSION_SEND)
			net_ws_send(c->ws, out.bytes);
	}
}

static void on_ready(void *user)
{
	client_poll(user);
}

static void on_message(void *user, struct slice msg)
{
	struct client *c = user;
	void *peer;
	struct slice payload;
	if (relay_session_input(c->session, ev_now(), msg, &peer, &payload) == 1) {
		c->messages++;
		c->bytes += payload.n;
		for (size_t i = 0; i < payload.n; i++)
			c->sum = c->sum * 31 + payload.p[i];
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
}

static const struct net_ws_ops ws_ops = {
	.ready = on_ready, .message = on_message, .writable = on_writable, .closed = on_closed
};

static void on_tls_ready(void *user)
{
	*(bool *)user = true;
}

static void client_start(struct client *c, const char *name)
{
	struct relay_token_text t;
	uint8_t token[RELAY_TOKEN_MAX];
	struct net_stream *s;
	relay_token_make(&key, ev_wall() + LN_HOUR, &t);
	int n = relay_token_join(slice_str(t.payload), slice_str(t.signature),
				 mslice_of(token, sizeof(token)));
	struct relay_session_conf conf = { .token = slice_of(token, (size_t)n), .rng = ev_rng() };
	relay_id_of_text(slice_str(name), &conf.own);
	c->session = relay_session_new(&conf, ev_now());
	relay_session_start(c->session, ev_now());
	/* The WebSocket becomes the owner when TLS is ready, else at once. */
	static const struct net_stream_ops none = { .ready = on_tls_ready };
	struct net_tls *tls = roots != NULL ? net_tls_new(roots, NET_CERT_HOST) : NULL;
	if (tls != NULL)
		net_tls_without_alpn(tls);
	bool secure = tls == NULL;
	assert_int_equal(net_stream_new(loop, dial(), tls, &none, &secure, &s), 0);
	assert_true(until(&secure));
	c->ws = net_ws_connect(loop, s, "127.0.0.1", "/relay", RELAY_MSG_MAX, &ws_ops, c);
	assert_true(until(&c->ready));
	assert_string_equal(relay_session_url(c->session), "rel://127.0.0.1:1");
}

static void client_open(struct client *c, const char *name)
{
	struct relay_id id;
	relay_id_of_text(slice_str(name), &id);
	assert_int_equal(relay_session_open(c->session, ev_now(), &id, c, &c->peer), 0);
	client_poll(c);
}

static void client_send(struct client *c, struct slice payload)
{
	static uint8_t msg[RELAY_MSG_MAX];
	int n = relay_msg_write_transport(mslice_of(msg, sizeof(msg)),
					  relay_session_peer_id(c->peer), payload);
	assert_true(n > 0);
	net_ws_send(c->ws, slice_of(msg, (size_t)n));
}

static void pair_up(void)
{
	client_start(&clients[0], "a");
	client_start(&clients[1], "b");
	client_open(&clients[0], "b");
	client_open(&clients[1], "a");
	assert_true(until(&clients[0].online));
	assert_true(until(&clients[1].online));
}

/* --- tests ------------------------------------------------------------------------------------*/

static void messages_of_every_size_arrive(void **state)
{
	static uint8_t payload[RELAY_PAYLOAD_MAX];
	uint32_t sum = 0;
	size_t bytes = 0, messages = 0;
	pair_up();
	for (size_t n = 0; n <= RELAY_PAYLOAD_MAX; n = n < 300 ? n + 7 : n + 411, messages++) {
		size_t take = n > RELAY_PAYLOAD_MAX - 411 ? RELAY_PAYLOAD_MAX : n;
		for (size_t i = 0; i < take; i++) {
			payload[i] = (uint8_t)(i * 5 + n);
			sum = sum * 31 + payload[i];
		}
		client_send(&clients[0], slice_of(payload, take));
		bytes += take;
		if (messages % 8 == 0)
			ev_loop_turn(loop, 0);
	}
	for (ln_time end = ev_now() + 5 * LN_SEC; clients[1].messages < messages && ev_now() < end;)
		ev_loop_turn(loop, 20 * LN_MSEC);
	assert_int_equal(clients[1].messages, messages);
	assert_int_equal(clients[1].bytes, bytes);
	assert_int_equal(clients[1].sum, sum);
	struct str text;
	str_init(&text, 0);
	relay_server_metrics(relay, &text);
	assert_non_null(strstr(str_c(&text), "relay_peers{transport=\"ws\"} 2\n"));
	assert_non_null(
		strstr(str_c(&text), "relay_peer_authentication_time_milliseconds_count 2\n"));
	str_fini(&text);
}

static void the_other_is_told_of_an_end(void **state)
{
	pair_up();
	net_ws_free(clients[0].ws);
	clients[0].ws = NULL;
	assert_true(until(&clients[1].offline));
	assert_int_equal(relay_server_peers(relay), 1);
	assert_int_equal(front_conns(front), 1);
}

static void drained(void *arg)
{
	*(bool *)arg = true;
}

static void drain_says_close_and_ends(void **state)
{
	bool relay_done = false, front_done = false;
	pair_up();
	relay_server_drain(relay, 50 * LN_MSEC, 2 * LN_SEC, drained, &relay_done);
	front_drain(front, 2 * LN_SEC, drained, &front_done);
	assert_true(until(&clients[0].ended));
	assert_true(until(&clients[1].ended));
	assert_true(until(&relay_done));
	assert_true(until(&front_done));
	assert_true(relay_server_is_draining(relay));
}

/* A front that gives up on its connections leaves them to the relay. */
static void front_may_end_before_the_relay(void **state)
{
	bool front_done = false;
	pair_up();
	front_drain(front, 10 * LN_MSEC, drained, &front_done);
	assert_true(until(&front_done));
	front_free(front);
	ev_loop_turn(loop, 0);
	client_send(&clients[0], slice_str("still here"));
	for (ln_time end = ev_now() + 5 * LN_SEC; clients[1].messages == 0 && ev_now() < end;)
		ev_loop_turn(loop, 20 * LN_MSEC);
	assert_int_equal(clients[1].messages, 1);
	front = NULL;
}

/* What a raw socket hears until `want` or its end; the text is static. */
static const char *answer_to(int fd, const char *said, size_t n, const char *want)
{
	static char got[8192];
	size_t have = 0;
	assert_int_equal(send(fd, said, n, MSG_NOSIGNAL), n);
	memset(got, 0, sizeof(got));
	for (ln_time end = ev_now() + 3 * LN_SEC; ev_now() < end;) {
		ev_loop_turn(loop, 10 * LN_MSEC);
		ssize_t r = recv(fd, got + have, sizeof(got) - 1 - have, 0);
		if (r > 0)
			have += (size_t)r;
		if (r == 0 || (r < 0 && errno != EAGAIN))
			return "closed";
		if (want != NULL && strstr(got, want) != NULL)
			return got;
	}
	return got;
}

static void bad_upgrades_are_refused(void **state)
{
	static const char *const v[][2] = {
		{ "GET /relay HTTP/1.1\r\nHost: x\r\n\r\n", "426 " },
		{ "POST /relay HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
		  "websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
		  "h96wHduzASeTaMZ+BquGkg==\r\nContent-Length: 0\r\n\r\n",
		  "426 " },
		{ "GET /relay HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
		  "websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: "
		  "h96wHduzASeTaMZ+BquGkg==\r\n\r\n",
		  "426 " },
		{ "GET /relay HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
		  "websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
		  "400 " },
		{ "GET /relay/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
		  "websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
		  "h96wHduzASeTaMZ+BquGkg==\r\n\r\n",
		  "404 " },
	};
	for (size_t i = 0; i < LN_COUNT(v); i++) {
		int fd = dial();
		assert_non_null(strstr(answer_to(fd, v[i][0], strlen(v[i][0]), v[i][1]), v[i][1]));
		close(fd);
	}
}

static void broken_frames_end_the_connection(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} v[] = {
		{ "\x82\x02\1\5", 4 },                  /* not masked */
		{ "\x81\x82\0\0\0\0hi", 8 },            /* text */
		{ "\x02\x82\0\0\0\0\1\5", 8 },          /* a fragment */
		{ "\x82\xfe\x22\x75\0\0\0\0\1\5", 10 }, /* 8,821 bytes */
		{ "\xc2\x82\0\0\0\0\1\5", 8 },          /* a reserved bit */
		{ "\x82\x80\0\0\0\0", 6 },              /* empty */
		{ "\x88\x80\0\0\0\0", 6 },              /* Close */
		{ "\x82\x82\0\0\0\0\1\5", 8 },          /* no hello */
	};

	for (size_t i = 0; i < LN_COUNT(v); i++) {
		int fd = dial();
		assert_non_null(strstr(answer_to(fd, UPGRADE, strlen(UPGRADE), "\r\n\r\n"),
				       "Sec-WebSocket-Accept: GlZZqmAnEQYM1L5USt7zrI0Bddc=\r\n"));
		assert_string_equal(answer_to(fd, v[i].bytes, v[i].n, NULL), "closed");
		close(fd);
	}
	assert_int_equal(front_conns(front), 0);
}

static void pings_are_answered_in_pieces(void **state)
{
	static const char ping[] = "\x89\x84"
				   "abcd"
				   "\x11\x0b\x02\x03";
	int fd = dial();
	answer_to(fd, UPGRADE, strlen(UPGRADE), "\r\n\r\n");
	for (size_t i = 0; i < 9; i++) {
		assert_int_equal(send(fd, ping + i, 1, MSG_NOSIGNAL), 1);
		ev_loop_turn(loop, 5 * LN_MSEC);
	}
	assert_non_null(strstr(answer_to(fd, ping + 9, 1, "\x8a\x04pia"), "\x8a\x04piag"));
	close(fd);
}

/* A client that does not wait for the answer; the second connection is on the second loop. */
static void what_comes_with_the_upgrade_is_read(void **state)
{
	static const char rq[] = UPGRADE "\x89\x84"
					 "abcd"
					 "\x11\x0b\x02\x03";
	int fds[2];
	for (size_t i = 0; i < LN_COUNT(fds); i++) {
		fds[i] = dial();
		assert_non_null(strstr(answer_to(fds[i], rq, sizeof(rq) - 1, "\x8a\x04piag"),
				       "\r\n\r\n\x8a\x04piag"));
	}
	for (size_t i = 0; i < LN_COUNT(fds); i++)
		close(fds[i]);
}

static void handshakes_are_limited(void **state)
{
	static const char rq[] = UPGRADE;
	int fds[60], refused = 0;
	/* All of them wait when the loop turns; the bucket holds two seconds' worth: 40. */
	for (size_t i = 0; i < LN_COUNT(fds); i++) {
		fds[i] = dial();
		assert_int_equal(send(fds[i], rq, sizeof(rq) - 1, MSG_NOSIGNAL), sizeof(rq) - 1);
	}
	for (size_t i = 0; i < LN_COUNT(fds); i++) {
		const char *got = answer_to(fds[i], "", 0, "\r\n\r\n");
		refused += strstr(got, " 503 ") != NULL;
	}
	assert_in_range(refused, 1, 20);
	for (size_t i = 0; i < LN_COUNT(fds); i++)
		close(fds[i]);
}

#define TEST(f) cmocka_unit_test_prestate_setup_teardown(f, setup, teardown, (void *)1)
/* The two clients are on different threads then. */
#define TEST2(f) cmocka_unit_test_prestate_setup_teardown(f, setup, teardown, (void *)2)
#define TEST2_TLS(f)                                                                               \
 cmocka_unit_test_prestate_setup_teardown(f, setup, teardown, (void *)(uintptr_t)(2 | WITH_TLS))

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(messages_of_every_size_arrive),
		TEST(the_other_is_told_of_an_end),
		TEST(drain_says_close_and_ends),
		TEST(front_may_end_before_the_relay),
		TEST(bad_upgrades_are_refused),
		TEST(broken_frames_end_the_connection),
		TEST(pings_are_answered_in_pieces),
		TEST(handshakes_are_limited),
		TEST2(messages_of_every_size_arrive),
		TEST2(the_other_is_told_of_an_end),
		TEST2(drain_says_close_and_ends),
		TEST2(front_may_end_before_the_relay),
		TEST2(bad_upgrades_are_refused),
		TEST2(broken_frames_end_the_connection),
		TEST(what_comes_with_the_upgrade_is_read),
		TEST2(what_comes_with_the_upgrade_is_read),
		TEST2_TLS(messages_of_every_size_arrive),
		TEST2_TLS(the_other_is_told_of_an_end),
		TEST2_TLS(drain_says_close_and_ends),
		TEST2(pings_are_answered_in_pieces),
		TEST2(handshakes_are_limited),
	};
	return cmocka_run_group_tests(tests, net_cert_make, net_cert_remove);
}
