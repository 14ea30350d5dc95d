/*
 * A fingerprint of what a map says, without its serial: two maps with the same one need not both be
 * sent. Seeded per process, so that nobody can aim at a collision. Padding never enters it.
 */
#include <string.h>

#include "src/management/management_internal.h"

struct fingerprint {
	uint64_t seed[2];
};

static void add(struct fingerprint *h, const void *p, size_t n)
{
	h->seed[0] = map_hash(h->seed, slice_of(p, n));
}

static void add_int(struct fingerprint *h, uint64_t v)
{
	add(h, &v, sizeof(v));
}

/* With its zero, so that two texts in a row cannot be cut in another place. */
static void add_text(struct fingerprint *h, const char *s)
{
	if (s == NULL)
		add_int(h, 0);
	else
		add(h, s, strlen(s) + 1);
}

static void add_ip(struct fingerprint *h, const struct ip_addr *a, uint8_t len)
{
	uint8_t b[18] = { a->family, len };
	memcpy(b + 2, a->b, sizeof(a->b));
	add(h, b, sizeof(b));
}

static void add_peers(struct fingerprint *h, const struct netmap_peer *v, size_t n)
{
	add_int(h, n);
	for (size_t i = 0; i < n; i++) {
		const struct netmap_peer *p = &v[i];
		add(h, p->key.b, sizeof(p->key.b));
		add_ip(h, &p->v4, 0);
		add_ip(h, &p->v6, 0);
		add_text(h, p->fqdn);
		add_text(h, p->agent_version);
		add_int(h, p->ssh_key.n);
		add(h, p->ssh_key.p, p->ssh_key.n);
	}
}

static void add_rules(struct fingerprint *h, const struct netmap_rule *v, size_t n)
{
	add_int(h, n);
	for (size_t i = 0; i < n; i++) {
		const struct netmap_rule *r = &v[i];
		add_ip(h, &r->peer.addr, r->peer.len);
		add_int(h, (uint64_t)r->direction << 56 | (uint64_t)r->action << 48 |
				   (uint64_t)r->protocol << 32 | (uint64_t)r->port_first << 16 |
				   r->port_last);
		add_text(h, r->policy_id);
	}
}

uint64_t management_map_hash(const uint64_t seed[2], const struct netmap *map,
			     const struct mgmt_map_options *opt)
{
	struct fingerprint h = { { seed[0], seed[1] } };
	const struct netmap_self *self = &map->self;
	add_ip(&h, &self->address.addr, self->address.len);
	add_ip(&h, &self->address_v6.addr, self->address_v6.len);
	add_text(&h, self->fqdn);
	add_int(&h, (uint64_t)self->lazy_connections | (uint64_t)self->routing_peer_dns << 1 |
			    (uint64_t)map->dns_enabled << 2 | (uint64_t)opt->source_prefixes << 3 |
			    (uint64_t)opt->port_ranges << 4 | (uint64_t)opt->deprecated_peers << 5 |
			    (uint64_t)self->mtu << 16 | (uint64_t)map->dns_forwarder_port << 32);
	add_peers(&h, map->peers, map->npeers);
	add_peers(&h, map->offline, map->noffline);
	add_rules(&h, map->rules, map->nrules);
	return h.seed[0];
}
