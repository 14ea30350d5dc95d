#include "src/stun/stun_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/ev/ev.h"
#include "src/obs/obs_log.h"
#include "src/stun/stun_answer.h"
#include "src/stun/stun_limit.h"

#define DEFAULT_PORT 3478
#define BATCH 32
#define BATCHES_PER_TURN 8 /* then others on the loop have their turn */
#define DATAGRAM_MAX 1500
#define SOCKET_BUFFER (1 << 20)
#define COMPLAIN_EVERY LN_MINUTE

struct stun_socket {
	struct stun_server *server;
	struct ev_io io;
	int fd;
	struct ip_ep addr;
};

/* One receive of up to BATCH datagrams, turned into answers in place. */
struct stun_batch {
	struct mmsghdr in[BATCH];
	struct mmsghdr out[BATCH];
	struct iovec in_iov[BATCH];
	struct iovec out_iov[BATCH];
	struct sockaddr_storage from[BATCH];

	/* Which of our addresses it came to; goes back out unchanged. */
	union {
		struct cmsghdr align;
		uint8_t b[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control[BATCH];

	uint8_t data[BATCH][DATAGRAM_MAX];
	uint8_t answer[BATCH][STUN_ANSWER_MAX];
};

struct stun_server {
	struct ev_loop *loop;
	struct stun_limit *limit;
	struct stun_server_count count;
	struct log_limit complain;
	struct stun_batch batch;
	size_t nsockets;
	struct stun_socket sockets[STUN_SERVER_SOCKETS_MAX];
};

static void prepare(struct stun_batch *b)
{
	for (size_t i = 0; i < BATCH; i++) {
		b->in_iov[i] = (struct iovec){ b->data[i], sizeof(b->data[i]) };
		b->in[i].msg_hdr = (struct msghdr){
			.msg_name = &b->from[i],
			.msg_namelen = sizeof(b->from[i]),
			.msg_iov = &b->in_iov[i],
			.msg_iovlen = 1,
			.msg_control = b->control[i].b,
			.msg_controllen = sizeof(b->control[i].b),
		};
	}
}

/* Answers datagram i as the n-th of the outgoing batch; false when it gets none. */
static bool answer_one(struct stun_server *s, ln_time now, size_t i, size_t n)
{
	struct stun_batch *b = &s->batch;
	struct msghdr *in = &b->in[i].msg_hdr;
	struct ip_ep from;
	struct slice answer;

	s->count.requests++;
	if ((in->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
	    ip_ep_from_sockaddr((const struct sockaddr *)&b->from[i], &from) != 0 ||
	    from.port == 0 ||
	    stun_answer_write(slice_of(b->data[i], b->in[i].msg_len), &from,
			      mslice_of(b->answer[n], STUN_ANSWER_MAX),
			      &answer) == STUN_ANSWER_NONE) {
		s->count.refused++;
		return false;
	}
	if (!stun_limit_pass(s->limit, now, &from.addr)) {
		s->count.limited++;
		return false;
	}
	b->out_iov[n] = (struct iovec){ b->answer[n], answer.n };
	b->out[n].msg_hdr = (struct msghdr){
		.msg_name = in->msg_name,
		.msg_namelen = in->msg_namelen,
		.msg_iov = &b->out_iov[n],
		.msg_iovlen = 1,
		.msg_control = in->msg_controllen != 0 ? in->msg_control : NULL,
		.msg_controllen = in->msg_controllen,
	};
	return true;
}

/* A datagram the system refuses (no route back) must not stop those behind it. */
static void send_all(struct stun_server *s, int fd, size_t n)
{
	size_t at = 0;
	while (at < n) {
		int sent = sendmmsg(fd, s->batch.out + at, (unsigned)(n - at), MSG_DONTWAIT);
		if (sent > 0) {
			s->count.answered += (uint64_t)sent;
			at += (size_t)sent;
			continue;
		}
		if (sent < 0 && errno == EINTR)
			continue;
		s->count.unsent++;
		at++;
	}
}

static void socket_ready(struct ev_io *io, unsigned events)
{
	struct stun_socket *sock = ln_container(io, struct stun_socket, io);
	struct stun_server *s = sock->server;
	ln_time now = ev_now();

	(void)events;
	for (int turn = 0; turn < BATCHES_PER_TURN; turn++) {
		prepare(&s->batch);
		int n = recvmmsg(sock->fd, s->batch.in, BATCH, MSG_DONTWAIT, NULL);
		if (n < 0) {
			/* ICMP errors of earlier answers arrive here as well; they are no fault
			 * of the socket. */
			if (errno != EAGAIN && errno != EINTR &&
			    log_limit_pass(&s->complain, now, COMPLAIN_EVERY))
				log_warn("stun", "cannot receive", LOG_EP("on", &sock->addr),
					 LOG_ERRNO(-errno));
			return;
		}
		size_t nout = 0;
		for (int i = 0; i < n; i++)
			nout += answer_one(s, now, (size_t)i, nout);
		send_all(s, sock->fd, nout);
		if (n < BATCH)
			return;
	}
}

static int set_options(int fd, uint8_t family, bool reuse_port)
{
	int on = 1;
	int size = SOCKET_BUFFER;
	/* Larger buffers are a wish: the system may cap them. */
	(void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
		return -errno;
	if (family == 4)
		return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) != 0 ? -errno : 0;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) != 0)
		return -errno;
	return 0;
}

/* A bound socket and the address it got, or a negative error. */
static int open_socket(const struct ip_ep *want, bool reuse_port, struct ip_ep *ret_addr)
{
	struct sockaddr_storage ss;
	socklen_t len = ip_ep_to_sockaddr(want, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int err = set_options(fd, want->addr.family, reuse_port);
	if (err == 0 && bind(fd, (struct sockaddr *)&ss, len) != 0)
		err = -errno;
	len = sizeof(ss);
	if (err == 0 && getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		err = -errno;
	if (err == 0)
		err = ip_ep_from_sockaddr((struct sockaddr *)&ss, ret_addr);
	if (err != 0) {
		close(fd);
		return err;
	}
	return fd;
}

static int add_socket(struct stun_server *s, const struct ip_ep *want, bool reuse_port)
{
	if (s->nsockets == STUN_SERVER_SOCKETS_MAX)
		return LN_E_LIMIT;
	struct stun_socket *sock = &s->sockets[s->nsockets];
	int fd = open_socket(want, reuse_port, &sock->addr);
	if (fd < 0)
		return fd;
	sock->server = s;
	sock->fd = fd;
	int err = ev_io_init(&sock->io, s->loop, fd, socket_ready);
	if (err != 0) {
		close(fd);
		return err;
	}
	s->nsockets++;
	ev_io_want(&sock->io, EV_READ);
	return 0;
}

static bool no_such_family(int err)
{
	return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL || err == -EPROTONOSUPPORT;
}

static int add_sockets(struct stun_server *s, const struct stun_server_conf *conf,
		       struct ln_fail *f)
{
	static const struct ip_addr any[2] = { { .family = 4 }, { .family = 6 } };
	static const uint16_t standard = DEFAULT_PORT;
	bool wild = conf->naddrs == 0;
	const struct ip_addr *addrs = wild ? any : conf->addrs;
	size_t naddrs = wild ? LN_COUNT(any) : conf->naddrs;
	const uint16_t *ports = conf->nports != 0 ? conf->ports : &standard;
	size_t nports = conf->nports != 0 ? conf->nports : 1;

	for (size_t i = 0; i < naddrs * nports; i++) {
		struct ip_ep want = { addrs[i / nports], ports[i % nports] };
		char text[IP_EP_TEXT_MAX];
		int err = add_socket(s, &want, conf->reuse_port);
		if (err == 0 || (wild && want.addr.family == 6 && no_such_family(err)))
			continue;
		ip_ep_format(&want, text);
		return ln_fail(f, err, "STUN cannot listen on UDP %s: %s", text, ln_strerror(err));
	}
	return 0;
}

int stun_server_new(struct ev_loop *loop, const struct stun_server_conf *conf,
		    struct stun_server **ret, struct ln_fail *f)
{
	struct stun_server *s = ln_alloc(sizeof(*s));
	s->loop = loop;
	s->limit = stun_limit_new(conf->rate != 0 ? conf->rate : STUN_SERVER_RATE,
				  conf->burst != 0 ? conf->burst : STUN_SERVER_BURST, ev_rng());
	int err = add_sockets(s, conf, f);
	if (err != 0) {
		stun_server_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void stun_server_free(struct stun_server *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->nsockets; i++) {
		ev_io_fini(&s->sockets[i].io);
		close(s->sockets[i].fd);
	}
	stun_limit_free(s->limit);
	ev_defer_free(s->loop, s);
}

void stun_server_count(const struct stun_server *s, struct stun_server_count *ret)
{
	*ret = s->count;
}

bool stun_server_addr(const struct stun_server *s, size_t i, struct ip_ep *ret)
{
	if (i >= s->nsockets)
		return false;
	*ret = s->sockets[i].addr;
	return true;
}
