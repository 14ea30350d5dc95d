/*
 * What was acknowledged stays, whatever happens: a disk that is full or fails at the n-th write or
 * sync, and a writer killed at any moment.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/ev/ev.h"
#include "src/store/store.h"
#include "tests/unit/store/failing_disk.h"
#include "tests/unit/store/store_fixture.h"
#include "tests/unit/unit.h"

static size_t count_peers(struct store_fixture *fx)
{
	struct store_peer *v = NULL;
	size_t n = 0;
	arena_reset(&fx->arena);
	assert_int_equal(store_peer_list(fx->store, &fx->arena, &v, &n), 0);
	return n;
}

/* One registration with the disk failing at its n-th call; then the disk is well again. */
static unsigned refused; /* registrations that met the failure */

static void fail_at(struct store_fixture *fx, int n, enum failing_disk_kind with, unsigned *peers)
{
	struct store_peer p;
	uint64_t serial = store_fixture_serial(fx);
	failing_disk_set(n, with, false);
	int r = store_fixture_peer(fx, *peers, "host", "h", &p);
	bool hit = failing_disk_hit();
	failing_disk_clear();
	if (r < 0) {
		assert_true(hit);
		refused++;
		assert_true(r == -ENOSPC || r == -EIO);
		assert_int_equal(count_peers(fx), *peers);
		assert_int_equal(store_fixture_serial(fx), serial);
		/* The store goes on without being opened again. */
		assert_int_equal(store_fixture_peer(fx, *peers, "host", "h", &p), 0);
	}
	(*peers)++;
	assert_int_equal(count_peers(fx), *peers);
	assert_int_equal(store_fixture_serial(fx), serial + 1);
}

static void test_disk_fails_at_every_call(void **state)
{
	struct store_fixture fx;
	failing_disk_install();
	store_fixture_init(&fx);
	store_fixture_key(&fx, "h", true, false);
	unsigned peers = 0;
	for (int kind = 0; kind < FAILING_DISK_KINDS; kind++) {
		for (int n = 0; n < 24; n++) {
			fail_at(&fx, n, kind, &peers);
			if (n % 8 == 7) {
				store_fixture_reopen(&fx);
				assert_int_equal(count_peers(&fx), peers);
			}
		}
	}
	assert_in_range(refused, 10, 48);
	store_fixture_fini(&fx);
	failing_disk_remove();
}

/* --- kill -9 -------------------------------------------------------------------------------------
 */

/* Registers peers for ever and says each one that was acknowledged. */
static void writer(const struct store_fixture *parent, int fd, unsigned first)
{
	struct store_fixture fx = *parent;
	fx.rng.ctx = &fx.seed;
	fx.conf.rng = &fx.rng;
	fx.seed = first + 77;
	fx.store = NULL;
	if (store_open(&fx.conf, &fx.store, NULL) < 0)
		_exit(3);
	if (store_account_ensure(fx.store, ev_wall(), &fx.account) < 0)
		_exit(4);
	for (unsigned i = first;; i++) {
		struct store_peer p;
		if (store_fixture_peer(&fx, i, "host", "h", &p) < 0)
			_exit(5);
		arena_reset(&fx.arena);
		if (write(fd, &i, sizeof(i)) != sizeof(i))
			_exit(6);
	}
}

static void test_killed_writer_loses_nothing(void **state)
{
	struct store_fixture fx;
	store_fixture_init(&fx);
	store_fixture_key(&fx, "h", true, false);
	unsigned acknowledged = 0;
	for (int round = 0; round < 20; round++) {
		int fd[2];
		store_close(fx.store);
		fx.store = NULL;
		assert_int_equal(pipe(fd), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(fd[0]);
			writer(&fx, fd[1], acknowledged);
		}
		close(fd[1]);
		/* Some acknowledged ones, then a moment that falls anywhere in the next. */
		unsigned last = 0;
		for (int i = 0; i <= round % 3; i++)
			assert_int_equal(read(fd[0], &last, sizeof(last)), sizeof(last));
		usleep((useconds_t)(round * 37));
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(fd[0], &last, sizeof(last)) == sizeof(last))
			;
		close(fd[0]);
		acknowledged = last + 1;
		store_fixture_reopen(&fx);
		size_t n = count_peers(&fx);
		/* The one under way may be there too: nobody was told. */
		assert_in_range(n, acknowledged, acknowledged + 1);
		for (unsigned i = 0; i < acknowledged; i++) {
			struct store_peer p;
			struct wg_key key = store_fixture_wg_key(i);
			assert_int_equal(store_peer_find(fx.store, &key, &fx.arena, &p), 0);
		}
		acknowledged = (unsigned)n;
		/* account, and one per registration: never less than what was seen */
		assert_int_equal(store_fixture_serial(&fx), 1 + n);
	}
	store_fixture_fini(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk_fails_at_every_call),
		cmocka_unit_test(test_killed_writer_loses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
