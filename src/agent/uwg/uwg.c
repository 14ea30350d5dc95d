#include "src/agent/uwg/uwg.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "src/agent/uwg/uwg_internal.h"

/* --- life ------------------------------------------------------------------------------------- */

static int watch(struct uwg *u, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
	return fd < 0 || epoll_ctl(u->epoll, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -errno;
}

static int start_thread(struct uwg *u)
{
	sigset_t all;
	sigset_t before;
	sigfillset(&all); /* signals are the loop's business */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = -pthread_create(&u->thread, NULL, uwg_thread_main, u);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static int open_all(struct uwg *u, const struct uwg_conf *conf, struct ln_fail *f)
{
	int r = uwg_tun_open(&u->tun, conf->ifname, conf->mtu, u->ifname, f);
	if (r < 0)
		return r;
	u->ifindex = if_nametoindex(u->ifname);
	u->fwmark = conf->fwmark;
	r = uwg_sock_open(u->sock, (uint16_t[2]){ conf->first_port, conf->port }, conf->fwmark,
			  &u->port, f);
	if (r < 0)
		return r;
	u->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	u->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (u->wake < 0 || u->epoll < 0)
		return ln_fail(f, -errno, "cannot start the tunnel: %s", ln_strerror(-errno));
	const int fds[] = { u->wake, u->sock[0].fd, u->sock[1].fd };
	for (unsigned i = 0; i < LN_COUNT(fds) && r == 0; i++)
		r = watch(u, fds[i]);
	for (unsigned i = 0; i < u->tun.n && r == 0; i++)
		r = watch(u, u->tun.queue[i]);
	return r < 0 ? ln_fail(f, r, "cannot start the tunnel: %s", ln_strerror(r)) : 0;
}

/* In one block, which is so large that only the pages in use take memory. */
static void alloc_rooms(struct uwg *u)
{
	const size_t tx = UWG_TX_SLOTS * u->stride;
	const size_t rx = (size_t)UWG_RX_MSGS * UWG_RX_ROOM;
	u->rooms = ln_alloc(tx + rx + UWG_TUN_ROOM + WG_DEV_POLL_ROOM);
	u->tx_room = u->rooms;
	u->rx_room = u->tx_room + tx;
	u->tun_room = u->rx_room + rx;
	u->poll_room = u->tun_room + UWG_TUN_ROOM;
}

static void start_core(struct uwg *u, const struct uwg_conf *conf)
{
	struct wg_dev_conf c;
	wg_dev_conf_default(&c);
	c.secret = conf->key;
	c.mtu = conf->mtu;
	if (conf->timers != NULL)
		c.timers = conf->timers;
	u->aead = uwg_aead_new();
	c.aead = uwg_aead_ops(u->aead);
	u->dev = wg_dev_new(&c, ev_rng());
	u->now = u->wall_set = ev_now();
	wg_dev_set_wall(u->dev, u->now, ev_wall());
	u->stats_due = LN_TIME_NEVER;
	/* Room for the largest packet the interface can give, its header, padding and tag. */
	u->stride = (conf->mtu + WG_MSG_DATA_OVERHEAD + WG_MSG_PAD + 63) / 64 * 64;
	alloc_rooms(u);
	wg_merge_init(&u->merge, u->tun.udp);
}

/* Everything but the thread, which has ended or never was. */
static void dispose(struct uwg *u)
{
	struct list *l;
	struct map_node *n;
	while ((l = list_pop(&u->mail)) != NULL) {
		uwg_mail_free(list_entry(l, struct uwg_mail, link));
	}
	ev_timer_fini(&u->inject_timer);
	str_fini(&u->inject);
	str_fini(&u->relay_out);
	while ((n = map_first(&u->stats)) != NULL) {
		map_remove(&u->stats, n);
		free(map_entry(n, struct uwg_slot, node));
	}
	map_fini(&u->stats);
	wg_dev_free(u->dev);
	uwg_aead_free(u->aead);
	uwg_sock_close(u->sock);
	uwg_tun_close(&u->tun);
	if (u->wake >= 0)
		close(u->wake);
	if (u->epoll >= 0)
		close(u->epoll);
	free(u->rooms);
	pthread_mutex_destroy(&u->mail_lock);
	pthread_mutex_destroy(&u->stats_lock);
	uwg_box_close(u->box);
	free(u);
}

int uwg_new(struct ev_loop *l, const struct uwg_conf *conf, uwg_event_fn *on_event, void *user,
	    struct uwg **ret, struct ln_fail *f)
{
	struct uwg *u = ln_alloc(sizeof(*u));
	u->wake = u->epoll = u->sock[0].fd = u->sock[1].fd = -1;
	u->mtu = conf->mtu;
	u->box = uwg_box_new(l, on_event, user);
	pthread_mutex_init(&u->mail_lock, NULL);
	pthread_mutex_init(&u->stats_lock, NULL);
	list_init(&u->mail);
	str_init(&u->inject, UWG_INJECT_WAITING);
	str_init(&u->relay_out, 2 * UWG_RELAY_BATCH);
	ev_timer_init(&u->inject_timer, l, uwg_inject_flush);
	map_init(&u->stats, rng_u64(ev_rng()), rng_u64(ev_rng()));
	int r = open_all(u, conf, f);
	if (r == 0) {
		start_core(u, conf);
		r = start_thread(u);
		if (r < 0)
			ln_fail(f, r, "cannot start the tunnel's thread: %s", ln_strerror(r));
	}
	if (r < 0) {
		dispose(u);
		return r;
	}
	*ret = u;
	return 0;
}

static struct uwg_mail *mail_new(enum uwg_mail_kind kind, const struct wg_key *key, size_t nallowed)
{
	struct uwg_mail *m = ln_alloc(sizeof(*m) + nallowed * sizeof(m->allowed[0]));
	m->kind = kind;
	if (key != NULL)
		m->peer.key = *key;
	return m;
}

void uwg_free(struct uwg *u)
{
	if (u == NULL)
		return;
	uwg_mail_send(u, mail_new(UWG_MAIL_STOP, NULL, 0));
	pthread_join(u->thread, NULL);
	dispose(u);
}

uint16_t uwg_port(const struct uwg *u)
{
	return u->port;
}

const char *uwg_ifname(const struct uwg *u)
{
	return u->ifname;
}

unsigned uwg_ifindex(const struct uwg *u)
{
	return u->ifindex;
}

int uwg_send(struct uwg *u, const struct ip_ep *to, struct slice data)
{
	return uwg_sock_send_one(u->sock, to, WG_ECN_NOT_ECT, data);
}

/* --- peers ------------------------------------------------------------------------------------ */

static struct uwg_slot *slot_find(const struct uwg *u, const struct wg_key *key)
{
	struct map_node *n = map_find(&u->stats, slice_of(key->b, sizeof(key->b)));
	return n != NULL ? map_entry(n, struct uwg_slot, node) : NULL;
}

void uwg_peer_set(struct uwg *u, const struct uwg_peer_conf *p)
{
	struct uwg_mail *m = mail_new(UWG_MAIL_SET, &p->key, p->nallowed);
	m->peer.psk = p->psk;
	m->peer.keepalive = p->keepalive;
	m->peer.nallowed = p->nallowed;
	if (p->nallowed != 0)
		memcpy(m->allowed, p->allowed, p->nallowed * sizeof(m->allowed[0]));
	m->peer.allowed = m->allowed;
	pthread_mutex_lock(&u->stats_lock);
	if (slot_find(u, &p->key) == NULL) {
		struct uwg_slot *s = ln_alloc(sizeof(*s));
		s->key = p->key;
		map_insert(&u->stats, &s->node, slice_of(s->key.b, sizeof(s->key.b)));
	}
	pthread_mutex_unlock(&u->stats_lock);
	uwg_mail_send(u, m);
}

void uwg_peer_remove(struct uwg *u, const struct wg_key *key)
{
	pthread_mutex_lock(&u->stats_lock);
	struct uwg_slot *s = slot_find(u, key);
	if (s != NULL)
		map_remove(&u->stats, &s->node);
	pthread_mutex_unlock(&u->stats_lock);
	free(s);
	uwg_mail_send(u, mail_new(UWG_MAIL_REMOVE, key, 0));
}

void uwg_peer_endpoint(struct uwg *u, const struct wg_key *key, const struct ip_ep *ep,
		       bool initiate)
{
	struct uwg_mail *m = mail_new(UWG_MAIL_ENDPOINT, key, 0);
	m->ep = *ep;
	m->initiate = initiate;
	uwg_mail_send(u, m);
}

void uwg_peer_spare(struct uwg *u, const struct wg_key *key, const struct ip_ep *spare,
		    ln_time doubt_after)
{
	struct uwg_mail *m = mail_new(UWG_MAIL_SPARE, key, 0);
	m->ep = *spare;
	m->doubt_after = doubt_after;
	uwg_mail_send(u, m);
}

int uwg_peer_stats(struct uwg *u, const struct wg_key *key, struct uwg_peer_stats *ret)
{
	pthread_mutex_lock(&u->stats_lock);
	const struct uwg_slot *s = slot_find(u, key);
	if (s != NULL)
		*ret = (struct uwg_peer_stats){
			.last_handshake = s->stats.last_handshake,
			.last_handshake_wall = s->stats.last_handshake_wall,
			.last_received = s->stats.last_received,
			.last_data_received = s->stats.last_data_received,
			.rx_bytes = s->stats.rx_bytes,
			.tx_bytes = s->stats.tx_bytes,
			.endpoint = s->stats.endpoint,
			.handshake_rtt = s->stats.handshake_rtt,
			.handshake_to = s->stats.handshake_to,
		};
	pthread_mutex_unlock(&u->stats_lock);
	return s != NULL ? 0 : LN_E_NOTFOUND;
}
