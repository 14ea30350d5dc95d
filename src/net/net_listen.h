#pragma once
/*
 * Listening sockets: TCP addresses and Unix paths. When descriptors run out, the connection that
 * cannot be served is closed by means of a reserved descriptor and accepting pauses, so that a
 * full table costs no busy loop.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"

#include "src/ev/ev.h"

struct net_listen;

/* fd is non-blocking and the callee's. peer has family 0 on a Unix socket. */
typedef void net_listen_fn(void *user, int fd, const struct ip_ep *peer);

/*
 * An unset address (family 0) means every address, IPv6 and IPv4 on one socket where the system
 * has IPv6. -errno with the reason in f.
 */
LN_MUST_CHECK int net_listen_tcp(struct ev_loop *l, const struct ip_ep *at, net_listen_fn *fn,
				 void *user, struct net_listen **ret, struct ln_fail *f);
/* Removes a socket nobody listens on any more; -EADDRINUSE when somebody does. */
LN_MUST_CHECK int net_listen_unix(struct ev_loop *l, const char *path, unsigned mode,
				  net_listen_fn *fn, void *user, struct net_listen **ret,
				  struct ln_fail *f);
/* While paused, who connects waits in the kernel's queue. */
void net_listen_pause(struct net_listen *n, bool paused);
uint16_t net_listen_port(const struct net_listen *n); /* the one chosen for port 0 */
void net_listen_free(struct net_listen *n);           /* also removes a Unix path of ours */
