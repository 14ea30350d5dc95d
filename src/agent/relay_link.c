#include "src/agent/relay_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/str.h"
#include "lib/token/relay_token.h"
#include "lib/wire/url.h"

#include "src/net/net_dial.h"
#include "src/net/net_stream.h"
#include "src/net/net_tls.h"
#include "src/net/net_ws.h"
#include "src/obs/obs_log.h"

#define LINK_DIAL_LIMIT (30 * LN_SEC)
#define LINK_HINT_LIMIT (3 * LN_SEC)
#define LINK_AUTH_LIMIT (8 * LN_SEC)
#define LINK_HEALTH_LOOK (35 * LN_SEC) /* spec relay 7 */
#define LINK_EARLY_MAX 1000            /* peers; one message each */
#define LINK_EARLY_AGE (5 * LN_SEC)
#define LINK_BEHIND ((size_t)4 << 20) /* bytes not taken by the socket */

struct early {
	struct map_node node;
	struct list link; /* oldest first */
	struct relay_id id;
	ln_time at;
	size_t n;
	uint8_t data[];
};

struct relay_link {
	struct ev_loop *loop;
	struct relay_link_conf conf;
	char url[RELAY_LINK_URL_MAX + 1];
	struct url at;
	uint8_t token[RELAY_TOKEN_MAX];
	char *instance;
	struct ip_ep server;
	struct net_dial *dial;
	struct net_stream *stream; /* until the WebSocket takes it */
	struct net_ws *ws;
	struct ev_timer timer; /* handshake limit, then health */
	bool by_hint, open, ready, closed, heard;
	char why[160];
	struct map peers;
	struct map early;
	struct list early_list;
};

/* --- the end ----------------------------------------------------------------------------------*/

static void drop_transport(struct relay_link *l)
{
	if (l->dial != NULL)
		net_dial_cancel(l->dial);
	l->dial = NULL;
	net_stream_free(l->stream);
	l->stream = NULL;
	net_ws_free(l->ws);
	l->ws = NULL;
	l->open = false;
}

static void finish(struct relay_link *l, bool left, const char *why)
{
	if (l->closed)
		return;
	l->closed = true;
	l->ready = false;
	(void)snprintf(l->why, sizeof(l->why), "%s", why);
	drop_transport(l);
	ev_timer_stop(&l->timer);
	l->conf.closed(l->conf.user, l, left, l->why);
}

/* --- messages ---------------------------------------------------------------------------------*/

static struct relay_link_peer *find_peer(const struct relay_link *l, const struct relay_id *id)
{
	struct map_node *n = map_find(&l->peers, slice_of(id->b, sizeof(id->b)));
	return n != NULL ? map_entry(n, struct relay_link_peer, node) : NULL;
}

static void send_header(struct relay_link *l, enum relay_type type, const struct relay_id *id)
{
	uint8_t buf[RELAY_HEADER + RELAY_ID_LEN];
	int n = relay_msg_write_header(mslice_of(buf, sizeof(buf)), type);
	ln_assert(n > 0);
	if (id != NULL) {
		memcpy(buf + n, id->b, sizeof(id->b));
		n += (int)sizeof(id->b);
	}
	net_ws_send(l->ws, slice_of(buf, (size_t)n));
}

static void early_free(struct relay_link *l, struct early *e)
{
	map_remove(&l->early, &e->node);
	list_remove(&e->link);
	free(e);
}

static struct early *early_find(const struct relay_link *l, const struct relay_id *id)
{
	struct map_node *n = map_find(&l->early, slice_of(id->b, sizeof(id->b)));
	return n != NULL ? map_entry(n, struct early, node) : NULL;
}

/* A message of a peer nobody asked for yet: the newest, for a moment (spec relay 15, trap 24). */
static void early_keep(struct relay_link *l, const struct relay_id *id, struct slice data)
{
	ln_time now = ev_now();
	while (!list_empty(&l->early_list)) {
		struct early *e = list_entry(l->early_list.next, struct early, link);
		if (now - e->at < LINK_EARLY_AGE)
			break;
		early_free(l, e);
	}
	struct early *old = early_find(l, id);
	if (old != NULL)
		early_free(l, old);
	if (l->early.count >= LINK_EARLY_MAX)
		return;
	struct early *e = ln_alloc(sizeof(*e) + data.n);
	e->id = *id;
	e->at = now;
	e->n = data.n;
	memcpy(e->data, data.p, data.n);
	map_insert(&l->early, &e->node, slice_of(e->id.b, sizeof(e->id.b)));
	list_add_tail(&l->early_list, &e->link);
}

static void on_transport(struct relay_link *l, struct slice msg)
{
	struct relay_id id;
	struct slice data;
	if (relay_msg_read_transport(msg, &id, &data) < 0 || data.n == 0)
		return;
	struct relay_link_peer *p = find_peer(l, &id);
	if (p != NULL && p->online)
		l->conf.packet(l->conf.user, p, data);
	else
		early_keep(l, &id, data);
}

static void set_online(struct relay_link *l, struct relay_link_peer *p)
{
	if (p->online)
		return;
	p->online = true;
	l->conf.peer(l->conf.user, p, true);
	/* The callback may have detached it. */
	struct early *e = early_find(l, &p->id);
	if (l->closed || e == NULL || find_peer(l, &p->id) != p)
		return;
	if (ev_now() - e->at < LINK_EARLY_AGE)
		l->conf.packet(l->conf.user, p, slice_of(e->data, e->n));
	early_free(l, e);
}

static void on_states(struct relay_link *l, struct slice msg, bool online)
{
	int n = relay_msg_ids(msg);
	for (int i = 0; i < n && !l->closed; i++) {
		struct relay_id id;
		relay_msg_id(msg, (size_t)i, &id);
		struct relay_link_peer *p = find_peer(l, &id);
		if (p == NULL)
			continue;
		if (online) {
			set_online(l, p);
		} else if (p->online) {
			p->online = false;
			l->conf.peer(l->conf.user, p, false);
		}
	}
}

static char *instance_text(struct slice url)
{
	char *s = ln_alloc(url.n + 1);
	memcpy(s, url.p, url.n);
	s[url.n] = '\0';
	return s;
}

static void on_auth_response(struct relay_link *l, struct slice msg)
{
	struct slice url;
	if (l->ready || relay_msg_read_auth_response(msg, &url) < 0)
		return;
	l->instance = instance_text(url);
	l->ready = true;
	l->heard = false;
	ev_timer_after(&l->timer, LINK_HEALTH_LOOK);
	map_for_each(n, &l->peers)
		send_header(l, RELAY_SUBSCRIBE, &map_entry(n, struct relay_link_peer, node)->id);
	l->conf.ready(l->conf.user, l);
}

static void on_message(void *user, struct slice msg)
{
	struct relay_link *l = user;
	if (l->closed)
		return;
	switch (relay_msg_type(msg)) {
	case RELAY_TRANSPORT:
		on_transport(l, msg);
		break;
	case RELAY_CLOSE:
		finish(l, true, "the relay is going away");
		break;
	case RELAY_HEALTH_CHECK:
		l->heard = true;
		send_header(l, RELAY_HEALTH_CHECK, NULL);
		break;
	case RELAY_AUTH_RESPONSE:
		on_auth_response(l, msg);
		break;
	case RELAY_ONLINE:
		on_states(l, msg, true);
		break;
	case RELAY_OFFLINE:
		on_states(l, msg, false);
		break;
	default:
		break; /* spec relay 2: ignored */
	}
}

/* --- opening ----------------------------------------------------------------------------------*/

static void on_ws_ready(void *user)
{
	struct relay_link *l = user;
	uint8_t buf[RELAY_AUTH_MAX];
	l->open = true;
	int n = relay_msg_write_auth(mslice_of(buf, sizeof(buf)), &l->conf.own, l->conf.token);
	if (n < 0) {
		finish(l, false, "the token is too long");
		return;
	}
	net_ws_send(l->ws, slice_of(buf, (size_t)n));
	ev_timer_after(&l->timer, LINK_AUTH_LIMIT);
}

static void on_ws_writable(void *user)
{
	(void)user;
}

static void on_ws_closed(void *user, int err, const char *why)
{
	struct relay_link *l = user;
	char text[160];
	/* Servers refuse without a word (spec relay trap 21). */
	if (l->open && !l->ready)
		why = "the relay refused our token, or closed before it answered";
	else if (err == LN_E_CLOSED)
		why = "the relay closed the connection";
	(void)snprintf(text, sizeof(text), "%s", why);
	finish(l, false, text);
}

static const struct net_ws_ops ws_ops = {
	.ready = on_ws_ready,
	.message = on_message,
	.writable = on_ws_writable,
	.closed = on_ws_closed,
};

static void start_ws(struct relay_link *l)
{
	char host[URL_AUTHORITY_TEXT];
	struct net_stream *s = l->stream;
	url_authority(&l->at, host);
	l->stream = NULL;
	l->ws = net_ws_connect(l->loop, s, host, "/relay",
			       RELAY_AUTH_RESPONSE_MAX > RELAY_MSG_MAX ? RELAY_AUTH_RESPONSE_MAX
								       : RELAY_MSG_MAX,
			       &ws_ops, l);
}

static void on_tls_data(void *user, struct slice data)
{
	(void)user; /* ready() comes first and hands the stream over */
	(void)data;
}

static void on_tls_ready(void *user)
{
	start_ws(user);
}

static void on_tls_closed(void *user, int err, const char *why)
{
	char text[160];
	(void)err;
	(void)snprintf(text, sizeof(text), "TLS: %s", why);
	finish(user, false, text);
}

static const struct net_stream_ops tls_ops = {
	.data = on_tls_data,
	.writable = on_ws_writable,
	.ready = on_tls_ready,
	.closed = on_tls_closed,
};

static void dial(struct relay_link *l, const struct ip_addr *hint);

static void on_dialled(void *user, int fd, const struct ip_ep *peer, const char *why)
{
	struct relay_link *l = user;
	l->dial = NULL;
	if (fd < 0) {
		if (l->by_hint)
			dial(l, NULL);
		else
			finish(l, false, why);
		return;
	}
	l->server = *peer;
	struct net_tls *tls = NULL;
	if (l->at.tls) {
		tls = l->conf.tls != NULL ? net_tls_new(l->conf.tls, l->at.host) : NULL;
		if (tls == NULL) {
			close(fd);
			finish(l, false, "the host name cannot be verified by TLS");
			return;
		}
		net_tls_without_alpn(tls);
	}
	int err = net_stream_new(l->loop, fd, tls, &tls_ops, l, &l->stream);
	if (err < 0)
		finish(l, false, ln_strerror(err));
	else if (tls == NULL)
		start_ws(l);
}

static void dial(struct relay_link *l, const struct ip_addr *hint)
{
	char text[IP_TEXT_MAX];
	struct net_dial_target t = { .host = l->at.host,
				     .port = l->at.port,
				     .fwmark = l->conf.fwmark };
	l->by_hint = hint != NULL && ip_is_set(hint);
	if (l->by_hint) {
		ip_format(hint, text);
		t.host = text;
	}
	l->dial = net_dial_new(l->loop, &t, l->by_hint ? LINK_HINT_LIMIT : LINK_DIAL_LIMIT,
			       on_dialled, l);
}

static void on_timer(struct ev_timer *t)
{
	struct relay_link *l = ln_container(t, struct relay_link, timer);
	if (!l->ready) {
		finish(l, false, l->open ? "no answer to our token" : "no connection in time");
		return;
	}
	if (!l->heard) {
		finish(l, false, "no health check from the relay");
		return;
	}
	l->heard = false;
	ev_timer_after(t, LINK_HEALTH_LOOK);
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
	memcpy(l->token, conf->token.p, conf->token.n);
	l->conf.url = l->url;
	l->conf.token = slice_of(l->token, conf->token.n);
	map_init(&l->peers, rng_u64(ev_rng()), rng_u64(ev_rng()));
	map_init(&l->early, rng_u64(ev_rng()), rng_u64(ev_rng()));
	list_init(&l->early_list);
	ev_timer_init(&l->timer, loop, on_timer);
	ev_timer_after(&l->timer, LINK_DIAL_LIMIT);
	dial(l, conf->hint);
	l->conf.hint = NULL;
	*ret = l;
	return 0;
}

void relay_link_free(struct relay_link *l, bool say_close)
{
	struct map_node *n;
	if (l == NULL)
		return;
	l->closed = true;
	if (say_close && l->ready && l->ws != NULL)
		send_header(l, RELAY_CLOSE, NULL);
	drop_transport(l);
	ev_timer_fini(&l->timer);
	while ((n = map_first(&l->peers)) != NULL)
		map_remove(&l->peers, n);
	while (!list_empty(&l->early_list))
		early_free(l, list_entry(l->early_list.next, struct early, link));
	map_fini(&l->peers);
	map_fini(&l->early);
	free(l->instance);
	ev_defer_free(l->loop, l);
}

/* --- use --------------------------------------------------------------------------------------*/

bool relay_link_ready(const struct relay_link *l)
{
	return l->ready;
}

const char *relay_link_url(const struct relay_link *l)
{
	return l->url;
}

const char *relay_link_instance(const struct relay_link *l)
{
	return l->instance != NULL ? l->instance : "";
}

struct ip_addr relay_link_ip(const struct relay_link *l)
{
	return l->server.addr;
}

size_t relay_link_npeers(const struct relay_link *l)
{
	return l->peers.count;
}

bool relay_link_attach(struct relay_link *l, struct relay_link_peer *p)
{
	if (find_peer(l, &p->id) != NULL)
		return false;
	p->online = false;
	map_insert(&l->peers, &p->node, slice_of(p->id.b, sizeof(p->id.b)));
	if (l->ready)
		send_header(l, RELAY_SUBSCRIBE, &p->id);
	return true;
}

void relay_link_detach(struct relay_link *l, struct relay_link_peer *p)
{
	map_remove(&l->peers, &p->node);
	p->online = false;
	if (l->ready)
		send_header(l, RELAY_UNSUBSCRIBE, &p->id);
}

void relay_link_send(struct relay_link *l, const struct relay_link_peer *p, struct slice data)
{
	uint8_t buf[RELAY_MSG_MAX];
	if (!l->ready || net_ws_pending(l->ws) > LINK_BEHIND)
		return;
	int n = relay_msg_write_transport(mslice_of(buf, sizeof(buf)), &p->id, data);
	if (n > 0)
		net_ws_send(l->ws, slice_of(buf, (size_t)n));
}
