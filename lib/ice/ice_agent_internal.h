#pragma once
/*
 * The body of struct ice_agent, for its files only: ice_agent.c (life, candidates, reports),
 * ice_schedule.c (when which pair is checked; outputs), ice_input.c (what a datagram means),
 * ice_select.c (nomination, selection, the end), ice_alt.c (the other pairs of a connected agent).
 */
#include "lib/ice/ice_agent.h"
#include "lib/ice/ice_check.h"
#include "lib/ice/ice_pair.h"

#define ICE_NONE ((size_t)-1)
#define ICE_LOCAL_MAX 32
#define ICE_RESPONSES_MAX 16 /* answers not fetched yet; more means the owner does not poll */
#define ICE_EARLY_MAX 16     /* sources heard before the remote credentials (spec 3.11 no. 7) */
#define ICE_EARLY_LIFE (15 * LN_SEC)
#define ICE_TID_PREFIX 4

struct ice_response {
	struct ip_ep to;
	struct stun_tid tid;
	bool conflict;
	char peer_cid[ICE_CID_MAX + 1];
};

struct ice_early {
	struct ip_ep from;
	char ufrag[ICE_UFRAG_MAX + 1];
	char cid[ICE_CID_MAX + 1];
	bool nominate;
	ln_time at;
};

struct ice_agent {
	struct ice_agent_conf conf;
	struct ln_rng rng;
	bool controlling; /* conf's, until a role conflict turns it */
	uint64_t tie_breaker;
	uint8_t tid_prefix[ICE_TID_PREFIX];
	enum ice_state state;
	bool remote_known;
	struct ice_cred remote;
	ln_time started; /* of checking */
	ln_time fail_at;
	ln_time linger;    /* the interval; 0 it does not linger */
	ln_time linger_at; /* not before */

	struct ice_cand *local;
	size_t nlocal;
	struct ice_pair *pairs;
	size_t npairs;
	size_t cap_pairs;
	size_t selected;     /* index of a pair, or ICE_NONE */
	size_t nominee;      /* controlling: the pair being nominated */
	size_t wanted;       /* controlled: the pair of the newest numbered nomination */
	uint32_t nomination; /* its number, or of our last one */
	size_t compared;     /* with the selected pair; ICE_NONE */
	ln_time alt_at;      /* the next check of another pair; NEVER before a pair is selected */
	unsigned nalt;
	bool rest;      /* see ice_agent_rest() */
	bool postponed; /* the selected pair's check, for the sake of another pair */
	ln_time nominated_at;
	ln_time next_nomination; /* when the best pair's acceptance wait ends; NEVER */
	struct ice_budget budget;

	struct ice_early early[ICE_EARLY_MAX];
	size_t nearly;
	struct ice_response responses[ICE_RESPONSES_MAX];
	size_t first_response;
	size_t nresponses;
	bool tell_selected;
	bool tell_end;

	struct ice_report count; /* only the counters are kept here */
};

/* ice_agent.c */
bool ice_agent_in_overlay(const struct ice_agent *a, const struct ip_addr *addr);
size_t ice_agent_find_pair(const struct ice_agent *a, const struct ip_ep *addr);
/* The pair of a peer-reflexive address, made if needed; ICE_NONE when there is no room. */
size_t ice_agent_prflx_pair(struct ice_agent *a, ln_time now, const struct ip_ep *from,
			    const char *cid);
/*
 * The local candidate that speaks for us towards an address: the relayed one through the
 * allocation, else the first of the family, host before others. Null when there is none.
 */
const struct ice_cand *ice_agent_local_of(const struct ice_agent *a, const struct ip_ep *to);
/* Whether checks to this address make sense: we have the family, and it is not ourselves. */
bool ice_agent_reachable(const struct ice_agent *a, const struct ice_pair *p);
uint64_t ice_agent_pair_priority(const struct ice_agent *a, const struct ice_pair *p);
/* The local candidate the peer sees us by on this pair. */
void ice_agent_pair_info(const struct ice_agent *a, const struct ice_pair *p,
			 struct ice_pair_info *ret);

/* ice_input.c: a valid request from a peer whose credentials are known. */
void ice_input_note_request(struct ice_agent *a, ln_time now, const struct ip_ep *from,
			    const char *cid, bool nominate);

/* ice_schedule.c: when the selected pair has its next regular check after one at this time. */
ln_time ice_agent_slot_after(const struct ice_agent *a, ln_time at);
void ice_agent_rest_heard(struct ice_agent *a, ln_time now); /* the other side's, of one at rest */

/* ice_alt.c */
void ice_alt_start(struct ice_agent *a, ln_time now); /* a pair was selected */
void ice_alt_wake(struct ice_agent *a, ln_time now);  /* the agent rested, and no longer does */
/* The other side has checked another pair than the selected one. */
void ice_alt_heard(struct ice_agent *a, ln_time now);
/* Whether the selected pair's check makes way now for one of another pair, which is triggered. */
bool ice_alt_take(struct ice_agent *a, ln_time now);
void ice_alt_tick(struct ice_agent *a, ln_time now);
ln_time ice_alt_deadline(const struct ice_agent *a);
/* Controlling: a nominating check of a connected agent was answered. */
void ice_alt_answered(struct ice_agent *a, ln_time now, size_t i);
/* Controlled: a numbered nomination; only a greater number than before counts. */
void ice_alt_nominated(struct ice_agent *a, ln_time now, size_t i, uint32_t nomination);

/* ice_select.c */
void ice_select_pair(struct ice_agent *a, ln_time now, size_t i);
/* The controlled side: whether a nominated, succeeded pair replaces what is selected. */
void ice_select_consider(struct ice_agent *a, ln_time now, size_t i);
/* Nominates, and ends the negotiation when its time has come. Idempotent. */
void ice_select_tick(struct ice_agent *a, ln_time now);
ln_time ice_select_deadline(const struct ice_agent *a);
