#pragma once
/*
 * A WireGuard device of the kernel, with the face of src/agent/uwg: same configuration, same
 * calls, same events, so that the engine does not know which of the two carries its packets
 * (docs/design/kwg.md says where they differ).
 *
 * Everything runs on the owner's loop. The kernel tells nothing by itself: its table is read when
 * somebody asks (at most once a second), and on a timer for half a minute after kwg_expect(),
 * which is when handshakes are awaited. From two readings follow UWG_EV_HANDSHAKE and
 * UWG_EV_ROAMED. A peer without an endpoint gets a loopback address of ours as one
 * (kwg_wake.h), which is where UWG_EV_WANTED comes from. UWG_EV_SEND_FAILED never comes.
 */
#include "src/agent/uwg/uwg.h"
#include "src/plat/plat_wg.h"

struct kwg;
/*
 * Makes the link (up, without addresses) and opens the sockets. conf->timers has no meaning here.
 * As plat_wg_new(); -errno when the wake socket cannot be had.
 */
LN_MUST_CHECK int kwg_new(struct ev_loop *l, struct plat *plat, const struct uwg_conf *conf,
			  uwg_event_fn *on_event, void *user, struct kwg **ret, struct ln_fail *f);
void kwg_free(struct kwg *k); /* removes the link; no event comes afterwards */

uint16_t kwg_port(const struct kwg *k);
const char *kwg_ifname(const struct kwg *k);
unsigned kwg_ifindex(const struct kwg *k);

/* These as in uwg.h. */
int kwg_send(struct kwg *k, const struct ip_ep *to, struct slice data);
void kwg_peer_set(struct kwg *k, const struct uwg_peer_conf *p);
void kwg_peer_remove(struct kwg *k, const struct wg_key *key);
void kwg_peer_endpoint(struct kwg *k, const struct wg_key *key, const struct ip_ep *ep,
		       bool initiate);
LN_MUST_CHECK int kwg_peer_stats(struct kwg *k, const struct wg_key *key,
				 struct uwg_peer_stats *ret);

void kwg_inject(struct kwg *k, const struct ip_ep *from, struct slice data);

/* A handshake is awaited: look often for a while. */
void kwg_expect(struct kwg *k);
/* Links of the host have changed: UWG_EV_DOWN follows when ours is gone. */
void kwg_check(struct kwg *k);
