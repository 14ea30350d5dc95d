#pragma once
/*
 * The WireGuard interface of one network: the kernel's (src/agent/kwg) where the host has it, else
 * ours in user space (src/agent/uwg). Chosen once, when it is made (spec agent 2.3); afterwards the
 * calls mean the same for both, as uwg.h describes them.
 */
#include "src/agent/uwg/uwg.h"
#include "src/plat/plat.h"

struct wgif;
/*
 * no_kernel: always in user space (NB_WG_KERNEL_DISABLED). When the kernel can do it but something
 * else is in the way (no right to open raw sockets), user space is tried as well. Errors are those
 * of uwg_new().
 */
LN_MUST_CHECK int wgif_new(struct ev_loop *l, struct plat *plat, bool no_kernel,
			   const struct uwg_conf *conf, uwg_event_fn *on_event, void *user,
			   struct wgif **ret, struct ln_fail *f);
void wgif_free(struct wgif *w); /* null is allowed */

bool wgif_is_kernel(const struct wgif *w);
uint16_t wgif_port(const struct wgif *w);
const char *wgif_ifname(const struct wgif *w);
unsigned wgif_ifindex(const struct wgif *w);

int wgif_send(struct wgif *w, const struct ip_ep *to, struct slice data);
void wgif_inject(struct wgif *w, const struct ip_ep *from, struct slice data);
void wgif_peer_set(struct wgif *w, const struct uwg_peer_conf *p);
void wgif_peer_remove(struct wgif *w, const struct wg_key *key);
void wgif_peer_endpoint(struct wgif *w, const struct wg_key *key, const struct ip_ep *ep,
			bool initiate);
/* As uwg_peer_spare(); the kernel's has one way only, and this does nothing. */
void wgif_peer_spare(struct wgif *w, const struct wg_key *key, const struct ip_ep *spare,
		     ln_time doubt_after);
LN_MUST_CHECK int wgif_peer_stats(struct wgif *w, const struct wg_key *key,
				  struct uwg_peer_stats *ret);

/* A handshake of some peer is awaited in the next half minute: UWG_EV_HANDSHAKE shall be prompt. */
void wgif_expect(struct wgif *w);
/* Links of the host have changed: notices when the interface is gone. */
void wgif_check(struct wgif *w);
