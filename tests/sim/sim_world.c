#include "tests/sim/sim_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/stun/stun_msg.h"

#include "src/stun/stun_answer.h"
#include "tests/sim/sim_agent.h"

/* Both STUN servers stand in the public network, so that mappings per destination show. */
static const char *const stun_addrs[2] = { "198.51.100.10", "198.51.100.11" };
#define STUN_ADDR6 "2001:db8:ffff::10"

static void stun_receive(struct sim_host *h, const struct ip_ep *from, const struct ip_ep *to,
			 struct slice data)
{
	struct sim_world *w = ln_container(h->net, struct sim_world, net);
	uint8_t buf[STUN_ANSWER_MAX];
	struct slice answer;
	if (w->closing || w->stun_down ||
	    stun_answer_write(data, from, mslice_of(buf, sizeof(buf)), &answer) == STUN_ANSWER_NONE)
		return;
	sim_host_send(h, to->port, from, answer);
}

void sim_world_init(struct sim_world *w, uint64_t seed)
{
	*w = (struct sim_world){ 0 };
	sim_clock_init(&w->clock);
	w->clock.now = LN_HOUR;
	sim_rng_init(&w->rng, seed);
	sim_net_init(&w->net, &w->clock, &w->rng);
	w->signal.delay_min = 5 * LN_MSEC;
	w->signal.delay_max = 15 * LN_MSEC;
	for (size_t i = 0; i < 2; i++) {
		sim_host_init(&w->stun[i], &w->net, stun_receive);
		sim_host_attach(&w->stun[i], &w->net.internet, stun_addrs[i]);
	}
	sim_host_attach(&w->stun[0], &w->net.internet, STUN_ADDR6);
}

void sim_world_fini(struct sim_world *w)
{
	/* Agents first: only packets and messages in flight are left, and end by arriving. */
	w->closing = true;
	for (size_t i = 0; i < w->nagents; i++)
		sim_agent_stop(w->agents[i]);
	sim_clock_run(&w->clock, w->clock.now + LN_HOUR);
	ln_assert(w->net.in_flight == 0 && w->clock.queue.count == 0);
	for (size_t i = 0; i < w->nagents; i++)
		free(w->agents[i]);
	for (size_t i = 0; i < w->nnats; i++)
		free(w->nats[i]);
	sim_clock_fini(&w->clock);
}

struct sim_nat *sim_world_nat(struct sim_world *w, enum sim_nat_kind kind, const char *addr,
			      struct sim_segment *outside)
{
	struct ip_addr a = { 0 };
	struct sim_nat *n = ln_alloc(sizeof(*n));
	ln_assert(w->nnats < LN_COUNT(w->nats));
	ln_assert(kind == SIM_FIREWALL || ip_parse(slice_str(addr), &a) == 0);
	sim_nat_init(n, kind, &a, outside, &w->rng);
	w->nats[w->nnats++] = n;
	return n;
}

struct sim_agent *sim_world_agent(struct sim_world *w, struct sim_segment *s, const char *addr)
{
	ln_assert(w->nagents < SIM_AGENTS_MAX);
	struct sim_agent *a = sim_agent_new(w, w->nagents);
	sim_host_attach(&a->host, s, addr);
	w->agents[w->nagents++] = a;
	return a;
}

struct sim_agent *sim_world_behind(struct sim_world *w, enum sim_nat_kind kind, unsigned n)
{
	char addr[IP_TEXT_MAX];
	struct sim_segment *s = &w->net.internet;
	if (kind != SIM_OPEN) {
		snprintf(addr, sizeof(addr), "203.0.%u.%u", 100 + n / 200, 1 + n % 200);
		s = &sim_world_nat(w, kind, addr, s)->inside;
		snprintf(addr, sizeof(addr), "10.%u.0.2", 1 + n);
	} else {
		snprintf(addr, sizeof(addr), "192.0.2.%u", 1 + n);
	}
	return sim_world_agent(w, s, addr);
}

void sim_world_introduce(struct sim_agent *a, struct sim_agent *b)
{
	sim_agent_add_peer(a, b);
	sim_agent_add_peer(b, a);
}

void sim_world_run(struct sim_world *w, ln_time for_how_long)
{
	sim_clock_run(&w->clock, w->clock.now + for_how_long);
}

bool sim_world_connected(const struct sim_agent *a, const struct sim_agent *b)
{
	return a->peers[b->index].state == PEER_CONNECTED &&
	       b->peers[a->index].state == PEER_CONNECTED;
}

bool sim_world_connect(struct sim_agent *a, struct sim_agent *b, ln_time limit)
{
	struct sim_world *w = a->world;
	ln_time end = w->clock.now + limit;
	while (!sim_world_connected(a, b) && w->clock.now < end)
		sim_world_run(w, 10 * LN_MSEC);
	return sim_world_connected(a, b);
}

bool sim_world_ping(struct sim_agent *a, struct sim_agent *b)
{
	struct sim_peer *ab = &a->peers[b->index];
	struct sim_peer *ba = &b->peers[a->index];
	unsigned before_ab = ab->pings;
	unsigned before_ba = ba->pings;
	/* A lost handshake is repeated after 5 s only. */
	for (int i = 0; i < 80; i++) {
		sim_agent_ping(ab);
		sim_agent_ping(ba);
		sim_world_run(a->world, LN_SEC / 2);
		if (ab->pings > before_ab && ba->pings > before_ba)
			return true;
	}
	return false;
}
