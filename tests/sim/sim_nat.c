#include "tests/sim/sim_nat.h"

char sim_nat_letter(enum sim_nat_kind k)
{
	return "OFAPSBW"[k];
}

void sim_nat_init(struct sim_nat *n, enum sim_nat_kind kind, const struct ip_addr *addr,
		  struct sim_segment *outside, struct sim_rng *rng)
{
	*n = (struct sim_nat){ .kind = kind, .addr = *addr, .outside = outside, .rng = rng };
	n->inside.up = n;
	if (kind != SIM_FIREWALL)
		sim_segment_add(outside, addr, NULL, n);
}

void sim_nat_rebind(struct sim_nat *n)
{
	for (size_t i = 0; i < SIM_NAT_MAPPINGS; i++)
		n->mappings[i].used = false;
	n->random_ports = true;
}

static bool alive(const struct sim_mapping *m, ln_time now)
{
	return m->used && now - m->at <= SIM_NAT_TIMEOUT;
}

static struct sim_mapping *by_port(struct sim_nat *n, ln_time now, uint16_t port)
{
	for (size_t i = 0; i < SIM_NAT_MAPPINGS; i++)
		if (alive(&n->mappings[i], now) && n->mappings[i].port == port)
			return &n->mappings[i];
	return NULL;
}

static uint16_t free_port(struct sim_nat *n, ln_time now, uint16_t wanted)
{
	uint16_t port = wanted;
	bool random = n->kind == SIM_SYMMETRIC || n->random_ports;
	while (random || port == n->forward_port || by_port(n, now, port) != NULL) {
		port = (uint16_t)sim_rng_between(n->rng, 1024, 65535);
		random = false;
	}
	return port;
}

/* The mapping of a flow going out, made if need be. */
static struct sim_mapping *outbound(struct sim_nat *n, ln_time now, const struct ip_ep *src,
				    const struct ip_ep *dst)
{
	struct sim_mapping *room = NULL;
	for (size_t i = 0; i < SIM_NAT_MAPPINGS; i++) {
		struct sim_mapping *m = &n->mappings[i];
		if (!alive(m, now)) {
			room = m;
			continue;
		}
		if (ip_ep_equal(&m->inside, src) &&
		    (n->kind != SIM_SYMMETRIC || ip_ep_equal(&m->to, dst)))
			return m;
	}
	if (room != NULL) {
		uint16_t port = n->kind == SIM_FIREWALL ? src->port : free_port(n, now, src->port);
		*room = (struct sim_mapping){
			.used = true, .inside = *src, .to = *dst, .port = port, .at = now
		};
	}
	return room;
}

static void permit(struct sim_mapping *m, const struct ip_ep *dst)
{
	for (unsigned i = 0; i < LN_MIN(m->npermitted, (unsigned)SIM_NAT_PERMITTED); i++)
		if (ip_ep_equal(&m->permitted[i], dst))
			return;
	m->permitted[m->npermitted++ % SIM_NAT_PERMITTED] = *dst;
}

bool sim_nat_out(struct sim_nat *n, ln_time now, struct ip_ep *src, const struct ip_ep *dst)
{
	if (n->kind == SIM_BLOCKED)
		return false;
	struct sim_mapping *m = outbound(n, now, src, dst);
	if (m == NULL)
		return false;
	m->at = now;
	permit(m, dst);
	if (n->kind != SIM_FIREWALL)
		*src = (struct ip_ep){ n->addr, m->port };
	return true;
}

static bool permitted(const struct sim_nat *n, const struct sim_mapping *m, const struct ip_ep *src)
{
	if (n->kind == SIM_FULL)
		return true;
	for (unsigned i = 0; i < LN_MIN(m->npermitted, (unsigned)SIM_NAT_PERMITTED); i++) {
		const struct ip_ep *p = &m->permitted[i];
		if (ip_equal(&p->addr, &src->addr) &&
		    (n->kind == SIM_ADDRESS || p->port == src->port))
			return true;
	}
	return false;
}

static bool firewall_in(struct sim_nat *n, ln_time now, const struct ip_ep *src,
			const struct ip_ep *dst)
{
	for (size_t i = 0; i < SIM_NAT_MAPPINGS; i++) {
		const struct sim_mapping *m = &n->mappings[i];
		if (alive(m, now) && ip_ep_equal(&m->inside, dst) && permitted(n, m, src))
			return true;
	}
	return false;
}

bool sim_nat_in(struct sim_nat *n, ln_time now, const struct ip_ep *src, struct ip_ep *dst)
{
	if (n->kind == SIM_BLOCKED)
		return false;
	if (n->kind == SIM_FIREWALL)
		return firewall_in(n, now, src, dst);
	struct sim_mapping *m = by_port(n, now, dst->port);
	if (m != NULL && permitted(n, m, src)) {
		*dst = m->inside;
		return true;
	}
	if (n->forward_port == 0 || n->forward_port != dst->port)
		return false;
	/* Answers to this flow leave from the forwarded port. */
	m = outbound(n, now, &n->forward_to, src);
	if (m == NULL)
		return false;
	m->port = n->forward_port;
	m->at = now;
	permit(m, src);
	*dst = n->forward_to;
	return true;
}
