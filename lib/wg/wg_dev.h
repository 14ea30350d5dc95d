#pragma once
/*
 * A whole WireGuard device as a pure core: peers, sessions, timers, queues. Bytes and time in,
 * bytes and events out; the owner has the sockets, the interface and the clock.
 *
 *	wg_dev_open   datagrams in, inner packets out     (a batch, in place)
 *	wg_dev_seal   inner packets in, datagrams out     (a batch, in place)
 *	wg_dev_poll   handshakes, keepalives, packets that waited for a session, and events
 *
 * After every call but the plain look-ups, and when wg_dev_deadline() has passed, wg_dev_poll() is
 * called until it returns false. Not thread-safe; one owner.
 */
#include "lib/base/ip.h"
#include "lib/base/rng.h"
#include "lib/base/time.h"
#include "lib/crypto/aead.h"
#include "lib/crypto/key.h"
#include "lib/wg/wg_ecn.h"
#include "lib/wg/wg_timers.h"

struct wg_dev;

/* Every limit; wg_dev_conf_default() fills all but the key. */
struct wg_dev_conf {
	const struct wg_secret *secret; /* copied */
	size_t mtu;                     /* of the inner packets */
	size_t max_peers;               /* 100,000 */
	size_t max_prefixes;            /* allowed IPs of one peer, 10,000 */
	size_t staged_per_peer;         /* packets waiting for a session, 128; the oldest goes */
	size_t staged_bytes;            /* of all peers together, 16 MiB */
	unsigned handshakes_per_second; /* above it the device asks for cookies, 1,000 */
	const struct wg_timers_conf *timers;
	const struct aead_ops *aead;
};

void wg_dev_conf_default(struct wg_dev_conf *c);

/* rng must outlive the device. */
struct wg_dev *wg_dev_new(const struct wg_dev_conf *c, const struct ln_rng *rng);
void wg_dev_free(struct wg_dev *d);
/* Wall time of `now`, for the timestamps in initiations. Before the first use, then now and then.
 */
void wg_dev_set_wall(struct wg_dev *d, ln_time now, ln_wall wall);
const struct wg_key *wg_dev_key(const struct wg_dev *d);

/* --- peers ------------------------------------------------------------------------------------ */

struct wg_peer_conf {
	struct wg_key key;
	struct wg_secret psk; /* all zero = none */
	const struct ip_prefix
		*allowed; /* replaces the list; a prefix of another peer moves here */
	size_t nallowed;
	uint16_t keepalive; /* seconds; 0 off */
};

/*
 * Adds or changes; a session in progress survives. LN_E_LIMIT, LN_E_MALFORMED (a prefix),
 * LN_E_AUTH (a key of low order), LN_E_CONFLICT (our own key): nothing has changed then.
 */
LN_MUST_CHECK int wg_dev_set_peer(struct wg_dev *d, ln_time now, const struct wg_peer_conf *c);
/* LN_E_NOTFOUND. */
int wg_dev_remove_peer(struct wg_dev *d, const struct wg_key *key);
/*
 * Sets or (family 0) clears the endpoint; sessions are kept, queued packets leave or cause a
 * handshake. `initiate`: begin a handshake unless a session younger than Rekey-After-Time exists.
 * An initiation under way to the same endpoint is not repeated. LN_E_NOTFOUND.
 */
int wg_dev_set_endpoint(struct wg_dev *d, ln_time now, const struct wg_key *key,
			const struct ip_ep *ep, bool initiate);

/*
 * A second way to the peer, beside its endpoint: while `spare` is set, every message goes both ways
 * and the receiver's replay window drops what comes twice. `doubt_after` not 0: WG_OUT_DOUBT when
 * packets were sent to the endpoint and for so long nothing at all was heard from there. Both end
 * when they are set to nothing (family 0, 0) or the peer goes. LN_E_NOTFOUND.
 */
int wg_dev_set_spare(struct wg_dev *d, const struct wg_key *key, const struct ip_ep *spare,
		     ln_time doubt_after);

struct wg_peer_stats {
	ln_time last_handshake; /* 0 never */
	ln_wall last_handshake_wall;
	ln_time last_received;       /* any authenticated message */
	ln_time last_data_received;  /* with content */
	uint64_t rx_bytes, tx_bytes; /* messages as on the wire, without UDP and IP */
	struct ip_ep endpoint;       /* family 0 none */
	/* Of the last handshake that we began: until its response, and where it went. 0 none. */
	ln_time handshake_rtt;
	struct ip_ep handshake_to;
};

/* LN_E_NOTFOUND. */
LN_MUST_CHECK int wg_dev_stats(const struct wg_dev *d, const struct wg_key *key,
			       struct wg_peer_stats *ret);
/* Next peer whose statistics changed since it was last returned here; false when none is left. */
bool wg_dev_next_changed(struct wg_dev *d, struct wg_key *ret_key, struct wg_peer_stats *ret);
size_t wg_dev_npeers(const struct wg_dev *d);

/* --- packets ---------------------------------------------------------------------------------- */

/* A datagram; the message is opened where it stands. */
struct wg_rx {
	struct mslice msg;
	const struct ip_ep *from;
	enum wg_ecn ecn;    /* of the datagram's IP header */
	bool indirect;      /* it came another way than `from` says */
	struct slice inner; /* out: the packet to deliver, inside msg; n == 0: nothing */
};

void wg_dev_open(struct wg_dev *d, ln_time now, struct wg_rx *v, size_t n);

/*
 * The path to an endpoint carries outer IP packets of at most `mtu` bytes: for some minutes, or
 * until the peer is elsewhere, packets that do not fit are refused, or their senders clamped.
 */
void wg_dev_path_mtu(struct wg_dev *d, ln_time now, const struct ip_ep *to, size_t mtu);

/*
 * An inner packet of `inner` bytes standing at msg + WG_MSG_DATA_HEADER_LEN; behind it there is
 * room for WG_MSG_PAD + AEAD_TAG_LEN bytes.
 */
struct wg_tx {
	uint8_t *msg;
	size_t inner;
	size_t len;               /* out: bytes of the message to send; 0: queued or dropped */
	const struct ip_ep *to;   /* out: valid until the next call */
	const struct ip_ep *also; /* out: a copy goes there; null: none; valid likewise */
	enum wg_ecn ecn;          /* out: for the datagram's IP header */
	int err;                  /* out: 0, LN_E_AGAIN (queued), LN_E_NOTFOUND (no peer),
				     LN_E_MALFORMED, LN_E_LIMIT (too big for the path) */
	size_t mtu;               /* out: with LN_E_LIMIT, what would not have been */
};

void wg_dev_seal(struct wg_dev *d, ln_time now, struct wg_tx *v, size_t n);

enum wg_out_kind {
	WG_OUT_DATAGRAM,  /* `len` bytes in the buffer, to `ep` */
	WG_OUT_WANTED,    /* packets wait for `key`, which has no endpoint; at most once a second */
	WG_OUT_HANDSHAKE, /* a session with `key` is usable on both sides */
	WG_OUT_ROAMED,    /* an authenticated message of `key` came from `ep`; it is used now */
	WG_OUT_DOUBT,     /* `key` does not answer; see wg_dev_set_spare() */
};

struct wg_out {
	enum wg_out_kind kind;
	struct wg_key key; /* all zero for a cookie reply */
	struct ip_ep ep;
	struct ip_ep also; /* a copy of the datagram goes there; family 0 none */
	size_t len;
	enum wg_ecn ecn; /* for the datagram's IP header */
	bool handshake;  /* the datagram is an initiation or a response */
};

/* Room that wg_dev_poll() needs for any datagram: the largest staged packet and its overhead. */
#define WG_DEV_POLL_ROOM (65535 + 64)

bool wg_dev_poll(struct wg_dev *d, ln_time now, struct mslice buf, struct wg_out *ret);
/* May be early, never late. LN_TIME_NEVER when idle; in the past while poll has more to say. */
ln_time wg_dev_deadline(const struct wg_dev *d);

/* What was thrown away, for status and metrics. */
struct wg_dev_drops {
	uint64_t malformed;  /* no WireGuard message */
	uint64_t bad_mac;    /* handshake for another key */
	uint64_t bad_auth;   /* did not verify, or no such peer */
	uint64_t limited;    /* handshakes refused under load */
	uint64_t no_session; /* unknown index, or expired keys */
	uint64_t replayed;
	uint64_t bad_source; /* inner source address not allowed, or no IP packet */
	uint64_t no_peer;    /* no peer for the destination */
	uint64_t too_big;    /* for the path to their peer */
	uint64_t congested;  /* marked on the way, and not able to say so to its receiver */
	uint64_t queue_full;
	uint64_t cookies_sent;
};

const struct wg_dev_drops *wg_dev_drops(const struct wg_dev *d);
