#include "src/agent/kwg/kwg_wake.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/agent/kwg/kwg_redirect.h"

#define RANGE 0x7f400000U /* 127.64.0.0 */
#define RANGE_MASK 0xffc00000U
#define BUFFER                                                                                     \
 (4 << 20)          /* a thousand peers may be wanted at once; relayed flows need it, spec 4.6 */
#define OVERHEAD 80 /* of a message: header, tag, padding, and something to spare */
#define ROOM_LEAST 2048    /* the interface's MTU may be raised later */
#define DATAGRAM_MAX 65507 /* of IPv4 */
#define CONTROL CMSG_SPACE(sizeof(struct in_pktinfo))

struct kwg_wake_room {
	size_t each;
	struct mmsghdr msgs[KWG_WAKE_BATCH];
	struct iovec iov[KWG_WAKE_BATCH];
	struct sockaddr_in from[KWG_WAKE_BATCH];

	union {
		struct cmsghdr align;
		char b[CONTROL];
	} control[KWG_WAKE_BATCH];

	uint8_t bytes[]; /* `each` for every datagram; pages that are not used cost nothing */
};

static struct kwg_wake_room *room_new(unsigned mtu)
{
	size_t each = LN_MIN(LN_MAX(mtu + OVERHEAD, ROOM_LEAST), DATAGRAM_MAX);
	struct kwg_wake_room *r = ln_alloc(sizeof(*r) + each * KWG_WAKE_BATCH);
	r->each = each;
	for (unsigned i = 0; i < KWG_WAKE_BATCH; i++) {
		r->iov[i] = (struct iovec){ .iov_base = r->bytes + i * each, .iov_len = each };
		r->msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &r->from[i],
			.msg_iov = &r->iov[i],
			.msg_iovlen = 1,
			.msg_control = r->control[i].b,
		};
	}
	return r;
}

static void larger_buffer(int fd, int forced, int plain)
{
	const int size = BUFFER;
	if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof(size)) < 0) /* no net_admin */
		(void)!setsockopt(fd, SOL_SOCKET, plain, &size, sizeof(size));
}

int kwg_wake_open(struct kwg_wake *w, uint16_t from, unsigned mtu, struct ln_fail *f)
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
	larger_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	larger_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	w->fd = fd;
	w->port = ntohs(sa.sin_port);
	w->room = room_new(mtu);
	return 0;
}

void kwg_wake_close(struct kwg_wake *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	free(w->room);
	w->room = NULL;
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

/* Where a datagram was sent to, as the owner names peers; family 0 when it does not count. */
static struct ip_ep addressee(const struct kwg_wake *w, struct msghdr *m,
			      const struct sockaddr_in *from)
{
	uint32_t to = destination(m);
	if ((m->msg_flags & MSG_TRUNC) != 0 || from->sin_family != AF_INET)
		return (struct ip_ep){ 0 };
	if (to != 0 && ntohs(from->sin_port) == w->from)
		return (struct ip_ep){ .addr = ip_v4(to), .port = w->port };
	/* Redirected: the program lets nothing else through to this address and port. */
	if (w->redirected && to == INADDR_LOOPBACK)
		return kwg_redirect_peer(ntohs(from->sin_port), w->port);
	return (struct ip_ep){ 0 };
}

int kwg_wake_recv(struct kwg_wake *w, struct kwg_wake_msg ret[KWG_WAKE_BATCH])
{
	struct kwg_wake_room *r = w->room;
	for (unsigned i = 0; i < KWG_WAKE_BATCH; i++) {
		r->msgs[i].msg_hdr.msg_namelen = sizeof(r->from[i]);
		r->msgs[i].msg_hdr.msg_controllen = CONTROL;
	}
	int n;
	do
		n = recvmmsg(w->fd, r->msgs, KWG_WAKE_BATCH, 0, NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	for (int i = 0; i < n; i++) {
		ret[i].to = addressee(w, &r->msgs[i].msg_hdr, &r->from[i]);
		ret[i].data = slice_of(r->iov[i].iov_base, r->msgs[i].msg_len);
	}
	return n;
}

/* --- towards WireGuard ------------------------------------------------------------------------ */

/* One system call; `segment` 0: one datagram. */
static int send_from(const struct kwg_wake *w, const struct ip_addr *from, struct slice data,
		     uint16_t segment)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(w->from) };
	struct in_pktinfo info = { 0 };

	union {
		struct cmsghdr align;
		char b[CONTROL + CMSG_SPACE(sizeof(segment))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data.p, .iov_len = data.n };
	struct msghdr m = {
		.msg_name = &sa,
		.msg_namelen = sizeof(sa),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.b,
		.msg_controllen = segment != 0 ? sizeof(control.b) : CONTROL,
	};
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memcpy(&info.ipi_spec_dst, from->b, sizeof(info.ipi_spec_dst));
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(info)),
			       .cmsg_level = IPPROTO_IP,
			       .cmsg_type = IP_PKTINFO };
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	if (segment != 0) {
		c = CMSG_NXTHDR(&m, c);
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(segment)),
				       .cmsg_level = IPPROTO_UDP,
				       .cmsg_type = UDP_SEGMENT };
		memcpy(CMSG_DATA(c), &segment, sizeof(segment));
	}
	ssize_t n;
	do
		n = sendmsg(w->fd, &m, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int kwg_wake_send(struct kwg_wake *w, const struct ip_addr *from, struct slice data, size_t size)
{
	if (!w->no_gso && data.n > size && size <= UINT16_MAX) {
		int r = send_from(w, from, data, (uint16_t)size);
		if (r != -EINVAL && r != -EIO && r != -EOPNOTSUPP)
			return r;
		w->no_gso = true; /* older than Linux 4.18, or a lo without checksum offload */
	}
	int r = 0;
	while (data.n > 0 && r == 0) {
		size_t n = LN_MIN(size, data.n);
		r = send_from(w, from, slice_of(data.p, n), 0);
		data = slice_after(data, n);
	}
	return r;
}
