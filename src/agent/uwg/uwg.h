#pragma once
/*
 * A WireGuard device in user space: a TUN interface, one UDP socket per family, and a thread of its
 * own that carries packets between them through lib/wg. One device per network; no globals.
 *
 * The owner lives on an ev_loop and talks to the device by the calls below, all of them from the
 * loop's thread; they copy their arguments and return at once. Events come back on the loop.
 * STUN, ICE and WireGuard share the UDP port: datagrams with the shape of STUN are handed to the
 * owner, everything else goes to WireGuard (spec signal-and-connection 4.3).
 *
 * A peer may be reached by a relay: its endpoint is then an address of 127.1.0.0/16 (spec 4.6), for
 * which no socket is used. What WireGuard sends there comes to the owner in batches, and what the
 * relay brings is given back by uwg_inject().
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"
#include "lib/base/str.h"
#include "lib/base/time.h"
#include "lib/crypto/key.h"
#include "lib/ice/ice_via.h"
#include "lib/wg/wg_timers.h"

#include "src/ev/ev.h"

struct uwg_conf {
	const char *ifname;          /* created as TUN; an interface of that name must not exist */
	unsigned mtu;                /* of the TUN */
	uint16_t port;               /* wanted UDP port; 0 or busy: the kernel chooses */
	uint16_t first_port;         /* tried before it, 0 none: the kernel's former choice */
	uint32_t fwmark;             /* SO_MARK of the UDP sockets; 0 none */
	const struct wg_secret *key; /* copied */
	bool redirect; /* in the kernel: name relayed peers by ports (src/agent/kwg/kwg_redirect.h)
			*/
	/* Of the protocol; null: the standard ones. Tests shorten them. Must outlive the device. */
	const struct wg_timers_conf *timers;
};

struct uwg_peer_conf {
	struct wg_key key;
	struct wg_secret psk;            /* all zero = none */
	const struct ip_prefix *allowed; /* replaces the list */
	size_t nallowed;
	uint16_t keepalive; /* seconds; 0 off */
};

enum uwg_event_kind {
	UWG_EV_STUN,      /* datagram `data` from `from` */
	UWG_EV_WANTED,    /* a packet waits for a peer that has no endpoint (lazy wake-up); at most
			     once a second per peer; the packet stays queued until an endpoint comes */
	UWG_EV_HANDSHAKE, /* a session was established with `key` */
	UWG_EV_ROAMED,    /* an authenticated packet of `key` came from another endpoint `from` */
	UWG_EV_SEND_FAILED, /* a handshake could not be sent to `from`: `err` (ENETUNREACH, EPERM
			       ...) */
	UWG_EV_DOUBT,       /* `key` has answered nothing for as long as uwg_peer_spare() said */
	UWG_EV_RELAY,       /* datagrams for relay endpoints; uwg_relay_next() takes them out of
			       `data` */
	UWG_EV_DOWN,        /* the TUN is gone; the device has stopped working: `err` */
};

struct uwg_event {
	enum uwg_event_kind kind;
	struct wg_key key;
	struct ip_ep from;
	struct slice data; /* valid during the callback */
	int err;
};

struct uwg_peer_stats {
	ln_time last_handshake;      /* monotonic; 0 never */
	ln_wall last_handshake_wall; /* 0 never */
	ln_time last_received;       /* last authenticated packet, keepalives included */
	ln_time last_data_received;  /* last one with payload */
	uint64_t rx_bytes, tx_bytes; /* WireGuard messages, as `wg show` counts */
	struct ip_ep endpoint;       /* family 0 none */
	ln_time handshake_rtt;       /* of the last one we began; 0 unknown, always in the kernel */
	struct ip_ep handshake_to;
};

struct uwg;
typedef void uwg_event_fn(void *user, const struct uwg_event *ev);

/* Creates the TUN (down, without addresses) and the sockets and starts the thread.
 * -errno with the reason in words: no /dev/net/tun, name taken, no permission. */
LN_MUST_CHECK int uwg_new(struct ev_loop *l, const struct uwg_conf *conf, uwg_event_fn *on_event,
			  void *user, struct uwg **ret, struct ln_fail *f);
/* Joins the thread, removes the interface. No event comes afterwards. */
void uwg_free(struct uwg *u);

uint16_t uwg_port(const struct uwg *u); /* the port in use */
const char *uwg_ifname(const struct uwg *u);
unsigned uwg_ifindex(const struct uwg *u);

/* From the shared socket of the family of `to`. 0 or -errno. */
int uwg_send(struct uwg *u, const struct ip_ep *to, struct slice data);

/* Of a relay, or an address behind a TURN server (lib/ice/ice_via.h). */
static inline bool uwg_is_relay(const struct ip_ep *ep)
{
	return (ep->addr.family == 4 && ep->addr.b[0] == 127 && ep->addr.b[1] == 1) ||
	       ice_via_is(ep);
}

/* Puts a datagram behind the others of a batch: for the device. */
void uwg_relay_add(struct str *batch, const struct ip_ep *to, struct slice data);
/* The next datagram of a batch, removed from its front; false at the end. */
bool uwg_relay_next(struct slice *batch, struct ip_ep *ret_to, struct slice *ret_data);
/*
 * A datagram for WireGuard that came by another way than our sockets, as if from `from`. Copied;
 * those of one turn of the loop go to the thread together. Dropped when it is far behind.
 */
void uwg_inject(struct uwg *u, const struct ip_ep *from, struct slice data);

/* Adds or updates; a session in progress survives an update. */
void uwg_peer_set(struct uwg *u, const struct uwg_peer_conf *p);
void uwg_peer_remove(struct uwg *u, const struct wg_key *key);
/*
 * Sets (or with family 0 clears) the endpoint. Queued packets then leave. `initiate`: send a
 * handshake initiation now unless a session younger than 120 s exists. Sessions are kept.
 */
void uwg_peer_endpoint(struct uwg *u, const struct wg_key *key, const struct ip_ep *ep,
		       bool initiate);
/*
 * A second way: while `spare` is set, which is an address of a relay, every message leaves both
 * ways. `doubt_after` not 0: UWG_EV_DOUBT when packets were sent and for so long nothing was heard
 * from the endpoint itself. Family 0 and 0 end it, and so does uwg_peer_remove().
 */
void uwg_peer_spare(struct uwg *u, const struct wg_key *key, const struct ip_ep *spare,
		    ln_time doubt_after);
/* A consistent copy, at most 1 s old. LN_E_NOTFOUND. */
LN_MUST_CHECK int uwg_peer_stats(struct uwg *u, const struct wg_key *key,
				 struct uwg_peer_stats *ret);
