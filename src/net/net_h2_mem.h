#pragma once
/*
 * Memory of one nghttp2 session. What the session allocates at its birth and keeps for life lies
 * in one slot of the loop (ev.h): 16 KiB of it are a frame buffer of which small frames touch the
 * beginning only, and on a heap that has seen use those would be 16 resident KiB. What is left of
 * the page before the buffer goes to the first small pieces of later; the rest comes from the heap.
 */
#include <nghttp2/nghttp2.h>
#include <stdbool.h>

struct ev_loop;

struct net_h2_mem {
	struct ev_loop *loop;
	uint8_t *slot;
	size_t used;
	size_t rest, rest_end; /* before the frame buffer */
	bool born;             /* set by the owner when the session is made */
	nghttp2_mem mem;
};

void net_h2_mem_init(struct net_h2_mem *m, struct ev_loop *l);
void net_h2_mem_fini(struct net_h2_mem *m); /* after the session */
