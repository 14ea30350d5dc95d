#include "src/obs/obs_dest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static const char *const level_text[] = { "ERROR", "WARN", "INFO", "DEBUG", "TRACE" };
/* Here LOG_INFO and LOG_DEBUG are macros of syslog.h, not the values of enum log_level. */
static const int level_syslog[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_DEBUG };

static int open_file(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
}

static int open_journal(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0) {
		int e = errno;
		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

static int open_one(struct obs_dest_set *set, const char *name, struct ln_fail *f)
{
	if (set->n == OBS_DEST_MAX)
		return ln_fail(f, LN_E_LIMIT, "more than %d log destinations", OBS_DEST_MAX);
	struct obs_dest *d = &set->v[set->n];
	*d = (struct obs_dest){ .fd = -1 };
	if (strcmp(name, "console") == 0) {
		d->kind = OBS_DEST_CONSOLE;
		d->fd = STDERR_FILENO;
	} else if (strcmp(name, "syslog") == 0) {
		d->kind = OBS_DEST_SYSLOG;
		openlog(set->program, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	} else if (strcmp(name, "journal") == 0) {
		d->kind = OBS_DEST_JOURNAL;
		d->fd = open_journal();
		if (d->fd < 0)
			return ln_fail(f, -errno, "journal: %s", strerror(errno));
	} else {
		d->kind = OBS_DEST_FILE;
		d->fd = open_file(name);
		if (d->fd < 0)
			return ln_fail(f, -errno, "log file %s: %s", name, strerror(errno));
		d->path = ln_strdup(name);
	}
	set->n++;
	return 0;
}

int obs_dest_open(struct obs_dest_set *set, const char *program, const char *names,
		  struct ln_fail *f)
{
	*set = (struct obs_dest_set){ .n = 0 };
	snprintf(set->program, sizeof(set->program), "%s", program);
	char *copy = ln_strdup(names);
	char *save = NULL;
	int r = 0;
	for (char *s = strtok_r(copy, ",", &save); s != NULL && r == 0;
	     s = strtok_r(NULL, ",", &save))
		r = open_one(set, s, f);
	free(copy);
	if (r == 0 && set->n == 0)
		r = ln_fail(f, LN_E_MALFORMED, "no log destination given");
	if (r != 0)
		obs_dest_close(set);
	return r;
}

/* One write per line, so that lines of several programs in one file stay whole. */
static void write_text(int fd, ln_wall now, enum log_level level, const char *module,
		       struct slice body)
{
	char head[128];
	time_t sec = (time_t)(now / LN_SEC);
	struct tm tm;
	gmtime_r(&sec, &tm);
	size_t n = strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(head + n, sizeof(head) - n,
			      ".%03dZ %-5s %.40s: ", (int)(now / LN_MSEC % 1000), level_text[level],
			      module);
	/* writev takes non-const bases but does not write through them. */
	struct iovec v[3] = {
		{ .iov_base = head, .iov_len = n },
		{ .iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n },
		{ .iov_base = (char[]){ '\n' }, .iov_len = 1 },
	};
	ssize_t r;
	do
		r = writev(fd, v, 3);
	while (r < 0 && errno == EINTR);
}

/* The body holds no newline (obs_log.c escapes control characters), so the simple field form does.
 */
static void write_journal(const struct obs_dest_set *set, int fd, enum log_level level,
			  const char *module, struct slice body)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
			 "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nLINNET_MODULE=%.40s\nMESSAGE=%.40s: ",
			 level_syslog[level], set->program, module, module);
	struct iovec v[3] = {
		{ .iov_base = head, .iov_len = (size_t)n },
		{ .iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n },
		{ .iov_base = (char[]){ '\n' }, .iov_len = 1 },
	};
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 3 };
	(void)sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void obs_dest_write(const struct obs_dest_set *set, ln_wall now, enum log_level level,
		    const char *module, struct slice body)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct obs_dest *d = &set->v[i];
		switch (d->kind) {
		case OBS_DEST_CONSOLE:
		case OBS_DEST_FILE:
			write_text(d->fd, now, level, module, body);
			break;
		case OBS_DEST_SYSLOG:
			syslog(level_syslog[level], "%s: %.*s", module, (int)body.n,
			       (const char *)body.p);
			break;
		case OBS_DEST_JOURNAL:
			write_journal(set, d->fd, level, module, body);
			break;
		}
	}
}

void obs_dest_reopen(struct obs_dest_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		struct obs_dest *d = &set->v[i];
		if (d->kind != OBS_DEST_FILE)
			continue;
		int fd = open_file(d->path);
		if (fd < 0)
			continue;
		close(d->fd);
		d->fd = fd;
	}
}

void obs_dest_close(struct obs_dest_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		struct obs_dest *d = &set->v[i];
		if (d->kind == OBS_DEST_SYSLOG)
			closelog();
		else if (d->kind != OBS_DEST_CONSOLE)
			close(d->fd);
		free(d->path);
	}
	set->n = 0;
}
