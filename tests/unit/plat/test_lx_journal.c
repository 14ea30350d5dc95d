#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/plat/linux/lx_journal.h"
#include "tests/unit/unit.h"

static char dir[64];

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/ln-journal-XXXXXX");
	return mkdtemp(dir) == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void put(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static bool exists(const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void test_round_trip(void **state)
{
	(void)state;
	struct lx_journal j = { .ifname = "wt0", .table = "netbird", .mark = 0x3f01bd00 }, back;
	assert_true(lx_rpf_add(&j.rpf, "all") && lx_rpf_add(&j.rpf, "eth0.5"));
	assert_true(lx_rpf_add(&j.rpf, "all") && j.rpf.n == 2);
	assert_true(lx_rpf_add(&j.rpf, "\"quoted\\\""));
	struct stat st;
	char path[128];
	assert_int_equal(lx_journal_prepare(dir, NULL), 0);
	assert_int_equal(lx_journal_read(dir, "wt0", &back), LN_E_NOTFOUND);
	assert_int_equal(lx_journal_write(dir, &j, NULL), 0);
	assert_int_equal(lx_journal_read(dir, "wt0", &back), 0);
	assert_string_equal(back.ifname, "wt0");
	assert_string_equal(back.table, "netbird");
	assert_int_equal(back.mark, 0x3f01bd00);
	assert_memory_equal(&back.rpf, &j.rpf, sizeof(j.rpf));
	/* As many as there may be, with names as long as they may be. */
	for (unsigned i = j.rpf.n; i < LX_RPF_MAX; i++) {
		char name[PLAT_IFNAME_MAX];
		snprintf(name, sizeof(name), "\"\"\"\"\"\"\"\"\"\"\"\"%03u", i);
		assert_true(lx_rpf_add(&j.rpf, name));
	}
	assert_false(lx_rpf_add(&j.rpf, "one-too-many"));
	assert_int_equal(lx_journal_write(dir, &j, NULL), 0);
	assert_int_equal(lx_journal_read(dir, "wt0", &back), 0);
	assert_int_equal(back.rpf.n, LX_RPF_MAX);
	snprintf(path, sizeof(path), "%s/plat-wt0.json", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_false(exists("plat-wt0.json.new"));
	assert_int_equal(lx_journal_remove(dir, "wt0"), 0);
	assert_int_equal(lx_journal_remove(dir, "wt0"), 0);
	assert_int_equal(lx_journal_read(dir, "wt0", &back), LN_E_NOTFOUND);
}

static void test_unwritable_folder(void **state)
{
	(void)state;
	struct lx_journal j = { .ifname = "wt0" };
	struct ln_fail f = { 0 };
	assert_true(lx_journal_write("/nonexistent/folder", &j, &f) < 0);
	assert_non_null(strstr(f.text, "/nonexistent/folder/plat-wt0.json"));
	assert_true(lx_journal_prepare("/nonexistent/folder", &f) < 0);
}

static void collect(void *arg, const struct lx_journal *j)
{
	strcat(arg, j->ifname);
	strcat(arg, " ");
}

static void test_orphans(void **state)
{
	(void)state;
	char seen[256] = "", path[128];
	struct lx_journal j = { .ifname = "own" };
	assert_int_equal(lx_journal_write(dir, &j, NULL), 0);
	put("plat-dead.json",
	    "{\"version\":1,\"ifname\":\"dead\",\"table\":\"t\",\"pid\":1,\"start\":1}");
	put("plat-bad.json", "{\"version\":1,\"ifname\":\"ba");
	put("plat-evil.json",
	    "{\"version\":1,\"ifname\":\"a*\",\"table\":\"t\",\"pid\":1,\"start\":1}");
	put("plat-quote.json",
	    "{\"version\":1,\"ifname\":\"q\",\"table\":\"t\\\"x\",\"pid\":1,\"start\":1}");
	put("plat-new.json",
	    "{\"version\":2,\"ifname\":\"new\",\"table\":\"\",\"pid\":1,\"start\":1}");
	put("other.json", "{}");
	/* A live process that is not us. */
	pid_t child = fork();
	if (child == 0) {
		struct lx_journal c = { .ifname = "live" };
		int r = lx_journal_write(dir, &c, NULL);
		(void)!write(STDERR_FILENO, "", 0);
		if (r == 0)
			pause();
		_exit(1);
	}
	for (int i = 0; i < 500 && !exists("plat-live.json"); i++)
		usleep(10000);
	assert_int_equal(lx_journal_each_orphan(dir, collect, seen), 0);
	assert_string_equal(seen, "dead own "); /* our own: the caller knows what is in use */
	assert_true(exists("plat-bad.json.corrupted"));
	assert_true(exists("plat-evil.json.corrupted"));
	assert_true(exists("plat-quote.json.corrupted"));
	assert_true(exists("plat-new.json.corrupted"));
	assert_true(exists("other.json"));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	seen[0] = '\0';
	assert_int_equal(lx_journal_each_orphan(dir, collect, seen), 0);
	assert_string_equal(seen, "dead live own ");
	snprintf(path, sizeof(path), "%s/none", dir);
	assert_int_equal(lx_journal_each_orphan(path, collect, seen), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_unwritable_folder),
		cmocka_unit_test(test_orphans),
	};
	return cmocka_run_group_tests_name("lx_journal", tests, set_up, tear_down);
}
