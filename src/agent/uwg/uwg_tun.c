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

int uwg_tun_open(const char *name, unsigned mtu, char ret_name[IF_NAMESIZE], bool *ret_udp,
		 struct ln_fail *f)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	if (strlen(name) >= IF_NAMESIZE)
		return ln_fail(f, -EINVAL, "interface name %s is longer than %d characters", name,
			       IF_NAMESIZE - 1);
	if (name[0] != '\0' && if_nametoindex(name) != 0)
		return ln_fail(f, -EEXIST, "an interface called %s exists already", name);
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		int err = -errno;
		return ln_fail(f, err, "cannot open /dev/net/tun: %s%s", ln_strerror(err),
			       err == -ENOENT || err == -ENODEV
				       ? " (is the kernel module tun loaded?)"
				       : "");
	}
	memcpy(r.ifr_name, name, strlen(name) + 1);
	int err = ioctl(fd, TUNSETIFF, &r) < 0 ? -errno : 0;
	if (err != 0) {
		close(fd);
		return ln_fail(f, err, "cannot create the interface %s: %s%s", name,
			       ln_strerror(err),
			       err == -EPERM ? " (needs the capability net_admin)" : "");
	}
	err = set_offloads(fd, ret_udp);
	if (err == 0)
		err = set_link(r.ifr_name, mtu);
	if (err != 0) {
		close(fd);
		return ln_fail(f, err, "cannot set up the interface %s: %s", r.ifr_name,
			       ln_strerror(err));
	}
	memcpy(ret_name, r.ifr_name, IF_NAMESIZE);
	return fd;
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

int uwg_tun_write(int fd, const struct wg_merge_item *it)
{
	struct iovec iov[1 + WG_MERGE_PARTS];
	struct wg_vnet vnet = it->vnet;
	iov[0] = (struct iovec){ .iov_base = &vnet, .iov_len = sizeof(vnet) };
	for (unsigned i = 0; i < it->nparts; i++)
		iov[1 + i] = uwg_iovec(it->part[i]);
	return write_iov(fd, iov, 1 + it->nparts);
}

int uwg_tun_write_one(int fd, struct slice packet)
{
	struct wg_vnet vnet = { 0 };
	const struct iovec iov[] = { { .iov_base = &vnet, .iov_len = sizeof(vnet) },
				     uwg_iovec(packet) };
	return write_iov(fd, iov, 2);
}
