/*
 * Programs we run. Standard input is an unnamed file holding the whole input, so nothing has to be
 * fed and a child that does not read cannot block or kill us; some programs open /dev/stdin, which
 * works with a file and would not with a socket. The child leads a process group of its own, which
 * is what the time limit kills.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/ev/ev.h"

extern char **environ;

struct spawned {
	pid_t pid;
	int pid_fd; /* readable when it has ended */
	int out_fd; /* its stdout and stderr, non-blocking */
};

static int input_file(struct slice input)
{
	int fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (input.n != 0) {
		ssize_t w = write(fd, input.p, input.n);
		if (w <= 0) {
			int e = w == 0 ? EIO : errno;
			close(fd);
			return -e;
		}
		input = slice_after(input, (size_t)w);
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int spawn_with(const char *const argv[], int in, int out, pid_t *ret_pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&fa, out, STDERR_FILENO);
	posix_spawnattr_init(&at);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawnattr_setsigdefault(&at, &all);
	posix_spawnattr_setpgroup(&at, 0);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
					      POSIX_SPAWN_SETPGROUP);
	int r = posix_spawnp(ret_pid, argv[0], &fa, &at, (char *const *)(uintptr_t)argv, environ);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	return -r;
}

static void spawned_kill(const struct spawned *s)
{
	kill(-s->pid, SIGKILL);
	kill(s->pid, SIGKILL);
}

/* Waits for a child that is known to have ended or to have been killed. */
static int spawned_reap(struct spawned *s)
{
	int st = 0;
	pid_t r;
	do
		r = waitpid(s->pid, &st, 0);
	while (r < 0 && errno == EINTR);
	close(s->pid_fd);
	close(s->out_fd);
	if (r < 0)
		return -errno;
	return WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

static int spawn(const char *const argv[], struct slice input, struct spawned *ret)
{
	int p[2];
	if (pipe2(p, O_CLOEXEC) != 0)
		return -errno;
	int in = input_file(input);
	int r = in;
	struct spawned s = { .pid_fd = -1, .out_fd = p[0] };
	if (r >= 0)
		r = spawn_with(argv, in, p[1], &s.pid);
	if (in >= 0)
		close(in);
	close(p[1]);
	if (r < 0) {
		close(p[0]);
		return r;
	}
	/* Only our end is non-blocking: the child has the other end, with its own flags. */
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	s.pid_fd = pidfd_open(s.pid, 0);
	if (s.pid_fd < 0) {
		r = -errno;
		spawned_kill(&s);
		waitpid(s.pid, NULL, 0);
		close(p[0]);
		return r;
	}
	*ret = s;
	return 0;
}

/* Reads what is there; what does not fit is thrown away. False at the end of the output. */
static bool collect(int fd, char *dst, size_t size, size_t *n)
{
	for (;;) {
		char waste[4096];
		bool full = *n >= size;
		ssize_t r = full ? read(fd, waste, sizeof(waste)) : read(fd, dst + *n, size - *n);
		if (r == 0)
			return false;
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return errno == EAGAIN;
		if (!full)
			*n += (size_t)r;
	}
}

/* --- on a loop --------------------------------------------------------------------------------*/

struct ev_child {
	struct ev_loop *loop;
	struct spawned proc;
	struct ev_io exit_io;
	struct ev_io out_io;
	struct ev_timer limit;
	char *output;
	size_t n;
	size_t max;
	ev_child_done_fn *done;
	void *arg;
};

static void child_on_output(struct ev_io *io, unsigned events)
{
	struct ev_child *c = ln_container(io, struct ev_child, out_io);
	if (!collect(c->proc.out_fd, c->output, c->max, &c->n))
		ev_io_want(io, 0);
}

/* Nothing is called any more; the exit status. */
static int child_unwatch(struct ev_child *c)
{
	ev_io_fini(&c->exit_io);
	ev_io_fini(&c->out_io);
	ev_timer_fini(&c->limit);
	return spawned_reap(&c->proc);
}

static void child_on_exit(struct ev_io *io, unsigned events)
{
	struct ev_child *c = ln_container(io, struct ev_child, exit_io);
	/* What it wrote before it ended is in the pipe; a grandchild may keep the other end. */
	(void)collect(c->proc.out_fd, c->output, c->max, &c->n);
	int status = child_unwatch(c);
	c->done(c->arg, status, slice_of(c->output, c->n));
	free(c->output);
	ev_defer_free(c->loop, c);
}

void ev_child_cancel(struct ev_child *c)
{
	if (c == NULL)
		return;
	spawned_kill(&c->proc);
	(void)child_unwatch(c);
	free(c->output);
	ev_defer_free(c->loop, c);
}

static void child_on_limit(struct ev_timer *t)
{
	spawned_kill(&ln_container(t, struct ev_child, limit)->proc);
}

int ev_child_run(struct ev_loop *l, const char *const argv[], struct slice input, size_t max_output,
		 ln_time limit, ev_child_done_fn *done, void *arg)
{
	struct ev_child *c;
	return ev_child_start(l, argv, input, max_output, limit, done, arg, &c);
}

int ev_child_start(struct ev_loop *l, const char *const argv[], struct slice input,
		   size_t max_output, ln_time limit, ev_child_done_fn *done, void *arg,
		   struct ev_child **ret)
{
	struct spawned s;
	int r = spawn(argv, input, &s);
	if (r < 0)
		return r;
	struct ev_child *c = ln_alloc(sizeof(*c));
	*c = (struct ev_child){ .loop = l, .proc = s, .max = max_output, .done = done, .arg = arg };
	c->output = ln_alloc(max_output);
	ev_timer_init(&c->limit, l, child_on_limit);
	r = ev_io_init(&c->exit_io, l, s.pid_fd, child_on_exit);
	if (r == 0)
		r = ev_io_init(&c->out_io, l, s.out_fd, child_on_output);
	if (r != 0) {
		ev_io_fini(&c->exit_io);
		ev_timer_fini(&c->limit);
		spawned_kill(&s);
		(void)spawned_reap(&s);
		free(c->output);
		free(c);
		return r;
	}
	ev_io_want(&c->exit_io, EV_READ);
	ev_io_want(&c->out_io, EV_READ);
	ev_timer_after(&c->limit, limit);
	*ret = c;
	return 0;
}

/* --- blocking ---------------------------------------------------------------------------------*/

int ev_child_run_sync(const char *const argv[], struct slice input, char *output,
		      size_t output_size, ln_time limit)
{
	struct spawned s;
	size_t n = 0;
	size_t room = output_size != 0 ? output_size - 1 : 0; /* for the final zero */
	int r = spawn(argv, input, &s);
	if (r < 0) {
		if (output_size != 0)
			output[0] = '\0';
		return r;
	}
	ln_time end = ev_now() + limit;
	bool open = true;
	for (bool killed = false;;) {
		ln_time left = end - ev_now();
		if (left <= 0 && !killed) {
			spawned_kill(&s);
			killed = true;
		}
		struct pollfd p[2] = { { .fd = s.pid_fd, .events = POLLIN },
				       { .fd = open ? s.out_fd : -1, .events = POLLIN } };
		int ms = killed ? -1 : (int)LN_MIN(left / LN_MSEC + 1, 60000);
		if (poll(p, 2, ms) < 0)
			continue;
		if (p[1].revents != 0)
			open = collect(s.out_fd, output, room, &n);
		if (p[0].revents != 0)
			break;
	}
	(void)collect(s.out_fd, output, room, &n);
	if (output_size != 0)
		output[n] = '\0';
	return spawned_reap(&s);
}
