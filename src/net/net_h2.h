#pragma once
/*
 * One HTTP/2 connection (nghttp2 through its memory interface), server or client. It owns the byte
 * stream below and frees itself: net_h2_close() or the other side's end lead to closed() of every
 * stream, then of the connection, at the end of the turn; afterwards the pointer is dead.
 *
 * What it adds to the library: limits on silence (SETTINGS in time, keepalive PING), bounded
 * header blocks, pull-style sending that stops when the peer does, a drain with GOAWAY in two
 * steps. There is no minimum interval for the peer's PINGs (spec management-protocol, trap 44).
 *
 * A stream's owner sets `ops` and `user` (in open() or with net_h2_request()) and may detach by
 * setting ops to null. Callbacks come from the loop, never from inside a call to this header.
 */
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/list.h"
#include "lib/base/slice.h"

#include "src/ev/ev.h"
#include "src/net/net_headers.h"

struct net_h2;
struct net_h2_stream;
struct net_stream;

/* In place of an HTTP/2 error code: the connection went away under the stream. */
#define NET_H2_LOST UINT32_MAX

enum net_h2_code {
	NET_H2_NO_ERROR = 0,
	NET_H2_PROTOCOL_ERROR = 1,
	NET_H2_INTERNAL_ERROR = 2,
	NET_H2_REFUSED_STREAM = 7,
	NET_H2_CANCEL = 8,
	NET_H2_ENHANCE_YOUR_CALM = 11,
	NET_H2_INADEQUATE_SECURITY = 12
};

#define NET_H2_DISCARD ((size_t)16 << 20) /* for net_h2_stream.discard */

enum net_h2_eof {
	NET_H2_MORE,    /* 0 bytes: nothing now, net_h2_wake() will tell */
	NET_H2_END,     /* this was all */
	NET_H2_TRAILERS /* this was all; net_h2_trailers() was called */
};

struct net_h2_stream_ops {
	void (*headers)(
		struct net_h2_stream *st); /* client: response or trailers; in st->headers */
	void (*data)(struct net_h2_stream *st, struct slice d);
	void (*end)(struct net_h2_stream *st); /* the peer sends no more */
	/* Fills at most n bytes; called when the peer's windows have room. */
	size_t (*read)(struct net_h2_stream *st, uint8_t *dst, size_t n, enum net_h2_eof *ret_eof);
	void (*drained)(struct net_h2_stream *st);   /* after net_h2_notify(), outside of read */
	void (*confirmed)(struct net_h2_stream *st); /* see net_h2_confirm(); may be null */
	void (*closed)(struct net_h2_stream *st, uint32_t code); /* last; st is freed behind it */
};

struct net_h2_stream {
	struct net_h2 *h2;
	struct list link;
	struct list notify;
	int32_t id;
	uint32_t confirm; /* number of the PING that is awaited; 0: none */
	bool remote_end;
	bool refused;  /* header block over the limits */
	bool answered; /* server: in full, while the client still sends */
	/*
	 * Server: so much of a request is still read and thrown away once it is answered, before
	 * the stream is reset. 0 suits gRPC, whose clients expect the reset; others lose the
	 * answer by it.
	 */
	size_t discard;
	const struct net_h2_stream_ops *ops;
	void *user;
	struct net_headers headers;
};

struct net_h2_conf {
	bool server;
	uint32_t max_streams;
	uint32_t header_table;    /* bytes kept to compress header fields, each way; 0 = 1 KiB */
	uint32_t window;          /* what a peer may send ahead, per stream and connection */
	ln_time keepalive;        /* own PING after this much silence, jittered */
	ln_time keepalive_answer; /* then this long for any frame */
	bool keepalive_idle;      /* also without streams */
	ln_time settings_limit;   /* until the peer's first SETTINGS */
	struct ip_ep peer;
};

struct net_h2_ops {
	void (*open)(void *user, struct net_h2_stream *st); /* server: request headers are here */
	void (*ready)(void *user);  /* the peer's SETTINGS came; may be null */
	void (*goaway)(void *user); /* the peer wants no more streams; may be null */
	void (*closed)(void *user, int err, const char *why); /* last */
};

/* Takes the stream over. */
struct net_h2 *net_h2_new(struct ev_loop *l, struct net_stream *stream,
			  const struct net_h2_conf *conf, const struct net_h2_ops *ops, void *user);
/* Bytes read before net_h2_new(). Callbacks come from inside this one. */
void net_h2_input(struct net_h2 *h, struct slice data);
/* Ends everything; err and why are handed to closed(). 0: a proper GOAWAY goes out first. */
void net_h2_close(struct net_h2 *h, int err, const char *why);
/* Server: GOAWAY, no new streams; closes when the open ones are done. */
void net_h2_drain(struct net_h2 *h);
size_t net_h2_streams(const struct net_h2 *h);
const struct ip_ep *net_h2_peer(const struct net_h2 *h);
int net_h2_fd(const struct net_h2 *h);
/* Bytes the owner keeps for unfinished messages of all streams; the owner counts. */
size_t *net_h2_held(struct net_h2 *h);

struct net_h2_field {
	const char *name;
	const char *value;
};

/* Server. `body`: ops->read is asked for it, else the stream ends with the headers. */
LN_MUST_CHECK int net_h2_respond(struct net_h2_stream *st, const struct net_h2_field *f, size_t n,
				 bool body);
/* Client. LN_E_CLOSED when the connection takes no more streams. */
LN_MUST_CHECK int net_h2_request(struct net_h2 *h, const struct net_h2_field *f, size_t n,
				 const struct net_h2_stream_ops *ops, void *user,
				 struct net_h2_stream **ret);
LN_MUST_CHECK int net_h2_trailers(struct net_h2_stream *st, const struct net_h2_field *f, size_t n);
void net_h2_wake(struct net_h2_stream *st);   /* ops->read has something again */
void net_h2_notify(struct net_h2_stream *st); /* call ops->drained when read is over */
/*
 * From drained(), or when nothing of the stream is on its way to the transport: sends a PING;
 * ops->confirmed follows when its answer has come. Replaces one that is still awaited.
 */
void net_h2_confirm(struct net_h2_stream *st);
void net_h2_confirm_drop(struct net_h2_stream *st);
void net_h2_reset(struct net_h2_stream *st, uint32_t code);
