/*
 * Our client against a foreign server: test_grpc_client.py serves and reads the lines.
 * Usage: grpc_probe_client HOST PORT [CA_FILE]. Prints one "name: result" line per step.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"

#include "src/ev/ev.h"
#include "src/net/net_grpc.h"

static struct ev_loop *loop;
static struct grpc_channel *channel;

struct record {
	bool done;
	bool headers;
	int messages;
	size_t bytes;
	enum grpc_status status;
	char text[200];
	char mark[64];
};

static void on_headers(struct grpc_call *c)
{
	struct record *r = grpc_call_user(c);
	const char *m = grpc_call_header(c, "x-registered");
	r->headers = true;
	snprintf(r->mark, sizeof(r->mark), "%s", m != NULL ? m : "");
}

static void on_message(struct grpc_call *c, struct slice msg)
{
	struct record *r = grpc_call_user(c);
	r->messages++;
	r->bytes += msg.n;
}

static void on_closed(struct grpc_call *c, enum grpc_status status, const char *text)
{
	struct record *r = grpc_call_user(c);
	r->done = true;
	r->status = status;
	snprintf(r->text, sizeof(r->text), "%s", text);
}

static const struct grpc_client_cbs cbs = { on_headers, on_message, on_closed };

static void on_unary(void *user, enum grpc_status status, const char *text, struct slice reply)
{
	struct record *r = user;
	r->done = true;
	r->status = status;
	r->bytes = reply.n;
	snprintf(r->text, sizeof(r->text), "%s", text);
}

static void wait_for(const bool *flag)
{
	ln_time end = ev_now() + 10 * LN_SEC;
	while (!*flag && ev_now() < end)
		ev_loop_turn(loop, 20 * LN_MSEC);
	if (!*flag) {
		printf("timeout: nothing came within 10 s\n");
		exit(1);
	}
}

static void show(const char *name, const struct record *r)
{
	printf("%s: %s \"%s\" messages=%d bytes=%zu\n", name, grpc_status_name(r->status), r->text,
	       r->messages, r->bytes);
	fflush(stdout);
}

static enum grpc_status unary(const char *name, const char *path, struct slice msg, ln_time limit)
{
	struct record r = { 0 };
	grpc_channel_unary(channel, path, msg, limit != 0 ? ev_now() + limit : LN_TIME_NEVER,
			   on_unary, &r);
	wait_for(&r.done);
	show(name, &r);
	return r.status;
}

static void stream(const char *name, const char *path, int sends, size_t size)
{
	struct record r = { 0 };
	uint8_t *block = ln_alloc(size);
	struct grpc_call *c =
		grpc_channel_call(channel, path, NULL, 0, ev_now() + 20 * LN_SEC, &cbs, &r);
	for (int i = 0; i < sends; i++)
		if (grpc_call_send(c, slice_of(block, size)) != 0)
			break;
	grpc_call_half_close(c);
	wait_for(&r.done);
	show(name, &r);
	free(block);
}

static void mark_and_cancel(void)
{
	struct record r = { 0 };
	struct grpc_kv id = { "x-peer-id", "abc" };
	struct grpc_call *c =
		grpc_channel_call(channel, "/test.Echo/Mark", &id, 1, LN_TIME_NEVER, &cbs, &r);
	wait_for(&r.headers);
	printf("mark: %s\n", r.mark);
	grpc_call_cancel(c);
	wait_for(&r.done);
	show("cancel", &r);
}

static void all_steps(const uint8_t *big)
{
	unary("empty", "/test.Echo/Echo", slice_of(NULL, 0), 0);
	unary("big", "/test.Echo/Echo", slice_of(big, 2u << 20), 0);
	unary("too_big", "/test.Echo/Big", slice_str("17"), 0);
	unary("deadline", "/test.Echo/Silent", slice_str(""), 300 * LN_MSEC);
	unary("unknown", "/test.Echo/Nope", slice_str(""), 0);
	unary("refused", "/test.Echo/Fail", slice_str(""), 0);
	stream("server_stream", "/test.Echo/Many", 1, 3);
	stream("bidi", "/test.Echo/Bidi", 200, 1000);
	mark_and_cancel();
	unary("goaway", "/test.Echo/Stop", slice_str(""), 5 * LN_SEC);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	struct grpc_channel_conf conf = {
		.target = { .host = argv[1],
			    .port = (uint16_t)atoi(argv[2]),
			    .tls = argc > 3,
			    .ca_file = argc > 3 && argv[3][0] != '\0' ? argv[3] : NULL },
		.dial_limit = 5 * LN_SEC,
	};
	uint8_t *big = ln_alloc(17u << 20);
	loop = ev_loop_new();
	channel = grpc_channel_new(loop, &conf);
	/* Without a connection the rest would only wait. */
	if (unary("unary", "/test.Echo/Echo", slice_str("hello"), 5 * LN_SEC) == GRPC_OK)
		all_steps(big);
	grpc_channel_free(channel);
	ev_loop_free(loop);
	free(big);
	return 0;
}
