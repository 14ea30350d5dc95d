/*
 * Jobs that share a commit: one write to the disk for many, each answered after it, nobody punished
 * for another's error, and what was acknowledged is there after a full disk and after kill -9.
 */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/ev/ev.h"
#include "tests/unit/store/failing_disk.h"
#include "tests/unit/store/store_fixture.h"
#include "tests/unit/unit.h"

#define JOBS 40
#define BULK (200 << 10) /* all of them are more than the database's cache */

struct crowd {
	struct store_fixture fx;
	struct ev_loop *loop;
	sem_t gate; /* the store thread waits here until the queue is full */

	struct reg {
		struct crowd *crowd;
		unsigned number;  /* of its key */
		const char *hash; /* of the setup key */
		size_t room;      /* of the job's arena */
		bool bulky;       /* more than the cache holds, and one more transaction */
		int result, runs;
		bool answered;
	} regs[JOBS];

	unsigned answered;
	unsigned lost, again; /* jobs that failed; that ran twice */
	int fd;               /* acknowledged numbers go here; -1: nowhere */
};

static void crowd_init(struct crowd *c)
{
	memset(c, 0, sizeof(*c));
	store_fixture_init(&c->fx);
	store_fixture_key(&c->fx, "h", true, false);
	c->fd = -1;
	c->loop = ev_loop_new();
	assert_int_equal(sem_init(&c->gate, 0, 0), 0);
	for (unsigned i = 0; i < JOBS; i++)
		c->regs[i] = (struct reg){ .crowd = c, .number = i, .hash = "h", .room = 16 << 20 };
}

static void crowd_fini(struct crowd *c)
{
	ev_loop_free(c->loop);
	sem_destroy(&c->gate);
	store_fixture_fini(&c->fx);
}

static void wait_at_gate(struct store *s, void *arg)
{
	struct crowd *c = arg;
	while (sem_wait(&c->gate) != 0)
		;
}

static void register_job(struct store *s, void *arg)
{
	static const char ssh_key[BULK] = "ssh-ed25519 AAAA";
	struct reg *r = arg;
	struct store_meta meta = { .hostname = "host", .version = "0.70.0" };
	struct store_registration reg = { .key = store_fixture_wg_key(r->number),
					  .setup_key_hash = r->hash,
					  .ssh_key = slice_of(ssh_key, r->bulky ? BULK : 16),
					  .meta = &meta };
	struct store_peer p;
	struct store_id group;
	struct arena a;
	uint64_t serial;
	arena_init(&a, r->room);
	r->runs++;
	r->result = store_peer_register(s, &reg, ev_wall(), &a, &p, &serial);
	if (r->bulky) {
		char name[16];
		snprintf(name, sizeof(name), "g%u", r->number);
		int e = store_group_create(s, name, &group);
		r->result = r->result < 0 ? r->result : e;
	}
	arena_fini(&a);
}

static void answered(void *arg)
{
	struct reg *r = arg;
	struct crowd *c = r->crowd;
	assert_false(r->answered);
	r->answered = true;
	if (c->fd >= 0 && r->result == 0 &&
	    write(c->fd, &r->number, sizeof(r->number)) != sizeof(r->number))
		_exit(6);
	if (++c->answered == JOBS)
		ev_loop_stop(c->loop);
}

/* All of them wait in the queue before the first runs. */
static void run_all(struct crowd *c)
{
	c->answered = 0;
	for (unsigned i = 0; i < JOBS; i++) {
		c->regs[i].answered = false;
		c->regs[i].runs = 0;
	}
	store_run(c->fx.store, wait_at_gate, NULL, c);
	for (unsigned i = 0; i < JOBS; i++)
		store_run_shared(c->fx.store, STORE_DURABLE, register_job, answered, &c->regs[i]);
	sem_post(&c->gate);
	ev_loop_run(c->loop);
	assert_int_equal(c->answered, JOBS);
}

static bool is_there(struct crowd *c, unsigned number)
{
	struct store_peer p;
	struct wg_key key = store_fixture_wg_key(number);
	int r = store_peer_find(c->fx.store, &key, &c->fx.arena, &p);
	assert_true(r == 0 || r == LN_E_NOTFOUND);
	return r == 0;
}

static size_t count_peers(struct crowd *c)
{
	struct store_peer *v;
	size_t n;
	assert_int_equal(store_peer_list(c->fx.store, &c->fx.arena, &v, &n), 0);
	return n;
}

static void test_one_write_for_all(void **state)
{
	struct crowd c;
	failing_disk_install();
	crowd_init(&c);
	store_start(c.fx.store, c.loop);
	unsigned before = failing_disk_syncs();
	run_all(&c);
	unsigned syncs = failing_disk_syncs() - before;
	store_stop(c.fx.store);
	for (unsigned i = 0; i < JOBS; i++) {
		assert_int_equal(c.regs[i].result, 0);
		assert_int_equal(c.regs[i].runs, 1);
		assert_true(is_there(&c, i));
	}
	assert_int_equal(store_fixture_serial(&c.fx), 1 + JOBS);
	assert_in_range(syncs, 1, 4); /* a commit, perhaps a checkpoint */
	crowd_fini(&c);
	failing_disk_remove();
}

/* Somebody's wrong key or second registration changes nothing for the others. */
static void test_errors_stay_with_their_owner(void **state)
{
	struct crowd c;
	crowd_init(&c);
	for (unsigned i = 0; i < JOBS; i++) {
		if (i % 5 == 1)
			c.regs[i].hash = "unknown";
		else if (i % 5 == 2)
			c.regs[i].number = 0;
		else if (i % 5 == 3)
			c.regs[i].room = 16; /* fails when all is written */
	}
	store_start(c.fx.store, c.loop);
	run_all(&c);
	store_stop(c.fx.store);
	unsigned stored = 0;
	for (unsigned i = 0; i < JOBS; i++) {
		int want = i % 5 == 1   ? LN_E_NOTFOUND
			   : i % 5 == 2 ? LN_E_CONFLICT
			   : i % 5 == 3 ? LN_E_LIMIT
					: 0;
		assert_int_equal(c.regs[i].result, want);
		assert_int_equal(c.regs[i].runs, 1);
		assert_int_equal(is_there(&c, c.regs[i].number), want == 0 || i % 5 == 2);
		stored += want == 0;
	}
	assert_int_equal(count_peers(&c), stored);
	assert_int_equal(store_fixture_serial(&c.fx), 1 + stored);
	crowd_fini(&c);
}

/* Whatever the disk does: the answer and the file say the same. */
static void fail_in_a_group(struct crowd *c, int at, enum failing_disk_kind kind, bool once)
{
	unsigned first = c->regs[0].number + JOBS, again = 0;
	size_t peers = count_peers(c);
	for (unsigned i = 0; i < JOBS; i++)
		c->regs[i].number = first + i;
	store_start(c->fx.store, c->loop);
	failing_disk_set(at, kind, once);
	run_all(c);
	bool hit = failing_disk_hit();
	failing_disk_clear();
	store_stop(c->fx.store);
	if (at % 4 == 0)
		store_fixture_reopen(&c->fx);
	for (unsigned i = 0; i < JOBS; i++) {
		int r = c->regs[i].result;
		assert_true(r == 0 || (hit && !once && (r == -ENOSPC || r == -EIO)));
		assert_int_equal(is_there(c, first + i), r == 0);
		again += c->regs[i].runs == 2;
		c->lost += r != 0;
		peers += r == 0;
	}
	assert_true(hit == (again > 0));
	c->again += again;
	assert_int_equal(count_peers(c), peers);
	assert_int_equal(store_fixture_serial(&c->fx), 1 + peers);
	arena_reset(&c->fx.arena);
}

static void test_disk_fails_in_a_group(void **state)
{
	struct crowd c;
	failing_disk_install();
	crowd_init(&c);
	for (int at = 0; at < 60; at += 5) {
		fail_in_a_group(&c, at, at % FAILING_DISK_KINDS, false);
		fail_in_a_group(&c, at, at % FAILING_DISK_KINDS, true);
	}
	/* Some met the failure, some only its echo, some neither. */
	assert_true(c.lost > JOBS && c.again > c.lost && count_peers(&c) > 3 * JOBS);
	crowd_fini(&c);
	failing_disk_remove();
}

/* It fails in the middle: what a job does afterwards belongs to the group that is lost. */
static void test_disk_fails_before_the_commit(void **state)
{
	struct crowd c;
	failing_disk_install();
	crowd_init(&c);
	for (unsigned i = 0; i < JOBS; i++)
		c.regs[i].bulky = true;
	store_start(c.fx.store, c.loop);
	failing_disk_set(300, FAILING_DISK_FULL, true);
	run_all(&c);
	assert_true(failing_disk_hit());
	store_stop(c.fx.store);
	unsigned runs = 0;
	for (unsigned i = 0; i < JOBS; i++) {
		assert_int_equal(c.regs[i].result, 0);
		assert_true(is_there(&c, i));
		runs += c.regs[i].runs;
	}
	assert_in_range(runs, JOBS + 1, 2 * JOBS - 1); /* the last ones had not begun */
	crowd_fini(&c);
	failing_disk_remove();
}

/* --- kill -9 ---------------------------------------------------------------------------------- */

static void writer(struct crowd *c, int fd, unsigned first)
{
	c->fd = fd;
	c->fx.seed = first + 77;
	if (store_open(&c->fx.conf, &c->fx.store, NULL) < 0)
		_exit(3);
	if (store_account_ensure(c->fx.store, ev_wall(), &c->fx.account) < 0)
		_exit(4);
	store_start(c->fx.store, c->loop);
	for (;; first += JOBS) {
		for (unsigned i = 0; i < JOBS; i++)
			c->regs[i].number = first + i;
		run_all(c);
	}
}

static void test_killed_group_loses_nothing(void **state)
{
	struct crowd c;
	unsigned first = 0, acknowledged = 0;
	crowd_init(&c);
	for (int round = 0; round < 12; round++, first += 100 * JOBS) {
		int fd[2], status;
		unsigned got, n = 0;
		store_close(c.fx.store);
		c.fx.store = NULL;
		assert_int_equal(pipe(fd), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(fd[0]);
			writer(&c, fd[1], first);
		}
		close(fd[1]);
		/* A few, then a moment that falls anywhere in a later group. */
		assert_int_equal(read(fd[0], &got, sizeof(got)), sizeof(got));
		usleep((useconds_t)(round * 731));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		store_fixture_reopen(&c.fx);
		do {
			assert_true(is_there(&c, got));
			n++;
		} while (read(fd[0], &got, sizeof(got)) == sizeof(got));
		close(fd[0]);
		acknowledged += n;
		/* Whole groups, and a serial for each peer. */
		size_t peers = count_peers(&c);
		assert_true(peers >= acknowledged && peers % JOBS == 0);
		assert_int_equal(store_fixture_serial(&c.fx), 1 + peers);
		arena_reset(&c.fx.arena);
	}
	crowd_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_write_for_all),
		cmocka_unit_test(test_errors_stay_with_their_owner),
		cmocka_unit_test(test_disk_fails_in_a_group),
		cmocka_unit_test(test_disk_fails_before_the_commit),
		cmocka_unit_test(test_killed_group_loses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
