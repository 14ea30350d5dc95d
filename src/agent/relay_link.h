#pragma once
/*
 * One connection to one relay server: a transport (relay_pipe.h) and the relay_session (lib/relay)
 * on it, which knows the protocol. It ends once and is not used again;
 * relay_client.h decides about the next one. Messages written in one turn of the loop leave
 * together.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/relay/relay_session.h"

#include "src/agent/relay_pipe.h"
#include "src/ev/ev.h"

#define RELAY_LINK_URL_MAX 255

struct net_tls_ctx;
struct relay_link;

/* A peer on a link, embedded in its owner. The link knows it from attach to detach. */
struct relay_link_peer {
	struct relay_id id;
	struct relay_session_peer *at; /* null: not attached */
};

struct relay_link_conf {
	const char *url;            /* rel:// or rels://, at most RELAY_LINK_URL_MAX; copied */
	const struct ip_addr *hint; /* dialled first; null or family 0: none */
	struct relay_id own;
	struct slice token;      /* binary; copied */
	struct net_tls_ctx *tls; /* for rels://, else null; outlives the handshake */
	uint32_t fwmark;
	enum relay_transport transport;
	bool narrow;               /* as in relay_pipe_conf */
	struct relay_avoid *avoid; /* outlives the link */
	void (*ready)(void *user, struct relay_link *l);
	/* From the loop, once, also before ready. `left`: the server said Close. Free it. */
	void (*closed)(void *user, struct relay_link *l, bool left, const char *why);
	/* Online: why is "". Not: it has left, or did not come within RELAY_SESSION_OPEN_LIMIT; it
	 * is detached then. */
	void (*peer)(void *user, struct relay_link_peer *p, bool online, const char *why);
	/* Only of peers that are online. */
	void (*packet)(void *user, struct relay_link_peer *p, struct slice data);
	void *user;
};

/* LN_E_MALFORMED: no relay address. */
LN_MUST_CHECK int relay_link_new(struct ev_loop *loop, const struct relay_link_conf *conf,
				 struct relay_link **ret);
/* say_close: tells the server. Its peers must be detached, or are forgotten with it. */
void relay_link_free(struct relay_link *l, bool say_close);

bool relay_link_ready(const struct relay_link *l);
const char *relay_link_url(const struct relay_link *l);
const char *relay_link_instance(const struct relay_link *l); /* "" before ready */
struct ip_addr relay_link_ip(const struct relay_link *l);    /* of the server; family 0 unknown */
bool relay_link_is_quic(const struct relay_link *l);         /* of one that is ready */
/* Since when there are no peers; LN_TIME_NEVER while there are. */
ln_time relay_link_unused_since(const struct relay_link *l);

/* Subscribes now or as soon as the link is ready. False: the id is attached already. */
bool relay_link_attach(struct relay_link *l, struct relay_link_peer *p);
void relay_link_detach(struct relay_link *l, struct relay_link_peer *p); /* no callback */
/* Dropped while the link is not ready or far behind. */
void relay_link_send(struct relay_link *l, const struct relay_link_peer *p, struct slice data);
