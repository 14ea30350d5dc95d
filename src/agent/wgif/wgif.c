#include "src/agent/wgif/wgif.h"

#include <stdlib.h>

#include "src/agent/kwg/kwg.h"
#include "src/obs/obs_log.h"

struct wgif { /* exactly one of the two */
	struct kwg *k;
	struct uwg *u;
};

static bool try_kernel(struct wgif *w, struct ev_loop *l, struct plat *plat,
		       const struct uwg_conf *conf, uwg_event_fn *on_event, void *user)
{
	struct ln_fail f = { 0 };
	if (plat_wg_probe(plat, &f) < 0) {
		log_debug("wgif", "WireGuard runs in user space", LOG_STR("why", f.text));
		return false;
	}
	if (kwg_new(l, plat, conf, on_event, user, &w->k, &f) < 0) {
		log_warn("wgif", "the kernel's WireGuard cannot be used; trying user space",
			 LOG_STR("why", f.text));
		return false;
	}
	return true;
}

int wgif_new(struct ev_loop *l, struct plat *plat, bool no_kernel, const struct uwg_conf *conf,
	     uwg_event_fn *on_event, void *user, struct wgif **ret, struct ln_fail *f)
{
	struct wgif *w = ln_alloc(sizeof(*w));
	int r = 0;
	if (no_kernel || !try_kernel(w, l, plat, conf, on_event, user))
		r = uwg_new(l, conf, on_event, user, &w->u, f);
	if (r < 0) {
		free(w);
		return r;
	}
	log_info("wgif", "WireGuard", LOG_STR("interface", conf->ifname),
		 LOG_STR("runs in", w->k != NULL ? "kernel" : "user space"));
	*ret = w;
	return 0;
}

void wgif_free(struct wgif *w)
{
	if (w == NULL)
		return;
	kwg_free(w->k);
	uwg_free(w->u);
	free(w);
}

bool wgif_is_kernel(const struct wgif *w)
{
	return w->k != NULL;
}

uint16_t wgif_port(const struct wgif *w)
{
	return w->k != NULL ? kwg_port(w->k) : uwg_port(w->u);
}

const char *wgif_ifname(const struct wgif *w)
{
	return w->k != NULL ? kwg_ifname(w->k) : uwg_ifname(w->u);
}

unsigned wgif_ifindex(const struct wgif *w)
{
	return w->k != NULL ? kwg_ifindex(w->k) : uwg_ifindex(w->u);
}

int wgif_send(struct wgif *w, const struct ip_ep *to, struct slice data)
{
	return w->k != NULL ? kwg_send(w->k, to, data) : uwg_send(w->u, to, data);
}

void wgif_inject(struct wgif *w, const struct ip_ep *from, struct slice data)
{
	if (w->k != NULL)
		kwg_inject(w->k, from, data);
	else
		uwg_inject(w->u, from, data);
}

void wgif_peer_set(struct wgif *w, const struct uwg_peer_conf *p)
{
	if (w->k != NULL)
		kwg_peer_set(w->k, p);
	else
		uwg_peer_set(w->u, p);
}

void wgif_peer_remove(struct wgif *w, const struct wg_key *key)
{
	if (w->k != NULL)
		kwg_peer_remove(w->k, key);
	else
		uwg_peer_remove(w->u, key);
}

void wgif_peer_endpoint(struct wgif *w, const struct wg_key *key, const struct ip_ep *ep,
			bool initiate)
{
	if (w->k != NULL)
		kwg_peer_endpoint(w->k, key, ep, initiate);
	else
		uwg_peer_endpoint(w->u, key, ep, initiate);
}

void wgif_peer_spare(struct wgif *w, const struct wg_key *key, const struct ip_ep *spare,
		     ln_time doubt_after)
{
	if (w->k == NULL)
		uwg_peer_spare(w->u, key, spare, doubt_after);
}

int wgif_peer_stats(struct wgif *w, const struct wg_key *key, struct uwg_peer_stats *ret)
{
	return w->k != NULL ? kwg_peer_stats(w->k, key, ret) : uwg_peer_stats(w->u, key, ret);
}

void wgif_expect(struct wgif *w)
{
	if (w->k != NULL) /* the other kind tells by itself */
		kwg_expect(w->k);
}

void wgif_check(struct wgif *w)
{
	if (w->k != NULL)
		kwg_check(w->k);
}
