#pragma once
/*
 * One ICE negotiation with one remote peer: connectivity checks, nomination, keepalives, consent
 * (RFC 8445, and the habits of spec signal-and-connection 3). A full agent over one shared UDP
 * socket per family; all local candidates of a family are one base, pairs differ by remote address.
 * A local candidate of type relay is the other base: every remote IPv4 address gets a second pair
 * through it, under the name of ice_via.h.
 *
 * Pure core: the owner feeds datagrams, candidates and time and drains ice_agent_poll() after every
 * call and when ice_agent_deadline() has passed. Gathering is the owner's work (stun_query.h for
 * server-reflexive addresses); found local candidates are added here.
 *
 * States: NEW (no remote credentials) -> CHECKING -> CONNECTED (a pair is selected) ->
 * DISCONNECTED (silence) or FAILED (nothing answered in time). The last two are final: a new
 * negotiation is a new agent with the same credentials. But a failed one may go on slowly, see
 * ice_agent_linger().
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"
#include "lib/ice/ice_cand.h"
#include "lib/ice/ice_quality.h"

enum ice_state {
	ICE_NEW,
	ICE_CHECKING,
	ICE_CONNECTED,
	ICE_DISCONNECTED,
	ICE_FAILED
};

/* The checks of the last second. It goes over from one negotiation with a peer to the next. */
#define ICE_BUDGET 5 /* in any second, for all pairs together */

struct ice_budget {
	ln_time sent_at[ICE_BUDGET]; /* a ring */
	unsigned nsent;
};

struct ice_agent_conf {
	bool controlling;
	struct ice_cred local;
	ln_time check_interval;   /* 0 = 200 ms between checks of one pair; we back off to 500 ms */
	ln_time keepalive;        /* 0 = 2 s between checks of the selected pair */
	ln_time disconnect_after; /* 0 = 6 s of silence on the selected pair */
	ln_time fail_after;       /* 0 = 12 s of checking without a selected pair */
	ln_time wait_srflx;  /* 0 = 500 ms before a srflx pair may be nominated; host waits 0 */
	ln_time wait_prflx;  /* 0 = 1000 ms */
	ln_time wait_relay;  /* 0 = 2000 ms */
	unsigned max_remote; /* 0 = 64 remote candidates */
	struct ice_budget budget;
	bool renominate; /* the other side understands ice_agent_renominate() */
	/* Overlay networks: no check is sent there and none is accepted from there (spec 4.5). */
	struct ip_prefix overlay[4];
	unsigned noverlay;
};

enum ice_out_kind {
	ICE_OUT_DATAGRAM,     /* send out->data to out->to from the shared socket */
	ICE_OUT_SELECTED,     /* out->pair is usable; comes again when a better pair replaces it */
	ICE_OUT_DISCONNECTED, /* final; read ice_agent_report() for the reason */
	ICE_OUT_FAILED,       /* final; likewise */
};

struct ice_pair_info {
	struct ice_cand local;
	struct ice_cand remote;
	ln_time rtt; /* of the last answered check; 0 unknown */
};

struct ice_out {
	enum ice_out_kind kind;
	struct ip_ep to;
	struct slice data; /* inside the buffer given to poll */
	struct ice_pair_info pair;
};

/* What status needs to explain a pair that does not connect. Counters since the agent was made. */
struct ice_report {
	enum ice_state state;
	unsigned local_host, local_srflx, local_relay; /* candidates by type */
	unsigned remote_host, remote_srflx, remote_prflx, remote_relay;
	unsigned pairs, pairs_answered;
	unsigned checks_sent, checks_answered, checks_received,
		checks_refused; /* refused: bad MAC */
	bool lingers;           /* see ice_agent_linger() */
	bool remote_known;      /* remote credentials have arrived */
	bool selected;
	struct ice_pair_info pair; /* when selected: current, rtt refreshed by keepalives */
	unsigned keepalives_sent, keepalives_lost;
	struct ice_quality quality; /* of the selected pair */
	ln_time last_received;      /* any accepted message on the selected pair */
	ln_time asked_at;           /* the first unanswered check on it; 0 all are answered */
};

struct ice_way {
	struct ice_pair_info pair;
	struct ice_quality quality;
	bool selected;
};

struct ice_agent;
struct ice_agent *ice_agent_new(const struct ice_agent_conf *conf, const struct ln_rng *rng,
				ln_time now);
void ice_agent_free(struct ice_agent *a);

/*
 * LN_E_LIMIT, LN_E_CONFLICT (known already), LN_E_MALFORMED (an address nobody can send to),
 * LN_E_DENIED (inside an overlay), LN_E_STALE (a candidate of other credentials), LN_E_STATE
 * (set_remote with credentials that differ from those in use).
 */
int ice_agent_add_local(struct ice_agent *a, ln_time now, const struct ice_cand *c);
int ice_agent_set_remote(struct ice_agent *a, ln_time now, const struct ice_cred *remote);
int ice_agent_add_remote(struct ice_agent *a, ln_time now, const struct ice_cand *c);
/*
 * A STUN datagram that arrived on the shared socket. 0 when it was for this agent and accepted;
 * LN_E_NOTFOUND when it is somebody else's (other ufrag or transaction); LN_E_AUTH,
 * LN_E_MALFORMED, LN_E_STATE when it was ours but refused; LN_E_DENIED from an overlay address.
 */
int ice_agent_input(struct ice_agent *a, ln_time now, const struct ip_ep *from, struct slice pkt);
/* One output at a time; false when there is none. buf must hold 1,280 bytes. */
bool ice_agent_poll(struct ice_agent *a, ln_time now, struct mslice buf, struct ice_out *out);
ln_time ice_agent_deadline(const struct ice_agent *a);

/*
 * A failed agent goes back to CHECKING, with one check per `interval` on the whole, for as long as
 * it takes: by turns to every pair, at once to addresses that are new and to those that are heard
 * from. Of one that lingers already the interval is changed; nothing in other states.
 */
void ice_agent_linger(struct ice_agent *a, ln_time now, ln_time interval);
/* Something has changed: a lingering agent checks as fast as a new one, until it fails again. */
void ice_agent_hurry(struct ice_agent *a, ln_time now);
void ice_agent_budget(const struct ice_agent *a, struct ice_budget *ret);
bool ice_agent_lingers(const struct ice_agent *a);
/*
 * A connected agent gives every fifth check to other pairs that have answered, and now and then to
 * one that has not; with a pair to compare, every other one to that. Null ends it. LN_E_NOTFOUND.
 */
int ice_agent_compare(struct ice_agent *a, ln_time now, const struct ip_ep *remote);
/*
 * The controlling side, with conf.renominate: leaves the selected pair for this one, as soon as the
 * other side has confirmed it; both then have ICE_OUT_SELECTED. LN_E_STATE (another change is under
 * way, or we may not), LN_E_NOTFOUND (no such pair, or it has never answered).
 */
int ice_agent_renominate(struct ice_agent *a, ln_time now, const struct ip_ep *remote);
/* The selected pair, then the others that have answered; their number. 0 unless connected. */
size_t ice_agent_ways(const struct ice_agent *a, struct ice_way *dst, size_t max);
bool ice_agent_has_choice(const struct ice_agent *a); /* there is more than one */
/*
 * The selected pair is asked at once, if it may: of the regular checks the next one is taken, and
 * the one after it is not taken early. Nothing while an answer is awaited, or without a pair.
 */
void ice_agent_ask(struct ice_agent *a, ln_time now);
/*
 * Nothing is sent to the peer: a connected agent checks the selected pair every ICE_REST only, at
 * whole seconds, so that the checks of many agents leave together, and not at all while the other
 * side does. An unanswered check is repeated as ever, and silence counts from it. It ends with
 * false, with ice_agent_ask(), and with the pair. true does nothing while an answer is awaited or a
 * nomination is under way.
 */
#define ICE_REST (25 * LN_SEC)
void ice_agent_rest(struct ice_agent *a, ln_time now, bool rest);
bool ice_agent_rests(const struct ice_agent *a);

struct ice_pulse {           /* of the selected pair; all 0 without one */
	ln_time asked_at;    /* the first check without an answer; 0 all are answered */
	ln_time answered_at; /* the last answer to a check of ours */
	ln_time next_at;     /* the next check that is planned */
	ln_time rtt;         /* 0 unknown */
};

void ice_agent_pulse(const struct ice_agent *a, struct ice_pulse *ret);

enum ice_state ice_agent_state(const struct ice_agent *a);
void ice_agent_report(const struct ice_agent *a, struct ice_report *ret);

/* For ice_mux: what tells this agent's datagrams from others. The prefix stands at the front of
 * every transaction id of ours; it may be renewed before the first check is sent. */
struct slice ice_agent_ufrag(const struct ice_agent *a);
struct slice ice_agent_tid_prefix(const struct ice_agent *a);
void ice_agent_renew_tid_prefix(struct ice_agent *a);
