#pragma once
/*
 * gRPC over HTTP/2 (nghttp2), both roles, on one loop. A message is handed over whole, without its
 * 5-byte prefix. Compression is never used.
 *
 * Server: rows in a table say which path calls which functions. The public port (src/front) or a
 * listener of its own (unix socket of the agent) feeds connections in.
 * Client: a channel keeps one connection to one target, reconnecting when a call wants it.
 *
 * Order of callbacks per call: [headers] message* [half_close] closed. `closed` is always the last
 * and comes exactly once, also after grpc_call_finish/cancel; the call is freed behind it. No
 * callback comes from inside a call into this header.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"

#include "src/ev/ev.h"

/* Numbers of the gRPC specification; they travel in grpc-status. */
enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};

const char *grpc_status_name(enum grpc_status s); /* "NOT_FOUND" */

struct grpc_call;

struct grpc_kv {
	const char *name; /* lower case */
	const char *value;
};

/* --- both roles -------------------------------------------------------------------------------*/

void *grpc_call_user(const struct grpc_call *c);
void grpc_call_set_user(struct grpc_call *c, void *user);
/*
 * Queues one message (copied). LN_E_LIMIT when more than the queue limit waits for a reader that
 * stopped: the message was not taken, the caller decides. LN_E_CLOSED after the call has ended.
 */
LN_MUST_CHECK int grpc_call_send(struct grpc_call *c, struct slice msg);
/*
 * A message of n bytes (at most UINT32_MAX) that is written where it will be sent from.
 * grpc_call_send_msg() takes it over, also when it fails; the errors are those of grpc_call_send().
 */
struct grpc_msg;
struct grpc_msg *grpc_msg_new(size_t n);
struct mslice grpc_msg_bytes(struct grpc_msg *m);
void grpc_msg_free(struct grpc_msg *m);
LN_MUST_CHECK int grpc_call_send_msg(struct grpc_call *c, struct grpc_msg *m);
size_t grpc_call_queued(const struct grpc_call *c); /* bytes not yet handed to the transport */
/* First value of a received header (server: request metadata; client: response), or null. */
const char *grpc_call_header(const struct grpc_call *c, const char *name);

/* --- server -----------------------------------------------------------------------------------*/

struct grpc_method {
	const char *path; /* "/package.Service/Method" */
	void *service;    /* handed to open */
	/*
	 * Request headers are here. May set user data, send, or finish at once. The three below may
	 * be null when not needed.
	 */
	void (*open)(void *service, struct grpc_call *c);
	void (*message)(struct grpc_call *c, struct slice msg); /* msg valid during the call */
	void (*half_close)(struct grpc_call *c); /* the client sends no more; not a disconnect */
	void (*writable)(struct grpc_call *c);   /* the send queue became empty */
	void (*delivered)(struct grpc_call *c);  /* see grpc_call_confirm() */
	void (*closed)(struct grpc_call *c);     /* last callback; set even if only to free user */
};

struct grpc_server_conf {
	size_t max_message;       /* receive; 0 = 4 MiB. Beyond: RESOURCE_EXHAUSTED */
	size_t max_send_queue;    /* bytes per call; 0 = 32 MiB */
	uint32_t max_streams;     /* per connection; 0 = 250 */
	uint32_t header_table;    /* see net_h2_conf; 0 = its default */
	ln_time keepalive;        /* own PING after this much silence, jittered; 0 = 30 s */
	ln_time keepalive_answer; /* drop when no frame follows; 0 = 20 s */
	ln_time preface_limit;    /* connection preface and SETTINGS; 0 = 10 s */
};

struct grpc_server;
struct grpc_server *grpc_server_new(struct ev_loop *l, const struct grpc_server_conf *conf);
/* Rows must stay valid. Unknown paths answer UNIMPLEMENTED. */
void grpc_server_add(struct grpc_server *s, const struct grpc_method *rows, size_t n);
/*
 * Takes over a connected, non-blocking descriptor (h2c with prior knowledge). `first` are bytes
 * already read. The front uses the fuller net_h2.h for TLS.
 */
void grpc_server_accept(struct grpc_server *s, int fd, const struct ip_ep *peer,
			struct slice first);
/* Listens on a Unix socket path with `mode`; removes a stale socket that refuses connections. */
LN_MUST_CHECK int grpc_server_listen_unix(struct grpc_server *s, const char *path, unsigned mode,
					  struct ln_fail *f);
/* GOAWAY to all, no new connections; done(arg) when all are gone or `limit` has passed. */
void grpc_server_drain(struct grpc_server *s, ln_time limit, void (*done)(void *arg), void *arg);
void grpc_server_free(struct grpc_server *s); /* closes everything; closed() callbacks still come */

/* Response headers now, before any message (signal's registered mark). At most once, before send.
 */
LN_MUST_CHECK int grpc_call_send_headers(struct grpc_call *c, const struct grpc_kv *kv, size_t n);
/*
 * Ends the call after what is queued; a client that does not read is cut off 30 s later. `text` is
 * percent-encoded here; may be null.
 */
void grpc_call_finish(struct grpc_call *c, enum grpc_status status, const char *text);
/* Same with a google.rpc.Status blob for the grpc-status-details-bin trailer (may be empty). */
void grpc_call_finish_details(struct grpc_call *c, enum grpc_status status, const char *text,
			      struct slice details);
/*
 * Asks for delivered(): what is queued now has reached the other side's transport. It is told by
 * the answer to a PING sent behind the last byte, so it may never come. A later call replaces an
 * earlier one that has not been answered.
 */
void grpc_call_confirm(struct grpc_call *c);
/* In closed(): the client took the call back (RST_STREAM CANCEL), with the connection intact. */
bool grpc_call_cancelled(const struct grpc_call *c);
const struct ip_ep *grpc_call_peer(const struct grpc_call *c); /* address of the socket */
/* Unix sockets: SO_PEERCRED of the connection. LN_E_UNSUPPORTED on TCP. */
LN_MUST_CHECK int grpc_call_peer_cred(const struct grpc_call *c, pid_t *ret_pid, uid_t *ret_uid,
				      gid_t *ret_gid);
/* Monotonic time when the client's deadline passes (LN_TIME_NEVER without); enforced by the server
 * side too: the call ends with DEADLINE_EXCEEDED. */
ln_time grpc_call_deadline(const struct grpc_call *c);

/* --- client -----------------------------------------------------------------------------------*/

struct grpc_target {
	const char *host; /* name or address literal; null for a Unix socket */
	uint16_t port;
	const char *unix_path; /* null for TCP */
	bool tls;              /* verify against the system's roots, SNI and :authority = host */
	const char *ca_file;   /* extra root for tests; may be null */
	uint32_t fwmark;       /* SO_MARK, 0 = none */
};

enum grpc_channel_state {
	GRPC_IDLE,
	GRPC_CONNECTING,
	GRPC_READY,
	GRPC_FAILURE
};

struct grpc_channel_conf {
	struct grpc_target target;
	size_t max_message; /* receive; 0 = 16 MiB */
	ln_time dial_limit; /* one attempt: resolve, connect, TLS, SETTINGS; 0 = 30 s */
	ln_time keepalive;  /* PING after this much silence while a stream is open; 0 = 30 s */
	ln_time keepalive_answer; /* 0 = 10 s */
	/* May be null. On FAILURE `why` says what happened in words ("connect to X: refused"). */
	void (*on_state)(void *user, enum grpc_channel_state s, const char *why);
	void *user;
};

struct grpc_channel;
struct grpc_channel *grpc_channel_new(struct ev_loop *l, const struct grpc_channel_conf *conf);
/* Open calls end with CANCELLED (their closed callbacks come before the memory goes). */
void grpc_channel_free(struct grpc_channel *ch);
enum grpc_channel_state grpc_channel_state(const struct grpc_channel *ch);
void grpc_channel_connect(
	struct grpc_channel *ch); /* start dialling now; no-op unless idle/failed */
/* Drops the connection; calls in flight fail UNAVAILABLE; the next call dials anew. */
void grpc_channel_reset(struct grpc_channel *ch);

struct grpc_client_cbs {
	void (*headers)(struct grpc_call *c); /* response headers; may be null */
	void (*message)(struct grpc_call *c, struct slice msg);
	/* Last callback. text is decoded, never null. */
	void (*closed)(struct grpc_call *c, enum grpc_status status, const char *text);
};

/*
 * Starts a call; while the channel connects it waits. `deadline` absolute or LN_TIME_NEVER; it is
 * sent as grpc-timeout in microseconds and enforced here. Never null: failures come as closed().
 */
struct grpc_call *grpc_channel_call(struct grpc_channel *ch, const char *path,
				    const struct grpc_kv *metadata, size_t nmeta, ln_time deadline,
				    const struct grpc_client_cbs *cbs, void *user);
void grpc_call_half_close(struct grpc_call *c); /* no more messages from us */
/* RST_STREAM CANCEL, what is queued is dropped; closed(CANCELLED) follows. Also on the server. */
void grpc_call_cancel(struct grpc_call *c);

/* Unary in one go: sends msg, half-closes, collects exactly one reply (empty slice on failure). */
typedef void grpc_unary_fn(void *user, enum grpc_status status, const char *text,
			   struct slice reply);
void grpc_channel_unary(struct grpc_channel *ch, const char *path, struct slice msg,
			ln_time deadline, grpc_unary_fn *done, void *user);
