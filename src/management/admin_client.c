/* The asking side of the administration socket; blocking. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/str.h"
#include "lib/base/time.h"

#include "src/ev/ev.h"
#include "src/management/admin_api.h"

#define PATIENCE (30 * LN_SEC)

static int dial(const char *path, struct ln_fail *f)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sun.sun_path))
		return ln_fail(f, -ENAMETOOLONG, "the path of the socket is too long: %.100s",
			       path);
	memcpy(sun.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ln_fail(f, -errno, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	int e = errno;
	close(fd);
	if (e == ENOENT || e == ECONNREFUSED)
		return ln_fail(f, -e,
			       "no server answers at %.120s: is linnet-server running with this "
			       "data folder?",
			       path);
	if (e == EACCES || e == EPERM)
		return ln_fail(f, -e, "%.120s may be used by the server's user and root only",
			       path);
	return ln_fail(f, -e, "cannot reach %.120s: %s", path, strerror(e));
}

/* Waits for `events`; LN_E_TIMEOUT when the time is up. */
static int wait_for(int fd, short events, ln_time end)
{
	struct pollfd p = { .fd = fd, .events = events };
	ln_time left = end - ev_now();
	int r = left <= 0 ? 0 : poll(&p, 1, (int)(left / LN_MSEC) + 1);
	return r < 0 ? (errno == EINTR ? 0 : -errno) : r == 0 ? LN_E_TIMEOUT : 0;
}

static int write_all(int fd, struct slice data, ln_time end)
{
	while (data.n > 0) {
		int r = wait_for(fd, POLLOUT, end);
		if (r < 0)
			return r;
		ssize_t n = send(fd, data.p, data.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0)
			data = slice_after(data, (size_t)n);
	}
	return 0;
}

static int read_line(int fd, struct str *line, ln_time end)
{
	char buf[65536];
	for (;;) {
		int r = wait_for(fd, POLLIN, end);
		if (r < 0)
			return r;
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n == 0)
			return LN_E_CLOSED;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0)
			str_addn(line, buf, (size_t)n);
		if (line->err < 0)
			return line->err;
		if (line->n > 0 && line->s[line->n - 1] == '\n')
			return 0;
	}
}

static int err_of_code(const char *code)
{
	static const struct {
		const char *code;
		int err;
	} table[] = {
		{ "invalid", LN_E_MALFORMED },
		{ "not_found", LN_E_NOTFOUND },
		{ "conflict", LN_E_CONFLICT },
		{ "denied", LN_E_DENIED },
	};

	for (size_t i = 0; code != NULL && i < LN_COUNT(table); i++) {
		if (strcmp(table[i].code, code) == 0)
			return table[i].err;
	}
	return LN_E_INTERNAL;
}

static int read_answer(const struct str *line, json_t **ret, struct ln_fail *f)
{
	json_t *answer = json_loadb(line->s, line->n, JSON_REJECT_DUPLICATES, NULL);
	json_t *result = json_object_get(answer, "result");
	int r = 0;
	if (json_is_true(json_object_get(answer, "ok")) && result != NULL) {
		*ret = json_incref(result);
	} else if (json_is_false(json_object_get(answer, "ok"))) {
		const char *text = json_string_value(json_object_get(answer, "error"));
		r = ln_fail(f, err_of_code(json_string_value(json_object_get(answer, "code"))),
			    "%s", text != NULL ? text : "the server gave no reason");
	} else {
		r = ln_fail(f, LN_E_INTERNAL, "the server's answer cannot be read");
	}
	json_decref(answer);
	return r;
}

int admin_client_call(const char *socket_path, const json_t *request, json_t **ret_result,
		      struct ln_fail *f)
{
	ln_time end = ev_now() + PATIENCE;
	LN_AUTO(str_fini) struct str line;
	char *text = json_dumps(request, JSON_COMPACT);
	if (text == NULL)
		return ln_fail(f, LN_E_MALFORMED, "the request is no valid text");
	str_init(&line, ADMIN_REPLY_MAX);
	str_add(&line, text);
	str_addc(&line, '\n');
	explicit_bzero(text, strlen(text));
	free(text);
	int fd = dial(socket_path, f);
	if (fd < 0)
		return fd;
	int r = write_all(fd, str_slice(&line), end);
	str_clear(&line);
	if (r == 0)
		r = read_line(fd, &line, end);
	close(fd);
	if (r == LN_E_TIMEOUT)
		return ln_fail(f, r, "the server did not answer within 30 seconds");
	if (r == LN_E_CLOSED || r == -EPIPE || r == -ECONNRESET)
		return ln_fail(f, LN_E_CLOSED, "the server ended while it was asked");
	if (r < 0)
		return ln_fail(f, r, "the server could not be asked: %s", ln_strerror(r));
	r = read_answer(&line, ret_result, f);
	if (line.n > 0)
		explicit_bzero(line.s, line.n); /* may hold a new setup key */
	return r;
}
