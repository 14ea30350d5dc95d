#pragma once
/*
 * The same mapping by UPnP, for gateways that know nothing else. Its parsers of XML and HTTP run in
 * a process of their own without privileges (linnet-upnp), one short run for each thing to do.
 */
#include "lib/base/ip.h"

#include "src/ev/ev.h"

struct engine_upnp;
/* port 0 in ep: no mapping any more. Never called from inside a call into this header. */
typedef void engine_upnp_fn(void *user, const struct ip_ep *ep);
struct engine_upnp *engine_upnp_new(struct ev_loop *l, uint16_t port, engine_upnp_fn *fn,
				    void *user);
/* Takes back what is mapped; waits for the helper for a second at most. */
void engine_upnp_free(struct engine_upnp *u);
void engine_upnp_start(struct engine_upnp *u); /* nothing when it runs already */
void engine_upnp_stop(struct engine_upnp *u);  /* another gateway, or a better protocol */
/* "mapped ADDRESS PORT URL": the helper's answer. False for anything else. */
bool engine_upnp_read(struct slice answer, struct ip_ep *ret, char url[256]);
