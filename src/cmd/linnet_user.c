#include "src/cmd/linnet_user.h"

#include <ctype.h>
#include <fcntl.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LEN 1024

const char *linnet_platform(void)
{
#if defined(__x86_64__)
	return "linux/amd64";
#elif defined(__aarch64__)
	return "linux/arm64";
#elif defined(__i386__)
	return "linux/386";
#elif defined(__arm__)
	return "linux/arm";
#elif defined(__riscv) && __riscv_xlen == 64
	return "linux/riscv64";
#else
	return "linux/unknown";
#endif
}

const char *linnet_username(void)
{
	const struct passwd *pw = getpwuid(geteuid());
	return pw != NULL ? pw->pw_name : "root";
}

bool linnet_is_desktop(const struct linnet_cli *cli)
{
	static const char *const any[] = { "DISPLAY", "WAYLAND_DISPLAY", "BROWSER",
					   "DESKTOP_SESSION", "XDG_CURRENT_DESKTOP" };
	for (size_t i = 0; i < LN_COUNT(any); i++) {
		const char *v = linnet_env(cli, any[i]);
		if (v != NULL && v[0] != '\0')
			return true;
	}
	const char *type = linnet_env(cli, "XDG_SESSION_TYPE");
	return type != NULL && (strcmp(type, "x11") == 0 || strcmp(type, "wayland") == 0 ||
				strcmp(type, "mir") == 0);
}

/* ~/.config/netbird/NAME; "" without a home. */
static void config_path(const struct linnet_cli *cli, const char *name, char dst[PATH_LEN])
{
	const char *xdg = linnet_env(cli, "XDG_CONFIG_HOME");
	const char *home = linnet_env(cli, "HOME");
	int n = 0;
	if (xdg != NULL && xdg[0] == '/')
		n = snprintf(dst, PATH_LEN, "%s/netbird/%s", xdg, name);
	else if (home != NULL && home[0] == '/')
		n = snprintf(dst, PATH_LEN, "%s/.config/netbird/%s", home, name);
	if (n <= 0 || n >= PATH_LEN)
		dst[0] = '\0';
}

static void read_line(const char *path, char dst[LINNET_PROFILE_MAX])
{
	dst[0] = '\0';
	FILE *file = path[0] != '\0' ? fopen(path, "re") : NULL;
	if (file == NULL)
		return;
	if (fgets(dst, LINNET_PROFILE_MAX, file) == NULL)
		dst[0] = '\0';
	fclose(file);
	dst[strcspn(dst, "\r\n")] = '\0';
}

/* Each folder of the path, then the text, 0600, by rename. A home that cannot be written is no
 * reason to fail: the files are a comfort. */
static void write_text(const char *path, const char *text)
{
	char work[PATH_LEN + 8];
	snprintf(work, sizeof(work), "%s", path);
	for (char *p = work + 1; path[0] != '\0' && (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		(void)mkdir(work, 0700);
		*p = '/';
	}
	snprintf(work, sizeof(work), "%s.new", path);
	int fd = path[0] != '\0' ? open(work, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
	if (fd < 0)
		return;
	size_t n = strlen(text);
	bool ok = write(fd, text, n) == (ssize_t)n;
	if (close(fd) < 0 || !ok || rename(work, path) < 0)
		(void)unlink(work);
}

/* What the daemon accepts as an id; nothing else may become part of a path. */
static bool is_id(const char *s)
{
	size_t n = strlen(s);
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_' && s[i] != '-')
			return false;
	return n > 0 && n <= 64;
}

void linnet_profile_read(const struct linnet_cli *cli, char dst[LINNET_PROFILE_MAX])
{
	char path[PATH_LEN];
	config_path(cli, "active_profile.txt", path);
	read_line(path, dst);
	if (!is_id(dst))
		strcpy(dst, "default");
}

void linnet_profile_write(const struct linnet_cli *cli, const char *id)
{
	char path[PATH_LEN];
	config_path(cli, "active_profile.txt", path);
	if (is_id(id))
		write_text(path, id);
}

static bool email_path(const struct linnet_cli *cli, const char *id, char dst[PATH_LEN])
{
	char name[96];
	snprintf(name, sizeof(name), "%.64s.state.json", id);
	config_path(cli, name, dst);
	return is_id(id) && dst[0] != '\0';
}

void linnet_email_read(const struct linnet_cli *cli, const char *id, char dst[LINNET_PROFILE_MAX])
{
	char path[PATH_LEN];
	dst[0] = '\0';
	if (!email_path(cli, id, path))
		return;
	json_t *o = json_load_file(path, 0, NULL);
	const char *email = json_string_value(json_object_get(o, "email"));
	if (email != NULL && strlen(email) < LINNET_PROFILE_MAX)
		strcpy(dst, email);
	json_decref(o);
}

void linnet_email_write(const struct linnet_cli *cli, const char *id, const char *email)
{
	char path[PATH_LEN], text[512];
	json_t *o = json_pack("{s:s}", "email", email);
	size_t n = o != NULL ? json_dumpb(o, text, sizeof(text) - 1, JSON_COMPACT) : 0;
	json_decref(o);
	if (n == 0 || n >= sizeof(text) || !email_path(cli, id, path))
		return;
	text[n] = '\0';
	write_text(path, text);
}

void linnet_sibling(const char *name, char *dst, size_t size)
{
	static const char *const folders[] = { "", "../sbin/", "../bin/" };
	char self[PATH_LEN];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(self, '/');
	for (size_t i = 0; slash != NULL && i < LN_COUNT(folders); i++) {
		slash[1] = '\0';
		if (snprintf(dst, size, "%s%s%s", self, folders[i], name) < (int)size &&
		    access(dst, X_OK) == 0)
			return;
	}
	snprintf(dst, size, "%s", name);
}
