#include "src/plat/linux/lx_rpf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "/proc/sys/net/ipv4/conf"

enum {
	STRICT = '1',
	LOOSE = '2'
};

static int open_value(const char *name, int how)
{
	char path[sizeof(FOLDER) + PLAT_IFNAME_MAX + 16];
	(void)snprintf(path, sizeof(path), FOLDER "/%.*s/rp_filter", PLAT_IFNAME_MAX, name);
	return open(path, how | O_CLOEXEC);
}

/* 0 when it cannot be read: the interface may be gone. */
static char value_of(const char *name)
{
	char c = 0;
	int fd = open_value(name, O_RDONLY);
	if (fd < 0)
		return 0;
	if (read(fd, &c, 1) != 1)
		c = 0;
	close(fd);
	return c;
}

/* Only from one of the two values to the other: what somebody else has set meanwhile stays. */
static int change(const char *name, char from, char to)
{
	if (value_of(name) != from)
		return 0;
	int fd = open_value(name, O_WRONLY);
	if (fd < 0)
		return -errno;
	int r = write(fd, &to, 1) == 1 ? 0 : -errno;
	close(fd);
	return r;
}

bool lx_rpf_add(struct lx_rpf *rpf, const char *name)
{
	size_t n = strlen(name);
	if (n == 0 || n >= PLAT_IFNAME_MAX || strchr(name, '/') != NULL || name[0] == '.')
		return false;
	for (unsigned i = 0; i < rpf->n; i++)
		if (strcmp(rpf->names[i], name) == 0)
			return true;
	if (rpf->n == LX_RPF_MAX)
		return false;
	memcpy(rpf->names[rpf->n++], name, n + 1);
	return true;
}

void lx_rpf_find(struct lx_rpf *rpf, bool (*ours)(const void *arg, const char *ifname),
		 const void *arg)
{
	DIR *d = opendir(FOLDER);
	const struct dirent *e;
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, "lo") == 0 || strcmp(e->d_name, "default") == 0 ||
		    ours(arg, e->d_name) || value_of(e->d_name) != STRICT)
			continue;
		(void)lx_rpf_add(rpf, e->d_name);
	}
	if (d != NULL)
		closedir(d);
}

bool lx_rpf_loosen(const struct lx_rpf *rpf)
{
	bool good = true;
	for (unsigned i = 0; i < rpf->n; i++)
		good &= change(rpf->names[i], STRICT, LOOSE) == 0;
	return good;
}

void lx_rpf_restore(const struct lx_rpf *rpf)
{
	for (unsigned i = 0; i < rpf->n; i++)
		(void)change(rpf->names[i], LOOSE, STRICT);
}
