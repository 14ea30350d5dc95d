#pragma once
/*
 * The connection to one remote peer: when to offer, what to answer, which ICE negotiation counts,
 * whether packets go directly or by the relay, when WireGuard gets which endpoint, when to sleep
 * (spec signal-and-connection 2 and 5).
 *
 * Pure core: verbs and inputs change it, peer_conn_poll() hands out one effect at a time (call it
 * until it says false after every verb and when peer_conn_deadline() has passed). It owns at most
 * one ice_agent, the current negotiation. The owner (engine or simulator) sends messages and
 * datagrams, programs WireGuard, gathers addresses and keeps one `struct peer_local` for all peers.
 * It also owns the connections to relays: this core says when to open one for this peer, and gives
 * WireGuard the fake address of conf.relay_ep while packets go that way.
 *
 * States: IDLE (closed: nothing is sent) -> CONNECTING (offers by the guard's schedule) ->
 * CONNECTED (a pair is selected, or the relay reaches the other side) -> CONNECTING (every way
 * lost) ...; lazy peers fall back to IDLE when no data came for `idle_after`, or when the other
 * side says GO_IDLE.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"
#include "lib/crypto/key.h"
#include "lib/ice/ice_agent.h"
#include "lib/ice/ice_cand.h"
#include "lib/ice/ice_mux.h"
#include "lib/signal/signal_msg.h"

#define PEER_LOCAL_HOSTS_MAX 24
#define PEER_LOCAL_SRFLX_MAX 8
#define PEER_BUF_MIN 1280      /* bytes poll wants */
#define PEER_RELAY_URL_MAX 255 /* longer addresses count as none */
#define PEER_LINNET_LEVEL 2    /* what our offers say about ourselves */
#define PEER_LEVEL_QUALITY 2   /* from here on: probes by the relay, numbered nominations */

enum peer_state {
	PEER_IDLE,
	PEER_CONNECTING,
	PEER_CONNECTED
};

const char *peer_state_name(enum peer_state s); /* "Idle" "Connecting" "Connected" */

enum peer_path { /* in rising priority */
	PEER_PATH_NONE,
	PEER_PATH_RELAY,
	PEER_PATH_DIRECT
};

/*
 * What is known about our own addresses; shared by all peers of a network, owned by the owner,
 * who changes it only between calls and then calls peer_conn_local_changed() on every peer.
 */
struct peer_local {
	struct ip_ep hosts[PEER_LOCAL_HOSTS_MAX]; /* address and WireGuard port */
	unsigned nhosts;
	struct ip_ep srflx[PEER_LOCAL_SRFLX_MAX]; /* what STUN servers saw, without doubles */
	unsigned nsrflx;
	struct ip_ep relayed; /* our address at a TURN server; family 0 none */
	uint16_t wg_port;
	/* For the reason sentence only. */
	unsigned stun_servers, stun_answered, stun_waiting;
	struct ip_ep stun_silent; /* a server that gave no answer; family 0 none */
	bool nat_per_destination; /* two servers of one family saw different ports of ours */
	bool udp_refused;         /* the host refuses to send (EPERM, ENETUNREACH) */
	bool signal_down;         /* no signal stream: nothing can be negotiated */
	/* Our home relay, while it is connected; else "". Changes are told by
	 * peer_conn_relay_home(). What is too long for PEER_RELAY_URL_MAX is left out by the owner.
	 */
	char relay_url[PEER_RELAY_URL_MAX + 1];
	struct ip_addr relay_ip; /* of that connection; family 0 unknown */
	bool relay_wanted;       /* management names relays (for the reason sentence) */
};

struct peer_conn_conf {
	struct wg_key own;
	struct wg_key remote;
	const struct peer_local *local; /* stays valid for the life of the connection */
	const char *version;            /* copied; goes into offers */
	bool lazy;                      /* start IDLE, sleep when quiet */
	struct ip_ep
		relay_ep; /* what WireGuard gets for the relay (spec 4.6); family 0: no relay */
	bool one_way;     /* WireGuard cannot send on two ways at once (the kernel's) */
	struct ip_prefix overlay[4]; /* never a path for checks (spec 4.5) */
	unsigned noverlay;
	ln_time wait_srflx, wait_prflx, wait_relay; /* acceptance waits; 0 = 80, 120, 2,000 ms */
	ln_time check_interval;                     /* 0 = the ICE core's default */
	ln_time disconnect_after, fail_after;       /* 0 = 6 s, 12 s */
	ln_time guard_first;    /* first interval of the guard after the early ones; 0 = 3 s */
	ln_time guard_reset;    /* first interval after a loss; 0 = 0.8 s */
	ln_time endpoint_delay; /* the non-controller waits for the handshake; 0 = 5 s */
	ln_time repeat_after;   /* candidates once more; 0 = 200 ms */
	ln_time idle_after;     /* lazy: no data for so long; 0 = 15 min */
	ln_time idle_check;     /* 0 = 60 s */
	ln_time watch_first;    /* WireGuard handshake due after the first path; 0 = 30 s */
	ln_time watch_period;   /* and again this long after each; 0 = 210 s */
	ln_time silent_after;   /* nothing heard directly: the relay carries; 0 = 2.8 s */
	unsigned max_early;     /* candidates kept before their offer; 0 = 64 */
	ln_time early_age;      /* 0 = 15 s */
};

struct peer_wg_stats {              /* the owner's answer to PEER_OUT_STATS */
	ln_time last_handshake;     /* 0 never */
	ln_time last_data_received; /* 0 never */
	uint64_t rx_bytes, tx_bytes;
};

enum peer_out_kind {
	PEER_OUT_SIGNAL,   /* seal out->body to the remote and send it; if out->token is not 0, call
			      peer_conn_sent() when the send has ended. body.payload lies in the
			      buffer */
	PEER_OUT_DATAGRAM, /* send out->data to out->to from the WireGuard port */
	PEER_OUT_ENDPOINT, /* out->to for WireGuard; see the fields below */
	PEER_OUT_SPARE,    /* out->to: every packet for this peer goes there as well, family 0: no
			      more; and out->doubt_after: call peer_conn_doubt() when packets were
			      sent and nothing was heard on the direct path for so long, 0: never */
	PEER_OUT_STATE,    /* state or the way changed: read peer_conn_info() */
	PEER_OUT_GATHER, /* fresh server-reflexive addresses are wanted: ask servers whose answer is
			    older than a second or so; after a loss the NAT may map anew */
	PEER_OUT_STATS,  /* call peer_conn_wg_stats() */
	PEER_OUT_RELAY_OPEN, /* reach the other side at out->relay_url; then peer_conn_relay_up() or
				peer_conn_relay_down() */
	PEER_OUT_RELAY_CLOSE, /* end that; no verb is called for it any more */
	PEER_OUT_RELAYED,     /* send out->data to the other side by the relay */
};

struct peer_out {
	enum peer_out_kind kind;
	struct signal_body body;
	uint64_t token;
	struct ip_ep to;
	struct slice data;
	/* ENDPOINT */
	bool initiate; /* send a handshake initiation now */
	bool reset;    /* forget session keys first (remove the WireGuard peer, add it again) */
	uint16_t keepalive;  /* persistent keepalive that goes with it: 25, or 0 without endpoint */
	ln_time doubt_after; /* SPARE */
	/* RELAY_OPEN */
	const char *relay_url;   /* valid until the next verb */
	struct ip_addr relay_ip; /* to be dialled first, when not our home; family 0 unknown */
};

struct peer_info { /* for status */
	enum peer_state state;
	ln_time since; /* of the state */
	enum peer_path path;
	bool relay_up;         /* also while the direct path is used */
	const char *relay_url; /* where; valid until the next verb; "" none */
	bool controller;
	struct ice_report ice; /* of the current or, without one, the last negotiation */
	unsigned offers_sent, offers_received, answers_received, negotiations;
	unsigned losses;       /* of every way at once */
	unsigned path_changes; /* between direct and relay, while connected */
	unsigned pair_changes; /* from one direct path to a better one */
	char version[64];      /* of the other side, from its last offer; "" unknown */
	char reason[240];      /* one sentence: how it is connected, or why not */
};

#define PEER_WAYS_MAX 8

struct peer_way {                  /* one way to the other side, as it was measured */
	enum peer_path path;       /* RELAY or DIRECT */
	struct ice_pair_info pair; /* DIRECT */
	struct ice_quality quality;
	bool used;
};

struct peer_conn;
struct peer_conn *peer_conn_new(const struct peer_conn_conf *conf, const struct ln_rng *rng,
				ln_time now);
void peer_conn_free(struct peer_conn *p);

/* IDLE -> CONNECTING: new credentials, first offer at once. Nothing when open. */
void peer_conn_open(struct peer_conn *p, ln_time now);
/* -> IDLE; say_idle: tells the other side (GO_IDLE). Clears the endpoint. */
void peer_conn_close(struct peer_conn *p, ln_time now, bool say_idle);
/* A packet for this peer waits (UWG_EV_WANTED). Opens a lazy peer. */
void peer_conn_wake(struct peer_conn *p, ln_time now);
/* false: opens it for good. true: it may sleep from now on. */
void peer_conn_set_lazy(struct peer_conn *p, ln_time now, bool lazy);

/* A message of the other side (opened box). Wakes an idle peer unless it is GO_IDLE. 0, or
 * LN_E_MALFORMED, LN_E_LIMIT, LN_E_UNSUPPORTED when it was ignored. */
int peer_conn_signal(struct peer_conn *p, ln_time now, const struct signal_body *m);
/* The send of the message with this token has ended; ok: the signal server took it. */
void peer_conn_sent(struct peer_conn *p, ln_time now, uint64_t token, bool ok);
/* A STUN datagram from the shared socket. 0 when it was ours, LN_E_NOTFOUND when not. */
int peer_conn_stun(struct peer_conn *p, ln_time now, const struct ip_ep *from, struct slice pkt);
/* *local changed: new candidates are sent. */
void peer_conn_local_changed(struct peer_conn *p, ln_time now);
/* Signal is back, or addresses changed: offer soon again (spec 5.4 "resets"). at_once: now. */
void peer_conn_reset_guard(struct peer_conn *p, ln_time now, bool at_once);
/* An offer that is due now, together with those of many other peers, waits `by` (spec 5.15). A
 * packet for this peer or a message from it ends the waiting. */
void peer_conn_pace(struct peer_conn *p, ln_time now, ln_time by);
/* The path in use cannot work any more (its address is gone): negotiate anew. */
void peer_conn_restart(struct peer_conn *p, ln_time now);
/* A person asks: the same, and an idle peer wakes. */
void peer_conn_reconnect(struct peer_conn *p, ln_time now);
/* local->relay_url changed: offers say so, and the other side's relay may be of use now. */
void peer_conn_relay_home(struct peer_conn *p, ln_time now);
/* The other side is online at the relay of the last RELAY_OPEN. */
void peer_conn_relay_up(struct peer_conn *p, ln_time now);
/* It is not, or not any more; why: words for the reason sentence, copied, may be null. */
void peer_conn_relay_down(struct peer_conn *p, ln_time now, const char *why);
/* Packets were sent on the direct path and nothing came back: see PEER_OUT_SPARE. */
void peer_conn_doubt(struct peer_conn *p, ln_time now);
/*
 * A packet has come by the relay. When the direct path is used and not new any more, the other side
 * doubts it or has left it: we ask the path ourselves and send both ways meanwhile, or ours is
 * covered by the relay until it is heard again. To be called before
 * peer_conn_relay_source(); true when there is something to poll.
 */
bool peer_conn_relayed(struct peer_conn *p, ln_time now);
/* What came by the relay was STUN (stun_is_message): a probe. 0, or why it was ignored. */
int peer_conn_relay_stun(struct peer_conn *p, ln_time now, struct slice pkt);
/*
 * The source address under which packets from the relay are shown to WireGuard. While the direct
 * path is used that is its address: else WireGuard would roam back to the relay (spec 4.7).
 * Family 0: drop them.
 */
struct ip_ep peer_conn_relay_source(const struct peer_conn *p);
/* WireGuard made a session with this peer. */
void peer_conn_handshake(struct peer_conn *p, ln_time now);
void peer_conn_wg_stats(struct peer_conn *p, ln_time now, const struct peer_wg_stats *s);

/* One effect at a time; false when there is none. buf: at least PEER_BUF_MIN bytes. */
bool peer_conn_poll(struct peer_conn *p, ln_time now, struct mslice buf, struct peer_out *out);
ln_time peer_conn_deadline(const struct peer_conn *p);

enum peer_state peer_conn_state(const struct peer_conn *p);
bool peer_conn_negotiating(const struct peer_conn *p); /* has an ICE agent */
/* Puts the datagrams that are ours into the table of the shared port. To be called before and after
 * each round of polls, and with "" and null (ice_mux_set) before the slot goes. */
void peer_conn_route(const struct peer_conn *p, struct ice_mux *m, struct ice_mux_slot *slot);
void peer_conn_info(const struct peer_conn *p, struct peer_info *ret);
/* The ways that are up, the selected pair first; their number. */
size_t peer_conn_ways(const struct peer_conn *p, struct peer_way dst[PEER_WAYS_MAX]);
