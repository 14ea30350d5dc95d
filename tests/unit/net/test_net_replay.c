/* What NetBird agents really sent, fed to our server in pieces of several sizes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/str.h"

#include "src/net/net_grpc.h"
#include "tests/unit/unit.h"

struct capture {
	const char *file;
	unsigned requests;
	unsigned messages;
};

/* HEADERS and non-empty DATA frames in the recordings; ConnectStream carries no message. */
static const struct capture captures[] = {
	{ "0.28.9-management", 5, 5 },   { "0.28.9-signal", 5, 4 },
	{ "0.40.1-management", 5, 5 },   { "0.40.1-signal", 6, 5 },
	{ "0.50.3-management", 5, 5 },   { "0.50.3-signal", 6, 5 },
	{ "0.72.4-management", 10, 10 }, { "0.72.4-signal", 12, 11 },
	{ "0.77.1-management", 7, 7 },   { "0.77.1-signal", 5, 4 },
};

static unsigned opened, messages, closed, timeouts;

static void on_open(void *service, struct grpc_call *c)
{
	opened++;
	timeouts += grpc_call_deadline(c) != LN_TIME_NEVER;
	assert_non_null(strstr(grpc_call_header(c, "user-agent"), "grpc-go/1."));
}

static void on_message(struct grpc_call *c, struct slice msg)
{
	messages++;
}

static void on_half_close(struct grpc_call *c)
{
	if (grpc_call_send(c, slice_of(NULL, 0)) == 0)
		grpc_call_finish(c, GRPC_OK, NULL);
}

static void on_closed(struct grpc_call *c)
{
	closed++;
}

#define UNARY(p)                                                                                   \
 {                                                                                                 \
  .path = p, .open = on_open, .message = on_message, .half_close = on_half_close,                  \
  .closed = on_closed                                                                              \
 }
#define STREAM(p)                                                                                  \
 {                                                                                                 \
  .path = p, .open = on_open, .message = on_message, .closed = on_closed                           \
 }

static const struct grpc_method rows[] = {
	UNARY("/management.ManagementService/GetServerKey"),
	UNARY("/management.ManagementService/Login"),
	UNARY("/management.ManagementService/SyncMeta"),
	UNARY("/management.ManagementService/isHealthy"),
	STREAM("/management.ManagementService/Sync"),
	STREAM("/management.ManagementService/Job"),
	STREAM("/signalexchange.SignalExchange/ConnectStream"),
	UNARY("/signalexchange.SignalExchange/Send"),
};

static size_t load(const char *name, uint8_t *dst, size_t size)
{
	char path[400];
	const char *dir = getenv("LN_VECTORS");
	snprintf(path, sizeof(path), "%s/grpc/%s.from-agent.bin",
		 dir != NULL ? dir : "tests/vectors", name);
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		fail_msg("cannot open %s", path);
	size_t n = fread(dst, 1, size, f);
	fclose(f);
	return n;
}

/* The last GOAWAY in what the server said; its error code, or -1 without one. */
static long goaway_code(const struct str *said)
{
	long code = -1;
	const uint8_t *p = (const uint8_t *)said->s;
	for (size_t i = 0; i + 9 <= said->n;) {
		size_t len = (size_t)p[i] << 16 | (size_t)p[i + 1] << 8 | p[i + 2];
		if (p[i + 3] == 7 && i + 17 <= said->n)
			code = p[i + 16];
		i += 9 + len;
	}
	return code;
}

static void replay(const struct capture *cap, size_t step)
{
	uint8_t data[8192];
	size_t n = load(cap->file, data, sizeof(data));
	/* What the servers announced to these agents; they compress accordingly. */
	struct grpc_server_conf conf = { .header_table = 4096 };
	struct ip_ep peer = { .addr = ip_v4(0x0a010002), .port = 1 };
	struct ev_loop *l = ev_loop_new();
	struct grpc_server *s = grpc_server_new(l, &conf);
	struct str said;
	int p[2];
	opened = messages = closed = timeouts = 0;
	str_init(&said, 0);
	grpc_server_add(s, rows, LN_COUNT(rows));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p), 0);
	grpc_server_accept(s, p[0], &peer, slice_of(NULL, 0));
	for (size_t i = 0; i < n; i += step) {
		size_t take = LN_MIN(step, n - i);
		assert_int_equal(send(p[1], data + i, take, MSG_NOSIGNAL), take);
		ev_loop_turn(l, 0);
	}
	ln_time end = ev_now() + 3 * LN_SEC;
	shutdown(p[1], SHUT_WR);
	for (bool eof = false; !eof && ev_now() < end;) {
		char buf[4096];
		ev_loop_turn(l, 5 * LN_MSEC);
		ssize_t r = recv(p[1], buf, sizeof(buf), 0);
		if (r > 0)
			str_addn(&said, buf, (size_t)r);
		eof = r == 0;
	}
	assert_int_equal(opened, cap->requests);
	assert_int_equal(messages, cap->messages);
	assert_int_equal(closed, cap->requests);
	assert_true(timeouts > 0);
	assert_true(goaway_code(&said) <= 0);
	close(p[1]);
	grpc_server_free(s);
	ev_loop_free(l);
	str_fini(&said);
}

static void recorded_agents_are_understood(void **state)
{
	static const size_t steps[] = { 8192, 1, 100 };
	for (size_t i = 0; i < LN_COUNT(captures); i++)
		for (size_t k = 0; k < LN_COUNT(steps); k++)
			replay(&captures[i], steps[k]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(recorded_agents_are_understood) };
	return cmocka_run_group_tests_name("net_replay", tests, NULL, NULL);
}
