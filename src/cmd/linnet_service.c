/* `linnet service ...`: files of linnet_unit.c, and systemctl. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/cmd/linnet_cli.h"
#include "src/cmd/linnet_unit.h"
#include "src/cmd/linnet_user.h"
#include "src/ev/ev.h"

#define UNIT_FOLDER "/etc/systemd/system"
#define NETWORKD_CONF "/etc/systemd/networkd.conf"
#define NETWORKD_FOLDER NETWORKD_CONF ".d"
#define NETWORKD_FILE NETWORKD_FOLDER "/99-netbird.conf"
#define SYSTEMCTL_LIMIT (90 * LN_SEC)
#define PATH_LEN 512
#define FILE_MAX 65536

/* --- files ------------------------------------------------------------------------------------ */

static void unit_path(const char *name, char dst[PATH_LEN])
{
	snprintf(dst, PATH_LEN, UNIT_FOLDER "/%s.service", name);
}

static void params_path(const struct linnet_cli *cli, char dst[PATH_LEN])
{
	const char *dir = linnet_env(cli, "NB_STATE_DIR");
	snprintf(dst, PATH_LEN, "%s/service.json",
		 dir != NULL && dir[0] != '\0' ? dir : LINNET_DEFAULT_STATE);
}

static int write_file(const char *path, const char *text, mode_t mode)
{
	char temp[PATH_LEN + 8];
	snprintf(temp, sizeof(temp), "%s.new", path);
	int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return linnet_fail("cannot write %s: %s", path, strerror(errno));
	size_t n = strlen(text);
	bool ok = write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
	int err = errno;
	if (close(fd) == 0 && ok && rename(temp, path) == 0)
		return 0;
	if (ok)
		err = errno;
	(void)unlink(temp);
	return linnet_fail("cannot write %s: %s", path, strerror(err));
}

static void read_params(const struct linnet_cli *cli, struct arena *a, struct linnet_unit *u)
{
	char path[PATH_LEN];
	params_path(cli, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	char *text = ln_alloc(FILE_MAX);
	ssize_t n = read(fd, text, FILE_MAX);
	close(fd);
	if (n < 0 || linnet_unit_read(slice_of(text, (size_t)n), a, u) < 0)
		fprintf(stderr, "%s cannot be read and is not used\n", path);
	free(text);
}

static int write_params(const struct linnet_cli *cli, const struct linnet_unit *u)
{
	char path[PATH_LEN];
	struct str text;
	params_path(cli, path);
	char *slash = strrchr(path, '/');
	*slash = '\0';
	(void)mkdir(path, 0700);
	*slash = '/';
	str_init(&text, 0);
	linnet_unit_write(u, &text);
	int r = write_file(path, str_c(&text), 0600); /* the environment may hold a key */
	str_fini(&text);
	return r;
}

/* --- systemctl -------------------------------------------------------------------------------- */

static int systemctl(const char *verb, const char *name, char *output, size_t size)
{
	const char *argv[] = { "systemctl", verb, name, NULL };
	return ev_child_run_sync(argv, slice_of("", 0), output, size, SYSTEMCTL_LIMIT);
}

/* Runs it and tells what went wrong. Exit status. */
static int do_systemctl(const char *verb, const char *name)
{
	char output[1024];
	int status = systemctl(verb, name, output, sizeof(output));
	if (status == 0)
		return 0;
	if (status == -ENOENT)
		return linnet_fail("this machine has no systemd: start linnetd yourself");
	output[strcspn(output, "\n")] = '\0';
	return linnet_fail("systemctl %s failed: %s", verb, output);
}

static bool is_active(const char *name)
{
	char output[256];
	return systemctl("is-active", name, output, sizeof(output)) == 0;
}

/* --- verbs ------------------------------------------------------------------------------------ */

static const char *service_name(const struct linnet_cli *cli)
{
	return linnet_text(cli, OPT_SERVICE);
}

static void take_options(const struct linnet_cli *cli, struct linnet_unit *u)
{
	if (linnet_given(cli, OPT_LOG_LEVEL) || u->log_level == NULL)
		u->log_level = linnet_text(cli, OPT_LOG_LEVEL);
	if (linnet_given(cli, OPT_DAEMON_ADDR) || u->daemon_addr == NULL)
		u->daemon_addr = linnet_text(cli, OPT_DAEMON_ADDR);
	if (linnet_given(cli, OPT_MANAGEMENT_URL))
		u->management_url = linnet_text(cli, OPT_MANAGEMENT_URL);
	if (linnet_given(cli, OPT_CONFIG) || u->config_path == NULL)
		u->config_path = linnet_text(cli, OPT_CONFIG);
	if (linnet_given(cli, OPT_DISABLE_PROFILES))
		u->disable_profiles = linnet_on(cli, OPT_DISABLE_PROFILES);
	if (linnet_given(cli, OPT_DISABLE_UPDATE_SETTINGS))
		u->disable_update_settings = linnet_on(cli, OPT_DISABLE_UPDATE_SETTINGS);
	if (linnet_given(cli, OPT_DISABLE_NETWORKS))
		u->disable_networks = linnet_on(cli, OPT_DISABLE_NETWORKS);
	const struct linnet_value *files = &cli->values[OPT_LOG_FILE];
	if (!files->given && u->nlog_files > 0)
		return;
	u->nlog_files = 0;
	for (size_t i = 0; i < files->nlist && i < LINNET_UNIT_LIST; i++)
		u->log_files[u->nlog_files++] = files->list[i];
}

static int take_env(struct linnet_cli *cli, struct linnet_unit *u)
{
	const struct linnet_value *v = &cli->values[OPT_SERVICE_ENV];
	if (v->given && v->nlist == 0)
		u->nenv = 0;
	for (size_t i = 0; i < v->nlist; i++)
		if (linnet_unit_set_env(u, &cli->arena, v->list[i]) < 0)
			return linnet_fail("--service-env: \"%s\" is not KEY=VALUE", v->list[i]);
	return 0;
}

/* Remembered for a daemon that knows them; today's does not. */
static void say_moot(const struct linnet_unit *u)
{
	if (u->disable_profiles || u->disable_update_settings || u->disable_networks)
		fprintf(stderr,
			"--disable-profiles, --disable-update-settings and --disable-networks are "
			"remembered but have no effect in this version\n");
}

static int write_networkd(void)
{
	if (access(NETWORKD_CONF, F_OK) != 0)
		return 0;
	(void)mkdir(NETWORKD_FOLDER, 0755);
	return write_file(NETWORKD_FILE, linnet_unit_networkd(), 0644);
}

static int install(struct linnet_cli *cli, bool again)
{
	struct linnet_unit u = { .name = service_name(cli) };
	char path[PATH_LEN], program[PATH_LEN];
	struct str text;
	unit_path(u.name, path);
	if (!again && access(path, F_OK) == 0)
		return linnet_fail(
			"%s exists: use `linnet service reconfigure`, or uninstall first", path);
	read_params(cli, &cli->arena, &u);
	take_options(cli, &u);
	say_moot(&u);
	linnet_sibling("linnetd", program, sizeof(program));
	char *absolute = realpath(program, NULL);
	u.program = absolute != NULL ? absolute : program;
	int r = u.program[0] == '/' ? take_env(cli, &u)
				    : linnet_fail("linnetd is not beside linnet nor in ../sbin");
	str_init(&text, 0);
	linnet_unit_text(&u, &text);
	if (r == 0)
		r = write_params(cli, &u);
	if (r == 0)
		r = write_file(path, str_c(&text), 0644);
	if (r == 0)
		r = write_networkd();
	str_fini(&text);
	free(absolute);
	if (r == 0)
		r = do_systemctl("daemon-reload", NULL);
	if (r == 0)
		r = do_systemctl("enable", u.name);
	if (r == 0)
		puts("NetBird service has been installed");
	return r;
}

static int uninstall(struct linnet_cli *cli)
{
	char path[PATH_LEN], output[256];
	const char *name = service_name(cli);
	unit_path(name, path);
	if (access(path, F_OK) != 0)
		return linnet_fail("%s is not installed", name);
	(void)systemctl("stop", name, output, sizeof(output));
	(void)systemctl("disable", name, output, sizeof(output));
	if (unlink(path) < 0)
		return linnet_fail("cannot remove %s: %s", path, strerror(errno));
	(void)unlink(NETWORKD_FILE);
	(void)systemctl("daemon-reload", NULL, output, sizeof(output));
	puts("NetBird service has been uninstalled");
	return 0;
}

static int reconfigure(struct linnet_cli *cli)
{
	const char *name = service_name(cli);
	bool ran = is_active(name);
	int r = ran ? do_systemctl("stop", name) : 0;
	if (r == 0)
		r = install(cli, true);
	return r == 0 && ran ? do_systemctl("start", name) : r;
}

static int reset_params(const struct linnet_cli *cli)
{
	char path[PATH_LEN];
	params_path(cli, path);
	if (unlink(path) < 0 && errno != ENOENT)
		return linnet_fail("cannot remove %s: %s", path, strerror(errno));
	puts("The remembered options are forgotten");
	return 0;
}

static int status(const struct linnet_cli *cli)
{
	char output[256], path[PATH_LEN];
	unit_path(service_name(cli), path);
	int r = systemctl("is-active", service_name(cli), output, sizeof(output));
	output[strcspn(output, "\n")] = '\0';
	const char *word = "Unknown";
	if (r == 0)
		word = "Running";
	else if (strcmp(output, "inactive") == 0 || strcmp(output, "failed") == 0 ||
		 (r >= 0 && access(path, F_OK) == 0))
		word = "Stopped";
	printf("NetBird service status: %s\n", word);
	return 0;
}

/* Becomes linnetd: one process, so that the service manager watches the right one. */
static int run(const struct linnet_cli *cli)
{
	char program[PATH_LEN];
	const char *argv[24];
	size_t n = 0;
	const struct linnet_value *files = &cli->values[OPT_LOG_FILE];
	linnet_sibling("linnetd", program, sizeof(program));
	argv[n++] = program;
	argv[n++] = "--daemon-addr";
	argv[n++] = linnet_text(cli, OPT_DAEMON_ADDR);
	argv[n++] = "--log-level";
	argv[n++] = linnet_text(cli, OPT_LOG_LEVEL);
	if (linnet_given(cli, OPT_CONFIG)) {
		argv[n++] = "--config";
		argv[n++] = linnet_text(cli, OPT_CONFIG);
	}
	for (size_t i = 0; files->given && i < files->nlist && n + 3 < LN_COUNT(argv); i++) {
		argv[n++] = "--log-file";
		argv[n++] = files->list[i];
	}
	argv[n] = NULL;

	union {
		const char **in;
		char **out;
	} args = { .in = argv };

	execvp(program, args.out);
	return linnet_fail("cannot start %s: %s", program, strerror(errno));
}

int linnet_run_service(struct linnet_cli *cli)
{
	const char *verb = strchr(cli->command->words, ' ') + 1;
	const char *name = service_name(cli);
	if (!linnet_unit_name_ok(name))
		return linnet_fail("\"%.80s\" cannot be the name of a service", name);
	if (strcmp(verb, "install") == 0)
		return install(cli, false);
	if (strcmp(verb, "uninstall") == 0)
		return uninstall(cli);
	if (strcmp(verb, "reconfigure") == 0)
		return reconfigure(cli);
	if (strcmp(verb, "reset-params") == 0)
		return reset_params(cli);
	if (strcmp(verb, "status") == 0)
		return status(cli);
	if (strcmp(verb, "run") == 0)
		return run(cli);
	static const char *const said[][2] = { { "start", "started" },
					       { "stop", "stopped" },
					       { "restart", "restarted" } };
	for (size_t i = 0; i < LN_COUNT(said); i++)
		if (strcmp(verb, said[i][0]) == 0) {
			int r = do_systemctl(verb, name);
			if (r == 0)
				printf("NetBird service has been %s\n", said[i][1]);
			return r;
		}
	return linnet_fail("unknown verb %s", verb);
}
