#include "src/plat/linux/lx_dns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define FILE_MAX 16384 /* bytes of a file that are looked at */
#define FOLDER_EVENTS                                                                              \
 (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ONLYDIR)
#define FILE_EVENTS (IN_CLOSE_WRITE | IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF)

/* --- what counts ------------------------------------------------------------------------------ */

static void add_lines(struct str *dst, const char *text)
{
	static const char *const words[] = { "nameserver", "search", "domain", "options" };
	while (*text != '\0') {
		size_t n = strcspn(text, "\n");
		for (size_t i = 0; i < LN_COUNT(words); i++)
			if (strncmp(text, words[i], strlen(words[i])) == 0) {
				str_addn(dst, text, n);
				str_add(dst, "\n");
			}
		text += n + (text[n] == '\n');
	}
}

static void add_file(struct str *dst, const char *path)
{
	char *text = ln_alloc(FILE_MAX + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd >= 0 ? read(fd, text, FILE_MAX) : 0;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	add_lines(dst, text);
	free(text);
}

/* --- where ------------------------------------------------------------------------------------ */

/* The folder of a path, without its last slash; "/" stays. */
static void folder_of(const char *path, char dst[PATH_MAX])
{
	(void)snprintf(dst, PATH_MAX, "%s", path);
	char *slash = strrchr(dst, '/');
	if (slash != NULL)
		slash[slash == dst] = '\0';
	else
		strcpy(dst, ".");
}

/* Where the link leads, also when nothing is there. False: it is no link. */
static bool target_of(const char *path, char dst[PATH_MAX])
{
	char to[PATH_MAX], folder[PATH_MAX];
	if (realpath(path, dst) != NULL)
		return strcmp(path, dst) != 0;
	ssize_t n = readlink(path, to, sizeof(to) - 1);
	if (n <= 0)
		return false;
	to[n] = '\0';
	folder_of(path, folder);
	int len = to[0] == '/' ? snprintf(dst, PATH_MAX, "%s", to)
			       : snprintf(dst, PATH_MAX, "%s/%s", folder, to);
	return len < PATH_MAX;
}

/* systemd-resolved: the stub names itself, its neighbour the servers it asks. */
static bool neighbour_of(const char *target, char dst[PATH_MAX])
{
	static const char stub[] = "stub-resolv.conf";
	size_t n = strlen(target);
	if (n < sizeof(stub) - 1 || strcmp(target + n - (sizeof(stub) - 1), stub) != 0)
		return false;
	return snprintf(dst, PATH_MAX, "%.*sresolv.conf", (int)(n - (sizeof(stub) - 1)), target) <
	       PATH_MAX;
}

static bool is_in(const int v[LX_DNS_WATCHES], int watch)
{
	for (unsigned i = 0; i < LX_DNS_WATCHES; i++)
		if (v[i] == watch)
			return true;
	return false;
}

/* Watches first, then looks: a change in between is seen as one more event. */
static void look(struct lx_dns *w, struct str *says)
{
	char folder[PATH_MAX], target[PATH_MAX], near[PATH_MAX];
	int v[LX_DNS_WATCHES] = { -1, -1, -1, -1 };
	bool link = target_of(w->path, target);
	bool stub = link && neighbour_of(target, near);
	folder_of(w->path, folder);
	v[0] = inotify_add_watch(w->fd, folder, FOLDER_EVENTS);
	v[1] = inotify_add_watch(w->fd, w->path, FILE_EVENTS);
	if (link) {
		folder_of(target, folder);
		/* The same folder keeps its watch. */
		v[2] = inotify_add_watch(w->fd, folder, FOLDER_EVENTS);
	}
	if (stub)
		v[3] = inotify_add_watch(w->fd, near, FILE_EVENTS);
	for (unsigned i = 0; i < LX_DNS_WATCHES; i++)
		if (w->watch[i] >= 0 && !is_in(v, w->watch[i]))
			(void)inotify_rm_watch(w->fd, w->watch[i]);
	memcpy(w->watch, v, sizeof(v));
	add_file(says, w->path);
	if (stub)
		add_file(says, near);
}

/* --- life ------------------------------------------------------------------------------------- */

int lx_dns_open(struct lx_dns *w, const char *path)
{
	*w = (struct lx_dns){ .path = path, .watch = { -1, -1, -1, -1 } };
	str_init(&w->says, 0);
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->fd < 0)
		return -errno;
	look(w, &w->says);
	return 0;
}

void lx_dns_close(struct lx_dns *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	str_fini(&w->says);
}

bool lx_dns_changed(struct lx_dns *w)
{
	char events[4096];
	bool any = false;
	/* What happened is not asked, only what is. Bounded: the rest makes it readable again. */
	for (int i = 0; w->fd >= 0 && i < 16 && read(w->fd, events, sizeof(events)) > 0; i++)
		any = true;
	if (!any)
		return false;
	struct str says;
	str_init(&says, 0);
	look(w, &says);
	bool changed = strcmp(str_c(&says), str_c(&w->says)) != 0;
	str_fini(&w->says);
	w->says = says;
	return changed;
}
