#include "src/plat/linux/lx_spoof.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/plat/linux/lx_stunsock.h"

#define HEADER_MAX 40
#define HOP_LIMIT 64
#define BUFFER (4 << 20) /* as spec 4.6: small buffers throttle a relayed flow */

void lx_spoof_init(struct lx_spoof *s, uint16_t port)
{
	*s = (struct lx_spoof){ .fd = { -1, -1 }, .port = port };
}

void lx_spoof_close(struct lx_spoof *s)
{
	for (unsigned i = 0; i < LN_COUNT(s->fd); i++) {
		if (s->fd[i] >= 0)
			close(s->fd[i]);
		s->fd[i] = -1;
	}
}

static int open_one(unsigned which)
{
	static const char lo[] = "lo";
	const int on = 1;
	const int size = BUFFER;
	int fd = socket(which == 0 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			IPPROTO_RAW);
	if (fd < 0)
		return -errno;
	int r = setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, lo, sizeof(lo));
	/* IPPROTO_RAW says it for IPv4; IPv6 wants it said. */
	if (r == 0 && which == 1)
		r = setsockopt(fd, IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof(on));
	if (r < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	(void)!setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return fd;
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Length of the header. The kernel writes checksum and identification of IPv4. */
static size_t put_header(uint8_t *b, const struct ip_addr *from, const struct ip_addr *to, size_t n)
{
	if (from->family == 4) {
		memset(b, 0, 20);
		b[0] = 0x45;
		put16(b + 2, 20 + n);
		b[8] = HOP_LIMIT;
		b[9] = IPPROTO_UDP;
		memcpy(b + 12, from->b, 4);
		memcpy(b + 16, to->b, 4);
		return 20;
	}
	memset(b, 0, 8);
	b[0] = 0x60;
	put16(b + 4, n);
	b[6] = IPPROTO_UDP;
	b[7] = HOP_LIMIT;
	memcpy(b + 8, from->b, 16);
	memcpy(b + 24, to->b, 16);
	return HEADER_MAX;
}

/* UDP header; IPv4 does without a checksum, because nothing of this leaves the host. */
static void put_udp(uint8_t *udp, const struct ip_ep *from, const struct ip_ep *to,
		    struct slice data)
{
	put16(udp, from->port);
	put16(udp + 2, to->port);
	put16(udp + 4, LX_STUNSOCK_UDP + data.n);
	put16(udp + 6, 0);
	if (from->addr.family == 6)
		put16(udp + 6, lx_stunsock_checksum(&from->addr, &to->addr,
						    slice_of(udp, LX_STUNSOCK_UDP), data));
}

static int send_all(int fd, struct mmsghdr *m, unsigned n)
{
	for (unsigned sent = 0; sent < n;) {
		int r = sendmmsg(fd, m + sent, n - sent, 0);
		if (r < 0 && errno != EINTR)
			return -errno;
		sent += r > 0 ? (unsigned)r : 0;
	}
	return 0;
}

static int send_batch(int fd, const struct ip_ep *from, const struct ip_ep *to, struct slice *data,
		      size_t size)
{
	uint8_t head[LX_SPOOF_BATCH][HEADER_MAX + LX_STUNSOCK_UDP];
	struct iovec iov[LX_SPOOF_BATCH][2];
	struct mmsghdr m[LX_SPOOF_BATCH] = { 0 };
	struct sockaddr_storage sa;
	struct ip_ep address = { .addr = to->addr }; /* IPv6 wants no port here */
	unsigned len = ip_ep_to_sockaddr(&address, &sa), n = 0;
	for (; n < LX_SPOOF_BATCH && data->n > 0; n++) {
		struct slice one = slice_of(data->p, LN_MIN(size, data->n));
		size_t at = put_header(head[n], &from->addr, &to->addr, LX_STUNSOCK_UDP + one.n);
		put_udp(head[n] + at, from, to, one);
		iov[n][0] = (struct iovec){ head[n], at + LX_STUNSOCK_UDP };
		iov[n][1] = (struct iovec){ (void *)(uintptr_t)one.p, one.n };
		m[n].msg_hdr = (struct msghdr){
			.msg_name = &sa, .msg_namelen = len, .msg_iov = iov[n], .msg_iovlen = 2
		};
		*data = slice_after(*data, one.n);
	}
	return send_all(fd, m, n);
}

int lx_spoof_send(struct lx_spoof *s, const struct ip_ep *from, struct slice data, size_t size)
{
	struct ip_ep to = { .addr = ip_v4(INADDR_LOOPBACK), .port = s->port };
	unsigned which = from->addr.family == 6;
	if (!ip_is_set(&from->addr))
		return -EAFNOSUPPORT;
	if (size == 0 || size > LX_SPOOF_DATA_MAX)
		return LN_E_LIMIT;
	if (which == 1)
		to.addr = (struct ip_addr){ .family = 6, .b = { [15] = 1 } };
	if (s->fd[which] < 0) {
		int fd = open_one(which);
		if (fd < 0)
			return fd;
		s->fd[which] = fd;
	}
	int r = 0;
	while (data.n > 0 && r == 0)
		r = send_batch(s->fd[which], from, &to, &data, size);
	return r;
}
