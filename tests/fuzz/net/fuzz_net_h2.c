/* Bytes behind the connection preface, through nghttp2, our glue and the gRPC server. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/net/net_grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void echo(struct grpc_call *c, struct slice msg)
{
	if (grpc_call_send(c, msg) != 0)
		grpc_call_cancel(c);
}

static void end(struct grpc_call *c)
{
	grpc_call_finish(c, GRPC_OK, "ok");
}

static unsigned open_calls;

static void on_open(void *service, struct grpc_call *c)
{
	open_calls++;
}

static void on_closed(struct grpc_call *c)
{
	open_calls--;
}

/* The paths of the recordings that seed the corpus. */
static const struct grpc_method rows[] = {
	{ .path = "/management.ManagementService/GetServerKey",
	  .open = on_open,
	  .message = echo,
	  .half_close = end,
	  .closed = on_closed },
	{ .path = "/management.ManagementService/Login",
	  .open = on_open,
	  .message = echo,
	  .half_close = end,
	  .closed = on_closed },
	{ .path = "/management.ManagementService/Sync",
	  .open = on_open,
	  .message = echo,
	  .closed = on_closed },
	{ .path = "/signalexchange.SignalExchange/ConnectStream",
	  .open = on_open,
	  .message = echo,
	  .closed = on_closed },
	{ .path = "/signalexchange.SignalExchange/Send",
	  .open = on_open,
	  .message = echo,
	  .half_close = end,
	  .closed = on_closed },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	const struct grpc_server_conf conf = { .max_message = 2000, .max_send_queue = 4000 };
	const struct ip_ep peer = { .addr = { .family = 4 }, .port = 1 };
	struct ev_loop *l = ev_loop_new();
	struct grpc_server *s = grpc_server_new(l, &conf);
	int p[2];
	grpc_server_add(s, rows, LN_COUNT(rows));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) != 0)
		abort();
	uint8_t *in = ln_alloc(24 + size);
	memcpy(in, preface, 24);
	memcpy(in + 24, data, size);
	grpc_server_accept(s, p[0], &peer, slice_of(in, 24 + size));
	ev_loop_turn(l, 0);
	ev_loop_turn(l, 0);
	free(in);
	close(p[1]);
	grpc_server_free(s);
	ev_loop_free(l);
	ln_assert(open_calls == 0);
	return 0;
}
