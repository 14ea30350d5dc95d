/* The public port as a stranger sees it: raw sockets against a front on the same loop. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/str.h"

#include "src/front/front.h"
#include "src/net/net_grpc.h"
#include "tests/unit/unit.h"

static struct ev_loop *loop;
static struct front *front;
static struct grpc_server *grpc;
static struct front_request *held; /* by the slow row, until the test answers */
static struct str got;

static void echo_row(void *service, struct front_request *rq)
{
	struct str b;
	const char *x = front_request_header(rq, "x-test");
	struct slice body = front_request_body(rq);
	str_init(&b, 0);
	str_addf(&b, "%s %s ?%s x=%s body=%.*s", front_request_method(rq), front_request_path(rq),
		 front_request_query(rq), x != NULL ? x : "-", (int)body.n, (const char *)body.p);
	front_reply(rq, 200, "text/plain", str_slice(&b));
	str_fini(&b);
}

static void slow_row(void *service, struct front_request *rq)
{
	held = rq;
}

static const struct front_row rows[] = {
	{ .path = "/echo/*", .handle = echo_row },
	{ .path = "/slow", .handle = slow_row },
};

static void start(struct front_limits limits)
{
	struct grpc_server_conf gc = { 0 };
	struct ip_ep any = { .addr = ip_v4(0x7f000001) };
	struct ln_fail f;
	loop = ev_loop_new();
	grpc = grpc_server_new(loop, &gc);
	struct front_conf conf = { .listen = &any, .nlisten = 1, .grpc = grpc, .limits = limits };
	assert_int_equal(front_new(loop, &conf, &front, &f), 0);
	front_add(front, rows, LN_COUNT(rows));
	str_init(&got, 0);
	held = NULL;
}

static int teardown(void **state)
{
	front_free(front);
	grpc_server_free(grpc);
	ev_loop_free(loop);
	str_fini(&got);
	return 0;
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

static void say(int fd, const char *s)
{
	assert_int_equal(send(fd, s, strlen(s), MSG_NOSIGNAL), strlen(s));
}

/* Turns the loop until `want` was received, the peer closed, or the time is over. */
static bool hear(int fd, const char *want, ln_time limit)
{
	ln_time end = ev_now() + limit;
	for (;;) {
		char buf[4096];
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		if (n > 0)
			str_addn(&got, buf, (size_t)n);
		if (want != NULL && got.n != 0 && strstr(str_c(&got), want) != NULL)
			return true;
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return want == NULL;
		if (ev_now() > end)
			return false;
		ev_loop_turn(loop, 10 * LN_MSEC);
	}
}

static void plain_page_and_404(void **state)
{
	start((struct front_limits){ 0 });
	int fd = dial();
	say(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(hear(fd, "linnet server\n", 2 * LN_SEC));
	assert_non_null(strstr(str_c(&got), "HTTP/1.1 200 OK\r\n"));
	str_clear(&got);
	/* The same connection goes on. */
	say(fd, "GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_true(hear(fd, NULL, 2 * LN_SEC));
	assert_non_null(strstr(str_c(&got), "HTTP/1.1 404 Not Found\r\n"));
	assert_non_null(strstr(str_c(&got), "Connection: close\r\n"));
	close(fd);
}

static void rows_get_requests_in_pieces_and_pipelined(void **state)
{
	start((struct front_limits){ 0 });
	int fd = dial();
	static const char rq[] =
		"POST /echo/a?b=1 HTTP/1.1\r\nHost: x\r\nX-Test: yes\r\n"
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
		"HEAD /echo/h HTTP/1.1\r\n\r\nGET /echo/z HTTP/1.1\r\n\r\n";
	for (size_t i = 0; i + 1 < sizeof(rq); i++) {
		assert_int_equal(send(fd, rq + i, 1, MSG_NOSIGNAL), 1);
		ev_loop_turn(loop, 0);
	}
	assert_true(hear(fd, "GET /echo/z ? x=- body=", 2 * LN_SEC));
	assert_non_null(strstr(str_c(&got), "POST /echo/a ?b=1 x=yes body=abcde"));
	assert_null(strstr(str_c(&got), "HEAD /echo/h"));
	str_clear(&got);
	say(fd, "GET /echo/1 HTTP/1.1\r\n\r\nGET /echo/2 HTTP/1.1\r\n\r\n");
	assert_true(hear(fd, "GET /echo/2", 2 * LN_SEC));
	assert_non_null(strstr(str_c(&got), "GET /echo/1"));
	close(fd);
}

static void handler_may_answer_late_or_too_late(void **state)
{
	start((struct front_limits){ .first_limit = 100 * LN_MSEC });
	int fd = dial();
	say(fd, "GET /slow HTTP/1.1\r\n\r\n");
	assert_false(hear(fd, "x", 250 * LN_MSEC)); /* not cut off by the first limit */
	assert_non_null(held);
	front_reply(held, 200, "text/plain", slice_str("late"));
	assert_true(hear(fd, "late", 2 * LN_SEC));
	held = NULL;
	say(fd, "GET /slow HTTP/1.1\r\n\r\n");
	while (held == NULL)
		ev_loop_turn(loop, 10 * LN_MSEC);
	close(fd);
	while (front_conns(front) != 0)
		ev_loop_turn(loop, 10 * LN_MSEC);
	front_reply(held, 200, "text/plain", slice_str("nobody"));
}

static void bad_requests_are_answered(void **state)
{
	start((struct front_limits){ .max_body = 10 });
	int fd = dial();
	say(fd, "NONSENSE\r\n\r\n");
	assert_true(hear(fd, NULL, 2 * LN_SEC));
	assert_non_null(strstr(str_c(&got), "HTTP/1.1 400 Bad Request"));
	close(fd);
	str_clear(&got);
	fd = dial();
	say(fd, "POST /echo/x HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789");
	assert_true(hear(fd, "body=0123456789", 2 * LN_SEC));
	say(fd, "POST /echo/x HTTP/1.1\r\nContent-Length: 11\r\n\r\n0123456789a");
	assert_true(hear(fd, NULL, 2 * LN_SEC));
	assert_non_null(strstr(str_c(&got), "HTTP/1.1 413 "));
	close(fd);
}

static void silence_is_cut_off(void **state)
{
	static const char *const starts[] = { "", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
					      "GET / HT" };
	start((struct front_limits){ .first_limit = 100 * LN_MSEC });
	for (size_t i = 0; i < LN_COUNT(starts); i++) {
		int fd = dial();
		say(fd, starts[i]);
		assert_true(hear(fd, NULL, 2 * LN_SEC));
		close(fd);
	}
	while (front_conns(front) != 0)
		ev_loop_turn(loop, 10 * LN_MSEC);
}

/* How many of n fresh connections stay open. */
static unsigned open_of(int *fd, unsigned n)
{
	unsigned open = 0;
	for (unsigned i = 0; i < n; i++)
		fd[i] = dial();
	for (int i = 0; i < 20; i++)
		ev_loop_turn(loop, 5 * LN_MSEC);
	for (unsigned i = 0; i < n; i++) {
		char b;
		open += recv(fd[i], &b, 1, 0) < 0 && errno == EAGAIN;
	}
	return open;
}

static unsigned closed_of(const int *fd, unsigned n)
{
	unsigned closed = 0;
	char b;
	for (unsigned i = 0; i < n; i++)
		closed += recv(fd[i], &b, 1, 0) == 0;
	return closed;
}

/* Who comes to a full house waits outside and is not turned away. */
static void half_open_limit_holds(void **state)
{
	int fd[8];
	start((struct front_limits){ .max_half_open = 3 });
	assert_int_equal(open_of(fd, 8), 8);
	assert_int_equal(front_conns(front), 3);
	/* One says what it is: the next one comes in. */
	say(fd[1], "GET / HTTP/1.1\r\n\r\n");
	assert_true(hear(fd[1], "linnet server", 2 * LN_SEC));
	while (front_conns(front) != 4)
		ev_loop_turn(loop, 10 * LN_MSEC);
	/* One goes away: the next one comes in. */
	close(fd[0]);
	ln_time began = ev_now();
	for (int i = 0; i < 20; i++)
		ev_loop_turn(loop, 5 * LN_MSEC);
	assert_int_equal(front_conns(front), 4);
	/* The silent ones lose their places, not before two seconds. */
	assert_int_equal(closed_of(fd + 1, 7), 0);
	while (closed_of(fd + 1, 7) < 3 && ev_now() < began + 8 * LN_SEC)
		ev_loop_turn(loop, 10 * LN_MSEC);
	assert_true(ev_now() - began > 1500 * LN_MSEC);
	assert_int_equal(closed_of(fd + 1, 7), 3);
	for (size_t i = 1; i < 8; i++)
		close(fd[i]);
	while (front_conns(front) != 0)
		ev_loop_turn(loop, 10 * LN_MSEC);
	assert_int_equal(open_of(fd, 3), 3);
	for (size_t i = 0; i < 3; i++)
		close(fd[i]);
}

static void limits_hold(void **state)
{
	int fd[8];
	start((struct front_limits){ .max_per_source = 2 });
	assert_int_equal(open_of(fd, 8), 2);
	for (size_t i = 0; i < 8; i++)
		close(fd[i]);
	teardown(NULL);
	start((struct front_limits){ .max_conns = 4 });
	assert_int_equal(open_of(fd, 8), 4);
	for (size_t i = 0; i < 8; i++)
		close(fd[i]);
}

static void set_true(void *arg)
{
	*(bool *)arg = true;
}

static void drain_ends_idle_connections(void **state)
{
	start((struct front_limits){ 0 });
	int fd = dial();
	int h2 = dial();
	bool done = false;
	say(fd, "GET / HTTP/1.1\r\n\r\n");
	assert_true(hear(fd, "linnet server", 2 * LN_SEC));
	assert_int_equal(send(h2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33, 0), 33);
	ev_loop_turn(loop, 20 * LN_MSEC);
	assert_int_equal(front_conns(front), 2);
	front_drain(front, 200 * LN_MSEC, set_true, &done);
	ln_time end = ev_now() + 3 * LN_SEC;
	while (!done && ev_now() < end)
		ev_loop_turn(loop, 10 * LN_MSEC);
	assert_true(done);
	assert_int_equal(front_conns(front), 0);
	close(fd);
	close(h2);
}

static void port_in_use_is_named(void **state)
{
	start((struct front_limits){ 0 });
	struct ip_ep at = { .addr = ip_v4(0x7f000001), .port = front_port(front, 0) };
	struct front_conf conf = { .listen = &at, .nlisten = 1 };
	struct front *second;
	struct ln_fail f;
	char text[IP_EP_TEXT_MAX];
	ip_ep_format(&at, text);
	assert_int_equal(front_new(loop, &conf, &second, &f), -EADDRINUSE);
	assert_non_null(strstr(f.text, text));
	conf.cert_file = "/nonexistent.pem";
	assert_int_equal(front_new(loop, &conf, &second, &f), LN_E_MALFORMED);
	conf.key_file = "/nonexistent.key";
	assert_int_equal(front_new(loop, &conf, &second, &f), LN_E_MALFORMED);
	assert_non_null(strstr(f.text, "/nonexistent.pem"));
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(plain_page_and_404),
		T(rows_get_requests_in_pieces_and_pipelined),
		T(handler_may_answer_late_or_too_late),
		T(bad_requests_are_answered),
		T(silence_is_cut_off),
		T(half_open_limit_holds),
		T(limits_hold),
		T(drain_ends_idle_connections),
		T(port_in_use_is_named),
	};
	return cmocka_run_group_tests_name("front", tests, NULL, NULL);
}
