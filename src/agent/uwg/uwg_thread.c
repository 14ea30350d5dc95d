#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/stun/stun_msg.h"
#include "lib/wg/wg_icmp.h"
#include "lib/wg/wg_shed.h"
#include "lib/wg/wg_split.h"

#include "src/agent/uwg/uwg_internal.h"
#include "src/obs/obs_log.h"

#define SOURCES (UWG_TUN_QUEUES + 3) /* two sockets, and the mail */
#define STATS_EVERY LN_SEC
#define WALL_EVERY LN_SEC
#define ANSWER_EVERY (20 * LN_MSEC) /* ICMP answers: fifty a second, after a burst of ten */
#define ANSWER_BURST 10
#define SLICE (100 * LN_MSEC)     /* of the processor: the most that can be asked for */
#define PATH_EVERY (50 * LN_MSEC) /* questions to the kernel about narrow paths */

static void fail(struct uwg *u, int err)
{
	if (u->failed)
		return;
	u->failed = true;
	uwg_box_post(u->box, &(struct uwg_event){ .kind = UWG_EV_DOWN, .err = err });
}

/* --- outputs of the core ---------------------------------------------------------------------- */

static void post_event(struct uwg *u, const struct wg_out *o)
{
	struct uwg_event ev = { .key = o->key, .from = o->ep };
	switch (o->kind) {
	case WG_OUT_DATAGRAM:
		return;
	case WG_OUT_WANTED:
		ev.kind = UWG_EV_WANTED;
		break;
	case WG_OUT_HANDSHAKE:
		ev.kind = UWG_EV_HANDSHAKE;
		u->stats_due = u->now;
		break;
	case WG_OUT_DOUBT:
		ev.kind = UWG_EV_DOUBT;
		break;
	case WG_OUT_ROAMED:
		ev.kind = UWG_EV_ROAMED;
		u->stats_due = u->now;
		break;
	}
	uwg_box_post(u->box, &ev);
}

static void drain_poll(struct uwg *u)
{
	struct wg_out o;
	while (wg_dev_poll(u->dev, u->now, mslice_of(u->poll_room, WG_DEV_POLL_ROOM), &o)) {
		if (o.kind != WG_OUT_DATAGRAM) {
			post_event(u, &o);
			continue;
		}
		if (uwg_is_relay(&o.also))
			uwg_relay_out(u, &o.also, slice_of(u->poll_room, o.len));
		if (uwg_is_relay(&o.ep)) {
			uwg_relay_out(u, &o.ep, slice_of(u->poll_room, o.len));
			continue;
		}
		int r = uwg_sock_send_one(u->sock, &o.ep, o.ecn, slice_of(u->poll_room, o.len));
		if (r < 0 && o.handshake)
			uwg_box_post(u->box, &(struct uwg_event){ .kind = UWG_EV_SEND_FAILED,
								  .key = o.key,
								  .from = o.ep,
								  .err = r });
	}
}

static void packets_moved(struct uwg *u)
{
	if (u->stats_due == LN_TIME_NEVER)
		u->stats_due = u->now + STATS_EVERY;
}

/* --- TUN to UDP ------------------------------------------------------------------------------- */

/* Those for relay endpoints, which the sockets then see as messages of no length, and copies. */
static void take_relayed(struct uwg *u)
{
	for (size_t i = 0; i < u->ntx; i++) {
		struct wg_tx *t = &u->tx[i];
		if (t->len == 0)
			continue;
		if (t->also != NULL && uwg_is_relay(t->also))
			uwg_relay_out(u, t->also, slice_of(t->msg, t->len));
		if (!uwg_is_relay(t->to))
			continue;
		uwg_relay_out(u, t->to, slice_of(t->msg, t->len));
		t->len = 0;
	}
}

/* A bucket of ICMP answers, so that a scan of addresses does not become a second one. */
static bool may_answer(struct uwg *u)
{
	ln_time full = LN_MAX(u->answers_full, u->now) + ANSWER_EVERY;
	if (full - u->now > ANSWER_BURST * ANSWER_EVERY)
		return false;
	u->answers_full = full;
	return true;
}

/* Nobody has the address, or the way there is too narrow: whoever sent the packet is told. */
static void answer(struct uwg *u, const struct wg_tx *tx)
{
	uint8_t room[WG_ICMP_MAX];
	struct slice packet = slice_of(tx->msg + WG_MSG_DATA_HEADER_LEN, tx->inner);
	size_t n = tx->err == LN_E_LIMIT ? wg_icmp_too_big(packet, tx->mtu, room)
					 : wg_icmp_unreachable(packet, room);
	if (n == 0 || !may_answer(u))
		return;
	int r = uwg_tun_write_one(&u->tun, slice_of(room, n));
	if (r < 0)
		fail(u, r);
}

/* Messages were too long for the path to a peer: from now on their senders are told. */
static void learn_path(struct uwg *u, const struct ip_ep *to)
{
	if (u->path_asked != 0 && u->now - u->path_asked < PATH_EVERY)
		return;
	u->path_asked = u->now;
	size_t mtu = uwg_sock_path_mtu(to, u->fwmark);
	log_debug("uwg", "a path is narrower than the tunnel", LOG_EP("to", to),
		  LOG_UINT("mtu", mtu));
	if (mtu != 0)
		wg_dev_path_mtu(u->dev, u->now, to, mtu);
}

static void flush_tx(struct uwg *u)
{
	if (u->ntx == 0)
		return;
	wg_dev_seal(u->dev, u->now, u->tx, u->ntx);
	take_relayed(u);
	for (size_t i = 0; i < u->ntx; i++)
		if (u->tx[i].err == LN_E_NOTFOUND || u->tx[i].err == LN_E_LIMIT)
			answer(u, &u->tx[i]);
	const struct ip_ep *small = uwg_sock_send(u->sock, u->tx, u->ntx);
	if (small != NULL)
		learn_path(u, small);
	u->ntx = 0;
	packets_moved(u);
	drain_poll(u);
}

static void take_frame(struct uwg *u, struct slice frame)
{
	struct wg_split s;
	if (wg_split_init(&s, frame) < 0)
		return;
	for (;;) {
		uint8_t *slot = u->tx_room + u->ntx * u->stride;
		struct mslice room = mslice_of(slot + WG_MSG_DATA_HEADER_LEN,
					       u->stride - WG_MSG_DATA_OVERHEAD - WG_MSG_PAD);
		int n = wg_split_next(&s, room);
		if (n <= 0)
			return;
		u->tx[u->ntx++] = (struct wg_tx){ .msg = slot, .inner = (size_t)n };
		if (u->ntx == UWG_TX_SLOTS)
			flush_tx(u);
	}
}

/* What waits in one queue, up to a bound: the others have their turn. */
static void tun_in(struct uwg *u, int fd)
{
	size_t bytes = 0;
	for (unsigned reads = 0; reads < UWG_TUN_READS && bytes < UWG_TUN_BYTES; reads++) {
		/* Not by read(): as a point of cancellation it costs 1 % of the thread's time. */
		ssize_t n = syscall(SYS_read, fd, u->tun_room, UWG_TUN_ROOM);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			fail(u, -errno); /* EBADFD: the interface was deleted */
		if (n <= 0)
			break;
		take_frame(u, slice_of(u->tun_room, (size_t)n));
		bytes += (size_t)n;
	}
	flush_tx(u);
}

/* --- UDP to TUN ------------------------------------------------------------------------------- */

static void write_merged(struct uwg *u)
{
	for (unsigned i = 0; i < u->merge.n; i++) {
		int r = uwg_tun_write(&u->tun, wg_merge_item(&u->merge, i));
		if (r < 0)
			fail(u, r);
	}
	wg_merge_init(&u->merge, u->tun.udp);
}

static void flush_rx(struct uwg *u, size_t n)
{
	if (n == 0)
		return;
	wg_dev_open(u->dev, u->now, u->rx, n);
	for (size_t i = 0; i < n; i++) {
		if (u->rx[i].inner.n == 0)
			continue;
		struct mslice inner =
			mslice_of(u->rx[i].msg.p + WG_MSG_DATA_HEADER_LEN, u->rx[i].inner.n);
		if (!wg_merge_add(&u->merge, inner)) {
			write_merged(u);
			ln_assert(wg_merge_add(&u->merge, inner));
		}
	}
	write_merged(u);
	packets_moved(u);
	drain_poll(u);
}

/* STUN shares the port (spec signal-and-connection 4.3); the owner gets a copy. */
static bool pass_stun(struct uwg *u, struct slice b, const struct ip_ep *from)
{
	if (!stun_is_message(b))
		return false;
	uwg_box_post(u->box, &(struct uwg_event){ .kind = UWG_EV_STUN, .from = *from, .data = b });
	return true;
}

/*
 * More arrives than we open. Half of it goes unseen, before it costs anything, so that the socket's
 * buffer stays short: what is not of the flood finds room in it and does not wait long.
 */
static void shed(struct uwg *u, struct uwg_datagrams *d)
{
	struct wg_shed_item v[UWG_RX_MSGS];
	size_t bytes = 0;
	for (size_t i = 0; i < d->n; i++) {
		v[i] = (struct wg_shed_item){
			.from = &d->from[i],
			.bytes = d->b[i].n,
			.needed = wg_msg_type(
					  slice_of(d->b[i].p, LN_MIN(d->segment[i], d->b[i].n))) !=
				  WG_MSG_DATA,
		};
		bytes += d->b[i].n;
	}
	wg_shed(v, d->n, bytes / 2);
	for (size_t i = 0; i < d->n; i++) {
		d->drop[i] = v[i].drop;
		u->shed += v[i].drop ? d->b[i].n : 0;
	}
}

static void hand_on(struct uwg *u, const struct uwg_datagrams *d)
{
	size_t n = 0;
	for (size_t i = 0; i < d->n; i++) {
		/* A shorter one at the end of a joined buffer is not of the flood: it stays. */
		size_t at = d->drop[i] ? d->b[i].n / d->segment[i] * d->segment[i] : 0;
		for (; at < d->b[i].n; at += d->segment[i]) {
			struct mslice m =
				mslice_of(d->b[i].p + at, LN_MIN(d->segment[i], d->b[i].n - at));
			if (pass_stun(u, slice_from(m), &d->from[i]))
				continue;
			u->rx[n++] =
				(struct wg_rx){ .msg = m, .from = &d->from[i], .ecn = d->ecn[i] };
			if (n == UWG_RX_SLOTS) {
				flush_rx(u, n);
				n = 0;
			}
		}
	}
	flush_rx(u, n);
}

static void sock_in(struct uwg *u, const struct uwg_sock *s)
{
	struct uwg_datagrams d;
	uwg_sock_recv(s, u->rx_room, UWG_RX_ROOM, &d);
	unsigned fill = d.full ? uwg_sock_fill(s) : 0;
	if (fill >= UWG_SHED_HALF)
		shed(u, &d);
	hand_on(u, &d);
	if (fill >= UWG_SHED_MOST) {
		/* The kernel throws away what does not fit without copying it. */
		uwg_sock_recv(s, u->rx_room, UWG_RX_SHORT, &d);
		hand_on(u, &d);
	}
}

/* --- mail and statistics ---------------------------------------------------------------------- */

static void set_peer(struct uwg *u, const struct wg_peer_conf *c)
{
	int r = wg_dev_set_peer(u->dev, u->now, c);
	if (r < 0) /* our own key, a key of low order, a bad prefix, or too many */
		log_warn("uwg", "peer refused", LOG_KEY("peer", &c->key), LOG_ERRNO(r));
}

/* Opened where they lie in the batch. */
static void take_injected(struct uwg *u, const struct uwg_mail *m)
{
	static const size_t max = LN_MIN(UWG_RX_SLOTS, 128);
	struct ip_ep from[128];
	struct slice batch = str_slice(&m->batch), data;
	size_t n = 0;
	while (uwg_relay_next(&batch, &from[n], &data)) {
		size_t at = (size_t)((const char *)data.p - m->batch.s);
		u->rx[n] = (struct wg_rx){ .msg = mslice_of(m->batch.s + at, data.n),
					   .from = &from[n],
					   .indirect = !uwg_is_relay(&from[n]) };
		if (++n == max) {
			flush_rx(u, n);
			n = 0;
		}
	}
	flush_rx(u, n);
}

static void do_mail(struct uwg *u, const struct uwg_mail *m)
{
	switch (m->kind) {
	case UWG_MAIL_STOP:
		u->stop = true;
		break;
	case UWG_MAIL_SET:
		set_peer(u, &m->peer);
		break;
	case UWG_MAIL_REMOVE:
		(void)wg_dev_remove_peer(u->dev, &m->peer.key);
		break;
	case UWG_MAIL_ENDPOINT:
		(void)wg_dev_set_endpoint(u->dev, u->now, &m->peer.key, &m->ep, m->initiate);
		u->stats_due = u->now;
		break;
	case UWG_MAIL_SPARE:
		(void)wg_dev_set_spare(u->dev, &m->peer.key, &m->ep, m->doubt_after);
		break;
	case UWG_MAIL_INJECT:
		take_injected(u, m);
		break;
	}
}

static void take_mail(struct uwg *u)
{
	struct list mail;
	struct list *l;
	uwg_mail_take(u, &mail);
	while ((l = list_pop(&mail)) != NULL) {
		struct uwg_mail *m = list_entry(l, struct uwg_mail, link);
		do_mail(u, m);
		uwg_mail_free(m);
	}
	drain_poll(u);
}

static void copy_stats(struct uwg *u)
{
	struct wg_key key;
	struct wg_peer_stats s;
	u->stats_due = LN_TIME_NEVER;
	if (u->shed != 0)
		log_debug("uwg", "more arrived than could be opened", LOG_UINT("bytes", u->shed));
	u->shed = 0;
	pthread_mutex_lock(&u->stats_lock);
	while (wg_dev_next_changed(u->dev, &key, &s)) {
		struct map_node *n = map_find(&u->stats, slice_of(key.b, sizeof(key.b)));
		if (n != NULL)
			map_entry(n, struct uwg_slot, node)->stats = s;
	}
	pthread_mutex_unlock(&u->stats_lock);
}

/* --- the thread ------------------------------------------------------------------------------- */

static void look_at_clock(struct uwg *u)
{
	u->now = ev_now();
	if (u->now - u->wall_set >= WALL_EVERY) {
		wg_dev_set_wall(u->dev, u->now, ev_wall());
		u->wall_set = u->now;
	}
}

static int sleep_ms(const struct uwg *u)
{
	ln_time until = ln_time_min(wg_dev_deadline(u->dev), u->stats_due);
	if (until == LN_TIME_NEVER)
		return -1;
	ln_time ms = (until - u->now + LN_MSEC - 1) / LN_MSEC;
	return ms <= 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

static void serve(struct uwg *u, int fd)
{
	if (fd == u->wake)
		take_mail(u);
	else if (fd == u->sock[0].fd)
		sock_in(u, &u->sock[0]);
	else if (fd == u->sock[1].fd)
		sock_in(u, &u->sock[1]);
	else
		tun_in(u, fd);
}

static void turn(struct uwg *u)
{
	struct epoll_event ready[SOURCES];
	int n = epoll_wait(u->epoll, ready, SOURCES, sleep_ms(u));
	look_at_clock(u);
	for (unsigned round = 0; n > 0 && !u->stop && round < UWG_ROUNDS; round++) {
		for (int i = 0; i < n; i++)
			serve(u, ready[i].data.fd);
		look_at_clock(u);
		n = epoll_wait(u->epoll, ready, SOURCES, 0);
	}
	drain_poll(u);
	uwg_relay_flush(u);
	if (u->stats_due <= u->now)
		copy_stats(u);
}

/* linux/sched/types.h has it too, but does not go together with the C library's sched.h. */
struct slice_request {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime;
	uint64_t deadline;
	uint64_t period;
};

/*
 * Asks for long slices: the thread works in batches and loses nothing by an interruption, whereas
 * the program that receives what we deliver loses datagrams when it does not run soon. The
 * scheduler lets who asked for less run first (EEVDF, Linux 6.12; others ignore it).
 */
static void ask_for_long_slices(void)
{
	struct slice_request r = { 0 };
	if (syscall(SYS_sched_getattr, 0, &r, sizeof(r), 0) != 0 || r.policy != SCHED_OTHER)
		return;
	r.runtime = SLICE;
	(void)!syscall(SYS_sched_setattr, 0, &r, 0);
}

void *uwg_thread_main(void *arg)
{
	struct uwg *u = arg;
	prctl(PR_SET_NAME, "uwg", 0, 0, 0);
	ask_for_long_slices();
	while (!u->stop) {
		turn(u);
		if (u->failed) { /* nothing to carry any more; wait for the mail that ends us */
			for (unsigned i = 0; i < u->tun.n; i++)
				epoll_ctl(u->epoll, EPOLL_CTL_DEL, u->tun.queue[i], NULL);
			for (unsigned i = 0; i < 2; i++)
				if (u->sock[i].fd >= 0)
					epoll_ctl(u->epoll, EPOLL_CTL_DEL, u->sock[i].fd, NULL);
		}
	}
	return NULL;
}
