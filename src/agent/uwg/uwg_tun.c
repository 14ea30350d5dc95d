#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "src/agent/uwg/uwg_internal.h"

/* linux/if_tun.h of 6.2 and later; older kernels refuse the pair. */
#ifndef TUN_F_USO4
# define TUN_F_USO4 0x20
# define TUN_F_USO6 0x40
#endif

#define TUN_QUEUE_LENGTH 1000

static int set_link(const char *name, unsigned mtu)
{
	struct ifreq r = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	memcpy(r.ifr_name, name, strnlen(name, IF_NAMESIZE - 1));
	r.ifr_qlen = TUN_QUEUE_LENGTH; /* the default of 500 drops bursts; not vital */
	(void)!ioctl(fd, SIOCSIFTXQLEN, &r);
	r.ifr_mtu = (int)mtu;
	int err = ioctl(fd, SIOCSIFMTU, &r) < 0 ? -errno : 0;
	close(fd);
	return err;
}

static int set_offloads(int fd, bool *ret_udp)
{
	const unsigned base = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	*ret_udp = ioctl(fd, TUNSETOFFLOAD, base | TUN_F_USO4 | TUN_F_USO6) == 0;
	if (*ret_udp)
		return 0;
	return ioctl(fd, TUNSETOFFLOAD, base) < 0 ? -errno : 0;
}

/* A descriptor of the interface: its first creates it, each further one is a queue of it. */
static int open_queue(struct ifreq *r)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, TUNSETIFF, r) == 0)
		return fd;
	int err = -errno;
	close(fd);
	return err;
}

/* One queue would do as well, only less fairly. */
static void add_queues(struct uwg_tun *t, struct ifreq *r)
{
	if (uwg_steer(t->queue[0]) < 0)
		return;
	while (t->n < UWG_TUN_QUEUES && (t->queue[t->n] = open_queue(r)) >= 0)
		t->n++;
}

void uwg_tun_close(struct uwg_tun *t)
{
	while (t->n != 0)
		close(t->queue[--t->n]);
}

int uwg_tun_open(struct uwg_tun *t, const char *name, unsigned mtu, char ret_name[IF_NAMESIZE],
		 struct ln_fail *f)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	*t = (struct uwg_tun){ 0 };
	if (strlen(name) >= IF_NAMESIZE)
		return ln_fail(f, -EINVAL, "interface name %s is longer than %d characters", name,
			       IF_NAMESIZE - 1);
	if (name[0] != '\0' && if_nametoindex(name) != 0)
		return ln_fail(f, -EEXIST, "an interface called %s exists already", name);
	memcpy(r.ifr_name, name, strlen(name) + 1);
	int fd = open_queue(&r);
	if (fd == -ENOENT || fd == -ENODEV)
		return ln_fail(f, fd,
			       "cannot open /dev/net/tun: %s (is the kernel module tun loaded?)",
			       ln_strerror(fd));
	if (fd < 0)
		return ln_fail(f, fd, "cannot create the interface %s: %s%s", name, ln_strerror(fd),
			       fd == -EPERM ? " (needs the capability net_admin)" : "");
	t->queue[t->n++] = fd;
	int err = set_offloads(fd, &t->udp);
	if (err == 0)
		err = set_link(r.ifr_name, mtu);
	if (err != 0)
		return ln_fail(f, err, "cannot set up the interface %s: %s", r.ifr_name,
			       ln_strerror(err));
	memcpy(ret_name, r.ifr_name, IF_NAMESIZE);
	add_queues(t, &r);
	return 0;
}

/* EIO: the interface is down; EINVAL: this packet; EAGAIN, ENOBUFS: the kernel is full. */
static int write_iov(int fd, const struct iovec *iov, unsigned n)
{
	ssize_t r;
	do
		r = writev(fd, iov, (int)n);
	while (r < 0 && errno == EINTR);
	return r < 0 && errno == EBADFD ? -errno : 0;
}

int uwg_tun_write(const struct uwg_tun *t, const struct wg_merge_item *it)
{
	struct iovec iov[1 + WG_MERGE_PARTS];
	struct wg_vnet vnet = it->vnet;
	iov[0] = (struct iovec){ .iov_base = &vnet, .iov_len = sizeof(vnet) };
	for (unsigned i = 0; i < it->nparts; i++)
		iov[1 + i] = uwg_iovec(it->part[i]);
	return write_iov(t->queue[0], iov, 1 + it->nparts);
}

int uwg_tun_write_one(const struct uwg_tun *t, struct slice packet)
{
	struct wg_vnet vnet = { 0 };
	const struct iovec iov[] = { { .iov_base = &vnet, .iov_len = sizeof(vnet) },
				     uwg_iovec(packet) };
	return write_iov(t->queue[0], iov, 2);
}
