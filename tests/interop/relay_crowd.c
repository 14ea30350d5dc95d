/*
 * Many agents' relay clients in one process, in pairs that send each other one packet whenever both
 * are there. Says "up" once every pair has done so; after every loss of the relay, when all pairs
 * have done so again, one JSON line about how they came back.
 *
 * Usage: relay_crowd --url rel://HOST:PORT --secret TEXT [--clients N] [--rounds N] [--limit S]
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/token/relay_token.h"

#include "src/agent/relay_client.h"
#include "src/obs/obs_log.h"

#define WINDOW (100 * LN_MSEC)

struct agent {
	struct wg_key key;
	struct relay_client *client;
	struct relay_peer *peer; /* the other one of the pair */
	char home[64];
	unsigned homes; /* since the last loss of the relay */
	ln_time at;     /* of the first of them */
	bool got;       /* the other one's packet */
};

static struct {
	const char *url, *secret;
	size_t n, rounds;
	ln_time limit;
} conf = { .n = 1000, .rounds = 1, .limit = LN_MINUTE };

static struct ev_loop *loop;
static struct agent *agents;
static size_t ngot, nlost;
static ln_time lost_at;

static struct agent *other(const struct agent *a)
{
	return &agents[(size_t)(a - agents) ^ 1];
}

/* --- what the clients say ---------------------------------------------------------------------*/

static void open_peer(struct agent *a)
{
	if (a->peer == NULL && a->home[0] != '\0')
		a->peer = relay_client_open(a->client, &other(a)->key, conf.url, NULL, a);
}

static void on_home(void *user, const char *instance, const struct ip_addr *server)
{
	struct agent *a = user;
	(void)server;
	(void)snprintf(a->home, sizeof(a->home), "%s", instance);
	if (instance[0] == '\0') {
		if (nlost++ == 0)
			lost_at = ev_now();
		a->homes = 0;
		ngot -= a->got;
		a->got = false;
		return;
	}
	if (a->homes++ == 0)
		a->at = ev_now();
	open_peer(a);
}

static void on_peer(void *user, struct relay_peer *p, bool up, const char *why)
{
	struct agent *a = user;
	(void)why;
	if (up) {
		relay_peer_send(p, slice_str("packet"));
		return;
	}
	a->peer = NULL;
	open_peer(a);
}

static void on_packet(void *user, struct relay_peer *p, struct slice data)
{
	struct agent *a = user;
	(void)p;
	(void)data;
	ngot += !a->got;
	a->got = true;
}

/* --- the run ----------------------------------------------------------------------------------*/

static void start(struct agent *a)
{
	struct wg_secret secret;
	struct relay_token_key key;
	struct relay_token_text token;
	wg_secret_generate(&secret, ev_rng());
	wg_secret_public(&secret, &a->key);
	struct relay_client_conf c = { .own = &a->key,
				       .on_home = on_home,
				       .on_peer = on_peer,
				       .on_packet = on_packet,
				       .user = a };
	a->client = relay_client_new(loop, &c);
	relay_token_key_make(slice_str(conf.secret), &key);
	relay_token_make(&key, ev_wall() + LN_HOUR, &token);
	if (relay_client_set(a->client, &conf.url, 1, token.payload, token.signature) < 0)
		exit(2);
}

static int by_time(const void *x, const void *y)
{
	ln_time a = *(const ln_time *)x, b = *(const ln_time *)y;
	return a < b ? -1 : a > b;
}

static void report(ln_time done)
{
	ln_time *at = ln_calloc(conf.n, sizeof(*at));
	size_t most = 0, twice = 0;
	for (size_t i = 0; i < conf.n; i++) {
		at[i] = agents[i].at;
		twice += agents[i].homes > 1;
	}
	qsort(at, conf.n, sizeof(*at), by_time);
	for (size_t i = 0, k = 0; i < conf.n; i++) {
		while (at[i] - at[k] >= WINDOW)
			k++;
		most = LN_MAX(most, i - k + 1);
	}
	printf("{\"clients\": %zu, \"first_s\": %.3f, \"last_s\": %.3f, \"all_pairs_s\": %.3f, "
	       "\"most_in_100_ms\": %zu, \"twice\": %zu}\n",
	       conf.n, (double)(at[0] - lost_at) / 1e9, (double)(at[conf.n - 1] - lost_at) / 1e9,
	       (double)(done - lost_at) / 1e9, most, twice);
	fflush(stdout);
	free(at);
}

static bool wait_until(const size_t *value, size_t wanted)
{
	ln_time end = ev_now() + conf.limit;
	while (*value < wanted && ev_now() < end)
		ev_loop_turn(loop, 10 * LN_MSEC);
	return *value >= wanted;
}

static int run(void)
{
	if (!wait_until(&ngot, conf.n))
		return 3;
	printf("up\n");
	fflush(stdout);
	for (size_t i = 0; i < conf.rounds; i++) {
		nlost = 0;
		if (!wait_until(&nlost, conf.n) || !wait_until(&ngot, conf.n))
			return 4;
		report(ev_now());
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "url", required_argument, NULL, 'u' },
		{ "secret", required_argument, NULL, 's' },
		{ "clients", required_argument, NULL, 'n' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "limit", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	struct rlimit files;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case 'u':
			conf.url = optarg;
			break;
		case 's':
			conf.secret = optarg;
			break;
		case 'n':
			conf.n = strtoul(optarg, NULL, 10) & ~1ul;
			break;
		case 'r':
			conf.rounds = strtoul(optarg, NULL, 10);
			break;
		case 'l':
			conf.limit = (ln_time)strtoul(optarg, NULL, 10) * LN_SEC;
			break;
		default:
			return 1;
		}
	}
	if (conf.url == NULL || conf.secret == NULL || conf.n == 0)
		return 1;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	/* A thousand clients' news are no output of this program. */
	if (obs_log_set_level("", "error") < 0)
		return 1;
	loop = ev_loop_new();
	agents = ln_calloc(conf.n, sizeof(*agents));
	for (size_t i = 0; i < conf.n; i++)
		start(&agents[i]);
	int status = run();
	if (status != 0)
		fprintf(stderr, "relay_crowd: %zu of %zu heard their peer, %zu lost the relay\n",
			ngot, conf.n, nlost);
	for (size_t i = 0; i < conf.n; i++)
		relay_client_free(agents[i].client);
	for (int i = 0; i < 8; i++)
		ev_loop_turn(loop, LN_MSEC);
	free(agents);
	ev_loop_free(loop);
	return status;
}
