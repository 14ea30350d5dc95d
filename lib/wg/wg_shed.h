#pragma once
/*
 * What to throw away when more arrives than can be opened: whole receive buffers, before any of
 * their messages costs a decryption. Max-min fair between sources: the one with most bytes loses
 * first, and one below its fair share loses nothing. Of one source the largest buffer goes first,
 * so that a single keepalive or ping outlives the flood around it. Pure arithmetic, no state.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"

/* What one read of a socket gave: messages of one source. */
struct wg_shed_item {
	const struct ip_ep *from;
	size_t bytes;
	bool needed; /* no data (handshake, STUN): never dropped */
	bool drop;   /* out */
};

/* Marks until what is left has at most `keep` bytes or consists of needed items only. */
void wg_shed(struct wg_shed_item *v, size_t n, size_t keep);
