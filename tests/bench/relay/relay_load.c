/*
 * Load for a relay: pairs of WebSocket clients in one process, batches of messages with one write,
 * bounded bytes in flight, so that a slow relay is measured and not flooded.
 *
 * Usage: relay_load --url rel://HOST:PORT --secret TEXT [--tls] [--pairs N] [--size BYTES]
 *                   [--seconds S] [--rate PACKETS/S] [--idle] [--first N]
 * Without --rate: as fast as it goes, JSON with messages and bits a second. With --rate: messages
 * at that rate, those that are due at once in one write, JSON with the delay. Once 2 x pairs
 * clients are connected it says "ready" and waits for a line, with --idle for the end of its input.
 * The host is an IPv4 address; certificates are not verified. --first: the number of the first
 * client, beside another one's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/relay/relay_msg.h"
#include "lib/token/relay_token.h"
#include "lib/wire/ws_frame.h"

#include "tests/bench/relay/load_loop.h"

#define BATCH_BYTES (60u << 10)
#define WINDOW_MAX (160u << 10) /* bytes in flight of one pair */
#define WINDOW_MIN (16u << 10)
#define WINDOW_ALL (16u << 20) /* of all pairs */
#define STUCK_NS 1000000000ll
#define READ_SIZE (256u << 10)
#define PER_SOURCE 2000 /* connections from one loopback address */

struct end {
	int fd;
	SSL *ssl;
	struct relay_id id;
};

struct pair {
	struct end from, to;
	uint8_t *batch;
	size_t batch_len;
	size_t at; /* of the batch, sent */
	/* Bytes put into the socket of `from`; bytes read at `to`, scaled to what was sent for
	 * them. */
	struct load_flow flow;
	size_t part; /* bytes of a message that is not whole */
};

static struct {
	const char *host;
	uint16_t port;
	const char *secret;
	bool tls, idle;
	size_t first;
	size_t npairs, size;
	double seconds, rate;
} conf = { .npairs = 1, .size = 1200, .seconds = 5 };

static SSL_CTX *tls;
static struct pair *pairs;
static uint8_t buffer[READ_SIZE];

/* --- one connection ---------------------------------------------------------------------------*/

static ssize_t put(struct end *e, const void *p, size_t n)
{
	if (e->ssl == NULL)
		return send(e->fd, p, n, MSG_NOSIGNAL);
	int r = SSL_write(e->ssl, p, (int)n);
	if (r <= 0) {
		int err = SSL_get_error(e->ssl, r);
		errno = err == SSL_ERROR_WANT_WRITE || err == SSL_ERROR_WANT_READ ? EAGAIN : EPIPE;
		return -1;
	}
	return r;
}

static ssize_t get(struct end *e, void *p, size_t n)
{
	if (e->ssl == NULL)
		return recv(e->fd, p, n, 0);
	int r = SSL_read(e->ssl, p, (int)n);
	if (r <= 0) {
		int err = SSL_get_error(e->ssl, r);
		errno = err == SSL_ERROR_WANT_READ ? EAGAIN : EPIPE;
		return err == SSL_ERROR_ZERO_RETURN ? 0 : -1;
	}
	return r;
}

static void get_all(struct end *e, uint8_t *p, size_t n)
{
	while (n != 0) {
		ssize_t r = get(e, p, n);
		if (r <= 0)
			load_die("the relay ended the connection");
		p += r;
		n -= (size_t)r;
	}
}

static size_t frame(uint8_t *dst, const void *msg, size_t n)
{
	static const uint8_t mask[4] = { 0x12, 0x34, 0x56, 0x78 };
	size_t head = ws_frame_write(dst, WS_FRAME_BINARY, n, mask);
	ws_frame_mask(dst + head, msg, n, mask);
	return head + n;
}

/* False: come again, it is busy with others (503). */
static bool upgrade(struct end *e)
{
	char text[1024];
	size_t n = 0;
	int len = snprintf(text, sizeof(text),
			   "GET /relay HTTP/1.1\r\nHost: %s:%u\r\nConnection: Upgrade\r\n"
			   "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
			   "Sec-WebSocket-Key: h96wHduzASeTaMZ+BquGkg==\r\n\r\n",
			   conf.host, conf.port);
	if (put(e, text, (size_t)len) != len)
		load_die("upgrade");
	while (n < 4 || memcmp(text + n - 4, "\r\n\r\n", 4) != 0) {
		if (n == sizeof(text) - 1)
			load_die("no answer to the upgrade");
		get_all(e, (uint8_t *)text + n++, 1);
	}
	text[n] = '\0';
	if (strstr(text, " 503 ") != NULL)
		return false;
	if (strstr(text, " 101 ") == NULL) {
		fputs(text, stderr);
		load_die("no WebSocket");
	}
	return true;
}

static void hello(struct end *e)
{
	struct relay_token_key key;
	struct relay_token_text t;
	struct timespec wall;
	uint8_t token[RELAY_TOKEN_MAX], msg[RELAY_AUTH_MAX], wire[RELAY_AUTH_MAX + 16];
	clock_gettime(CLOCK_REALTIME, &wall);
	relay_token_key_make(slice_str(conf.secret), &key);
	relay_token_make(&key, (wall.tv_sec + 3600) * LN_SEC, &t);
	int n = relay_token_join(slice_str(t.payload), slice_str(t.signature),
				 mslice_of(token, sizeof(token)));
	n = relay_msg_write_auth(mslice_of(msg, sizeof(msg)), &e->id, slice_of(token, (size_t)n));
	size_t len = frame(wire, msg, (size_t)n);
	if (put(e, wire, len) != (ssize_t)len)
		load_die("hello");
	get_all(e, wire, 2);
	if (wire[1] > 125)
		load_die("a strange answer");
	get_all(e, wire, wire[1] & 127u);
	if (wire[1] != RELAY_AUTH_RESPONSE)
		load_die("the hello was refused");
}

static bool try_open(struct end *e, size_t index)
{
	char name[32];
	int on = 1;
	struct sockaddr_in sa = { .sin_family = AF_INET };
	e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (strncmp(conf.host, "127.", 4) == 0) {
		sa.sin_addr.s_addr = htonl(0x7f000001 + (uint32_t)(index / PER_SOURCE));
		if (bind(e->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			load_die("bind");
	}
	sa.sin_port = htons(conf.port);
	inet_pton(AF_INET, conf.host, &sa.sin_addr);
	if (connect(e->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		load_die("connect");
	setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (conf.tls) {
		e->ssl = SSL_new(tls);
		SSL_set_fd(e->ssl, e->fd);
		if (SSL_connect(e->ssl) != 1)
			load_die("TLS");
	}
	snprintf(name, sizeof(name), "bench-%zu", index);
	relay_id_of_text(slice_str(name), &e->id);
	if (!upgrade(e)) {
		SSL_free(e->ssl);
		e->ssl = NULL;
		close(e->fd);
		return false;
	}
	hello(e);
	fcntl(e->fd, F_SETFL, O_NONBLOCK);
	return true;
}

static void open_end(struct end *e, size_t index)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	for (int i = 0; !try_open(e, conf.first + index); i++) {
		if (i == 400)
			load_die("the relay stays busy");
		nanosleep(&pause, NULL);
	}
}

/* --- as fast as it goes -----------------------------------------------------------------------*/

static size_t sent_len(void) /* of one message on the way to the relay */
{
	return RELAY_TRANSPORT_HEADER + conf.size +
	       (RELAY_TRANSPORT_HEADER + conf.size < 126 ? 6 : 8);
}

static size_t received_len(void)
{
	return sent_len() - 4; /* no mask */
}

static void make_batch(struct pair *p)
{
	uint8_t msg[RELAY_MSG_MAX], payload[RELAY_PAYLOAD_MAX];
	memset(payload, 0xa5, conf.size);
	int n = relay_msg_write_transport(mslice_of(msg, sizeof(msg)), &p->to.id,
					  slice_of(payload, conf.size));
	if (n < 0)
		load_die("size");
	size_t count = LN_MAX(BATCH_BYTES / sent_len(), 1u);
	p->batch = malloc(count * sent_len());
	for (size_t i = 0; i < count; i++)
		p->batch_len += frame(p->batch + p->batch_len, msg, (size_t)n);
}

static struct load_flow *flow(size_t i)
{
	return &pairs[i].flow;
}

static void feed(size_t i)
{
	struct pair *p = &pairs[i];
	size_t window = LN_MAX(LN_MIN(WINDOW_ALL / conf.npairs, WINDOW_MAX), WINDOW_MIN);
	/* Batches, not one message for each that arrived. */
	if (p->flow.sent - p->flow.received > window / 2)
		return;
	while (p->flow.sent - p->flow.received < window) {
		size_t room = window - (size_t)(p->flow.sent - p->flow.received);
		ssize_t n = put(&p->from, p->batch + p->at, LN_MIN(room, p->batch_len - p->at));
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			load_die("send");
		p->flow.sent += (uint64_t)n;
		p->at = (p->at + (size_t)n) % p->batch_len;
	}
}

static void drain(size_t i)
{
	struct pair *p = &pairs[i];
	ssize_t n;
	while ((n = get(&p->to, buffer, sizeof(buffer))) > 0) {
		p->part += (size_t)n;
		p->flow.messages += p->part / received_len();
		p->flow.received += p->part / received_len() * sent_len();
		p->part %= received_len();
		if ((size_t)n < sizeof(buffer) && p->to.ssl == NULL)
			break;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN))
		load_die("receive");
}

static int watch(bool senders)
{
	int ep = epoll_create1(0);
	for (size_t i = 0; i < conf.npairs; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u64 = i * 2 };
		epoll_ctl(ep, EPOLL_CTL_ADD, pairs[i].to.fd, &e);
		e = (struct epoll_event){ .events = EPOLLOUT | EPOLLET, .data.u64 = i * 2 + 1 };
		if (senders)
			epoll_ctl(ep, EPOLL_CTL_ADD, pairs[i].from.fd, &e);
	}
	return ep;
}

static void run_fast(void)
{
	const struct load_job job = { .npairs = conf.npairs,
				      .seconds = conf.seconds,
				      .payload = conf.size,
				      .unit = sent_len(),
				      .stuck = STUCK_NS,
				      .epoll = watch(true),
				      .flow = flow,
				      .drain = drain,
				      .feed = feed };
	for (size_t i = 0; i < conf.npairs; i++)
		make_batch(&pairs[i]);
	load_run(&job);
}

/* --- at a rate --------------------------------------------------------------------------------*/

/* Whole frames of known length; each payload begins with the time it was sent. */
static void take_delays(struct pair *p, uint8_t *store, size_t *stored, struct load_delays *d)
{
	ssize_t n;
	while ((n = get(&p->to, store + *stored, READ_SIZE - *stored)) > 0) {
		long long t = load_now();
		size_t at = 0;
		*stored += (size_t)n;
		for (; *stored - at >= received_len(); at += received_len()) {
			long long sent;
			memcpy(&sent, store + at + received_len() - conf.size, sizeof(sent));
			load_delay_add(d, t - sent);
		}
		memmove(store, store + at, *stored - at);
		*stored -= at;
	}
}

/* What is due for a pair at one moment leaves with one write. */
struct outbox {
	size_t n, at;
	uint8_t bytes[BATCH_BYTES];
};

static void push(struct pair *p, struct outbox *o)
{
	while (o->at < o->n) {
		ssize_t r = put(&p->from, o->bytes + o->at, o->n - o->at);
		if (r < 0 && errno == EAGAIN)
			return;
		if (r < 0)
			load_die("send");
		o->at += (size_t)r;
	}
	o->n = o->at = 0;
}

/* False: the relay takes no more, this message is not sent. */
static bool send_one(struct pair *p, struct outbox *o)
{
	uint8_t msg[RELAY_MSG_MAX], payload[RELAY_PAYLOAD_MAX] = { 0 };
	if (o->at != 0 || sizeof(o->bytes) - o->n < sent_len())
		push(p, o);
	if (o->at != 0 || sizeof(o->bytes) - o->n < sent_len())
		return false;
	long long t = load_now();
	memcpy(payload, &t, sizeof(t));
	int n = relay_msg_write_transport(mslice_of(msg, sizeof(msg)), &p->to.id,
					  slice_of(payload, conf.size));
	o->n += frame(o->bytes + o->n, msg, (size_t)n);
	return true;
}

static void run_rate(void)
{
	struct load_delays delays = { .n = 0 };
	uint8_t **store = calloc(conf.npairs, sizeof(*store));
	size_t *stored = calloc(conf.npairs, sizeof(*stored));
	struct outbox *out = calloc(conf.npairs, sizeof(*out));
	uint64_t due = 0, sent = 0;
	struct epoll_event ev[64];
	int ep = watch(false);
	for (size_t i = 0; i < conf.npairs; i++)
		store[i] = malloc(READ_SIZE);
	long long begin = load_now(), end = begin + (long long)(conf.seconds * 1e9), t;
	while ((t = load_now()) < end + 200000000) {
		/* Late ones are sent at once: a sleep is longer than asked for. */
		for (; t < end && (double)due < (double)(t - begin) * conf.rate / 1e9; due++)
			sent += send_one(&pairs[due % conf.npairs], &out[due % conf.npairs]);
		for (size_t i = 0; i < conf.npairs; i++)
			push(&pairs[i], &out[i]);
		struct timespec nap = { .tv_nsec = 20000 };
		int n = epoll_pwait2(ep, ev, LN_COUNT(ev), &nap, NULL);
		for (int k = 0; k < n; k++) {
			size_t i = ev[k].data.u64 / 2;
			take_delays(&pairs[i], store[i], &stored[i], &delays);
		}
	}
	load_delay_report(&delays, due, sent, conf.seconds, conf.size);
}

/* --- program ----------------------------------------------------------------------------------*/

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "url", 1, NULL, 'u' },   { "secret", 1, NULL, 's' }, { "tls", 0, NULL, 't' },
		{ "pairs", 1, NULL, 'p' }, { "size", 1, NULL, 'b' },   { "seconds", 1, NULL, 'd' },
		{ "rate", 1, NULL, 'r' },  { "idle", 0, NULL, 'i' },   { "first", 1, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	static char host[64];
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'u':
			if (sscanf(optarg, "%*[a-z]://%63[0-9.]:%hu", host, &conf.port) != 2)
				load_die("--url rel://ADDRESS:PORT");
			conf.host = host;
			break;
		case 's':
			conf.secret = optarg;
			break;
		case 't':
			conf.tls = true;
			break;
		case 'p':
			conf.npairs = (size_t)atol(optarg);
			break;
		case 'b':
			conf.size = (size_t)atol(optarg);
			break;
		case 'd':
			conf.seconds = atof(optarg);
			break;
		case 'r':
			conf.rate = atof(optarg);
			break;
		case 'f':
			conf.first = (size_t)atol(optarg);
			break;
		case 'i':
			conf.idle = true;
			break;
		default:
			exit(2);
		}
	}
	if (conf.host == NULL || conf.secret == NULL || conf.npairs == 0 || conf.size < 90 ||
	    conf.size > RELAY_PAYLOAD_MAX) {
		fputs("relay_load: --url and --secret are needed; 90 <= --size <= 8782\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	struct rlimit r;
	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	if (conf.tls) {
		tls = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
					      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					      SSL_MODE_RELEASE_BUFFERS);
	}
	pairs = calloc(conf.npairs, sizeof(*pairs));
	for (size_t i = 0; i < conf.npairs; i++) {
		open_end(&pairs[i].from, 2 * i);
		open_end(&pairs[i].to, 2 * i + 1);
	}
	load_ready(conf.idle);
	if (conf.idle)
		return 0;
	if (conf.rate > 0) {
		run_rate();
	} else {
		run_fast();
	}
	fflush(stdout);
	_exit(0); /* the system takes everything back at once */
}
