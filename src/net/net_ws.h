#pragma once
/*
 * WebSocket over a stream, both roles (RFC 6455; spec relay 10): binary messages, one unfragmented
 * frame each, no extensions. Owns the stream. Nothing is held while idle but the struct; a message
 * that arrives in pieces is kept until it is whole.
 *
 * Server: net_ws_check() looks at the request, net_ws_accept() answers it and takes the stream.
 * Client: net_ws_connect() sends the request on a fresh stream and reports ready().
 * Pings are answered. A text message, a fragment, a frame that is too large or (not) masked against
 * the rules ends the connection. Neither side sends Close frames: the stream just ends.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/wire/ws_frame.h"

#include "src/ev/ev.h"

#define NET_WS_MESSAGE_LIMIT (60u << 10) /* highest max_message */
#define NET_WS_KEY_TEXT 29               /* of Sec-WebSocket-Accept, with its zero */

struct net_stream;
struct net_ws;

struct net_ws_ops {
	void (*ready)(void *user); /* client: the server agreed; may be null on a server */
	/* Valid during the call; net_ws_free() is fine inside. */
	void (*message)(void *user, struct slice msg);
	void (*writable)(void *user); /* everything kept was sent */
	/* LN_E_CLOSED at a proper end. The net_ws is still to be freed. From the loop. */
	void (*closed)(void *user, int err, const char *why);
};

/* What decides about an upgrade; null texts for fields that were not sent. */
struct net_ws_request {
	const char *method, *upgrade, *connection, *version, *key;
};

/* LN_E_UNSUPPORTED: no WebSocket request (426); LN_E_MALFORMED: a bad one (400). */
LN_MUST_CHECK int net_ws_check(const struct net_ws_request *rq);
/* RFC 6455 4.2.2: what the server answers to a key. */
void net_ws_accept_key(const char *key, char dst[NET_WS_KEY_TEXT]);

/* Answers 101 and takes the stream, whose owner it becomes. key has passed net_ws_check(). */
struct net_ws *net_ws_accept(struct ev_loop *l, struct net_stream *s, const char *key,
			     size_t max_message, const struct net_ws_ops *ops, void *user);
/* host: of the Host field, "name:port". path begins with '/'. Takes a stream that is ready. */
struct net_ws *net_ws_connect(struct ev_loop *l, struct net_stream *s, const char *host,
			      const char *path, size_t max_message, const struct net_ws_ops *ops,
			      void *user);
void net_ws_free(struct net_ws *w); /* ends the stream; null is fine */

/* Queues one message; all of a turn leave together at its end. Client: only after ready(). */
void net_ws_send(struct net_ws *w, struct slice msg);
/* Frames somebody else has written: sent now. */
void net_ws_write_frames(struct net_ws *w, const struct slice *v, size_t n);
/* Bytes the socket has not taken. */
size_t net_ws_pending(const struct net_ws *w);
