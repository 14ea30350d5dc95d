#pragma once
/*
 * libuv made to fit. The one place that knows the event loop: everybody else sees loops, timers,
 * descriptors, work and messages from other threads.
 *
 * Rules: a loop and all its objects belong to one thread. Callbacks run on that thread, never
 * inside a call into this header. Objects are embedded in their owner; after *_stop() no callback
 * comes and the memory may be freed when the running callback has returned (ev_defer_free).
 */
#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"

struct ev_loop;

struct ev_loop *ev_loop_new(void);
void ev_loop_free(struct ev_loop *l); /* nothing may be started any more */
void ev_loop_run(struct ev_loop *l);  /* until ev_loop_stop() */
void ev_loop_stop(struct ev_loop *l); /* only from the loop's thread */
/* One turn: handles what is ready, waiting at most max_wait (ns; 0 = do not wait). For tests. */
void ev_loop_turn(struct ev_loop *l, ln_time max_wait);

/* Monotonic (CLOCK_BOOTTIME, so that sleep counts) and wall clock, read now. */
ln_time ev_now(void);
ln_wall ev_wall(void);
/* getrandom(2) behind the rng interface; aborts without randomness. */
const struct ln_rng *ev_rng(void);

/* A deadline. Arming again moves it; LN_TIME_NEVER or ev_timer_stop disarms. */
struct ev_timer {
	struct ev_loop *loop;
	void (*fn)(struct ev_timer *t);
	void *impl; /* owned by ev */
};

void ev_timer_init(struct ev_timer *t, struct ev_loop *l, void (*fn)(struct ev_timer *t));
void ev_timer_at(struct ev_timer *t, ln_time deadline);

static inline void ev_timer_after(struct ev_timer *t, ln_time delay)
{
	ev_timer_at(t, ev_now() + delay);
}

void ev_timer_stop(struct ev_timer *t);
/* Stops for good and gives back what ev holds; required before the owner is freed. */
void ev_timer_fini(struct ev_timer *t);

/* Readiness of a descriptor the caller owns. Close it only after ev_io_fini(). */
enum ev_io_events {
	EV_READ = 1,
	EV_WRITE = 2
};

struct ev_io {
	struct ev_loop *loop;
	void (*fn)(struct ev_io *io, unsigned events);
	int fd;
	unsigned want;
	void *impl;
};

LN_MUST_CHECK int ev_io_init(struct ev_io *io, struct ev_loop *l, int fd,
			     void (*fn)(struct ev_io *io, unsigned events));
void ev_io_want(struct ev_io *io, unsigned events); /* 0 pauses */
void ev_io_fini(struct ev_io *io);

/*
 * fn(arg) when the callback that runs now has returned to the loop, in order: at the end of the
 * turn, in a busy turn between two descriptors.
 */
void ev_defer(struct ev_loop *l, void (*fn)(void *arg), void *arg);
void ev_defer_free(struct ev_loop *l, void *p); /* free(p) at that moment */

/*
 * Buffers of 64 KiB that all objects of a loop share, so that an idle one holds none. `which` is 0
 * (what was read), 1 (what was decrypted, or will be written) or 2 (one message of what was read);
 * the content is gone when the callback returns.
 */
struct mslice ev_scratch(struct ev_loop *l, unsigned which);

/*
 * Page-aligned, zeroed memory for what an object keeps for life but hardly ever touches (a protocol
 * library's buffers): only written pages count, and they go back to the system with the slot,
 * whatever the heap looks like. Aborts when there is no address space left.
 */
#define EV_SLOT_SIZE ((size_t)28 << 10)
void *ev_slot_take(struct ev_loop *l);
void ev_slot_give(struct ev_loop *l, void *slot); /* null is fine; before the loop ends */

/* From any thread: fn(arg) on the loop's thread, in the order posted. Thread-safe. */
void ev_post(struct ev_loop *l, void (*fn)(void *arg), void *arg);

/*
 * Blocking work on a worker thread (name resolution, hashing): work(arg) there, then done(arg) on
 * the loop. arg is a copied job owned by the pair of functions. At most 4 run at once.
 */
void ev_work(struct ev_loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/* SIGTERM, SIGINT, SIGHUP ... delivered as a callback. */
struct ev_signal {
	void (*fn)(struct ev_signal *s, int signum);
	void *impl;
};

LN_MUST_CHECK int ev_signal_start(struct ev_signal *s, struct ev_loop *l, int signum,
				  void (*fn)(struct ev_signal *s, int signum));
void ev_signal_fini(struct ev_signal *s);

/*
 * Runs a program with `input` on its standard input and collects at most `max_output` bytes of
 * stdout+stderr. argv[0] is looked up in PATH. Killed with SIGKILL after `limit` (ns).
 * done: status is the exit status, or -signal, or a negative error when it could not be started.
 */
typedef void ev_child_done_fn(void *arg, int status, struct slice output);
LN_MUST_CHECK int ev_child_run(struct ev_loop *l, const char *const argv[], struct slice input,
			       size_t max_output, ln_time limit, ev_child_done_fn *done, void *arg);
/* The same with a handle, valid until `done` is called. */
struct ev_child;
LN_MUST_CHECK int ev_child_start(struct ev_loop *l, const char *const argv[], struct slice input,
				 size_t max_output, ln_time limit, ev_child_done_fn *done,
				 void *arg, struct ev_child **ret);
void ev_child_cancel(struct ev_child *c); /* kills it; `done` is not called; null is fine */
/* The same, blocking: for tools and for start-up and shut-down paths. Status as above. */
int ev_child_run_sync(const char *const argv[], struct slice input, char *output,
		      size_t output_size, ln_time limit);
