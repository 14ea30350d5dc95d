/* Opening, migrating, refusing; the server key; the account as a new one looks; the store thread.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/ev/ev.h"
#include "src/store/sql/store_migrations.h"
#include "src/store/store.h"
#include "src/store/store_internal.h"
#include "tests/unit/store/store_fixture.h"
#include "tests/unit/unit.h"

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void test_new_account_looks_like_netbirds(void **state)
{
	struct store_fixture fx;
	store_fixture_init(&fx);
	const struct store_account *acc = &fx.account;
	assert_int_equal(strlen(acc->id.text), STORE_ID_LEN);
	assert_int_equal(acc->net4.len, 16);
	assert_int_equal(acc->net4.addr.b[0], 100);
	assert_in_range(acc->net4.addr.b[1], 64, 127);
	assert_int_equal(acc->net4.addr.b[2] | acc->net4.addr.b[3], 0);
	assert_int_equal(acc->net6.len, 64);
	assert_int_equal(acc->net6.addr.b[0], 0xfd);
	assert_string_equal(acc->domain, "netbird.selfhosted");
	assert_true(acc->lazy_connections);
	assert_true(acc->serial > 0);

	struct store_group *groups;
	struct store_policy *policies;
	size_t n;
	assert_int_equal(store_group_list(fx.store, &fx.arena, &groups, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(groups[0].name, "All");
	assert_int_equal(store_policy_list(fx.store, &fx.arena, &policies, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(policies[0].name, "Default");
	assert_true(policies[0].enabled);
	assert_int_equal(policies[0].nrules, 1);
	const struct store_rule *r = &policies[0].rules[0];
	assert_true(r->enabled && r->bidirectional && !r->drop);
	assert_int_equal(r->protocol, 1);
	assert_string_equal(r->sources[0].name, "All");
	assert_string_equal(r->destinations[0].id.text, groups[0].id.text);

	struct store_account again;
	assert_int_equal(store_account_ensure(fx.store, ev_wall(), &again), 0);
	assert_string_equal(again.id.text, acc->id.text);
	assert_int_equal(again.serial, acc->serial);
	assert_int_equal(store_account_set_lazy(fx.store, false), 0);
	assert_int_equal(store_account_get(fx.store, &again), 0);
	assert_false(again.lazy_connections);
	assert_true(again.serial > acc->serial); /* everybody gets to know */
	store_fixture_fini(&fx);
}

static void test_account_survives_reopening(void **state)
{
	struct store_fixture fx;
	struct wg_secret a, b;
	store_fixture_init(&fx);
	struct store_account before = fx.account;
	assert_int_equal(store_server_key(fx.store, &a), 0);
	store_fixture_reopen(&fx);
	assert_int_equal(store_server_key(fx.store, &b), 0);
	assert_memory_equal(a.b, b.b, sizeof(a.b));
	assert_false(wg_secret_is_zero(&a));
	assert_string_equal(before.id.text, fx.account.id.text);
	assert_true(ip_prefix_equal(&before.net6, &fx.account.net6));
	store_fixture_fini(&fx);
}

static void test_file_is_private(void **state)
{
	struct store_fixture fx;
	struct stat st;
	char wal[128];
	store_fixture_init(&fx);
	assert_int_equal(stat(fx.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(wal, sizeof(wal), "%s-wal", fx.path);
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	store_fixture_fini(&fx);
}

static void test_newer_store_is_refused(void **state)
{
	struct store_fixture fx;
	struct ln_fail f = { 0 };
	struct store *s;
	store_fixture_init(&fx);
	store_close(fx.store);
	fx.store = NULL;
	run_sql(fx.path, "UPDATE store_settings SET value = '999' WHERE name = 'schema_version'");
	assert_int_equal(store_open(&fx.conf, &s, &f), LN_E_UNSUPPORTED);
	assert_non_null(strstr(f.text, "version 999"));
	run_sql(fx.path, "UPDATE store_settings SET value = '-1x' WHERE name = 'schema_version'");
	assert_int_equal(store_open(&fx.conf, &s, &f), LN_E_MALFORMED);
	store_fixture_fini(&fx);
}

static void test_foreign_files_are_refused(void **state)
{
	struct store_fixture fx;
	struct ln_fail f = { 0 };
	struct store *s;
	store_fixture_init(&fx);
	char path[128];
	snprintf(path, sizeof(path), "%s/other.db", fx.dir);
	run_sql(path, "CREATE TABLE peers (id TEXT)");
	struct store_conf conf = { .path = path, .rng = &fx.rng };
	assert_int_equal(store_open(&conf, &s, &f), LN_E_UNSUPPORTED);
	assert_non_null(strstr(f.text, "not a store of linnet"));

	snprintf(path, sizeof(path), "%s/text.db", fx.dir);
	FILE *file = fopen(path, "w");
	for (int i = 0; i < 200; i++)
		fprintf(file, "this is no database, line %d\n", i);
	fclose(file);
	assert_int_equal(store_open(&conf, &s, &f), LN_E_MALFORMED);

	snprintf(path, sizeof(path), "%s/missing/x.db", fx.dir);
	assert_int_equal(store_open(&conf, &s, &f), -ENOENT);
	store_fixture_fini(&fx);
}

/* What an upgrade does: a copy first, all of a step or nothing of it, no way back. */
static void test_migrations(void **state)
{
	struct store_fixture fx;
	struct ln_fail f = { 0 };
	struct store_migration list[3];
	char copy[128];
	store_fixture_init(&fx);
	struct store_id account = fx.account.id;
	store_close(fx.store);
	fx.store = NULL;
	assert_int_equal(store_migration_count, 1); /* a new step needs its test here */
	assert_int_equal(store_migrations[0].number, 1);
	list[0] = store_migrations[0];
	list[1] = (struct store_migration){ 2, "broken", "CREATE TABLE x (a TEXT); CREATE y;" };
	snprintf(copy, sizeof(copy), "%s.v1.backup", fx.path);
	assert_int_equal(access(copy, F_OK), -1);
	assert_int_equal(store_open_migrations(&fx.conf, list, 2, &fx.store, &f), LN_E_INTERNAL);
	assert_non_null(strstr(f.text, "cannot upgrade the store"));
	assert_int_equal(access(copy, F_OK), 0);
	store_fixture_reopen(&fx); /* still version 1 */
	assert_string_equal(fx.account.id.text, account.text);
	store_close(fx.store);
	fx.store = NULL;

	list[1] = (struct store_migration){ 2, "good", "CREATE TABLE x (a TEXT)" };
	list[2] = (struct store_migration){ 3, "good", "INSERT INTO x VALUES ('1')" };
	assert_int_equal(store_open_migrations(&fx.conf, list, 3, &fx.store, &f), 0);
	store_close(fx.store);
	assert_int_equal(store_open_migrations(&fx.conf, list, 3, &fx.store, &f), 0);
	store_close(fx.store);
	fx.store = NULL;
	struct store *s;
	assert_int_equal(store_open(&fx.conf, &s, &f), LN_E_UNSUPPORTED);
	/* The copy is a whole store of the old version, and private. */
	struct stat st;
	assert_int_equal(stat(copy, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	struct store_conf old = fx.conf;
	old.path = copy;
	assert_int_equal(store_open(&old, &s, &f), 0);
	struct store_account acc;
	assert_int_equal(store_account_get(s, &acc), 0);
	assert_string_equal(acc.id.text, account.text);
	store_close(s);
	store_fixture_fini(&fx);
}

/* --- the store thread ----------------------------------------------------------------------------
 */

struct log {
	struct ev_loop *loop;
	int jobs[64];
	int answers[64];
	int njobs, nanswers;
};

struct entry {
	struct log *log;
	int number;
};

static void job(struct store *s, void *arg)
{
	struct entry *e = arg;
	struct store_account acc;
	assert_int_equal(store_account_get(s, &acc), 0);
	e->log->jobs[e->log->njobs++] = e->number;
}

static void answer(void *arg)
{
	struct entry *e = arg;
	e->log->answers[e->log->nanswers++] = e->number;
	if (e->number == 63)
		ev_loop_stop(e->log->loop);
}

static void test_jobs_run_in_order(void **state)
{
	struct store_fixture fx;
	struct log log = { .loop = ev_loop_new() };
	struct entry e[64];
	store_fixture_init(&fx);
	store_start(fx.store, log.loop);
	for (int i = 0; i < 64; i++) {
		e[i] = (struct entry){ &log, i };
		store_run(fx.store, job, answer, &e[i]);
	}
	assert_int_equal(store_backlog(fx.store), 64);
	ev_loop_run(log.loop);
	assert_int_equal(store_backlog(fx.store), 0);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(log.jobs[i], i);
		assert_int_equal(log.answers[i], i);
	}
	/* What is queued when the thread is stopped still runs, and its answers still come. */
	log.njobs = log.nanswers = 0;
	for (int i = 0; i < 64; i++)
		store_run(fx.store, job, answer, &e[i]);
	store_stop(fx.store);
	assert_int_equal(log.njobs, 64);
	ev_loop_run(log.loop);
	assert_int_equal(log.nanswers, 64);
	ev_loop_free(log.loop);
	store_fixture_fini(&fx);
}

static void stop_here(void *arg)
{
	struct store_fixture *fx = arg;
	store_stop(fx->store);
}

static void nothing(struct store *s, void *arg)
{
}

/* A service stops its store when its last job has come back: inside that answer. */
static void test_stop_inside_an_answer(void **state)
{
	struct store_fixture fx;
	struct log log = { .loop = ev_loop_new() };
	struct entry last = { &log, 63 };
	store_fixture_init(&fx);
	store_start(fx.store, log.loop);
	store_run(fx.store, nothing, stop_here, &fx);
	store_run(fx.store, job, answer, &last);
	ev_loop_run(log.loop);
	assert_int_equal(log.nanswers, 1);
	ev_loop_free(log.loop);
	store_fixture_fini(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_account_looks_like_netbirds),
		cmocka_unit_test(test_account_survives_reopening),
		cmocka_unit_test(test_file_is_private),
		cmocka_unit_test(test_newer_store_is_refused),
		cmocka_unit_test(test_foreign_files_are_refused),
		cmocka_unit_test(test_migrations),
		cmocka_unit_test(test_jobs_run_in_order),
		cmocka_unit_test(test_stop_inside_an_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
