/*
 * SQLite behind store_db.h. WAL with synchronous=FULL: a commit that returned is on the disk, a
 * process that dies at any point leaves a database that opens.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/store/store.h"
#include "src/store/store_db.h"

#define STORE_STMT_PARAMS 32

struct store_stmt {
	sqlite3_stmt *h;
	uint8_t index[STORE_STMT_PARAMS + 1]; /* of $1, $2 ...: SQLite counts by appearance */
	bool busy;
};

struct store_db {
	sqlite3 *h;
	struct store_stmt st[SQL_COUNT];
	bool in_tx;
	bool in_group;
	bool soft; /* synchronous is NORMAL: a commit is not waited for */
	char error[200];
};

static const char *const sql_text[SQL_COUNT] = {
#define X(name, text) [SQL_##name] = text,
	STORE_SQL(X)
#undef X
};

static int err_of(struct store_db *db, int rc)
{
	if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
		return 0;
	snprintf(db->error, sizeof(db->error), "%s",
		 db->h != NULL ? sqlite3_errmsg(db->h) : sqlite3_errstr(rc));
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return LN_E_TIMEOUT;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_IOERR:
		return -EIO;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CANTOPEN:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return LN_E_MALFORMED;
	case SQLITE_CONSTRAINT:
		return LN_E_CONFLICT;
	default:
		return LN_E_INTERNAL;
	}
}

const char *store_db_error(const struct store_db *db)
{
	return db->error;
}

int store_db_exec(struct store_db *db, const char *sql)
{
	return err_of(db, sqlite3_exec(db->h, sql, NULL, NULL, NULL));
}

/* The file is made here and not by SQLite so that it is never readable for others. */
static int make_private(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int set_up(struct store_db *db, const struct store_conf *conf)
{
	sqlite3_extended_result_codes(db->h, 1);
	sqlite3_busy_timeout(db->h, conf->busy_ms != 0 ? (int)conf->busy_ms : 5000);
	sqlite3_db_config(db->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	/* Reading the schema is the first access: this is where "not a database" shows. */
	int r = store_db_exec(db, "SELECT count(*) FROM sqlite_master");
	if (r == 0 && !conf->read_only)
		r = store_db_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
	if (r == 0)
		r = store_db_exec(db, "PRAGMA foreign_keys = ON; PRAGMA cache_size = -4096;"
				      "PRAGMA journal_size_limit = 4194304;"
				      "PRAGMA temp_store = MEMORY");
	return r;
}

int store_db_durable(struct store_db *db, bool durable)
{
	if (db->in_group || db->soft == !durable)
		return 0;
	int r = store_db_exec(db, durable ? "PRAGMA synchronous = FULL"
					  : "PRAGMA synchronous = NORMAL");
	if (r == 0)
		db->soft = !durable;
	return r;
}

int store_db_open(const struct store_conf *conf, struct store_db **ret, struct ln_fail *f)
{
	int r = conf->read_only ? 0 : make_private(conf->path);
	if (r < 0)
		return ln_fail(f, r, "cannot open the store %s: %s", conf->path, ln_strerror(r));
	struct store_db *db = ln_alloc(sizeof(*db));
	int flags = conf->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	r = err_of(db,
		   sqlite3_open_v2(conf->path, &db->h,
				   flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL));
	if (r == 0)
		r = set_up(db, conf);
	if (r < 0) {
		ln_fail(f, r, "cannot open the store %s: %s", conf->path, db->error);
		store_db_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

void store_db_close(struct store_db *db)
{
	if (db == NULL)
		return;
	for (size_t i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(db->st[i].h);
	sqlite3_close(db->h);
	free(db);
}

int store_db_copy(struct store_db *db, const char *path)
{
	char tmp[4096];
	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.new", path) >= sizeof(tmp))
		return -ENAMETOOLONG;
	if (unlink(tmp) < 0 && errno != ENOENT)
		return -errno;
	int r = make_private(tmp); /* VACUUM INTO accepts an empty file */
	if (r < 0)
		return r;
	char *sql = sqlite3_mprintf("VACUUM INTO %Q", tmp);
	ln_assert(sql != NULL);
	r = store_db_exec(db, sql);
	sqlite3_free(sql);
	int fd = r == 0 ? open(tmp, O_RDONLY | O_CLOEXEC) : -1;
	if (r == 0 && (fd < 0 || fsync(fd) < 0 || rename(tmp, path) < 0))
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r < 0)
		unlink(tmp);
	return r;
}

int store_db_is_empty(struct store_db *db, bool *ret)
{
	sqlite3_stmt *h = NULL;
	int rc = sqlite3_prepare_v2(db->h, "SELECT count(*) FROM sqlite_master", -1, &h, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(h);
	int r = err_of(db, rc);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(h, 0) == 0;
	sqlite3_finalize(h);
	return r;
}

int store_db_foreign(struct store_db *db, int64_t *ret)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(db, SQL_FOREIGN_CHANGES);
	int r = store_q_step(&q);
	if (r <= 0)
		return r < 0 ? r : LN_E_INTERNAL;
	*ret = store_q_col_int(&q, 0);
	return 0;
}

static int run_plain(struct store_db *db, enum store_sql id)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(db, id);
	return store_q_run(&q);
}

/* Disk full and I/O errors may have rolled back already. */
static int roll_back(struct store_db *db, int err)
{
	if (sqlite3_get_autocommit(db->h) != 0)
		return err;
	char why[sizeof(db->error)];
	memcpy(why, db->error, sizeof(why));
	int r = run_plain(db, SQL_TX_ROLLBACK);
	memcpy(db->error, why, sizeof(why));
	return r < 0 ? r : err;
}

int store_tx_begin(struct store_db *db, enum store_sql kind)
{
	ln_assert(!db->in_tx);
	int r = store_db_durable(db, true);
	if (r == 0)
		r = run_plain(db, db->in_group ? SQL_TX_SAVE : kind);
	if (r < 0)
		return r;
	db->in_tx = true;
	return 0;
}

/* Takes back what this transaction did, and nothing else of the group. */
static int back_to_savepoint(struct store_db *db, int err)
{
	char why[sizeof(db->error)];
	if (store_group_lost(db))
		return err;
	memcpy(why, db->error, sizeof(why));
	int r = run_plain(db, SQL_TX_BACK);
	if (r >= 0)
		r = run_plain(db, SQL_TX_RELEASE);
	memcpy(db->error, why, sizeof(why));
	return r < 0 ? roll_back(db, err) : err; /* rather all of them again than half of one */
}

int store_tx_end(struct store_db *db, int err)
{
	ln_assert(db->in_tx);
	db->in_tx = false;
	if (err >= 0) {
		int r = run_plain(db, db->in_group ? SQL_TX_RELEASE : SQL_TX_COMMIT);
		if (r >= 0)
			return err;
		err = r;
	}
	return db->in_group ? back_to_savepoint(db, err) : roll_back(db, err);
}

int store_group_begin(struct store_db *db, bool durable)
{
	ln_assert(!db->in_tx && !db->in_group);
	int r = store_db_durable(db, durable);
	if (r == 0)
		r = run_plain(db, SQL_TX_WRITE);
	db->in_group = r >= 0;
	return r < 0 ? r : 0;
}

bool store_group_lost(const struct store_db *db)
{
	return db->in_group && sqlite3_get_autocommit(db->h) != 0;
}

int store_group_end(struct store_db *db)
{
	ln_assert(!db->in_tx && db->in_group);
	bool lost = store_group_lost(db);
	db->in_group = false;
	int r = lost ? -EIO : run_plain(db, SQL_TX_COMMIT);
	if (r < 0)
		r = roll_back(db, r);
	/* What was committed stays committed: a failure here is met again by the next transaction.
	 */
	db->soft = store_db_durable(db, true) < 0;
	return r < 0 ? r : 0;
}

struct store_q store_q_begin(struct store_db *db, enum store_sql id)
{
	struct store_stmt *st = &db->st[id];
	struct store_q q = { .db = db, .st = st };
	ln_assert(!st->busy);
	st->busy = true;
	/* Outside of the group's transaction it would be stored for itself. */
	if (store_group_lost(db))
		q.err = -EIO;
	if (q.err < 0 || st->h != NULL)
		return q;
	q.err = err_of(db, sqlite3_prepare_v3(db->h, sql_text[id], -1, SQLITE_PREPARE_PERSISTENT,
					      &st->h, NULL));
	if (q.err < 0)
		return q;
	ln_assert(sqlite3_bind_parameter_count(st->h) <= STORE_STMT_PARAMS);
	for (int i = 1; i <= STORE_STMT_PARAMS; i++) {
		char name[8];
		snprintf(name, sizeof(name), "$%d", i);
		st->index[i] = (uint8_t)sqlite3_bind_parameter_index(st->h, name);
	}
	return q;
}

void store_q_end(struct store_q *q)
{
	if (q->st->h != NULL) {
		sqlite3_reset(q->st->h);
		sqlite3_clear_bindings(q->st->h);
	}
	q->st->busy = false;
}

static int next_param(struct store_q *q)
{
	if (q->err < 0)
		return 0;
	q->bound++;
	ln_assert(q->bound <= STORE_STMT_PARAMS && q->st->index[q->bound] != 0);
	return q->st->index[q->bound];
}

static void bound(struct store_q *q, int rc)
{
	if (q->err == 0)
		q->err = err_of(q->db, rc);
}

void store_q_int(struct store_q *q, int64_t v)
{
	int i = next_param(q);
	if (i > 0)
		bound(q, sqlite3_bind_int64(q->st->h, i, v));
}

void store_q_bool(struct store_q *q, bool v)
{
	store_q_int(q, v ? 1 : 0);
}

void store_q_text(struct store_q *q, const char *s)
{
	int i = next_param(q);
	if (i > 0)
		bound(q, s == NULL ? sqlite3_bind_null(q->st->h, i)
				   : sqlite3_bind_text(q->st->h, i, s, -1, SQLITE_TRANSIENT));
}

void store_q_blob(struct store_q *q, struct slice b)
{
	int i = next_param(q);
	if (i > 0)
		bound(q, b.n == 0 ? sqlite3_bind_zeroblob(q->st->h, i, 0)
				  : sqlite3_bind_blob64(q->st->h, i, b.p, b.n, SQLITE_TRANSIENT));
}

int store_q_step(struct store_q *q)
{
	if (q->err < 0)
		return q->err;
	int rc = sqlite3_step(q->st->h);
	if (rc == SQLITE_ROW)
		return 1;
	q->err = err_of(q->db, rc);
	return q->err;
}

int store_q_run(struct store_q *q)
{
	int r = store_q_step(q);
	ln_assert(r <= 0);
	return r < 0 ? r : sqlite3_changes(q->db->h);
}

int64_t store_q_col_int(const struct store_q *q, int col)
{
	return sqlite3_column_int64(q->st->h, col);
}

bool store_q_col_bool(const struct store_q *q, int col)
{
	return sqlite3_column_int64(q->st->h, col) != 0;
}

const char *store_q_col(const struct store_q *q, int col)
{
	const char *s = (const char *)sqlite3_column_text(q->st->h, col);
	return s != NULL ? s : "";
}

char *store_q_col_text(const struct store_q *q, int col, struct arena *a)
{
	return arena_strdup(a, store_q_col(q, col));
}

struct slice store_q_col_blob(const struct store_q *q, int col, struct arena *a)
{
	const void *p = sqlite3_column_blob(q->st->h, col);
	return arena_slice(a, slice_of(p, (size_t)sqlite3_column_bytes(q->st->h, col)));
}
