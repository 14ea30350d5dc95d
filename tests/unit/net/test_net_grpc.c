/* Server and client of src/net against each other on one loop, over a Unix socket. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/str.h"

#include "src/net/net_grpc.h"
#include "tests/unit/unit.h"

static struct ev_loop *loop;
static struct grpc_server *server;
static struct grpc_channel *channel;
static struct str trace; /* one character per server callback */
static char path[64];
static char last_why[400];

/* --- the service under test -------------------------------------------------------------------*/

static void echo_open(void *service, struct grpc_call *c)
{
	str_addc(&trace, 'o');
}

static void echo_message(struct grpc_call *c, struct slice msg)
{
	str_addc(&trace, 'm');
	assert_int_equal(grpc_call_send(c, msg), 0);
}

static void echo_half_close(struct grpc_call *c)
{
	str_addc(&trace, 'h');
	grpc_call_finish(c, GRPC_OK, NULL);
}

static void closed(struct grpc_call *c)
{
	str_addc(&trace, 'c');
}

static void refuse_open(void *service, struct grpc_call *c)
{
	grpc_call_finish_details(c, GRPC_PERMISSION_DENIED, "no: 100% \xc3\xa4",
				 slice_of("\1\2", 2));
}

static void mark_open(void *service, struct grpc_call *c)
{
	const char *id = grpc_call_header(c, "x-id");
	struct grpc_kv kv = { "x-registered", id != NULL ? id : "none" };
	assert_int_equal(grpc_call_send_headers(c, &kv, 1), 0);
	assert_int_equal(grpc_call_send_headers(c, &kv, 1), LN_E_STATE);
}

static void cred_open(void *service, struct grpc_call *c)
{
	pid_t pid = 0;
	uid_t uid = 1234;
	gid_t gid;
	assert_int_equal(grpc_call_peer_cred(c, &pid, &uid, &gid), 0);
	assert_int_equal(pid, getpid());
	assert_int_equal(uid, getuid());
	assert_int_equal(grpc_call_send(c, slice_of(NULL, 0)), 0);
	grpc_call_finish(c, GRPC_OK, NULL);
}

static size_t flood_refused;

/* Sends until the queue is full, then once more when it has drained. */
static void flood_open(void *service, struct grpc_call *c)
{
	static uint8_t block[10000];
	int r;
	while ((r = grpc_call_send(c, slice_of(block, sizeof(block)))) == 0)
		;
	assert_int_equal(r, LN_E_LIMIT);
	flood_refused++;
}

static void flood_writable(struct grpc_call *c)
{
	assert_int_equal(grpc_call_queued(c), 0);
	grpc_call_finish(c, GRPC_ABORTED, "drained");
}

static void cancel_open(void *service, struct grpc_call *c)
{
	grpc_call_cancel(c);
	assert_int_equal(grpc_call_send(c, slice_str("x")), LN_E_CLOSED);
	grpc_call_finish(c, GRPC_OK, NULL);
}

#define PUSHED 200000

/* A message written in place, and asked after. */
static void push_open(void *service, struct grpc_call *c)
{
	struct grpc_msg *m = grpc_msg_new(PUSHED);
	assert_int_equal(grpc_msg_bytes(m).n, PUSHED);
	memset(grpc_msg_bytes(m).p, 'p', PUSHED);
	grpc_call_confirm(c); /* of nothing; replaced before it can be answered */
	assert_int_equal(grpc_call_send_msg(c, m), 0);
	grpc_call_confirm(c);
	/* Too much: the message is gone all the same. */
	assert_int_equal(grpc_call_send_msg(c, grpc_msg_new(1000000)), LN_E_LIMIT);
	grpc_msg_free(grpc_msg_new(0));
}

static void push_delivered(struct grpc_call *c)
{
	assert_int_equal(grpc_call_queued(c), 0);
	str_addc(&trace, 'd');
}

static void push_closed(struct grpc_call *c)
{
	str_addc(&trace, grpc_call_cancelled(c) ? 'x' : 'c');
}

static const struct grpc_method rows[] = {
	{ .path = "/t.T/Push",
	  .open = push_open,
	  .delivered = push_delivered,
	  .closed = push_closed },
	{ .path = "/t.T/Echo",
	  .open = echo_open,
	  .message = echo_message,
	  .half_close = echo_half_close,
	  .closed = closed },
	{ .path = "/t.T/Refuse", .open = refuse_open, .closed = closed },
	{ .path = "/t.T/Silent", .closed = closed },
	{ .path = "/t.T/Mark", .open = mark_open, .closed = closed },
	{ .path = "/t.T/Cred", .open = cred_open, .closed = closed },
	{ .path = "/t.T/Flood", .open = flood_open, .writable = flood_writable, .closed = closed },
	{ .path = "/t.T/Cancel", .open = cancel_open, .closed = closed },
};

/* --- the client's record ----------------------------------------------------------------------*/

struct record {
	int headers;
	char registered[32];
	int messages;
	size_t bytes;
	struct str first;
	bool closed;
	enum grpc_status status;
	char text[200];
};

static void on_headers(struct grpc_call *c)
{
	struct record *r = grpc_call_user(c);
	const char *v = grpc_call_header(c, "x-registered");
	r->headers++;
	if (v != NULL)
		snprintf(r->registered, sizeof(r->registered), "%s", v);
}

static void on_message(struct grpc_call *c, struct slice msg)
{
	struct record *r = grpc_call_user(c);
	assert_false(r->closed);
	if (r->messages++ == 0)
		str_addn(&r->first, msg.p, msg.n);
	r->bytes += msg.n;
}

static void on_closed(struct grpc_call *c, enum grpc_status status, const char *text)
{
	struct record *r = grpc_call_user(c);
	assert_false(r->closed);
	r->closed = true;
	r->status = status;
	snprintf(r->text, sizeof(r->text), "%s", text);
}

static const struct grpc_client_cbs cbs = { on_headers, on_message, on_closed };

static void on_unary(void *user, enum grpc_status status, const char *text, struct slice reply)
{
	struct record *r = user;
	r->closed = true;
	r->status = status;
	snprintf(r->text, sizeof(r->text), "%s", text);
	r->bytes = reply.n;
	if (reply.n != 0)
		str_addn(&r->first, reply.p, reply.n);
}

static void on_state(void *user, enum grpc_channel_state s, const char *why)
{
	if (s == GRPC_FAILURE)
		snprintf(last_why, sizeof(last_why), "%s", why);
}

static bool wait_for(const bool *flag)
{
	ln_time end = ev_now() + 5 * LN_SEC;
	while (!*flag && ev_now() < end)
		ev_loop_turn(loop, 20 * LN_MSEC);
	return *flag;
}

static struct grpc_channel *channel_to(const char *unix_path)
{
	struct grpc_channel_conf conf = { .target.unix_path = unix_path, .on_state = on_state };
	return grpc_channel_new(loop, &conf);
}

static int setup(void **state)
{
	struct grpc_server_conf conf = { .max_message = 100000, .max_send_queue = 1000000 };
	snprintf(path, sizeof(path), "/tmp/test_net_grpc.%d", (int)getpid());
	loop = ev_loop_new();
	str_init(&trace, 0);
	last_why[0] = '\0';
	server = grpc_server_new(loop, &conf);
	grpc_server_add(server, rows, LN_COUNT(rows));
	assert_int_equal(grpc_server_listen_unix(server, path, 0600, NULL), 0);
	channel = channel_to(path);
	return 0;
}

static int teardown(void **state)
{
	grpc_channel_free(channel);
	grpc_server_free(server);
	ev_loop_free(loop);
	str_fini(&trace);
	assert_int_equal(access(path, F_OK), -1);
	return 0;
}

static struct record unary(const char *method, struct slice msg, ln_time limit)
{
	struct record r = { 0 };
	grpc_channel_unary(channel, method, msg, limit != 0 ? ev_now() + limit : LN_TIME_NEVER,
			   on_unary, &r);
	assert_true(wait_for(&r.closed));
	return r;
}

/* --- tests ------------------------------------------------------------------------------------*/

static void unary_echo_and_callback_order(void **state)
{
	struct record r = unary("/t.T/Echo", slice_str("hello"), 5 * LN_SEC);
	assert_int_equal(r.status, GRPC_OK);
	assert_string_equal(str_c(&r.first), "hello");
	str_fini(&r.first);
	assert_string_equal(str_c(&trace), "omhc");
	assert_int_equal(grpc_channel_state(channel), GRPC_READY);
	r = unary("/t.T/Echo", slice_of(NULL, 0), 0);
	assert_int_equal(r.status, GRPC_OK);
	assert_int_equal(r.bytes, 0);
	str_fini(&r.first);
	r = unary("/t.T/Cred", slice_of(NULL, 0), 0);
	assert_int_equal(r.status, GRPC_OK);
	str_fini(&r.first);
}

static void sizes_around_the_limit(void **state)
{
	uint8_t *big = ln_alloc(100001);
	for (size_t i = 0; i < 100001; i++)
		big[i] = (uint8_t)(i * 7);
	struct record r = unary("/t.T/Echo", slice_of(big, 100000), 0);
	assert_int_equal(r.status, GRPC_OK);
	assert_int_equal(r.first.n, 100000);
	assert_memory_equal(r.first.s, big, 100000);
	str_fini(&r.first);
	r = unary("/t.T/Echo", slice_of(big, 100001), 0);
	assert_int_equal(r.status, GRPC_RESOURCE_EXHAUSTED);
	assert_string_equal(r.text, "received message larger than max (100000)");
	str_fini(&r.first);
	free(big);
	/* The connection lives on. */
	r = unary("/t.T/Echo", slice_str("x"), 0);
	assert_int_equal(r.status, GRPC_OK);
	str_fini(&r.first);
}

static void errors_keep_their_text(void **state)
{
	struct record r = unary("/t.T/Refuse", slice_str(""), 0);
	assert_int_equal(r.status, GRPC_PERMISSION_DENIED);
	assert_string_equal(r.text, "no: 100% \xc3\xa4");
	r = unary("/t.T/Nope", slice_str(""), 0);
	assert_int_equal(r.status, GRPC_UNIMPLEMENTED);
	assert_string_equal(r.text, "unknown method /t.T/Nope");
	r = unary("/t.T/Cancel", slice_str(""), 0);
	assert_int_equal(r.status, GRPC_CANCELLED);
}

static void deadlines_end_both_sides(void **state)
{
	ln_time t0 = ev_now();
	struct record r = unary("/t.T/Silent", slice_str(""), 80 * LN_MSEC);
	assert_int_equal(r.status, GRPC_DEADLINE_EXCEEDED);
	assert_true(ev_now() - t0 >= 80 * LN_MSEC);
	ln_time end = ev_now() + 2 * LN_SEC;
	while (trace.n == 0 && ev_now() < end)
		ev_loop_turn(loop, 10 * LN_MSEC);
	assert_string_equal(str_c(&trace), "c");
	/* One that has passed already. */
	r = unary("/t.T/Echo", slice_str(""), -1);
	assert_int_equal(r.status, GRPC_DEADLINE_EXCEEDED);
}

static void bidi_stream_and_headers(void **state)
{
	struct record r = { 0 };
	struct grpc_kv id = { "x-id", "77" };
	struct grpc_call *c =
		grpc_channel_call(channel, "/t.T/Mark", &id, 1, LN_TIME_NEVER, &cbs, &r);
	ln_time end = ev_now() + 2 * LN_SEC;
	while (r.headers == 0 && ev_now() < end)
		ev_loop_turn(loop, 10 * LN_MSEC);
	assert_string_equal(r.registered, "77");
	grpc_call_cancel(c);
	assert_false(r.closed); /* not from inside */
	assert_true(wait_for(&r.closed));
	assert_int_equal(r.status, GRPC_CANCELLED);

	r = (struct record){ 0 };
	c = grpc_channel_call(channel, "/t.T/Echo", NULL, 0, LN_TIME_NEVER, &cbs, &r);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(grpc_call_send(c, slice_str("m")), 0);
		ev_loop_turn(loop, 0);
	}
	grpc_call_half_close(c);
	assert_int_equal(grpc_call_send(c, slice_str("m")), LN_E_CLOSED);
	assert_true(wait_for(&r.closed));
	assert_int_equal(r.status, GRPC_OK);
	assert_int_equal(r.messages, 50);
	str_fini(&r.first);
}

static void queue_is_bounded_and_drains(void **state)
{
	struct record r = { 0 };
	flood_refused = 0;
	grpc_channel_call(channel, "/t.T/Flood", NULL, 0, LN_TIME_NEVER, &cbs, &r);
	assert_true(wait_for(&r.closed));
	assert_int_equal(flood_refused, 1);
	assert_int_equal(r.status, GRPC_ABORTED);
	assert_string_equal(r.text, "drained");
	assert_int_equal(r.messages, 99); /* 99 * 10005 fit into 1000000 */
	str_fini(&r.first);
}

static void delivery_is_confirmed(void **state)
{
	struct record r = { 0 };
	struct grpc_call *c =
		grpc_channel_call(channel, "/t.T/Push", NULL, 0, LN_TIME_NEVER, &cbs, &r);
	for (int i = 0; i < 200 && trace.n == 0; i++)
		ev_loop_turn(loop, 10 * LN_MSEC);
	assert_int_equal(r.bytes, PUSHED);
	assert_string_equal(str_c(&trace), "d");
	/* Taken back by the client; by one that ends its connection properly too. */
	grpc_call_cancel(c);
	assert_true(wait_for(&r.closed));
	for (int i = 0; i < 200 && trace.n == 1; i++)
		ev_loop_turn(loop, 10 * LN_MSEC);
	assert_string_equal(str_c(&trace), "dx");
	str_fini(&r.first);
	r = (struct record){ 0 };
	(void)grpc_channel_call(channel, "/t.T/Push", NULL, 0, LN_TIME_NEVER, &cbs, &r);
	for (int i = 0; i < 200 && trace.n == 2; i++)
		ev_loop_turn(loop, 10 * LN_MSEC);
	grpc_channel_reset(channel);
	for (int i = 0; i < 200 && trace.n == 3; i++)
		ev_loop_turn(loop, 10 * LN_MSEC);
	assert_string_equal(str_c(&trace), "dxdx");
	str_fini(&r.first);
}

static void server_going_away_ends_calls(void **state)
{
	struct record r = { 0 };
	grpc_channel_call(channel, "/t.T/Silent", NULL, 0, LN_TIME_NEVER, &cbs, &r);
	struct record first = unary("/t.T/Echo", slice_str(""), 0);
	assert_int_equal(first.status, GRPC_OK);
	grpc_server_free(server);
	assert_true(wait_for(&r.closed));
	assert_true(r.status == GRPC_CANCELLED || r.status == GRPC_UNAVAILABLE);
	/* Dialling a path nobody listens on says so. */
	server = NULL;
	first = unary("/t.T/Echo", slice_str(""), 0);
	assert_int_equal(first.status, GRPC_UNAVAILABLE);
	assert_non_null(strstr(first.text, path));
	ev_loop_turn(loop, 0);
	assert_non_null(strstr(last_why, path));
}

static void set_true(void *arg)
{
	*(bool *)arg = true;
}

static void drain_waits_for_calls(void **state)
{
	struct record r = { 0 }, late = { 0 };
	bool drained = false;
	struct grpc_call *c =
		grpc_channel_call(channel, "/t.T/Echo", NULL, 0, LN_TIME_NEVER, &cbs, &r);
	assert_int_equal(grpc_call_send(c, slice_str("a")), 0);
	while (r.messages == 0)
		ev_loop_turn(loop, 10 * LN_MSEC);
	grpc_server_drain(server, 5 * LN_SEC, set_true, &drained);
	while (grpc_channel_state(channel) == GRPC_READY)
		ev_loop_turn(loop, 10 * LN_MSEC);
	assert_false(drained);
	assert_int_equal(grpc_call_send(c, slice_str("b")), 0);
	grpc_call_half_close(c);
	assert_true(wait_for(&r.closed));
	assert_int_equal(r.status, GRPC_OK);
	assert_int_equal(r.messages, 2);
	assert_true(wait_for(&drained));
	grpc_channel_unary(channel, "/t.T/Echo", slice_str(""), LN_TIME_NEVER, on_unary, &late);
	assert_true(wait_for(&late.closed));
	assert_int_equal(late.status, GRPC_UNAVAILABLE);
	str_fini(&r.first);
}

static void drain_has_a_limit(void **state)
{
	struct record r = { 0 };
	bool drained = false;
	grpc_channel_call(channel, "/t.T/Silent", NULL, 0, LN_TIME_NEVER, &cbs, &r);
	struct record first = unary("/t.T/Echo", slice_str(""), 0);
	assert_int_equal(first.status, GRPC_OK);
	grpc_server_drain(server, 50 * LN_MSEC, set_true, &drained);
	assert_true(wait_for(&drained));
	assert_true(wait_for(&r.closed));
}

static void reset_and_free_inside_callbacks(void **state)
{
	struct record r = { 0 };
	grpc_channel_call(channel, "/t.T/Silent", NULL, 0, LN_TIME_NEVER, &cbs, &r);
	struct record first = unary("/t.T/Echo", slice_str(""), 0);
	assert_int_equal(first.status, GRPC_OK);
	grpc_channel_reset(channel);
	assert_false(r.closed);
	assert_true(wait_for(&r.closed));
	assert_int_equal(r.status, GRPC_UNAVAILABLE);
	first = unary("/t.T/Echo", slice_str("again"), 0);
	assert_int_equal(first.status, GRPC_OK);
	str_fini(&first.first);
	r = (struct record){ 0 };
	grpc_channel_call(channel, "/t.T/Silent", NULL, 0, LN_TIME_NEVER, &cbs, &r);
	grpc_channel_free(channel);
	channel = NULL;
	assert_true(wait_for(&r.closed));
	assert_int_equal(r.status, GRPC_CANCELLED);
}

static void stale_socket_is_replaced_a_live_one_is_not(void **state)
{
	struct grpc_server_conf conf = { 0 };
	struct ln_fail f;
	struct grpc_server *other = grpc_server_new(loop, &conf);
	assert_int_equal(grpc_server_listen_unix(other, path, 0600, &f), -98);
	assert_non_null(strstr(f.text, path));
	char stale[80];
	snprintf(stale, sizeof(stale), "%s.stale", path);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	strcpy(sa.sun_path, stale);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	assert_int_equal(grpc_server_listen_unix(other, stale, 0640, &f), 0);
	struct stat st;
	assert_int_equal(stat(stale, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	grpc_server_free(other);
	assert_int_equal(access(stale, F_OK), -1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(unary_echo_and_callback_order),   T(sizes_around_the_limit),
		T(errors_keep_their_text),          T(deadlines_end_both_sides),
		T(bidi_stream_and_headers),         T(queue_is_bounded_and_drains),
		T(delivery_is_confirmed),           T(server_going_away_ends_calls),
		T(drain_waits_for_calls),           T(drain_has_a_limit),
		T(reset_and_free_inside_callbacks), T(stale_socket_is_replaced_a_live_one_is_not),
	};
	return cmocka_run_group_tests_name("net_grpc", tests, NULL, NULL);
}
