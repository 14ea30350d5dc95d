#pragma once
/*
 * Official agents end a connection with a GOAWAY whose last-stream-id is their own last stream
 * (spec management-protocol, trap 49). nghttp2 calls that a protocol error and would cut the
 * streams that still run. This filter walks the frames a server receives and hands them on in
 * pieces, with that number replaced by zero, which the library accepts and we do not use.
 */
#include "lib/base/slice.h"

struct net_goaway {
	uint32_t skip; /* bytes until the next frame header */
	uint8_t nhead;
	uint8_t head[9];
	uint8_t zero; /* bytes of a last-stream-id still to replace */
};

void net_goaway_init(struct net_goaway *g); /* the connection preface comes first */
/* Takes at least one byte from the front of a non-empty *in; gives what to pass on instead. */
struct slice net_goaway_next(struct net_goaway *g, struct slice *in);
