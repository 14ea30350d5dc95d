/*
 * QUIC over loopback, listener and clients on one loop: messages, trust, proof of address, what a
 * restarted server does, sizes, ends, and packets that are nonsense.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/str.h"

#include "src/ev/ev.h"
#include "src/net/net_quic.h"
#include "src/net/net_tls.h"
#include "tests/unit/net/net_cert.h"
#include "tests/unit/unit.h"

#define ALPN "nb-quic"
#define WAIT (10 * LN_SEC)

static struct ev_loop *loop;
static struct net_tls_ctx *roots;

struct end {
	struct net_quic *q;
	unsigned got;
	size_t last;
	uint8_t first_byte;
	bool ready, writable, free_in_message;
	int closed;
	char why[160];
};

static struct end client, server;
static struct net_quic_listener *listener;
static bool admit = true, refuse;
static unsigned accepted;
static struct ip_ep accepted_from;

static void on_ready(void *user)
{
	((struct end *)user)->ready = true;
}

static void on_message(void *user, struct slice msg)
{
	struct end *e = user;
	e->got++;
	e->last = msg.n;
	e->first_byte = msg.n != 0 ? msg.p[0] : 0;
	if (e->free_in_message) {
		net_quic_free(e->q);
		e->q = NULL;
	}
}

static void on_writable(void *user)
{
	((struct end *)user)->writable = true;
}

static void on_closed(void *user, int err, const char *why)
{
	struct end *e = user;
	e->closed = err;
	assert_true(strlen(why) < sizeof(e->why));
	strcpy(e->why, why);
	net_quic_free(e->q);
	e->q = NULL;
}

static const struct net_quic_ops ops = {
	.ready = on_ready, .message = on_message, .writable = on_writable, .closed = on_closed
};

static bool on_admit(void *user)
{
	return admit;
}

static void on_accept(void *user, struct net_quic *q, const struct ip_ep *from)
{
	accepted++;
	accepted_from = *from;
	if (refuse) {
		net_quic_free(q);
		return;
	}
	server = (struct end){ .q = q, .free_in_message = server.free_in_message };
	net_quic_attach(q, &ops, &server);
}

static void listen_at(uint16_t port, bool retry, ln_time idle)
{
	struct ln_fail f;
	const struct net_quic_listen_conf conf = {
		.at = { .addr = ip_v4(0x7f000001), .port = port },
		.cert_file = net_cert_file,
		.key_file = net_cert_key,
		.alpn = ALPN,
		.secret = "the same before and after",
		.idle = idle,
		.retry_always = retry,
		.admit = on_admit,
		.accept = on_accept,
	};
	assert_int_equal(net_quic_listen(loop, &conf, &listener, &f), 0);
}

static struct net_quic_target target(void)
{
	return (struct net_quic_target){
		.host = NET_CERT_HOST,
		.at = { .addr = ip_v4(0x7f000001), .port = net_quic_listen_port(listener) },
		.alpn = ALPN,
		.idle = 240 * LN_SEC,
		.keep_alive = 15 * LN_SEC,
	};
}

static void dial(const struct net_quic_target *t)
{
	assert_int_equal(net_quic_connect(loop, roots, t, &ops, &client, &client.q), 0);
}

#define wait_for(cond)                                                                             \
 do {                                                                                              \
  ln_time limit = ev_now() + WAIT;                                                                 \
  while (!(cond) && ev_now() < limit)                                                              \
   ev_loop_turn(loop, LN_MSEC);                                                                    \
  assert_true(cond);                                                                               \
 } while (0)

static void connect_both(bool retry)
{
	listen_at(0, retry, 30 * LN_SEC);
	const struct net_quic_target t = target();
	dial(&t);
	wait_for(client.ready && server.q != NULL);
}

static void say(struct net_quic *q, const char *text)
{
	assert_int_equal(net_quic_send(q, slice_str(text)), 0);
}

static int setup(void **state)
{
	struct ln_fail f;
	loop = ev_loop_new();
	memset(&client, 0, sizeof(client));
	memset(&server, 0, sizeof(server));
	admit = true;
	refuse = false;
	accepted = 0;
	return net_tls_ctx_client(net_cert_file, &roots, &f);
}

static int teardown(void **state)
{
	net_quic_free(client.q);
	net_quic_free(server.q);
	net_quic_listen_free(listener);
	listener = NULL;
	net_tls_ctx_free(roots);
	for (int i = 0; i < 4; i++)
		ev_loop_turn(loop, 0);
	ev_loop_free(loop);
	return 0;
}

/* --- talking ----------------------------------------------------------------------------------*/

static void messages_go_both_ways(void **state)
{
	connect_both(false);
	say(client.q, "from the client");
	wait_for(server.got == 1);
	assert_int_equal(server.last, 15);
	say(server.q, "back");
	wait_for(client.got == 1);
	assert_int_equal(client.last, 4);
	assert_int_equal(client.first_byte, 'b');
	assert_true(ip_is_loopback(&accepted_from.addr));
	assert_int_equal(net_quic_listen_counters(listener)->retries, 0);
}

static void a_listener_of_all_addresses_answers_from_the_one_asked(void **state)
{
	struct ln_fail f;
	const struct net_quic_listen_conf conf = { .cert_file = net_cert_file,
						   .key_file = net_cert_key,
						   .alpn = ALPN,
						   .idle = LN_SEC,
						   .accept = on_accept };
	assert_int_equal(net_quic_listen(loop, &conf, &listener, &f), 0);
	struct net_quic_target t = target();
	t.at.addr = ip_v4(0x7f000309); /* a connected client hears no other address */
	dial(&t);
	wait_for(client.ready && server.q != NULL);
	say(client.q, "x");
	wait_for(server.got == 1);
	assert_int_equal(accepted_from.addr.family, 4);
}

static void large_messages_wait_for_the_path(void **state)
{
	uint8_t msg[1350] = { 7 }; /* a full overlay packet: 1280, 32 of WireGuard, 38 of ours */
	connect_both(false);
	assert_true(net_quic_room(client.q) < sizeof(msg) && net_quic_room(client.q) > 1100);
	assert_int_equal(net_quic_send(client.q, slice_of(msg, sizeof(msg))), LN_E_LIMIT);
	wait_for(net_quic_room(client.q) >= sizeof(msg) && net_quic_room(server.q) >= sizeof(msg));
	assert_int_equal(net_quic_send(client.q, slice_of(msg, sizeof(msg))), 0);
	assert_int_equal(net_quic_send(server.q, slice_of(msg, sizeof(msg))), 0);
	wait_for(server.got == 1 && client.got == 1);
	assert_int_equal(server.last, sizeof(msg));
	/* Above what one packet may ever hold: refused, whatever the path. */
	uint8_t huge[9000];
	memset(huge, 1, sizeof(huge));
	assert_int_equal(net_quic_send(client.q, slice_of(huge, sizeof(huge))), LN_E_LIMIT);
}

static void a_full_window_asks_for_patience(void **state)
{
	uint8_t msg[1000] = { 1 };
	unsigned sent = 0;
	int r = 0;
	connect_both(false);
	while (r == 0 && sent < 10000) {
		r = net_quic_send(client.q, slice_of(msg, sizeof(msg)));
		sent += r == 0;
	}
	assert_int_equal(r, LN_E_AGAIN);
	assert_true(sent >= 10);
	wait_for(client.writable);
	assert_int_equal(net_quic_send(client.q, slice_of(msg, sizeof(msg))), 0);
	wait_for(server.got == sent + 1);
}

/* --- who may ----------------------------------------------------------------------------------*/

static void a_client_proves_its_address(void **state)
{
	connect_both(true);
	say(client.q, "after the retry");
	wait_for(server.got == 1);
	assert_int_equal(net_quic_listen_counters(listener)->retries, 1);
}

static void a_wrong_name_is_refused(void **state)
{
	listen_at(0, false, LN_SEC);
	struct net_quic_target t = target();
	t.host = "other.example.org";
	dial(&t);
	wait_for(client.closed != 0);
	assert_int_equal(client.closed, LN_E_AUTH);
	assert_non_null(strstr(client.why, "ostname mismatch"));
	assert_int_equal(accepted, 0);
}

static void an_unknown_authority_is_refused(void **state)
{
	struct ln_fail f;
	net_tls_ctx_free(roots);
	assert_int_equal(net_tls_ctx_client(NULL, &roots, &f), 0);
	listen_at(0, false, LN_SEC);
	const struct net_quic_target t = target();
	dial(&t);
	wait_for(client.closed != 0);
	assert_int_equal(client.closed, LN_E_AUTH);
	assert_non_null(strstr(client.why, "certificate"));
}

static void another_protocol_is_refused(void **state)
{
	listen_at(0, false, LN_SEC);
	struct net_quic_target t = target();
	t.alpn = "h3";
	dial(&t);
	wait_for(client.closed != 0);
	assert_int_equal(client.closed, LN_E_AUTH);
	assert_int_equal(accepted, 0);
}

static void the_owner_may_refuse(void **state)
{
	refuse = true;
	listen_at(0, false, LN_SEC);
	const struct net_quic_target t = target();
	dial(&t);
	wait_for(client.closed != 0);
	assert_int_equal(accepted, 1);
	assert_int_equal(client.closed, LN_E_CLOSED);
}

static void nobody_is_admitted(void **state)
{
	admit = false;
	listen_at(0, false, LN_SEC);
	const struct net_quic_target t = target();
	dial(&t);
	wait_for(net_quic_listen_counters(listener)->refused > 0);
	assert_false(client.ready);
	/* The client tries again by itself. */
	admit = true;
	wait_for(client.ready);
}

/* --- ends -------------------------------------------------------------------------------------*/

static void ends_are_told(void **state)
{
	connect_both(false);
	net_quic_free(client.q);
	client.q = NULL;
	wait_for(server.closed != 0);
	assert_int_equal(server.closed, LN_E_CLOSED);
}

static void free_inside_message(void **state)
{
	server.free_in_message = true;
	connect_both(false);
	say(client.q, "one");
	say(client.q, "two");
	wait_for(client.closed != 0);
	assert_int_equal(client.closed, LN_E_CLOSED);
	assert_int_equal(server.got, 1);
}

/* A process that is killed says nothing; the next one on its port does not know its connections. */
static void a_restarted_server_resets(void **state)
{
	uint8_t msg[600] = { 1 };
	int port[2];
	assert_int_equal(pipe(port), 0);
	pid_t pid = fork();
	if (pid == 0) {
		loop = ev_loop_new();
		listen_at(0, false, 30 * LN_SEC);
		uint16_t n = net_quic_listen_port(listener);
		if (write(port[1], &n, sizeof(n)) != sizeof(n))
			_exit(1);
		ev_loop_run(loop);
		_exit(0);
	}
	uint16_t n = 0;
	assert_int_equal(read(port[0], &n, sizeof(n)), sizeof(n));
	struct net_quic_target t = { .host = NET_CERT_HOST,
				     .at = { .addr = ip_v4(0x7f000001), .port = n },
				     .alpn = ALPN,
				     .idle = 240 * LN_SEC };
	dial(&t);
	wait_for(client.ready);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	listen_at(n, false, 30 * LN_SEC);
	assert_int_equal(net_quic_send(client.q, slice_of(msg, sizeof(msg))), 0);
	wait_for(client.closed != 0);
	assert_int_equal(client.closed, -ECONNRESET);
	/* Its probes may have been answered as well. */
	assert_true(net_quic_listen_counters(listener)->resets >= 1);
	close(port[0]);
	close(port[1]);
}

static void silence_ends(void **state)
{
	listen_at(0, false, 300 * LN_MSEC);
	struct net_quic_target t = target();
	t.keep_alive = 0;
	dial(&t);
	wait_for(client.ready && server.q != NULL);
	wait_for(client.closed != 0 && server.closed != 0);
	assert_int_equal(client.closed, LN_E_TIMEOUT);
	assert_int_equal(server.closed, LN_E_TIMEOUT);
}

static void keep_alive_prevents_that(void **state)
{
	listen_at(0, false, 300 * LN_MSEC);
	struct net_quic_target t = target();
	t.keep_alive = 50 * LN_MSEC;
	dial(&t);
	wait_for(client.ready && server.q != NULL);
	for (ln_time end = ev_now() + LN_SEC; ev_now() < end;)
		ev_loop_turn(loop, 10 * LN_MSEC);
	assert_int_equal(client.closed, 0);
	say(client.q, "still here");
	wait_for(server.got == 1);
}

static void nobody_listens(void **state)
{
	listen_at(0, false, LN_SEC);
	const struct net_quic_target t = target();
	net_quic_listen_free(listener);
	listener = NULL;
	dial(&t);
	wait_for(client.closed != 0);
	assert_int_equal(client.closed, -ECONNREFUSED);
}

/* --- nonsense ---------------------------------------------------------------------------------*/

static void throw_at(const void *p, size_t n, uint8_t *answer, ssize_t *ret)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(net_quic_listen_port(listener)),
				  .sin_addr.s_addr = htonl(0x7f000001) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(fd, p, n, 0), n);
	for (int i = 0; i < 5; i++)
		ev_loop_turn(loop, LN_MSEC);
	*ret = recv(fd, answer, 2000, 0);
	close(fd);
}

static void nonsense_is_survived(void **state)
{
	uint8_t p[1300], answer[2000];
	ssize_t n;
	connect_both(false);
	for (unsigned i = 0; i < 300; i++) {
		rng_fill(ev_rng(), p, sizeof(p));
		p[0] = (uint8_t)(i < 100 ? p[0] | 0xc0 : p[0]);
		if (i >= 50 && i < 100)
			memcpy(p + 1, "\0\0\0\1\10", 5); /* version 1, an id of 8 bytes */
		throw_at(p, i < 200 ? sizeof(p) : 1 + i % 64, answer, &n);
		assert_true(n <= (ssize_t)sizeof(p)); /* never more than what came */
	}
	say(client.q, "untouched");
	wait_for(server.got == 1);
}

static void another_version_is_told_ours(void **state)
{
	uint8_t p[1200] = { 0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0 };
	uint8_t answer[2000];
	ssize_t n;
	listen_at(0, false, LN_SEC);
	throw_at(p, sizeof(p), answer, &n);
	assert_true(n > 7);
	assert_memory_equal(answer + 1, "\0\0\0\0", 4);     /* version negotiation */
	assert_memory_equal(answer + n - 4, "\0\0\0\1", 4); /* to version 1 */
	throw_at(p, 100, answer, &n);
	assert_int_equal(n, -1); /* small: we would be the louder one */
}

static void an_unknown_connection_is_reset(void **state)
{
	uint8_t p[100] = { 0x40, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9 };
	uint8_t answer[2000];
	ssize_t n;
	listen_at(0, false, LN_SEC);
	throw_at(p, sizeof(p), answer, &n);
	assert_in_range(n, 21, sizeof(p) - 1);
	assert_int_equal(answer[0] & 0xc0, 0x40);
	assert_int_equal(net_quic_listen_counters(listener)->resets, 1);
	throw_at(p, 38, answer, &n); /* a PING */
	assert_int_equal(n, 37);
	throw_at(p, 21, answer, &n);
	assert_int_equal(n, -1);
}

static void certificates_are_reread(void **state)
{
	struct ln_fail f;
	connect_both(false);
	assert_int_equal(net_quic_listen_reload(listener, &f), 0);
	say(client.q, "old connections stay");
	wait_for(server.got == 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(messages_go_both_ways),
		T(a_listener_of_all_addresses_answers_from_the_one_asked),
		T(large_messages_wait_for_the_path),
		T(a_full_window_asks_for_patience),
		T(a_client_proves_its_address),
		T(a_wrong_name_is_refused),
		T(an_unknown_authority_is_refused),
		T(another_protocol_is_refused),
		T(the_owner_may_refuse),
		T(nobody_is_admitted),
		T(ends_are_told),
		T(free_inside_message),
		T(a_restarted_server_resets),
		T(silence_ends),
		T(keep_alive_prevents_that),
		T(nobody_listens),
		T(nonsense_is_survived),
		T(another_version_is_told_ours),
		T(an_unknown_connection_is_reset),
		T(certificates_are_reread),
	};
	return cmocka_run_group_tests(tests, net_cert_make, net_cert_remove);
}
