#include "src/net/net_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "src/net/net_tls.h"

#define WRITEV_MAX ((size_t)16)
#define READS_PER_TURN 4 /* so that one busy peer leaves room for the others */
/* Of one step: as much as one read gives. */
#define HANDSHAKE_MAX (64u << 10)
/* More is never kept: writers stop long before. */
#define PENDING_MAX (64u << 20)

struct net_stream {
	struct ev_loop *loop;
	struct ev_io io;
	int fd;
	struct net_tls *tls;
	const struct net_stream_ops *ops;
	void *user;
	struct str out;
	bool server; /* of TLS */
	bool ready_told;
	bool muted;
	bool dead;      /* freed by the owner; memory goes at the end of the turn */
	bool failed;    /* no more input or output */
	bool write_err; /* found while writing; told from the loop */
	bool finishing;
	bool at_work; /* a worker thread has the session, `in` and `out` */
	int err;
	struct str in; /* of the handshake */
};

static void tell_write_error(void *arg);

static void update_want(struct net_stream *s)
{
	if (s->dead || s->muted)
		return;
	ev_io_want(&s->io, s->failed || s->at_work ? 0 : EV_READ | (s->out.n != 0 ? EV_WRITE : 0u));
}

static void fail(struct net_stream *s, int err, const char *why)
{
	if (s->failed || s->dead)
		return;
	s->failed = true;
	update_want(s);
	if (!s->muted)
		s->ops->closed(s->user, err, why);
}

/* Writing fails inside the caller's call: the news must wait for the loop. */
static void fail_later(struct net_stream *s, int err)
{
	if (s->write_err || s->failed || s->dead)
		return;
	s->write_err = true;
	s->err = err;
	str_fini(&s->out);
	ev_defer(s->loop, tell_write_error, s);
}

static void tell_write_error(void *arg)
{
	struct net_stream *s = arg;
	fail(s, s->err, ln_strerror(s->err));
}

static ssize_t send_some(struct net_stream *s, struct slice d)
{
	ssize_t n;
	do
		n = send(s->fd, d.p, d.n, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
		return 0;
	return n < 0 ? -errno : n;
}

static void flush_out(struct net_stream *s)
{
	while (s->out.n != 0) {
		ssize_t n = send_some(s, str_slice(&s->out));
		if (n < 0) {
			fail_later(s, (int)n);
			return;
		}
		if (n == 0)
			return;
		str_consume(&s->out, (size_t)n);
	}
	str_fini(&s->out);
	str_init(&s->out, PENDING_MAX);
	if (s->finishing)
		shutdown(s->fd, SHUT_WR);
}

/* Sends from the front of v and keeps what the socket does not take. */
static void write_plain(struct net_stream *s, const struct slice *v, size_t n)
{
	struct iovec iov[WRITEV_MAX];
	size_t done = 0;
	for (size_t i = 0; i < n; i++)
		iov[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)v[i].p, .iov_len = v[i].n };
	if (s->out.n == 0) {
		struct msghdr m = { .msg_iov = iov, .msg_iovlen = n };
		ssize_t r;
		do
			r = sendmsg(s->fd, &m, MSG_NOSIGNAL);
		while (r < 0 && errno == EINTR);
		if (r < 0 && errno != EAGAIN && errno != ENOBUFS) {
			fail_later(s, -errno);
			return;
		}
		done = r > 0 ? (size_t)r : 0;
	}
	for (size_t i = 0; i < n; i++) {
		struct slice rest = slice_after(v[i], LN_MIN(done, v[i].n));
		done -= v[i].n - rest.n;
		str_addn(&s->out, rest.p, rest.n);
	}
}

static void write_tls(struct net_stream *s, const struct slice *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = v[i].n != 0 ? net_tls_write(s->tls, v[i], &s->out) : 0;
		if (r != 0) {
			fail_later(s, r);
			return;
		}
	}
	flush_out(s);
}

void net_stream_writev(struct net_stream *s, const struct slice *v, size_t n)
{
	for (; n != 0; v += LN_MIN(n, WRITEV_MAX), n -= LN_MIN(n, WRITEV_MAX)) {
		if (s->dead || s->failed || s->write_err || s->finishing)
			return;
		ln_assert(!s->at_work);
		if (s->tls != NULL)
			write_tls(s, v, LN_MIN(n, WRITEV_MAX));
		else
			write_plain(s, v, LN_MIN(n, WRITEV_MAX));
		if (s->out.err != 0)
			fail_later(s, LN_E_LIMIT);
	}
	update_want(s);
}

void net_stream_write(struct net_stream *s, struct slice data)
{
	if (data.n != 0)
		net_stream_writev(s, &data, 1);
}

size_t net_stream_pending(const struct net_stream *s)
{
	return s->out.n;
}

void net_stream_finish(struct net_stream *s)
{
	if (s->dead || s->failed || s->write_err || s->finishing || s->at_work)
		return;
	if (s->tls != NULL)
		net_tls_end(s->tls, &s->out);
	s->finishing = true;
	flush_out(s);
	update_want(s);
}

static void tls_input(struct net_stream *s, struct slice in)
{
	struct mslice plain = ev_scratch(s->loop, 1);
	for (;;) {
		int n = net_tls_read(s->tls, &in, plain, &s->out);
		flush_out(s);
		if (!s->ready_told && net_tls_is_ready(s->tls)) {
			s->ready_told = true;
			if (s->ops->ready != NULL)
				s->ops->ready(s->user);
		}
		if (s->dead || s->failed || s->muted || n == LN_E_AGAIN)
			return;
		if (n < 0) {
			fail(s, n,
			     n == LN_E_CLOSED ? "closed by the other side" : net_tls_error(s->tls));
			return;
		}
		s->ops->data(s->user, slice_of(plain.p, (size_t)n));
		if (s->dead || s->failed || s->muted)
			return;
	}
}

/* --- the server's handshake, on worker threads ------------------------------------------------*/

static void handshake_work(void *arg)
{
	struct net_stream *s = arg;
	struct slice in = str_slice(&s->in);
	s->err = net_tls_handshake(s->tls, &in, &s->out);
	str_consume(&s->in, s->in.n - in.n);
}

static void stream_gone(void *arg);

static void handshake_done(void *arg)
{
	struct net_stream *s = arg;
	s->at_work = false;
	if (s->dead) {
		stream_gone(s);
		return;
	}
	if (s->muted)
		return;
	flush_out(s);
	struct str rest = s->in;
	str_init(&s->in, HANDSHAKE_MAX);
	if (s->err == 0)
		tls_input(s, str_slice(&rest));
	else if (s->err != LN_E_AGAIN)
		fail(s, s->err, net_tls_error(s->tls));
	str_fini(&rest);
	update_want(s);
}

static void handshake_input(struct net_stream *s, struct slice in)
{
	str_addn(&s->in, in.p, in.n);
	s->at_work = true;
	update_want(s);
	ev_work(s->loop, handshake_work, handshake_done, s);
}

static void on_readable(struct net_stream *s)
{
	struct mslice buf = ev_scratch(s->loop, 0);
	for (int i = 0; i < READS_PER_TURN && !s->dead && !s->failed && !s->muted && !s->at_work;
	     i++) {
		ssize_t n = recv(s->fd, buf.p, buf.n, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			fail(s, -errno, ln_strerror(-errno));
		} else if (n == 0) {
			fail(s, LN_E_CLOSED, "closed by the other side");
		} else if (s->tls != NULL && s->server && !s->ready_told) {
			handshake_input(s, slice_of(buf.p, (size_t)n));
		} else if (s->tls != NULL) {
			tls_input(s, slice_of(buf.p, (size_t)n));
		} else {
			s->ops->data(s->user, slice_of(buf.p, (size_t)n));
		}
		if (n > 0 && (size_t)n < buf.n)
			break;
	}
}

static void on_io(struct ev_io *io, unsigned events)
{
	struct net_stream *s = ln_container(io, struct net_stream, io);
	if (events & EV_WRITE) {
		bool had = s->out.n != 0;
		flush_out(s);
		if (had && s->out.n == 0 && !s->write_err && !s->failed)
			s->ops->writable(s->user);
	}
	if (events & EV_READ)
		on_readable(s);
	update_want(s);
}

int net_stream_new(struct ev_loop *l, int fd, struct net_tls *tls, const struct net_stream_ops *ops,
		   void *user, struct net_stream **ret)
{
	struct net_stream *s = ln_alloc(sizeof(*s));
	*s = (struct net_stream){ .loop = l, .fd = fd, .tls = tls, .ops = ops, .user = user };
	str_init(&s->out, PENDING_MAX);
	str_init(&s->in, HANDSHAKE_MAX);
	int r = ev_io_init(&s->io, l, fd, on_io);
	if (r == 0 && tls != NULL) {
		r = net_tls_start(tls, &s->out);
		if (r == 0)
			flush_out(s);
	}
	if (r != 0) {
		net_stream_free(s);
		return r;
	}
	update_want(s);
	*ret = s;
	return 0;
}

static void stream_gone(void *arg)
{
	struct net_stream *s = arg;
	net_tls_free(s->tls);
	str_fini(&s->out);
	str_fini(&s->in);
	free(s);
}

void net_stream_free(struct net_stream *s)
{
	if (s == NULL || s->dead)
		return;
	if (s->tls != NULL && !s->failed && !s->write_err && !s->finishing && !s->at_work) {
		net_tls_end(s->tls, &s->out);
		flush_out(s);
	}
	s->dead = true;
	ev_io_fini(&s->io);
	close(s->fd);
	if (!s->at_work)
		ev_defer(s->loop, stream_gone, s);
}

void net_stream_set_owner(struct net_stream *s, const struct net_stream_ops *ops, void *user)
{
	s->ops = ops;
	s->user = user;
}

int net_stream_leave(struct net_stream *s)
{
	ln_assert(!s->dead && !s->at_work);
	if (s->failed || s->write_err)
		return LN_E_CLOSED;
	ev_io_fini(&s->io);
	s->loop = NULL;
	return 0;
}

int net_stream_enter(struct net_stream *s, struct ev_loop *l)
{
	s->loop = l;
	int r = ev_io_init(&s->io, l, s->fd, on_io);
	if (r != 0)
		s->failed = true;
	else
		update_want(s);
	return r;
}

void net_stream_feed(struct net_stream *s, struct slice data)
{
	if (!s->dead && !s->failed && !s->muted && data.n != 0)
		s->ops->data(s->user, data);
}

void net_stream_start_tls(struct net_stream *s, struct net_tls *tls, struct slice first)
{
	ln_assert(s->tls == NULL);
	s->tls = tls;
	s->server = true;
	handshake_input(s, first);
}

void net_stream_mute(struct net_stream *s)
{
	s->muted = true;
	ev_io_want(&s->io, 0);
}

int net_stream_fd(const struct net_stream *s)
{
	return s->fd;
}

bool net_stream_is_h2(const struct net_stream *s)
{
	return s->tls != NULL && net_tls_is_h2(s->tls);
}

bool net_stream_is_tls(const struct net_stream *s)
{
	return s->tls != NULL;
}
