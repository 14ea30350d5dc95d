#pragma once
/* The pair of peer_pair.h where both sides have a home relay, for the tests of two ways. */
#include "tests/unit/peer/peer_pair.h"

#define HOME_0 "rel://relay-0.example:80"
#define HOME_1 "rels://relay-1.example:443"

static struct pair w;
static struct peer_info info[2];

static inline struct peer_conn_conf conf(void)
{
	return (struct peer_conn_conf){ .relay_ep = pair_ep("127.1.0.9:51820") };
}

static inline void set_home(int i, const char *url)
{
	(void)snprintf(w.side[i].local.relay_url, sizeof(w.side[i].local.relay_url), "%s", url);
	w.side[i].local.relay_wanted = true;
}

/* Both have a home relay; direct says whether datagrams arrive. */
static inline void start(struct peer_conn_conf c, bool direct)
{
	pair_init(&w, c);
	for (int i = 0; i < 2; i++) {
		set_home(i, i == 0 ? HOME_0 : HOME_1);
		w.side[i].deaf_net = !direct;
	}
}

static inline void look(void)
{
	for (int i = 0; i < 2; i++)
		peer_conn_info(w.side[i].conn, &info[i]);
}

static inline void deaf(bool yes)
{
	w.side[0].deaf_net = yes;
	w.side[1].deaf_net = yes;
}

static inline void handshake(void)
{
	for (int i = 0; i < 2; i++) {
		w.side[i].wg.last_handshake = w.now;
		peer_conn_handshake(w.side[i].conn, w.now);
	}
	pair_settle(&w);
}

static inline void assert_path(enum peer_path path)
{
	look();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(info[i].path, path);
		assert_int_equal(info[i].state,
				 path == PEER_PATH_NONE ? PEER_CONNECTING : PEER_CONNECTED);
	}
}

/* Time with a WireGuard that keeps its sessions. */
static inline void run_lively(ln_time for_how_long)
{
	ln_time end = w.now + for_how_long;
	while (w.now < end) {
		handshake();
		pair_run(&w, ln_time_min(end, w.now + 20 * LN_SEC));
	}
}

static inline bool is_relay_ep(const struct ip_ep *e)
{
	struct ip_ep want = pair_ep("127.1.0.9:51820");
	return ip_ep_equal(e, &want);
}

static inline unsigned offers(int i)
{
	return pair_count(&w.side[i], SIGNAL_OFFER);
}
