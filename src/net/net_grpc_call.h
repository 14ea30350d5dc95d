#pragma once
/*
 * The inside of a call, for net_grpc_*.c only. A call sits on one HTTP/2 stream (`st`, null while
 * a client's channel connects and after the end) and owns a queue of framed messages.
 */
#include "lib/wire/grpc_frame.h"

#include "src/net/net_grpc.h"
#include "src/net/net_h2.h"

#define GRPC_SEND_QUEUE (32u << 20)

struct grpc_msg {
	struct grpc_msg *next;
	size_t n; /* of data: head and message */
	uint8_t data[];
};

struct grpc_call {
	struct list link; /* in the server's or channel's list of calls */
	struct ev_loop *loop;
	struct net_h2_stream *st;
	void *user;
	struct grpc_frame_reader in;
	size_t held; /* counted in net_h2_held */

	struct grpc_msg *out_first;
	struct grpc_msg **out_last;
	size_t out_off; /* of the first message, already handed on */
	size_t queued;
	size_t queue_limit;

	ln_time deadline;
	struct ev_timer timer; /* impl null until needed */
	bool half_closed;      /* we send no more: finish (server), half close (client) */
	bool ended;            /* closed() is due or was called: nothing more is taken */
	bool headers_sent;     /* server */
	bool headers_told;     /* client */
	bool remote_ended;

	/* server */
	struct grpc_server *server;
	const struct grpc_method *method;
	enum grpc_status status;
	bool confirm;   /* a PING follows when the queue is empty */
	bool cancelled; /* by the client */
	char *text;     /* percent-encoded, owned */
	char *details;  /* base64, owned */

	/* client */
	struct grpc_channel *channel;
	const struct grpc_client_cbs *cbs;
	struct grpc_start *start; /* what opens the stream, until it is open */
};

void grpc_call_init(struct grpc_call *c, struct ev_loop *l, size_t max_message, size_t queue_limit);
/* Frees everything but the stream, and the call itself at the end of the turn. */
void grpc_call_free(struct grpc_call *c);
/* Moves queued bytes into dst; net_h2_stream_ops.read for both roles is built on it. */
size_t grpc_call_take(struct grpc_call *c, uint8_t *dst, size_t n);
/* Drops queued messages; false when one was already sent in part. */
bool grpc_call_drop_queue(struct grpc_call *c);
/*
 * Next whole message in *in: 1, 0 or the errors of grpc_frame_read(); LN_E_LIMIT also when all
 * unfinished messages of the connection together are too much.
 */
LN_MUST_CHECK int grpc_call_next(struct grpc_call *c, struct slice *in, struct slice *ret_msg);
void grpc_call_arm(struct grpc_call *c, ln_time at, void (*fn)(struct ev_timer *t));
/* The client's part of grpc_call_cancel(). */
void grpc_client_cancel(struct grpc_call *c);

/* A request has come on c->st for c->method (null: unknown): refuses it, or tells the method. */
void grpc_server_begin(struct grpc_call *c);
void grpc_server_cancel(struct grpc_call *c);
