#include "lib/mgmt/mgmt_shelf.h"

#include <stdlib.h>

#include "lib/mgmt/mgmt_put.h"

enum { /* NetworkMap, spec management-protocol 1.5 */
	MAP_REMOTE_PEERS = 3,
	MAP_FIREWALL_RULES = 8,
};

enum { /* RemotePeerConfig */
	PEER_KEY = 1,
	PEER_ALLOWED_IPS = 2,
	PEER_SSH_CONFIG = 3,
	PEER_FQDN = 4,
	PEER_VERSION = 5,
	SSH_PUB_KEY = 2, /* SSHConfig */
};

enum { /* FirewallRule */
	RULE_PEER_IP = 1,
	RULE_DIRECTION = 2,
	RULE_ACTION = 3,
	RULE_PROTOCOL = 4,
	RULE_PORT = 5,
	RULE_PORT_INFO = 6,
	RULE_POLICY_ID = 7,
	RULE_SOURCE_PREFIXES = 9,
	PORT_INFO_RANGE = 2, /* PortInfo */
	RANGE_START = 1,     /* PortInfo.Range */
	RANGE_END = 2,
};

enum { /* PeerCompact, 1.7 */
	COMPONENTS_PEERS = 9,
	COMPACT_KEY = 1,
	COMPACT_IP = 2,
	COMPACT_IPV6 = 3,
	COMPACT_SSH_KEY = 4,
	COMPACT_LABEL = 5,
	COMPACT_VERSION = 6,
	COMPACT_SUPPORTS_IPV6 = 11,
	COMPACT_SUPPORTS_PREFIXES = 12,
};

/* Most bytes of an entry beside its texts of any length, each of which has a head of its own. */
#define ENTRY_FIXED 256

struct mgmt_shelf {
	const struct netmap_account *acc;
	uint64_t seed[2];
	size_t budget;
	size_t kept;
	struct mgmt_block *peers[2]; /* without and with IPv6 */
	struct mgmt_block *compact;
	/* By rule, slot and direction; null until a receiver of this variant comes. */
	struct mgmt_block **rules[MGMT_VARIANTS];
};

/* What an entry is made of; which of them depends on the block. */
struct parts {
	const struct netmap_account *acc;
	bool v6; /* of peers */
	const struct netmap_rule_index *rule;
	const struct netmap_list *list;

	struct rule_text {
		unsigned direction;
		unsigned action;
		unsigned protocol;
		const char *id;
		size_t nid;
		unsigned variant;
	} text; /* what all rules of a block have in common */
};

static void keep(struct mgmt_shelf *s, struct mgmt_block **at, struct mgmt_block *b)
{
	s->kept += mgmt_block_memory(b);
	b->kept = true;
	*at = b;
}

/* --- peers ------------------------------------------------------------------------------------ */

static size_t host_text(const struct ip_addr *a, char text[IP_PREFIX_TEXT_MAX])
{
	struct ip_prefix p = ip_prefix_host(a);
	ip_prefix_format(&p, text);
	return strlen(text);
}

static void put_peer(struct mgmt_block *b, const void *ctx, size_t i)
{
	const struct parts *of = ctx;
	const struct netmap_account *acc = of->acc;
	const struct netmap_account_peer *m = &acc->peers[i];
	char key[WG_KEY_TEXT], four[IP_PREFIX_TEXT_MAX], six[IP_PREFIX_TEXT_MAX];
	wg_key_format(&m->key, key);
	size_t nkey = strlen(key);
	size_t nfour = ip_is_set(&m->v4) ? host_text(&m->v4, four) : 0;
	size_t nsix = of->v6 && ip_is_set(&m->v6) ? host_text(&m->v6, six) : 0;
	size_t nlabel = strlen(m->label), ndomain = strlen(acc->domain);
	size_t nversion = m->version != NULL ? strlen(m->version) : 0;
	size_t nssh = mgmt_bytes_size(m->ssh_key.n);
	size_t nfqdn = nlabel + 1 + ndomain;
	size_t n = mgmt_bytes_size(nkey) + mgmt_bytes_size(nfour) + mgmt_bytes_size(nsix) + 1 +
		   mgmt_varint_size(nssh) + nssh + mgmt_bytes_size(nfqdn) +
		   mgmt_bytes_size(nversion);

	uint8_t *p = mgmt_block_room(b, ENTRY_FIXED + n);
	p = mgmt_put_head(p, MAP_REMOTE_PEERS, n);
	p = mgmt_put_bytes(p, PEER_KEY, key, nkey);
	if (nfour > 0)
		p = mgmt_put_bytes(p, PEER_ALLOWED_IPS, four, nfour);
	if (nsix > 0)
		p = mgmt_put_bytes(p, PEER_ALLOWED_IPS, six, nsix);
	p = mgmt_put_head(p, PEER_SSH_CONFIG, nssh);
	if (nssh > 0)
		p = mgmt_put_bytes(p, SSH_PUB_KEY, m->ssh_key.p, m->ssh_key.n);
	p = mgmt_put_head(p, PEER_FQDN, nfqdn);
	p = mgmt_put_raw(p, m->label, nlabel);
	*p++ = '.';
	p = mgmt_put_raw(p, acc->domain, ndomain);
	if (nversion > 0)
		p = mgmt_put_bytes(p, PEER_VERSION, m->version, nversion);
	b->n = (size_t)(p - b->bytes);
}

/* One entry for each peer of the account. */
static struct mgmt_block *make_all(const struct mgmt_shelf *s, mgmt_block_entry_fn *fn, bool v6,
				   const struct mgmt_block *before, const uint32_t *was)
{
	const struct parts of = { .acc = s->acc, .v6 = v6 };
	const struct mgmt_block_spec spec = {
		.seed = { s->seed[0], s->seed[1] },
		.limit = SIZE_MAX,
		.nentries = s->acc->npeers,
		.fn = fn,
		.ctx = &of,
		.before = before,
		.was = was,
	};
	return mgmt_block_make(&spec);
}

const struct mgmt_block *mgmt_shelf_peers(struct mgmt_shelf *s, bool v6)
{
	if (s->peers[v6] == NULL)
		keep(s, &s->peers[v6], make_all(s, put_peer, v6, NULL, NULL));
	s->peers[v6]->used = true;
	return s->peers[v6];
}

static void put_compact(struct mgmt_block *b, const void *ctx, size_t i)
{
	const struct netmap_account *acc = ((const struct parts *)ctx)->acc;
	const struct netmap_account_peer *m = &acc->peers[i];
	size_t n4 = ip_is_set(&m->v4) ? 4 : 0;
	size_t n6 = ip_is_set(&m->v6) && ip_is_set(&acc->network_v6.addr) ? 16 : 0;
	size_t nlabel = strlen(m->label);
	size_t nversion = m->version != NULL ? strlen(m->version) : 0;
	bool ipv6 = (m->capabilities >> NETMAP_CAP_IPV6 & 1) != 0;
	bool prefixes = (m->capabilities >> NETMAP_CAP_SOURCE_PREFIXES & 1) != 0;
	size_t n = mgmt_bytes_size(sizeof(m->key.b)) + mgmt_bytes_size(n4) + mgmt_bytes_size(n6) +
		   mgmt_bytes_size(m->ssh_key.n) + mgmt_bytes_size(nlabel) +
		   mgmt_bytes_size(nversion) + (ipv6 ? 2u : 0u) + (prefixes ? 2u : 0u);

	uint8_t *p = mgmt_block_room(b, ENTRY_FIXED + n);
	p = mgmt_put_head(p, COMPONENTS_PEERS, n);
	p = mgmt_put_bytes(p, COMPACT_KEY, m->key.b, sizeof(m->key.b));
	if (n4 > 0)
		p = mgmt_put_bytes(p, COMPACT_IP, m->v4.b, n4);
	if (n6 > 0)
		p = mgmt_put_bytes(p, COMPACT_IPV6, m->v6.b, n6);
	if (m->ssh_key.n > 0)
		p = mgmt_put_bytes(p, COMPACT_SSH_KEY, m->ssh_key.p, m->ssh_key.n);
	if (nlabel > 0)
		p = mgmt_put_bytes(p, COMPACT_LABEL, m->label, nlabel);
	if (nversion > 0)
		p = mgmt_put_bytes(p, COMPACT_VERSION, m->version, nversion);
	if (ipv6)
		p = mgmt_put_int(p, COMPACT_SUPPORTS_IPV6, 1);
	if (prefixes)
		p = mgmt_put_int(p, COMPACT_SUPPORTS_PREFIXES, 1);
	b->n = (size_t)(p - b->bytes);
}

const struct mgmt_block *mgmt_shelf_compact(struct mgmt_shelf *s)
{
	if (s->compact == NULL)
		keep(s, &s->compact, make_all(s, put_compact, false, NULL, NULL));
	s->compact->used = true;
	return s->compact;
}

/* --- rules ------------------------------------------------------------------------------------ */

static size_t port_text(uint16_t port, char text[6])
{
	size_t n = 0;
	for (unsigned of = 10000; of > 0; of /= 10) {
		if (port >= of || n > 0)
			text[n++] = (char)('0' + port / of % 10);
	}
	return n;
}

/* A range of ports as PortInfo: range { start end }. */
static uint8_t *put_range(uint8_t *p, const struct netmap_ports *ports)
{
	size_t n = 2 + mgmt_varint_size(ports->first) + mgmt_varint_size(ports->last);
	p = mgmt_put_head(p, RULE_PORT_INFO, 2 + n);
	p = mgmt_put_head(p, PORT_INFO_RANGE, n);
	p = mgmt_put_int(p, RANGE_START, ports->first);
	return mgmt_put_int(p, RANGE_END, ports->last);
}

static void put_rule(struct mgmt_block *b, const struct rule_text *t, const struct ip_addr *addr,
		     const struct netmap_ports *ports)
{
	uint8_t fixed[ENTRY_FIXED], *p = fixed;
	char text[IP_TEXT_MAX], port[6];
	ip_format(addr, text);
	p = mgmt_put_bytes(p, RULE_PEER_IP, text, strlen(text));
	if (t->direction != 0)
		p = mgmt_put_int(p, RULE_DIRECTION, t->direction);
	if (t->action != 0)
		p = mgmt_put_int(p, RULE_ACTION, t->action);
	if (t->protocol != 0)
		p = mgmt_put_int(p, RULE_PROTOCOL, t->protocol);
	if (ports->first != ports->last)
		p = put_range(p, ports);
	else if (ports->first != 0)
		p = mgmt_put_bytes(p, RULE_PORT, port, port_text(ports->first, port));
	size_t nfixed = (size_t)(p - fixed);
	struct ip_prefix host = ip_prefix_host(addr);
	uint8_t compact[17];
	size_t ncompact = (t->variant & MGMT_VARIANT_PREFIXES) != 0
				  ? ip_prefix_to_compact(&host, compact)
				  : 0;
	size_t n = nfixed + mgmt_bytes_size(t->nid) + mgmt_bytes_size(ncompact);

	p = mgmt_block_room(b, ENTRY_FIXED + n);
	p = mgmt_put_head(p, MAP_FIREWALL_RULES, n);
	p = mgmt_put_raw(p, fixed, nfixed);
	if (t->nid > 0)
		p = mgmt_put_bytes(p, RULE_POLICY_ID, t->id, t->nid);
	if (ncompact > 0)
		p = mgmt_put_bytes(p, RULE_SOURCE_PREFIXES, compact, ncompact);
	b->n = (size_t)(p - b->bytes);
}

/* In the order of netmap_build(): port by port, IPv4 before IPv6. */
static void put_rules(struct mgmt_block *b, const void *ctx, size_t entry)
{
	const struct parts *of = ctx;
	const struct rule_text *t = &of->text;
	const struct netmap_account_peer *other = &of->acc->peers[of->list->peers[entry]];
	for (size_t i = 0; i < of->rule->nports; i++) {
		const struct netmap_ports *ports = &of->rule->ports[i];
		if (ports->first != ports->last && (t->variant & MGMT_VARIANT_RANGES) == 0)
			continue;
		if (ip_is_set(&other->v4))
			put_rule(b, t, &other->v4, ports);
		if ((t->variant & MGMT_VARIANT_V6) != 0 && ip_is_set(&other->v6))
			put_rule(b, t, &other->v6, ports);
	}
}

static struct mgmt_block *make_rules(const struct mgmt_shelf *s, const struct netmap_part *part,
				     unsigned variant, const struct mgmt_block *before,
				     const uint32_t *was)
{
	const struct netmap_rule_index *r = &s->acc->index->rules[part->rule];
	const struct parts of = {
		.acc = s->acc,
		.rule = r,
		.list = r->lists[part->slot],
		.text = {
			.direction = part->direction,
			.action = r->rule->action,
			.protocol = r->protocol,
			.id = r->rule->id,
			.nid = strlen(r->rule->id),
			.variant = variant,
		},
	};
	const struct mgmt_block_spec spec = {
		.seed = { s->seed[0], s->seed[1] },
		.limit = MGMT_BLOCK_MAX,
		.nentries = of.list->npeers,
		.fn = put_rules,
		.ctx = &of,
		.before = before,
		.was = was,
	};
	return mgmt_block_make(&spec);
}

#define PER_RULE ((size_t)NETMAP_SLOTS * 2)

static struct mgmt_block **rules_at(struct mgmt_shelf *s, const struct netmap_part *part,
				    unsigned variant)
{
	if (s->rules[variant] == NULL)
		s->rules[variant] =
			ln_calloc(s->acc->index->nrules * PER_RULE, sizeof(struct mgmt_block *));
	return &s->rules[variant][part->rule * PER_RULE + (size_t)part->slot * 2 + part->direction];
}

static bool has_room(const struct mgmt_shelf *s, const struct mgmt_block *b)
{
	return s->kept <= s->budget && mgmt_block_memory(b) <= s->budget - s->kept;
}

struct mgmt_block *mgmt_shelf_rules(struct mgmt_shelf *s, const struct netmap_part *part,
				    unsigned variant)
{
	struct mgmt_block **at = rules_at(s, part, variant);
	struct mgmt_block *b = *at != NULL ? *at : make_rules(s, part, variant, NULL, NULL);
	if (b == NULL)
		return NULL;
	b->used = true;
	if (*at == NULL && has_room(s, b))
		keep(s, at, b);
	return b;
}

/* --- from one account to the next ------------------------------------------------------------- */

/* Where the peers of a list stood in the former one. Both are in the same order, or it is made
 * anew. */
static void follow_list(const struct netmap_list *list, const struct netmap_list *before,
			const struct netmap_same *same, uint32_t *was)
{
	size_t at = 0;
	for (size_t i = 0; i < list->npeers; i++) {
		uint32_t peer = same->peers[list->peers[i]];
		was[i] = MGMT_BLOCK_NEW;
		if (peer == NETMAP_NEW || !bitset_has(before->bits, peer))
			continue;
		size_t k = at;
		while (k < before->npeers && before->peers[k] != peer)
			k++;
		if (k == before->npeers)
			continue;
		was[i] = (uint32_t)k;
		at = k + 1;
	}
}

static void follow_rules(struct mgmt_shelf *s, const struct mgmt_shelf *from, unsigned variant,
			 const struct netmap_same *same, uint32_t *was)
{
	const struct netmap_index *x = s->acc->index;
	for (size_t i = 0; i < x->nrules * PER_RULE; i++) {
		const struct mgmt_block *before = from->rules[variant][i];
		const struct netmap_part part = {
			.rule = (uint32_t)(i / PER_RULE),
			.slot = (enum netmap_slot)(i % PER_RULE / 2),
			.direction = (enum netmap_direction)(i % 2),
		};
		if (before == NULL || !before->used)
			continue;
		follow_list(x->rules[part.rule].lists[part.slot],
			    from->acc->index->rules[part.rule].lists[part.slot], same, was);
		struct mgmt_block *b = make_rules(s, &part, variant, before, was);
		if (b != NULL && has_room(s, b))
			keep(s, rules_at(s, &part, variant), b);
		else
			mgmt_block_free(b);
	}
}

void mgmt_shelf_follow(struct mgmt_shelf *s, const struct mgmt_shelf *from,
		       const struct netmap_same *same)
{
	ln_assert(s->kept == 0 && s->seed[0] == from->seed[0] && s->seed[1] == from->seed[1]);
	for (size_t v6 = 0; v6 < LN_COUNT(s->peers); v6++) {
		const struct mgmt_block *before = from->peers[v6];
		if (before != NULL && before->used)
			keep(s, &s->peers[v6], make_all(s, put_peer, v6 != 0, before, same->peers));
	}
	if (from->compact != NULL && from->compact->used)
		keep(s, &s->compact, make_all(s, put_compact, false, from->compact, same->peers));
	if (!same->rules)
		return;
	ln_assert(s->acc->index->nrules == from->acc->index->nrules);
	uint32_t *was = ln_calloc(LN_MAX(s->acc->npeers, 1u), sizeof(*was));
	for (unsigned v = 0; v < MGMT_VARIANTS; v++) {
		if (from->rules[v] != NULL)
			follow_rules(s, from, v, same, was);
	}
	free(was);
}

/* --- the shelf -------------------------------------------------------------------------------- */

struct mgmt_shelf *mgmt_shelf_new(const struct netmap_account *acc, const uint64_t seed[2],
				  size_t budget)
{
	ln_assert(acc->index != NULL);
	struct mgmt_shelf *s = ln_alloc(sizeof(*s));
	s->acc = acc;
	s->seed[0] = seed[0];
	s->seed[1] = seed[1];
	s->budget = budget;
	return s;
}

void mgmt_shelf_free(struct mgmt_shelf *s)
{
	if (s == NULL)
		return;
	mgmt_block_free(s->peers[0]);
	mgmt_block_free(s->peers[1]);
	mgmt_block_free(s->compact);
	for (size_t v = 0; v < MGMT_VARIANTS; v++) {
		size_t n = s->rules[v] != NULL ? s->acc->index->nrules * PER_RULE : 0;
		for (size_t i = 0; i < n; i++)
			mgmt_block_free(s->rules[v][i]);
		free(s->rules[v]);
	}
	free(s);
}

const struct netmap_account *mgmt_shelf_account(const struct mgmt_shelf *s)
{
	return s->acc;
}

const uint64_t *mgmt_shelf_seed(const struct mgmt_shelf *s)
{
	return s->seed;
}

size_t mgmt_shelf_kept(const struct mgmt_shelf *s)
{
	return s->kept;
}
