/* The UDP socket below QUIC: batches in, segmented batches out, the address of each packet. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdalign.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/net/net_quic_internal.h"

#ifndef UDP_SEGMENT
# define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
# define UDP_GRO 104
#endif

/* Slots of one system call; each takes many packets of one path where the system gathers them. */
#define BATCH_SERVER 16
#define BATCH_CLIENT 8
#define SLOT_BYTES 65536u
#define PACKETS_PER_TURN 256 /* or a batch more; then others on the loop have their turn */
#define SOCKET_BUFFER (4 << 20)
#define RUN_BYTES 65000u
#define RUN_PACKETS 60
/* One pktinfo and one UDP_SEGMENT. */
#define CONTROL (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)))

struct rx_slot {
	struct sockaddr_storage from;

	alignas(struct cmsghdr)
		uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
	uint8_t data[SLOT_BYTES]; /* what is never filled never becomes memory */
};

/* Packets of one path, equally long but for the last. */
struct tx_run {
	struct sockaddr_storage local, remote;
	socklen_t nlocal, nremote;
	size_t at, n;
	size_t each;
	size_t count;
	bool complete; /* ends with a shorter one */

	union {
		struct cmsghdr align;
		uint8_t b[CONTROL];
	} control;
};

struct quic_socket {
	struct ev_loop *loop;
	struct ev_io io;
	int fd;
	bool connected, segments, planned, freed;
	struct sockaddr_storage local; /* with port; the address is "any" on a listener */
	socklen_t nlocal;
	struct sockaddr_storage remote;
	socklen_t nremote;
	struct quic_socket_ops ops;
	void *user;
	size_t batch;
	struct rx_slot *rx;
	size_t ntx, nruns;
	uint8_t *tx;
	struct tx_run runs[QUIC_TX_RUNS];
};

/* --- out --------------------------------------------------------------------------------------*/

static void add_control(struct msghdr *m, int level, int type, const void *data, size_t n)
{
	struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)m->msg_control + m->msg_controllen);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), data, n);
	m->msg_controllen += CMSG_SPACE(n);
}

/* Answers leave from the address the question came to. */
static void add_source(struct msghdr *m, const struct tx_run *r)
{
	if (r->local.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&r->local;
		struct in_pktinfo p = { .ipi_spec_dst = in->sin_addr };
		if (in->sin_addr.s_addr != INADDR_ANY)
			add_control(m, IPPROTO_IP, IP_PKTINFO, &p, sizeof(p));
		return;
	}
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&r->local;
	struct in6_pktinfo p = { .ipi6_addr = in6->sin6_addr };
	if (!IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		add_control(m, IPPROTO_IPV6, IPV6_PKTINFO, &p, sizeof(p));
}

static void run_message(struct quic_socket *s, struct tx_run *r, struct iovec *iov,
			struct msghdr *m)
{
	*iov = (struct iovec){ s->tx + r->at, r->n };
	memset(r->control.b, 0, sizeof(r->control.b));
	*m = (struct msghdr){ .msg_iov = iov, .msg_iovlen = 1, .msg_control = r->control.b };
	if (!s->connected) {
		m->msg_name = &r->remote;
		m->msg_namelen = r->nremote;
		add_source(m, r);
	}
	if (r->count > 1) {
		uint16_t each = (uint16_t)r->each;
		add_control(m, SOL_UDP, UDP_SEGMENT, &each, sizeof(each));
	}
	if (m->msg_controllen == 0)
		m->msg_control = NULL;
}

/* Packet by packet: what the system refuses is lost, as on any path. */
static void send_singly(struct quic_socket *s, const struct tx_run *r)
{
	for (size_t off = 0; off < r->n; off += r->each) {
		struct tx_run one = *r;
		struct iovec iov;
		struct msghdr m;
		one.at += off;
		one.n = LN_MIN(r->each, r->n - off);
		one.count = 1;
		run_message(s, &one, &iov, &m);
		while (sendmsg(s->fd, &m, MSG_DONTWAIT) < 0 && errno == EINTR) {
		}
	}
}

static void flush(struct quic_socket *s)
{
	struct mmsghdr v[QUIC_TX_RUNS];
	struct iovec iov[QUIC_TX_RUNS];
	for (size_t i = 0; i < s->nruns; i++)
		run_message(s, &s->runs[i], &iov[i], &v[i].msg_hdr);
	size_t at = 0;
	while (at < s->nruns) {
		int n = sendmmsg(s->fd, v + at, (unsigned)(s->nruns - at), MSG_DONTWAIT);
		if (n > 0) {
			at += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		/* No segmentation here, or one packet is too large for the device. */
		if (s->runs[at].count > 1 &&
		    (errno == EIO || errno == EINVAL || errno == EMSGSIZE)) {
			s->segments = s->segments && errno == EMSGSIZE;
			send_singly(s, &s->runs[at]);
		}
		at++;
	}
	s->ntx = 0;
	s->nruns = 0;
}

uint8_t *quic_socket_room(struct quic_socket *s)
{
	if (s->ntx + QUIC_PACKET_MAX > QUIC_TX_BUFFER || s->nruns == QUIC_TX_RUNS)
		flush(s);
	return s->tx + s->ntx;
}

static bool same(const struct sockaddr_storage *a, socklen_t na, const ngtcp2_addr *b)
{
	return na == b->addrlen && memcmp(a, b->addr, na) == 0;
}

void quic_socket_commit(struct quic_socket *s, const ngtcp2_path *path, size_t n)
{
	struct tx_run *r = s->nruns != 0 ? &s->runs[s->nruns - 1] : NULL;
	if (r == NULL || !s->segments || r->complete || n > r->each || r->n + n > RUN_BYTES ||
	    r->count == RUN_PACKETS || !same(&r->remote, r->nremote, &path->remote) ||
	    !same(&r->local, r->nlocal, &path->local)) {
		r = &s->runs[s->nruns++];
		r->at = s->ntx;
		r->each = n;
		r->n = r->count = 0;
		r->nlocal = path->local.addrlen;
		r->nremote = path->remote.addrlen;
		memcpy(&r->local, path->local.addr, r->nlocal);
		memcpy(&r->remote, path->remote.addr, r->nremote);
	}
	r->complete = n < r->each;
	r->n += n;
	r->count++;
	s->ntx += n;
}

static void end_turn(void *arg)
{
	struct quic_socket *s = arg;
	s->planned = false;
	if (s->freed)
		return;
	s->ops.turn(s->user);
	if (!s->freed)
		flush(s);
}

void quic_socket_plan(struct quic_socket *s)
{
	if (!s->planned)
		ev_defer(s->loop, end_turn, s);
	s->planned = true;
}

/* --- in ---------------------------------------------------------------------------------------*/

/* Where the packet came to, with our port: one half of its path. */
static void find_local(const struct quic_socket *s, struct msghdr *m, struct sockaddr_storage *ss)
{
	*ss = s->local;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
		    ss->ss_family == AF_INET) {
			struct in_pktinfo p;
			memcpy(&p, CMSG_DATA(c), sizeof(p));
			((struct sockaddr_in *)ss)->sin_addr = p.ipi_addr;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo p;
			memcpy(&p, CMSG_DATA(c), sizeof(p));
			((struct sockaddr_in6 *)ss)->sin6_addr = p.ipi6_addr;
		}
	}
}

/* Of equally long packets that came as one; the last may be shorter. */
static size_t packet_size(struct msghdr *m, size_t n)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		int each;
		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&each, CMSG_DATA(c), sizeof(each));
		return each > 0 ? (size_t)each : n;
	}
	return n;
}

/* The number of packets, but for one. */
static size_t take_packets(struct quic_socket *s, struct rx_slot *slot, struct msghdr *m, size_t n)
{
	size_t each = packet_size(m, n);
	struct sockaddr_storage local;
	find_local(s, m, &local);
	if (s->connected)
		memcpy(&slot->from, &s->remote, s->nremote);
	const ngtcp2_path path = {
		.local = { (struct sockaddr *)&local, s->nlocal },
		.remote = { (struct sockaddr *)&slot->from,
			    s->connected ? s->nremote : m->msg_namelen },
	};
	for (size_t at = 0; at < n && each <= QUIC_RECV_MAX && !s->freed; at += each) {
		const struct quic_packet pkt = { .path = &path,
						 .p = slot->data + at,
						 .n = LN_MIN(each, n - at) };
		s->ops.packet(s->user, &pkt);
	}
	return n / each;
}

static int receive(struct quic_socket *s, size_t *packets)
{
	struct mmsghdr v[BATCH_SERVER];
	struct iovec iov[BATCH_SERVER];
	for (size_t i = 0; i < s->batch; i++) {
		struct rx_slot *r = &s->rx[i];
		iov[i] = (struct iovec){ r->data, sizeof(r->data) };
		v[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i],
						.msg_iovlen = 1,
						.msg_control = r->control,
						.msg_controllen = sizeof(r->control) };
		if (s->connected)
			continue;
		memset(&r->from, 0, sizeof(r->from));
		v[i].msg_hdr.msg_name = &r->from;
		v[i].msg_hdr.msg_namelen = sizeof(r->from);
	}
	int n = recvmmsg(s->fd, v, (unsigned)s->batch, MSG_DONTWAIT, NULL);
	if (n < 0)
		return -errno;
	*packets += (size_t)n;
	for (int i = 0; i < n && !s->freed; i++)
		if ((v[i].msg_hdr.msg_flags & MSG_TRUNC) == 0 && v[i].msg_len != 0)
			*packets += take_packets(s, &s->rx[i], &v[i].msg_hdr, v[i].msg_len);
	return n;
}

static void on_ready(struct ev_io *io, unsigned events)
{
	struct quic_socket *s = ln_container(io, struct quic_socket, io);
	(void)events;
	quic_socket_plan(s);
	for (size_t packets = 0; packets < PACKETS_PER_TURN && !s->freed;) {
		int n = receive(s, &packets);
		if (n < 0 && n != -EAGAIN && n != -EINTR && s->connected)
			s->ops.error(s->user, n);
		if (n < (int)s->batch)
			return;
	}
}

/* --- life -------------------------------------------------------------------------------------*/

static int set_options(int fd, int family, bool connected, uint32_t fwmark)
{
	int on = 1, off = 0, size = SOCKET_BUFFER, probe = IP_PMTUDISC_PROBE;
	/* Larger buffers are a wish, forced where we may. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		(void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
		(void)!setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (fwmark != 0)
		(void)!setsockopt(fd, SOL_SOCKET, SO_MARK, &fwmark, sizeof(fwmark));
	/* Many packets as one, where the system can (Linux 5.0). */
	(void)!setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	/* QUIC finds the size of the path itself; packets are never cut (RFC 9000 14). */
	(void)!setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof(probe));
	if (family == AF_INET6) {
		(void)!setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		(void)!setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe, sizeof(probe));
	}
	if (connected)
		return 0;
	int level = family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
	int name = family == AF_INET6 ? IPV6_RECVPKTINFO : IP_PKTINFO;
	return setsockopt(fd, level, name, &on, sizeof(on)) != 0 ? -errno : 0;
}

static int open_fd(struct quic_socket *s, const struct ip_ep *at, const struct ip_ep *remote,
		   uint32_t fwmark)
{
	struct sockaddr_storage ss = { .ss_family = AF_INET6 };
	socklen_t len = sizeof(struct sockaddr_in6);
	const struct ip_ep *ep = remote != NULL ? remote : at;
	if (ip_is_set(&ep->addr))
		len = ip_ep_to_sockaddr(ep, &ss);
	else
		((struct sockaddr_in6 *)&ss)->sin6_port = htons(ep->port);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && !ip_is_set(&ep->addr)) {
		/* A machine without IPv6. */
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(ep->port) };
		memcpy(&ss, &in, sizeof(in));
		len = sizeof(in);
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	}
	if (fd < 0)
		return -errno;
	int err = set_options(fd, ss.ss_family, remote != NULL, fwmark);
	if (err == 0 && (remote != NULL ? connect(fd, (struct sockaddr *)&ss, len)
					: bind(fd, (struct sockaddr *)&ss, len)) != 0)
		err = -errno;
	s->nlocal = sizeof(s->local);
	if (err == 0 && getsockname(fd, (struct sockaddr *)&s->local, &s->nlocal) != 0)
		err = -errno;
	if (err != 0) {
		close(fd);
		return err;
	}
	s->remote = ss;
	s->nremote = len;
	return fd;
}

int quic_socket_new(struct ev_loop *loop, const struct ip_ep *at, const struct ip_ep *remote,
		    uint32_t fwmark, const struct quic_socket_ops *ops, void *user,
		    struct quic_socket **ret)
{
	struct quic_socket *s = ln_alloc(sizeof(*s));
	int fd = open_fd(s, at, remote, fwmark);
	int err = fd < 0 ? fd : ev_io_init(&s->io, loop, fd, on_ready);
	if (err < 0) {
		if (fd >= 0)
			close(fd);
		free(s);
		return err;
	}
	s->loop = loop;
	s->fd = fd;
	s->connected = remote != NULL;
	s->segments = true;
	s->ops = *ops;
	s->user = user;
	s->batch = s->connected ? BATCH_CLIENT : BATCH_SERVER;
	s->rx = ln_calloc(s->batch, sizeof(*s->rx));
	s->tx = ln_alloc(QUIC_TX_BUFFER);
	ev_io_want(&s->io, EV_READ);
	*ret = s;
	return 0;
}

void quic_socket_free(struct quic_socket *s)
{
	if (s == NULL)
		return;
	flush(s);
	s->freed = true;
	ev_io_fini(&s->io);
	close(s->fd);
	ev_defer_free(s->loop, s->rx);
	ev_defer_free(s->loop, s->tx);
	ev_defer_free(s->loop, s);
}

uint16_t quic_socket_port(const struct quic_socket *s)
{
	struct ip_ep ep;
	return ip_ep_from_sockaddr((const struct sockaddr *)&s->local, &ep) == 0 ? ep.port : 0;
}

void quic_socket_local(const struct quic_socket *s, struct sockaddr_storage *ss, socklen_t *len)
{
	*ss = s->local;
	*len = s->nlocal;
}
