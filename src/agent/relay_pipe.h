#pragma once
/*
 * The transport to one relay (spec relay 10, 11, 13): a WebSocket or QUIC, whichever is up first,
 * or as the user has said. Whole messages go through it. It ends once and is not used again.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/wire/url.h"

#include "src/agent/relay_avoid.h"
#include "src/ev/ev.h"

struct net_tls_ctx;
struct relay_pipe;

/* NB_RELAY_TRANSPORT. */
enum relay_transport {
	RELAY_TRANSPORT_AUTO, /* a race */
	RELAY_TRANSPORT_QUIC,
	RELAY_TRANSPORT_WS,
	RELAY_TRANSPORT_PREFER_QUIC, /* the other one only after this has failed */
	RELAY_TRANSPORT_PREFER_WS
};

/* Blanks around and case do not matter; what is unknown is AUTO. */
enum relay_transport relay_transport_parse(const char *text);

struct relay_pipe_ops {
	/* lossy: messages may be lost. */
	void (*open)(void *user, bool lossy, const struct ip_addr *server);
	void (*message)(void *user, struct slice msg);
	/* From the loop, once, also instead of open(). relay_pipe_free() follows. */
	void (*closed)(void *user, int err, const char *why);
};

struct relay_pipe_conf {
	const struct url *at;       /* copied */
	const struct ip_addr *hint; /* dialled first; null or family 0: none */
	struct net_tls_ctx *tls;    /* for TLS, else null; outlives the handshake */
	uint32_t fwmark;
	enum relay_transport transport;
	bool narrow;               /* the interface's packets are too large for datagrams */
	struct relay_avoid *avoid; /* outlives the pipe */
};

struct relay_pipe *relay_pipe_new(struct ev_loop *loop, const struct relay_pipe_conf *conf,
				  const struct relay_pipe_ops *ops, void *user);
void relay_pipe_free(struct relay_pipe *p); /* null is fine */
/* Dropped while it is not open or far behind. All of one turn leave together. */
void relay_pipe_send(struct relay_pipe *p, struct slice msg);
bool relay_pipe_is_open(const struct relay_pipe *p);
bool relay_pipe_is_quic(const struct relay_pipe *p); /* of an open one */
