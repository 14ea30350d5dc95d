/* The relay's stand-in: reaches everybody by TCP, whatever the NATs; may lose, be late, be down. */
#include <stdlib.h>

#include "tests/sim/sim_agent.h"

#define URL "rel://relay.sim:80"
#define EARLY_TRIES 20 /* a message for a peer that is still opening waits for it */

enum job_kind {
	JOB_OPEN, /* has asked for the peer; it is there or refused */
	JOB_PACKET,
	JOB_HOME, /* the home connection comes or goes */
};

struct job {
	struct sim_event event;
	enum job_kind kind;
	struct sim_world *world;
	struct sim_agent *agent;  /* who gets it */
	struct sim_agent *remote; /* the peer it is about */
	unsigned round;           /* of the opening; an older one is stale */
	unsigned tries;
	bool up;
	size_t n;
	uint8_t pkt[SIM_PACKET_MAX];
};

static struct sim_peer *peer_of(const struct job *j)
{
	return &j->agent->peers[j->remote->index];
}

static void touch(struct sim_agent *a, struct sim_peer *p)
{
	p->touched = true;
	sim_clock_at(&a->world->clock, &a->timer, a->world->clock.now);
}

static void packet(struct job *j)
{
	struct sim_peer *p = peer_of(j);
	struct sim_clock *c = &j->world->clock;
	if (p->conn == NULL || j->world->relay.down)
		return;
	if (p->relay == SIM_RELAY_UP) {
		sim_agent_relayed(p, slice_of(j->pkt, j->n));
	} else if (++j->tries < EARLY_TRIES) {
		struct job *again = ln_alloc(sizeof(*again));
		*again = *j;
		sim_event_init(&again->event, j->event.fn);
		sim_clock_at(c, &again->event, c->now + 50 * LN_MSEC);
	}
}

static void opened(struct job *j)
{
	struct sim_peer *p = peer_of(j);
	struct sim_world *w = j->world;
	if (p->conn == NULL || p->relay != SIM_RELAY_OPENING || p->relay_round != j->round)
		return;
	p->relay = w->relay.down ? SIM_RELAY_NONE : SIM_RELAY_UP;
	if (w->relay.down)
		peer_conn_relay_down(p->conn, w->clock.now, "down");
	else
		peer_conn_relay_up(p->conn, w->clock.now);
	touch(j->agent, p);
}

static void home(struct job *j)
{
	struct sim_agent *a = j->agent;
	ln_time now = j->world->clock.now;
	if (j->up == j->world->relay.down) /* it has changed again meanwhile */
		return;
	strcpy(a->local.relay_url, j->up ? URL : "");
	for (size_t i = 0; i < j->world->nagents; i++) {
		struct sim_peer *p = &a->peers[i];
		if (p->conn == NULL)
			continue;
		if (j->up)
			peer_conn_relay_home(p->conn, now);
		else if (p->relay != SIM_RELAY_NONE)
			peer_conn_relay_down(p->conn, now, "the relay went away");
		if (!j->up)
			p->relay = SIM_RELAY_NONE;
		touch(a, p);
	}
}

static void run(struct sim_event *e)
{
	struct job *j = ln_container(e, struct job, event);
	if (!j->world->closing) {
		if (j->kind == JOB_PACKET)
			packet(j);
		else if (j->kind == JOB_OPEN)
			opened(j);
		else
			home(j);
	}
	free(j);
}

static struct job *job_new(enum job_kind kind, struct sim_agent *a, struct sim_agent *remote,
			   ln_time after)
{
	struct job *j = ln_alloc(sizeof(*j));
	sim_event_init(&j->event, run);
	j->kind = kind;
	j->world = a->world;
	j->agent = a;
	j->remote = remote;
	sim_clock_at(&a->world->clock, &j->event, a->world->clock.now + after);
	return j;
}

static ln_time delay(struct sim_world *w)
{
	return sim_rng_between(&w->rng, 5 * LN_MSEC, w->relay.delay_max);
}

void sim_relay_open(struct sim_peer *p)
{
	p->relay = SIM_RELAY_OPENING;
	job_new(JOB_OPEN, p->agent, p->remote, delay(p->agent->world))->round = ++p->relay_round;
}

void sim_relay_close(struct sim_peer *p)
{
	p->relay = SIM_RELAY_NONE;
}

void sim_relay_send(struct sim_peer *p, struct slice pkt)
{
	struct sim_world *w = p->agent->world;
	if (p->relay != SIM_RELAY_UP || sim_rng_chance(&w->rng, w->relay.loss))
		return;
	struct job *j = job_new(JOB_PACKET, p->remote, p->agent, delay(w));
	memcpy(j->pkt, pkt.p, pkt.n);
	j->n = pkt.n;
}

void sim_relay_set(struct sim_world *w, bool up)
{
	w->relay.used = true;
	w->relay.down = !up;
	for (size_t i = 0; i < w->nagents; i++) {
		/* A lost connection is noticed at once, a new one takes its turn (spec 14). */
		ln_time after = up ? sim_rng_between(&w->rng, 50 * LN_MSEC, 3 * LN_SEC)
				   : sim_rng_between(&w->rng, 0, 20 * LN_MSEC);
		job_new(JOB_HOME, w->agents[i], w->agents[i], after)->up = up;
	}
}
