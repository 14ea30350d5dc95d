#pragma once
/*
 * One peer of a device: its handshake, sessions, timers, and the packets that wait for a session.
 * Owned by the device, which alone changes it; private to lib/wg.
 */
#include "lib/base/heap.h"
#include "lib/base/list.h"
#include "lib/wg/wg_aips.h"
#include "lib/wg/wg_cookie.h"
#include "lib/wg/wg_dev.h"
#include "lib/wg/wg_keypair.h"
#include "lib/wg/wg_timers.h"

/* What wg_dev_poll() has to do for the peer, in this order. */
enum wg_todo {
	WG_TODO_ROAMED = 1 << 0,    /* event */
	WG_TODO_RESPOND = 1 << 1,   /* answer the newest initiation */
	WG_TODO_HANDSHAKE = 1 << 2, /* event */
	WG_TODO_STAGED = 1 << 3,    /* send what waited */
	WG_TODO_KEEPALIVE = 1 << 4,
	WG_TODO_INITIATE = 1 << 5,
	WG_TODO_WANTED = 1 << 6, /* event */
	WG_TODO_DOUBT = 1 << 7,  /* event */
};

/* A copy of an inner packet that waits. */
struct wg_staged {
	struct list link;
	size_t n;
	uint8_t packet[];
};

/* Initiations of one peer that are answered: so many at once, then one per interval. */
#define WG_PEER_INITIATION_BURST 8
#define WG_PEER_INITIATION_INTERVAL (20 * LN_MSEC)

struct wg_peer {
	struct map_node by_key;
	struct wg_key key;
	struct wg_noise_peer noise;
	struct wg_cookie_maker cookie;
	struct wg_index handshake; /* names our initiation while it is unanswered */
	struct wg_keypairs keypairs;
	struct wg_aips_owner allowed;

	struct ip_ep ep;           /* family 0 none */
	struct ip_ep spare;        /* every packet goes there too; family 0 none */
	size_t path_inner;         /* longest packet its path carries; 0 not known to be short */
	ln_time path_until;        /* and until when that is believed */
	struct ip_ep initiated_to; /* where the last initiation went */
	ln_time initiated_at;      /* when; valid if initiated_to is set */
	ln_time initiations_full;  /* bucket of received initiations */
	ln_time wanted_at;         /* the last WANTED event */
	bool was_wanted;
	bool refreshed; /* this session's late rekey by a receiver was asked for */

	struct wg_timers timers;
	struct heap_node deadline; /* may stand too early: later deadlines are not moved */

	struct list staged; /* struct wg_staged, oldest first */
	size_t nstaged;

	unsigned todo; /* enum wg_todo */
	struct list todo_link;
	struct list changed_link;
	struct wg_peer_stats stats;
};

/* LN_E_AUTH when the key is a point of low order. */
LN_MUST_CHECK int wg_peer_new(const struct wg_key *key, const struct wg_noise_local *local,
			      const struct wg_timers_conf *timers, struct wg_peer **ret);
/* Must have left every table, list and heap, and hold neither keypairs nor staged packets. */
void wg_peer_free(struct wg_peer *p);

static inline bool wg_peer_has_endpoint(const struct wg_peer *p)
{
	return ip_is_set(&p->ep.addr);
}
