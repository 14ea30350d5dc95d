#include "lib/mgmt/mgmt_shelf.h"

#include <stdlib.h>

#include "lib/base/map.h"
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

/* --- blocks ----------------------------------------------------------------------------------- */

static struct mgmt_block *block_new(size_t nentries)
{
	struct mgmt_block *b = ln_alloc(sizeof(*b));
	b->ends = ln_calloc(LN_MAX(nentries, 1u), sizeof(*b->ends));
	b->hashes = ln_calloc(LN_MAX(nentries, 1u), sizeof(*b->hashes));
	return b;
}

void mgmt_block_free(struct mgmt_block *b)
{
	if (b == NULL)
		return;
	free(b->bytes);
	free(b->ends);
	free(b->hashes);
	free(b);
}

static uint8_t *block_room(struct mgmt_block *b, size_t n)
{
	if (b->cap - b->n < n) {
		b->cap = LN_MAX(b->cap * 2, b->n + n);
		b->bytes = ln_realloc(b->bytes, b->cap);
	}
	return b->bytes + b->n;
}

/* What was written since the last entry is the next one. */
static void block_entry(struct mgmt_block *b, const uint64_t seed[2])
{
	size_t from = b->nentries > 0 ? b->ends[b->nentries - 1] : 0;
	b->ends[b->nentries] = b->n;
	b->hashes[b->nentries] = map_hash(seed, slice_of(b->bytes + from, b->n - from));
	b->sum += b->hashes[b->nentries];
	b->nentries++;
}

/* The memory it takes, the spare part given back. */
static size_t block_trim(struct mgmt_block *b)
{
	if (b->cap > b->n && b->n > 0) {
		b->bytes = ln_realloc(b->bytes, b->n);
		b->cap = b->n;
	}
	return sizeof(*b) + b->cap + b->nentries * (sizeof(*b->ends) + sizeof(*b->hashes));
}

/* --- peers ------------------------------------------------------------------------------------ */

static size_t host_text(const struct ip_addr *a, char text[IP_PREFIX_TEXT_MAX])
{
	struct ip_prefix p = ip_prefix_host(a);
	ip_prefix_format(&p, text);
	return strlen(text);
}

static void put_peer(struct mgmt_block *b, const struct netmap_account *acc,
		     const struct netmap_account_peer *m, bool v6)
{
	char key[WG_KEY_TEXT], four[IP_PREFIX_TEXT_MAX], six[IP_PREFIX_TEXT_MAX];
	wg_key_format(&m->key, key);
	size_t nkey = strlen(key);
	size_t nfour = ip_is_set(&m->v4) ? host_text(&m->v4, four) : 0;
	size_t nsix = v6 && ip_is_set(&m->v6) ? host_text(&m->v6, six) : 0;
	size_t nlabel = strlen(m->label), ndomain = strlen(acc->domain);
	size_t nversion = m->version != NULL ? strlen(m->version) : 0;
	size_t nssh = mgmt_bytes_size(m->ssh_key.n);
	size_t nfqdn = nlabel + 1 + ndomain;
	size_t n = mgmt_bytes_size(nkey) + mgmt_bytes_size(nfour) + mgmt_bytes_size(nsix) + 1 +
		   mgmt_varint_size(nssh) + nssh + mgmt_bytes_size(nfqdn) +
		   mgmt_bytes_size(nversion);

	uint8_t *p = block_room(b, ENTRY_FIXED + n);
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

const struct mgmt_block *mgmt_shelf_peers(struct mgmt_shelf *s, bool v6)
{
	struct mgmt_block **at = &s->peers[v6];
	if (*at != NULL)
		return *at;
	*at = block_new(s->acc->npeers);
	for (size_t i = 0; i < s->acc->npeers; i++) {
		put_peer(*at, s->acc, &s->acc->peers[i], v6);
		block_entry(*at, s->seed);
	}
	s->kept += block_trim(*at);
	return *at;
}

static void put_compact(struct mgmt_block *b, const struct netmap_account *acc,
			const struct netmap_account_peer *m)
{
	size_t n4 = ip_is_set(&m->v4) ? 4 : 0;
	size_t n6 = ip_is_set(&m->v6) && ip_is_set(&acc->network_v6.addr) ? 16 : 0;
	size_t nlabel = strlen(m->label);
	size_t nversion = m->version != NULL ? strlen(m->version) : 0;
	bool ipv6 = (m->capabilities >> NETMAP_CAP_IPV6 & 1) != 0;
	bool prefixes = (m->capabilities >> NETMAP_CAP_SOURCE_PREFIXES & 1) != 0;
	size_t n = mgmt_bytes_size(sizeof(m->key.b)) + mgmt_bytes_size(n4) + mgmt_bytes_size(n6) +
		   mgmt_bytes_size(m->ssh_key.n) + mgmt_bytes_size(nlabel) +
		   mgmt_bytes_size(nversion) + (ipv6 ? 2u : 0u) + (prefixes ? 2u : 0u);

	uint8_t *p = block_room(b, ENTRY_FIXED + n);
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
	if (s->compact != NULL)
		return s->compact;
	s->compact = block_new(s->acc->npeers);
	for (size_t i = 0; i < s->acc->npeers; i++) {
		put_compact(s->compact, s->acc, &s->acc->peers[i]);
		block_entry(s->compact, s->seed);
	}
	s->kept += block_trim(s->compact);
	return s->compact;
}

/* --- rules ------------------------------------------------------------------------------------ */

struct rule_text { /* what all rules of a block have in common */
	unsigned direction;
	unsigned action;
	unsigned protocol;
	const char *id;
	size_t nid;
	bool prefixes;
};

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
	size_t ncompact = t->prefixes ? ip_prefix_to_compact(&host, compact) : 0;
	size_t n = nfixed + mgmt_bytes_size(t->nid) + mgmt_bytes_size(ncompact);

	p = block_room(b, ENTRY_FIXED + n);
	p = mgmt_put_head(p, MAP_FIREWALL_RULES, n);
	p = mgmt_put_raw(p, fixed, nfixed);
	if (t->nid > 0)
		p = mgmt_put_bytes(p, RULE_POLICY_ID, t->id, t->nid);
	if (ncompact > 0)
		p = mgmt_put_bytes(p, RULE_SOURCE_PREFIXES, compact, ncompact);
	b->n = (size_t)(p - b->bytes);
}

/* In the order of netmap_build(): port by port, IPv4 before IPv6. */
static void put_rules(struct mgmt_block *b, const struct rule_text *t,
		      const struct netmap_rule_index *r, const struct netmap_account_peer *other,
		      unsigned variant)
{
	for (size_t i = 0; i < r->nports; i++) {
		const struct netmap_ports *ports = &r->ports[i];
		if (ports->first != ports->last && (variant & MGMT_VARIANT_RANGES) == 0)
			continue;
		if (ip_is_set(&other->v4))
			put_rule(b, t, &other->v4, ports);
		if ((variant & MGMT_VARIANT_V6) != 0 && ip_is_set(&other->v6))
			put_rule(b, t, &other->v6, ports);
	}
}

static struct mgmt_block *make_rules(const struct mgmt_shelf *s, const struct netmap_part *part,
				     unsigned variant)
{
	const struct netmap_rule_index *r = &s->acc->index->rules[part->rule];
	const struct netmap_list *list = r->lists[part->slot];
	const struct rule_text text = {
		.direction = part->direction,
		.action = r->rule->action,
		.protocol = r->protocol,
		.id = r->rule->id,
		.nid = strlen(r->rule->id),
		.prefixes = (variant & MGMT_VARIANT_PREFIXES) != 0,
	};
	struct mgmt_block *b = block_new(list->npeers);
	for (size_t i = 0; i < list->npeers; i++) {
		put_rules(b, &text, r, &s->acc->peers[list->peers[i]], variant);
		block_entry(b, s->seed);
		if (b->n > MGMT_BLOCK_MAX) {
			mgmt_block_free(b);
			return NULL;
		}
	}
	return b;
}

struct mgmt_block *mgmt_shelf_rules(struct mgmt_shelf *s, const struct netmap_part *part,
				    unsigned variant)
{
	size_t per_rule = (size_t)NETMAP_SLOTS * 2;
	if (s->rules[variant] == NULL)
		s->rules[variant] =
			ln_calloc(s->acc->index->nrules * per_rule, sizeof(struct mgmt_block *));
	struct mgmt_block **at = &s->rules[variant][part->rule * per_rule + (size_t)part->slot * 2 +
						    part->direction];
	if (*at != NULL)
		return *at;
	struct mgmt_block *b = make_rules(s, part, variant);
	if (b == NULL)
		return NULL;
	size_t n = block_trim(b);
	if (s->kept > s->budget || n > s->budget - s->kept)
		return b;
	s->kept += n;
	b->kept = true;
	*at = b;
	return b;
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
		size_t n = s->rules[v] != NULL ? s->acc->index->nrules * NETMAP_SLOTS * 2 : 0;
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
