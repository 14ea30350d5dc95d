#include "tests/unit/mgmt/account_random.h"

#define PEERS_MAX 70 /* more than a word of a set */
#define GROUPS 6
#define POLICIES 4
#define RULES 4

struct dice {
	uint64_t state;
	struct arena *a;
};

static unsigned pick(struct dice *d, unsigned below)
{
	d->state ^= d->state << 13;
	d->state ^= d->state >> 7;
	d->state ^= d->state << 17;
	return (unsigned)((d->state >> 20) % below);
}

static bool coin(struct dice *d)
{
	return pick(d, 2) == 0;
}

static const char *text(struct dice *d, const char *kind, unsigned number)
{
	char *s = arena_printf(d->a, "%s%u", kind, number);
	ln_assert(s != NULL);
	return s;
}

static void *room(struct dice *d, size_t n, size_t size)
{
	void *p = arena_calloc(d->a, n, size);
	ln_assert(p != NULL);
	return p;
}

static const char *const *ids(struct dice *d, const char *kind, unsigned of, unsigned most,
			      size_t *ret_n)
{
	size_t n = pick(d, most + 1);
	const char **v = room(d, n, sizeof(*v));
	for (size_t i = 0; i < n; i++)
		v[i] = text(d, kind, pick(d, of + 1)); /* the last is of nobody */
	*ret_n = n;
	return v;
}

static const char *version(struct dice *d)
{
	static const char *const all[] = { "0.77.1", "0.77.1",     "0.47.0",      "development",
					   "",       "0.60.0-rc1", "0.29.0-dev1", "0.20.3" };
	return all[pick(d, LN_COUNT(all))];
}

/* From nothing to longer than one byte of length can say. */
static struct slice ssh_key(struct dice *d)
{
	static const unsigned lengths[] = { 0, 0, 1, 80, 125, 126, 127, 128, 129, 300, 20000 };
	size_t n = lengths[pick(d, LN_COUNT(lengths))];
	char *s = room(d, n + 1, 1);
	memset(s, 'k', n);
	return slice_of(s, n);
}

static void make_peer(struct dice *d, struct netmap_account_peer *p, unsigned number)
{
	*p = (struct netmap_account_peer){
		.id = text(d, "p", number),
		.label = text(d, "host-", number),
		.version = version(d),
		.capabilities = pick(d, 8),
		.v4 = pick(d, 9) != 0 ? ip_v4(0x64400001u + number * 97) : (struct ip_addr){ 0 },
		.login_expires = pick(d, 4) == 0 ? 1 + pick(d, 200) : 0,
		.awaiting_approval = pick(d, 9) == 0,
		.ssh_key = ssh_key(d),
	};
	for (size_t i = 0; i < sizeof(p->key.b); i++)
		p->key.b[i] = (uint8_t)pick(d, 256);
	if (coin(d)) {
		p->v6 = (struct ip_addr){ .family = 6, .b = { 0xfd, [13] = 1 } };
		p->v6.b[15] = (uint8_t)number;
	}
}

static const char *rule_id(struct dice *d, unsigned number)
{
	static const unsigned lengths[] = { 1, 20, 60, 100, 127, 128, 129, 200 };
	size_t n = pick(d, 3) == 0 ? lengths[pick(d, LN_COUNT(lengths))] : 0;
	char *s = arena_printf(d->a, "rule%u%0*u", number, (int)n, 0u);
	ln_assert(s != NULL);
	return pick(d, 30) == 0 ? "" : s;
}

static void make_rule(struct dice *d, struct netmap_account_rule *r, unsigned number)
{
	*r = (struct netmap_account_rule){
		.id = rule_id(d, number),
		.enabled = pick(d, 6) != 0,
		.action = coin(d) ? NETMAP_ACCEPT : NETMAP_DROP,
		.bidirectional = coin(d),
		.protocol = (enum netmap_protocol)pick(d, 7),
	};
	r->source_groups = ids(d, "g", GROUPS, 3, &r->nsource_groups);
	r->destination_groups = ids(d, "g", GROUPS, 3, &r->ndestination_groups);
	if (pick(d, 5) == 0)
		r->source_peer = text(d, "p", pick(d, PEERS_MAX));
	if (pick(d, 5) == 0)
		r->destination_peer = text(d, "p", pick(d, PEERS_MAX));
	uint16_t *ports = room(d, 4, sizeof(*ports));
	struct netmap_port_range *ranges = room(d, 4, sizeof(*ranges));
	for (size_t i = 0; i < 4; i++) {
		ports[i] = (uint16_t)(coin(d) ? pick(d, 12) : pick(d, 65536));
		ranges[i].first = (uint16_t)(coin(d) ? 1 + pick(d, 200) : pick(d, 65536));
		ranges[i].last = (uint16_t)(ranges[i].first + pick(d, 3) * 100);
	}
	r->ports = ports;
	r->ranges = ranges;
	r->nports = coin(d) ? 0 : pick(d, 5);
	r->nranges = coin(d) ? 0 : pick(d, 5);
}

static void seal(struct netmap_account *acc, struct arena *a)
{
	int err = netmap_account_seal(acc, a);
	ln_assert(err == 0);
}

struct netmap_account *account_random(uint64_t seed, struct arena *a)
{
	struct dice d = { .state = seed * 2654435761u + 88172645463325252u, .a = a };
	struct netmap_account *acc = room(&d, 1, sizeof(*acc));
	unsigned npeers = 1 + (pick(&d, 16) == 0 ? pick(&d, PEERS_MAX) : pick(&d, 12));
	struct netmap_account_peer *peers = room(&d, npeers, sizeof(*peers));
	for (unsigned i = 0; i < npeers; i++)
		make_peer(&d, &peers[i], i);
	struct netmap_account_group *g = room(&d, GROUPS, sizeof(*g));
	for (unsigned i = 0; i < GROUPS; i++) {
		g[i].id = text(&d, "g", i);
		g[i].name = i == 0 ? "All" : g[i].id;
		g[i].peers = ids(&d, "p", npeers, coin(&d) ? 5 : npeers * 2, &g[i].npeers);
	}
	struct netmap_account_policy *p = room(&d, POLICIES, sizeof(*p));
	for (unsigned i = 0; i < POLICIES; i++) {
		struct netmap_account_rule *r = room(&d, RULES, sizeof(*r));
		p[i].id = text(&d, "policy", i);
		p[i].enabled = pick(&d, 6) != 0;
		p[i].nrules = pick(&d, RULES + 1);
		p[i].rules = r;
		for (unsigned k = 0; k < p[i].nrules; k++)
			make_rule(&d, &r[k], i * RULES + k);
	}
	*acc = (struct netmap_account){
		.serial = pick(&d, 4) == 0 ? 0 : d.state,
		.network = { .addr = ip_v4(0x64400000u), .len = 16 },
		.domain = coin(&d) ? "example.org" : "netbird.selfhosted",
		.lazy_connections = coin(&d),
		.routing_peer_dns = coin(&d),
		.peers = peers,
		.npeers = npeers,
		.groups = g,
		.ngroups = GROUPS,
		.policies = p,
		.npolicies = POLICIES,
	};
	if (pick(&d, 5) != 0)
		acc->network_v6 =
			(struct ip_prefix){ .addr = { .family = 6, .b = { 0xfd } }, .len = 64 };
	seal(acc, a);
	return acc;
}

void account_random_change(struct netmap_account *acc, uint64_t seed, struct arena *a)
{
	struct dice d = { .state = seed * 2654435761u + 1442695040888963407u, .a = a };
	struct netmap_account_peer *peers = room(&d, acc->npeers, sizeof(*peers));
	memcpy(peers, acc->peers, acc->npeers * sizeof(*peers));
	acc->peers = peers;
	struct netmap_account_peer *p = &peers[pick(&d, (unsigned)acc->npeers)];
	switch (pick(&d, 8)) {
	case 0:
		p->version = version(&d);
		break;
	case 1:
		p->label = text(&d, "renamed-", pick(&d, 3));
		break;
	case 2:
		p->ssh_key = ssh_key(&d);
		break;
	case 3:
		p->capabilities ^= 4;
		break;
	case 4:
		p->awaiting_approval = !p->awaiting_approval;
		break;
	case 5:
		p->key.b[7] ^= 1;
		break;
	case 6:
		acc->lazy_connections = !acc->lazy_connections;
		break;
	default:
		p->connected = !p->connected; /* in no map */
		break;
	}
	acc->serial++;
	seal(acc, a);
}
