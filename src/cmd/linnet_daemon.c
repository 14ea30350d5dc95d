#include "src/cmd/linnet_daemon.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/daemon/daemon_msg.h"

#define DIAL_LIMIT (10 * LN_SEC)
#define PROGRESS_AFTER (2 * LN_SEC)
#define REPLY_MAX ((size_t)16 << 20)

static const char unix_scheme[] = "unix://";
static const char tcp_scheme[] = "tcp://";

void linnet_daemon_resolve(const char *address, const char *folder, char *dst, size_t size)
{
	snprintf(dst, size, "%s", address);
	if (folder == NULL || strncmp(address, unix_scheme, strlen(unix_scheme)) != 0 ||
	    access(address + strlen(unix_scheme), F_OK) == 0)
		return;
	DIR *dir = opendir(folder);
	if (dir == NULL)
		return;
	char only[256] = "";
	int found = 0;
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		size_t n = strlen(e->d_name);
		if (n > 5 && strcmp(e->d_name + n - 5, ".sock") == 0 && found++ == 0)
			snprintf(only, sizeof(only), "%s", e->d_name);
	}
	closedir(dir);
	if (found == 1)
		snprintf(dst, size, "%s%s/%s", unix_scheme, folder, only);
}

/* Can somebody be reached there? 0 or -errno. Only Unix sockets are tried beforehand. */
static int probe(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int r = connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int unreachable(const char *address, int err, struct ln_fail *f)
{
	return ln_fail(
		f, err,
		"failed to connect to daemon: %s: %s\nIf the daemon is not running please run:\n"
		" linnet service install\n linnet service start\nor start linnetd.",
		address, ln_strerror(err));
}

static int wait_for_socket(const char *address, bool patient, struct ln_fail *f)
{
	const char *path = address + strlen(unix_scheme);
	ln_time start = ev_now();
	bool told = false;
	for (;;) {
		int r = probe(path);
		ln_time waited = ev_now() - start;
		bool starting = r == -ENOENT || r == -ECONNREFUSED;
		if (r == 0)
			return 0;
		if (!patient || !starting || waited > DIAL_LIMIT)
			return unreachable(address, r, f);
		if (!told && waited > PROGRESS_AFTER) {
			fprintf(stderr, "Waiting for the daemon at %s ...\n", address);
			told = true;
		}
		usleep(50000);
	}
}

static int split_tcp(const char *address, char *host, size_t size, uint16_t *ret_port)
{
	const char *colon = strrchr(address, ':');
	char *end;
	if (colon == NULL || colon == address)
		return LN_E_MALFORMED;
	const char *from = address;
	size_t n = (size_t)(colon - address);
	if (from[0] == '[' && from[n - 1] == ']') {
		from++;
		n -= 2;
	}
	unsigned long port = strtoul(colon + 1, &end, 10);
	if (n == 0 || n >= size || *end != '\0' || port == 0 || port > 65535)
		return LN_E_MALFORMED;
	memcpy(host, from, n);
	host[n] = '\0';
	*ret_port = (uint16_t)port;
	return 0;
}

int linnet_daemon_open(struct linnet_daemon *d, const char *address, const char *fallback,
		       bool patient, struct ln_fail *f)
{
	*d = (struct linnet_daemon){ 0 };
	struct grpc_channel_conf conf = { .max_message = REPLY_MAX, .dial_limit = DIAL_LIMIT };
	char host[256];
	linnet_daemon_resolve(address, fallback, d->address, sizeof(d->address));
	if (strncmp(d->address, unix_scheme, strlen(unix_scheme)) == 0) {
		int r = wait_for_socket(d->address, patient, f);
		if (r < 0)
			return r;
		conf.target.unix_path = d->address + strlen(unix_scheme);
	} else if (strncmp(d->address, tcp_scheme, strlen(tcp_scheme)) == 0 &&
		   split_tcp(d->address + strlen(tcp_scheme), host, sizeof(host),
			     &conf.target.port) == 0) {
		conf.target.host = host;
	} else {
		return ln_fail(f, LN_E_MALFORMED,
			       "\"%.100s\" is no daemon address: unix://PATH or tcp://HOST:PORT",
			       d->address);
	}
	d->loop = ev_loop_new();
	d->channel = grpc_channel_new(d->loop, &conf);
	str_init(&d->reply, REPLY_MAX);
	str_init(&d->text, 0);
	return 0;
}

void linnet_daemon_close(struct linnet_daemon *d)
{
	if (d->loop == NULL)
		return;
	grpc_channel_free(d->channel);
	/* What the channel has put off to the end of a turn. */
	for (int i = 0; i < 3; i++)
		ev_loop_turn(d->loop, 0);
	ev_loop_free(d->loop);
	str_fini(&d->reply);
	str_fini(&d->text);
	*d = (struct linnet_daemon){ 0 };
}

static void on_answer(void *user, enum grpc_status status, const char *text, struct slice reply)
{
	struct linnet_daemon *d = user;
	d->done = true;
	d->status = status;
	str_add(&d->text, text);
	str_addn(&d->reply, reply.p, reply.n);
}

bool linnet_daemon_call(struct linnet_daemon *d, const char *method, const struct str *request,
			ln_time limit)
{
	char path[128];
	snprintf(path, sizeof(path), DAEMON_SERVICE "%s", method);
	str_clear(&d->reply);
	str_clear(&d->text);
	d->done = false;
	ln_time start = ev_now();
	grpc_channel_unary(d->channel, path, request != NULL ? str_slice(request) : slice_of("", 0),
			   start + limit, on_answer, d);
	while (!d->done) {
		ln_time waited = ev_now() - start;
		ev_loop_turn(d->loop, waited < PROGRESS_AFTER ? PROGRESS_AFTER - waited : LN_SEC);
		if (!d->done && d->doing != NULL && ev_now() - start >= PROGRESS_AFTER) {
			fprintf(stderr, "%s ...\n", d->doing);
			d->doing = NULL;
		}
	}
	return d->status == GRPC_OK;
}
