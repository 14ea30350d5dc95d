#pragma once
/*
 * A client's connection to one relay, without its socket (spec relay 5 to 9, 15): hello, peers that
 * are opened through it, health. The owner brings whole messages in, sends what poll writes, and
 * puts payloads on the wire itself with relay_msg_write_transport() (many per system call).
 *
 *	WAITING -(start)-> HELLO -(AuthResponse)-> READY -> closed (reason; the owner ends the
 *	transport)
 *	a peer: opening -(PeersOnline)-> online -(PeersWentOffline)-> gone
 *
 * Payloads may go while a peer is still opening: old agents never subscribe. What comes from
 * somebody who is not online here, opened or not, is kept, the newest per sender, and handed out
 * behind its ONLINE.
 */
#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/base/time.h"
#include "lib/relay/relay_msg.h"
#include "lib/token/relay_token.h"

#define RELAY_SESSION_HELLO_LIMIT (8 * LN_SEC)
#define RELAY_SESSION_HELLO_AGAIN (2 * LN_SEC) /* lossy transport, once (trap 5) */
#define RELAY_SESSION_LOOK (35 * LN_SEC)       /* for health checks of the server */
#define RELAY_SESSION_OPEN_LIMIT (30 * LN_SEC)
#define RELAY_SESSION_SUBSCRIBE_AGAIN (3 * LN_SEC) /* lossy transport */
#define RELAY_SESSION_EARLY_LIFE (5 * LN_SEC)
#define RELAY_SESSION_EARLY_MAX 10000 /* senders */

struct relay_session;
struct relay_session_peer;

struct relay_session_conf {
	struct relay_id own;
	struct slice token; /* binary (relay_token_join); copied, at most RELAY_TOKEN_MAX bytes */
	bool lossy;         /* QUIC datagrams: control messages are repeated */
	unsigned health_threshold; /* looks without a health check; 0 = 1 */
	size_t max_early;          /* 0 = RELAY_SESSION_EARLY_MAX */
	const struct ln_rng *rng;
};

enum relay_session_end {
	RELAY_SESSION_HELLO_TIMEOUT, /* no answer: a wrong token as well as a dead server */
	RELAY_SESSION_BAD_ANSWER,
	RELAY_SESSION_SILENT,      /* no health checks */
	RELAY_SESSION_SERVER_LEFT, /* Close: it stops or drains */
	RELAY_SESSION_WE_LEFT      /* relay_session_leave(), after Close was sent */
};

enum relay_session_event {
	RELAY_SESSION_SEND,    /* `bytes` is one message for the transport */
	RELAY_SESSION_READY,   /* `bytes` is the instance URL */
	RELAY_SESSION_ONLINE,  /* `user` of the peer */
	RELAY_SESSION_EARLY,   /* `bytes` is a payload that came before ONLINE */
	RELAY_SESSION_OFFLINE, /* the peer is closed and gone; `user` as above */
	RELAY_SESSION_FAILED,  /* the same: not online within the limit */
	RELAY_SESSION_ENDED    /* nothing follows */
};

struct relay_session_out {
	enum relay_session_event event;
	enum relay_session_end end; /* of ENDED */
	struct slice bytes;         /* in the caller's buffer, or as long as the session */
	void *user;
};

/* Peers may be opened at once; nothing is sent before the start. */
struct relay_session *relay_session_new(const struct relay_session_conf *conf, ln_time now);
/* Before the start, by an owner that learns which transport it got: as in the conf. */
void relay_session_set_lossy(struct relay_session *s, bool lossy);
void relay_session_start(struct relay_session *s, ln_time now); /* the transport is up */
void relay_session_free(struct relay_session *s);               /* with its peers; null is fine */

/*
 * One message. 1: it is a payload of a peer, *ret_user and *ret_payload (inside msg) are set.
 * 0: anything else; poll tells what followed. Broken messages are ignored (spec relay 2).
 */
LN_MUST_CHECK int relay_session_input(struct relay_session *s, ln_time now, struct slice msg,
				      void **ret_user, struct slice *ret_payload);
/* buf: at least RELAY_MSG_MAX bytes. */
bool relay_session_poll(struct relay_session *s, ln_time now, struct mslice buf,
			struct relay_session_out *ret);
ln_time relay_session_deadline(const struct relay_session *s);

/* LN_E_CONFLICT: open already. LN_E_STATE: the session is over. */
LN_MUST_CHECK int relay_session_open(struct relay_session *s, ln_time now,
				     const struct relay_id *id, void *user,
				     struct relay_session_peer **ret);
/* No event follows. */
void relay_session_close(struct relay_session *s, struct relay_session_peer *p);
const struct relay_id *relay_session_peer_id(const struct relay_session_peer *p);
bool relay_session_peer_is_online(const struct relay_session_peer *p);

/* Close is sent, then ENDED follows. Peers hear nothing. */
void relay_session_leave(struct relay_session *s);

bool relay_session_is_ready(const struct relay_session *s);
const char *relay_session_url(const struct relay_session *s); /* "" before READY */
size_t relay_session_npeers(const struct relay_session *s);
/* Since when the session has had no peers; LN_TIME_NEVER while it has some (spec relay 15). */
ln_time relay_session_unused_since(const struct relay_session *s);
