#pragma once
/* HTTP/1.1 on one connection of the front: keep-alive, one request at a time. Private. */
#include "src/front/front_request.h"

struct front_http1;
struct net_stream;

struct front_http1_ops {
	void (*idle)(void *user); /* an answer is out and the connection waits */
	void (*over)(void *user); /* close it */
	/* A handler takes the connection; the front_http1 is freed inside. */
	void (*take)(void *user, struct front_taken *ret);
};

/* idle and over come from the loop. */
struct front_http1 *front_http1_new(struct front *fr, struct ev_loop *l, struct net_stream *stream,
				    const struct ip_ep *peer, const struct front_http1_ops *ops,
				    void *user);
void front_http1_free(struct front_http1 *h);
void front_http1_input(struct front_http1 *h, struct slice data);
bool front_http1_is_idle(const struct front_http1 *h); /* nothing of a request was seen */
bool front_http1_is_busy(const struct front_http1 *h); /* a handler has a request */
