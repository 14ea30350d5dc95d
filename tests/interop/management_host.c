/*
 * The management service alone, for tests: clear-text gRPC on a port of 127.0.0.1.
 *
 *	management_host FOLDER [EPHEMERAL_SECONDS [MAX_SYNC_SETUPS]]
 *
 * Prints "port N" when it answers; SIGTERM stops it in order. The store is FOLDER/linnet.db, the
 * administration socket FOLDER/admin.sock.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/ev/ev.h"
#include "src/management/management.h"
#include "src/net/net_grpc.h"
#include "src/net/net_listen.h"
#include "src/obs/obs_log.h"
#include "src/store/store.h"

struct host {
	struct ev_loop *loop;
	struct store *store;
	struct management *management;
	struct grpc_server *server;
	struct net_listen *listen;
	bool stopping;
};

static struct host host;

static void drained(void *arg)
{
	ev_loop_stop(host.loop);
}

static void stopped(void *arg)
{
	store_stop(host.store);
	grpc_server_drain(host.server, 2 * LN_SEC, drained, NULL);
}

static void on_signal(struct ev_signal *s, int signum)
{
	if (host.stopping)
		return;
	host.stopping = true;
	net_listen_free(host.listen);
	management_stop(host.management, stopped, NULL);
}

static void accepted(void *user, int fd, const struct ip_ep *peer)
{
	grpc_server_accept(host.server, fd, peer, slice_of(NULL, 0));
}

static void check(int r, const struct ln_fail *f)
{
	if (r >= 0)
		return;
	fprintf(stderr, "management_host: %s\n", f->text);
	exit(1);
}

int main(int argc, char **argv)
{
	static const char *const stuns[] = { "stun:127.0.0.1:3478" };
	struct ln_fail f = { 0 };
	char path[512], sock[512];
	struct ev_signal term = { 0 };
	if (argc < 2)
		return 2;
	snprintf(path, sizeof(path), "%s/linnet.db", argv[1]);
	snprintf(sock, sizeof(sock), "%s/admin.sock", argv[1]);
	check(obs_log_init("management_host", "debug", "console", &f), &f);
	host.loop = ev_loop_new();
	struct store_conf store_conf = { .path = path, .rng = ev_rng() };
	check(store_open(&store_conf, &host.store, &f), &f);
	struct management_conf conf = {
		.stuns = stuns,
		.nstuns = 1,
		.signal_uri = "127.0.0.1:10000",
		.admin_socket = sock,
		.ephemeral_after = argc > 2 ? atoi(argv[2]) * LN_SEC : 0,
		.sweep_every = argc > 2 ? LN_SEC : 0,
		.max_sync_setups = argc > 3 ? (unsigned)atoi(argv[3]) : 0,
	};
	check(management_new(host.loop, &conf, host.store, &host.management, &f), &f);
	struct grpc_server_conf grpc = { 0 };
	host.server = grpc_server_new(host.loop, &grpc);
	management_register(host.management, host.server);
	struct ip_ep at = { .addr = ip_v4(0x7f000001) };
	check(net_listen_tcp(host.loop, &at, accepted, NULL, &host.listen, &f), &f);
	store_start(host.store, host.loop);
	check(management_start(host.management, &f), &f);
	check(ev_signal_start(&term, host.loop, SIGTERM, on_signal), &f);
	printf("port %u\n", net_listen_port(host.listen));
	fflush(stdout);
	ev_loop_run(host.loop);
	const struct management_counters *c = management_counters(host.management);
	fprintf(stderr,
		"counters streams=%llu maps=%llu same=%llu late=%llu errors=%llu snapshots=%llu "
		"followed=%llu\n",
		(unsigned long long)c->streams, (unsigned long long)c->maps,
		(unsigned long long)c->maps_same, (unsigned long long)c->maps_late,
		(unsigned long long)c->store_errors, (unsigned long long)c->snapshots,
		(unsigned long long)c->snapshots_followed);
	grpc_server_free(host.server);
	for (int i = 0; i < 10; i++)
		ev_loop_turn(host.loop, 0);
	management_free(host.management);
	ev_signal_fini(&term);
	ev_loop_turn(host.loop, 0);
	store_close(host.store);
	ev_loop_free(host.loop);
	obs_log_fini();
	return 0;
}
