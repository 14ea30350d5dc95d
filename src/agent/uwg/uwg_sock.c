#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "src/agent/uwg/uwg_internal.h"

#ifndef UDP_SEGMENT
# define UDP_SEGMENT 103
# define UDP_GRO 104
#endif

#define SEND_WAIT_MS 20 /* for room in a full socket buffer, before a batch is dropped */
#define PORT_TRIES 16

/* --- opening ---------------------------------------------------------------------------------- */

static void set_buffer(int fd, int force, int plain)
{
	int size = UWG_SOCKET_BUFFER;
	if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)) != 0) /* no net_admin */
		(void)!setsockopt(fd, SOL_SOCKET, plain, &size, sizeof(size));
}

/*
 * On: outer packets say "don't fragment", and what is too long for its path is an error. Off: the
 * kernel makes fragments of it.
 */
static void set_whole(int fd, unsigned family, bool on)
{
	int v4 = on ? IP_PMTUDISC_DO : IP_PMTUDISC_WANT;
	int v6 = on ? IPV6_PMTUDISC_DO : IPV6_PMTUDISC_WANT;
	if (family == 4)
		(void)!setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4));
	else
		(void)!setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof(v6));
}

/* The congestion mark of what arrives is told with it. */
static void want_ecn(int fd, unsigned family)
{
	const int on = 1;
	if (family == 4)
		(void)!setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on));
	else
		(void)!setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof(on));
}

static int open_one(unsigned family, uint16_t port, uint32_t mark)
{
	const int on = 1;
	int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);
	if (fd < 0)
		return -errno;
	if (family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
		goto fail;
	if (mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0 &&
	    errno != EPERM)
		goto fail;
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	(void)!setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)); /* before 5.0: one by one */
	set_whole(fd, family, true);
	want_ecn(fd, family);
	struct sockaddr_storage sa;
	struct ip_ep any = { .addr = { .family = (uint8_t)family }, .port = port };
	if (bind(fd, (struct sockaddr *)&sa, ip_ep_to_sockaddr(&any, &sa)) != 0)
		goto fail;
	return fd;
fail:;
	int err = -errno;
	close(fd);
	return err;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);
	struct ip_ep ep;
	if (getsockname(fd, (struct sockaddr *)&sa, &n) != 0 ||
	    ip_ep_from_sockaddr((struct sockaddr *)&sa, &ep) < 0)
		return 0;
	return ep.port;
}

static bool no_such_family(int err)
{
	return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL || err == -EPROTONOSUPPORT;
}

/* Both sockets on one port. -EADDRINUSE when either is taken. */
static int open_pair(struct uwg_sock v[2], uint16_t port, uint32_t mark, uint16_t *ret_port)
{
	v[0].fd = open_one(4, port, mark);
	if (v[0].fd < 0 && !no_such_family(v[0].fd))
		return v[0].fd;
	*ret_port = v[0].fd >= 0 ? port_of(v[0].fd) : port;
	v[1].fd = open_one(6, *ret_port, mark);
	if (v[0].fd < 0 && v[1].fd < 0)
		return v[1].fd;
	if (v[1].fd < 0 && !no_such_family(v[1].fd)) {
		int err = v[1].fd;
		close(v[0].fd);
		return err;
	}
	if (v[0].fd < 0)
		*ret_port = port_of(v[1].fd);
	return 0;
}

int uwg_sock_open(struct uwg_sock v[2], const uint16_t ports[2], uint32_t mark, uint16_t *ret_port,
		  struct ln_fail *f)
{
	v[0] = (struct uwg_sock){ .fd = -1, .family = 4, .gso = true };
	v[1] = (struct uwg_sock){ .fd = -1, .family = 6, .gso = true };
	int r = ports[0] != 0 ? open_pair(v, ports[0], mark, ret_port) : -EADDRINUSE;
	if (r == -EADDRINUSE)
		r = open_pair(v, ports[1], mark, ret_port);
	for (unsigned i = 0; r == -EADDRINUSE && i < PORT_TRIES; i++)
		r = open_pair(v, 0, mark, ret_port);
	if (r < 0) {
		v[0].fd = v[1].fd = -1;
		return ln_fail(f, r, "cannot open the UDP socket of the tunnel: %s",
			       ln_strerror(r));
	}
	for (unsigned i = 0; i < 2; i++)
		if (v[i].fd < 0)
			v[i].fd = -1;
	return 0;
}

void uwg_sock_close(struct uwg_sock v[2])
{
	for (unsigned i = 0; i < 2; i++)
		if (v[i].fd >= 0)
			close(v[i].fd);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* What goes with a message: the size of its pieces, and the mark of its IP header. */
union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(int))];
};

/* Appends to the control part of h, whose room is a union control. */
static void add_control(struct msghdr *h, int level, int type, const void *value, size_t n)
{
	struct cmsghdr *c = (void *)((char *)h->msg_control + h->msg_controllen);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), value, n);
	h->msg_controllen += CMSG_SPACE(n);
}

static void add_ecn(struct msghdr *h, unsigned family, enum wg_ecn ecn)
{
	const int value = (int)ecn;
	if (ecn == WG_ECN_NOT_ECT)
		return;
	if (family == 4)
		add_control(h, IPPROTO_IP, IP_TOS, &value, sizeof(value));
	else
		add_control(h, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof(value));
}

static int send_whole(const struct uwg_sock *s, const struct msghdr *h)
{
	ssize_t r;
	do
		r = sendmsg(s->fd, h, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* One datagram, in fragments if it has to be. 0, 1 if it had to be, or -errno. */
static int send_datagram(const struct uwg_sock *s, const struct ip_ep *to, enum wg_ecn ecn,
			 struct iovec *iov)
{
	struct sockaddr_storage sa;
	union control control;
	struct msghdr h = { .msg_name = &sa,
			    .msg_namelen = ip_ep_to_sockaddr(to, &sa),
			    .msg_iov = iov,
			    .msg_iovlen = 1,
			    .msg_control = &control };
	add_ecn(&h, s->family, ecn);
	int r = send_whole(s, &h);
	if (r != -EMSGSIZE)
		return r;
	set_whole(s->fd, s->family, false);
	r = send_whole(s, &h);
	set_whole(s->fd, s->family, true);
	return r < 0 ? r : 1;
}

int uwg_sock_send_one(const struct uwg_sock v[2], const struct ip_ep *to, enum wg_ecn ecn,
		      struct slice data)
{
	const struct uwg_sock *s = &v[to->addr.family == 6];
	struct iovec iov = uwg_iovec(data);
	if (s->fd < 0 || !ip_is_set(&to->addr))
		return -EAFNOSUPPORT;
	int r = send_datagram(s, to, ecn, &iov);
	return LN_MIN(r, 0);
}

size_t uwg_sock_path_mtu(const struct ip_ep *to, uint32_t mark)
{
	struct sockaddr_storage sa;
	int mtu = 0;
	socklen_t n = sizeof(mtu);
	bool v4 = to->addr.family == 4;
	int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	if (mark != 0)
		(void)!setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	if (connect(fd, (struct sockaddr *)&sa, ip_ep_to_sockaddr(to, &sa)) != 0 ||
	    getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &n) != 0)
		mtu = 0;
	close(fd);
	return mtu > 0 ? (size_t)mtu : 0;
}

/* One call of sendmmsg() in the making: each message is a run of equal sizes to one peer. */
struct burst {
	unsigned nmsgs;
	unsigned niov;
	struct mmsghdr msg[UWG_TX_SLOTS];
	const struct wg_tx *tx[UWG_TX_SLOTS]; /* the first of each message */
	struct iovec iov[UWG_TX_SLOTS];
	struct sockaddr_storage to[UWG_TX_SLOTS];
	union control control[UWG_TX_SLOTS];
};

/* Adds tx[0] and those after it that may share its call. Returns how many were looked at. */
static size_t add_run(struct burst *b, const struct wg_tx *tx, size_t n, bool gso)
{
	uint16_t size = (uint16_t)tx[0].len;
	size_t bytes = size;
	size_t i = 1;
	struct msghdr *h = &b->msg[b->nmsgs].msg_hdr;
	*h = (struct msghdr){ .msg_iov = &b->iov[b->niov],
			      .msg_iovlen = 1,
			      .msg_control = &b->control[b->nmsgs] };
	b->tx[b->nmsgs] = tx;
	h->msg_name = &b->to[b->nmsgs];
	h->msg_namelen = ip_ep_to_sockaddr(tx[0].to, &b->to[b->nmsgs]);
	b->iov[b->niov++] = (struct iovec){ .iov_base = tx[0].msg, .iov_len = size };
	for (; gso && i < n && i < UWG_TX_SEGMENTS; i++) {
		if (tx[i].len == 0 || tx[i].to != tx[0].to || tx[i].ecn != tx[0].ecn ||
		    tx[i].len > size || bytes + tx[i].len > UWG_TX_BYTES)
			break;
		b->iov[b->niov++] = (struct iovec){ .iov_base = tx[i].msg, .iov_len = tx[i].len };
		h->msg_iovlen++;
		bytes += tx[i].len;
		if (tx[i].len < size) { /* only the last segment may be shorter */
			i++;
			break;
		}
	}
	if (h->msg_iovlen > 1)
		add_control(h, SOL_UDP, UDP_SEGMENT, &size, sizeof(size));
	add_ecn(h, tx[0].to->addr.family, tx[0].ecn);
	b->nmsgs++;
	return i;
}

/* True when one of them had to be sent in fragments. */
static bool send_apart(const struct uwg_sock *s, const struct wg_tx *tx, struct msghdr *h)
{
	bool small = false;
	for (size_t i = 0; i < h->msg_iovlen; i++)
		small |= send_datagram(s, tx->to, tx->ecn, &h->msg_iov[i]) > 0;
	return small;
}

/* The last path that turned out too small, or null. */
static const struct ip_ep *send_burst(struct uwg_sock *s, struct burst *b)
{
	const struct ip_ep *small = NULL;
	bool waited = false;
	for (unsigned i = 0; i < b->nmsgs;) {
		int r = sendmmsg(s->fd, b->msg + i, b->nmsgs - i, MSG_NOSIGNAL);
		if (r > 0) {
			i += (unsigned)r;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN && !waited) {
			struct pollfd p = { .fd = s->fd, .events = POLLOUT };
			(void)!poll(&p, 1, SEND_WAIT_MS);
			waited = true;
			continue;
		}
		bool joined = b->msg[i].msg_hdr.msg_iovlen > 1;
		if (errno == EMSGSIZE || (joined && (errno == EIO || errno == EINVAL))) {
			/* EIO: the way out has no checksum offload, and will not get one. The
			 * others: this path's MTU is smaller than our messages. */
			if (errno == EIO)
				s->gso = false;
			if (send_apart(s, b->tx[i], &b->msg[i].msg_hdr))
				small = b->tx[i]->to;
		}
		i++; /* UDP may lose it: the inner protocols repair what matters */
	}
	return small;
}

const struct ip_ep *uwg_sock_send(struct uwg_sock v[2], const struct wg_tx *tx, size_t n)
{
	struct burst b;
	const struct ip_ep *small = NULL;
	for (unsigned f = 0; f < 2; f++) {
		b.nmsgs = b.niov = 0;
		for (size_t i = 0; i < n;) {
			if (tx[i].len == 0 || v[f].fd < 0 || tx[i].to->addr.family != v[f].family)
				i++;
			else
				i += add_run(&b, tx + i, n - i, v[f].gso);
		}
		const struct ip_ep *found = b.nmsgs != 0 ? send_burst(&v[f], &b) : NULL;
		small = found != NULL ? found : small;
	}
	return small;
}

/* --- receiving -------------------------------------------------------------------------------- */

/* Of one datagram, or of those the kernel joined. A datagram cut off by us has no end to speak of.
 */
static size_t segment_of(struct msghdr *h, size_t n)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		int size;
		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		if (size > 0)
			return (size_t)size;
	}
	return (h->msg_flags & MSG_TRUNC) != 0 ? n + 1 : n;
}

/* The mark of its IP header: one byte in IPv4, a number in IPv6. */
static enum wg_ecn ecn_of(struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		int class;
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
			return *CMSG_DATA(c) & 3;
		if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_TCLASS)
			continue;
		memcpy(&class, CMSG_DATA(c), sizeof(class));
		return (unsigned)class & 3;
	}
	return WG_ECN_NOT_ECT;
}

void uwg_sock_recv(const struct uwg_sock *s, uint8_t *room, size_t each, struct uwg_datagrams *ret)
{
	struct mmsghdr msg[UWG_RX_MSGS];
	struct iovec iov[UWG_RX_MSGS];
	struct sockaddr_storage from[UWG_RX_MSGS];

	union {
		struct cmsghdr align;
		char room[2 * CMSG_SPACE(sizeof(int))];
	} control[UWG_RX_MSGS];

	ret->n = 0;
	for (unsigned i = 0; i < UWG_RX_MSGS; i++) {
		iov[i] = (struct iovec){ room + (size_t)i * UWG_RX_ROOM, each };
		msg[i].msg_hdr = (struct msghdr){
			.msg_name = &from[i],
			.msg_namelen = sizeof(from[i]),
			.msg_iov = &iov[i],
			.msg_iovlen = 1,
			.msg_control = &control[i],
			.msg_controllen = sizeof(control[i]),
		};
	}
	int r = recvmmsg(s->fd, msg, UWG_RX_MSGS, 0, NULL);
	ret->full = r == UWG_RX_MSGS;
	for (int i = 0; i < r; i++) {
		size_t n = msg[i].msg_len;
		if (n == 0 ||
		    ip_ep_from_sockaddr((struct sockaddr *)&from[i], &ret->from[ret->n]) < 0)
			continue;
		ret->segment[ret->n] = segment_of(&msg[i].msg_hdr, n);
		if ((msg[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) /* what is left of whole ones */
			n = n / ret->segment[ret->n] * ret->segment[ret->n];
		if (n == 0)
			continue;
		ret->b[ret->n] = mslice_of(iov[i].iov_base, n);
		ret->ecn[ret->n] = ecn_of(&msg[i].msg_hdr);
		ret->drop[ret->n] = false;
		ret->n++;
	}
}

unsigned uwg_sock_fill(const struct uwg_sock *s)
{
	uint32_t mem[SK_MEMINFO_VARS];
	socklen_t n = sizeof(mem);
	if (getsockopt(s->fd, SOL_SOCKET, SO_MEMINFO, mem, &n) != 0 ||
	    n < (SK_MEMINFO_RCVBUF + 1) * sizeof(mem[0]) || mem[SK_MEMINFO_RCVBUF] == 0)
		return 0;
	return (unsigned)((uint64_t)mem[SK_MEMINFO_RMEM_ALLOC] * 100 / mem[SK_MEMINFO_RCVBUF]);
}
