#pragma once
/* Inside net_h2: the connection (net_h2.c), what nghttp2 tells (net_h2_session.c), streams. */
#include <nghttp2/nghttp2.h>

#include "src/net/net_goaway.h"
#include "src/net/net_h2.h"
#include "src/net/net_h2_mem.h"
#include "src/net/net_stream.h"

#define NET_H2_DRAIN_PING "linnetgo"
#define NET_H2_CONFIRM_PING "lnok" /* and four bytes of number */
#define NET_H2_FRAME_HEAD 9

struct net_h2 {
	struct ev_loop *loop;
	struct net_stream *stream;
	nghttp2_session *ng;
	struct net_h2_mem mem;
	struct net_h2_conf conf;
	const struct net_h2_ops *ops;
	void *user;
	struct list streams;
	struct list notify;
	size_t nstreams;
	struct ev_timer timer; /* SETTINGS limit, then keepalive */
	ln_time last_rx;
	ln_time ping_sent; /* 0: none under way */
	ln_time jitter;
	size_t held;
	uint32_t confirms;        /* numbers given to streams; 0 is none */
	struct net_goaway goaway; /* server: repairs what agents send */
	struct mslice out;        /* the loop's scratch buffer, only while send_frames() runs */
	size_t nout;
	bool settings_seen;
	bool draining;
	bool flush_queued;
	bool dead;
	int err;
	char why[120];
};

/* Sends what the session has to send, at the end of this turn of the loop. */
void net_h2_flush(struct net_h2 *h);

/* Makes the connection's nghttp2 session and queues our SETTINGS. */
void net_h2_session_open(struct net_h2 *h);

struct net_h2_stream *net_h2_stream_new(struct net_h2 *h, int32_t id);
void net_h2_stream_free(struct net_h2_stream *st);
/*
 * nghttp2 wants body bytes. The owner's go straight to where they are sent from, behind the room
 * for the frame's head; the send-data callback follows at once and fills it in. The library's own
 * buffer would keep 16 KiB of every connection that ever had a large message.
 */
ssize_t net_h2_stream_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len,
			   uint32_t *flags, nghttp2_data_source *src, void *user);
