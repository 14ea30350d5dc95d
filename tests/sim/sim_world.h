#pragma once
/*
 * Agents as pure cores on a simulated network: each has the STUN queries, the connections
 * (lib/peer, lib/ice) and a stand-in for WireGuard that exchanges handshakes and pings. The signal
 * service is a stand-in too: it delays, reorders and loses sealed messages without telling.
 */
#include "lib/peer/peer_conn.h"
#include "lib/stun/stun_query.h"

#include "tests/sim/sim_nat.h"

#define SIM_AGENTS_MAX 50
#define SIM_WG_PORT 51820

struct sim_world;
struct sim_agent;

struct sim_signal {
	bool down;
	unsigned loss;  /* permille of messages the server took that arrive nowhere */
	unsigned twice; /* permille of messages that arrive again, up to 20 s later */
	ln_time delay_min, delay_max;
};

enum sim_relay_state {
	SIM_RELAY_NONE,
	SIM_RELAY_OPENING,
	SIM_RELAY_UP
};

struct sim_relay {
	bool used; /* agents get a home relay */
	bool down;
	unsigned loss; /* permille */
	ln_time delay_max;
};

struct sim_peer {
	struct sim_agent *agent; /* whose peer this is */
	struct sim_agent *remote;
	struct peer_conn *conn; /* null: does not know the remote */
	struct ice_mux_slot slot;
	bool touched;     /* had input since it was drained */
	ln_time deadline; /* of conn, when not touched */
	struct ip_ep endpoint, spare;
	ln_time doubt_after;    /* as told by conn; 0 never */
	struct sim_event doubt; /* something was sent, nothing came back so far */
	bool initiator;
	struct sim_event handshake; /* initiation, its repetition, rekey */
	ln_time last_handshake;
	enum peer_state state;
	ln_time connected_at; /* the first time; 0 never */
	unsigned connects;
	unsigned pings; /* received */
	uint64_t rx_bytes, tx_bytes;
	enum sim_relay_state relay;
	unsigned relay_round;      /* counts openings */
	struct ice_pair_info pair; /* last selected */
	/* Checks sent to this peer, by second of virtual time. */
	ln_time second;
	unsigned in_second, busiest_second;
	uint64_t checks;
};

struct sim_agent {
	struct sim_world *world;
	size_t index;
	struct sim_host host;
	uint16_t port;
	struct wg_key key;
	struct stun_query *query;
	struct ice_mux *mux;
	struct peer_local local;
	struct sim_event timer;
	bool asleep; /* the machine: nothing is received, no timer runs */
	struct sim_peer peers[SIM_AGENTS_MAX];
};

struct sim_world {
	struct sim_clock clock;
	struct sim_rng rng;
	struct sim_net net;
	struct sim_signal signal;
	struct sim_relay relay;
	struct sim_host stun[2];
	bool stun_down;
	bool apart;      /* no packet of one agent reaches another directly */
	bool wg_blocked; /* WireGuard's packets are lost, checks are not */
	bool closing;
	struct ip_prefix overlay[1];
	unsigned noverlay;
	struct sim_agent *agents[SIM_AGENTS_MAX];
	size_t nagents;
	struct sim_nat *nats[2 * SIM_AGENTS_MAX]; /* made by sim_world_nat; freed with the world */
	size_t nnats;
};

void sim_world_init(struct sim_world *w, uint64_t seed);
void sim_world_fini(struct sim_world *w);
/* A NAT on the given outer segment with the address. */
struct sim_nat *sim_world_nat(struct sim_world *w, enum sim_nat_kind kind, const char *addr,
			      struct sim_segment *outside);
/* An agent whose host stands on the segment; more addresses by sim_host_attach(). */
struct sim_agent *sim_world_agent(struct sim_world *w, struct sim_segment *s, const char *addr);
/* A host of its own behind a NAT of the kind, all addresses made from n. */
struct sim_agent *sim_world_behind(struct sim_world *w, enum sim_nat_kind kind, unsigned n);
/* Both learn of each other; agents gather at their first introduction. */
void sim_world_introduce(struct sim_agent *a, struct sim_agent *b);
/* The relay comes or goes; agents notice soon. */
void sim_relay_set(struct sim_world *w, bool up);
void sim_world_run(struct sim_world *w, ln_time for_how_long);
/* Runs until both ends are connected or the time is over; true when connected. */
bool sim_world_connect(struct sim_agent *a, struct sim_agent *b, ln_time limit);
bool sim_world_connected(const struct sim_agent *a, const struct sim_agent *b);
/* Sends a few packets each way over the endpoints in use; true when one came through each way. */
bool sim_world_ping(struct sim_agent *a, struct sim_agent *b);
