#pragma once
/* A gRPC server of src/net on a loopback port, for the tests of the agent's clients. One thread. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/crypto/box.h"

#include "src/ev/ev.h"
#include "src/net/net_grpc.h"
#include "tests/unit/unit.h"

static struct {
	struct ev_loop *loop;
	struct grpc_server *grpc;
	int fd;
	struct ev_io io;
	uint16_t port;
} host;

static void host_accept(struct ev_io *io, unsigned events)
{
	(void)io;
	(void)events;
	int fd = accept4(host.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct ip_ep from = { ip_v4(INADDR_LOOPBACK), 1 };
	if (fd >= 0)
		grpc_server_accept(host.grpc, fd, &from, slice_of("", 0));
}

static void host_start(const struct grpc_method *rows, size_t n)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	host.loop = ev_loop_new();
	host.grpc = grpc_server_new(host.loop, &(struct grpc_server_conf){ 0 });
	grpc_server_add(host.grpc, rows, n);
	host.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(host.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(host.fd, 16), 0);
	assert_int_equal(getsockname(host.fd, (struct sockaddr *)&sa, &len), 0);
	host.port = ntohs(sa.sin_port);
	assert_int_equal(ev_io_init(&host.io, host.loop, host.fd, host_accept), 0);
	ev_io_want(&host.io, EV_READ);
}

static void host_turns(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ev_loop_turn(host.loop, LN_MSEC);
}

static void host_stop(void)
{
	grpc_server_free(host.grpc);
	host_turns(5);
	ev_io_fini(&host.io);
	close(host.fd);
	ev_loop_free(host.loop);
}

/* Runs the loop until the condition holds; a test that waits longer than five seconds fails. */
#define HOST_UNTIL(condition)                                                                      \
 do {                                                                                              \
  ln_time host_end = ev_now() + 5 * LN_SEC;                                                        \
  while (!(condition)) {                                                                           \
   if (ev_now() > host_end)                                                                        \
    fail_msg("waited for %s", #condition);                                                         \
   ev_loop_turn(host.loop, 10 * LN_MSEC);                                                          \
  }                                                                                                \
 } while (0)

/* Seals `plain` to the peer into dst (to be freed). */
static struct mslice host_seal(const struct box_key *box, struct slice plain)
{
	size_t n = plain.n + BOX_OVERHEAD;
	struct mslice out = mslice_of(ln_alloc(n), n);
	assert_true(box_seal(box, ev_rng(), plain, out) > 0);
	return out;
}
