#include "src/net/net_resolve.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "src/ev/ev.h"

/* What the worker thread gets and gives; it outlives a cancelled question. */
struct net_resolve {
	net_resolve_done_fn *done; /* null after cancel; touched on the loop's thread only */
	void *user;
	char host[256];
	int err; /* EAI_* */
	int sys_err;
	struct ip_addr addr[NET_RESOLVE_MAX];
	size_t n;
};

static void work(void *arg)
{
	struct net_resolve *r = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	r->err = getaddrinfo(r->host, NULL, &hints, &list);
	r->sys_err = errno;
	for (struct addrinfo *ai = list; r->err == 0 && ai != NULL; ai = ai->ai_next) {
		struct ip_ep ep;
		if (r->n < NET_RESOLVE_MAX && ip_ep_from_sockaddr(ai->ai_addr, &ep) == 0)
			r->addr[r->n++] = ep.addr;
	}
	if (list != NULL)
		freeaddrinfo(list);
}

static size_t take_turns(const struct ip_addr *addr, size_t n, struct ip_addr *dst)
{
	bool used[NET_RESOLVE_MAX] = { false };
	uint8_t family = n != 0 ? addr[0].family : 0;
	for (size_t k = 0; k < n; k++) {
		size_t pick = n;
		for (size_t i = 0; i < n; i++)
			if (!used[i] && (pick == n ||
					 (addr[i].family == family && addr[pick].family != family)))
				pick = i;
		used[pick] = true;
		family = addr[pick].family == 4 ? 6 : 4;
		dst[k] = addr[pick];
	}
	return n;
}

static void finished(void *arg)
{
	struct net_resolve *r = arg;
	struct ip_addr v[NET_RESOLVE_MAX];
	char why[160] = "";
	size_t n = r->err == 0 ? take_turns(r->addr, r->n, v) : 0;
	if (n == 0)
		(void)snprintf(why, sizeof(why), "cannot resolve the name: %s",
			       r->err == EAI_SYSTEM ? ln_strerror(-r->sys_err)
			       : r->err != 0        ? gai_strerror(r->err)
						    : "no address");
	if (r->done != NULL)
		r->done(r->user, v, n, why);
	free(r);
}

struct net_resolve *net_resolve_new(struct ev_loop *l, const char *host, net_resolve_done_fn *done,
				    void *user)
{
	struct net_resolve *r = ln_alloc(sizeof(*r));
	r->done = done;
	r->user = user;
	(void)snprintf(r->host, sizeof(r->host), "%s", host);
	ev_work(l, work, finished, r);
	return r;
}

void net_resolve_cancel(struct net_resolve *r)
{
	if (r != NULL)
		r->done = NULL;
}
