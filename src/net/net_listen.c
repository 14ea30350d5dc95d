#include "src/net/net_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/obs/obs_log.h"

#define ACCEPTS_PER_TURN 64
#define PAUSE (100 * LN_MSEC)
#define BACKLOG 4096 /* a storm of agents waits here; net.core.somaxconn may say less */

struct net_listen {
	struct ev_loop *loop;
	struct ev_io io;
	struct ev_timer resume;
	int fd;
	int reserve; /* given up for a moment to close what cannot be served */
	net_listen_fn *fn;
	void *user;
	char *path; /* Unix */
	dev_t dev;  /* of the path, so that a successor's socket is not removed */
	ino_t ino;
	bool dead;
	bool paused;
	struct log_limit full;
};

static int open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void out_of_descriptors(struct net_listen *n, int err)
{
	if (log_limit_pass(&n->full, ev_now(), 10 * LN_SEC))
		log_error("net", "cannot accept connections, pausing", LOG_ERRNO(-err));
	if (n->reserve >= 0) {
		close(n->reserve);
		int fd = accept4(n->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			close(fd);
		n->reserve = open_reserve();
	}
	ev_io_want(&n->io, 0);
	ev_timer_after(&n->resume, PAUSE);
}

static void on_resume(struct ev_timer *t)
{
	struct net_listen *n = ln_container(t, struct net_listen, resume);
	ev_io_want(&n->io, n->paused ? 0 : EV_READ);
}

void net_listen_pause(struct net_listen *n, bool paused)
{
	if (n->paused == paused)
		return;
	n->paused = paused;
	ev_io_want(&n->io, paused ? 0 : EV_READ);
}

static void on_accept(struct ev_io *io, unsigned events)
{
	struct net_listen *n = ln_container(io, struct net_listen, io);
	for (int i = 0; i < ACCEPTS_PER_TURN && !n->dead && !n->paused; i++) {
		struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
		socklen_t len = sizeof(ss);
		int fd = accept4(n->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM)
				out_of_descriptors(n, errno);
			else if (errno == EINTR || errno == ECONNABORTED)
				continue;
			return;
		}
		struct ip_ep peer = { .port = 0 };
		if (n->path == NULL) {
			int one = 1;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			if (ip_ep_from_sockaddr((const struct sockaddr *)&ss, &peer) != 0) {
				close(fd);
				continue;
			}
		}
		n->fn(n->user, fd, &peer);
	}
}

static int start(struct ev_loop *l, int fd, net_listen_fn *fn, void *user, struct net_listen **ret)
{
	struct net_listen *n = ln_alloc(sizeof(*n));
	*n = (struct net_listen){ .loop = l, .fd = fd, .fn = fn, .user = user };
	int r = listen(fd, BACKLOG) != 0 ? -errno : ev_io_init(&n->io, l, fd, on_accept);
	if (r != 0) {
		free(n);
		return r;
	}
	n->reserve = open_reserve();
	ev_timer_init(&n->resume, l, on_resume);
	ev_io_want(&n->io, EV_READ);
	*ret = n;
	return 0;
}

static int bind_tcp(const struct ip_ep *at, bool v6)
{
	struct sockaddr_storage ss;
	struct ip_ep ep = *at;
	if (!ip_is_set(&ep.addr))
		ep.addr = (struct ip_addr){ .family = v6 ? 6 : 4 };
	socklen_t len = ip_ep_to_sockaddr(&ep, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int one = 1;
	/* "Every address" takes IPv4 too; one IPv6 address leaves IPv4 to another socket. */
	int only6 = ip_is_set(&at->addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6));
	if (bind(fd, (const struct sockaddr *)&ss, len) != 0) {
		int e = errno;
		close(fd);
		return -e;
	}
	return fd;
}

int net_listen_tcp(struct ev_loop *l, const struct ip_ep *at, net_listen_fn *fn, void *user,
		   struct net_listen **ret, struct ln_fail *f)
{
	char text[IP_EP_TEXT_MAX];
	int fd = bind_tcp(at, true);
	if (!ip_is_set(&at->addr) && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL))
		fd = bind_tcp(at, false);
	int r = fd < 0 ? fd : start(l, fd, fn, user, ret);
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		ip_ep_format(at, text);
		if (!ip_is_set(&at->addr))
			return ln_fail(f, r, "cannot listen on TCP port %u: %s", at->port,
				       ln_strerror(r));
		return ln_fail(f, r, "cannot listen on %s: %s", text, ln_strerror(r));
	}
	return 0;
}

/* Whether the socket at sa is left over: it exists and refuses connections. */
static bool is_stale(const struct sockaddr_un *sa)
{
	struct stat st;
	if (lstat(sa->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	bool refused =
		connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) != 0 && errno == ECONNREFUSED;
	close(fd);
	return refused;
}

int net_listen_unix(struct ev_loop *l, const char *path, unsigned mode, net_listen_fn *fn,
		    void *user, struct net_listen **ret, struct ln_fail *f)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct stat st;
	if (strlen(path) >= sizeof(sa.sun_path))
		return ln_fail(f, -ENAMETOOLONG, "socket path %s is too long", path);
	strcpy(sa.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ln_fail(f, -errno, "socket: %s", ln_strerror(-errno));
	if (is_stale(&sa))
		unlink(path);
	int r = 0;
	/* Nobody can connect before listen(), so the mode is right from the first moment. */
	bool bound = bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0;
	if (!bound || chmod(path, mode) != 0 || stat(path, &st) != 0)
		r = -errno;
	if (r == 0)
		r = start(l, fd, fn, user, ret);
	if (r != 0) {
		close(fd);
		if (bound)
			unlink(path);
		return ln_fail(f, r, "cannot listen on %s: %s", path, ln_strerror(r));
	}
	(*ret)->path = ln_strdup(path);
	(*ret)->dev = st.st_dev;
	(*ret)->ino = st.st_ino;
	return 0;
}

uint16_t net_listen_port(const struct net_listen *n)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct ip_ep ep;
	if (getsockname(n->fd, (struct sockaddr *)&ss, &len) != 0 ||
	    ip_ep_from_sockaddr((const struct sockaddr *)&ss, &ep) != 0)
		return 0;
	return ep.port;
}

void net_listen_free(struct net_listen *n)
{
	if (n == NULL)
		return;
	struct stat st;
	n->dead = true;
	ev_io_fini(&n->io);
	ev_timer_fini(&n->resume);
	close(n->fd);
	if (n->reserve >= 0)
		close(n->reserve);
	if (n->path != NULL && stat(n->path, &st) == 0 && st.st_dev == n->dev &&
	    st.st_ino == n->ino)
		unlink(n->path);
	free(n->path);
	ev_defer_free(n->loop, n);
}
