/* The signal service's stand-in: a unary call that ends, then a delivery that may not happen. */
#include <stdlib.h>

#include "tests/sim/sim_agent.h"

struct message {
	struct sim_event event;
	struct sim_world *world;
	struct sim_agent *from;
	struct sim_agent *to;
	uint64_t token;
	bool sent; /* the call has ended; the delivery is next */
	struct str body;
};

static ln_time delay(struct sim_world *w)
{
	return sim_rng_between(&w->rng, w->signal.delay_min, w->signal.delay_max);
}

static void step(struct sim_event *e)
{
	struct message *m = ln_container(e, struct message, event);
	struct sim_world *w = m->world;

	if (!w->closing && !m->sent) {
		struct sim_peer *p = &m->from->peers[m->to->index];
		bool ok = !w->signal.down;
		m->sent = true;
		if (m->token != 0 && p->conn != NULL)
			peer_conn_sent(p->conn, w->clock.now, m->token, ok);
		p->touched = true;
		sim_clock_at(&w->clock, &m->from->timer, w->clock.now);
		if (ok && !sim_rng_chance(&w->rng, w->signal.loss)) {
			sim_clock_at(&w->clock, &m->event, w->clock.now + delay(w));
			return;
		}
	} else if (!w->closing) {
		sim_agent_signal(m->to, m->from, str_slice(&m->body));
		if (sim_rng_chance(&w->rng, w->signal.twice)) {
			ln_time later = sim_rng_between(&w->rng, LN_MSEC, 20 * LN_SEC);
			sim_clock_at(&w->clock, &m->event, w->clock.now + later);
			return;
		}
	}
	str_fini(&m->body);
	free(m);
}

void sim_signal_send(struct sim_peer *p, const struct signal_body *body, uint64_t token)
{
	struct sim_world *w = p->agent->world;
	struct message *m = ln_alloc(sizeof(*m));
	sim_event_init(&m->event, step);
	m->world = w;
	m->from = p->agent;
	m->to = p->remote;
	m->token = token;
	str_init(&m->body, 4096);
	signal_body_write(&m->body, body);
	sim_clock_at(&w->clock, &m->event, w->clock.now + delay(w));
}
