/* The signal client against a server of src/net that forwards nothing by itself. */
#include "src/agent/signal_client.h"
#include "tests/unit/agent/agent_server.h"

#define PATH "/signalexchange.SignalExchange/"

/* --- the server --------------------------------------------------------------------------------*/

static struct wg_secret own_secret, peer_secret;
static struct wg_key own, peer;
static struct box_key to_peer, to_own; /* the agent's box, and the other side's */

static struct {
	bool no_mark;
	unsigned refuse_sends; /* so many more */
	bool silent;
	unsigned streams, sends;
	char id[WG_KEY_TEXT];
	struct grpc_call *stream;
	struct signal_body last; /* payload and texts in `kept` */
	struct arena kept;
} srv;

static void stream_open(void *service, struct grpc_call *c)
{
	(void)service;
	struct grpc_kv mark = { "x-wiretrustee-peer-registered", "1" };
	const char *id = grpc_call_header(c, "x-wiretrustee-peer-id");
	srv.streams++;
	(void)snprintf(srv.id, sizeof(srv.id), "%s", id != NULL ? id : "");
	if (srv.no_mark) {
		grpc_call_finish(c, GRPC_RESOURCE_EXHAUSTED, "too many");
		return;
	}
	assert_int_equal(grpc_call_send_headers(c, &mark, 1), 0);
	srv.stream = c;
}

static void send_message(struct grpc_call *c, struct slice msg)
{
	struct signal_envelope e;
	srv.sends++;
	if (srv.silent)
		return;
	if (srv.refuse_sends > 0) {
		srv.refuse_sends--;
		grpc_call_finish(c, GRPC_UNAVAILABLE, "busy");
		return;
	}
	assert_int_equal(signal_envelope_read(msg, &e), 0);
	assert_true(slice_is(e.key, srv.id));
	uint8_t *plain = arena_alloc(&srv.kept, e.body.n);
	assert_true(box_open(&to_own, e.body, mslice_of(plain, e.body.n)) >= 0);
	assert_int_equal(
		signal_body_read(slice_of(plain, e.body.n - BOX_OVERHEAD), &srv.kept, &srv.last),
		0);
	assert_int_equal(grpc_call_send(c, slice_of("", 0)), 0);
	grpc_call_finish(c, GRPC_OK, NULL);
}

static void nothing(void *service, struct grpc_call *c)
{
	(void)service;
	(void)c;
}

static void closed(struct grpc_call *c)
{
	if (srv.stream == c)
		srv.stream = NULL;
}

static const struct grpc_method rows[] = {
	{ .path = PATH "ConnectStream", .open = stream_open, .closed = closed },
	{ .path = PATH "Send", .open = nothing, .message = send_message, .closed = closed },
};

static void deliver(const struct wg_key *from, const struct box_key *box, struct slice plain)
{
	struct str msg = { 0 };
	char text[WG_KEY_TEXT];
	struct mslice body = host_seal(box, plain);
	wg_key_format(from, text);
	signal_envelope_write(&msg, slice_str(text), slice_str(srv.id), slice_of(body.p, body.n));
	assert_int_equal(grpc_call_send(srv.stream, str_slice(&msg)), 0);
	free(body.p);
	str_fini(&msg);
}

static void deliver_candidate(const struct wg_key *from, const struct box_key *box,
			      const char *payload)
{
	struct str plain = { 0 };
	struct signal_body m = { .type = SIGNAL_CANDIDATE, .payload = slice_str(payload) };
	signal_body_write(&plain, &m);
	deliver(from, box, str_slice(&plain));
	str_fini(&plain);
}

/* --- the agent ---------------------------------------------------------------------------------*/

static struct {
	struct signal_client *c;
	unsigned messages, states, done_ok, done_failed;
	uint64_t token;
	bool connected;
	char why[256], payload[64];
} agent;

static const struct box_key *box_of(void *user, const struct wg_key *key)
{
	(void)user;
	return wg_key_equal(key, &peer) ? &to_peer : NULL;
}

static void got_message(void *user, const struct wg_key *from, const struct signal_body *m)
{
	(void)user;
	assert_true(wg_key_equal(from, &peer));
	agent.messages++;
	(void)snprintf(agent.payload, sizeof(agent.payload), "%.*s", (int)m->payload.n,
		       (const char *)m->payload.p);
}

static void got_state(void *user, bool connected, const char *why)
{
	(void)user;
	agent.states++;
	agent.connected = connected;
	(void)snprintf(agent.why, sizeof(agent.why), "%s", why);
}

static void got_done(void *user, const struct wg_key *to, uint64_t token, bool ok)
{
	(void)user;
	assert_true(wg_key_equal(to, &peer));
	agent.done_ok += ok;
	agent.done_failed += !ok;
	agent.token = token;
}

static void send_offer(uint64_t token)
{
	struct signal_body m = { .type = SIGNAL_OFFER,
				 .payload = slice_str("ufrag:password"),
				 .version = "0.77.1",
				 .wg_port = 51820 };
	signal_client_send(agent.c, &peer, &to_peer, &m, got_done, token);
}

static void connect_agent(void)
{
	struct signal_client_conf c = { .host = "127.0.0.1",
					.port = host.port,
					.key = &own_secret,
					.box_of = box_of,
					.on_message = got_message,
					.on_state = got_state };
	agent.c = signal_client_new(host.loop, &c);
}

static int begin(void **state)
{
	(void)state;
	memset(&srv, 0, sizeof(srv));
	memset(&agent, 0, sizeof(agent));
	arena_init(&srv.kept, 1 << 20);
	wg_secret_generate(&own_secret, ev_rng());
	wg_secret_generate(&peer_secret, ev_rng());
	wg_secret_public(&own_secret, &own);
	wg_secret_public(&peer_secret, &peer);
	assert_int_equal(box_key_init(&to_peer, &own_secret, &peer), 0);
	assert_int_equal(box_key_init(&to_own, &peer_secret, &own), 0);
	host_start(rows, LN_COUNT(rows));
	return 0;
}

static int end(void **state)
{
	(void)state;
	signal_client_free(agent.c);
	host_turns(5);
	host_stop();
	arena_fini(&srv.kept);
	return 0;
}

static void test_registers_and_sends(void **state)
{
	(void)state;
	char text[WG_KEY_TEXT];
	connect_agent();
	assert_int_equal(agent.states, 0);
	/* Not connected yet: refused, but later and not from inside. */
	send_offer(1);
	assert_int_equal(agent.done_failed, 0);
	HOST_UNTIL(agent.connected && agent.done_failed == 1);
	wg_key_format(&own, text);
	assert_string_equal(srv.id, text);
	send_offer(2);
	HOST_UNTIL(agent.done_ok == 1);
	assert_int_equal(agent.token, 2);
	assert_int_equal(srv.last.type, SIGNAL_OFFER);
	assert_true(slice_is(srv.last.payload, "ufrag:password"));
	assert_int_equal(srv.last.wg_port, 51820);
}

static void test_receives(void **state)
{
	(void)state;
	struct wg_secret other;
	struct wg_key stranger;
	struct box_key strange;
	wg_secret_generate(&other, ev_rng());
	wg_secret_public(&other, &stranger);
	assert_int_equal(box_key_init(&strange, &other, &own), 0);
	connect_agent();
	HOST_UNTIL(agent.connected);
	deliver_candidate(&stranger, &strange, "from nobody we know");
	deliver_candidate(&peer, &strange, "in a box of somebody else");
	deliver_candidate(&own, &to_own, "a heartbeat that came back");
	deliver(&peer, &to_own, slice_str("\xff\xff nonsense"));
	assert_int_equal(grpc_call_send(srv.stream, slice_str("no envelope")), 0);
	assert_int_equal(grpc_call_send(srv.stream, slice_of("", 0)), 0);
	deliver_candidate(&peer, &to_own, "a candidate");
	HOST_UNTIL(agent.messages == 1);
	assert_string_equal(agent.payload, "a candidate");
	assert_true(agent.connected);
}

static void test_a_busy_server(void **state)
{
	(void)state;
	connect_agent();
	HOST_UNTIL(agent.connected);
	srv.refuse_sends = 3;
	send_offer(1);
	HOST_UNTIL(agent.done_ok == 1);
	assert_int_equal(srv.sends, 4);
	srv.refuse_sends = 100;
	send_offer(2);
	HOST_UNTIL(agent.done_failed == 1);
	assert_int_equal(srv.sends, 8); /* four tries, then the guard's next offer */
	/* More than go out at once: all of them end, in order. */
	srv.refuse_sends = 0;
	for (unsigned i = 0; i < 300; i++)
		send_offer(100 + i);
	HOST_UNTIL(agent.done_ok == 301);
	assert_int_equal(agent.token, 399);
}

static void test_refused_and_lost(void **state)
{
	(void)state;
	srv.no_mark = true;
	connect_agent();
	HOST_UNTIL(agent.states == 1);
	assert_false(agent.connected);
	assert_non_null(strstr(agent.why, "too many"));
	srv.no_mark = false;
	HOST_UNTIL(agent.connected);
	assert_int_equal(srv.streams, 2);
	/* The stream goes while a send waits for its answer and others for their turn. */
	srv.silent = true;
	for (unsigned i = 0; i < 80; i++)
		send_offer(1 + i);
	HOST_UNTIL(srv.sends == 64);
	grpc_call_finish(srv.stream, GRPC_UNAVAILABLE, "restart");
	HOST_UNTIL(!agent.connected && agent.done_failed == 16);
	srv.silent = false;
	HOST_UNTIL(agent.connected);
	send_offer(99);
	signal_client_redial(agent.c);
	HOST_UNTIL(agent.done_ok + agent.done_failed >= 17);
	/* Freed with sends in flight: no callback comes. */
	HOST_UNTIL(agent.connected);
	unsigned before = agent.done_ok + agent.done_failed;
	srv.silent = true;
	send_offer(100);
	signal_client_free(agent.c);
	agent.c = NULL;
	host_turns(20);
	assert_int_equal(agent.done_ok + agent.done_failed, before);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = { T(test_registers_and_sends), T(test_receives),
					    T(test_a_busy_server), T(test_refused_and_lost) };
	return cmocka_run_group_tests_name("signal_client", tests, NULL, NULL);
}
