/*
 * TLS streams on a loop, the server's handshake on worker threads: whole, in single bytes, freed or
 * cut while a worker has it, and with a client that talks nonsense.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/str.h"

#include "src/net/net_stream.h"
#include "src/net/net_tls.h"
#include "tests/unit/net/net_cert.h"
#include "tests/unit/unit.h"

static struct ev_loop *loop;
static struct net_tls_ctx *server_ctx, *client_ctx;

struct end {
	struct net_stream *stream;
	struct str got;
	bool ready;
	int closed;
	bool echo, tls_when_read;
};

static void on_data(void *user, struct slice d)
{
	struct end *e = user;
	if (e->tls_when_read && !net_stream_is_tls(e->stream)) {
		net_stream_start_tls(e->stream, net_tls_new(server_ctx, NULL), d);
		return;
	}
	str_addn(&e->got, d.p, d.n);
	if (e->echo)
		net_stream_write(e->stream, d);
}

static void on_writable(void *user)
{
}

static void on_ready(void *user)
{
	((struct end *)user)->ready = true;
}

static void on_closed(void *user, int err, const char *why)
{
	struct end *e = user;
	assert_true(why[0] != '\0');
	e->closed = err;
}

static const struct net_stream_ops ops = {
	.data = on_data, .writable = on_writable, .ready = on_ready, .closed = on_closed
};

static int setup(void **state)
{
	struct ln_fail f;
	loop = ev_loop_new();
	assert_int_equal(net_tls_ctx_server(net_cert_file, net_cert_key, &server_ctx, &f), 0);
	assert_int_equal(net_tls_ctx_client(net_cert_file, &client_ctx, &f), 0);
	return 0;
}

static int teardown(void **state)
{
	net_tls_ctx_free(server_ctx);
	net_tls_ctx_free(client_ctx);
	ev_loop_free(loop);
	return 0;
}

static void end_init(struct end *e, int fd, struct net_tls *tls)
{
	*e = (struct end){ .echo = false };
	str_init(&e->got, 1 << 20);
	assert_int_equal(net_stream_new(loop, fd, tls, &ops, e, &e->stream), 0);
}

static void end_fini(struct end *e)
{
	net_stream_free(e->stream);
	str_fini(&e->got);
}

static void server_init(struct end *e, int *ret_peer)
{
	int p[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p), 0);
	end_init(e, p[0], NULL);
	e->tls_when_read = e->echo = true;
	*ret_peer = p[1];
}

#define TURN_UNTIL(cond)                                                                           \
 do {                                                                                              \
  ln_time limit = ev_now() + 10 * LN_SEC;                                                          \
  while (!(cond) && ev_now() < limit)                                                              \
   ev_loop_turn(loop, 10 * LN_MSEC);                                                               \
  assert_true(cond);                                                                               \
 } while (0)

static void test_many_at_once(void **state)
{
	static struct end s[40], c[40];
	for (size_t i = 0; i < LN_COUNT(s); i++) {
		int fd;
		server_init(&s[i], &fd);
		end_init(&c[i], fd, net_tls_new(client_ctx, NET_CERT_HOST));
	}
	for (size_t i = 0; i < LN_COUNT(s); i++) {
		TURN_UNTIL(c[i].ready);
		/* Perhaps together with the handshake's last message. */
		net_stream_write(c[i].stream, slice_str("hello"));
	}
	for (size_t i = 0; i < LN_COUNT(s); i++) {
		TURN_UNTIL(c[i].got.n == 5);
		assert_true(s[i].ready && net_stream_is_h2(s[i].stream));
		assert_true(slice_is(str_slice(&s[i].got), "hello"));
		assert_int_equal(s[i].closed | c[i].closed, 0);
		end_fini(&s[i]);
		end_fini(&c[i]);
	}
}

/* The handshake moves through `t` by hand, `step` bytes at a time. */
static void test_single_bytes(void **state)
{
	struct end s;
	struct str up, plain;
	uint8_t buf[4096], text[64];
	int fd;
	server_init(&s, &fd);
	str_init(&up, 1 << 16);
	str_init(&plain, 1 << 16);
	struct net_tls *t = net_tls_new(client_ctx, NET_CERT_HOST);
	assert_int_equal(net_tls_start(t, &up), 0);
	ln_time limit = ev_now() + 20 * LN_SEC;
	bool sent = false;
	while (plain.n < 5 && ev_now() < limit) {
		if (up.n != 0 && send(fd, up.s, 1, MSG_NOSIGNAL) == 1)
			str_consume(&up, 1);
		ev_loop_turn(loop, up.n == 0 ? LN_MSEC : 0);
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		struct slice in = slice_of(buf, n > 0 ? (size_t)n : 0);
		int r;
		while (in.n != 0 &&
		       (r = net_tls_read(t, &in, mslice_of(text, sizeof(text)), &up)) > 0)
			str_addn(&plain, text, (size_t)r);
		if (net_tls_is_ready(t) && !sent) {
			assert_int_equal(net_tls_write(t, slice_str("drops"), &up), 0);
			sent = true;
		}
	}
	assert_true(slice_is(str_slice(&plain), "drops"));
	net_tls_free(t);
	str_fini(&up);
	str_fini(&plain);
	end_fini(&s);
	close(fd);
}

static void test_freed_while_a_worker_has_it(void **state)
{
	for (int i = 0; i < 30; i++) {
		struct end s, c;
		int fd;
		server_init(&s, &fd);
		end_init(&c, fd, net_tls_new(client_ctx, NET_CERT_HOST));
		for (int k = 0; k < i % 5 + 1; k++)
			ev_loop_turn(loop, 0);
		if (i % 3 == 0)
			net_stream_mute(s.stream);
		if (i % 3 == 1)
			net_stream_finish(s.stream);
		end_fini(&s);
		end_fini(&c);
	}
}

static void test_nonsense(void **state)
{
	static const uint8_t hello[] = { 22, 3, 1, 0, 4, 99, 0, 0, 0 };
	struct end s;
	int fd;
	server_init(&s, &fd);
	assert_int_equal(send(fd, hello, sizeof(hello), 0), sizeof(hello));
	TURN_UNTIL(s.closed != 0);
	assert_int_equal(s.closed, LN_E_AUTH);
	assert_false(s.ready);
	end_fini(&s);
	close(fd);
}

static void test_cut_in_the_handshake(void **state)
{
	struct end s;
	struct str up;
	int fd;
	server_init(&s, &fd);
	str_init(&up, 1 << 16);
	struct net_tls *t = net_tls_new(client_ctx, NET_CERT_HOST);
	assert_int_equal(net_tls_start(t, &up), 0);
	assert_int_equal(send(fd, up.s, up.n, 0), up.n);
	close(fd);
	TURN_UNTIL(s.closed != 0);
	assert_false(s.ready);
	net_tls_free(t);
	str_fini(&up);
	end_fini(&s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_many_at_once),
		T(test_single_bytes),
		T(test_freed_while_a_worker_has_it),
		T(test_nonsense),
		T(test_cut_in_the_handshake),
	};
	return cmocka_run_group_tests_name("net_stream", tests, net_cert_make, net_cert_remove);
}
