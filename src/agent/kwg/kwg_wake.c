#include "src/agent/kwg/kwg_wake.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RANGE 0x7f400000U /* 127.64.0.0 */
#define RANGE_MASK 0xffc00000U
#define BUFFER (4 << 20) /* a thousand peers may be wanted at once */

int kwg_wake_open(struct kwg_wake *w, uint16_t from, struct ln_fail *f)
{
	static const char lo[] = "lo";
	const int on = 1;
	struct sockaddr_in sa = { .sin_family = AF_INET }; /* any address, any port */
	socklen_t len = sizeof(sa);
	*w = (struct kwg_wake){ .fd = -1, .from = from };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return ln_fail(f, -errno, "cannot open the wake socket: %s", ln_strerror(-errno));
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, lo, sizeof(lo)) < 0 ||
	    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
		int err = -errno;
		close(fd);
		return ln_fail(f, err, "cannot set up the wake socket: %s", ln_strerror(err));
	}
	const int size = BUFFER;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0) /* no net_admin */
		(void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	w->fd = fd;
	w->port = ntohs(sa.sin_port);
	return 0;
}

void kwg_wake_close(struct kwg_wake *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

struct ip_ep kwg_wake_endpoint(const struct kwg_wake *w, uint32_t slot)
{
	return (struct ip_ep){ .addr = ip_v4(RANGE | slot), .port = w->port };
}

bool kwg_wake_is_ours(const struct ip_ep *ep)
{
	return ep->addr.family == 4 && (ip_to_u32(&ep->addr) & RANGE_MASK) == RANGE;
}

/* The address the datagram was sent to; 0 when the kernel did not say. */
static uint32_t destination(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		struct in_pktinfo info;
		if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		return ntohl(info.ipi_addr.s_addr);
	}
	return 0;
}

uint32_t kwg_wake_slot(const struct ip_ep *ep)
{
	return ip_to_u32(&ep->addr) & ~RANGE_MASK;
}

int kwg_wake_recv(const struct kwg_wake *w, struct mslice room, struct ip_ep *ret_to,
		  struct slice *ret)
{
	struct sockaddr_in from = { 0 };

	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control;
	struct iovec iov = { .iov_base = room.p, .iov_len = room.n };
	struct msghdr m = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.b,
		.msg_controllen = sizeof(control.b),
	};
	ssize_t n;
	do
		n = recvmsg(w->fd, &m, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	uint32_t to = destination(&m);
	if ((m.msg_flags & MSG_TRUNC) != 0 || to == 0 || from.sin_family != AF_INET ||
	    ntohs(from.sin_port) != w->from)
		return LN_E_MALFORMED;
	*ret_to = (struct ip_ep){ .addr = ip_v4(to), .port = w->port };
	*ret = slice_of(room.p, (size_t)n);
	return 0;
}
