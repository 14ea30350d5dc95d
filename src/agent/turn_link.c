#include "src/agent/turn_link.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/str.h"
#include "lib/turn/turn_client.h"

#include "src/agent/agent_url.h"
#include "src/net/net_dial.h"
#include "src/net/net_stream.h"
#include "src/net/net_tls.h"

#define LINK_DIAL_LIMIT (10 * LN_SEC)
#define LINK_BEHIND ((size_t)1 << 20) /* bytes a stream has not taken */
#define LINK_PART_MAX ((size_t)64 << 10)
#define LINK_RCVBUF (4 << 20)
#define LINK_BATCH 32 /* datagrams of one system call: they share the loop's scratch buffer */

struct resolving; /* on a worker thread */

struct turn_link {
	struct ev_loop *loop;
	struct turn_link_conf conf;
	char host[256];
	uint16_t port;
	bool tcp, tls;
	char username[TURN_USER_MAX + 1], password[TURN_PASSWORD_MAX + 1];
	struct turn_client *client; /* null until the transport is up */
	struct ev_timer timer;
	/* UDP */
	struct resolving *resolving;
	struct ev_io io;
	int fd;
	/* TCP */
	struct net_dial *dial;
	struct net_stream *stream;
	struct str in, out;
	bool flush_planned;
	bool closed, freed;
};

struct resolving {
	struct turn_link *link; /* null when it is gone */
	char host[256];
	struct ip_ep found; /* family 0: nothing */
};

/* --- the end ----------------------------------------------------------------------------------*/

static void drop_transport(struct turn_link *l)
{
	if (l->resolving != NULL)
		l->resolving->link = NULL;
	l->resolving = NULL;
	if (l->fd >= 0) {
		ev_io_fini(&l->io);
		close(l->fd);
	}
	l->fd = -1;
	if (l->dial != NULL)
		net_dial_cancel(l->dial);
	l->dial = NULL;
	net_stream_free(l->stream);
	l->stream = NULL;
}

static void finish(struct turn_link *l, const char *why)
{
	char text[160];
	if (l->closed)
		return;
	l->closed = true;
	(void)snprintf(text, sizeof(text), "%s", why);
	drop_transport(l);
	ev_timer_stop(&l->timer);
	l->conf.closed(l->conf.user, text);
}

static const char *code_text(unsigned code)
{
	switch (code) {
	case 0:
		return "the TURN server does not answer";
	case 401:
		return "the TURN server refused our credentials";
	case 437:
		return "the TURN server has forgotten our allocation";
	case 486:
		return "the TURN server's quota for us is used up";
	case 508:
		return "the TURN server has no room";
	default:
		return "the TURN server refused";
	}
}

/* --- sending ----------------------------------------------------------------------------------*/

static void flush_job(void *arg)
{
	struct turn_link *l = arg;
	l->flush_planned = false;
	if (l->stream != NULL)
		net_stream_write(l->stream, str_slice(&l->out));
	str_clear(&l->out);
	if (l->freed) {
		str_fini(&l->out);
		free(l);
	}
}

static void transmit(struct turn_link *l, struct slice msg)
{
	if (l->fd >= 0) {
		(void)!send(l->fd, msg.p, msg.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		return;
	}
	if (l->stream == NULL || net_stream_pending(l->stream) + l->out.n > LINK_BEHIND)
		return;
	str_addn(&l->out, msg.p, msg.n);
	if (!l->flush_planned)
		ev_defer(l->loop, flush_job, l);
	l->flush_planned = true;
}

/* Everything the client wants; any callback may end or free the link. */
static void drive(struct turn_link *l)
{
	uint8_t buf[STUN_MSG_MAX];
	struct turn_out out;
	while (!l->closed &&
	       turn_client_poll(l->client, ev_now(), mslice_of(buf, sizeof(buf)), &out)) {
		switch (out.event) {
		case TURN_EV_SEND:
			transmit(l, out.bytes);
			break;
		case TURN_EV_UP:
			l->conf.up(l->conf.user, &out.relayed);
			break;
		case TURN_EV_ENDED:
			finish(l, code_text(out.code));
			break;
		}
	}
	if (!l->closed)
		ev_timer_at(&l->timer, turn_client_deadline(l->client));
}

void turn_link_send(struct turn_link *l, const struct ip_ep *to, struct slice data)
{
	uint8_t buf[STUN_MSG_MAX];
	if (l->closed || l->client == NULL)
		return;
	struct slice msg =
		turn_client_write(l->client, ev_now(), to, data, mslice_of(buf, sizeof(buf)));
	if (msg.n != 0)
		transmit(l, msg);
	/* A new permission or channel may be wanted: soon, from the loop. */
	ev_timer_at(&l->timer, turn_client_deadline(l->client));
}

/* --- receiving --------------------------------------------------------------------------------*/

/* False when the link is over. */
static bool take(struct turn_link *l, struct slice msg)
{
	struct ip_ep from;
	struct slice data;
	if (turn_client_input(l->client, ev_now(), msg, &from, &data) == 1)
		l->conf.packet(l->conf.user, &from, data);
	else
		drive(l);
	return !l->closed;
}

static void on_readable(struct ev_io *io, unsigned events)
{
	struct turn_link *l = ln_container(io, struct turn_link, io);
	struct mslice room = ev_scratch(l->loop, 0);
	size_t each = room.n / LINK_BATCH;
	struct mmsghdr in[LINK_BATCH];
	struct iovec iov[LINK_BATCH];
	(void)events;
	for (size_t i = 0; i < LINK_BATCH; i++) {
		iov[i] = (struct iovec){ room.p + i * each, each };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	int n = recvmmsg(l->fd, in, LINK_BATCH, MSG_DONTWAIT, NULL);
	/* ECONNREFUSED is somebody's ICMP: the client's own limits decide. */
	for (int i = 0; i < n; i++)
		if (!take(l, slice_of(iov[i].iov_base, in[i].msg_len)))
			return;
}

static void on_data(void *user, struct slice data)
{
	struct turn_link *l = user;
	if (l->client == NULL)
		return;
	str_addn(&l->in, data.p, data.n);
	size_t at = 0;
	while (!l->closed) {
		struct slice rest = slice_after(str_slice(&l->in), at);
		int n = turn_msg_stream_len(rest);
		if (n < 0 || l->in.err != 0) {
			finish(l, "what the TURN server sent is no TURN");
			return;
		}
		if (n == 0 || rest.n < (size_t)n)
			break;
		at += (size_t)n;
		if (!take(l, slice_of(rest.p, (size_t)n)))
			return;
	}
	str_consume(&l->in, at);
}

/* --- opening ----------------------------------------------------------------------------------*/

static void start_client(struct turn_link *l)
{
	struct turn_client_conf c = {
		.user = l->username, .password = l->password, .stream = l->tcp, .rng = ev_rng()
	};
	l->client = turn_client_new(&c, ev_now());
	drive(l);
}

static void open_udp(struct turn_link *l, const struct ip_ep *server)
{
	struct sockaddr_storage ss;
	int room = LINK_RCVBUF;
	unsigned len = ip_ep_to_sockaddr(server, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Before connect(), which chooses our address by the way there. */
	if (fd >= 0 && l->conf.fwmark != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_MARK, &l->conf.fwmark, sizeof(l->conf.fwmark));
	if (fd < 0 || connect(fd, (struct sockaddr *)&ss, len) < 0) {
		const char *why = ln_strerror(-errno);
		if (fd >= 0)
			close(fd);
		finish(l, why);
		return;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	int err = ev_io_init(&l->io, l->loop, fd, on_readable);
	if (err < 0) {
		close(fd);
		finish(l, ln_strerror(err));
		return;
	}
	l->fd = fd;
	ev_io_want(&l->io, EV_READ);
	start_client(l);
}

static void resolve_work(void *arg)
{
	struct resolving *r = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *list = NULL;
	if (getaddrinfo(r->host, NULL, &hints, &list) != 0)
		return;
	for (struct addrinfo *a = list; a != NULL && r->found.addr.family == 0; a = a->ai_next)
		if (ip_ep_from_sockaddr(a->ai_addr, &r->found) < 0)
			r->found = (struct ip_ep){ 0 };
	freeaddrinfo(list);
}

static void resolve_done(void *arg)
{
	struct resolving *r = arg;
	struct turn_link *l = r->link;
	if (l != NULL) {
		l->resolving = NULL;
		r->found.port = l->port;
		if (r->found.addr.family != 0)
			open_udp(l, &r->found);
		else
			finish(l, "the TURN server's name cannot be resolved");
	}
	free(r);
}

static void on_writable(void *user)
{
	(void)user;
}

static void on_ready(void *user)
{
	start_client(user);
}

static void on_stream_closed(void *user, int err, const char *why)
{
	(void)err;
	finish(user, why);
}

static const struct net_stream_ops stream_ops = {
	.data = on_data,
	.writable = on_writable,
	.ready = on_ready,
	.closed = on_stream_closed,
};

static void on_dialled(void *user, int fd, const struct ip_ep *peer, const char *why)
{
	struct turn_link *l = user;
	struct net_tls *tls = NULL;
	(void)peer;
	l->dial = NULL;
	if (fd < 0) {
		finish(l, why);
		return;
	}
	if (l->tls) {
		tls = l->conf.tls != NULL ? net_tls_new(l->conf.tls, l->host) : NULL;
		if (tls == NULL) {
			close(fd);
			finish(l, "the host name cannot be verified by TLS");
			return;
		}
		net_tls_without_alpn(tls);
	}
	int err = net_stream_new(l->loop, fd, tls, &stream_ops, l, &l->stream);
	if (err < 0)
		finish(l, ln_strerror(err));
	else if (tls == NULL)
		start_client(l);
}

/* The first step, from the loop: no callback comes inside turn_link_new(). */
static void dial(struct turn_link *l)
{
	struct net_dial_target t = { .host = l->host, .port = l->port, .fwmark = l->conf.fwmark };
	struct ip_ep literal = { .port = l->port };
	if (l->tcp) {
		l->dial = net_dial_new(l->loop, &t, LINK_DIAL_LIMIT, on_dialled, l);
	} else if (ip_parse(slice_str(l->host), &literal.addr) == 0) {
		open_udp(l, &literal);
	} else {
		l->resolving = ln_alloc(sizeof(*l->resolving));
		l->resolving->link = l;
		memcpy(l->resolving->host, l->host, sizeof(l->host));
		ev_work(l->loop, resolve_work, resolve_done, l->resolving);
	}
}

static void on_timer(struct ev_timer *t)
{
	struct turn_link *l = ln_container(t, struct turn_link, timer);
	if (l->client != NULL) {
		drive(l);
	} else if (l->dial == NULL && l->stream == NULL && l->resolving == NULL) {
		ev_timer_after(t, 2 * LINK_DIAL_LIMIT);
		dial(l);
	} else {
		finish(l, "no connection to the TURN server in time");
	}
}

static int parse(struct turn_link *l, const char *uri)
{
	l->tls = strncmp(uri, "turns:", 6) == 0;
	if (!l->tls && strncmp(uri, "turn:", 5) != 0)
		return LN_E_MALFORMED;
	const char *at = uri + (l->tls ? 6 : 5);
	size_t n = strcspn(at, "?");
	l->tcp = l->tls;
	if (strcmp(at + n, "?transport=tcp") == 0)
		l->tcp = true;
	else if (strcmp(at + n, "?transport=udp") == 0 && l->tls)
		return LN_E_UNSUPPORTED;
	else if (at[n] != '\0' && strcmp(at + n, "?transport=udp") != 0)
		return LN_E_MALFORMED;
	return agent_url_parse_host(slice_of(at, n), l->tls ? 5349 : 3478, l->host, &l->port) < 0
		       ? LN_E_MALFORMED
		       : 0;
}

int turn_link_new(struct ev_loop *loop, const struct turn_link_conf *conf, struct turn_link **ret)
{
	struct turn_link *l = ln_alloc(sizeof(*l));
	int err = parse(l, conf->uri);
	if (err < 0) {
		free(l);
		return err;
	}
	l->loop = loop;
	l->conf = *conf;
	l->fd = -1;
	(void)snprintf(l->username, sizeof(l->username), "%s", conf->username);
	(void)snprintf(l->password, sizeof(l->password), "%s", conf->password);
	l->conf.uri = l->conf.username = l->conf.password = NULL;
	str_init(&l->in, LINK_PART_MAX * 2);
	str_init(&l->out, 2 * LINK_BEHIND);
	ev_timer_init(&l->timer, loop, on_timer);
	ev_timer_at(&l->timer, 0);
	*ret = l;
	return 0;
}

static void say_goodbye(struct turn_link *l)
{
	uint8_t buf[STUN_MSG_MAX];
	struct turn_out out;
	turn_client_close(l->client);
	if (turn_client_poll(l->client, ev_now(), mslice_of(buf, sizeof(buf)), &out) &&
	    out.event == TURN_EV_SEND)
		transmit(l, out.bytes);
	if (l->stream != NULL)
		net_stream_write(l->stream, str_slice(&l->out));
	str_clear(&l->out);
}

void turn_link_free(struct turn_link *l)
{
	if (l == NULL)
		return;
	if (l->client != NULL && !l->closed)
		say_goodbye(l);
	l->closed = l->freed = true;
	drop_transport(l);
	ev_timer_fini(&l->timer);
	turn_client_free(l->client);
	l->client = NULL;
	str_fini(&l->in);
	explicit_bzero(l->password, sizeof(l->password));
	if (l->flush_planned)
		return; /* flush_job() frees the rest */
	str_fini(&l->out);
	ev_defer_free(l->loop, l);
}

bool turn_link_is_up(const struct turn_link *l)
{
	return !l->closed && l->client != NULL && turn_client_is_up(l->client);
}
