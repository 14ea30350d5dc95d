#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/str.h"

#include "src/ev/ev.h"
#include "tests/unit/unit.h"

static struct ev_loop *loop;
static struct str seen;

static int setup(void **state)
{
	loop = ev_loop_new();
	str_init(&seen, 0);
	return 0;
}

static int teardown(void **state)
{
	ev_loop_free(loop);
	str_fini(&seen);
	return 0;
}

/* Turns until `n` marks were seen or three seconds have passed. */
static void turn_until(size_t n)
{
	ln_time end = ev_now() + 3 * LN_SEC;
	while (seen.n < n && ev_now() < end)
		ev_loop_turn(loop, 50 * LN_MSEC);
}

struct marked_timer {
	struct ev_timer t;
	char mark;
	int again;
};

static void mark_timer(struct ev_timer *t)
{
	struct marked_timer *m = ln_container(t, struct marked_timer, t);
	str_addc(&seen, m->mark);
	if (m->again-- > 0)
		ev_timer_after(t, 0);
}

static void timers_fire_in_order(void **state)
{
	struct marked_timer a = { .mark = 'a' }, b = { .mark = 'b' }, c = { .mark = 'c' };
	ev_timer_init(&a.t, loop, mark_timer);
	ev_timer_init(&b.t, loop, mark_timer);
	ev_timer_init(&c.t, loop, mark_timer);
	ln_time now = ev_now();
	ev_timer_at(&a.t, now + 20 * LN_MSEC);
	ev_timer_at(&b.t, now + 5 * LN_MSEC);
	ev_timer_at(&c.t, now + 1 * LN_MSEC);
	ev_timer_stop(&c.t);
	turn_until(2);
	assert_string_equal(str_c(&seen), "ba");
	assert_true(ev_now() - now >= 20 * LN_MSEC);
	/* Moved, and one in the past. */
	ev_timer_at(&a.t, now);
	ev_timer_at(&c.t, ev_now() + LN_HOUR);
	ev_timer_at(&c.t, ev_now() + LN_MSEC);
	turn_until(4);
	assert_string_equal(str_c(&seen), "baac");
	ev_timer_fini(&a.t);
	ev_timer_fini(&b.t);
	ev_timer_fini(&c.t);
}

static void timer_rearmed_for_now_does_not_hold_the_turn(void **state)
{
	struct marked_timer a = { .mark = 'a', .again = 3 };
	ev_timer_init(&a.t, loop, mark_timer);
	ev_timer_after(&a.t, 0);
	ev_loop_turn(loop, LN_SEC);
	assert_int_equal(seen.n, 1);
	turn_until(4);
	assert_int_equal(seen.n, 4);
	ev_timer_fini(&a.t);
}

static void turn_waits_no_longer_than_told(void **state)
{
	ln_time t0 = ev_now();
	ev_loop_turn(loop, 30 * LN_MSEC);
	ln_time took = ev_now() - t0;
	assert_true(took >= 29 * LN_MSEC && took < LN_SEC);
}

static void mark(void *arg)
{
	str_add(&seen, arg);
}

static void mark_and_defer(void *arg)
{
	str_add(&seen, "1");
	ev_defer(loop, mark, (void *)(uintptr_t) "4");
}

static void deferred_calls_keep_their_order(void **state)
{
	ev_defer(loop, mark_and_defer, NULL);
	ev_defer(loop, mark, (void *)(uintptr_t) "2");
	ev_defer_free(loop, malloc(10));
	ev_defer(loop, mark, (void *)(uintptr_t) "3");
	ev_loop_turn(loop, 2 * LN_SEC); /* must not wait: something is deferred */
	assert_string_equal(str_c(&seen), "123");
	ev_loop_turn(loop, 2 * LN_SEC);
	assert_string_equal(str_c(&seen), "1234");
	ev_defer(loop, mark, (void *)(uintptr_t) "5"); /* run by ev_loop_free: nothing leaks */
}

static void *post_many(void *arg)
{
	for (int i = 0; i < 100; i++)
		ev_post(loop, mark, (void *)(uintptr_t) "p");
	return NULL;
}

static void posts_arrive_from_other_threads(void **state)
{
	pthread_t t[4];
	for (size_t i = 0; i < LN_COUNT(t); i++)
		pthread_create(&t[i], NULL, post_many, NULL);
	turn_until(400);
	for (size_t i = 0; i < LN_COUNT(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(seen.n, 400);
}

static pthread_t work_thread;

static void do_work(void *arg)
{
	work_thread = pthread_self();
}

static void work_runs_elsewhere_and_comes_back(void **state)
{
	ev_work(loop, do_work, mark, (void *)(uintptr_t) "w");
	turn_until(1);
	assert_string_equal(str_c(&seen), "w");
	assert_false(pthread_equal(work_thread, pthread_self()));
	/* A job that is under way when the loop goes still gets its done(). */
	ev_work(loop, do_work, mark, (void *)(uintptr_t) "x");
}

static void on_io(struct ev_io *io, unsigned events)
{
	char buf[16];
	if (events & EV_WRITE) {
		str_addc(&seen, 'W');
		ev_io_want(io, EV_READ);
	}
	if (events & EV_READ) {
		ssize_t n = read(io->fd, buf, sizeof(buf));
		str_addc(&seen, n == 0 ? 'E' : 'R');
		if (n == 0)
			ev_io_fini(io);
	}
}

static void readiness_follows_what_is_wanted(void **state)
{
	int p[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p), 0);
	struct ev_io io;
	assert_int_equal(ev_io_init(&io, loop, p[0], on_io), 0);
	ev_io_want(&io, EV_READ | EV_WRITE);
	turn_until(1);
	assert_string_equal(str_c(&seen), "W");
	assert_int_equal(write(p[1], "x", 1), 1);
	turn_until(2);
	ev_io_want(&io, 0);
	assert_int_equal(write(p[1], "y", 1), 1);
	ev_loop_turn(loop, 20 * LN_MSEC);
	assert_string_equal(str_c(&seen), "WR");
	ev_io_want(&io, EV_READ);
	turn_until(3);
	close(p[1]);
	turn_until(4);
	assert_string_equal(str_c(&seen), "WRRE");
	close(p[0]);
	assert_true(ev_io_init(&io, loop, p[0], on_io) < 0);
}

static void on_signal(struct ev_signal *s, int signum)
{
	str_addc(&seen, signum == SIGHUP ? 'H' : '?');
}

static void signals_come_through_the_loop(void **state)
{
	struct ev_signal s;
	assert_int_equal(ev_signal_start(&s, loop, SIGHUP, on_signal), 0);
	raise(SIGHUP);
	turn_until(1);
	assert_string_equal(str_c(&seen), "H");
	ev_signal_fini(&s);
	assert_int_equal(ev_signal_start(&s, loop, SIGKILL, on_signal), -22);
}

/* What was written is gone when a slot comes back, and its pages with it. */
static void slots_come_back_empty(void **state)
{
	void *slot[200];
	for (size_t i = 0; i < LN_COUNT(slot); i++) {
		slot[i] = ev_slot_take(loop);
		assert_int_equal((uintptr_t)slot[i] % 4096, 0);
		memset(slot[i], 0xa5, EV_SLOT_SIZE);
	}
	for (size_t i = 0; i < LN_COUNT(slot); i++)
		for (size_t j = 0; j < i; j++)
			assert_true((uint8_t *)slot[i] >= (uint8_t *)slot[j] + EV_SLOT_SIZE ||
				    (uint8_t *)slot[j] >= (uint8_t *)slot[i] + EV_SLOT_SIZE);
	for (size_t i = 0; i < LN_COUNT(slot); i++)
		ev_slot_give(loop, slot[i]);
	for (size_t i = 0; i < LN_COUNT(slot); i++) {
		unsigned char resident[EV_SLOT_SIZE / 4096];
		uint8_t *p = ev_slot_take(loop);
		assert_int_equal(mincore(p, EV_SLOT_SIZE, resident), 0);
		for (size_t k = 0; k < sizeof(resident); k++)
			assert_int_equal(resident[k] & 1, 0);
		assert_int_equal(p[0] | p[EV_SLOT_SIZE - 1], 0);
		slot[i] = p;
	}
	for (size_t i = 0; i < LN_COUNT(slot); i++)
		ev_slot_give(loop, slot[i]);
	ev_slot_give(loop, NULL);
}

static void stop_loop(void *arg)
{
	ev_loop_stop(loop);
}

static void run_ends_when_stopped(void **state)
{
	ev_post(loop, stop_loop, NULL);
	ev_loop_run(loop);
	uint8_t a[16] = { 0 }, b[16] = { 0 };
	rng_fill(ev_rng(), a, sizeof(a));
	rng_fill(ev_rng(), b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_true(ev_wall() > (ln_wall)1600000000 * LN_SEC);
}

#define BUSY 100

static size_t answered, largest_gap;

static void answer(void *arg)
{
	answered++;
}

/* Every readable descriptor wants one deferred call. */
static void read_one(struct ev_io *io, unsigned events)
{
	char c;
	assert_int_equal(read(io->fd, &c, 1), 1);
	str_addc(&seen, c);
	largest_gap = LN_MAX(largest_gap, seen.n - answered);
	ev_defer(loop, answer, NULL);
}

static void a_busy_turn_does_not_hold_deferred_calls(void **state)
{
	struct ev_io io[BUSY];
	int fd[BUSY][2];
	answered = largest_gap = 0;
	for (size_t i = 0; i < BUSY; i++) {
		assert_int_equal(pipe(fd[i]), 0);
		assert_int_equal(write(fd[i][1], "x", 1), 1);
		assert_int_equal(ev_io_init(&io[i], loop, fd[i][0], read_one), 0);
		ev_io_want(&io[i], EV_READ);
	}
	/* All are ready in one turn, and a third of them waits for an answer at most. */
	ev_loop_turn(loop, LN_SEC);
	for (size_t i = 0; i < BUSY; i++) {
		ev_io_fini(&io[i]);
		close(fd[i][0]);
		close(fd[i][1]);
	}
	assert_int_equal(seen.n, BUSY);
	assert_int_equal(answered, BUSY);
	assert_true(largest_gap > 1 && largest_gap <= BUSY / 3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(timers_fire_in_order),
		T(timer_rearmed_for_now_does_not_hold_the_turn),
		T(turn_waits_no_longer_than_told),
		T(deferred_calls_keep_their_order),
		T(posts_arrive_from_other_threads),
		T(work_runs_elsewhere_and_comes_back),
		T(readiness_follows_what_is_wanted),
		T(signals_come_through_the_loop),
		T(slots_come_back_empty),
		T(a_busy_turn_does_not_hold_deferred_calls),
		T(run_ends_when_stopped),
	};
	return cmocka_run_group_tests_name("ev_loop", tests, NULL, NULL);
}
