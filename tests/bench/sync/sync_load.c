/*
 * N agents in one process, as far as a management server can tell: each has a key and a connection
 * of its own, registers, and holds a Sync stream. The phases are words of the command line, done in
 * order; each prints one JSON line.
 *
 *	sync_load --url http://10.0.0.1:80 --setup-key K [--peers N] [--at-once N] [--server-pid P]
 *	          [--sync-version 1]
 *	          [--ca FILE] PHASE...
 *
 *	register   Login of every peer with the setup key
 *	open       Sync of every peer; ends when all have a map
 *	idle:S     S seconds of silence; counts what came
 *	cut:S      every connection is cut, then S seconds of silence
 *	reopen     every connection is cut and made anew; ends when all have had an answer
 *	rejoin     the same with a new peer registered in between
 *	change     one more peer registers; ends when every stream has heard of it
 *	churn:S    for S seconds streams are cut and opened and peers registered and removed at
 *	           random
 *	check      every map is opened and read; ends with an error when one lacks a peer
 *
 * With --server-pid the lines carry the CPU seconds and the resident KiB of that process.
 */
#include "tests/bench/sync/sync_load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mgmt/mgmt_msg.h"

#include "tests/bench/load_server.h"

#define SERVICE "/management.ManagementService/"
#define PHASE_LIMIT (300 * LN_SEC)

struct load load;

/* --- phases ------------------------------------------------------------------------------------*/

static enum {
	PHASE_NONE,
	PHASE_LOGIN,
	PHASE_SYNC,
	PHASE_CHANGE,
	PHASE_WAIT
} phase;

/* Keeps `at_once` operations under way and notices the end. */
void phase_step(void)
{
	while ((phase == PHASE_LOGIN || phase == PHASE_SYNC) && load.busy < load.at_once &&
	       load.next < load.nagents) {
		struct agent *a = load.agents[load.next++];
		load.busy++;
		if (phase == PHASE_LOGIN)
			agent_login(a);
		else
			agent_sync(a);
	}
	if ((phase == PHASE_LOGIN || phase == PHASE_SYNC) && load.done == load.nagents)
		load.over = true;
}

static int by_time(const void *a, const void *b)
{
	const ln_time *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static double millis(double quantile)
{
	if (load.ntimes == 0)
		return 0;
	unsigned i = (unsigned)(quantile * (load.ntimes - 1) + 0.5);
	return (double)load.times[i] / 1e6;
}

static void phase_begin(int which)
{
	phase = which;
	load.next = load.busy = load.done = load.failed = load.retries = load.ntimes = 0;
	load.messages = load.bytes = 0;
	load.over = false;
	load.began = ev_now();
}

/* Runs the loop until the phase is over or its limit has passed, then prints the line. */
static bool phase_run(const char *name, ln_time limit, double cpu_before)
{
	ln_time end = load.began + limit;
	phase_step();
	while (!load.over && ev_now() < end)
		ev_loop_turn(load.loop, LN_MIN(end - ev_now(), 50 * LN_MSEC));
	double seconds = (double)(ev_now() - load.began) / 1e9;
	qsort(load.times, load.ntimes, sizeof(*load.times), by_time);
	printf("{\"phase\": \"%s\", \"peers\": %u, \"seconds\": %.3f, \"p50_ms\": %.1f, \"p99_ms\": %.1f, "
	       "\"messages\": %" PRIu64 ", \"bytes\": %" PRIu64
	       ", \"failed\": %u, \"retries\": %u, \"server_cpu_s\": %.2f, "
	       "\"server_rss_kib\": %ld, \"server_peak_kib\": %ld}\n",
	       name, load.nagents, seconds, millis(0.5), millis(0.99), load.messages, load.bytes,
	       load.failed, load.retries, load_server_cpu(load.server) - cpu_before,
	       load_server_kib(load.server, "VmRSS"), load_server_kib(load.server, "VmHWM"));
	fflush(stdout);
	phase = PHASE_NONE;
	return load.over && load.failed == 0;
}

static bool phase_register(void)
{
	double cpu = load_server_cpu(load.server);
	phase_begin(PHASE_LOGIN);
	return phase_run("register", PHASE_LIMIT, cpu);
}

static bool phase_open(const char *name)
{
	double cpu = load_server_cpu(load.server);
	phase_begin(PHASE_SYNC);
	return phase_run(name, PHASE_LIMIT, cpu);
}

static bool phase_reopen(void)
{
	for (unsigned i = 0; i < load.nagents; i++)
		agent_drop(load.agents[i]);
	load.at_once = load.nagents;
	return phase_open("reopen");
}

static void on_extra_login(void *user, enum grpc_status status, const char *text,
			   struct slice reply)
{
	if (status != GRPC_OK) {
		load.failed++;
		fprintf(stderr, "login of the new peer: %s\n", text);
	}
	load.busy = 0;
}

/* A change that no stream hears of. */
static bool phase_rejoin(void)
{
	for (unsigned i = 0; i < load.nagents; i++)
		agent_cut(load.agents[i]);
	struct agent *extra = agent_new(1000000 + rng_below(ev_rng(), 1000000));
	load.failed = 0;
	load.busy = 1;
	agent_send_login(extra, on_extra_login);
	while (load.busy != 0)
		ev_loop_turn(load.loop, 2 * LN_MSEC);
	agent_cut(extra);
	ev_loop_turn(load.loop, 0);
	agent_free(extra);
	load.at_once = load.nagents;
	return load.failed == 0 && phase_open("rejoin");
}

static bool phase_cut(double seconds)
{
	double cpu = load_server_cpu(load.server);
	for (unsigned i = 0; i < load.nagents; i++)
		agent_drop(load.agents[i]);
	phase_begin(PHASE_WAIT);
	(void)phase_run("cut", (ln_time)(seconds * 1e9), cpu);
	return true;
}

static bool phase_idle(double seconds)
{
	double cpu = load_server_cpu(load.server);
	phase_begin(PHASE_WAIT);
	(void)phase_run("idle", (ln_time)(seconds * 1e9), cpu);
	return load.failed == 0;
}

/* A stream has heard of the change when a message came after it. */
static void watch_change(uint64_t *before)
{
	load.ntimes = 0;
	for (unsigned i = 0; i < load.nagents; i++)
		if (load.agents[i]->answers > before[i])
			load.times[load.ntimes++] = load.agents[i]->answer_at - load.began;
	load.over = load.ntimes == load.nagents;
}

static bool phase_change(void)
{
	uint64_t *before = ln_calloc(load.nagents, sizeof(*before));
	struct agent *extra = agent_new(1000000 + rng_below(ev_rng(), 1000000));
	double cpu = load_server_cpu(load.server);
	for (unsigned i = 0; i < load.nagents; i++)
		before[i] = load.agents[i]->answers;
	phase_begin(PHASE_CHANGE);
	agent_send_login(extra, on_extra_login);
	ln_time end = load.began + PHASE_LIMIT;
	while (!load.over && ev_now() < end && load.failed == 0) {
		ev_loop_turn(load.loop, 2 * LN_MSEC);
		watch_change(before);
	}
	bool good = load.over;
	free(before);
	agent_cut(extra);
	bool printed = phase_run("change", 0, cpu);
	agent_free(extra);
	return good && printed;
}

/* A turn in the life of a guest: it comes, it goes, its place is free again. */
static void churn_guest(struct agent **g, uint64_t turn, uint64_t *joins)
{
	if (*g == NULL) {
		*g = agent_new(2000000 + (unsigned)turn);
		load.busy++;
		agent_login(*g);
		(*joins)++;
	} else if ((*g)->registered) {
		agent_logout(*g);
	} else if (!(*g)->asking) {
		agent_cut(*g);
		agent_free(*g);
		*g = NULL;
	}
}

/* The guests that are still there leave: what comes after finds the peers it began with. */
static void churn_see_off(struct agent **guests, size_t n)
{
	ln_time limit = ev_now() + PHASE_LIMIT;
	size_t there = 1;
	while (there > 0 && ev_now() < limit) {
		there = 0;
		for (size_t i = 0; i < n; i++) {
			uint64_t joins;
			if (guests[i] == NULL)
				continue;
			there++;
			churn_guest(&guests[i], 0, &joins);
		}
		ev_loop_turn(load.loop, 20 * LN_MSEC);
	}
	if (there > 0)
		load.failed++;
}

static bool phase_churn(double seconds)
{
	double cpu = load_server_cpu(load.server);
	long before = load_server_kib(load.server, "VmRSS");
	phase_begin(PHASE_WAIT);
	ln_time end = load.began + (ln_time)(seconds * 1e9);
	uint64_t cuts = 0, joins = 0;
	struct agent *guests[8] = { 0 };
	while (ev_now() < end) {
		ln_time turn = ev_now() + 20 * LN_MSEC;
		struct agent *a = load.agents[rng_below(ev_rng(), load.nagents)];
		agent_cut(a);
		agent_sync(a);
		a->answered = true; /* not counted as part of a phase */
		cuts++;
		if (cuts % 4 == 0)
			churn_guest(&guests[rng_below(ev_rng(), LN_COUNT(guests))], cuts, &joins);
		load.ntimes = 0;
		while (ev_now() < turn)
			ev_loop_turn(load.loop, turn - ev_now());
	}
	churn_see_off(guests, LN_COUNT(guests));
	fprintf(stderr,
		"churn: %" PRIu64 " streams cut, %" PRIu64 " peers came, RSS %ld -> %ld KiB\n",
		cuts, joins, before, load_server_kib(load.server, "VmRSS"));
	bool good = load.failed == 0;
	(void)phase_run("churn", 0, cpu);
	return good;
}

static bool phase_check(void)
{
	load.reading = true;
	load.checks++;
	bool good = phase_reopen();
	load.reading = false;
	for (unsigned i = 0; i < load.nagents; i++) {
		if (load.agents[i]->npeers + 1 < load.nagents) {
			fprintf(stderr, "peer %u sees %zu peers of %u\n", i, load.agents[i]->npeers,
				load.nagents - 1);
			return false;
		}
	}
	return good;
}

static bool run_phase(const char *word)
{
	if (strcmp(word, "register") == 0)
		return phase_register();
	if (strcmp(word, "open") == 0)
		return phase_open("open");
	if (strcmp(word, "reopen") == 0)
		return phase_reopen();
	if (strcmp(word, "rejoin") == 0)
		return phase_rejoin();
	if (strcmp(word, "change") == 0)
		return phase_change();
	if (strcmp(word, "check") == 0)
		return phase_check();
	if (strncmp(word, "idle:", 5) == 0)
		return phase_idle(atof(word + 5));
	if (strncmp(word, "cut:", 4) == 0)
		return phase_cut(atof(word + 4));
	if (strncmp(word, "churn:", 6) == 0)
		return phase_churn(atof(word + 6));
	fprintf(stderr, "sync_load: unknown phase %s\n", word);
	exit(2);
}

/* --- start -------------------------------------------------------------------------------------*/

static void on_server_key(void *user, enum grpc_status status, const char *text, struct slice reply)
{
	if (status != GRPC_OK || mgmt_server_key_read(reply, &load.server_key) != 0) {
		fprintf(stderr, "GetServerKey: %s %s\n", grpc_status_name(status), text);
		exit(1);
	}
	load.over = true;
}

static void fetch_server_key(void)
{
	struct agent first = { 0 };
	ev_timer_init(&first.retry, load.loop, NULL);
	agent_connect(&first);
	grpc_channel_unary(first.channel, SERVICE "GetServerKey", slice_of(NULL, 0),
			   ev_now() + 5 * LN_SEC, on_server_key, NULL);
	while (!load.over)
		ev_loop_turn(load.loop, 100 * LN_MSEC);
	agent_cut(&first);
	ev_timer_fini(&first.retry);
}

static const char *value_of(int argc, char **argv, int *i)
{
	if (*i + 1 >= argc) {
		fprintf(stderr, "sync_load: %s needs a value\n", argv[*i]);
		exit(2);
	}
	return argv[++*i];
}

static int parse_options(int argc, char **argv)
{
	const char *text = NULL;
	int i = 1;
	load.npeers = 100;
	load.at_once = 64;
	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		if (strcmp(argv[i], "--url") == 0)
			text = value_of(argc, argv, &i);
		else if (strcmp(argv[i], "--setup-key") == 0)
			load.setup_key = value_of(argc, argv, &i);
		else if (strcmp(argv[i], "--ca") == 0)
			load.ca = value_of(argc, argv, &i);
		else if (strcmp(argv[i], "--peers") == 0)
			load.npeers = (unsigned)atoi(value_of(argc, argv, &i));
		else if (strcmp(argv[i], "--at-once") == 0)
			load.at_once = (unsigned)atoi(value_of(argc, argv, &i));
		else if (strcmp(argv[i], "--sync-version") == 0)
			load.sync_version = atoi(value_of(argc, argv, &i));
		else if (strcmp(argv[i], "--server-pid") == 0)
			load.server = (pid_t)atoi(value_of(argc, argv, &i));
		else
			return -1;
	}
	struct ln_fail f;
	if (text == NULL || load.setup_key == NULL || i == argc || load.npeers == 0 ||
	    url_parse(slice_str(text), &load.url, &f) != 0)
		return -1;
	snprintf(load.host, sizeof(load.host), "%s", load.url.host);
	return i;
}

int main(int argc, char **argv)
{
	int first = parse_options(argc, argv);
	if (first < 0) {
		fprintf(stderr,
			"Usage: sync_load --url URL --setup-key KEY [--peers N] [--at-once N] "
			"[--server-pid PID] [--ca FILE] PHASE...\n");
		return 2;
	}
	load.loop = ev_loop_new();
	fetch_server_key();
	load.agents = ln_calloc(load.npeers, sizeof(*load.agents));
	load.times = ln_calloc(load.npeers + 1024, sizeof(*load.times));
	for (unsigned i = 0; i < load.npeers; i++)
		load.agents[i] = agent_new(i);
	load.nagents = load.npeers;
	int status = 0;
	for (int i = first; i < argc && status == 0; i++)
		if (!run_phase(argv[i]))
			status = 1;
	for (unsigned i = 0; i < load.nagents; i++) {
		agent_cut(load.agents[i]);
		agent_free(load.agents[i]);
	}
	ev_loop_turn(load.loop, 0);
	free(load.agents);
	free(load.times);
	return status;
}
