#include "src/net/net_dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/net/net_resolve.h"

#define ADDRS_MAX NET_RESOLVE_MAX
#define STAGGER (250 * LN_MSEC)

struct attempt {
	struct net_dial *dial;
	struct ev_io io;
	int fd; /* -1: not started or over */
	struct ip_ep ep;
};

struct net_dial {
	struct ev_loop *loop;
	net_dial_done_fn *done;
	void *user;
	struct net_resolve *resolve;
	struct ev_timer stagger;
	struct ev_timer limit;
	uint16_t port;
	uint32_t fwmark;
	char name[300]; /* for messages */
	struct attempt v[ADDRS_MAX];
	size_t n;
	size_t started;
	size_t over;
	int last_err;
	struct ip_ep last_ep;
	bool ended;
	int pending_fd; /* a Unix socket connects at once, but done() waits for the loop */
};

static void attempt_end(struct attempt *a, bool keep_fd)
{
	if (a->fd < 0)
		return;
	ev_io_fini(&a->io);
	if (!keep_fd)
		close(a->fd);
	a->fd = -1;
}

static void dial_free(struct net_dial *d)
{
	d->ended = true;
	for (size_t i = 0; i < d->started; i++)
		attempt_end(&d->v[i], false);
	ev_timer_fini(&d->stagger);
	ev_timer_fini(&d->limit);
	net_resolve_cancel(d->resolve);
	if (d->pending_fd >= 0)
		close(d->pending_fd);
	ev_defer_free(d->loop, d);
}

static void finish(struct net_dial *d, int fd, const struct ip_ep *peer, const char *why)
{
	net_dial_done_fn *done = d->done;
	void *user = d->user;
	dial_free(d);
	done(user, fd, peer, why);
}

static void finish_error(struct net_dial *d, int err, const char *what)
{
	char why[500];
	snprintf(why, sizeof(why), "connect to %s: %s", d->name, what);
	finish(d, err, NULL, why);
}

static void start_next(struct net_dial *d);

static void attempt_failed(struct net_dial *d, int err, const struct ip_ep *ep)
{
	d->last_err = err;
	d->last_ep = *ep;
	d->over++;
	if (d->over < d->n) {
		if (d->started < d->n)
			start_next(d);
		return;
	}
	char what[IP_EP_TEXT_MAX + 80];
	char addr[IP_EP_TEXT_MAX];
	ip_ep_format(&d->last_ep, addr);
	snprintf(what, sizeof(what), "%s (%s)", ln_strerror(d->last_err), addr);
	finish_error(d, d->last_err, what);
}

static void on_connect(struct ev_io *io, unsigned events)
{
	struct attempt *a = ln_container(io, struct attempt, io);
	struct net_dial *d = a->dial;
	int err = 0;
	socklen_t len = sizeof(err);
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
		err = errno;
	if (err != 0) {
		attempt_end(a, false);
		attempt_failed(d, -err, &a->ep);
		return;
	}
	int fd = a->fd;
	struct ip_ep ep = a->ep;
	attempt_end(a, true);
	finish(d, fd, &ep, "");
}

static int attempt_start(struct attempt *a)
{
	struct sockaddr_storage ss;
	socklen_t len = ip_ep_to_sockaddr(&a->ep, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int one = 1;
	int r = 0;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* Whoever asks for a mark has found out whether it may be set: no reason not to connect. */
	if (a->dial->fwmark != 0)
		(void)!setsockopt(fd, SOL_SOCKET, SO_MARK, &a->dial->fwmark,
				  sizeof(a->dial->fwmark));
	if (r == 0 && connect(fd, (const struct sockaddr *)&ss, len) != 0 && errno != EINPROGRESS)
		r = -errno;
	if (r == 0)
		r = ev_io_init(&a->io, a->dial->loop, fd, on_connect);
	if (r != 0) {
		close(fd);
		return r;
	}
	a->fd = fd;
	ev_io_want(&a->io, EV_WRITE);
	return 0;
}

/* Starts the next address; one that fails at once gives way to its successor. */
static void start_next(struct net_dial *d)
{
	while (d->started < d->n) {
		struct attempt *a = &d->v[d->started++];
		a->dial = d;
		a->fd = -1;
		int r = attempt_start(a);
		if (r == 0) {
			if (d->started < d->n)
				ev_timer_after(&d->stagger, STAGGER);
			return;
		}
		if (d->started == d->n) {
			attempt_failed(d, r, &a->ep);
			return;
		}
		d->over++;
		d->last_err = r;
		d->last_ep = a->ep;
	}
}

static void on_stagger(struct ev_timer *t)
{
	start_next(ln_container(t, struct net_dial, stagger));
}

static void on_limit(struct ev_timer *t)
{
	finish_error(ln_container(t, struct net_dial, limit), LN_E_TIMEOUT,
		     ln_strerror(LN_E_TIMEOUT));
}

/* --- resolving --------------------------------------------------------------------------------*/

static void take_addresses(struct net_dial *d, const struct ip_addr *addr, size_t n)
{
	for (; d->n < n; d->n++)
		d->v[d->n].ep = (struct ip_ep){ .addr = addr[d->n], .port = d->port };
}

static void on_resolved(void *user, const struct ip_addr *v, size_t n, const char *why)
{
	struct net_dial *d = user;
	d->resolve = NULL;
	if (n == 0) {
		finish_error(d, LN_E_NOTFOUND, why);
		return;
	}
	take_addresses(d, v, n);
	start_next(d);
}

static void start_tcp(struct net_dial *d, const struct net_dial_target *t)
{
	struct ip_addr literal;
	if (ip_parse(slice_str(t->host), &literal) == 0) {
		take_addresses(d, &literal, 1);
		/* From the loop, so that done() cannot come inside net_dial_new(). */
		ev_timer_after(&d->stagger, 0);
		return;
	}
	d->resolve = net_resolve_new(d->loop, t->host, on_resolved, d);
}

/* --- Unix sockets -----------------------------------------------------------------------------*/

static void on_unix_ready(struct ev_timer *t)
{
	struct net_dial *d = ln_container(t, struct net_dial, stagger);
	struct ip_ep none = { .port = 0 };
	int fd = d->pending_fd;
	d->pending_fd = -1;
	if (fd >= 0)
		finish(d, fd, &none, "");
	else
		finish_error(d, d->last_err, ln_strerror(d->last_err));
}

static int connect_unix(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0) {
		int e = errno;
		close(fd);
		return -e;
	}
	return fd;
}

struct net_dial *net_dial_new(struct ev_loop *l, const struct net_dial_target *t, ln_time limit,
			      net_dial_done_fn *done, void *user)
{
	struct net_dial *d = ln_alloc(sizeof(*d));
	*d = (struct net_dial){ .loop = l,
				.done = done,
				.user = user,
				.port = t->port,
				.fwmark = t->fwmark,
				.pending_fd = -1 };
	ev_timer_init(&d->limit, l, on_limit);
	ev_timer_after(&d->limit, limit);
	if (t->unix_path != NULL) {
		ev_timer_init(&d->stagger, l, on_unix_ready);
		snprintf(d->name, sizeof(d->name), "%s", t->unix_path);
		d->pending_fd = connect_unix(t->unix_path);
		d->last_err = d->pending_fd;
		ev_timer_after(&d->stagger, 0);
	} else {
		ev_timer_init(&d->stagger, l, on_stagger);
		snprintf(d->name, sizeof(d->name),
			 strchr(t->host, ':') != NULL ? "[%s]:%u" : "%s:%u", t->host, t->port);
		start_tcp(d, t);
	}
	return d;
}

void net_dial_cancel(struct net_dial *d)
{
	if (d == NULL || d->ended)
		return;
	dial_free(d);
}
