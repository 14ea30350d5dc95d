#include "tests/sim/sim_net.h"

#include <stdlib.h>

#include "tests/sim/sim_nat.h"

struct sim_packet {
	struct sim_event event;
	struct sim_net *net;
	struct sim_port at; /* where it arrives */
	struct ip_ep from;
	struct ip_ep to;
	size_t n;
	uint8_t data[];
};

void sim_net_init(struct sim_net *n, struct sim_clock *clock, struct sim_rng *rng)
{
	*n = (struct sim_net){ .clock = clock, .rng = rng };
	n->link = (struct sim_link){ .delay_min = 5 * LN_MSEC, .delay_max = 10 * LN_MSEC };
}

void sim_segment_add(struct sim_segment *s, const struct ip_addr *addr, struct sim_host *host,
		     struct sim_nat *nat)
{
	ln_assert(s->nports < SIM_SEGMENT_PORTS);
	s->ports[s->nports++] = (struct sim_port){ .addr = *addr, .host = host, .nat = nat };
}

static const struct sim_port *find_port(const struct sim_segment *s, const struct ip_addr *addr)
{
	for (size_t i = 0; i < s->nports; i++)
		if (ip_equal(&s->ports[i].addr, addr))
			return &s->ports[i];
	return NULL;
}

void sim_host_init(struct sim_host *h, struct sim_net *n,
		   void (*receive)(struct sim_host *h, const struct ip_ep *from,
				   const struct ip_ep *to, struct slice data))
{
	*h = (struct sim_host){ .net = n, .receive = receive };
}

void sim_host_attach(struct sim_host *h, struct sim_segment *s, const char *addr)
{
	struct ip_addr a;
	ln_assert(h->naddrs < SIM_HOST_ADDRS && ip_parse(slice_str(addr), &a) == 0);
	h->addrs[h->naddrs] = a;
	h->segments[h->naddrs++] = s;
	sim_segment_add(s, &a, h, NULL);
	/* Behind a firewall the address is routed, so the outer segment knows the way. */
	if (s->up != NULL && s->up->kind == SIM_FIREWALL)
		sim_segment_add(s->up->outside, &a, NULL, s->up);
}

void sim_host_detach(struct sim_host *h)
{
	for (size_t i = 0; i < h->naddrs; i++) {
		struct sim_segment *s = h->segments[i];
		for (size_t k = s->nports; k-- > 0;)
			if (s->ports[k].host == h)
				s->ports[k] = s->ports[--s->nports];
	}
	h->naddrs = 0;
}

static void arrive(struct sim_event *e)
{
	struct sim_packet *p = ln_container(e, struct sim_packet, event);
	struct sim_net *net = p->net;
	const struct sim_port *at = &p->at;

	net->in_flight--;
	while (at != NULL && at->nat != NULL) {
		if (!sim_nat_in(at->nat, net->clock->now, &p->from, &p->to)) {
			net->filtered++;
			at = NULL;
			break;
		}
		at = find_port(&at->nat->inside, &p->to.addr);
	}
	if (at != NULL) {
		net->delivered++;
		at->host->receive(at->host, &p->from, &p->to, slice_of(p->data, p->n));
	}
	free(p);
}

static const struct sim_link *link_of(const struct sim_net *net, const struct ip_ep *to)
{
	return to->addr.family == 6 && net->link6.delay_max != 0 ? &net->link6 : &net->link;
}

static void launch(struct sim_net *net, const struct sim_port *at, const struct ip_ep *from,
		   const struct ip_ep *to, struct slice data)
{
	struct sim_packet *p = ln_alloc(sizeof(*p) + data.n);
	sim_event_init(&p->event, arrive);
	p->net = net;
	p->at = *at;
	p->from = *from;
	p->to = *to;
	p->n = data.n;
	memcpy(p->data, data.p, data.n);
	net->in_flight++;
	const struct sim_link *link = link_of(net, to);
	ln_time delay = sim_rng_between(net->rng, link->delay_min, link->delay_max);
	sim_clock_at(net->clock, &p->event, net->clock->now + delay);
}

static void travel(struct sim_net *net, const struct sim_port *at, const struct ip_ep *from,
		   const struct ip_ep *to, struct slice data)
{
	const struct sim_link *link = link_of(net, to);
	if (net->cut || sim_rng_chance(net->rng, link->loss)) {
		net->lost++;
		return;
	}
	launch(net, at, from, to, data);
	if (sim_rng_chance(net->rng, link->duplicate))
		launch(net, at, from, to, data);
}

/* Upwards until somebody on the segment has the address. */
static void climb(struct sim_net *net, struct sim_segment *s, struct ip_ep from,
		  const struct ip_ep *to, struct slice data)
{
	for (;;) {
		const struct sim_port *at = find_port(s, &to->addr);
		struct sim_nat *up = s->up;
		if (at != NULL && !(s->isolated && at->host != NULL)) {
			travel(net, at, &from, to, data);
			return;
		}
		bool hairpin =
			up != NULL && up->kind != SIM_FIREWALL && ip_equal(&up->addr, &to->addr);
		if (up == NULL || at != NULL || (hairpin && !up->hairpin)) {
			net->unreachable++;
			return;
		}
		if (!sim_nat_out(up, net->clock->now, &from, to)) {
			net->filtered++;
			return;
		}
		s = up->outside;
	}
}

void sim_host_send(struct sim_host *h, uint16_t port, const struct ip_ep *to, struct slice data)
{
	h->net->sent++;
	for (size_t i = 0; i < h->naddrs; i++) {
		if (h->addrs[i].family == to->addr.family) {
			climb(h->net, h->segments[i], (struct ip_ep){ h->addrs[i], port }, to,
			      data);
			return;
		}
	}
	h->net->unreachable++;
}
