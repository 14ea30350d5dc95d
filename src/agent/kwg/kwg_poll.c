#include <errno.h>

#include "src/agent/kwg/kwg_internal.h"
#include "src/obs/obs_log.h"

#define KEEPALIVE_EVERY (25 * LN_SEC)

bool kwg_poll_is_data(ln_time dt, uint64_t bytes, bool handshake)
{
	uint64_t explained = (uint64_t)(dt / KEEPALIVE_EVERY + 1) * WG_MSG_DATA_MIN;
	if (handshake)
		explained += WG_MSG_INITIATION_LEN + WG_MSG_RESPONSE_LEN;
	return bytes > explained;
}

/* --- one reading ------------------------------------------------------------------------------ */

static void note_handshake(struct kwg *k, struct kwg_peer *p, ln_wall at, ln_time now)
{
	ln_wall ago = ev_wall() - at;
	p->stats.last_handshake_wall = at;
	/* The kernel says it in wall time, which may have been set since. */
	p->stats.last_handshake = LN_MAX(1, ago > 0 ? now - ago : now);
	p->handshake_news = true;
	if (list_empty(&p->news))
		list_add_tail(&k->news, &p->news);
}

static void note_traffic(struct kwg_peer *p, const struct plat_wg_peer *s, ln_time now,
			 bool handshake)
{
	uint64_t more = s->rx_bytes - p->stats.rx_bytes;
	if (s->rx_bytes <= p->stats.rx_bytes)
		return;
	p->stats.last_received = now;
	if (kwg_poll_is_data(p->read ? now - p->read_at : 0, more, handshake))
		p->stats.last_data_received = now;
}

static void note_endpoint(struct kwg *k, struct kwg_peer *p, const struct ip_ep *in_kernel)
{
	struct ip_ep ep = kwg_relay_from_kernel(k, in_kernel);
	bool real = ip_is_set(&ep.addr) && !kwg_wake_is_ours(&ep);
	p->stats.endpoint = real ? ep : (struct ip_ep){ 0 };
	if (!real || ip_ep_equal(&p->seen, &ep))
		return;
	p->seen = ep;
	p->roamed_news = true;
	if (list_empty(&p->news))
		list_add_tail(&k->news, &p->news);
}

static void on_peer(void *user, const struct plat_wg_peer *s)
{
	struct kwg *k = user;
	struct kwg_peer *p = kwg_peer_find(k, &s->key);
	if (p == NULL)
		return;
	ln_time now = ev_now();
	bool handshake =
		s->last_handshake != 0 && s->last_handshake != p->stats.last_handshake_wall;
	if (handshake)
		note_handshake(k, p, s->last_handshake, now);
	note_traffic(p, s, now, handshake);
	note_endpoint(k, p, &s->endpoint);
	p->stats.rx_bytes = s->rx_bytes;
	p->stats.tx_bytes = s->tx_bytes;
	p->read = true;
	p->read_at = now;
}

void kwg_poll_read(struct kwg *k)
{
	int r = plat_wg_dump(k->dev, on_peer, k);
	k->read_at = ev_now();
	if (r == -ENODEV)
		kwg_poll_down(k);
	else if (r < 0)
		log_warn("kwg", "the kernel's table of peers cannot be read", LOG_ERRNO(r));
	kwg_poll_arm(k);
}

/* --- when ------------------------------------------------------------------------------------- */

void kwg_poll_down(struct kwg *k)
{
	k->down = true;
	kwg_poll_arm(k);
}

static ln_time next_reading(const struct kwg *k, ln_time now)
{
	if (now >= k->expect_until || k->down)
		return LN_TIME_NEVER;
	return k->read_at +
	       (now - k->expect_since < KWG_EXPECT_FAST_FOR ? KWG_EXPECT_FAST : KWG_READ_EVERY);
}

void kwg_poll_arm(struct kwg *k)
{
	ln_time now = ev_now();
	bool news = !list_empty(&k->news) || k->relay.n > 0 || (k->down && !k->down_said);
	if (!k->closed)
		ev_timer_at(&k->timer, news ? now : next_reading(k, now));
}

/* Events of one peer; false when the device is gone. The peer may be gone as well afterwards. */
static bool tell(struct kwg *k, struct kwg_peer *p)
{
	struct uwg_event ev = { .key = p->key, .from = p->seen };
	bool handshake = p->handshake_news, roamed = p->roamed_news;
	p->handshake_news = p->roamed_news = false;
	if (roamed) {
		ev.kind = UWG_EV_ROAMED;
		if (!kwg_say(k, &ev))
			return false;
	}
	ev.kind = UWG_EV_HANDSHAKE;
	return !handshake || kwg_say(k, &ev);
}

void kwg_poll_on_timer(struct ev_timer *t)
{
	struct kwg *k = ln_container(t, struct kwg, timer);
	struct list *l;
	if (next_reading(k, ev_now()) <= ev_now())
		kwg_poll_read(k);
	if (!kwg_relay_flush(k))
		return;
	while ((l = list_pop(&k->news)) != NULL)
		if (!tell(k, list_entry(l, struct kwg_peer, news)))
			return;
	if (k->down && !k->down_said) {
		k->down_said = true;
		if (!kwg_say(k, &(struct uwg_event){ .kind = UWG_EV_DOWN, .err = -ENODEV }))
			return;
	}
	kwg_poll_arm(k);
}

void kwg_expect(struct kwg *k)
{
	ln_time now = ev_now();
	k->expect_since = now;
	k->expect_until = now + KWG_EXPECT_FOR;
	kwg_poll_arm(k);
}

int kwg_peer_stats(struct kwg *k, const struct wg_key *key, struct uwg_peer_stats *ret)
{
	const struct kwg_peer *p = kwg_peer_find(k, key);
	if (p == NULL)
		return LN_E_NOTFOUND;
	if (!k->down && (k->read_at == 0 || ev_now() - k->read_at >= KWG_READ_EVERY))
		kwg_poll_read(k);
	*ret = p->stats;
	return 0;
}
