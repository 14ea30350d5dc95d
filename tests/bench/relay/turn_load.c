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
#include <unistd.h>

#include "lib/stun/stun_attr.h"

#include "tests/bench/relay/load_loop.h"

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
	struct load_flow flow; /* messages */
};

static struct ip_ep server;
static size_t npairs = 1, size = 1200;
static double seconds = 5;
static struct pair *pairs;

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
			load_die("send");
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
	load_die("no answer");
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
		load_die("connect");
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
	load_die("no relayed address");
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

static struct load_flow *flow(size_t i)
{
	return &pairs[i].flow;
}

static void feed(size_t pair)
{
	struct pair *p = &pairs[pair];
	static uint8_t msg[2000];
	static struct mmsghdr out[BATCH];
	static struct iovec iov = { .iov_base = msg };
	msg[0] = CHANNEL >> 8;
	msg[2] = (uint8_t)(size >> 8);
	msg[3] = (uint8_t)size;
	iov.iov_len = size + 4;
	if (p->flow.sent - p->flow.received > WINDOW / 2)
		return;
	while (p->flow.sent - p->flow.received < WINDOW) {
		for (size_t i = 0; i < BATCH; i++)
			out[i].msg_hdr = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
		size_t n =
			LN_MIN((size_t)BATCH, WINDOW - (size_t)(p->flow.sent - p->flow.received));
		int r = sendmmsg(p->from.fd, out, (unsigned)n, MSG_DONTWAIT);
		if (r <= 0)
			return;
		p->flow.sent += (uint64_t)r;
	}
}

static void drain(size_t pair)
{
	struct pair *p = &pairs[pair];
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
			p->flow.messages += good;
			p->flow.received += good;
		}
	} while (n == BATCH);
	/* What comes after it was given up for lost is no credit. */
	if (p->flow.received > p->flow.sent)
		p->flow.received = p->flow.sent;
}

static void run(void)
{
	const struct load_job job = { .npairs = npairs,
				      .seconds = seconds,
				      .payload = size,
				      .unit = 1,
				      .stuck = STUCK_NS,
				      .epoll = epoll_create1(0),
				      .flow = flow,
				      .drain = drain,
				      .feed = feed };
	for (size_t i = 0; i < npairs; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u64 = 2 * i };
		epoll_ctl(job.epoll, EPOLL_CTL_ADD, pairs[i].to.fd, &e);
	}
	load_run(&job);
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
			load_die("--url turn://ADDRESS:PORT");
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
	load_ready(false);
	run();
	return 0;
}
