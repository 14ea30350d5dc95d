/* The laboratory's processes, scripts and signals. */
#include "src/cmd/linnet_lab_run.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/cmd/linnet_user.h"

#define POLL (10 * LN_MSEC)
#define ARGS_MAX 24

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

int linnet_lab_interrupted(void)
{
	return interrupted;
}

bool linnet_lab_sleep(ln_time span)
{
	for (ln_time end = ev_now() + span; interrupted == 0 && ev_now() < end;)
		usleep((useconds_t)(LN_MIN(end - ev_now(), POLL) / LN_USEC + 1));
	return interrupted == 0;
}

/* --- what must be there ----------------------------------------------------------------------- */

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	char full[1024];
	for (const char *p = path != NULL ? path : "/usr/sbin:/usr/bin:/sbin:/bin"; *p != '\0';) {
		size_t n = strcspn(p, ":");
		snprintf(full, sizeof(full), "%.*s/%s", (int)LN_MIN(n, (size_t)900), p, program);
		if (access(full, X_OK) == 0)
			return true;
		p += n + (p[n] == ':');
	}
	return false;
}

int linnet_lab_check(struct ln_fail *f)
{
	static const struct {
		const char *program, *package;
	} needed[] = {
		{ "ip", "iproute2" },
		{ "nft", "nftables" },
		{ "sysctl", "procps" },
		{ "ping", "iputils-ping" },
	};

	if (geteuid() != 0)
		return ln_fail(f, -EPERM, "a laboratory makes network namespaces: run it as root");
	for (size_t i = 0; i < LN_COUNT(needed); i++)
		if (!in_path(needed[i].program))
			return ln_fail(f, -ENOENT, "the program %s is missing: install %s",
				       needed[i].program, needed[i].package);
	if (access("/dev/net/tun", F_OK) != 0)
		return ln_fail(f, -ENOENT, "/dev/net/tun is missing: modprobe tun");
	for (const char *const *p = (const char *const[]){ "linnetd", "linnet-server", NULL };
	     *p != NULL; p++) {
		char path[1024];
		linnet_sibling(*p, path, sizeof(path));
		if (strchr(path, '/') == NULL && !in_path(path))
			return ln_fail(f, -ENOENT,
				       "the program %s is neither beside this one nor in "
				       "the PATH",
				       *p);
	}
	return 0;
}

int linnet_lab_start(struct linnet_lab *lab, struct ln_fail *f)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	strcpy(lab->folder, "/tmp/linnet-lab-XXXXXX");
	if (mkdtemp(lab->folder) == NULL)
		return ln_fail(f, -errno, "no folder in /tmp: %s", strerror(errno));
	lab->made_folder = true;
	snprintf(lab->prefix, sizeof(lab->prefix), "lab%d-", getpid());
	return 0;
}

/* --- scripts ---------------------------------------------------------------------------------- */

int linnet_lab_script(const struct str *script, struct ln_fail *f)
{
	static const char *const sh[] = { "sh", "-e", NULL };
	char said[1024];
	int r = ev_child_run_sync(sh, str_slice(script), said, sizeof(said), LINNET_LAB_LIMIT);
	if (r == 0)
		return 0;
	said[strcspn(said, "\n")] = '\0';
	return ln_fail(f, -EIO, "the network could not be built: %s",
		       said[0] != '\0' ? said : "a command failed and said nothing");
}

/* --- processes -------------------------------------------------------------------------------- */

static void become(const char *const argv[], int out, pid_t parent)
{
	union {
		const char *const *in;
		char *const *out;
	} args = { .in = argv };

	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (getppid() != parent || null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(out, 2) < 0)
		_exit(126);
	execvp(args.out[0], args.out);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int linnet_lab_spawn(struct linnet_lab *lab, const char *name, const char *log,
		     const char *const argv[], struct ln_fail *f)
{
	char netns[64], path[128];
	const char *full[ARGS_MAX] = { "ip", "netns", "exec", netns };
	size_t n = 4;
	snprintf(netns, sizeof(netns), "%s%s", lab->prefix, name);
	snprintf(path, sizeof(path), "%s/%s", lab->folder, log);
	while (*argv != NULL && n + 1 < ARGS_MAX)
		full[n++] = *argv++;
	if (*argv != NULL || lab->nprocs == LINNET_LAB_PROCS_MAX)
		return ln_fail(f, LN_E_LIMIT, "too many processes or words");
	int out = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	if (out < 0)
		return ln_fail(f, -errno, "%s: %s", path, strerror(errno));
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		become(full, out, parent);
	close(out);
	if (pid < 0)
		return ln_fail(f, -errno, "no process could be started: %s", strerror(errno));
	lab->procs[lab->nprocs] = pid;
	return (int)lab->nprocs++;
}

static bool reap(struct linnet_lab *lab, int proc, int *ret_status)
{
	int status;
	if (waitpid(lab->procs[proc], &status, WNOHANG) == 0)
		return false;
	lab->procs[proc] = 0;
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return true;
}

int linnet_lab_wait(struct linnet_lab *lab, int proc, ln_time limit)
{
	int status;
	for (ln_time end = ev_now() + limit; !reap(lab, proc, &status);) {
		if (!linnet_lab_sleep(POLL))
			return -EINTR;
		if (ev_now() > end)
			return -ETIMEDOUT;
	}
	return status;
}

int linnet_lab_output(struct linnet_lab *lab, const char *name, const char *const argv[],
		      char *text, size_t size)
{
	char netns[64];
	const char *full[ARGS_MAX] = { "ip", "netns", "exec", netns };
	size_t n = 4;
	snprintf(netns, sizeof(netns), "%s%s", lab->prefix, name);
	while (*argv != NULL && n + 1 < ARGS_MAX)
		full[n++] = *argv++;
	return ev_child_run_sync(full, slice_str(""), text, size, LINNET_LAB_LIMIT);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Asks all, from the last to the first, and insists after ten seconds. */
static void end_processes(struct linnet_lab *lab)
{
	int status;
	for (size_t i = lab->nprocs; i-- > 0;)
		if (lab->procs[i] != 0)
			kill(lab->procs[i], SIGTERM);
	for (ln_time end = ev_now() + 10 * LN_SEC; ev_now() < end;) {
		size_t left = 0;
		for (size_t i = 0; i < lab->nprocs; i++)
			left += lab->procs[i] != 0 && !reap(lab, (int)i, &status);
		if (left == 0)
			return;
		usleep(POLL / LN_USEC);
	}
	for (size_t i = 0; i < lab->nprocs; i++)
		if (lab->procs[i] != 0)
			kill(lab->procs[i], SIGKILL);
	for (size_t i = 0; i < lab->nprocs; i++)
		if (lab->procs[i] != 0)
			waitpid(lab->procs[i], NULL, 0);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	(void)remove(path);
	return 0;
}

void linnet_lab_end(struct linnet_lab *lab)
{
	for (size_t i = 0; i < 2; i++) {
		struct linnet_lab_agent *a = &lab->agents[i];
		linnet_daemon_close(&a->daemon);
		arena_fini(&a->arena);
	}
	end_processes(lab);
	if (lab->made_namespaces) {
		struct ln_fail f;
		struct str script;
		str_init(&script, 0);
		linnet_lab_plan_remove(lab->prefix, &script);
		if (linnet_lab_script(&script, &f) < 0)
			fprintf(stderr, "%s; to try again: linnet lab remove\n", f.text);
		str_fini(&script);
	}
	if (lab->made_folder)
		nftw(lab->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
