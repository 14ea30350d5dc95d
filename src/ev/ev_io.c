#include <stdlib.h>

#include "src/ev/ev.h"
#include "src/ev/ev_internal.h"

struct io_impl {
	uv_poll_t poll;
	struct ev_io *owner;
};

static void on_poll(uv_poll_t *h, int status, int events);

static void poll_start(struct ev_io *io)
{
	struct io_impl *impl = io->impl;
	int mask = (io->want & EV_READ ? UV_READABLE : 0) | (io->want & EV_WRITE ? UV_WRITABLE : 0);
	int r = mask != 0 ? uv_poll_start(&impl->poll, mask, on_poll) : uv_poll_stop(&impl->poll);
	ln_assert(r == 0);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct io_impl *impl = ln_container(h, struct io_impl, poll);
	struct ev_io *io = impl->owner;
	unsigned ready;
	if (status < 0) {
		/*
		 * libuv stops watching on EPOLLERR. A datagram socket lives on after an ICMP
		 * error, and a stream's owner learns the reason from its next read or write.
		 */
		ready = io->want;
		poll_start(io);
	} else {
		ready = (events & UV_READABLE ? EV_READ : 0u) |
			(events & UV_WRITABLE ? EV_WRITE : 0u);
	}
	ready &= io->want;
	struct ev_loop *l = io->loop;
	if (ready != 0)
		io->fn(io, ready);
	/* Only here: nobody's call is below us, and what lies behind io may be gone. */
	if (l->deferred.n >= EV_JOBS_MANY)
		ev_jobs_run(&l->deferred, &l->running);
}

static void on_closed(uv_handle_t *h)
{
	free(ln_container(h, struct io_impl, poll));
}

int ev_io_init(struct ev_io *io, struct ev_loop *l, int fd,
	       void (*fn)(struct ev_io *io, unsigned events))
{
	struct io_impl *impl = ln_alloc(sizeof(*impl));
	int r = uv_poll_init(&l->uv, &impl->poll, fd);
	if (r != 0) {
		free(impl);
		return r; /* libuv's codes are -errno on this system */
	}
	impl->owner = io;
	*io = (struct ev_io){ .loop = l, .fn = fn, .fd = fd, .impl = impl };
	return 0;
}

void ev_io_want(struct ev_io *io, unsigned events)
{
	if (io->impl == NULL || io->want == events)
		return;
	io->want = events;
	poll_start(io);
}

void ev_io_fini(struct ev_io *io)
{
	struct io_impl *impl = io->impl;
	if (impl == NULL)
		return;
	io->impl = NULL;
	io->want = 0;
	/* Takes the descriptor out of epoll now; the memory follows at the end of the turn. */
	uv_close((uv_handle_t *)&impl->poll, on_closed);
}
