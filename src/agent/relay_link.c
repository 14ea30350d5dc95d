#include "src/agent/relay_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/wire/url.h"

#define LINK_DIAL_LIMIT (30 * LN_SEC)

struct relay_link {
	struct ev_loop *loop;
	struct relay_link_conf conf;
	char url[RELAY_LINK_URL_MAX + 1];
	struct url at;
	struct ip_addr server;
	struct relay_session *session;
	struct relay_pipe *pipe;
	struct ev_timer timer; /* the session's, and the limit of dialling */
	ln_time open_limit;
	bool open, closed;
	char why[160];
};

/* --- the end ----------------------------------------------------------------------------------*/

static void finish(struct relay_link *l, bool left, const char *why)
{
	if (l->closed)
		return;
	l->closed = true;
	(void)snprintf(l->why, sizeof(l->why), "%s", why);
	relay_pipe_free(l->pipe);
	l->pipe = NULL;
	ev_timer_stop(&l->timer);
	l->conf.closed(l->conf.user, l, left, l->why);
}

/* --- the session ------------------------------------------------------------------------------*/

static const char *end_text(enum relay_session_end end)
{
	switch (end) {
	case RELAY_SESSION_HELLO_TIMEOUT:
		return "no answer to our token";
	case RELAY_SESSION_BAD_ANSWER:
		return "an unusable answer to our token";
	case RELAY_SESSION_SILENT:
		return "no health check from the relay";
	case RELAY_SESSION_SERVER_LEFT:
		return "the relay is going away";
	case RELAY_SESSION_WE_LEFT:
		break;
	}
	return "";
}

static void gone(struct relay_link *l, struct relay_link_peer *p, const char *why)
{
	p->at = NULL;
	l->conf.peer(l->conf.user, p, false, why);
}

static void output(struct relay_link *l, const struct relay_session_out *out)
{
	switch (out->event) {
	case RELAY_SESSION_SEND:
		relay_pipe_send(l->pipe, out->bytes);
		break;
	case RELAY_SESSION_READY:
		l->conf.ready(l->conf.user, l);
		break;
	case RELAY_SESSION_ONLINE:
		l->conf.peer(l->conf.user, out->user, true, "");
		break;
	case RELAY_SESSION_EARLY:
		l->conf.packet(l->conf.user, out->user, out->bytes);
		break;
	case RELAY_SESSION_OFFLINE:
		gone(l, out->user, "the other side has left the relay");
		break;
	case RELAY_SESSION_FAILED:
		gone(l, out->user, "the other side is not connected to the relay");
		break;
	case RELAY_SESSION_ENDED:
		finish(l, out->end == RELAY_SESSION_SERVER_LEFT, end_text(out->end));
		break;
	}
}

/* Everything the session wants; any callback may end or free the link. */
static void drive(struct relay_link *l)
{
	uint8_t buf[RELAY_MSG_MAX];
	struct relay_session_out out;
	while (!l->closed &&
	       relay_session_poll(l->session, ev_now(), mslice_of(buf, sizeof(buf)), &out))
		output(l, &out);
	if (!l->closed)
		ev_timer_at(&l->timer,
			    ln_time_min(relay_session_deadline(l->session), l->open_limit));
}

static void on_message(void *user, struct slice msg)
{
	struct relay_link *l = user;
	struct slice payload;
	void *peer;
	if (l->closed)
		return;
	if (relay_session_input(l->session, ev_now(), msg, &peer, &payload) != 1)
		drive(l);
	else if (payload.n != 0)
		l->conf.packet(l->conf.user, peer, payload);
}

/* --- opening ----------------------------------------------------------------------------------*/

static void on_open(void *user, bool lossy, const struct ip_addr *server)
{
	struct relay_link *l = user;
	l->open = true;
	l->server = *server;
	l->open_limit = LN_TIME_NEVER;
	relay_session_set_lossy(l->session, lossy);
	relay_session_start(l->session, ev_now());
	drive(l);
}

static void on_pipe_closed(void *user, int err, const char *why)
{
	struct relay_link *l = user;
	/* Servers refuse without a word (spec relay trap 21). */
	if (l->open && !relay_link_ready(l))
		why = "the relay refused our token, or closed before it answered";
	else if (l->open && err == LN_E_CLOSED)
		why = "the relay closed the connection";
	finish(l, false, why);
}

static const struct relay_pipe_ops pipe_ops = {
	.open = on_open,
	.message = on_message,
	.closed = on_pipe_closed,
};

static void on_timer(struct ev_timer *t)
{
	struct relay_link *l = ln_container(t, struct relay_link, timer);
	if (ev_now() >= l->open_limit)
		finish(l, false, "no connection in time");
	else
		drive(l);
}

/* rel(s)://host[:port][/path] with the rules of URLs; the path is not used (spec relay 10). */
static int parse(const char *text, struct url *ret)
{
	char http[RELAY_LINK_URL_MAX + 8];
	bool tls = strncmp(text, "rels://", 7) == 0;
	if ((!tls && strncmp(text, "rel://", 6) != 0) || strlen(text) > RELAY_LINK_URL_MAX)
		return LN_E_MALFORMED;
	(void)snprintf(http, sizeof(http), "%s%s", tls ? "https://" : "http://",
		       text + (tls ? 7 : 6));
	int err = url_parse(slice_str(http), ret, NULL);
	ret->path = slice_of(NULL, 0);
	return err < 0 ? LN_E_MALFORMED : 0;
}

int relay_link_new(struct ev_loop *loop, const struct relay_link_conf *conf,
		   struct relay_link **ret)
{
	struct url at;
	if (parse(conf->url, &at) < 0 || conf->token.n > RELAY_TOKEN_MAX)
		return LN_E_MALFORMED;
	struct relay_link *l = ln_alloc(sizeof(*l));
	l->loop = loop;
	l->conf = *conf;
	l->at = at;
	memcpy(l->url, conf->url, strlen(conf->url) + 1);
	l->conf.url = l->url;
	struct relay_session_conf sc = { .own = conf->own, .token = conf->token, .rng = ev_rng() };
	l->session = relay_session_new(&sc, ev_now());
	l->conf.token = slice_of(NULL, 0);
	ev_timer_init(&l->timer, loop, on_timer);
	l->open_limit = ev_now() + LINK_DIAL_LIMIT;
	ev_timer_at(&l->timer, l->open_limit);
	const struct relay_pipe_conf pc = {
		.at = &l->at,
		.hint = conf->hint,
		.tls = conf->tls,
		.fwmark = conf->fwmark,
		.transport = conf->transport,
		.narrow = conf->narrow,
		.avoid = conf->avoid,
	};
	l->pipe = relay_pipe_new(loop, &pc, &pipe_ops, l);
	l->conf.hint = NULL;
	*ret = l;
	return 0;
}

static void say_goodbye(struct relay_link *l)
{
	uint8_t buf[RELAY_MSG_MAX];
	struct relay_session_out out;
	relay_session_leave(l->session);
	while (relay_session_poll(l->session, ev_now(), mslice_of(buf, sizeof(buf)), &out))
		if (out.event == RELAY_SESSION_SEND)
			relay_pipe_send(l->pipe, out.bytes);
}

void relay_link_free(struct relay_link *l, bool say_close)
{
	if (l == NULL)
		return;
	l->closed = true;
	if (say_close && l->pipe != NULL && relay_pipe_is_open(l->pipe))
		say_goodbye(l);
	relay_pipe_free(l->pipe);
	l->pipe = NULL;
	ev_timer_fini(&l->timer);
	relay_session_free(l->session);
	l->session = NULL;
	ev_defer_free(l->loop, l);
}

/* --- use --------------------------------------------------------------------------------------*/

bool relay_link_ready(const struct relay_link *l)
{
	return !l->closed && relay_session_is_ready(l->session);
}

const char *relay_link_url(const struct relay_link *l)
{
	return l->url;
}

const char *relay_link_instance(const struct relay_link *l)
{
	return relay_session_url(l->session);
}

struct ip_addr relay_link_ip(const struct relay_link *l)
{
	return l->server;
}

ln_time relay_link_unused_since(const struct relay_link *l)
{
	return relay_session_unused_since(l->session);
}

bool relay_link_is_quic(const struct relay_link *l)
{
	return l->pipe != NULL && relay_pipe_is_quic(l->pipe);
}

bool relay_link_attach(struct relay_link *l, struct relay_link_peer *p)
{
	if (relay_session_open(l->session, ev_now(), &p->id, p, &p->at) < 0)
		return false;
	/* From the loop: nobody expects a callback inside this call. */
	ev_timer_at(&l->timer, 0);
	return true;
}

void relay_link_detach(struct relay_link *l, struct relay_link_peer *p)
{
	if (p->at == NULL)
		return;
	relay_session_close(l->session, p->at);
	p->at = NULL;
	if (!l->closed)
		ev_timer_at(&l->timer, 0);
}

void relay_link_send(struct relay_link *l, const struct relay_link_peer *p, struct slice data)
{
	uint8_t buf[RELAY_MSG_MAX];
	if (!relay_link_ready(l))
		return;
	int n = relay_msg_write_transport(mslice_of(buf, sizeof(buf)), &p->id, data);
	if (n > 0)
		relay_pipe_send(l->pipe, slice_of(buf, (size_t)n));
}
