/*
 * `linnet up --foreground-mode`: linnetd as a child with a socket of its own, connected, and down
 * again when a signal comes or the child ends.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/cmd/linnet_connect.h"
#include "src/cmd/linnet_user.h"

#define STOP_LIMIT_MS 15000

struct child {
	pid_t pid;
	char folder[64];  /* 0700, holds the socket */
	char address[96]; /* unix://FOLDER/linnetd.sock */
};

static const char *first_log_file(const struct linnet_cli *cli)
{
	const struct linnet_value *v = &cli->values[OPT_LOG_FILE];
	return v->given && v->nlist > 0 ? v->text : "console";
}

/* In the child. The environment wins in linnetd as well, so what we set must not be overridden. */
static void become_daemon(const struct linnet_cli *cli, const struct child *c, pid_t parent)
{
	char program[1024];
	const char *argv[16];
	int n = 0;
	linnet_sibling("linnetd", program, sizeof(program));
	argv[n++] = program;
	argv[n++] = "--daemon-addr";
	argv[n++] = c->address;
	argv[n++] = "--log-level";
	argv[n++] = linnet_text(cli, OPT_LOG_LEVEL);
	argv[n++] = "--log-file";
	argv[n++] = first_log_file(cli);
	if (linnet_given(cli, OPT_CONFIG)) {
		argv[n++] = "--config";
		argv[n++] = linnet_text(cli, OPT_CONFIG);
	}
	argv[n] = NULL;
	unsetenv("NB_DAEMON_ADDR");
	unsetenv("WT_DAEMON_ADDR");
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Ctrl-C reaches both of us; the child must wait for our Down. It goes when we die. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);

	union {
		const char **in;
		char **out;
	} args = { .in = argv };

	execvp(program, args.out);
	fprintf(stderr, "Error: cannot start %s: %s\n", program, strerror(errno));
	_exit(127);
}

static int start(const struct linnet_cli *cli, struct child *c)
{
	strcpy(c->folder, "/tmp/linnet-XXXXXX");
	if (mkdtemp(c->folder) == NULL)
		return linnet_fail("cannot make a folder for the socket: %s", strerror(errno));
	snprintf(c->address, sizeof(c->address), "unix://%s/linnetd.sock", c->folder);
	pid_t parent = getpid();
	c->pid = fork();
	if (c->pid == 0)
		become_daemon(cli, c, parent);
	if (c->pid < 0) {
		(void)rmdir(c->folder);
		return linnet_fail("cannot start a process: %s", strerror(errno));
	}
	return 0;
}

/* SIGTERM, then SIGKILL; the exit status of the child, or -1. */
static int stop(struct child *c, bool ended)
{
	int status = -1;
	if (!ended) {
		kill(c->pid, SIGTERM);
		for (int ms = 0; ms < STOP_LIMIT_MS && !ended; ms += 20) {
			ended = waitpid(c->pid, &status, WNOHANG) == c->pid;
			if (!ended)
				usleep(20000);
		}
		if (!ended) {
			kill(c->pid, SIGKILL);
			waitpid(c->pid, &status, 0);
		}
	}
	char path[128];
	snprintf(path, sizeof(path), "%s/linnetd.sock", c->folder);
	(void)unlink(path);
	(void)rmdir(c->folder);
	return status;
}

/* Until SIGINT or SIGTERM (0) or the end of the child (1). */
static int wait_for_end(const sigset_t *signals, pid_t pid)
{
	for (;;) {
		int signum = sigwaitinfo(signals, NULL);
		if (signum == SIGINT || signum == SIGTERM)
			return 0;
		if (signum == SIGCHLD && waitpid(pid, NULL, WNOHANG) == pid)
			return 1;
	}
}

int linnet_run_foreground(struct linnet_cli *cli)
{
	struct child c = { 0 };
	struct linnet_daemon d;
	struct ln_fail f;
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGCHLD);
	int r = start(cli, &c);
	if (r != 0)
		return r;
	bool ended = false;
	r = linnet_daemon_open(&d, c.address, NULL, true, &f);
	if (r < 0) {
		ended = waitpid(c.pid, NULL, WNOHANG) == c.pid;
		r = linnet_fail("linnetd does not answer%s", ended ? ": it has ended" : "");
		stop(&c, ended);
		return r;
	}
	sigprocmask(SIG_BLOCK, &signals, NULL);
	r = linnet_connect_up(cli, &d);
	fflush(stdout);
	if (r == 0) {
		ended = wait_for_end(&signals, c.pid) == 1;
		if (ended)
			r = linnet_fail("linnetd has ended");
		else
			(void)linnet_daemon_call(&d, "Down", NULL, 10 * LN_SEC);
	}
	linnet_daemon_close(&d);
	stop(&c, ended);
	return r;
}
