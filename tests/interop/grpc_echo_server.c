/*
 * A server over src/front and src/net for foreign clients: test_grpc_server.py drives it.
 * Usage: grpc_echo_server [--cert FILE --key FILE] [--keepalive MS]
 * Prints "port N" when it listens. SIGTERM drains, SIGHUP reads the certificate again.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/ev/ev.h"
#include "src/front/front.h"
#include "src/net/net_grpc.h"
#include "src/obs/obs_log.h"

static struct ev_loop *loop;
static struct front *front;
static struct grpc_server *server;
static unsigned long closed_calls;

struct call {
	struct ev_timer timer; /* impl null until used */
	unsigned long left;
	size_t size;
	ln_time pause;
	bool at_half_close;
};

static void call_open(void *service, struct grpc_call *c)
{
	grpc_call_set_user(c, ln_alloc(sizeof(struct call)));
}

static void call_closed(struct grpc_call *c)
{
	struct call *u = grpc_call_user(c);
	closed_calls++;
	if (u != NULL)
		ev_timer_fini(&u->timer);
	free(u);
}

/* --- echo: every message comes back; the end too ----------------------------------------------*/

static void echo_message(struct grpc_call *c, struct slice msg)
{
	if (grpc_call_send(c, msg) != 0)
		grpc_call_finish(c, GRPC_RESOURCE_EXHAUSTED, "send queue full");
}

static void echo_half_close(struct grpc_call *c)
{
	grpc_call_finish(c, GRPC_OK, NULL);
}

/* --- count: "N SIZE": N messages of SIZE bytes, as fast as the reader takes them --------------*/

static void count_go_on(struct grpc_call *c)
{
	struct call *u = grpc_call_user(c);
	uint8_t *block = ln_alloc(u->size);
	memset(block, 'x', u->size);
	while (u->left != 0 && grpc_call_send(c, slice_of(block, u->size)) == 0)
		u->left--;
	free(block);
	if (u->left == 0)
		grpc_call_finish(c, GRPC_OK, NULL);
}

static void count_message(struct grpc_call *c, struct slice msg)
{
	struct call *u = grpc_call_user(c);
	char text[64] = "";
	memcpy(text, msg.p, LN_MIN(msg.n, sizeof(text) - 1));
	if (sscanf(text, "%lu %zu", &u->left, &u->size) != 2)
		grpc_call_finish(c, GRPC_INVALID_ARGUMENT, "want: N SIZE");
	else
		count_go_on(c);
}

/* --- fail: the status of x-status, with details; at half close, so after the request ----------*/

static void fail_half_close(struct grpc_call *c)
{
	const char *s = grpc_call_header(c, "x-status");
	const char *text = grpc_call_header(c, "x-text");
	grpc_call_finish_details(c, s != NULL ? (enum grpc_status)atoi(s) : GRPC_UNKNOWN, text,
				 slice_str("details"));
}

static void fail_at_once(void *service, struct grpc_call *c)
{
	grpc_call_finish(c, GRPC_UNAUTHENTICATED, "at once \xe2\x82\xac 100%\n");
}

/* --- mark: answers with headers at once and says nothing more ---------------------------------*/

static void mark_open(void *service, struct grpc_call *c)
{
	const char *id = grpc_call_header(c, "x-peer-id");
	struct grpc_kv kv = { "x-registered", id != NULL ? id : "0" };
	if (grpc_call_send_headers(c, &kv, 1) != 0)
		grpc_call_cancel(c);
}

/* --- stats: numbers about the process ---------------------------------------------------------*/

static void stats_half_close(struct grpc_call *c)
{
	char text[200], line[200];
	unsigned long rss = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		sscanf(line, "VmRSS: %lu", &rss);
	if (f != NULL)
		fclose(f);
	int n = snprintf(text, sizeof(text), "rss_kb=%lu conns=%zu closed=%lu", rss,
			 front_conns(front), closed_calls);
	if (grpc_call_send(c, slice_of(text, (size_t)n)) != 0)
		grpc_call_cancel(c);
	grpc_call_finish(c, GRPC_OK, NULL);
}

static const struct grpc_method rows[] = {
	{ .path = "/test.Echo/Echo",
	  .open = call_open,
	  .message = echo_message,
	  .half_close = echo_half_close,
	  .closed = call_closed },
	{ .path = "/test.Echo/Count",
	  .open = call_open,
	  .message = count_message,
	  .writable = count_go_on,
	  .closed = call_closed },
	{ .path = "/test.Echo/Fail", .half_close = fail_half_close, .closed = call_closed },
	{ .path = "/test.Echo/FailAtOnce", .open = fail_at_once, .closed = call_closed },
	{ .path = "/test.Echo/Silent", .closed = call_closed },
	{ .path = "/test.Echo/Mark", .open = mark_open, .closed = call_closed },
	{ .path = "/test.Echo/Stats", .half_close = stats_half_close },
};

static void stop(void *arg)
{
	ev_loop_stop(loop);
}

static void on_signal(struct ev_signal *s, int signum)
{
	struct ln_fail f;
	if (signum == SIGTERM)
		front_drain(front, 3 * LN_SEC, stop, NULL);
	else if (front_reload_tls(front, &f) != 0)
		log_error("test", f.text);
	else
		log_info("test", "certificate reloaded");
}

int main(int argc, char **argv)
{
	struct grpc_server_conf gc = { .max_send_queue = 8u << 20 };
	struct ip_ep at = { .addr = ip_v4(0x7f000001) };
	struct front_conf conf = { .listen = &at, .nlisten = 1 };
	struct ev_signal term, hup;
	struct ln_fail f;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--cert") == 0)
			conf.cert_file = argv[i + 1];
		else if (strcmp(argv[i], "--key") == 0)
			conf.key_file = argv[i + 1];
		else if (strcmp(argv[i], "--keepalive") == 0)
			gc.keepalive = gc.keepalive_answer = atoi(argv[i + 1]) * LN_MSEC;
		else if (strcmp(argv[i], "--first-limit") == 0)
			conf.limits.first_limit = atoi(argv[i + 1]) * LN_MSEC;
	}
	loop = ev_loop_new();
	server = grpc_server_new(loop, &gc);
	grpc_server_add(server, rows, LN_COUNT(rows));
	conf.grpc = server;
	if (front_new(loop, &conf, &front, &f) != 0) {
		fprintf(stderr, "%s\n", f.text);
		return 1;
	}
	if (ev_signal_start(&term, loop, SIGTERM, on_signal) != 0 ||
	    ev_signal_start(&hup, loop, SIGHUP, on_signal) != 0)
		return 1;
	printf("port %u\n", front_port(front, 0));
	fflush(stdout);
	ev_loop_run(loop);
	ev_signal_fini(&term);
	ev_signal_fini(&hup);
	front_free(front);
	grpc_server_free(server);
	ev_loop_free(loop);
	return 0;
}
