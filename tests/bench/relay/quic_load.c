/*
 * The load of relay_load for a relay over QUIC, by our own client: a message is a datagram, the
 * messages in flight of a pair are bounded, and what a turn has leaves together.
 *
 * Usage: quic_load --url rels://ADDRESS:PORT --secret TEXT --ca FILE [--pairs N] [--size BYTES]
 *                  [--seconds S] [--rate PACKETS/S] [--idle]
 * Options and output are those of relay_load. --ca: the certificate of the relay, or its issuer's.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/relay/relay_msg.h"
#include "lib/token/relay_token.h"

#include "src/ev/ev.h"
#include "src/net/net_quic.h"
#include "src/net/net_tls.h"
#include "tests/bench/relay/load_loop.h"

#define WINDOW 96 /* messages in flight of a pair; half of it is refilled at once */
#define WINDOW_ALL 12000
#define STUCK_NS 1000000000ll
#define AT_ONCE 50               /* handshakes under way */
#define PATH_LIMIT (10 * LN_SEC) /* until a path carries our messages */

struct end {
	struct net_quic *q;
	struct relay_id id;
	struct pair *pair;
	bool ready;   /* the relay has answered the hello */
	bool up, bad; /* the handshake is done; it has failed */
	char why[120];
};

struct pair {
	struct end from, to;
	struct load_flow flow; /* messages */
	uint8_t msg[RELAY_MSG_MAX];
	size_t n;
	bool planned;
};

static struct {
	struct net_quic_target target;
	const char *secret, *ca;
	char host[64];
	bool idle;
	size_t npairs, size;
	double seconds, rate;
} conf = { .npairs = 1, .size = 1200, .seconds = 5 };

static struct ev_loop *loop;
static struct pair *pairs;
static struct load_delays delays;
static bool running; /* as fast as it goes */

/* --- as fast as it goes -----------------------------------------------------------------------*/

static struct load_flow *flow(size_t i)
{
	return &pairs[i].flow;
}

static void feed_pair(struct pair *p)
{
	size_t window = LN_MAX(LN_MIN(WINDOW_ALL / conf.npairs, (size_t)WINDOW), (size_t)8);
	if (p->flow.sent - p->flow.received > window / 2)
		return;
	while (p->flow.sent - p->flow.received < window) {
		int r = net_quic_send(p->from.q, slice_of(p->msg, p->n));
		if (r == LN_E_AGAIN)
			return;
		if (r != 0)
			load_die("send");
		p->flow.sent++;
	}
}

static void feed(size_t i)
{
	feed_pair(&pairs[i]);
}

static void feed_job(void *arg)
{
	struct pair *p = arg;
	p->planned = false;
	feed_pair(p);
}

static void plan(struct pair *p)
{
	if (p->planned || !running)
		return;
	ev_defer(loop, feed_job, p);
	p->planned = true;
}

static void run_fast(void)
{
	const struct load_job job = { .npairs = conf.npairs,
				      .seconds = conf.seconds,
				      .payload = conf.size,
				      .unit = 1,
				      .stuck = STUCK_NS,
				      .flow = flow,
				      .feed = feed };
	long long begin = load_now(), t = begin, look = begin;
	running = true;
	load_begin(&job, begin);
	while (t - begin < (long long)(conf.seconds * 1e9)) {
		ev_loop_turn(loop, 20 * LN_MSEC);
		t = load_now();
		if (t - look < 20 * LN_MSEC)
			continue;
		look = t;
		load_look(&job, t);
	}
	load_report(&job, (double)(t - begin) / 1e9);
}

/* --- at a rate --------------------------------------------------------------------------------*/

static bool send_one(struct pair *p)
{
	long long t = load_now();
	memcpy(p->msg + RELAY_TRANSPORT_HEADER, &t, sizeof(t));
	return net_quic_send(p->from.q, slice_of(p->msg, p->n)) == 0;
}

static void run_rate(void)
{
	uint64_t due = 0, sent = 0;
	long long begin = load_now(), end = begin + (long long)(conf.seconds * 1e9), t;
	while ((t = load_now()) < end + 200 * LN_MSEC) {
		for (; t < end && (double)due < (double)(t - begin) * conf.rate / 1e9; due++)
			sent += send_one(&pairs[due % conf.npairs]);
		ev_loop_turn(loop, 20 * LN_USEC);
	}
	load_delay_report(&delays, due, sent, conf.seconds, conf.size);
}

/* --- one connection ---------------------------------------------------------------------------*/

static void on_ready(void *user)
{
	struct end *e = user;
	struct relay_token_key key;
	struct relay_token_text t;
	uint8_t token[RELAY_TOKEN_MAX], msg[RELAY_AUTH_MAX];
	relay_token_key_make(slice_str(conf.secret), &key);
	relay_token_make(&key, ev_wall() + LN_HOUR, &t);
	int n = relay_token_join(slice_str(t.payload), slice_str(t.signature),
				 mslice_of(token, sizeof(token)));
	n = relay_msg_write_auth(mslice_of(msg, sizeof(msg)), &e->id, slice_of(token, (size_t)n));
	e->up = true;
	if (net_quic_send(e->q, slice_of(msg, (size_t)n)) != 0)
		load_die("hello");
}

static void on_message(void *user, struct slice msg)
{
	struct end *e = user;
	struct pair *p = e->pair;
	e->ready |= relay_msg_type(msg) == RELAY_AUTH_RESPONSE;
	if (relay_msg_type(msg) != RELAY_TRANSPORT || e != &p->to)
		return;
	p->flow.messages++;
	/* What comes after it was given up for lost is no credit. */
	p->flow.received = LN_MIN(p->flow.received + 1, p->flow.sent);
	plan(p);
	if (conf.rate > 0 && msg.n >= RELAY_TRANSPORT_HEADER + sizeof(long long)) {
		long long sent;
		memcpy(&sent, msg.p + RELAY_TRANSPORT_HEADER, sizeof(sent));
		load_delay_add(&delays, load_now() - sent);
	}
}

static void on_writable(void *user)
{
	struct end *e = user;
	if (e == &e->pair->from && e->ready)
		plan(e->pair);
}

static void on_closed(void *user, int err, const char *why)
{
	struct end *e = user;
	e->bad = true;
	snprintf(e->why, sizeof(e->why), "%s", why);
}

static const struct net_quic_ops ops = {
	.ready = on_ready, .message = on_message, .writable = on_writable, .closed = on_closed
};

static void dial(struct net_tls_ctx *roots, struct pair *p, struct end *e, size_t index)
{
	char name[32];
	snprintf(name, sizeof(name), "bench-%zu", index);
	relay_id_of_text(slice_str(name), &e->id);
	e->pair = p;
	if (net_quic_connect(loop, roots, &conf.target, &ops, e, &e->q) != 0)
		load_die("a socket");
}

static void wait_for(struct end *e, size_t room, ln_time limit)
{
	for (ln_time end = ev_now() + limit; !e->ready || net_quic_room(e->q) < room;) {
		ev_loop_turn(loop, LN_MSEC);
		if (e->bad || ev_now() > end) {
			fprintf(stderr, "quic_load: %s\n",
				e->bad      ? e->why
				: !e->ready ? "the relay does not answer"
					    : "the path does not carry such messages");
			exit(1);
		}
	}
}

static void make_message(struct pair *p)
{
	static uint8_t payload[RELAY_PAYLOAD_MAX];
	int n = relay_msg_write_transport(mslice_of(p->msg, sizeof(p->msg)), &p->to.id,
					  slice_of(payload, conf.size));
	p->n = (size_t)n;
}

static void open_all(struct net_tls_ctx *roots)
{
	size_t done = 0;
	for (size_t i = 0; i < conf.npairs; i++) {
		struct pair *p = &pairs[i];
		dial(roots, p, &p->from, 2 * i);
		dial(roots, p, &p->to, 2 * i + 1);
		make_message(p);
		for (; i + 1 - done > AT_ONCE / 2; done++) {
			wait_for(&pairs[done].from, 0, PATH_LIMIT);
			wait_for(&pairs[done].to, 0, PATH_LIMIT);
		}
	}
	for (size_t i = 0; i < conf.npairs; i++) {
		wait_for(&pairs[i].from, pairs[i].n, PATH_LIMIT);
		wait_for(&pairs[i].to, 0, PATH_LIMIT);
	}
}

/*
 * A relay learns the size of its path to a receiver while packets go there, and drops larger ones
 * until then. Each pair tries until a first message comes through.
 */
static void warm_up(void)
{
	size_t open = conf.npairs;
	for (ln_time end = ev_now() + PATH_LIMIT; open != 0;) {
		open = 0;
		for (size_t i = 0; i < conf.npairs; i++) {
			bool waits = pairs[i].flow.messages == 0;
			open += waits;
			if (waits)
				(void)!net_quic_send(pairs[i].from.q,
						     slice_of(pairs[i].msg, pairs[i].n));
		}
		for (ln_time next = ev_now() + 20 * LN_MSEC; ev_now() < next;)
			ev_loop_turn(loop, LN_MSEC);
		if (open != 0 && ev_now() > end) {
			fputs("quic_load: messages of this size do not arrive\n", stderr);
			exit(1);
		}
	}
	for (size_t i = 0; i < conf.npairs; i++)
		pairs[i].flow = (struct load_flow){ .sent = 0 };
	delays.n = 0;
}

/* --- program ----------------------------------------------------------------------------------*/

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "url", 1, NULL, 'u' },   { "secret", 1, NULL, 's' }, { "ca", 1, NULL, 'c' },
		{ "pairs", 1, NULL, 'p' }, { "size", 1, NULL, 'b' },   { "seconds", 1, NULL, 'd' },
		{ "rate", 1, NULL, 'r' },  { "idle", 0, NULL, 'i' },   { NULL, 0, NULL, 0 },
	};
	uint16_t port = 0;
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'u')
			(void)!sscanf(optarg, "%*[a-z]://%63[0-9.]:%hu", conf.host, &port);
		else if (c == 's')
			conf.secret = optarg;
		else if (c == 'c')
			conf.ca = optarg;
		else if (c == 'p')
			conf.npairs = (size_t)atol(optarg);
		else if (c == 'b')
			conf.size = (size_t)atol(optarg);
		else if (c == 'd')
			conf.seconds = atof(optarg);
		else if (c == 'r')
			conf.rate = atof(optarg);
		else if (c == 'i')
			conf.idle = true;
		else
			exit(2);
	}
	conf.target = (struct net_quic_target){
		.host = conf.host, .alpn = "nb-quic", .idle = 240 * LN_SEC, .keep_alive = 5 * LN_SEC
	};
	conf.target.at.port = port;
	if (ip_parse(slice_str(conf.host), &conf.target.at.addr) != 0 || conf.secret == NULL ||
	    conf.ca == NULL || conf.npairs == 0 || conf.size < 16 || conf.size > 1350) {
		fputs("quic_load: --url, --secret and --ca are needed; 16 <= --size <= 1350\n",
		      stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct net_tls_ctx *roots;
	struct ln_fail f = { 0 };
	struct rlimit r;
	parse(argc, argv);
	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	loop = ev_loop_new();
	if (net_tls_ctx_client(conf.ca, &roots, &f) != 0) {
		fprintf(stderr, "quic_load: %s\n", f.text);
		return 1;
	}
	pairs = ln_calloc(conf.npairs, sizeof(*pairs));
	open_all(roots);
	if (!conf.idle)
		warm_up();
	load_ready(conf.idle);
	if (conf.idle)
		return 0;
	if (conf.rate > 0)
		run_rate();
	else
		run_fast();
	fflush(stdout);
	_exit(0); /* the system takes everything back at once */
}
