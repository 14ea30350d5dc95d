#pragma once
/* The inside of a loop, for the files of src/ev only. */
#include <pthread.h>
#include <uv.h>

#include "lib/base/heap.h"

#include "src/ev/ev.h"

struct ev_job {
	void (*fn)(void *arg);
	void *arg;
};

/*
 * Deferred calls do not wait for the end of a turn that has a thousand descriptors to serve: after
 * so many, they run before the next descriptor. What they touch is still in the processor's cache
 * then (half the time of a signal message), and few enough answers are gathered in memory at once.
 */
#define EV_JOBS_MANY 32

/* A growing array that is filled while the other one of a pair is being run. */
struct ev_jobs {
	struct ev_job *v;
	size_t n;
	size_t cap;
};

#define EV_SCRATCH_SIZE (64u << 10)

/* ev_slot.c */
struct ev_slots {
	void **slabs;
	size_t nslabs;
	void **free;
	size_t nfree;
};

struct ev_loop {
	uv_loop_t uv;
	uv_prepare_t prepare; /* before waiting: arm the timer descriptor */
	uv_check_t check;     /* after waiting: due timers, then deferred calls */
	uv_idle_t idle;       /* active while deferred calls wait: the loop must not sleep */
	uv_async_t wake;      /* another thread posted */
	uv_poll_t timer_poll;
	int timer_fd; /* CLOCK_BOOTTIME, absolute: libuv's own timers stop during sleep */
	ln_time timer_armed;
	struct heap timers;
	struct heap_node turn_limit; /* ev_loop_turn's own deadline, no timer behind it */
	struct ev_jobs deferred;
	struct ev_jobs running;
	size_t nwork;     /* jobs on worker threads */
	uint8_t *scratch; /* EV_SCRATCHES of them in one block, or null */
	struct ev_slots slots;

	pthread_mutex_t lock;
	struct ev_jobs posted; /* under lock */
};

#define EV_SCRATCHES 3

void ev_jobs_add(struct ev_jobs *j, void (*fn)(void *arg), void *arg);
/* Runs what j holds at this moment, in order; `running` is the second array of the pair. */
void ev_jobs_run(struct ev_jobs *j, struct ev_jobs *running);
void ev_slots_fini(struct ev_slots *s);
void ev_timer_run_due(struct ev_loop *l, ln_time now);
