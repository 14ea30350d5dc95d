#include "src/plat/linux/lx_stunsock.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STUN_COOKIE 0x2112a442U
#define STUN_HEADER 20
#define WG_SHORTEST 32 /* bytes of the shortest WireGuard message, a keepalive */
#define WG_TYPES 4

/* --- filter ----------------------------------------------------------------------------------- */

/*
 * X holds where the UDP header begins; offsets below are from there.
 *
 * WireGuard comes first (spec trap 38): a message of 32 bytes or more whose first little-endian
 * word is 1..4 belongs to it, whatever its receiver index looks like.
 */
size_t lx_stunsock_filter(unsigned family, uint16_t port,
			  struct sock_filter ret[LX_STUNSOCK_FILTER_MAX])
{
	const struct sock_filter program[] = {
		/* 0 */ family == 4 ? (struct sock_filter)BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0)
				    : (struct sock_filter)BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, 0),
		/* 1 */ BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2), /* destination port */
		/* 2 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 13),
		/* 3 */ BPF_STMT(BPF_LD | BPF_W | BPF_IND, 12), /* bytes 4..7 of the payload */
		/* 4 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STUN_COOKIE, 0, 11),
		/* 5 */ BPF_STMT(BPF_LD | BPF_B | BPF_IND, 8),
		/* 6 */ BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0xc0, 9, 0),
		/* 7 */ BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4), /* length with header */
		/* 8 */ BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, LX_STUNSOCK_UDP + STUN_HEADER, 0, 7),
		/* 9 */ BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, LX_STUNSOCK_UDP + WG_SHORTEST, 0, 5),
		/* 10 */ BPF_STMT(BPF_LD | BPF_W | BPF_IND, 8),
		/* 11 */ BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x00ffffff, 3, 0),
		/* 12 */ BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 1U << 24, 0, 2),
		/* 13 */ BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, WG_TYPES << 24, 1, 0),
		/* 14 */ BPF_STMT(BPF_RET | BPF_K, 0),      /* WireGuard */
		/* 15 */ BPF_STMT(BPF_RET | BPF_K, 0xffff), /* STUN */
		/* 16 */ BPF_STMT(BPF_RET | BPF_K, 0),      /* anything else */
	};
	_Static_assert(LN_COUNT(program) <= LX_STUNSOCK_FILTER_MAX, "room for the program");
	memcpy(ret, program, sizeof(program));
	return LN_COUNT(program);
}

static int attach(int fd, unsigned family, uint16_t port)
{
	struct sock_filter program[LX_STUNSOCK_FILTER_MAX];
	struct sock_fprog prog = {
		.len = (unsigned short)lx_stunsock_filter(family, port, program),
		.filter = program,
	};
	char drop;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		return -errno;
	/* What came between socket() and here passed no filter. */
	while (recv(fd, &drop, sizeof(drop), MSG_DONTWAIT | MSG_TRUNC) >= 0)
		;
	return 0;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int open_one(unsigned family, uint16_t port, uint32_t mark)
{
	const int checksum_at = 6;
	int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			IPPROTO_UDP);
	if (fd < 0)
		return -errno;
	int r = attach(fd, family, port);
	/* The kernel writes and checks the checksum of IPv6. */
	if (r == 0 && family == 6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_CHECKSUM, &checksum_at, sizeof(checksum_at)) < 0)
		r = -errno;
	if (r == 0 && mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int lx_stunsock_open(struct lx_stunsock *s, uint16_t port, uint32_t mark, struct ln_fail *f)
{
	*s = (struct lx_stunsock){ .fd = { -1, -1 }, .port = port, .mark = mark };
	s->fd[0] = open_one(4, port, mark);
	if (s->fd[0] < 0) {
		int err = s->fd[0];
		s->fd[0] = -1;
		return ln_fail(f, err, "cannot open a raw socket beside WireGuard: %s%s",
			       ln_strerror(err),
			       err == -EPERM ? " (needs the capability net_raw)" : "");
	}
	s->fd[1] = open_one(6, port, mark);
	if (s->fd[1] < 0)
		s->fd[1] = -1;
	return 0;
}

void lx_stunsock_close(struct lx_stunsock *s)
{
	for (unsigned i = 0; i < LN_COUNT(s->fd); i++) {
		if (s->fd[i] >= 0)
			close(s->fd[i]);
		s->fd[i] = -1;
	}
}

/* --- receiving -------------------------------------------------------------------------------- */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

int lx_stunsock_parse(unsigned family, struct slice packet, struct slice *ret, uint16_t *ret_port)
{
	size_t at = 0;
	if (family == 4) {
		if (packet.n < 20 || packet.p[0] >> 4 != 4)
			return LN_E_MALFORMED;
		at = (size_t)(packet.p[0] & 0xf) * 4;
		if (at < 20)
			return LN_E_MALFORMED;
	}
	struct slice udp = slice_after(packet, at);
	if (udp.n < LX_STUNSOCK_UDP)
		return LN_E_MALFORMED;
	size_t len = get16(udp.p + 4);
	if (len < LX_STUNSOCK_UDP || len > udp.n)
		return LN_E_MALFORMED;
	*ret_port = get16(udp.p);
	*ret = slice_of(udp.p + LX_STUNSOCK_UDP, len - LX_STUNSOCK_UDP);
	return 0;
}

int lx_stunsock_recv(const struct lx_stunsock *s, unsigned which, struct mslice room,
		     struct slice *ret, struct ip_ep *from)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t salen = sizeof(sa);
	ssize_t n;
	do
		n = recvfrom(s->fd[which], room.p, room.n, MSG_TRUNC, (struct sockaddr *)&sa,
			     &salen);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	struct ip_ep ep;
	struct slice data;
	uint16_t port;
	if ((size_t)n > room.n || ip_ep_from_sockaddr((const struct sockaddr *)&sa, &ep) < 0 ||
	    lx_stunsock_parse(which == 0 ? 4 : 6, slice_of(room.p, (size_t)n), &data, &port) < 0)
		return LN_E_MALFORMED;
	ep.port = port; /* the address of a raw socket has none */
	*from = ep;
	*ret = data;
	return 0;
}

/* --- sending ---------------------------------------------------------------------------------- */

static uint32_t sum(uint32_t acc, const uint8_t *p, size_t n)
{
	for (; n > 1; p += 2, n -= 2)
		acc += get16(p);
	return n > 0 ? acc + (uint32_t)(p[0] << 8) : acc;
}

uint16_t lx_stunsock_checksum(const struct ip_addr *src, const struct ip_addr *dst,
			      struct slice head, struct slice data)
{
	uint32_t acc = sum(sum(0, src->b, ip_bits(src) / 8), dst->b, ip_bits(dst) / 8);
	acc = sum(acc + IPPROTO_UDP + (uint32_t)(head.n + data.n), head.p, head.n);
	acc = sum(acc, data.p, data.n);
	while (acc >> 16 != 0)
		acc = (acc & 0xffff) + (acc >> 16);
	uint16_t r = (uint16_t)~acc;
	return r != 0 ? r : 0xffff; /* RFC 768: 0 on the wire means that there is none */
}

/*
 * The source the kernel will choose, asked with the mark: without it the way through an exit node
 * would be answered (spec trap 37). A new socket each time, because one that is connected again
 * keeps its first source.
 */
static int source_for(const struct lx_stunsock *s, const struct sockaddr_storage *to, unsigned len,
		      struct ip_addr *ret)
{
	struct sockaddr_storage own = { 0 };
	socklen_t ownlen = sizeof(own);
	struct ip_ep ep;
	int fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int r = 0;
	if ((s->mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &s->mark, sizeof(s->mark)) < 0) ||
	    connect(fd, (const struct sockaddr *)to, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&own, &ownlen) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && ip_ep_from_sockaddr((const struct sockaddr *)&own, &ep) < 0)
		r = -EADDRNOTAVAIL;
	if (r == 0)
		*ret = ep.addr;
	return r;
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static ssize_t send_one(int fd, struct sockaddr_storage *to, unsigned len, struct mslice b,
			const struct ip_addr *pin)
{
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = { 0 };
	struct iovec iov = { .iov_base = b.p, .iov_len = b.n };
	struct msghdr m = { .msg_name = to, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1 };
	if (pin != NULL) {
		m.msg_control = control.b;
		m.msg_controllen = sizeof(control.b);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
		struct in_pktinfo info = { 0 };
		memcpy(&info.ipi_spec_dst, pin->b, sizeof(info.ipi_spec_dst));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
	ssize_t n;
	do
		n = sendmsg(fd, &m, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

int lx_stunsock_send(const struct lx_stunsock *s, const struct ip_ep *to, struct slice data)
{
	uint8_t b[LX_STUNSOCK_UDP + LX_STUNSOCK_DATA_MAX];
	struct sockaddr_storage sa;
	struct ip_addr src;
	bool v4 = to->addr.family == 4;
	int fd = s->fd[v4 ? 0 : 1];
	if (fd < 0 || !ip_is_set(&to->addr))
		return -EAFNOSUPPORT;
	if (data.n > LX_STUNSOCK_DATA_MAX)
		return LN_E_LIMIT;
	size_t n = LX_STUNSOCK_UDP + data.n;
	put16(b, s->port);
	put16(b + 2, to->port);
	put16(b + 4, (uint16_t)n);
	put16(b + 6, 0);
	memcpy(b + LX_STUNSOCK_UDP, data.p, data.n);
	unsigned len = ip_ep_to_sockaddr(to, &sa);
	if (v4) {
		int r = source_for(s, &sa, len, &src);
		if (r < 0)
			return r;
		put16(b + 6,
		      lx_stunsock_checksum(&src, &to->addr, slice_of(b, LX_STUNSOCK_UDP), data));
	} else {
		/* Linux wants no port in the address of a raw IPv6 socket. */
		((struct sockaddr_in6 *)&sa)->sin6_port = 0;
	}
	return send_one(fd, &sa, len, mslice_of(b, n), v4 ? &src : NULL) < 0 ? -errno : 0;
}
