#include "src/agent/agent_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int agent_file_read(const char *path, struct str *dst, struct ln_fail *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		int err = -errno;
		return ln_fail(f, err, "%s: %s", path, ln_strerror(err));
	}
	char buf[4096];
	int err = 0;
	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = ln_fail(f, -errno, "%s: %s", path, ln_strerror(-errno));
		if (n <= 0)
			break;
		str_addn(dst, buf, (size_t)n);
		if (dst->err != 0) {
			err = ln_fail(f, dst->err, "%s: the file is too large", path);
			break;
		}
	}
	close(fd);
	return err;
}

static int agent_file_write_all(int fd, struct slice data)
{
	while (data.n > 0) {
		ssize_t n = write(fd, data.p, data.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data = slice_after(data, (size_t)n);
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* The rename itself is durable only after its folder is. */
static void agent_file_sync_folder(const char *path)
{
	char copy[PATH_MAX];
	if ((size_t)snprintf(copy, sizeof(copy), "%s", path) >= sizeof(copy))
		return;
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
}

int agent_file_write(const char *path, struct slice data, struct ln_fail *f)
{
	char tmp[PATH_MAX];
	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.new", path) >= sizeof(tmp))
		return ln_fail(f, -ENAMETOOLONG, "%s: the path is too long", path);
	/* Always the same name: what a crash left is replaced, and nothing piles up. */
	(void)unlink(tmp);
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		int err = -errno;
		return ln_fail(f, err, "%s: %s", tmp, ln_strerror(err));
	}
	int err = agent_file_write_all(fd, data);
	if (close(fd) < 0 && err == 0)
		err = -errno;
	if (err == 0 && rename(tmp, path) < 0)
		err = -errno;
	if (err < 0) {
		(void)unlink(tmp);
		return ln_fail(f, err, "%s: %s", path, ln_strerror(err));
	}
	agent_file_sync_folder(path);
	return 0;
}

int agent_file_mkdir(const char *path, struct ln_fail *f)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	if (n == 0 || n >= sizeof(part))
		return ln_fail(f, -ENAMETOOLONG, "'%s' is no usable folder name", path);
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		bool last = i == n;
		if (mkdir(part, last ? 0700 : 0755) < 0 && errno != EEXIST) {
			int err = -errno;
			return ln_fail(f, err, "cannot make the folder %s: %s", part,
				       ln_strerror(err));
		}
	}
	return 0;
}
