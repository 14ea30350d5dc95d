#include "src/agent/kwg/kwg.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/stun/stun_msg.h"

#include "src/agent/kwg/kwg_internal.h"
#include "src/agent/kwg/kwg_redirect.h"
#include "src/obs/obs_log.h"

bool kwg_say(struct kwg *k, const struct uwg_event *ev)
{
	if (!k->closed)
		k->on_event(k->user, ev);
	return !k->closed;
}

/* --- descriptors ------------------------------------------------------------------------------ */

static void read_stun(struct kwg *k, unsigned which)
{
	struct mslice room = mslice_of(ev_scratch(k->loop, 0).p, STUN_MSG_MAX + 128);
	for (unsigned i = 0; i < KWG_DATAGRAMS_PER_TURN; i++) {
		struct uwg_event ev = { .kind = UWG_EV_STUN };
		int r = plat_wg_recv(k->dev, which, room, &ev.data, &ev.from);
		if (r == LN_E_MALFORMED)
			continue;
		if (r < 0)
			return;
		/* The filter has looked at the shape already; here the length is checked too. */
		if (stun_is_message(ev.data) && !kwg_say(k, &ev))
			return;
	}
}

static void on_stun4(struct ev_io *io, unsigned events)
{
	(void)events;
	read_stun(ln_container(io, struct kwg, stun_io[0]), 0);
}

static void on_stun6(struct ev_io *io, unsigned events)
{
	(void)events;
	read_stun(ln_container(io, struct kwg, stun_io[1]), 1);
}

static void on_wake(struct ev_io *io, unsigned events)
{
	struct kwg *k = ln_container(io, struct kwg, wake_io);
	struct kwg_wake_msg m[KWG_WAKE_BATCH];
	int n = KWG_WAKE_BATCH;
	(void)events;
	for (unsigned i = 0; i < KWG_BATCHES_PER_TURN && n == KWG_WAKE_BATCH; i++) {
		n = kwg_wake_recv(&k->wake, m);
		for (int j = 0; j < n && !k->closed; j++) {
			if (uwg_is_relay(&m[j].to))
				kwg_relay_out(k, &m[j].to, m[j].data);
			else if (kwg_wake_is_ours(&m[j].to))
				kwg_peer_captured(k, kwg_wake_slot(&m[j].to), m[j].data);
		}
		if (!kwg_relay_flush(k))
			return;
	}
}

/* --- life ------------------------------------------------------------------------------------- */

static int watch(struct kwg *k, struct ev_io *io, int fd,
		 void (*fn)(struct ev_io *io, unsigned events), bool *on, struct ln_fail *f)
{
	if (fd < 0)
		return 0;
	int r = ev_io_init(io, k->loop, fd, fn);
	if (r < 0)
		return ln_fail(f, r, "cannot wait for the tunnel's sockets: %s", ln_strerror(r));
	*on = true;
	ev_io_want(io, EV_READ);
	return 0;
}

/* Wished for, not needed: without it relayed peers have addresses of their own. */
static void redirect(struct kwg *k)
{
	struct ln_fail f = { 0 };
	if (kwg_redirect_new(kwg_port(k), k->wake.port, &k->redirect, &f) < 0) {
		log_warn("kwg", "no XDP redirect for relayed peers, they get addresses instead",
			 LOG_STR("why", f.text));
		return;
	}
	k->wake.redirected = true;
	log_info("kwg", "relayed peers by XDP redirect on lo", LOG_UINT("port", k->wake.port));
}

static int open_all(struct kwg *k, struct plat *plat, const struct uwg_conf *conf,
		    struct ln_fail *f)
{
	struct plat_wg_conf c = {
		.ifname = conf->ifname,
		.mtu = conf->mtu,
		.port = conf->port,
		.first_port = conf->first_port,
		.fwmark = conf->fwmark,
		.key = conf->key,
	};
	int r = plat_wg_new(plat, &c, &k->dev, f);
	if (r == 0)
		r = kwg_wake_open(&k->wake, plat_wg_port(k->dev), conf->mtu, f);
	if (r == 0 && conf->redirect)
		redirect(k);
	if (r == 0)
		r = watch(k, &k->wake_io, k->wake.fd, on_wake, &k->wake_io_on, f);
	if (r == 0)
		r = watch(k, &k->stun_io[0], plat_wg_fd(k->dev, 0), on_stun4, &k->stun_io_on[0], f);
	if (r == 0)
		r = watch(k, &k->stun_io[1], plat_wg_fd(k->dev, 1), on_stun6, &k->stun_io_on[1], f);
	return r;
}

int kwg_new(struct ev_loop *l, struct plat *plat, const struct uwg_conf *conf,
	    uwg_event_fn *on_event, void *user, struct kwg **ret, struct ln_fail *f)
{
	struct kwg *k = ln_alloc(sizeof(*k));
	k->loop = l;
	k->on_event = on_event;
	k->user = user;
	k->wake.fd = -1;
	map_init(&k->peers, rng_u64(ev_rng()), rng_u64(ev_rng()));
	map_init(&k->slots, rng_u64(ev_rng()), rng_u64(ev_rng()));
	list_init(&k->news);
	str_init(&k->relay, 0);
	str_init(&k->run.bytes, 0);
	ev_timer_init(&k->timer, l, kwg_poll_on_timer);
	int r = open_all(k, plat, conf, f);
	if (r < 0) {
		kwg_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void kwg_free(struct kwg *k)
{
	if (k == NULL)
		return;
	k->closed = true;
	ev_timer_fini(&k->timer);
	for (unsigned i = 0; i < PLAT_WG_FDS; i++)
		if (k->stun_io_on[i])
			ev_io_fini(&k->stun_io[i]);
	if (k->wake_io_on)
		ev_io_fini(&k->wake_io);
	kwg_redirect_free(k->redirect);
	kwg_wake_close(&k->wake);
	plat_wg_free(k->dev);
	kwg_peer_fini_all(k);
	map_fini(&k->peers);
	map_fini(&k->slots);
	str_fini(&k->relay);
	str_fini(&k->run.bytes);
	ev_defer_free(k->loop, k); /* this may be a call from inside an event */
}

uint16_t kwg_port(const struct kwg *k)
{
	return plat_wg_port(k->dev);
}

const char *kwg_ifname(const struct kwg *k)
{
	return plat_wg_ifname(k->dev);
}

unsigned kwg_ifindex(const struct kwg *k)
{
	return plat_wg_ifindex(k->dev);
}

int kwg_send(struct kwg *k, const struct ip_ep *to, struct slice data)
{
	return plat_wg_send(k->dev, to, data);
}

void kwg_check(struct kwg *k)
{
	if (!plat_wg_alive(k->dev))
		kwg_poll_down(k);
}
