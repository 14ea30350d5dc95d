#pragma once
/* One simulated agent: what the engine is in the real program. Used by sim_world.c only. */
#include "tests/sim/sim_world.h"

struct sim_agent *sim_agent_new(struct sim_world *w, size_t index);
/* Frees its cores and takes its timers off; the struct stays until nothing is in flight. */
void sim_agent_stop(struct sim_agent *a);
void sim_agent_add_peer(struct sim_agent *a, struct sim_agent *remote);
void sim_agent_ping(struct sim_peer *p);
/* The signal service is back. */
void sim_agent_signal_back(struct sim_agent *a);
/* The host leaves its network for another: one new address, no old one. */
void sim_agent_move(struct sim_agent *a, struct sim_segment *s, const char *addr);
void sim_agent_sleep(struct sim_agent *a);
void sim_agent_wake(struct sim_agent *a);
/* A packet of the peer has come by the relay. */
void sim_agent_relayed(struct sim_peer *p, struct slice pkt);
/* sim_relay.c */
void sim_relay_open(struct sim_peer *p);
void sim_relay_close(struct sim_peer *p);
void sim_relay_send(struct sim_peer *p, struct slice pkt);
/* A signal message has arrived. */
void sim_agent_signal(struct sim_agent *a, struct sim_agent *from, struct slice body);
/* sim_signal.c: hands a message to the signal service. */
void sim_signal_send(struct sim_peer *p, const struct signal_body *body, uint64_t token);
