#pragma once
/* HTTP/2 requests that are not gRPC. Private. */
#include "src/front/front_request.h"

struct net_h2_stream;

/* From net_h2_ops.open. */
void front_h2_open(struct front *fr, struct ev_loop *l, struct net_h2_stream *st);
