#pragma once
/*
 * The inside of a peer connection, for the files of lib/peer only: peer_conn.c (life and inputs),
 * peer_out.c (outputs), peer_nego.c (offers, answers, candidates, the ICE agent), peer_guard.c
 * (when to offer), peer_relay.c (the way by the relay), peer_data.c (whether packets pass),
 * peer_doubt.c (packets on both ways), peer_linger.c (failed negotiations), peer_quality.c (which
 * way is better), peer_probe.c (how good the relay is), peer_reason.c (sentences for people).
 */
#include "lib/peer/peer_conn.h"
#include "lib/peer/peer_quality.h"

#define PEER_CANDS_MAX (PEER_LOCAL_HOSTS_MAX + PEER_LOCAL_SRFLX_MAX + 1) /* one relayed */
#define PEER_CANDS_STEP 4
#define PEER_EARLY_PACKETS 4
#define PEER_GUARD_TRIES 3 /* direct attempts while relayed, then the long interval */
#define PEER_EARLY_PACKET_MAX 320
#define PEER_CHANGES 3 /* in a minute, before the next one back to the direct path waits */
#define PEER_SESSION_LIFE (180 * LN_SEC) /* WireGuard's Reject-After-Time */

struct peer_cand { /* a local candidate of this opening */
	struct ice_cand c;
	ln_time sent_at; /* 0 never in this session */
	bool due;        /* to be sent as soon as it may be */
	bool gone;       /* the address has disappeared */
	bool seen;       /* it was there before the last change */
};

struct peer_early_cand {
	struct ice_cand c;
	ln_time at;
};

struct peer_early_packet {
	struct ip_ep from;
	ln_time at;
	size_t n;
	uint8_t b[PEER_EARLY_PACKET_MAX];
};

enum peer_relay_state {
	PEER_RELAY_OFF,
	PEER_RELAY_OPENING,
	PEER_RELAY_UP
};

struct peer_relay {
	enum peer_relay_state state;
	ln_time since;
	bool want_open, want_close;
	char url[PEER_RELAY_URL_MAX + 1]; /* where we reach, or try to reach, the other side */
	char remote_url[PEER_RELAY_URL_MAX + 1]; /* its home, by its last offer; "" none */
	struct ip_addr remote_ip;
	char why[96]; /* the last attempt failed; "" it did not */
	/* The controller, when the other side does not come to its home (failover). */
	bool away;          /* we meet at the other side's home, and our offers say so */
	ln_time away_until; /* not back before, while it works there */
	ln_time wait_at;    /* the opening has taken so long that another place is tried */
	ln_time heard_at;   /* the other side's last offer or answer */
	unsigned moves;     /* since it last worked anywhere */
	/* The direct path is silent and the relay carries instead. */
	bool covers;
	bool chosen;          /* ... or it is the better one, and the direct path stays as it is */
	ln_time covers_until; /* at least; grows when it happens often */
	ln_time covered_at;
	unsigned covered;              /* times in the last minutes */
	ln_time look_at;               /* whether the direct path is silent, or heard again */
	ln_time changed[PEER_CHANGES]; /* the last changes between the ways, a ring */
	unsigned nchanged;
};

struct peer_data { /* whether packets pass on the direct path */
	ln_time look_at;
	bool known; /* the counters below are of this path */
	uint64_t tx, rx;
	unsigned stalls;
	unsigned quiet;        /* looks in a row without traffic */
	ln_time refused_until; /* no direct path before; 0 */
	ln_time refuse_for;    /* the last time */
};

struct peer_doubt {                    /* packets on both ways; see peer_doubt.c */
	bool both;                     /* as the owner was told */
	ln_time after;                 /* likewise */
	bool want;                     /* or will be told soon */
	ln_time hinted_at;             /* a packet by the relay made us ask the path; 0 */
	ln_time hints_since, hints_at; /* such packets come; 0 they do not */
	ln_time look_at;
};

struct peer_conn {
	struct peer_conn_conf conf; /* defaults filled in; version points to `version` below */
	char version[64];
	const struct ln_rng *rng;
	bool controller;
	bool lazy;

	enum peer_state state;
	ln_time since;
	ln_time opened_at;
	ln_time heard_at; /* data or a message of the other side, for the sleep timer */

	/* guard */
	ln_time guard_at;
	ln_time guard_offered; /* its last offer; 0 none */
	ln_time guard_interval;
	ln_time guard_cap;
	unsigned guard_early; /* early intervals used */
	bool guard_paced;     /* guard_at was put off */
	unsigned guard_tries; /* direct attempts while relayed, since the last reset */
	ln_time relayed_at;   /* since when the relay is the only way; 0 it is not */
	ln_time retried_at;   /* an address of ours brought the last retry */

	/* signalling */
	bool want_offer, want_answer, want_go_idle;
	uint64_t token_next, token_inflight; /* inflight 0: nothing is being sent */
	bool announced;    /* an offer or answer of this session was taken by the server */
	bool offer_failed; /* the last one was not */
	ln_time repeat_at;
	unsigned repeats;        /* of the candidates, since the last announcement */
	struct peer_cand *cands; /* of this opening; null when idle, most peers are */
	unsigned ncands, cap_cands;

	/* negotiation */
	struct ice_cred cred; /* one pair per opening (spec 2.2) */
	uint8_t session[SIGNAL_SESSION_LEN];
	struct ice_agent *ice;
	struct ice_cred remote_cred;
	bool has_remote_session;
	uint8_t remote_session[SIGNAL_SESSION_LEN];
	bool remote_without_ice;
	bool confirmed;           /* the other side has shown that it knows our credentials */
	struct ice_budget budget; /* of the last negotiation */
	ln_time nego_at;
	struct ip_ep path; /* selected remote address; family 0 none */
	ln_time selected_at;
	struct ice_report report;
	bool report_valid;
	struct peer_early_cand *early; /* conf.max_early entries, or null */
	unsigned nearly;
	struct peer_early_packet *early_packets; /* PEER_EARLY_PACKETS, or null */
	unsigned nearly_packets;

	/* WireGuard */
	bool ep_clear, ep_reset; /* a clearing is due, before ... */
	bool ep_set, ep_initiate;
	struct ip_ep ep;
	bool ep_programmed;
	ln_time ep_fallback_at; /* the non-controller's own setting */
	ln_time handshake_at;   /* last session made */
	ln_time session_at;     /* the same, 0 when its keys were forgotten */
	ln_time watch_at;
	ln_time watch_baseline;
	bool path_lost;  /* a path was in use and none is now */
	bool watch_lost; /* the handshake watcher gave the path up (for the sentence) */
	ln_time idle_at;

	bool want_state, want_gather, want_stats;
	bool stats_for_watch, stats_for_idle, stats_for_look;

	struct peer_relay relay;
	struct peer_data data;
	struct peer_doubt doubt;
	struct peer_quality quality;

	unsigned offers_sent, offers_received, answers_received, negotiations, losses;
	unsigned path_changes;
	uint32_t remote_level; /* 0: an unmodified agent */
	unsigned unanswered;   /* offers sent since anything came */
	char remote_version[64];
};

/* peer_conn.c */
void peer_conn_set_state(struct peer_conn *p, ln_time now, enum peer_state s);
void peer_conn_endpoint_set(struct peer_conn *p, const struct ip_ep *ep, bool initiate);
void peer_conn_endpoint_clear(struct peer_conn *p, bool reset);
/* WireGuard's handshakes are watched from now on; a path has just become usable. */
void peer_conn_watch(struct peer_conn *p, ln_time now, ln_time path_since);
/* No way is left: WireGuard forgets the sessions, state CONNECTING. */
void peer_conn_no_path(struct peer_conn *p, ln_time now, bool restarted);
/* The direct path has ended by silence, or the negotiation in vain. */
void peer_conn_path_dead(struct peer_conn *p, ln_time now);
/* WireGuard has keys that still count. */
bool peer_conn_has_session(const struct peer_conn *p, ln_time now);
bool peer_conn_is_direct(const struct peer_conn *p); /* a pair is selected */

/* peer_guard.c */
void peer_guard_start(struct peer_conn *p, ln_time now);
/* The next tick is not before `after` from now; budget as after a loss. */
void peer_guard_reset(struct peer_conn *p, ln_time now, ln_time after);
/* Ends what peer_conn_pace() began. */
void peer_guard_hurry(struct peer_conn *p, ln_time now);
/* A packet waits: the next offer is not further from the last one than the ordinary cap. */
void peer_guard_wanted(struct peer_conn *p, ln_time now);
/* A direct attempt has failed while the relay carries. */
void peer_guard_failed(struct peer_conn *p, ln_time now);
void peer_guard_run(struct peer_conn *p, ln_time now);

/* peer_nego.c */
void peer_nego_open(struct peer_conn *p, ln_time now);
void peer_nego_fini(struct peer_conn *p);
/* True when there are addresses that were not known. */
bool peer_nego_sync_cands(struct peer_conn *p, ln_time now);
/* Ends the current negotiation, and with it the direct path. restarted: the other side is a new
 * process and knows no session of ours. */
void peer_nego_end(struct peer_conn *p, ln_time now, bool restarted);
int peer_nego_offer(struct peer_conn *p, ln_time now, const struct signal_body *m, bool answer);
int peer_nego_candidate(struct peer_conn *p, ln_time now, struct slice text);
void peer_nego_announced(struct peer_conn *p, ln_time now);
void peer_nego_selected(struct peer_conn *p, ln_time now, const struct ice_pair_info *pair);
void peer_nego_run(struct peer_conn *p, ln_time now); /* the timer for repeated candidates */
/* The next candidate to send, marked as sent; null when there is none. */
const struct ice_cand *peer_nego_next_cand(struct peer_conn *p, ln_time now);

/* peer_relay.c */
enum peer_path peer_relay_path(const struct peer_conn *p);   /* the way in use */
struct ip_ep peer_relay_endpoint(const struct peer_conn *p); /* and its address; family 0 none */
bool peer_relay_usable(const struct peer_conn *p);           /* by both sides' words */
/* What our offers and answers name; false: nothing. */
bool peer_relay_named(const struct peer_conn *p, const char **ret_url, struct ip_addr *ret_ip);
ln_time peer_relay_deadline(const struct peer_conn *p);
void peer_relay_heard(struct peer_conn *p, ln_time now, const struct signal_body *m);
void peer_relay_close(struct peer_conn *p); /* the connection is closed */
/* Gives the relay connection up, whether it carries or not. */
void peer_relay_end(struct peer_conn *p, ln_time now);
/* The direct path has ended; true when the relay carries on. */
bool peer_relay_take_over(struct peer_conn *p, ln_time now, bool restarted);
void peer_relay_selected(struct peer_conn *p, ln_time now); /* a pair has just been selected */
void peer_relay_run(struct peer_conn *p, ln_time now);
/* The relay carries although the direct path works, until the second call. Both must be up. */
void peer_relay_choose(struct peer_conn *p, ln_time now);
void peer_relay_unchoose(struct peer_conn *p, ln_time now);
/* There were few enough changes lately that there may be one that is not needed. */
bool peer_relay_calm(const struct peer_conn *p, ln_time now);

/* peer_data.c */
void peer_data_run(struct peer_conn *p, ln_time now);
/* Checks pass and packets do not: the relay carries for a while. It must be up. */
void peer_data_refuse_direct(struct peer_conn *p, ln_time now);
bool peer_data_refuses_direct(const struct peer_conn *p, ln_time now);

/* peer_linger.c */
/* A negotiation has failed; true when it goes on slowly, as the relay carries and the other side
 * is one of ours. */
bool peer_linger_begin(struct peer_conn *p, ln_time now);
void peer_linger_run(struct peer_conn *p, ln_time now);

/* peer_doubt.c */
void peer_doubt_run(struct peer_conn *p, ln_time now);

/* A packet came by the relay while the direct path is in use. */
enum peer_doubt_verdict {
	PEER_DOUBT_BEGUN, /* the path is being asked, packets go both ways */
	PEER_DOUBT_WAIT,  /* this is going on */
	PEER_DOUBT_LEAVE  /* the other side has left the path */
};
enum peer_doubt_verdict peer_doubt_hint(struct peer_conn *p, ln_time now);
void peer_doubt_ask(struct peer_conn *p, ln_time now); /* the direct path, which there is */
bool peer_doubt_take(struct peer_conn *p, struct peer_out *out);
/* WireGuard has lost what it was told. */
void peer_doubt_forget(struct peer_conn *p);

/* peer_quality.c */
void peer_quality_reset(struct peer_conn *p);
void peer_quality_run(struct peer_conn *p, ln_time now);
ln_time peer_quality_deadline(const struct peer_conn *p);
/* The controller's word, by a probe: whether the relay is to carry. */
void peer_quality_told(struct peer_conn *p, ln_time now, uint32_t number, bool by_relay);
void peer_quality_pair_changed(struct peer_conn *p, ln_time now);

/* peer_probe.c */
void peer_probe_run(struct peer_conn *p, ln_time now);
void peer_probe_hurry(struct peer_conn *p, ln_time now); /* the next one now */
/* The next one 5 s after the last; true when that is earlier than planned. */
bool peer_probe_sooner(struct peer_conn *p, ln_time now);
/* A packet came by the relay; true when there is something to poll. */
bool peer_probe_packet(struct peer_conn *p, ln_time now);
/* WireGuard's bytes in both directions, at every look at its counters. */
void peer_probe_traffic(struct peer_conn *p, ln_time now, uint64_t bytes);
bool peer_probe_take(struct peer_conn *p, ln_time now, struct mslice buf, struct peer_out *out);

/* peer_reason.c */
void peer_reason_write(const struct peer_conn *p, char *dst, size_t size);
