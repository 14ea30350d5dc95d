#pragma once
/*
 * Names to addresses, by the system's resolver on a worker thread: the resolver's first family
 * first, then the families taking turns.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"

#define NET_RESOLVE_MAX 8

struct ev_loop;
struct net_resolve;

/* n 0: nothing was found, and why in words. Valid during the call; from the loop, once. */
typedef void net_resolve_done_fn(void *user, const struct ip_addr *v, size_t n, const char *why);

struct net_resolve *net_resolve_new(struct ev_loop *l, const char *host, net_resolve_done_fn *done,
				    void *user);
void net_resolve_cancel(struct net_resolve *r); /* no done() comes; null is fine */
