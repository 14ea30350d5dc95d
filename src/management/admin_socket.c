/*
 * The answering side of the administration socket: one line in, one job for the store thread, one
 * line out. A connection has at most one request under way; what it sends meanwhile waits in the
 * kernel.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/management/admin_api.h"
#include "src/management/admin_request.h"
#include "src/management/management_internal.h"
#include "src/net/net_listen.h"
#include "src/obs/obs_log.h"

#define ADMIN_CONNS_MAX 16

struct admin_server {
	struct management *m;
	struct net_listen *listen;
	struct list conns;
	size_t nconns;
};

struct admin_conn {
	struct list node;
	struct admin_server *server; /* null after the server is gone */
	struct management *m;
	int fd;
	struct ev_io io;
	bool in_store;
	struct str in;
	struct str out;
	/* the job */
	json_t *request;
	char *answer; /* with its line feed */
	uint64_t serial;
};

static void conn_free(struct admin_conn *c)
{
	json_decref(c->request);
	if (c->answer != NULL)
		explicit_bzero(c->answer, strlen(c->answer));
	free(c->answer);
	if (c->out.n > 0)
		explicit_bzero(c->out.s, c->out.n);
	str_fini(&c->in);
	str_fini(&c->out);
	free(c);
}

/* The descriptor goes at once, the memory when no job needs it. */
static void conn_close(struct admin_conn *c)
{
	if (c->fd >= 0) {
		ev_io_fini(&c->io);
		close(c->fd);
		c->fd = -1;
		list_remove(&c->node);
		c->server->nconns--;
		c->server = NULL;
	}
	if (!c->in_store)
		ev_defer(c->m->loop, (void (*)(void *))conn_free, c);
}

static void conn_flush(struct admin_conn *c)
{
	while (c->out.n > 0) {
		ssize_t n = send(c->fd, c->out.s, c->out.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			conn_close(c);
			return;
		}
		str_consume(&c->out, (size_t)n);
	}
	ev_io_want(&c->io, c->out.n > 0 ? EV_WRITE : EV_READ);
}

static void admin_work(struct store *s, void *arg)
{
	struct admin_conn *c = arg;
	struct admin_context x = {
		.store = s,
		.rng = ev_rng(),
		.server_key = c->m->key,
		.now = ev_wall(),
	};
	json_t *answer = admin_request(&x, c->request, &c->serial);
	c->answer = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
}

static void conn_next(struct admin_conn *c);

static void admin_done(void *arg)
{
	struct admin_conn *c = arg;
	c->in_store = false;
	if (c->serial != 0)
		management_changed(c->m, c->serial);
	json_decref(c->request);
	c->request = NULL;
	if (c->fd < 0) {
		conn_free(c);
		return;
	}
	str_clear(&c->out);
	str_add(&c->out, c->answer != NULL ? c->answer : "{\"ok\":false,\"code\":\"internal\"}");
	str_addc(&c->out, '\n');
	if (c->answer != NULL)
		explicit_bzero(c->answer, strlen(c->answer));
	free(c->answer);
	c->answer = NULL;
	if (c->out.err < 0) {
		conn_close(c);
		return;
	}
	conn_flush(c);
	if (c->fd >= 0 && c->out.n == 0)
		conn_next(c);
}

static void refuse_line(struct admin_conn *c, const char *why)
{
	str_clear(&c->out);
	str_addf(&c->out, "{\"ok\":false,\"code\":\"invalid\",\"error\":\"%s\"}\n", why);
	conn_flush(c);
}

/* Starts the next whole line of what was read. */
static void conn_next(struct admin_conn *c)
{
	const char *end = c->in.n > 0 ? memchr(c->in.s, '\n', c->in.n) : NULL;
	if (end == NULL) {
		if (c->in.err < 0 || c->in.n >= ADMIN_LINE_MAX)
			conn_close(c);
		return;
	}
	size_t n = (size_t)(end - c->in.s);
	json_error_t e;
	c->request = json_loadb(c->in.s, n, JSON_REJECT_DUPLICATES, &e);
	str_consume(&c->in, n + 1);
	if (!json_is_object(c->request)) {
		json_decref(c->request);
		c->request = NULL;
		refuse_line(c, "a request is one JSON object on one line");
		return;
	}
	const char *noun = json_string_value(json_object_get(c->request, "noun"));
	const char *verb = json_string_value(json_object_get(c->request, "verb"));
	log_debug("admin", "request", LOG_STR("noun", noun != NULL ? noun : ""),
		  LOG_STR("verb", verb != NULL ? verb : ""));
	c->in_store = true;
	ev_io_want(&c->io, 0);
	store_run(c->m->store, admin_work, admin_done, c);
}

static void conn_ready(struct ev_io *io, unsigned events)
{
	struct admin_conn *c = ln_container(io, struct admin_conn, io);
	char buf[16384];
	if ((events & EV_WRITE) != 0) {
		conn_flush(c);
		if (c->fd >= 0 && c->out.n == 0)
			conn_next(c);
		return;
	}
	ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_close(c);
		return;
	}
	str_addn(&c->in, buf, (size_t)n);
	conn_next(c);
}

/* The mode of the socket keeps others out; this also holds where the file system does not. */
static bool may_ask(int fd)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 &&
	       (cred.uid == 0 || cred.uid == geteuid());
}

static void conn_new(void *user, int fd, const struct ip_ep *peer)
{
	struct admin_server *s = user;
	if (s->nconns >= ADMIN_CONNS_MAX || !may_ask(fd)) {
		close(fd);
		return;
	}
	struct admin_conn *c = ln_alloc(sizeof(*c));
	c->server = s;
	c->m = s->m;
	c->fd = fd;
	str_init(&c->in, ADMIN_LINE_MAX + 1);
	str_init(&c->out, ADMIN_REPLY_MAX);
	if (ev_io_init(&c->io, s->m->loop, fd, conn_ready) < 0) {
		close(fd);
		conn_free(c);
		return;
	}
	list_add_tail(&s->conns, &c->node);
	s->nconns++;
	ev_io_want(&c->io, EV_READ);
}

int admin_server_new(struct management *m, const char *path, struct admin_server **ret,
		     struct ln_fail *f)
{
	struct admin_server *s = ln_alloc(sizeof(*s));
	s->m = m;
	list_init(&s->conns);
	/* Jansson seeds its tables on first use; the store thread must not be the one. */
	json_object_seed(0);
	int r = net_listen_unix(m->loop, path, 0600, conn_new, s, &s->listen, f);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void admin_server_free(struct admin_server *s)
{
	if (s == NULL)
		return;
	net_listen_free(s->listen);
	list_for_each_safe(n, &s->conns)
		conn_close(list_entry(n, struct admin_conn, node));
	free(s);
}
