#include "src/agent/relay_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/list.h"
#include "lib/relay/relay_guard.h"
#include "lib/token/relay_token.h"

#include "src/agent/relay_link.h"
#include "src/net/net_tls.h"
#include "src/obs/obs_log.h"

#define DATAGRAM_MTU 1280 /* of the interface: larger packets fit into no datagram (spec 13) */
#define SWEEP_EVERY LN_MINUTE
#define FOREIGN_IDLE (5 * LN_SEC)

enum node_kind {
	NODE_CANDIDATE, /* may become home */
	NODE_HOME,
	NODE_FOREIGN,
	NODE_ENDED /* nobody is met there any more */
};

struct node {
	struct list link; /* in client->nodes */
	struct relay_client *client;
	struct relay_link *conn;
	enum node_kind kind;
};

struct relay_peer {
	struct relay_link_peer at;
	struct list link; /* in client->peers */
	struct relay_client *client;
	struct node *node; /* null: refused, on_peer() is due */
	const char *why;   /* it was */
	void *user;
};

struct relay_client {
	struct ev_loop *loop;
	struct relay_client_conf conf;
	struct relay_id own;
	struct net_tls_ctx *tls;
	struct relay_avoid avoid;
	char urls[RELAY_CLIENT_URLS_MAX][RELAY_LINK_URL_MAX + 1];
	size_t nurls;
	char last[RELAY_LINK_URL_MAX + 1]; /* the home that was lost: tried first; "" none */
	char error[160];
	uint8_t token[RELAY_TOKEN_MAX];
	size_t ntoken;
	struct list nodes;
	struct list peers;
	struct node *home;
	struct relay_guard guard;
	struct ev_timer retry, sweep, refuse;
};

/* --- connections ------------------------------------------------------------------------------*/

static void node_free(struct node *n, bool say_close)
{
	list_remove(&n->link);
	relay_link_free(n->conn, say_close);
	ev_defer_free(n->client->loop, n);
}

static void peer_free(struct relay_peer *p)
{
	list_remove(&p->link);
	ev_defer_free(p->client->loop, p);
}

static void peer_end(struct relay_peer *p, const char *why)
{
	struct relay_client *c = p->client;
	if (p->node != NULL)
		relay_link_detach(p->node->conn, &p->at);
	p->node = NULL;
	list_remove(&p->link);
	c->conf.on_peer(c->conf.user, p, false, why);
	ev_defer_free(c->loop, p);
}

static void node_peers_end(struct node *n, const char *why)
{
	/* The owner may open others inside its callback: those are on other nodes. */
	bool again = true;
	while (again) {
		again = false;
		list_for_each(l, &n->client->peers) {
			struct relay_peer *p = list_entry(l, struct relay_peer, link);
			if (p->node != n)
				continue;
			peer_end(p, why);
			again = true;
			break;
		}
	}
}

static void on_ready(void *user, struct relay_link *l);
static void on_closed(void *user, struct relay_link *l, bool left, const char *why);

static void on_link_peer(void *user, struct relay_link_peer *at, bool online, const char *why)
{
	struct relay_peer *p = ln_container(at, struct relay_peer, at);
	struct relay_client *c = p->client;
	(void)user;
	if (online)
		c->conf.on_peer(c->conf.user, p, true, "");
	else
		peer_end(p, why);
}

static void on_link_packet(void *user, struct relay_link_peer *at, struct slice data)
{
	struct relay_peer *p = ln_container(at, struct relay_peer, at);
	(void)user;
	p->client->conf.on_packet(p->client->conf.user, p, data);
}

/* Made for the first relay that needs it: reading the system's roots takes time and memory. */
static struct net_tls_ctx *tls_for(struct relay_client *c, const char *url)
{
	struct ln_fail f = { 0 };
	if (strncmp(url, "rels://", 7) != 0)
		return NULL;
	if (c->tls == NULL && net_tls_ctx_client(NULL, &c->tls, &f) < 0)
		log_error("relay", "no TLS for relays", LOG_STR("why", f.text));
	return c->tls;
}

/* Null: the address is none. */
static struct node *node_new(struct relay_client *c, enum node_kind kind, const char *url,
			     const struct ip_addr *hint)
{
	struct node *n = ln_alloc(sizeof(*n));
	n->client = c;
	n->kind = kind;
	struct relay_link_conf lc = {
		.url = url,
		.hint = hint,
		.own = c->own,
		.token = slice_of(c->token, c->ntoken),
		.tls = tls_for(c, url),
		.fwmark = c->conf.fwmark,
		.transport = c->conf.transport,
		.narrow = c->conf.mtu > DATAGRAM_MTU,
		.avoid = &c->avoid,
		.ready = on_ready,
		.closed = on_closed,
		.peer = on_link_peer,
		.packet = on_link_packet,
		.user = n,
	};
	if (relay_link_new(c->loop, &lc, &n->conn) < 0) {
		free(n);
		return NULL;
	}
	list_add_tail(&c->nodes, &n->link);
	return n;
}

/* --- home -------------------------------------------------------------------------------------*/

static bool has_candidates(const struct relay_client *c)
{
	list_for_each(l, &c->nodes)
		if (list_entry(l, struct node, link)->kind == NODE_CANDIDATE)
			return true;
	return false;
}

static void drop_candidates(struct relay_client *c)
{
	list_for_each_safe(l, &c->nodes) {
		struct node *n = list_entry(l, struct node, link);
		if (n->kind == NODE_CANDIDATE)
			node_free(n, true);
	}
}

static bool is_listed(const struct relay_client *c, const char *url)
{
	for (size_t i = 0; i < c->nurls; i++)
		if (strcmp(c->urls[i], url) == 0)
			return true;
	return false;
}

static void plan_retry(struct relay_client *c)
{
	ev_timer_at(&c->retry, relay_guard_deadline(&c->guard));
}

/* One address, or all. */
static void dial(struct relay_client *c, const char *only)
{
	for (size_t i = 0; i < c->nurls; i++) {
		if (only != NULL && strcmp(c->urls[i], only) != 0)
			continue;
		if (node_new(c, NODE_CANDIDATE, c->urls[i], NULL) == NULL)
			(void)snprintf(c->error, sizeof(c->error), "not a relay address");
	}
	if (!has_candidates(c))
		relay_guard_failed(&c->guard, ev_now(), ev_rng());
}

static void act(struct relay_client *c)
{
	switch (relay_guard_take(&c->guard, ev_now())) {
	case RELAY_GUARD_DIAL_SAME:
		dial(c, c->last);
		break;
	case RELAY_GUARD_CHOOSE:
		dial(c, NULL);
		break;
	case RELAY_GUARD_NOTHING:
		break;
	}
	plan_retry(c);
}

static void on_retry(struct ev_timer *t)
{
	act(ln_container(t, struct relay_client, retry));
}

static void on_ready(void *user, struct relay_link *l)
{
	struct node *n = user;
	struct relay_client *c = n->client;
	if (n->kind != NODE_CANDIDATE)
		return;
	n->kind = NODE_HOME;
	c->home = n;
	c->error[0] = '\0';
	relay_guard_connected(&c->guard);
	plan_retry(c);
	drop_candidates(c);
	struct ip_addr ip = relay_link_ip(l);
	log_info("relay", "home relay connected", LOG_STR("url", relay_link_url(l)),
		 LOG_STR("instance", relay_link_instance(l)));
	c->conf.on_home(c->conf.user, relay_link_instance(l), &ip);
}

static void home_lost(struct relay_client *c, const char *url, bool left)
{
	c->home = NULL;
	(void)snprintf(c->last, sizeof(c->last), "%s", url);
	relay_guard_lost(&c->guard, ev_now(), is_listed(c, url), left, ev_rng());
	plan_retry(c);
	c->conf.on_home(c->conf.user, "", &(struct ip_addr){ 0 });
}

static void on_closed(void *user, struct relay_link *l, bool left, const char *why)
{
	struct node *n = user;
	struct relay_client *c = n->client;
	enum node_kind kind = n->kind;
	n->kind = NODE_ENDED;
	char url[RELAY_LINK_URL_MAX + 1], reason[128];
	(void)snprintf(url, sizeof(url), "%s", relay_link_url(l));
	(void)snprintf(reason, sizeof(reason), "%s", why);
	log_info("relay", kind == NODE_HOME ? "home relay lost" : "relay not connected",
		 LOG_STR("url", url), LOG_STR("why", reason));
	if (kind != NODE_FOREIGN)
		(void)snprintf(c->error, sizeof(c->error), "%s", reason);
	if (kind == NODE_HOME)
		home_lost(c, url, left);
	node_peers_end(n, reason);
	node_free(n, false);
	if (kind == NODE_CANDIDATE && c->home == NULL && !has_candidates(c)) {
		relay_guard_failed(&c->guard, ev_now(), ev_rng());
		plan_retry(c);
	}
}

/* --- peers ------------------------------------------------------------------------------------*/

/* Those that could not even be asked for, told from the loop. */
static void on_refuse(struct ev_timer *t)
{
	struct relay_client *c = ln_container(t, struct relay_client, refuse);
	bool again = true;
	while (again) {
		again = false;
		list_for_each(l, &c->peers) {
			struct relay_peer *p = list_entry(l, struct relay_peer, link);
			if (p->node != NULL)
				continue;
			peer_end(p, p->why);
			again = true;
			break;
		}
	}
}

static struct node *node_for(struct relay_client *c, const char *url, const struct ip_addr *hint)
{
	if (c->home != NULL && strcmp(relay_link_instance(c->home->conn), url) == 0)
		return c->home;
	list_for_each(l, &c->nodes) {
		struct node *n = list_entry(l, struct node, link);
		if (n->kind == NODE_FOREIGN && strcmp(relay_link_url(n->conn), url) == 0)
			return n;
	}
	return node_new(c, NODE_FOREIGN, url, hint);
}

struct relay_peer *relay_client_open(struct relay_client *c, const struct wg_key *remote,
				     const char *url, const struct ip_addr *hint, void *user)
{
	struct relay_peer *p = ln_alloc(sizeof(*p));
	p->client = c;
	p->user = user;
	relay_id_of_key(remote, &p->at.id);
	list_add_tail(&c->peers, &p->link);
	struct node *n = node_for(c, url, hint);
	if (n == NULL || !relay_link_attach(n->conn, &p->at)) {
		p->why = n == NULL ? "not a relay address" : "already in use";
		ev_timer_at(&c->refuse, 0);
		return p;
	}
	p->node = n;
	return p;
}

void relay_client_close(struct relay_peer *p)
{
	if (p->node != NULL)
		relay_link_detach(p->node->conn, &p->at);
	p->node = NULL;
	peer_free(p);
}

void *relay_peer_user(const struct relay_peer *p)
{
	return p->user;
}

void relay_peer_send(struct relay_peer *p, struct slice data)
{
	if (p->node != NULL)
		relay_link_send(p->node->conn, &p->at, data);
}

/* --- life -------------------------------------------------------------------------------------*/

/* Foreign connections nobody needs. */
static void on_sweep(struct ev_timer *t)
{
	struct relay_client *c = ln_container(t, struct relay_client, sweep);
	ln_time now = ev_now();
	list_for_each_safe(l, &c->nodes) {
		struct node *n = list_entry(l, struct node, link);
		ln_time unused = relay_link_unused_since(n->conn);
		if (n->kind == NODE_FOREIGN && unused != LN_TIME_NEVER &&
		    now - unused > FOREIGN_IDLE)
			node_free(n, true);
	}
	ev_timer_after(t, SWEEP_EVERY);
}

struct relay_client *relay_client_new(struct ev_loop *loop, const struct relay_client_conf *conf)
{
	struct relay_client *c = ln_alloc(sizeof(*c));
	c->loop = loop;
	c->conf = *conf;
	relay_guard_init(&c->guard, &conf->guard);
	relay_id_of_key(conf->own, &c->own);
	c->conf.own = NULL;
	list_init(&c->nodes);
	list_init(&c->peers);
	relay_avoid_init(&c->avoid);
	ev_timer_init(&c->retry, loop, on_retry);
	ev_timer_init(&c->refuse, loop, on_refuse);
	ev_timer_init(&c->sweep, loop, on_sweep);
	ev_timer_after(&c->sweep, SWEEP_EVERY);
	return c;
}

void relay_client_free(struct relay_client *c)
{
	if (c == NULL)
		return;
	while (!list_empty(&c->peers)) {
		struct relay_peer *p = list_entry(c->peers.next, struct relay_peer, link);
		/* Close tells the relay everything (spec relay 9). */
		peer_free(p);
	}
	while (!list_empty(&c->nodes))
		node_free(list_entry(c->nodes.next, struct node, link), true);
	ev_timer_fini(&c->retry);
	ev_timer_fini(&c->sweep);
	ev_timer_fini(&c->refuse);
	relay_avoid_fini(&c->avoid);
	net_tls_ctx_free(c->tls);
	ev_defer_free(c->loop, c);
}

static bool set_urls(struct relay_client *c, const char *const *urls, size_t n)
{
	size_t kept = 0;
	bool fresh = false;
	char old[RELAY_CLIENT_URLS_MAX][RELAY_LINK_URL_MAX + 1];
	size_t nold = c->nurls;
	memcpy(old, c->urls, sizeof(old));
	for (size_t i = 0; i < n && kept < RELAY_CLIENT_URLS_MAX; i++) {
		size_t len = strlen(urls[i]);
		if (len == 0 || len > RELAY_LINK_URL_MAX)
			continue;
		bool known = false;
		for (size_t k = 0; k < nold; k++)
			known |= strcmp(old[k], urls[i]) == 0;
		fresh |= !known;
		memcpy(c->urls[kept++], urls[i], len + 1);
	}
	c->nurls = kept;
	return fresh;
}

static void switch_off(struct relay_client *c)
{
	struct node *home = c->home;
	drop_candidates(c);
	if (home != NULL) {
		home_lost(c, "", false);
		node_peers_end(home, "management names no relay any more");
		node_free(home, true);
	} else {
		relay_guard_lost(&c->guard, ev_now(), false, false, ev_rng());
	}
}

int relay_client_set(struct relay_client *c, const char *const *urls, size_t n,
		     const char *token_payload, const char *token_signature)
{
	int err = 0;
	bool fresh = false; /* an old token may be why there is no connection */
	if (token_payload != NULL && token_payload[0] != '\0') {
		uint8_t token[RELAY_TOKEN_MAX];
		int len = relay_token_join(slice_str(token_payload), slice_str(token_signature),
					   mslice_of(token, sizeof(token)));
		if (len > 0) {
			fresh = c->ntoken != (size_t)len ||
				memcmp(c->token, token, (size_t)len) != 0;
			memcpy(c->token, token, (size_t)len);
			c->ntoken = (size_t)len;
		} else {
			err = LN_E_MALFORMED;
		}
	}
	fresh |= set_urls(c, urls, n);
	relay_guard_want(&c->guard, ev_now(), c->nurls > 0 && c->ntoken > 0);
	if (c->nurls == 0)
		switch_off(c);
	else if (fresh && c->home == NULL)
		relay_guard_hurry(&c->guard, ev_now());
	act(c);
	return err;
}

void relay_client_redial(struct relay_client *c)
{
	struct node *home = c->home;
	drop_candidates(c);
	if (home != NULL)
		home_lost(c, relay_link_url(home->conn), false);
	/* The owner may open others meanwhile, behind these. */
	struct list old;
	list_init(&old);
	struct list *l;
	while ((l = list_pop(&c->nodes)) != NULL)
		list_add_tail(&old, l);
	while ((l = list_pop(&old)) != NULL) {
		struct node *n = list_entry(l, struct node, link);
		node_peers_end(n, "our address has changed");
		node_free(n, false);
	}
	if (home == NULL)
		relay_guard_lost(&c->guard, ev_now(), false, false, ev_rng());
	relay_guard_hurry(&c->guard, ev_now());
	act(c);
}

void relay_client_hurry(struct relay_client *c)
{
	if (c->home != NULL)
		return;
	drop_candidates(c);
	relay_guard_lost(&c->guard, ev_now(), false, false, ev_rng());
	relay_guard_hurry(&c->guard, ev_now());
	act(c);
}

size_t relay_client_list(const struct relay_client *c, struct relay_client_state *dst, size_t max)
{
	size_t n = 0;
	if (c->home != NULL && max > 0)
		dst[n++] = (struct relay_client_state){ .url = relay_link_instance(c->home->conn),
							.connected = true,
							.home = true,
							.quic = relay_link_is_quic(c->home->conn),
							.error = "" };
	for (size_t i = 0; c->home == NULL && i < c->nurls && n < max; i++)
		dst[n++] =
			(struct relay_client_state){ .url = c->urls[i],
						     .home = true,
						     .error = c->error[0] != '\0' ? c->error
										  : "connecting" };
	list_for_each(l, &c->nodes) {
		const struct node *f = list_entry(l, struct node, link);
		if (f->kind != NODE_FOREIGN || n == max)
			continue;
		bool up = relay_link_ready(f->conn);
		dst[n++] = (struct relay_client_state){ .url = relay_link_url(f->conn),
							.connected = up,
							.quic = relay_link_is_quic(f->conn),
							.error = up ? "" : "connecting" };
	}
	return n;
}
