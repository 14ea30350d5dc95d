#pragma once
/*
 * The inside of a peer connection, for the files of lib/peer only: peer_conn.c (life and outputs),
 * peer_nego.c (offers, answers, candidates, the ICE agent), peer_guard.c (when to offer),
 * peer_reason.c (sentences for people).
 */
#include "lib/peer/peer_conn.h"

#define PEER_CANDS_MAX (PEER_LOCAL_HOSTS_MAX + PEER_LOCAL_SRFLX_MAX)
#define PEER_CANDS_STEP 4
#define PEER_EARLY_PACKETS 4
#define PEER_EARLY_PACKET_MAX 320

struct peer_cand { /* a local candidate of this opening */
	struct ice_cand c;
	ln_time sent_at; /* 0 never in this session */
	bool due;        /* to be sent as soon as it may be */
	bool gone;       /* the address has disappeared */
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
	ln_time guard_interval;
	ln_time guard_cap;
	unsigned guard_early; /* early intervals used */
	bool guard_paced;     /* guard_at was put off */

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
	bool confirmed; /* the other side has shown that it knows our credentials */
	ln_time nego_at;
	struct ip_ep path; /* selected remote address; family 0 none */
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
	ln_time watch_at;
	ln_time watch_baseline;
	bool path_lost;  /* a path was in use and none is now */
	bool watch_lost; /* the handshake watcher gave the path up (for the sentence) */
	ln_time idle_at;

	bool want_state, want_gather, want_stats;
	bool stats_for_watch, stats_for_idle;

	unsigned offers_sent, offers_received, answers_received, negotiations, losses;
	unsigned unanswered; /* offers sent since anything came */
	char remote_version[64];
};

/* peer_conn.c */
void peer_conn_set_state(struct peer_conn *p, ln_time now, enum peer_state s);
void peer_conn_endpoint_set(struct peer_conn *p, const struct ip_ep *ep, bool initiate);
void peer_conn_endpoint_clear(struct peer_conn *p, bool reset);

/* peer_guard.c */
void peer_guard_start(struct peer_conn *p, ln_time now);
/* The next tick is not before `after` from now; budget as after a loss. */
void peer_guard_reset(struct peer_conn *p, ln_time now, ln_time after);
/* Ends what peer_conn_pace() began. */
void peer_guard_hurry(struct peer_conn *p, ln_time now);
void peer_guard_run(struct peer_conn *p, ln_time now);

/* peer_nego.c */
void peer_nego_open(struct peer_conn *p, ln_time now);
void peer_nego_fini(struct peer_conn *p);
void peer_nego_sync_cands(struct peer_conn *p, ln_time now);
/* Ends the current negotiation; `lost`: a path was in use and is given up. */
void peer_nego_end(struct peer_conn *p, ln_time now, bool lost);
int peer_nego_offer(struct peer_conn *p, ln_time now, const struct signal_body *m, bool answer);
int peer_nego_candidate(struct peer_conn *p, ln_time now, struct slice text);
void peer_nego_announced(struct peer_conn *p, ln_time now);
void peer_nego_selected(struct peer_conn *p, ln_time now, const struct ice_pair_info *pair);
void peer_nego_run(struct peer_conn *p, ln_time now); /* the timer for repeated candidates */
/* The next candidate to send, marked as sent; null when there is none. */
const struct ice_cand *peer_nego_next_cand(struct peer_conn *p, ln_time now);

/* peer_reason.c */
void peer_reason_write(const struct peer_conn *p, char *dst, size_t size);
