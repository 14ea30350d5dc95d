#pragma once
/*
 * The database as the store's functions see it: named statements, bound in order, read in order.
 * One implementation today (sqlite/store_sqlite.c). Private to src/store.
 *
 *	LN_AUTO(store_q_end) struct store_q q = store_q_begin(db, SQL_PEER_BY_KEY);
 *	store_q_text(&q, key);
 *	int r = store_q_step(&q);          1 a row, 0 no more, < 0 error
 *
 * Binding and reading have no errors of their own: a failed bind shows in the next step, a column
 * of another type reads as zero or empty text.
 */
#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#include "src/store/sql/store_sql.h"

struct store_conf;
struct store_db;
struct store_stmt;

LN_MUST_CHECK int store_db_open(const struct store_conf *conf, struct store_db **ret,
				struct ln_fail *f);
void store_db_close(struct store_db *db);
/* Statements without parameters or results, separated by semicolons: migrations only. */
LN_MUST_CHECK int store_db_exec(struct store_db *db, const char *sql);
/*
 * Whether the commits that follow are on the disk when they return. Not inside a transaction; in a
 * group it changes nothing, for the group has one commit.
 */
LN_MUST_CHECK int store_db_durable(struct store_db *db, bool durable);
/*
 * A number that changes when another connection has changed the database. Inside a transaction,
 * after its first read.
 */
LN_MUST_CHECK int store_db_foreign(struct store_db *db, int64_t *ret);
/* A consistent copy of the whole database in a new file of mode 0600; replaces an older copy. */
LN_MUST_CHECK int store_db_copy(struct store_db *db, const char *path);
/* Names of tables exist in the file at all. */
LN_MUST_CHECK int store_db_is_empty(struct store_db *db, bool *ret);
/* What the database said about its last error; for people. */
const char *store_db_error(const struct store_db *db);

/* Ends the transaction: commit when *err is not negative, else roll back. A failed commit rolls
 * back and is the new *err. */
LN_MUST_CHECK int store_tx_begin(struct store_db *db, enum store_sql kind);
int store_tx_end(struct store_db *db, int err);

/*
 * A group: one commit for several transactions. In between store_tx_begin() and store_tx_end() set
 * savepoints, so that one that fails takes nothing along. When an error makes the database drop
 * everything (disk full, I/O error), the group is lost: every statement fails until its end.
 *
 * store_group_end() commits; after an error nothing of the group is stored.
 */
LN_MUST_CHECK int store_group_begin(struct store_db *db, bool durable);
LN_MUST_CHECK int store_group_end(struct store_db *db);
bool store_group_lost(const struct store_db *db);

struct store_q {
	struct store_db *db;
	struct store_stmt *st;
	int bound; /* parameters bound so far */
	int err;
};

struct store_q store_q_begin(struct store_db *db, enum store_sql id);
void store_q_end(struct store_q *q);
void store_q_int(struct store_q *q, int64_t v);
void store_q_bool(struct store_q *q, bool v);
void store_q_text(struct store_q *q, const char *s); /* null binds NULL */
void store_q_blob(struct store_q *q, struct slice b);
LN_MUST_CHECK int store_q_step(struct store_q *q);
/* Step of a statement without rows. Number of rows it changed. */
LN_MUST_CHECK int store_q_run(struct store_q *q);

int64_t store_q_col_int(const struct store_q *q, int col);
bool store_q_col_bool(const struct store_q *q, int col);
const char *store_q_col(const struct store_q *q, int col); /* never null; until the next step */
/* Copies; null only when the arena is full. */
char *store_q_col_text(const struct store_q *q, int col, struct arena *a);
struct slice store_q_col_blob(const struct store_q *q, int col, struct arena *a);
