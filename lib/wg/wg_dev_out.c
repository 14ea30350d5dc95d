#include <stdlib.h>

#include "lib/wg/wg_dev_internal.h"

/* Packets on their way out: sealed at once, or staged; and everything poll hands out. */

/* --- data ------------------------------------------------------------------------------------- */

/* Our session ages: its initiator renews it in good time. */
static void refresh_by_sender(struct wg_dev *d, struct wg_peer *p, const struct wg_keypair *k,
			      ln_time now)
{
	if (k->send_counter > WG_TIMERS_REKEY_AFTER_MESSAGES ||
	    (k->initiator && now - k->created >= d->conf.timers->rekey_after))
		wg_dev_want_session(d, p, now, false);
}

/* Text of the jobs stands behind a header's room; counters are taken in order. */
void wg_dev_seal_jobs(struct wg_dev *d, struct wg_keypair *k, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		d->jobs[i].counter = k->send_counter++;
		wg_msg_write_data_header(d->jobs[i].text - WG_MSG_DATA_HEADER_LEN, k->remote_index,
					 d->jobs[i].counter);
	}
	d->conf.aead->seal_batch(k->send, d->jobs, n);
}

/* Pads the packet behind the header's room and makes it job i. Returns the message's length. */
static size_t make_job(struct wg_dev *d, size_t i, uint8_t *text, size_t inner)
{
	size_t padded = wg_msg_padded(inner, d->conf.mtu);
	memset(text + inner, 0, padded - inner);
	d->jobs[i] = (struct aead_job){ .text = text, .n = padded };
	return padded + WG_MSG_DATA_OVERHEAD;
}

/* Packets for one peer, at most WG_DEV_BATCH. */
static void seal_run(struct wg_dev *d, struct wg_peer *p, ln_time now, struct wg_tx *v, size_t n)
{
	struct wg_keypair *k = wg_dev_session(d, p, now);
	/* What waits already goes first: poll sends it, and these after it. */
	if (k == NULL || !wg_peer_has_endpoint(p) || p->nstaged != 0) {
		for (size_t i = 0; i < n; i++) {
			wg_dev_stage(d, p, slice_of(v[i].msg + WG_MSG_DATA_HEADER_LEN, v[i].inner));
			v[i].err = LN_E_AGAIN;
		}
		if (k == NULL || !wg_peer_has_endpoint(p))
			wg_dev_want_session(d, p, now, false);
		else
			wg_dev_todo(d, p, WG_TODO_STAGED);
		return;
	}
	size_t bytes = 0;
	const struct ip_ep *also = wg_dev_spare(p);
	for (size_t i = 0; i < n; i++) {
		v[i].len = make_job(d, i, v[i].msg + WG_MSG_DATA_HEADER_LEN, v[i].inner);
		v[i].to = &p->ep;
		v[i].also = also;
		v[i].ecn = wg_ecn_of(v[i].msg + WG_MSG_DATA_HEADER_LEN);
		bytes += v[i].len;
	}
	wg_dev_seal_jobs(d, k, n);
	wg_timers_data_sent(&p->timers, now, d->rng);
	wg_dev_todo_done(p, WG_TODO_KEEPALIVE);
	wg_dev_sent(d, p, now, bytes);
	refresh_by_sender(d, p, k, now);
}

/* Whether the packet may go the peer's way, which is a narrow one. */
static bool passes(struct wg_dev *d, struct wg_tx *v, size_t inner)
{
	struct mslice packet = mslice_of(v->msg + WG_MSG_DATA_HEADER_LEN, v->inner);
	wg_path_clamp(packet, inner);
	if (!wg_path_refuses(slice_from(packet), inner, &v->mtu))
		return true;
	v->err = LN_E_LIMIT;
	d->drops.too_big++;
	return false;
}

/* The peer an inner packet goes to, or null with the reason in v->err. */
static struct wg_peer *route(struct wg_dev *d, ln_time now, struct wg_tx *v)
{
	const uint8_t *b = v->msg + WG_MSG_DATA_HEADER_LEN;
	unsigned family = v->inner >= 20 ? b[0] >> 4 : 0;
	struct wg_aips_owner *o = NULL;
	v->len = 0;
	v->to = NULL;
	v->also = NULL;
	v->err = LN_E_MALFORMED;
	if (family == 4)
		o = wg_aips_find(&d->allowed, b + 16, 4);
	else if (family == 6 && v->inner >= 40)
		o = wg_aips_find(&d->allowed, b + 24, 6);
	else
		return NULL;
	if (o == NULL) {
		v->err = LN_E_NOTFOUND;
		d->drops.no_peer++;
		return NULL;
	}
	struct wg_peer *p = ln_container(o, struct wg_peer, allowed);
	size_t path = wg_dev_path_inner(p, now);
	if (path != 0 && !passes(d, v, path))
		return NULL;
	v->err = 0;
	return p;
}

void wg_dev_seal(struct wg_dev *d, ln_time now, struct wg_tx *v, size_t n)
{
	struct wg_peer *p = NULL;
	size_t first = 0;
	for (size_t i = 0; i < n; i++) {
		struct wg_peer *to = route(d, now, &v[i]);
		if (to == p && i - first < WG_DEV_BATCH)
			continue;
		if (p != NULL)
			seal_run(d, p, now, v + first, i - first);
		p = to;
		first = i;
	}
	if (p != NULL)
		seal_run(d, p, now, v + first, n - first);
}

/* --- poll: one thing at a time ---------------------------------------------------------------- */

/* Rounded to about 17 ms, so that it tells nothing about our clock; always greater than before. */
static void next_stamp(struct wg_dev *d, ln_time now, uint8_t stamp[WG_STAMP_LEN])
{
	const ln_wall grain = 1 << 24;
	ln_wall wall = (now + d->wall_offset) / grain * grain;
	d->last_stamp = LN_MAX(wall, d->last_stamp + grain);
	wg_msg_write_stamp(stamp, d->last_stamp);
}

static void datagram(struct wg_out *ret, const struct wg_peer *p, size_t len, bool handshake)
{
	const struct ip_ep *also = wg_dev_spare(p);
	*ret = (struct wg_out){
		.kind = WG_OUT_DATAGRAM,
		.key = p->key,
		.ep = p->ep,
		.len = len,
		.handshake = handshake,
	};
	if (also != NULL)
		ret->also = *also;
}

static bool poll_initiation(struct wg_dev *d, struct wg_peer *p, ln_time now, uint8_t *buf,
			    struct wg_out *ret)
{
	struct wg_msg_initiation m;
	uint8_t stamp[WG_STAMP_LEN];
	if (!wg_peer_has_endpoint(p))
		return false;
	next_stamp(d, now, stamp);
	wg_dev_index_remove(d, &p->handshake);
	uint32_t id = wg_dev_index_new(d);
	wg_msg_put_le32(p->handshake.id, id);
	wg_dev_index_add(d, &p->handshake, p);
	wg_noise_write_initiation(&p->noise, &d->local, d->rng, id, stamp, &m);
	wg_cookie_stamp(&p->cookie, now, mslice_of(&m, sizeof(m)));
	memcpy(buf, &m, sizeof(m));
	p->initiated_to = p->ep;
	p->initiated_at = now;
	wg_timers_initiation_sent(&p->timers, now, d->rng);
	wg_dev_sent(d, p, now, sizeof(m));
	datagram(ret, p, sizeof(m), true);
	return true;
}

static bool poll_response(struct wg_dev *d, struct wg_peer *p, ln_time now, uint8_t *buf,
			  struct wg_out *ret)
{
	LN_AUTO(wg_noise_keys_wipe) struct wg_noise_keys keys;
	struct wg_msg_response m;
	if (!wg_peer_has_endpoint(p) ||
	    wg_noise_write_response(&p->noise, d->rng, wg_dev_index_new(d), &m, &keys) < 0)
		return false;
	wg_dev_begin_session(d, p, now, &keys, false);
	wg_cookie_stamp(&p->cookie, now, mslice_of(&m, sizeof(m)));
	memcpy(buf, &m, sizeof(m));
	wg_dev_sent(d, p, now, sizeof(m));
	datagram(ret, p, sizeof(m), true);
	return true;
}

static bool poll_staged(struct wg_dev *d, struct wg_peer *p, ln_time now, uint8_t *buf,
			struct wg_out *ret)
{
	struct wg_keypair *k = wg_dev_session(d, p, now);
	if (k == NULL || !wg_peer_has_endpoint(p)) {
		if (p->nstaged != 0)
			wg_dev_want_session(d, p, now, false);
		return false;
	}
	struct wg_staged *s = wg_dev_unstage(d, p);
	if (s == NULL)
		return false;
	memcpy(buf + WG_MSG_DATA_HEADER_LEN, s->packet, s->n);
	enum wg_ecn ecn = wg_ecn_of(s->packet);
	size_t len = make_job(d, 0, buf + WG_MSG_DATA_HEADER_LEN, s->n);
	free(s);
	wg_dev_seal_jobs(d, k, 1);
	wg_timers_data_sent(&p->timers, now, d->rng);
	wg_dev_todo_done(p, WG_TODO_KEEPALIVE);
	wg_dev_sent(d, p, now, len);
	refresh_by_sender(d, p, k, now);
	datagram(ret, p, len, false);
	ret->ecn = ecn;
	return true;
}

static bool poll_keepalive(struct wg_dev *d, struct wg_peer *p, ln_time now, uint8_t *buf,
			   struct wg_out *ret)
{
	struct wg_keypair *k = wg_dev_session(d, p, now);
	if (!wg_peer_has_endpoint(p))
		return false;
	if (k == NULL) {
		wg_dev_want_session(d, p, now, false);
		return false;
	}
	size_t len = make_job(d, 0, buf + WG_MSG_DATA_HEADER_LEN, 0);
	wg_dev_seal_jobs(d, k, 1);
	wg_dev_sent(d, p, now, len);
	refresh_by_sender(d, p, k, now);
	datagram(ret, p, len, false);
	return true;
}

static bool poll_event(struct wg_peer *p, enum wg_out_kind kind, struct wg_out *ret)
{
	*ret = (struct wg_out){ .kind = kind, .key = p->key, .ep = p->ep };
	return true;
}

/* Takes the first thing to do off the peer; false when it came to nothing. */
static bool poll_peer(struct wg_dev *d, struct wg_peer *p, ln_time now, uint8_t *buf,
		      struct wg_out *ret)
{
	unsigned what = p->todo & -p->todo;
	/* Staged packets stay to be done until the last one has left. */
	if (what == WG_TODO_STAGED && poll_staged(d, p, now, buf, ret))
		return true;
	wg_dev_todo_done(p, what);
	switch ((enum wg_todo)what) {
	case WG_TODO_ROAMED:
		return poll_event(p, WG_OUT_ROAMED, ret);
	case WG_TODO_RESPOND:
		return poll_response(d, p, now, buf, ret);
	case WG_TODO_HANDSHAKE:
		return poll_event(p, WG_OUT_HANDSHAKE, ret);
	case WG_TODO_STAGED:
		return false;
	case WG_TODO_KEEPALIVE:
		return poll_keepalive(d, p, now, buf, ret);
	case WG_TODO_INITIATE:
		return poll_initiation(d, p, now, buf, ret);
	case WG_TODO_DOUBT:
		return poll_event(p, WG_OUT_DOUBT, ret);
	case WG_TODO_WANTED:
		return !wg_peer_has_endpoint(p) && poll_event(p, WG_OUT_WANTED, ret);
	}
	return false;
}

static void retry(struct wg_dev *d, struct wg_peer *p, ln_time now)
{
	if (wg_timers_exhausted(&p->timers)) {
		wg_dev_purge_staged(d, p);
		wg_timers_gave_up(&p->timers, now);
		return;
	}
	p->timers.attempts++;
	wg_dev_want_session(d, p, now, true);
}

static void run_timers(struct wg_dev *d, struct wg_peer *p, ln_time now)
{
	int which;
	while ((which = wg_timers_take(&p->timers, now)) >= 0) {
		switch ((enum wg_timer)which) {
		case WG_TIMER_RETRY:
			if (wg_peer_has_endpoint(p))
				retry(d, p, now);
			break;
		case WG_TIMER_SILENCE:
			if (wg_peer_has_endpoint(p))
				wg_dev_want_session(d, p, now, false);
			break;
		case WG_TIMER_PERSISTENT:
		case WG_TIMER_KEEPALIVE:
			if (wg_peer_has_endpoint(p))
				wg_dev_todo(d, p, WG_TODO_KEEPALIVE);
			break;
		case WG_TIMER_DOUBT:
			wg_dev_todo(d, p, WG_TODO_DOUBT);
			break;
		case WG_TIMER_ZERO_KEYS:
			wg_dev_drop_sessions(d, p);
			break;
		case WG_TIMER_COUNT:
			break;
		}
	}
	heap_set(&d->deadlines, &p->deadline, wg_timers_deadline(&p->timers));
}

bool wg_dev_poll(struct wg_dev *d, ln_time now, struct mslice buf, struct wg_out *ret)
{
	ln_assert(buf.n >= WG_DEV_POLL_ROOM);
	while (heap_deadline(&d->deadlines) <= now) {
		struct heap_node *n = heap_top(&d->deadlines);
		run_timers(d, ln_container(n, struct wg_peer, deadline), now);
	}
	if (d->ncookies != 0) {
		const struct wg_dev_cookie *c = &d->cookies[d->cookie_first];
		memcpy(buf.p, &c->msg, sizeof(c->msg));
		*ret = (struct wg_out){ .kind = WG_OUT_DATAGRAM,
					.ep = c->to,
					.len = sizeof(c->msg) };
		d->cookie_first = (d->cookie_first + 1) % WG_DEV_COOKIES;
		d->ncookies--;
		return true;
	}
	while (!list_empty(&d->todo))
		if (poll_peer(d, list_entry(d->todo.next, struct wg_peer, todo_link), now, buf.p,
			      ret))
			return true;
	return false;
}

ln_time wg_dev_deadline(const struct wg_dev *d)
{
	if (d->ncookies != 0 || !list_empty(&d->todo))
		return 0;
	return heap_deadline(&d->deadlines);
}
