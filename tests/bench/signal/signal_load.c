/*
 * N pairs of agents in one process, as far as a signal server can tell: each has a connection of
 * its own with a ConnectStream, and sends to its partner with unary calls. The phases are words of
 * the command line, done in order; each prints one JSON line.
 *
 *	signal_load --url http://10.0.0.1:80 [--pairs N] [--bytes B] [--server-pid P]
 *	            [--at-once N] [--ca FILE] PHASE...
 *
 *	open        every connection and stream; ends when all are registered
 *	idle:S      S seconds of silence
 *	flood:W:S   S seconds with W messages of each pair under way at any time
 *	rate:R:S    S seconds with R messages a second from all pairs together, evenly spread
 *	reopen      every connection is cut and made anew, all at once
 *
 * A message carries its time of departure; its latency ends when the partner's stream has it. With
 * --server-pid the lines carry the CPU seconds and the resident KiB of that process.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/signal/signal_msg.h"
#include "lib/wire/url.h"

#include "src/ev/ev.h"
#include "src/net/net_grpc.h"
#include "tests/bench/load_server.h"

#define SERVICE "/signalexchange.SignalExchange/"
#define PHASE_LIMIT (120 * LN_SEC)
#define SETTLE_LIMIT (20 * LN_SEC)
#define TICK (5 * LN_MSEC)
#define SAMPLES_MAX 4000000u
#define BODY_MIN 16

struct agent {
	char id[45];
	struct agent *partner;
	struct grpc_channel *channel;
	struct grpc_call *stream;
	bool sends, registered;
};

static struct {
	struct ev_loop *loop;
	struct url url;
	char host[256];
	const char *ca;
	pid_t server;
	unsigned pairs, bytes, at_once;
	struct agent *agents; /* 2 * pairs; partners are neighbours */

	/* the running phase */
	enum {
		RUN_NONE,
		RUN_FLOOD,
		RUN_RATE
	} run;

	uint64_t phase; /* messages of an older phase do not count */
	uint64_t sent, received, answered, failed, retries, unregistered;
	ln_time began;
	ln_time *samples;
	uint32_t nsamples;
} load;

/* --- one agent ---------------------------------------------------------------------------------*/

static void on_answer(void *user, enum grpc_status status, const char *text, struct slice reply)
{
	load.answered++;
	if (status != GRPC_OK && load.failed++ < 5)
		fprintf(stderr, "Send: %s %s\n", grpc_status_name(status), text);
}

static void send_one(struct agent *a)
{
	uint8_t body[4096] = { 0 };
	struct str msg;
	ln_time now = ev_now();
	memcpy(body, &now, sizeof(now));
	memcpy(body + 8, &load.phase, sizeof(load.phase));
	str_init(&msg, 0);
	signal_envelope_write(&msg, slice_str(a->id), slice_str(a->partner->id),
			      slice_of(body, load.bytes));
	grpc_channel_unary(a->channel, SERVICE "Send", str_slice(&msg), now + 30 * LN_SEC,
			   on_answer, NULL);
	str_fini(&msg);
	load.sent++;
}

static void agent_open(struct agent *a);

static void on_headers(struct grpc_call *c)
{
	struct agent *a = grpc_call_user(c);
	const char *mark = grpc_call_header(c, "x-wiretrustee-peer-registered");
	if (a == NULL || mark == NULL || a->registered)
		return;
	a->registered = true;
	load.unregistered--;
	load.samples[load.nsamples++ % SAMPLES_MAX] = ev_now() - load.began;
}

static void on_message(struct grpc_call *c, struct slice msg)
{
	struct agent *a = grpc_call_user(c);
	struct signal_envelope e;
	ln_time left;
	uint64_t phase;
	if (a == NULL)
		return;
	if (signal_envelope_read(msg, &e) != 0 || e.body.n < BODY_MIN) {
		load.failed++;
		return;
	}
	memcpy(&left, e.body.p, sizeof(left));
	memcpy(&phase, e.body.p + 8, sizeof(phase));
	if (phase != load.phase || load.run == RUN_NONE)
		return;
	load.received++;
	if (load.nsamples < SAMPLES_MAX)
		load.samples[load.nsamples++] = ev_now() - left;
	if (load.run == RUN_FLOOD)
		send_one(a->partner);
}

static void on_closed(struct grpc_call *c, enum grpc_status status, const char *text)
{
	struct agent *a = grpc_call_user(c);
	if (a == NULL)
		return;
	a->stream = NULL;
	/* As agents do in a storm that the server sheds. */
	if (!a->registered && load.retries < 10 * load.pairs) {
		load.retries++;
		agent_open(a);
		return;
	}
	if (load.failed++ < 5)
		fprintf(stderr, "stream ended: %s %s\n", grpc_status_name(status), text);
}

static void agent_open(struct agent *a)
{
	static const struct grpc_client_cbs cbs = { .headers = on_headers,
						    .message = on_message,
						    .closed = on_closed };
	struct grpc_channel_conf conf = {
		.target = { .host = load.host,
			    .port = load.url.port,
			    .tls = load.url.tls,
			    .ca_file = load.ca },
	};
	const struct grpc_kv id = { "x-wiretrustee-peer-id", a->id };
	if (a->channel == NULL)
		a->channel = grpc_channel_new(load.loop, &conf);
	a->registered = false;
	a->stream = grpc_channel_call(a->channel, SERVICE "ConnectStream", &id, 1, LN_TIME_NEVER,
				      &cbs, a);
}

/* The connection only: the channel keeps its TLS ticket, as that of an agent does. */
static void agent_drop(struct agent *a)
{
	if (a->stream != NULL)
		grpc_call_set_user(a->stream, NULL);
	a->stream = NULL;
	if (a->channel != NULL)
		grpc_channel_reset(a->channel);
}

static void agent_cut(struct agent *a)
{
	agent_drop(a);
	if (a->channel != NULL)
		grpc_channel_free(a->channel);
	a->channel = NULL;
}

/* --- phases ------------------------------------------------------------------------------------*/

static int by_time(const void *a, const void *b)
{
	const ln_time *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static double millis(double quantile)
{
	if (load.nsamples == 0)
		return 0;
	return (double)load.samples[(size_t)(quantile * (load.nsamples - 1) + 0.5)] / 1e6;
}

static void phase_begin(void)
{
	load.phase++;
	load.sent = load.received = load.answered = load.failed = load.retries = 0;
	load.nsamples = 0;
	load.began = ev_now();
}

static void report(const char *name, double cpu_before)
{
	double seconds = (double)(ev_now() - load.began) / 1e9;
	double cpu = load_server_cpu(load.server) - cpu_before;
	double messages = (double)load.received;
	qsort(load.samples, load.nsamples, sizeof(*load.samples), by_time);
	printf("{\"phase\": \"%s\", \"pairs\": %u, \"bytes\": %u, \"seconds\": %.3f, "
	       "\"messages\": %" PRIu64 ", \"messages_s\": %.0f, \"p50_ms\": %.3f, "
	       "\"p99_ms\": %.3f, \"lost\": %" PRIu64 ", \"failed\": %" PRIu64
	       ", \"retries\": %" PRIu64 ", \"server_cpu_s\": %.2f, \"cpu_us_per_message\": %.1f, "
	       "\"server_rss_kib\": %ld, \"server_peak_kib\": %ld}\n",
	       name, load.pairs, load.bytes, seconds, load.received, messages / seconds,
	       millis(0.5), millis(0.99), load.sent - load.received, load.failed, load.retries, cpu,
	       messages > 0 ? cpu / messages * 1e6 : 0.0, load_server_kib(load.server, "VmRSS"),
	       load_server_kib(load.server, "VmHWM"));
	fflush(stdout);
}

static bool phase_open(const char *name)
{
	double cpu = load_server_cpu(load.server);
	phase_begin();
	unsigned n = 2u * load.pairs, opened = 0;
	load.unregistered = n;
	while (load.unregistered > 0 && load.failed == 0 && ev_now() < load.began + PHASE_LIMIT) {
		while (opened < n && opened - (n - load.unregistered) < load.at_once)
			agent_open(&load.agents[opened++]);
		ev_loop_turn(load.loop, 50 * LN_MSEC);
	}
	report(name, cpu);
	return load.unregistered == 0;
}

static bool phase_reopen(void)
{
	for (unsigned i = 0; i < 2 * load.pairs; i++)
		agent_drop(&load.agents[i]);
	load.at_once = 2u * load.pairs;
	return phase_open("reopen");
}

static void turn_until(ln_time end)
{
	for (ln_time now; (now = ev_now()) < end;)
		ev_loop_turn(load.loop, end - now);
}

static bool phase_idle(double seconds)
{
	double cpu = load_server_cpu(load.server);
	phase_begin();
	turn_until(load.began + (ln_time)(seconds * 1e9));
	report("idle", cpu);
	return load.failed == 0;
}

/* What is still on its way when the time is over is waited for. */
static bool settle(void)
{
	ln_time limit = ev_now() + SETTLE_LIMIT;
	while ((load.received < load.sent || load.answered < load.sent) && ev_now() < limit)
		ev_loop_turn(load.loop, 10 * LN_MSEC);
	load.run = RUN_NONE;
	return load.failed == 0 && load.received == load.sent;
}

static bool phase_flood(unsigned window, double seconds)
{
	double cpu = load_server_cpu(load.server);
	phase_begin();
	load.run = RUN_FLOOD;
	for (unsigned w = 0; w < window; w++)
		for (unsigned i = 0; i < load.pairs; i++)
			send_one(&load.agents[2 * i]);
	turn_until(load.began + (ln_time)(seconds * 1e9));
	load.run = RUN_RATE; /* answers no more */
	report("flood", cpu);
	return settle();
}

static bool phase_rate(double rate, double seconds)
{
	double cpu = load_server_cpu(load.server);
	phase_begin();
	load.run = RUN_RATE;
	unsigned next = 0;
	ln_time end = load.began + (ln_time)(seconds * 1e9);
	for (ln_time now; (now = ev_now()) < end;) {
		double due = rate * (double)(now - load.began) / 1e9;
		while ((double)load.sent < due) {
			send_one(&load.agents[2 * next]);
			next = (next + 1) % load.pairs;
		}
		ev_loop_turn(load.loop, LN_MIN((ln_time)(1e9 / rate), TICK));
	}
	ln_time limit = ev_now() + LN_SEC;
	while (load.received < load.sent && ev_now() < limit)
		ev_loop_turn(load.loop, LN_MSEC);
	report("rate", cpu);
	return settle();
}

static bool run_phase(const char *word)
{
	unsigned n;
	double rate, seconds;
	if (strcmp(word, "open") == 0)
		return phase_open("open");
	if (strcmp(word, "reopen") == 0)
		return phase_reopen();
	if (sscanf(word, "idle:%lf", &seconds) == 1)
		return phase_idle(seconds);
	if (sscanf(word, "flood:%u:%lf", &n, &seconds) == 2 && n > 0)
		return phase_flood(n, seconds);
	if (sscanf(word, "rate:%lf:%lf", &rate, &seconds) == 2 && rate > 0)
		return phase_rate(rate, seconds);
	fprintf(stderr, "signal_load: unknown phase %s\n", word);
	exit(2);
}

/* --- start -------------------------------------------------------------------------------------*/

static const char *value_of(int argc, char **argv, int *i)
{
	if (*i + 1 >= argc) {
		fprintf(stderr, "signal_load: %s needs a value\n", argv[*i]);
		exit(2);
	}
	return argv[++*i];
}

static int parse_options(int argc, char **argv)
{
	const char *text = NULL;
	int i = 1;
	load.pairs = 50;
	load.bytes = 300;
	load.at_once = 64;
	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		if (strcmp(argv[i], "--url") == 0)
			text = value_of(argc, argv, &i);
		else if (strcmp(argv[i], "--ca") == 0)
			load.ca = value_of(argc, argv, &i);
		else if (strcmp(argv[i], "--pairs") == 0)
			load.pairs = (unsigned)atoi(value_of(argc, argv, &i));
		else if (strcmp(argv[i], "--at-once") == 0)
			load.at_once = (unsigned)atoi(value_of(argc, argv, &i));
		else if (strcmp(argv[i], "--bytes") == 0)
			load.bytes = (unsigned)atoi(value_of(argc, argv, &i));
		else if (strcmp(argv[i], "--server-pid") == 0)
			load.server = (pid_t)atoi(value_of(argc, argv, &i));
		else
			return -1;
	}
	struct ln_fail f;
	if (text == NULL || i == argc || load.pairs == 0 || load.at_once == 0 ||
	    load.bytes < BODY_MIN || load.bytes > 4096 ||
	    url_parse(slice_str(text), &load.url, &f) != 0)
		return -1;
	snprintf(load.host, sizeof(load.host), "%s", load.url.host);
	return i;
}

int main(int argc, char **argv)
{
	int first = parse_options(argc, argv);
	if (first < 0) {
		fprintf(stderr, "Usage: signal_load --url URL [--pairs N] [--bytes B] "
				"[--server-pid PID] [--at-once N] [--ca FILE] PHASE...\n");
		return 2;
	}
	load.loop = ev_loop_new();
	load.agents = ln_calloc(2u * load.pairs, sizeof(*load.agents));
	load.samples = ln_calloc(SAMPLES_MAX, sizeof(*load.samples));
	uint64_t run = rng_u64(ev_rng());
	for (unsigned i = 0; i < 2 * load.pairs; i++) {
		struct agent *a = &load.agents[i];
		snprintf(a->id, sizeof(a->id), "%016" PRIx64 "%027u=", run, i);
		a->partner = &load.agents[i ^ 1u];
	}
	int status = 0;
	for (int i = first; i < argc && status == 0; i++)
		if (!run_phase(argv[i]))
			status = 1;
	for (unsigned i = 0; i < 2 * load.pairs; i++)
		agent_cut(&load.agents[i]);
	for (int i = 0; i < 4; i++)
		ev_loop_turn(load.loop, 0);
	free(load.agents);
	free(load.samples);
	return status;
}
