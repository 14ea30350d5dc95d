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

int lx_spoof_send(struct lx_spoof *s, const struct ip_ep *from, struct slice data)
{
	uint8_t b[HEADER_MAX + LX_STUNSOCK_UDP + LX_SPOOF_DATA_MAX];
	struct ip_ep to = { .addr = ip_v4(INADDR_LOOPBACK) };
	struct sockaddr_storage sa;
	unsigned which = from->addr.family == 6;
	if (!ip_is_set(&from->addr))
		return -EAFNOSUPPORT;
	if (data.n > LX_SPOOF_DATA_MAX)
		return LN_E_LIMIT;
	if (which == 1)
		to.addr = (struct ip_addr){ .family = 6, .b = { [15] = 1 } };
	if (s->fd[which] < 0) {
		int fd = open_one(which);
		if (fd < 0)
			return fd;
		s->fd[which] = fd;
	}
	size_t n = LX_STUNSOCK_UDP + data.n;
	size_t at = put_header(b, &from->addr, &to.addr, n);
	uint8_t *udp = b + at;
	put16(udp, from->port);
	put16(udp + 2, s->port);
	put16(udp + 4, n);
	put16(udp + 6, 0);
	memcpy(udp + LX_STUNSOCK_UDP, data.p, data.n);
	put16(udp + 6, lx_stunsock_checksum(&from->addr, &to.addr, slice_of(udp, n)));
	unsigned len = ip_ep_to_sockaddr(&to, &sa);
	ssize_t r;
	do
		r = sendto(s->fd[which], b, at + n, 0, (const struct sockaddr *)&sa, len);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}
