#include "src/net/net_grpc_channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/ip.h"

#define WINDOW (1u << 20) /* official agents announce nothing and get 65,535 */

struct state_news {
	struct grpc_channel *channel;
	enum grpc_channel_state state;
	char why[400];
};

/* --- states -----------------------------------------------------------------------------------*/

static void tell_state(void *arg)
{
	struct state_news *n = arg;
	if (!n->channel->dead && n->channel->conf.on_state != NULL)
		n->channel->conf.on_state(n->channel->conf.user, n->state, n->why);
	free(n);
}

static void set_state(struct grpc_channel *ch, enum grpc_channel_state state, const char *why)
{
	if (ch->state == state)
		return;
	ch->state = state;
	if (ch->dead || ch->conf.on_state == NULL)
		return;
	struct state_news *n = ln_alloc(sizeof(*n));
	n->channel = ch;
	n->state = state;
	snprintf(n->why, sizeof(n->why), "%s", why);
	ev_defer(ch->loop, tell_state, n);
}

enum grpc_channel_state grpc_channel_state(const struct grpc_channel *ch)
{
	return ch->state;
}

/* --- connecting -------------------------------------------------------------------------------*/

static void fail_waiting(struct grpc_channel *ch, enum grpc_status status, const char *why)
{
	list_for_each_safe(it, &ch->calls) {
		struct grpc_call *c = list_entry(it, struct grpc_call, link);
		if (c->st == NULL)
			grpc_client_end(c, status, why);
	}
}

static void stop_dialling(struct grpc_channel *ch)
{
	net_dial_cancel(ch->dial);
	ch->dial = NULL;
	net_stream_free(ch->stream);
	ch->stream = NULL;
	ev_timer_stop(&ch->limit);
}

static void dial_failed(struct grpc_channel *ch, const char *why)
{
	stop_dialling(ch);
	fail_waiting(ch, GRPC_UNAVAILABLE, why);
	set_state(ch, GRPC_FAILURE, why);
}

static void conn_ready(void *user)
{
	struct channel_conn *cc = user;
	struct grpc_channel *ch = cc->channel;
	if (ch == NULL || ch->conn != cc)
		return;
	ev_timer_stop(&ch->limit);
	set_state(ch, GRPC_READY, "");
	list_for_each_safe(it, &ch->calls) {
		struct grpc_call *c = list_entry(it, struct grpc_call, link);
		if (c->st == NULL)
			grpc_client_open(c);
	}
}

/* The server wants to go: calls that run may end, the next one dials anew. */
static void conn_goaway(void *user)
{
	struct channel_conn *cc = user;
	struct grpc_channel *ch = cc->channel;
	if (ch == NULL || ch->conn != cc)
		return;
	ch->conn = NULL;
	if (ch->state == GRPC_CONNECTING)
		dial_failed(ch, "the server closed the connection at once");
	else
		set_state(ch, GRPC_IDLE, "the server is going away");
}

static void conn_closed(void *user, int err, const char *why)
{
	struct channel_conn *cc = user;
	struct grpc_channel *ch = cc->channel;
	list_remove(&cc->link);
	if (ch != NULL && ch->conn == cc) {
		char text[400];
		ch->conn = NULL;
		snprintf(text, sizeof(text), "connection to %s: %s", ch->authority, why);
		dial_failed(ch, text);
	}
	free(cc);
}

static const struct net_h2_ops conn_ops = {
	.ready = conn_ready,
	.goaway = conn_goaway,
	.closed = conn_closed,
};

static void start_h2(struct grpc_channel *ch, struct net_stream *stream)
{
	struct channel_conn *cc = ln_alloc(sizeof(*cc));
	const struct net_h2_conf conf = {
		.window = WINDOW,
		.keepalive = ch->conf.keepalive,
		.keepalive_answer = ch->conf.keepalive_answer,
		.settings_limit = ch->conf.dial_limit,
		.peer = ch->peer,
	};
	cc->channel = ch;
	ch->stream = NULL;
	ch->conn = cc;
	list_add_tail(&ch->conns, &cc->link);
	cc->h2 = net_h2_new(ch->loop, stream, &conf, &conn_ops, cc);
}

static void tls_ready(void *user)
{
	struct grpc_channel *ch = user;
	if (net_stream_is_h2(ch->stream)) {
		start_h2(ch, ch->stream);
		return;
	}
	char why[400];
	snprintf(why, sizeof(why), "%s does not speak HTTP/2 over TLS (ALPN)", ch->authority);
	dial_failed(ch, why);
}

static void tls_data(void *user, struct slice data)
{
	/* ready() comes before the first byte and hands the stream to HTTP/2. */
}

static void tls_writable(void *user)
{
}

static void tls_closed(void *user, int err, const char *why)
{
	struct grpc_channel *ch = user;
	char text[400];
	snprintf(text, sizeof(text), "TLS with %s: %s", ch->authority, why);
	dial_failed(ch, text);
}

static const struct net_stream_ops tls_ops = {
	.data = tls_data,
	.writable = tls_writable,
	.ready = tls_ready,
	.closed = tls_closed,
};

static void on_dialled(void *user, int fd, const struct ip_ep *peer, const char *why)
{
	struct grpc_channel *ch = user;
	ch->dial = NULL;
	if (fd < 0) {
		dial_failed(ch, why);
		return;
	}
	ch->peer = *peer;
	struct net_tls *tls = NULL;
	if (ch->tls != NULL) {
		tls = net_tls_new(ch->tls, ch->host);
		if (tls == NULL) {
			close(fd);
			dial_failed(ch, "the host name cannot be verified by TLS");
			return;
		}
	}
	int r = net_stream_new(ch->loop, fd, tls, &tls_ops, ch, &ch->stream);
	if (r != 0)
		dial_failed(ch, ln_strerror(r));
	else if (tls == NULL)
		start_h2(ch, ch->stream);
}

static void on_dial_limit(struct ev_timer *t)
{
	struct grpc_channel *ch = ln_container(t, struct grpc_channel, limit);
	struct channel_conn *cc = ch->conn;
	char why[400];
	snprintf(why, sizeof(why), "connect to %s: timed out", ch->authority);
	ch->conn = NULL;
	if (cc != NULL)
		net_h2_close(cc->h2, LN_E_TIMEOUT, why);
	dial_failed(ch, why);
}

static void dial_error_job(void *arg)
{
	struct state_news *n = arg;
	if (!n->channel->dead && n->channel->state == GRPC_CONNECTING)
		dial_failed(n->channel, n->why);
	free(n);
}

/* An error found inside a call of the user: told from the loop. */
static void dial_error(struct grpc_channel *ch, const char *why)
{
	struct state_news *n = ln_alloc(sizeof(*n));
	n->channel = ch;
	snprintf(n->why, sizeof(n->why), "%s", why);
	ev_defer(ch->loop, dial_error_job, n);
}

void grpc_channel_connect(struct grpc_channel *ch)
{
	struct ln_fail f;
	if (ch->state == GRPC_CONNECTING || ch->state == GRPC_READY)
		return;
	set_state(ch, GRPC_CONNECTING, "");
	if (ch->conf.target.tls && ch->tls == NULL &&
	    net_tls_ctx_client(ch->ca_file, &ch->tls, &f) != 0) {
		dial_error(ch, f.text);
		return;
	}
	const struct net_dial_target t = {
		.host = ch->host,
		.port = ch->conf.target.port,
		.unix_path = ch->unix_path,
		.fwmark = ch->conf.target.fwmark,
	};
	ev_timer_after(&ch->limit, ch->conf.dial_limit);
	ch->dial = net_dial_new(ch->loop, &t, ch->conf.dial_limit, on_dialled, ch);
}

/* --- life -------------------------------------------------------------------------------------*/

struct grpc_channel *grpc_channel_new(struct ev_loop *l, const struct grpc_channel_conf *conf)
{
	struct grpc_channel *ch = ln_alloc(sizeof(*ch));
	const struct grpc_target *t = &conf->target;
	ch->loop = l;
	ch->conf = *conf;
	ch->host = t->host != NULL ? ln_strdup(t->host) : NULL;
	ch->unix_path = t->unix_path != NULL ? ln_strdup(t->unix_path) : NULL;
	ch->ca_file = t->ca_file != NULL ? ln_strdup(t->ca_file) : NULL;
	if (ch->unix_path != NULL)
		snprintf(ch->authority, sizeof(ch->authority), "localhost");
	else
		snprintf(ch->authority, sizeof(ch->authority),
			 strchr(ch->host, ':') != NULL ? "[%s]:%u" : "%s:%u", ch->host, t->port);
	if (ch->conf.max_message == 0)
		ch->conf.max_message = 16u << 20;
	if (ch->conf.dial_limit == 0)
		ch->conf.dial_limit = 30 * LN_SEC;
	if (ch->conf.keepalive == 0)
		ch->conf.keepalive = 30 * LN_SEC;
	if (ch->conf.keepalive_answer == 0)
		ch->conf.keepalive_answer = 10 * LN_SEC;
	list_init(&ch->conns);
	list_init(&ch->calls);
	ev_timer_init(&ch->limit, l, on_dial_limit);
	return ch;
}

static void drop_connections(struct grpc_channel *ch, bool orphan)
{
	ch->conn = NULL;
	list_for_each_safe(it, &ch->conns) {
		struct channel_conn *cc = list_entry(it, struct channel_conn, link);
		if (orphan) {
			list_remove(&cc->link);
			cc->channel = NULL;
		}
		net_h2_close(cc->h2, 0, "client transport shutdown");
	}
}

void grpc_channel_reset(struct grpc_channel *ch)
{
	stop_dialling(ch);
	list_for_each_safe(it, &ch->calls)
		grpc_client_end(list_entry(it, struct grpc_call, link), GRPC_UNAVAILABLE,
				"connection was reset");
	drop_connections(ch, false);
	set_state(ch, GRPC_IDLE, "");
}

static void channel_gone(void *arg)
{
	struct grpc_channel *ch = arg;
	net_tls_ctx_free(ch->tls);
	free(ch->host);
	free(ch->unix_path);
	free(ch->ca_file);
	free(ch);
}

void grpc_channel_free(struct grpc_channel *ch)
{
	if (ch == NULL || ch->dead)
		return;
	ch->dead = true;
	list_for_each_safe(it, &ch->calls)
		grpc_client_end(list_entry(it, struct grpc_call, link), GRPC_CANCELLED,
				"channel was closed");
	stop_dialling(ch);
	drop_connections(ch, true);
	ev_timer_fini(&ch->limit);
	ev_defer(ch->loop, channel_gone, ch);
}
