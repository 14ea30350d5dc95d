/*
 * The load of relay_load for a TURN server: pairs of clients with an allocation each, ChannelData
 * from one to the other, many datagrams per system call, bounded messages in flight. The server
 * takes anybody (coturn: --no-auth --allow-loopback-peers).
 *
 * Usage: turn_load --url turn://ADDRESS:PORT [--pairs N] [--size BYTES] [--seconds S]
 * Says "ready", waits for a line, then runs and prints the JSON that relay_load prints.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/stun/stun_attr.h"

#define ALLOCATE 0x0003
#define CHANNEL_BIND 0x0009
#define SUCCESS 0x0100
#define ATTR_CHANNEL 0x000c
#define ATTR_XOR_PEER 0x0012
#define ATTR_XOR_RELAYED 0x0016
#define ATTR_TRANSPORT 0x0019
#define CHANNEL 0x4000
#define BATCH 32
#define WINDOW 96 /* messages in flight of a pair; half of it is refilled at once */
#define STUCK_NS 100000000ll

struct end {
	int fd;
	struct ip_ep relayed;
};

struct pair {
	struct end from, to;
	uint64_t sent, received, messages, moved, lost;
	long long since;
};

static struct ip_ep server;
static size_t npairs = 1, size = 1200;
static double seconds = 5;
static struct pair *pairs;

static LN_NORETURN void die(const char *what)
{
	fprintf(stderr, "turn_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* --- requests ---------------------------------------------------------------------------------*/

static void add_attr(struct writer *w, uint16_t type, struct slice value)
{
	writer_u16(w, type);
	writer_u16(w, (uint16_t)value.n);
	writer_bytes(w, value);
}

/* Sends a request and returns the body of its success, in `answer`. */
static struct slice ask(struct end *e, uint16_t method, struct slice attrs, uint8_t answer[1500])
{
	static uint32_t serial;
	struct stun_tid tid = { { 0 } };
	uint8_t msg[512];
	struct writer w = writer_of(mslice_of(msg, sizeof(msg)));
	serial++;
	memcpy(tid.b, &serial, sizeof(serial));
	writer_u16(&w, method);
	writer_u16(&w, (uint16_t)attrs.n);
	writer_u32(&w, STUN_MAGIC);
	writer_bytes(&w, slice_of(tid.b, sizeof(tid.b)));
	writer_bytes(&w, attrs);
	for (int i = 0; i < 5; i++) {
		struct pollfd p = { .fd = e->fd, .events = POLLIN };
		if (send(e->fd, msg, writer_len(&w), 0) < 0)
			die("send");
		if (poll(&p, 1, 1000) != 1)
			continue;
		ssize_t n = recv(e->fd, answer, 1500, 0);
		if (n < 20 || memcmp(answer + 8, tid.b, sizeof(tid.b)) != 0)
			continue;
		if ((answer[0] << 8 | answer[1]) != (method | SUCCESS)) {
			/* RFC 8489 14.8: class and number lie in the first attribute's value. */
			fprintf(stderr, "turn_load: method %#x refused: %u\n", method,
				n >= 28 ? answer[26] * 100u + answer[27] : 0);
			exit(1);
		}
		return slice_of(answer + 20, (size_t)n - 20);
	}
	die("no answer");
}

static void allocate(struct end *e)
{
	uint8_t buf[64], answer[1500];
	static const uint8_t udp[4] = { 17 };
	struct sockaddr_storage ss;
	int room = 4 << 20;
	unsigned len = ip_ep_to_sockaddr(&server, &ss);
	e->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (setsockopt(e->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(e->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (e->fd < 0 || connect(e->fd, (struct sockaddr *)&ss, len) < 0)
		die("connect");
	struct writer w = writer_of(mslice_of(buf, sizeof(buf)));
	add_attr(&w, ATTR_TRANSPORT, slice_of(udp, sizeof(udp)));
	struct slice body = ask(e, ALLOCATE, writer_slice(&w), answer);
	struct stun_tid tid;
	memcpy(tid.b, answer + 8, sizeof(tid.b));
	struct cursor c = cursor_of(body);
	while (cursor_left(&c) >= 4) {
		uint16_t type = cursor_u16(&c), n = cursor_u16(&c);
		struct slice v = cursor_bytes(&c, n);
		cursor_skip(&c, LN_MIN((4u - n % 4u) % 4u, cursor_left(&c)));
		if (type == ATTR_XOR_RELAYED && stun_attr_read_addr(v, &tid, &e->relayed) == 0)
			return;
	}
	die("no relayed address");
}

/* IPv4: the transaction id takes no part in the XOR. */
static void bind_channel(struct end *e, const struct ip_ep *peer)
{
	uint8_t buf[64], answer[1500], addr[20];
	static const uint8_t number[4] = { CHANNEL >> 8, CHANNEL & 0xff };
	static const struct stun_tid none;
	struct writer w = writer_of(mslice_of(buf, sizeof(buf)));
	add_attr(&w, ATTR_CHANNEL, slice_of(number, sizeof(number)));
	add_attr(&w, ATTR_XOR_PEER, slice_of(addr, stun_attr_addr_value(peer, &none, addr)));
	(void)ask(e, CHANNEL_BIND, writer_slice(&w), answer);
}

/* --- load -------------------------------------------------------------------------------------*/

static void feed(struct pair *p)
{
	static uint8_t msg[2000];
	static struct mmsghdr out[BATCH];
	static struct iovec iov = { .iov_base = msg };
	msg[0] = CHANNEL >> 8;
	msg[2] = (uint8_t)(size >> 8);
	msg[3] = (uint8_t)size;
	iov.iov_len = size + 4;
	if (p->sent - p->received > WINDOW / 2)
		return;
	while (p->sent - p->received < WINDOW) {
		for (size_t i = 0; i < BATCH; i++)
			out[i].msg_hdr = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
		size_t n = LN_MIN((size_t)BATCH, WINDOW - (size_t)(p->sent - p->received));
		int r = sendmmsg(p->from.fd, out, (unsigned)n, MSG_DONTWAIT);
		if (r <= 0)
			return;
		p->sent += (uint64_t)r;
	}
}

static void drain(struct pair *p)
{
	static uint8_t buf[BATCH][2048];
	static struct mmsghdr in[BATCH];
	static struct iovec iov[BATCH];
	int n;
	do {
		for (size_t i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){ buf[i], sizeof(buf[i]) };
			in[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		}
		n = recvmmsg(p->to.fd, in, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++) {
			bool good = in[i].msg_len == size + 4 && buf[i][0] == CHANNEL >> 8;
			p->messages += good;
			p->received += good;
		}
	} while (n == BATCH);
	/* What comes after it was given up for lost is no credit. */
	if (p->received > p->sent)
		p->received = p->sent;
}

static void forgive(struct pair *p, long long t)
{
	if (p->messages != p->moved) {
		p->moved = p->messages;
		p->since = t;
	} else if (t - p->since > STUCK_NS && p->sent > p->received) {
		p->lost += p->sent - p->received;
		p->received = p->sent;
		p->since = t;
	}
}

static void run(void)
{
	struct epoll_event ev[256];
	uint64_t messages = 0, lost = 0;
	int ep = epoll_create1(0);
	long long begin = now(), t = begin, look = begin;
	for (size_t i = 0; i < npairs; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u64 = i };
		epoll_ctl(ep, EPOLL_CTL_ADD, pairs[i].to.fd, &e);
		pairs[i].since = begin;
		feed(&pairs[i]);
	}
	while (t - begin < (long long)(seconds * 1e9)) {
		int n = epoll_wait(ep, ev, LN_COUNT(ev), 20);
		for (int k = 0; k < n; k++) {
			drain(&pairs[ev[k].data.u64]);
			feed(&pairs[ev[k].data.u64]);
		}
		t = now();
		if (t - look < 20000000)
			continue;
		look = t;
		for (size_t i = 0; i < npairs; i++) {
			forgive(&pairs[i], t);
			feed(&pairs[i]);
		}
	}
	for (size_t i = 0; i < npairs; i++) {
		messages += pairs[i].messages;
		lost += pairs[i].lost;
	}
	double s = (double)(t - begin) / 1e9;
	printf("{\"messages\": %llu, \"lost\": %llu, \"seconds\": %.3f, \"kpps\": %.1f, "
	       "\"gbit_s\": %.3f, \"payload_bytes\": %llu}\n",
	       (unsigned long long)messages, (unsigned long long)lost, s,
	       (double)messages / s / 1e3, (double)(messages * size) * 8 / s / 1e9,
	       (unsigned long long)(messages * size));
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "url", 1, NULL, 'u' },
						 { "pairs", 1, NULL, 'p' },
						 { "size", 1, NULL, 'b' },
						 { "seconds", 1, NULL, 'd' },
						 { NULL, 0, NULL, 0 } };
	char host[64] = "";
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'u' && sscanf(optarg, "turn://%63[0-9.]:%hu", host, &server.port) != 2)
			die("--url turn://ADDRESS:PORT");
		if (c == 'p')
			npairs = (size_t)atol(optarg);
		if (c == 'b')
			size = (size_t)atol(optarg);
		if (c == 'd')
			seconds = atof(optarg);
	}
	if (ip_parse(slice_str(host), &server.addr) < 0 || npairs == 0 || size < 16 ||
	    size > 1400) {
		fputs("turn_load: --url is needed; 16 <= --size <= 1400\n", stderr);
		return 2;
	}
	pairs = calloc(npairs, sizeof(*pairs));
	for (size_t i = 0; i < npairs; i++) {
		allocate(&pairs[i].from);
		allocate(&pairs[i].to);
		bind_channel(&pairs[i].from, &pairs[i].to.relayed);
		bind_channel(&pairs[i].to, &pairs[i].from.relayed);
	}
	puts("ready");
	fflush(stdout);
	(void)getchar();
	run();
	return 0;
}
