/*
 * What was acknowledged stays, whatever happens: a disk that is full or fails at the n-th write or
 * sync (a VFS between SQLite and the file), and a writer killed at any moment.
 */
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/ev/ev.h"
#include "src/store/store.h"
#include "tests/unit/store/store_fixture.h"
#include "tests/unit/unit.h"

/* --- a VFS that fails on demand ------------------------------------------------------------------
 */

struct failing_file {
	sqlite3_file base;
	sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs failing_vfs;
static sqlite3_io_methods methods;
static int countdown = -1; /* the call that fails first; -1 = none */
static int failure;        /* what it fails with, from then on */

static bool fails(void)
{
	if (countdown < 0)
		return false;
	if (countdown > 0) {
		countdown--;
		return false;
	}
	return true;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct failing_file *)(void *)f)->real;
}

static int f_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	return fails() ? failure : real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	return fails() ? failure : real_of(f)->pMethods->xTruncate(real_of(f), n);
}

static int f_sync(sqlite3_file *f, int flags)
{
	return fails() ? SQLITE_IOERR_FSYNC : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int f_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), n);
}

static int f_lock(sqlite3_file *f, int l)
{
	return real_of(f)->pMethods->xLock(real_of(f), l);
}

static int f_unlock(sqlite3_file *f, int l)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), l);
}

static int f_reserved(sqlite3_file *f, int *r)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), r);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int f_device(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **p)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, p);
}

static int f_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int f_shm_unmap(sqlite3_file *f, int del)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), del);
}

static int v_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct failing_file *ff = (struct failing_file *)(void *)f;
	ff->real = (sqlite3_file *)(void *)(ff + 1);
	int rc = real_vfs->xOpen(real_vfs, name, ff->real, flags, out);
	f->pMethods = rc == SQLITE_OK ? &methods : NULL;
	return rc;
}

static void install_vfs(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	failing_vfs = *real_vfs;
	failing_vfs.zName = "failing";
	failing_vfs.szOsFile = (int)sizeof(struct failing_file) + real_vfs->szOsFile;
	failing_vfs.xOpen = v_open;
	methods = (sqlite3_io_methods){
		.iVersion = 2,
		.xClose = f_close,
		.xRead = f_read,
		.xWrite = f_write,
		.xTruncate = f_truncate,
		.xSync = f_sync,
		.xFileSize = f_size,
		.xLock = f_lock,
		.xUnlock = f_unlock,
		.xCheckReservedLock = f_reserved,
		.xFileControl = f_control,
		.xSectorSize = f_sector,
		.xDeviceCharacteristics = f_device,
		.xShmMap = f_shm_map,
		.xShmLock = f_shm_lock,
		.xShmBarrier = f_shm_barrier,
		.xShmUnmap = f_shm_unmap,
	};
	assert_int_equal(sqlite3_vfs_register(&failing_vfs, 1), SQLITE_OK);
}

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

static void fail_at(struct store_fixture *fx, int n, int with, unsigned *peers)
{
	struct store_peer p;
	uint64_t serial = store_fixture_serial(fx);
	countdown = n;
	failure = with;
	int r = store_fixture_peer(fx, *peers, "host", "h", &p);
	bool hit = countdown == 0;
	countdown = -1;
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
	static const int kinds[] = { SQLITE_FULL, SQLITE_IOERR_WRITE };
	struct store_fixture fx;
	install_vfs();
	store_fixture_init(&fx);
	store_fixture_key(&fx, "h", true, false);
	unsigned peers = 0;
	for (size_t k = 0; k < LN_COUNT(kinds); k++) {
		for (int n = 0; n < 24; n++) {
			fail_at(&fx, n, kinds[k], &peers);
			if (n % 8 == 7) {
				store_fixture_reopen(&fx);
				assert_int_equal(count_peers(&fx), peers);
			}
		}
	}
	assert_in_range(refused, 10, 48);
	store_fixture_fini(&fx);
	assert_int_equal(sqlite3_vfs_unregister(&failing_vfs), SQLITE_OK);
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
