#include "lib/wg/wg_dev_internal.h"

/* Datagrams on their way in: handshake messages one by one, data in runs of one session. */

/* --- handshakes ------------------------------------------------------------------------------- */

/* A bucket of one second's worth of handshakes; when it overflows, load is assumed for a second. */
static bool under_load(struct wg_dev *d, ln_time now)
{
	ln_time full = LN_MAX(d->load_full, now) + LN_SEC / d->conf.handshakes_per_second;
	if (full - now > LN_SEC)
		d->loaded_until = now + LN_SEC;
	else
		d->load_full = full;
	return now < d->loaded_until;
}

static void queue_cookie(struct wg_dev *d, ln_time now, struct slice m, const struct ip_ep *from)
{
	if (d->ncookies == WG_DEV_COOKIES)
		return;
	struct wg_dev_cookie *c = &d->cookies[(d->cookie_first + d->ncookies) % WG_DEV_COOKIES];
	c->to = *from;
	wg_cookie_reply(&d->checker, now, d->rng, m, from, &c->msg);
	d->ncookies++;
	d->drops.cookies_sent++;
}

/* Whether a handshake message may cost us multiplications. */
static bool admit(struct wg_dev *d, ln_time now, struct slice m, const struct ip_ep *from)
{
	enum wg_cookie_verdict v = wg_cookie_check(&d->checker, now, d->rng, m, from, false);
	if (v == WG_COOKIE_INVALID) {
		d->drops.bad_mac++;
		return false;
	}
	if (!under_load(d, now))
		return true;
	v = wg_cookie_check(&d->checker, now, d->rng, m, from, true);
	if (v != WG_COOKIE_RETURNED) {
		queue_cookie(d, now, m, from);
		return false;
	}
	if (!wg_limit_allow(&d->limit, now, &from->addr)) {
		d->drops.limited++;
		return false;
	}
	return true;
}

/* A peer that begins handshake after handshake costs a few of them, then one per interval. */
static bool admit_initiation(struct wg_peer *p, ln_time now)
{
	ln_time full = LN_MAX(p->initiations_full, now) + WG_PEER_INITIATION_INTERVAL;
	if (full - now > WG_PEER_INITIATION_BURST * WG_PEER_INITIATION_INTERVAL)
		return false;
	p->initiations_full = full;
	return true;
}

static void take_initiation(struct wg_dev *d, ln_time now, const struct wg_rx *rx)
{
	LN_AUTO(wg_noise_opening_wipe) struct wg_noise_opening o;
	struct wg_msg_initiation m;
	memcpy(&m, rx->msg.p, sizeof(m));
	if (wg_noise_open_initiation(&d->local, &m, &o) < 0) {
		d->drops.bad_auth++;
		return;
	}
	struct wg_peer *p = wg_dev_find_peer(d, &o.remote);
	int r = p != NULL ? wg_noise_accept_initiation(&p->noise, &o) : LN_E_AUTH;
	if (r < 0) {
		if (r == LN_E_REPLAY)
			d->drops.replayed++;
		else
			d->drops.bad_auth++;
		return;
	}
	if (!admit_initiation(p, now)) {
		p->noise.accepted = false;
		d->drops.limited++;
		return;
	}
	/* Answered by poll, so that of several in one batch only the newest is. */
	wg_dev_todo(d, p, WG_TODO_RESPOND);
	wg_dev_received(d, p, now, rx->msg.n, rx->from, !rx->indirect);
}

static void take_response(struct wg_dev *d, ln_time now, const struct wg_rx *rx)
{
	LN_AUTO(wg_noise_keys_wipe) struct wg_noise_keys keys;
	struct wg_msg_response m;
	memcpy(&m, rx->msg.p, sizeof(m));
	struct wg_index *x = wg_dev_index_find(d, wg_msg_le32(m.receiver));
	if (x == NULL || x->keypair != NULL) {
		d->drops.no_session++;
		return;
	}
	struct wg_peer *p = x->peer;
	if (wg_noise_read_response(&p->noise, &d->local, &m, &keys) < 0) {
		d->drops.bad_auth++;
		return;
	}
	wg_dev_begin_session(d, p, now, &keys, true);
	p->stats.handshake_rtt = LN_MAX(now - p->initiated_at, 1);
	p->stats.handshake_to = p->initiated_to;
	p->stats.last_handshake = now;
	p->stats.last_handshake_wall = now + d->wall_offset;
	wg_timers_handshake_complete(&p->timers);
	/* What waited confirms the session to the peer; if nothing did, a keepalive does. */
	wg_dev_todo(d, p,
		    WG_TODO_HANDSHAKE | (p->nstaged != 0 ? WG_TODO_STAGED : WG_TODO_KEEPALIVE));
	wg_dev_received(d, p, now, rx->msg.n, rx->from, !rx->indirect);
}

static void take_cookie(struct wg_dev *d, ln_time now, const struct wg_rx *rx)
{
	struct wg_msg_cookie m;
	memcpy(&m, rx->msg.p, sizeof(m));
	struct wg_index *x = wg_dev_index_find(d, wg_msg_le32(m.receiver));
	if (x == NULL)
		d->drops.no_session++;
	else if (wg_cookie_consume(&x->peer->cookie, now, &m) < 0)
		d->drops.bad_auth++;
}

/* --- data ------------------------------------------------------------------------------------- */

/*
 * The inner packet without its padding, if it is one and comes from where the peer may send from;
 * else an empty slice.
 */
static struct slice check_inner(struct wg_dev *d, const struct wg_peer *p, const uint8_t *b,
				size_t n)
{
	static const struct slice none;
	size_t length;
	const uint8_t *source;
	unsigned family = b[0] >> 4;
	if (family == 4 && n >= 20) {
		length = (size_t)b[2] << 8 | b[3];
		source = b + 12;
		if (length < 20 || length > n)
			return none;
	} else if (family == 6 && n >= 40) {
		length = ((size_t)b[4] << 8 | b[5]) + 40;
		source = b + 8;
		if (length > n)
			return none;
	} else {
		return none;
	}
	if (wg_aips_find(&d->allowed, source, family) != &p->allowed)
		return none;
	return slice_of(b, length);
}

/* The session may end soon and nobody has renewed it: the last chance for its initiator. */
static void refresh_by_receiver(struct wg_dev *d, struct wg_peer *p, ln_time now)
{
	const struct wg_timers_conf *c = d->conf.timers;
	const struct wg_keypair *k = p->keypairs.current;
	if (p->refreshed || k == NULL || !k->initiator ||
	    now - k->created < c->reject_after - c->keepalive - c->rekey_timeout)
		return;
	p->refreshed = true;
	wg_dev_want_session(d, p, now, false);
}

/* The peer used the session we answered: now both have it. */
static void confirm(struct wg_dev *d, struct wg_peer *p, ln_time now)
{
	wg_dev_drop_keypair(d, wg_keypairs_confirm(&p->keypairs));
	p->stats.last_handshake = now;
	p->stats.last_handshake_wall = now + d->wall_offset;
	wg_timers_handshake_complete(&p->timers);
	wg_dev_todo(d, p, WG_TODO_HANDSHAKE | (p->nstaged != 0 ? WG_TODO_STAGED : 0));
}

/* Opens the run into d->jobs; which[i] is the message of job i. Returns the number of jobs. */
static size_t open_jobs(struct wg_dev *d, struct wg_keypair *k, const struct wg_rx *v, size_t n,
			uint8_t which[WG_DEV_BATCH])
{
	size_t njobs = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t counter = wg_msg_le64(v[i].msg.p + 8);
		if (counter >= WG_COUNTER_MAX) {
			d->drops.replayed++;
			continue;
		}
		which[njobs] = (uint8_t)i;
		d->jobs[njobs++] = (struct aead_job){
			.text = v[i].msg.p + WG_MSG_DATA_HEADER_LEN,
			.n = v[i].msg.n - WG_MSG_DATA_OVERHEAD,
			.counter = counter,
		};
	}
	d->conf.aead->open_batch(k->recv, d->jobs, njobs);
	return njobs;
}

/* Data messages for one local index, at most WG_DEV_BATCH. */
static void take_data(struct wg_dev *d, ln_time now, struct wg_rx *v, size_t n)
{
	uint8_t which[WG_DEV_BATCH];
	struct wg_index *x = wg_dev_index_find(d, wg_msg_le32(v[0].msg.p + 4));
	struct wg_keypair *k = x != NULL ? x->keypair : NULL;
	if (k == NULL || now - k->created >= d->conf.timers->reject_after) {
		d->drops.no_session += n;
		return;
	}
	struct wg_peer *p = x->peer;
	size_t njobs = open_jobs(d, k, v, n, which);
	size_t bytes = 0;
	bool content = false, direct = false;
	size_t path = wg_dev_path_inner(p, now);
	const struct ip_ep *from = NULL;
	for (size_t i = 0; i < njobs; i++) {
		const struct aead_job *j = &d->jobs[i];
		struct wg_rx *rx = &v[which[i]];
		if (!j->ok) {
			d->drops.bad_auth++;
			continue;
		}
		if (!wg_counter_accept(&k->recv_counter, j->counter)) {
			d->drops.replayed++;
			continue;
		}
		bytes += rx->msg.n;
		from = rx->from;
		direct |= !rx->indirect;
		if (j->n == 0)
			continue; /* keepalive */
		content = true;
		rx->inner = check_inner(d, p, j->text, j->n);
		if (rx->inner.n == 0) {
			d->drops.bad_source++;
		} else if (!wg_ecn_join(j->text, rx->ecn)) {
			rx->inner = slice_of(NULL, 0);
			d->drops.congested++;
		} else if (path != 0) {
			wg_path_clamp(mslice_of(j->text, rx->inner.n), path);
		}
	}
	if (from == NULL)
		return;
	if (k == p->keypairs.next)
		confirm(d, p, now);
	if (content) {
		wg_timers_data_received(&p->timers, now);
		p->stats.last_data_received = now;
	}
	wg_dev_received(d, p, now, bytes, from, direct);
	refresh_by_receiver(d, p, now);
}

/* How many messages from v on are data for the same index. */
static size_t run_of_data(const struct wg_rx *v, size_t n)
{
	size_t i = 1;
	while (i < n && i < WG_DEV_BATCH && wg_msg_type(slice_from(v[i].msg)) == WG_MSG_DATA &&
	       memcmp(v[i].msg.p + 4, v[0].msg.p + 4, 4) == 0)
		i++;
	return i;
}

void wg_dev_open(struct wg_dev *d, ln_time now, struct wg_rx *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		v[i].inner = slice_of(NULL, 0);
	for (size_t i = 0, step; i < n; i += step) {
		struct slice m = slice_from(v[i].msg);
		int type = wg_msg_type(m);
		step = 1;
		if (type == WG_MSG_DATA) {
			step = run_of_data(v + i, n - i);
			take_data(d, now, v + i, step);
		} else if (type == WG_MSG_COOKIE) {
			take_cookie(d, now, &v[i]);
		} else if (type < 0) {
			d->drops.malformed++;
		} else if (admit(d, now, m, v[i].from)) {
			if (type == WG_MSG_INITIATION)
				take_initiation(d, now, &v[i]);
			else
				take_response(d, now, &v[i]);
		}
	}
}
