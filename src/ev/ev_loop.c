/*
 * One turn: prepare (arm the timer descriptor) -> wait -> descriptors, posted calls, finished work
 * -> check (due timers, deferred calls). Deferred calls that defer again run in the next turn,
 * which then does not wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "src/ev/ev.h"
#include "src/ev/ev_internal.h"

ln_time ev_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (ln_time)ts.tv_sec * LN_SEC + ts.tv_nsec;
}

ln_wall ev_wall(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (ln_wall)ts.tv_sec * LN_SEC + ts.tv_nsec;
}

static void random_fill(void *ctx, void *dst, size_t n)
{
	uint8_t *p = dst;
	while (n != 0) {
		ssize_t r = getrandom(p, n, 0);
		ln_assert(r > 0 || errno == EINTR);
		if (r > 0) {
			p += r;
			n -= (size_t)r;
		}
	}
}

const struct ln_rng *ev_rng(void)
{
	static const struct ln_rng rng = { .fill = random_fill };
	return &rng;
}

void ev_jobs_add(struct ev_jobs *j, void (*fn)(void *arg), void *arg)
{
	if (j->n == j->cap) {
		j->cap = j->cap != 0 ? 2 * j->cap : 16;
		j->v = ln_realloc(j->v, j->cap * sizeof(*j->v));
	}
	j->v[j->n++] = (struct ev_job){ .fn = fn, .arg = arg };
}

void ev_jobs_run(struct ev_jobs *j, struct ev_jobs *running)
{
	struct ev_jobs batch = *j;
	*j = *running;
	*running = (struct ev_jobs){ .n = 0 };
	for (size_t i = 0; i < batch.n; i++)
		batch.v[i].fn(batch.v[i].arg);
	/* A burst does not hold its memory for ever. */
	if (batch.cap > 1024) {
		free(batch.v);
		batch = (struct ev_jobs){ .n = 0 };
	}
	batch.n = 0;
	*running = batch;
}

static void on_idle(uv_idle_t *h)
{
}

static void on_prepare(uv_prepare_t *h)
{
	struct ev_loop *l = h->data;
	/* A stopped loop still gives back what was deferred: ev_loop_free() relies on it. */
	if (l->deferred.n != 0)
		uv_idle_start(&l->idle, on_idle);
	else
		uv_idle_stop(&l->idle);
	ln_time at = heap_deadline(&l->timers);
	if (at == l->timer_armed)
		return;
	struct itimerspec its = { 0 };
	if (at != LN_TIME_NEVER) {
		ln_time t = at > 1 ? at : 1; /* zero would disarm */
		its.it_value = (struct timespec){ .tv_sec = t / LN_SEC, .tv_nsec = t % LN_SEC };
	}
	int r = timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
	ln_assert(r == 0);
	l->timer_armed = at;
}

static void on_timer_fd(uv_poll_t *h, int status, int events)
{
	struct ev_loop *l = h->data;
	uint64_t count;
	/* EAGAIN when it was moved meanwhile; the due timers are run by on_check. */
	ssize_t r = read(l->timer_fd, &count, sizeof(count));
	if (r == (ssize_t)sizeof(count))
		l->timer_armed = LN_TIME_NEVER;
}

static void on_check(uv_check_t *h)
{
	struct ev_loop *l = h->data;
	ev_timer_run_due(l, ev_now());
	ev_jobs_run(&l->deferred, &l->running);
	if (l->deferred.n != 0)
		uv_idle_start(&l->idle, on_idle);
}

static void run_posted(struct ev_loop *l)
{
	pthread_mutex_lock(&l->lock);
	struct ev_jobs batch = l->posted;
	l->posted = (struct ev_jobs){ .n = 0 };
	pthread_mutex_unlock(&l->lock);
	for (size_t i = 0; i < batch.n; i++)
		batch.v[i].fn(batch.v[i].arg);
	free(batch.v);
}

static void on_wake(uv_async_t *h)
{
	run_posted(h->data);
}

struct ev_loop *ev_loop_new(void)
{
	struct ev_loop *l = ln_alloc(sizeof(*l));
	int r = uv_loop_init(&l->uv);
	ln_assert(r == 0);
	pthread_mutex_init(&l->lock, NULL);
	heap_init(&l->timers);
	heap_node_init(&l->turn_limit);
	l->timer_armed = LN_TIME_NEVER;
	l->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	ln_assert(l->timer_fd >= 0);
	l->prepare.data = l->check.data = l->wake.data = l->timer_poll.data = l;
	uv_prepare_init(&l->uv, &l->prepare);
	uv_prepare_start(&l->prepare, on_prepare);
	uv_check_init(&l->uv, &l->check);
	uv_check_start(&l->check, on_check);
	uv_idle_init(&l->uv, &l->idle);
	r = uv_async_init(&l->uv, &l->wake, on_wake);
	ln_assert(r == 0);
	r = uv_poll_init(&l->uv, &l->timer_poll, l->timer_fd);
	ln_assert(r == 0);
	uv_poll_start(&l->timer_poll, UV_READABLE, on_timer_fd);
	return l;
}

void ev_loop_free(struct ev_loop *l)
{
	if (l == NULL)
		return;
	/* Work under way has a done() to come, and both may defer more. */
	while (l->nwork != 0)
		ev_loop_turn(l, LN_SEC);
	run_posted(l);
	while (l->deferred.n != 0)
		ev_jobs_run(&l->deferred, &l->running);
	uv_close((uv_handle_t *)&l->prepare, NULL);
	uv_close((uv_handle_t *)&l->check, NULL);
	uv_close((uv_handle_t *)&l->idle, NULL);
	uv_close((uv_handle_t *)&l->wake, NULL);
	uv_close((uv_handle_t *)&l->timer_poll, NULL);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	int r = uv_loop_close(&l->uv);
	ln_assert(r == 0 && "a timer, descriptor or child of this loop was not ended");
	close(l->timer_fd);
	heap_fini(&l->timers);
	free(l->deferred.v);
	free(l->running.v);
	free(l->posted.v);
	ev_slots_fini(&l->slots);
	free(l->scratch);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void ev_loop_run(struct ev_loop *l)
{
	uv_run(&l->uv, UV_RUN_DEFAULT);
}

void ev_loop_stop(struct ev_loop *l)
{
	uv_stop(&l->uv);
}

void ev_loop_turn(struct ev_loop *l, ln_time max_wait)
{
	if (max_wait <= 0) {
		uv_run(&l->uv, UV_RUN_NOWAIT);
		return;
	}
	heap_set(&l->timers, &l->turn_limit, ev_now() + max_wait);
	uv_run(&l->uv, UV_RUN_ONCE);
	heap_remove(&l->timers, &l->turn_limit);
}

struct mslice ev_scratch(struct ev_loop *l, unsigned which)
{
	ln_assert(which < EV_SCRATCHES);
	if (l->scratch == NULL) /* so large that only the pages in use take memory */
		l->scratch = ln_calloc(EV_SCRATCHES, EV_SCRATCH_SIZE);
	return mslice_of(l->scratch + which * EV_SCRATCH_SIZE, EV_SCRATCH_SIZE);
}

void ev_defer(struct ev_loop *l, void (*fn)(void *arg), void *arg)
{
	ev_jobs_add(&l->deferred, fn, arg);
}

void ev_defer_free(struct ev_loop *l, void *p)
{
	if (p != NULL)
		ev_jobs_add(&l->deferred, free, p);
}

void ev_post(struct ev_loop *l, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&l->lock);
	ev_jobs_add(&l->posted, fn, arg);
	pthread_mutex_unlock(&l->lock);
	uv_async_send(&l->wake);
}
