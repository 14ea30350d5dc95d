#include "src/combined/combined_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/b64.h"
#include "lib/crypto/ct.h"

#include "src/ev/ev.h"

#define PATH_LIMIT 1024
#define SECRET_BYTES 32

static const char *advice(int err)
{
	switch (-err) {
	case EACCES:
	case EPERM:
		return "give this user the right to write there, or choose another with --data-dir";
	case EROFS:
		return "it lies on a read-only file system; choose another with --data-dir";
	case ENOSPC:
	case EDQUOT:
		return "the disk is full; free some space";
	case ENOTDIR:
		return "a part of the path is a file; choose another with --data-dir";
	default:
		return "check it, or choose another with --data-dir";
	}
}

static int refuse(const char *path, int err, struct ln_fail *f)
{
	return ln_fail(f, err, "the data folder %.100s cannot be used (%s): %s", path,
		       ln_strerror(err), advice(err));
}

/* mkdir -p with mode 0700 for what is made. */
static int make_folders(const char *path)
{
	char part[PATH_LIMIT];
	size_t n = strlen(path);
	if (n >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		char c = part[i];
		part[i] = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST) {
			int err = -errno;
			struct stat st;
			/* A parent we may not write to but that is there is fine. */
			if (stat(part, &st) < 0 || !S_ISDIR(st.st_mode))
				return err;
		}
		part[i] = c;
	}
	return 0;
}

/* Our process number in the lock file, for whoever meets the lock. */
static void write_pid(int fd)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return; /* only a courtesy: the lock itself holds */
}

static int conflict(const char *path, int fd, struct ln_fail *f)
{
	char pid[16] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
	pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
	return ln_fail(
		f, LN_E_CONFLICT,
		"the data folder %.100s is in use by another linnet-server (pid %s): stop it, "
		"or choose another with --data-dir",
		path, pid[0] != '\0' ? pid : "unknown");
}

int combined_folder_open(const char *path, struct ln_fail *f)
{
	int err = make_folders(path);
	if (err < 0)
		return refuse(path, err, f);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return refuse(path, -errno, f);
	int fd = openat(dir, "server.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	err = fd < 0 ? -errno : 0;
	close(dir);
	if (err < 0)
		return refuse(path, err, f);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		err = errno == EWOULDBLOCK ? conflict(path, fd, f) : refuse(path, -errno, f);
		close(fd);
		return err;
	}
	write_pid(fd);
	return fd;
}

/* A whole new file under its final name, or nothing. */
static int write_secret(const char *path, const char *text)
{
	char part[PATH_LIMIT];
	if (snprintf(part, sizeof(part), "%s.new", path) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	size_t n = strlen(text);
	ssize_t put = write(fd, text, n);
	int err = 0;
	if (put < 0)
		err = -errno;
	else if (put != (ssize_t)n)
		err = -ENOSPC; /* a regular file takes less only when there is no room */
	else if (fsync(fd) < 0)
		err = -errno;
	close(fd);
	if (err == 0 && rename(part, path) < 0)
		err = -errno;
	if (err < 0)
		unlink(part);
	return err;
}

int combined_secret_open(const char *path, char dst[COMBINED_SECRET_TEXT], struct ln_fail *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno != ENOENT)
		return refuse(path, -errno, f);
	if (fd < 0) {
		uint8_t raw[SECRET_BYTES];
		rng_fill(ev_rng(), raw, sizeof(raw));
		b64_encode(slice_of(raw, sizeof(raw)), dst);
		ct_wipe(raw, sizeof(raw));
		int err = write_secret(path, dst);
		return err < 0 ? refuse(path, err, f) : 0;
	}
	ssize_t n = read(fd, dst, COMBINED_SECRET_TEXT);
	close(fd);
	if (n < 0 || n == COMBINED_SECRET_TEXT)
		return ln_fail(f, LN_E_MALFORMED, "%.150s is no secret of ours; remove it", path);
	dst[n] = '\0';
	dst[strcspn(dst, "\r\n")] = '\0';
	if (dst[0] == '\0')
		return ln_fail(f, LN_E_MALFORMED, "%.150s is empty; remove it", path);
	return 0;
}
