#include "src/agent/relay_pipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/relay/relay_msg.h"

#include "src/net/net_dial.h"
#include "src/net/net_quic.h"
#include "src/net/net_resolve.h"
#include "src/net/net_stream.h"
#include "src/net/net_tls.h"
#include "src/net/net_ws.h"
#include "src/obs/obs_log.h"

#define MODULE "relay"
#define DIAL_LIMIT (30 * LN_SEC)
#define HINT_LIMIT (3 * LN_SEC)
#define BEHIND ((size_t)4 << 20) /* bytes not taken by the socket */
#define ALPN "nb-quic"
#define QUIC_IDLE (240 * LN_SEC)
/* Also how soon a side that has nothing to say learns that the relay was restarted. */
#define QUIC_KEEP_ALIVE (5 * LN_SEC)
/* The path's size is being found in the first round trips; until then large messages are lost. */
#define QUIC_MEASURING (3 * LN_SEC)
/* A full overlay packet in WireGuard in a Transport message. */
#define QUIC_FULL 1350
#define MESSAGE_MAX LN_MAX(RELAY_AUTH_RESPONSE_MAX, RELAY_MSG_MAX)

enum side {
	SIDE_NONE,
	SIDE_WS,
	SIDE_QUIC
};

struct relay_pipe {
	struct ev_loop *loop;
	struct relay_pipe_ops ops;
	void *user;
	struct url at;
	char name[URL_AUTHORITY_TEXT];
	struct ip_addr hint;
	struct net_tls_ctx *tls;
	uint32_t fwmark;
	struct relay_avoid *avoid;
	enum relay_transport transport;
	enum side won;
	bool try_ws, try_quic; /* under way */
	bool ended;
	char why_ws[160], why_quic[160];
	struct ip_addr server_ws, server_quic;
	ln_time opened;
	/* The WebSocket. */
	bool by_hint;
	struct net_dial *dial;
	struct net_stream *stream; /* until the WebSocket takes it */
	struct net_ws *ws;
	/* QUIC. */
	struct net_resolve *resolve;
	struct net_quic *quic;
	struct ip_addr addr[NET_RESOLVE_MAX + 1];
	size_t naddr, at_addr;
};

/* --- words ------------------------------------------------------------------------------------*/

enum relay_transport relay_transport_parse(const char *text)
{
	static const char *const names[] = {
		[RELAY_TRANSPORT_AUTO] = "auto",
		[RELAY_TRANSPORT_QUIC] = "quic",
		[RELAY_TRANSPORT_WS] = "ws",
		[RELAY_TRANSPORT_PREFER_QUIC] = "prefer-quic",
		[RELAY_TRANSPORT_PREFER_WS] = "prefer-ws",
	};
	static const char blanks[] = " \t\r\n";
	if (text == NULL)
		return RELAY_TRANSPORT_AUTO;
	text += strspn(text, blanks);
	size_t n = strcspn(text, blanks);
	for (size_t i = 0; i < LN_COUNT(names); i++)
		if (strlen(names[i]) == n && strncasecmp(names[i], text, n) == 0 &&
		    text[n + strspn(text + n, blanks)] == '\0')
			return (enum relay_transport)i;
	return RELAY_TRANSPORT_AUTO;
}

/* --- the race ---------------------------------------------------------------------------------*/

static void drop_ws(struct relay_pipe *p)
{
	if (p->dial != NULL)
		net_dial_cancel(p->dial);
	p->dial = NULL;
	net_stream_free(p->stream);
	p->stream = NULL;
	net_ws_free(p->ws);
	p->ws = NULL;
	p->try_ws = false;
}

static void drop_quic(struct relay_pipe *p)
{
	net_resolve_cancel(p->resolve);
	p->resolve = NULL;
	net_quic_free(p->quic);
	p->quic = NULL;
	p->try_quic = false;
}

static void finish(struct relay_pipe *p, int err, const char *why)
{
	if (p->ended)
		return;
	p->ended = true;
	drop_ws(p);
	drop_quic(p);
	p->ops.closed(p->user, err, why);
}

static void start_ws(struct relay_pipe *p);
static void start_quic(struct relay_pipe *p);

static void won(struct relay_pipe *p, enum side side)
{
	p->won = side;
	p->opened = ev_now();
	if (side == SIDE_WS)
		drop_quic(p);
	else
		drop_ws(p);
	log_debug(MODULE, "transport is up", LOG_STR("server", p->name),
		  LOG_STR("by", side == SIDE_WS ? "WebSocket" : "QUIC"));
	p->ops.open(p->user, side == SIDE_QUIC, side == SIDE_WS ? &p->server_ws : &p->server_quic);
}

/* One way has failed before anything was up: the other goes on, begins, or that was it. */
static void lost(struct relay_pipe *p, int err)
{
	char why[340];
	if (p->try_ws || p->try_quic)
		return;
	if (p->transport == RELAY_TRANSPORT_PREFER_QUIC && p->why_ws[0] == '\0') {
		start_ws(p);
		return;
	}
	if (p->transport == RELAY_TRANSPORT_PREFER_WS && p->why_quic[0] == '\0') {
		start_quic(p);
		return;
	}
	if (p->why_ws[0] != '\0' && p->why_quic[0] != '\0')
		(void)snprintf(why, sizeof(why), "%s; QUIC: %s", p->why_ws, p->why_quic);
	else
		(void)snprintf(why, sizeof(why), "%s",
			       p->why_ws[0] != '\0' ? p->why_ws : p->why_quic);
	finish(p, err, why);
}

static void lost_ws(struct relay_pipe *p, int err, const char *why)
{
	(void)snprintf(p->why_ws, sizeof(p->why_ws), "%s", why);
	drop_ws(p);
	lost(p, err);
}

static void lost_quic(struct relay_pipe *p, int err, const char *why)
{
	(void)snprintf(p->why_quic, sizeof(p->why_quic), "%s", why);
	drop_quic(p);
	lost(p, err);
}

/* --- the WebSocket ----------------------------------------------------------------------------*/

static void on_ws_ready(void *user)
{
	won(user, SIDE_WS);
}

static void on_message(void *user, struct slice msg)
{
	struct relay_pipe *p = user;
	if (!p->ended && p->won != SIDE_NONE)
		p->ops.message(p->user, msg);
}

static void on_writable(void *user)
{
	(void)user; /* nobody waits: packets that find no room are dropped */
}

static void on_ws_closed(void *user, int err, const char *why)
{
	struct relay_pipe *p = user;
	char text[160];
	(void)snprintf(text, sizeof(text), "%s", why);
	if (p->won == SIDE_WS)
		finish(p, err, text);
	else
		lost_ws(p, err, text);
}

static const struct net_ws_ops ws_ops = {
	.ready = on_ws_ready,
	.message = on_message,
	.writable = on_writable,
	.closed = on_ws_closed,
};

static void upgrade(struct relay_pipe *p)
{
	struct net_stream *s = p->stream;
	p->stream = NULL;
	p->ws = net_ws_connect(p->loop, s, p->name, "/relay", MESSAGE_MAX, &ws_ops, p);
}

static void on_tls_data(void *user, struct slice data)
{
	(void)user; /* ready() comes first and hands the stream over */
	(void)data;
}

static void on_tls_ready(void *user)
{
	upgrade(user);
}

static void on_tls_closed(void *user, int err, const char *why)
{
	char text[160];
	(void)snprintf(text, sizeof(text), "TLS: %s", why);
	lost_ws(user, err, text);
}

static const struct net_stream_ops tls_ops = {
	.data = on_tls_data,
	.writable = on_writable,
	.ready = on_tls_ready,
	.closed = on_tls_closed,
};

static void dial(struct relay_pipe *p, bool by_hint);

static void on_dialled(void *user, int fd, const struct ip_ep *peer, const char *why)
{
	struct relay_pipe *p = user;
	p->dial = NULL;
	if (fd < 0) {
		if (p->by_hint)
			dial(p, false);
		else
			lost_ws(p, fd, why);
		return;
	}
	p->server_ws = peer->addr;
	struct net_tls *tls = NULL;
	if (p->at.tls) {
		tls = p->tls != NULL ? net_tls_new(p->tls, p->at.host) : NULL;
		if (tls == NULL) {
			close(fd);
			lost_ws(p, LN_E_AUTH, "the host name cannot be verified by TLS");
			return;
		}
		net_tls_without_alpn(tls);
	}
	int err = net_stream_new(p->loop, fd, tls, &tls_ops, p, &p->stream);
	if (err < 0)
		lost_ws(p, err, ln_strerror(err));
	else if (tls == NULL)
		upgrade(p);
}

static void dial(struct relay_pipe *p, bool by_hint)
{
	char text[IP_TEXT_MAX];
	struct net_dial_target t = { .host = p->at.host, .port = p->at.port, .fwmark = p->fwmark };
	p->by_hint = by_hint;
	if (by_hint) {
		ip_format(&p->hint, text);
		t.host = text;
	}
	p->dial = net_dial_new(p->loop, &t, by_hint ? HINT_LIMIT : DIAL_LIMIT, on_dialled, p);
}

static void start_ws(struct relay_pipe *p)
{
	p->try_ws = true;
	dial(p, ip_is_set(&p->hint));
}

/* --- QUIC -------------------------------------------------------------------------------------*/

static void next_address(struct relay_pipe *p, int err, const char *why);

static void on_quic_ready(void *user)
{
	won(user, SIDE_QUIC);
}

static void on_quic_closed(void *user, int err, const char *why)
{
	struct relay_pipe *p = user;
	char text[160];
	(void)snprintf(text, sizeof(text), "%s", why);
	if (p->won != SIDE_QUIC) {
		net_quic_free(p->quic);
		p->quic = NULL;
		next_address(p, err, text);
		return;
	}
	/* A relay sends peers away that cannot take full messages (spec relay 11). */
	if (net_quic_room(p->quic) < QUIC_FULL && ev_now() - p->opened > QUIC_MEASURING)
		relay_avoid_mark(p->avoid, p->name, ev_now());
	finish(p, err, text);
}

static const struct net_quic_ops quic_ops = {
	.ready = on_quic_ready,
	.message = on_message,
	.writable = on_writable,
	.closed = on_quic_closed,
};

/* Address after address: one that is reachable answers within a round trip, or WebSocket wins. */
static void next_address(struct relay_pipe *p, int err, const char *why)
{
	while (p->at_addr < p->naddr) {
		p->server_quic = p->addr[p->at_addr++];
		const struct net_quic_target t = {
			.host = p->at.host,
			.at = { .addr = p->server_quic, .port = p->at.port },
			.alpn = ALPN,
			.idle = QUIC_IDLE,
			.keep_alive = QUIC_KEEP_ALIVE,
			.fwmark = p->fwmark,
		};
		err = net_quic_connect(p->loop, p->tls, &t, &quic_ops, p, &p->quic);
		if (err == 0)
			return;
		why = ln_strerror(err);
	}
	lost_quic(p, err, why);
}

static void on_resolved(void *user, const struct ip_addr *v, size_t n, const char *why)
{
	struct relay_pipe *p = user;
	p->resolve = NULL;
	for (size_t i = 0; i < n; i++)
		p->addr[p->naddr++] = v[i];
	next_address(p, LN_E_NOTFOUND, why);
}

static void start_quic(struct relay_pipe *p)
{
	struct ip_addr literal;
	p->try_quic = true;
	if (ip_is_set(&p->hint))
		p->addr[p->naddr++] = p->hint;
	if (ip_parse(slice_str(p->at.host), &literal) < 0) {
		p->resolve = net_resolve_new(p->loop, p->at.host, on_resolved, p);
		return;
	}
	on_resolved(p, &literal, 1, "");
}

/* --- life -------------------------------------------------------------------------------------*/

/* Spec relay 13: who takes part. The user's "quic" and "ws" are obeyed to the letter. */
static void choose(struct relay_pipe *p, const struct relay_pipe_conf *conf)
{
	bool quic = net_quic_built() && p->at.tls && p->tls != NULL && !conf->narrow &&
		    !relay_avoid_has(p->avoid, p->name, ev_now());
	if (p->transport != RELAY_TRANSPORT_QUIC && !quic)
		p->transport = RELAY_TRANSPORT_WS;
}

static void on_no_quic(void *arg)
{
	struct relay_pipe *p = arg;
	if (!p->ended)
		lost_quic(p, LN_E_UNSUPPORTED,
			  p->at.tls ? "this program was built without it"
				    : "it needs TLS (rels://)");
}

struct relay_pipe *relay_pipe_new(struct ev_loop *loop, const struct relay_pipe_conf *conf,
				  const struct relay_pipe_ops *ops, void *user)
{
	struct relay_pipe *p = ln_alloc(sizeof(*p));
	p->loop = loop;
	p->ops = *ops;
	p->user = user;
	p->at = *conf->at;
	p->at.path = slice_of(NULL, 0);
	url_authority(&p->at, p->name);
	if (conf->hint != NULL)
		p->hint = *conf->hint;
	p->tls = conf->tls;
	p->fwmark = conf->fwmark;
	p->avoid = conf->avoid;
	p->transport = conf->transport;
	choose(p, conf);
	if (p->transport == RELAY_TRANSPORT_QUIC && (!net_quic_built() || p->tls == NULL)) {
		ev_defer(loop, on_no_quic, p);
		return p;
	}
	if (p->transport != RELAY_TRANSPORT_WS && p->transport != RELAY_TRANSPORT_PREFER_WS)
		start_quic(p);
	if (p->transport != RELAY_TRANSPORT_QUIC && p->transport != RELAY_TRANSPORT_PREFER_QUIC)
		start_ws(p);
	return p;
}

void relay_pipe_free(struct relay_pipe *p)
{
	if (p == NULL)
		return;
	p->ended = true;
	drop_ws(p);
	drop_quic(p);
	ev_defer_free(p->loop, p);
}

bool relay_pipe_is_open(const struct relay_pipe *p)
{
	return p->won != SIDE_NONE && !p->ended;
}

bool relay_pipe_is_quic(const struct relay_pipe *p)
{
	return p->won == SIDE_QUIC;
}

static void on_too_large(void *arg)
{
	struct relay_pipe *p = arg;
	if (!p->ended)
		finish(p, LN_E_LIMIT, "packets do not fit into datagrams on this path");
}

/* Spec relay 13: the first message too large for a measured path ends QUIC for a while. */
static void send_quic(struct relay_pipe *p, struct slice msg)
{
	ln_time now = ev_now();
	if (net_quic_send(p->quic, msg) != LN_E_LIMIT || p->transport == RELAY_TRANSPORT_QUIC ||
	    now - p->opened < QUIC_MEASURING || relay_avoid_has(p->avoid, p->name, now))
		return;
	relay_avoid_mark(p->avoid, p->name, now);
	log_info(MODULE, "the path is too narrow for QUIC, taking the WebSocket",
		 LOG_STR("server", p->name), LOG_UINT("room", net_quic_room(p->quic)));
	ev_defer(p->loop, on_too_large, p);
}

void relay_pipe_send(struct relay_pipe *p, struct slice msg)
{
	if (!relay_pipe_is_open(p))
		return;
	if (p->won == SIDE_QUIC)
		send_quic(p, msg);
	else if (net_ws_pending(p->ws) <= BEHIND)
		net_ws_send(p->ws, msg);
}
