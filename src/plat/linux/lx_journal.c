#include "src/plat/linux/lx_journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/obs/obs_log.h"
#include "src/plat/linux/lx_nft.h"

#define PATH_LEN 4096
#define RECORD_MAX 4096
#define VERSION 1

static void record_path(char dst[PATH_LEN], const char *dir, const char *ifname, const char *suffix)
{
	snprintf(dst, PATH_LEN, "%s/plat-%s.json%s", dir, ifname, suffix);
}

/* Start time of a process in clock ticks after boot: with the pid it names a process for good. */
static bool start_time(pid_t pid, unsigned long long *ret)
{
	char path[64], text[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* The command name in parentheses may hold anything; field 22 counts from behind it. */
	char *at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at != NULL && sscanf(at, " %llu", ret) == 1;
}

int lx_journal_prepare(const char *dir, struct ln_fail *f)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return ln_fail(f, -errno, "cannot make the state folder %s: %s", dir,
			       strerror(errno));
	return 0;
}

static int write_synced(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int r = 0;
	while (r == 0 && n > 0) {
		ssize_t k = write(fd, text, n);
		if (k < 0 && errno != EINTR)
			r = -errno;
		if (k > 0) {
			text += k;
			n -= (size_t)k;
		}
	}
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static int sync_folder(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static json_t *rpf_names(const struct lx_rpf *rpf)
{
	json_t *a = json_array();
	for (unsigned i = 0; i < rpf->n; i++)
		json_array_append_new(a, json_string(rpf->names[i]));
	return a;
}

int lx_journal_write(const char *dir, const struct lx_journal *j, struct ln_fail *f)
{
	char path[PATH_LEN], temp[PATH_LEN];
	unsigned long long start = 0;
	(void)start_time(getpid(), &start);
	json_t *o = json_pack("{si ss ss sI so si sI}", "version", VERSION, "ifname", j->ifname,
			      "table", j->table, "mark", (json_int_t)j->mark, "strict",
			      rpf_names(&j->rpf), "pid", (int)getpid(), "start", (json_int_t)start);
	char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	record_path(path, dir, j->ifname, "");
	record_path(temp, dir, j->ifname, ".new");
	int r = text != NULL ? write_synced(temp, text, strlen(text)) : LN_E_MALFORMED;
	free(text);
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r == 0)
		r = sync_folder(dir);
	if (r < 0) {
		(void)unlink(temp);
		return ln_fail(f, r, "cannot write %s: %s", path, ln_strerror(r));
	}
	return 0;
}

static int copy_text(const json_t *o, const char *key, char *dst, size_t size)
{
	const char *s = json_string_value(json_object_get(o, key));
	if (s == NULL || strlen(s) >= size)
		return LN_E_MALFORMED;
	strcpy(dst, s);
	return 0;
}

/* Absent in records of earlier versions. */
static int read_rpf(const json_t *a, struct lx_rpf *ret)
{
	for (size_t i = 0; i < json_array_size(a); i++) {
		const char *name = json_string_value(json_array_get(a, i));
		if (name == NULL || !lx_rpf_add(ret, name))
			return LN_E_MALFORMED;
	}
	return 0;
}

/* ret_alive: the writer still runs and is not this process. */
static int read_record(const char *path, struct lx_journal *ret, bool *ret_alive)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? LN_E_NOTFOUND : -errno;
	char text[RECORD_MAX];
	ssize_t n = read(fd, text, sizeof(text));
	close(fd);
	if (n < 0)
		return -errno;
	struct lx_journal j = { 0 };
	json_t *o = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	int r = json_is_object(o) && json_integer_value(json_object_get(o, "version")) == VERSION
			? 0
			: LN_E_MALFORMED;
	if (r == 0)
		r = copy_text(o, "ifname", j.ifname, sizeof(j.ifname));
	if (r == 0)
		r = copy_text(o, "table", j.table, sizeof(j.table));
	/* What is read here goes to nft: the same rules as for what is written. */
	if (r == 0 &&
	    (!lx_nft_ifname_ok(j.ifname) || (j.table[0] != '\0' && !lx_nft_name_ok(j.table))))
		r = LN_E_MALFORMED;
	json_int_t mark = json_integer_value(json_object_get(o, "mark"));
	j.mark = (uint32_t)mark;
	if (r == 0 && (mark < 0 || mark > UINT32_MAX))
		r = LN_E_MALFORMED;
	if (r == 0)
		r = read_rpf(json_object_get(o, "strict"), &j.rpf);
	pid_t pid = (pid_t)json_integer_value(json_object_get(o, "pid"));
	json_int_t started = json_integer_value(json_object_get(o, "start"));
	json_decref(o);
	if (r < 0)
		return r;
	unsigned long long start = 0;
	*ret_alive = pid != getpid() && pid > 0 && start_time(pid, &start) &&
		     start == (unsigned long long)started;
	*ret = j;
	return 0;
}

int lx_journal_read(const char *dir, const char *ifname, struct lx_journal *ret)
{
	char path[PATH_LEN];
	bool alive;
	record_path(path, dir, ifname, "");
	return read_record(path, ret, &alive);
}

int lx_journal_remove(const char *dir, const char *ifname)
{
	char path[PATH_LEN];
	record_path(path, dir, ifname, "");
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : -errno;
	return sync_folder(dir);
}

static int is_record(const struct dirent *e)
{
	size_t n = strlen(e->d_name);
	return strncmp(e->d_name, "plat-", 5) == 0 && n > 10 &&
	       strcmp(e->d_name + n - 5, ".json") == 0;
}

static void visit(const char *dir, const char *name, lx_journal_each_fn *fn, void *arg)
{
	char path[PATH_LEN], aside[PATH_LEN + 16];
	struct lx_journal j;
	bool alive = false;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int r = read_record(path, &j, &alive);
	if (r == 0 && !alive) {
		fn(arg, &j);
	} else if (r < 0) {
		log_warn("plat", "record of an earlier run cannot be read", LOG_STR("file", path),
			 LOG_ERRNO(r));
		snprintf(aside, sizeof(aside), "%s.corrupted", path);
		(void)rename(path, aside);
	}
}

int lx_journal_each_orphan(const char *dir, lx_journal_each_fn *fn, void *arg)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, is_record, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		visit(dir, names[i]->d_name, fn, arg);
		free(names[i]);
	}
	free(names);
	return 0;
}
