#pragma once
/*
 * Server-reflexive addresses: Binding requests to a list of STUN servers from the shared socket,
 * with retransmission, answers cached for 25 s and shared by all negotiations
 * (spec signal-and-connection 3.3; RFC 8489 6.2.1). Pure core; same contract as ice_agent.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"

#define STUN_QUERY_SERVERS_MAX 16

enum stun_query_state {
	STUN_QUERY_IDLE,
	STUN_QUERY_WAITING,
	STUN_QUERY_ANSWERED,
	STUN_QUERY_FAILED
};

struct stun_query_server {
	struct ip_ep addr;
	enum stun_query_state state;
	struct ip_ep mapped; /* when ANSWERED */
	ln_time answered_at;
	ln_time rtt;
};

struct stun_query;
struct stun_query *stun_query_new(const struct ln_rng *rng);
void stun_query_free(struct stun_query *q);
/* Replaces the list (resolved addresses). Answers of servers that stay are kept. */
void stun_query_set_servers(struct stun_query *q, const struct ip_ep *servers, size_t n);
/*
 * Asks every server whose answer is older than max_age (0 = 25 s) and that is not being asked. One
 * that fails is asked again by itself, after 5 s and then ever later, a minute at most: what kept
 * its answers away may end without any other sign.
 */
void stun_query_start(struct stun_query *q, ln_time now, ln_time max_age);
/* 0 when the datagram answered one of our requests, LN_E_NOTFOUND otherwise. */
int stun_query_input(struct stun_query *q, ln_time now, const struct ip_ep *from, struct slice pkt);

struct stun_query_out {
	enum {
		STUN_QUERY_SEND,
		STUN_QUERY_MAPPED,
		STUN_QUERY_GAVE_UP
	} kind;
	struct ip_ep server;
	struct slice data;   /* SEND */
	struct ip_ep mapped; /* MAPPED: sent for every answer, also an unchanged one */
};

bool stun_query_poll(struct stun_query *q, ln_time now, struct mslice buf,
		     struct stun_query_out *out);
ln_time stun_query_deadline(const struct stun_query *q);
size_t stun_query_list(const struct stun_query *q, const struct stun_query_server **ret);
