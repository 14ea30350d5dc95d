/* Maps from accounts: cases of the specification, then chance against a naive second reading. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/netmap/netmap_account.h"

#include "tests/unit/unit.h"

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, (size_t)64 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;
	assert_int_equal(ip_prefix_parse(slice_str(text), &p), 0);
	return p;
}

static struct ip_addr addr(const char *text)
{
	struct ip_addr a;
	assert_int_equal(ip_parse(slice_str(text), &a), 0);
	return a;
}

/* --- an account of three peers ---------------------------------------------------------------- */

static struct netmap_account_peer three[3];
static const char *const all_ids[] = { "p0", "p1", "p2" };
static const char *const first_id[] = { "p0" };
static const char *const g_all[] = { "g-all" };
static const char *const g_first[] = { "g-first" };
static const char *const g_both[] = { "g-none", "g-first", "g-all" };
static const struct netmap_account_group groups[] = {
	{ .id = "g-all", .name = "All", .peers = all_ids, .npeers = 3 },
	{ .id = "g-first", .name = "first", .peers = first_id, .npeers = 1 },
};

static struct netmap_account account(const struct netmap_account_policy *policy)
{
	for (size_t i = 0; i < 3; i++) {
		three[i] = (struct netmap_account_peer){
			.id = all_ids[i],
			.label = i == 0   ? "a"
				 : i == 1 ? "b"
					  : "c",
			.version = "0.77.1",
			.capabilities = 1u << NETMAP_CAP_IPV6,
			.v4 = ip_v4(0x64400001u + (uint32_t)i),
			.v6 = addr(i == 0   ? "fd00::1"
				   : i == 1 ? "fd00::2"
					    : "fd00::3"),
		};
		three[i].key.b[0] = (uint8_t)(9 - i);
	}
	three[1].ssh_key = slice_str("ssh-ed25519 AAAA");
	return (struct netmap_account){
		.serial = 7,
		.network = prefix("100.64.0.0/16"),
		.network_v6 = prefix("fd00::/64"),
		.domain = "netbird.selfhosted",
		.lazy_connections = true,
		.peers = three,
		.npeers = 3,
		.groups = groups,
		.ngroups = 2,
		.policies = policy,
		.npolicies = policy != NULL ? 1 : 0,
	};
}

static struct netmap build(struct netmap_account *acc, size_t target, ln_wall now)
{
	struct netmap m;
	assert_int_equal(netmap_account_seal(acc, &arena), 0);
	assert_int_equal(netmap_build(acc, target, now, &arena, &m), 0);
	return m;
}

static size_t count_rules(const struct netmap *m, enum netmap_direction direction, uint8_t family)
{
	size_t n = 0;
	for (size_t i = 0; i < m->nrules; i++)
		n += m->rules[i].direction == direction && m->rules[i].peer.addr.family == family;
	return n;
}

static const struct netmap_account_rule everything = {
	.id = "r",
	.enabled = true,
	.bidirectional = true,
	.protocol = NETMAP_PROTO_ALL,
	.source_groups = g_all,
	.nsource_groups = 1,
	.destination_groups = g_all,
	.ndestination_groups = 1,
};

static void test_default_policy(void **state)
{
	(void)state;
	const struct netmap_account_policy p = { "p", true, &everything, 1 };
	struct netmap_account acc = account(&p);
	struct netmap m = build(&acc, 0, 0);
	assert_int_equal(m.serial, 7);
	assert_int_equal(m.npeers, 2);
	assert_int_equal(m.noffline, 0);
	assert_string_equal(m.self.fqdn, "a.netbird.selfhosted");
	assert_int_equal(m.self.address.len, 16);
	assert_int_equal(m.self.address_v6.len, 64);
	assert_true(m.self.lazy_connections);
	assert_string_equal(m.peers[0].fqdn, "b.netbird.selfhosted");
	assert_true(slice_is(m.peers[0].ssh_key, "ssh-ed25519 AAAA"));
	assert_int_equal(m.peers[0].v6.family, 6);
	assert_int_equal(m.nrules, 8);
	assert_int_equal(count_rules(&m, NETMAP_IN, 4), 2);
	assert_int_equal(count_rules(&m, NETMAP_OUT, 6), 2);
	assert_string_equal(m.rules[0].policy_id, "r");
	assert_int_equal(m.dns_forwarder_port, 22054);
	assert_false(m.peers_is_empty);
	assert_false(m.rules_is_empty);
	assert_int_equal(netmap_account_find(&acc, "p2"), 2);
	assert_int_equal(netmap_account_find(&acc, "p3"), -1);
	assert_int_equal(netmap_account_find_key(&acc, &three[1].key), 1);
	struct wg_key other = { { 77 } };
	assert_int_equal(netmap_account_find_key(&acc, &other), -1);
}

static void test_no_policy(void **state)
{
	(void)state;
	struct netmap_account acc = account(NULL);
	struct netmap m = build(&acc, 0, 0);
	assert_true(m.peers_is_empty);
	assert_true(m.rules_is_empty);

	const struct netmap_account_policy off = { "p", false, &everything, 1 };
	acc = account(&off);
	assert_int_equal(build(&acc, 0, 0).nrules, 0);
	struct netmap_account_rule rule = everything;
	rule.enabled = false;
	const struct netmap_account_policy rule_off = { "p", true, &rule, 1 };
	acc = account(&rule_off);
	assert_int_equal(build(&acc, 0, 0).nrules, 0);
}

static void test_one_way(void **state)
{
	(void)state;
	struct netmap_account_rule rule = everything;
	rule.bidirectional = false;
	rule.source_groups = g_first;
	rule.action = NETMAP_DROP;
	const struct netmap_account_policy p = { "p", true, &rule, 1 };
	struct netmap_account acc = account(&p);
	/* The source sends to everybody; a drop policy makes peers visible too. */
	struct netmap m = build(&acc, 0, 0);
	assert_int_equal(m.npeers, 2);
	assert_int_equal(count_rules(&m, NETMAP_OUT, 4), 2);
	assert_int_equal(count_rules(&m, NETMAP_IN, 4), 0);
	assert_int_equal(m.rules[0].action, NETMAP_DROP);
	/* A destination receives from the source and knows nobody else. */
	m = build(&acc, 1, 0);
	assert_int_equal(m.npeers, 1);
	assert_string_equal(m.peers[0].fqdn, "a.netbird.selfhosted");
	assert_int_equal(count_rules(&m, NETMAP_IN, 4), 1);
	assert_int_equal(count_rules(&m, NETMAP_OUT, 4), 0);
}

static void test_groups(void **state)
{
	(void)state;
	/* Among several groups the one named All is everybody; unknown ones are skipped. */
	struct netmap_account_rule rule = everything;
	rule.source_groups = g_both;
	rule.nsource_groups = 3;
	const struct netmap_account_policy p = { "p", true, &rule, 1 };
	struct netmap_account acc = account(&p);
	assert_int_equal(build(&acc, 2, 0).npeers, 2);

	/* A single peer wins over the groups beside it; nobody when the peer is unknown. */
	rule.source_peer = "p1";
	rule.bidirectional = false;
	acc = account(&p);
	struct netmap m = build(&acc, 0, 0);
	assert_int_equal(m.npeers, 1);
	assert_string_equal(m.peers[0].fqdn, "b.netbird.selfhosted");
	rule.source_peer = "gone";
	acc = account(&p);
	assert_int_equal(build(&acc, 0, 0).npeers, 0);
}

static void test_ports(void **state)
{
	(void)state;
	static const uint16_t ports[] = { 80, 443, 80 };
	static const struct netmap_port_range ranges[] = { { 8000, 8010 }, { 22, 22 }, { 9, 3 } };
	struct netmap_account_rule rule = everything;
	rule.protocol = NETMAP_PROTO_SSH;
	rule.bidirectional = false;
	rule.source_groups = g_first;
	rule.ports = ports;
	rule.nports = 3;
	rule.ranges = ranges;
	rule.nranges = 3;
	const struct netmap_account_policy p = { "p", true, &rule, 1 };
	struct netmap_account acc = account(&p);
	three[1].v6 = (struct ip_addr){ 0 };
	/* Ports hide ranges, a port named twice goes out once, SSH is TCP. */
	struct netmap m = build(&acc, 1, 0);
	assert_int_equal(m.nrules, 2);
	assert_int_equal(m.rules[0].protocol, NETMAP_PROTO_TCP);
	assert_int_equal(m.rules[0].port_first, 80);
	assert_int_equal(m.rules[1].port_last, 443);
	/* Ranges for agents that read them; the backward one is no range. */
	rule.nports = 0;
	acc = account(&p);
	three[1].v6 = (struct ip_addr){ 0 };
	m = build(&acc, 1, 0);
	assert_int_equal(m.nrules, 2);
	assert_int_equal(m.rules[0].port_first, 8000);
	assert_int_equal(m.rules[0].port_last, 8010);

	static const struct {
		const char *version;
		size_t nrules;
	} gates[] = { { "0.47.9", 1 }, { "0.48.0-rc1", 2 }, { "development", 2 }, { "", 1 } };

	for (size_t i = 0; i < LN_COUNT(gates); i++) {
		three[1].version = gates[i].version;
		m = build(&acc, 1, 0);
		assert_int_equal(m.nrules, gates[i].nrules);
		assert_int_equal(m.rules[m.nrules - 1].port_first, 22);
		/* A peer stays visible even when no rule is left for it. */
		assert_int_equal(m.npeers, 1);
	}
}

static void test_ipv6(void **state)
{
	(void)state;
	const struct netmap_account_policy p = { "p", true, &everything, 1 };
	struct netmap_account acc = account(&p);
	three[0].capabilities = 0;
	/* No capability: no IPv6 of anybody, neither own nor others'. */
	struct netmap m = build(&acc, 0, 0);
	assert_int_equal(m.self.address_v6.addr.family, 0);
	assert_int_equal(m.peers[0].v6.family, 0);
	assert_int_equal(count_rules(&m, NETMAP_IN, 6), 0);
	/* The others are told its address all the same. */
	m = build(&acc, 1, 0);
	assert_int_equal(m.peers[0].v6.family, 6);
	assert_int_equal(count_rules(&m, NETMAP_IN, 6), 2);
	/* An account without an IPv6 network has none. */
	acc.network_v6 = (struct ip_prefix){ 0 };
	m = build(&acc, 1, 0);
	assert_int_equal(m.peers[0].v6.family, 0);
}

static void test_expired_and_unapproved(void **state)
{
	(void)state;
	const struct netmap_account_policy p = { "p", true, &everything, 1 };
	struct netmap_account acc = account(&p);
	three[1].login_expires = 1000;
	struct netmap m = build(&acc, 0, 999);
	assert_int_equal(m.npeers, 2);
	m = build(&acc, 0, 1000);
	assert_int_equal(m.npeers, 1);
	assert_int_equal(m.noffline, 1);
	assert_string_equal(m.offline[0].fqdn, "b.netbird.selfhosted");
	/* Its rules remain. */
	assert_int_equal(m.nrules, 8);

	acc = account(&p);
	three[2].awaiting_approval = true;
	m = build(&acc, 0, 0);
	assert_int_equal(m.npeers, 1);
	m = build(&acc, 2, 0);
	assert_int_equal(m.npeers + m.nrules, 0);
	assert_int_equal(m.self.address.len, 16);
	assert_true(m.rules_is_empty);
}

static void test_forwarder_port(void **state)
{
	(void)state;

	static const struct {
		const char *version;
		uint32_t port;
	} cases[] = {
		{ "0.59.0", 22054 },     { "0.58.9", 5353 },       { "0.59.0-rc1", 5353 },
		{ "0.60.0-rc1", 22054 }, { "development", 22054 }, { "", 5353 },
	};

	for (size_t i = 0; i < LN_COUNT(cases); i++) {
		struct netmap_account acc = account(NULL);
		three[2].version = cases[i].version;
		assert_int_equal(build(&acc, 0, 0).dns_forwarder_port, cases[i].port);
	}
	struct netmap_account acc = account(NULL);
	acc.npeers = 0;
	assert_int_equal(netmap_account_seal(&acc, &arena), 0);
}

static void test_arena_limit(void **state)
{
	(void)state;
	const struct netmap_account_policy p = { "p", true, &everything, 1 };
	struct netmap_account acc = account(&p);
	assert_int_equal(netmap_account_seal(&acc, &arena), 0);
	struct netmap m;
	int err = LN_E_LIMIT;
	for (size_t limit = 0; err == LN_E_LIMIT; limit += 16) {
		struct arena small;
		arena_init(&small, limit);
		err = netmap_build(&acc, 0, 0, &small, &m);
		arena_fini(&small);
		assert_true(limit < 100000);
	}
	assert_int_equal(err, 0);
	err = LN_E_LIMIT;
	for (size_t limit = 0; err == LN_E_LIMIT; limit += 16) {
		struct arena small;
		arena_init(&small, limit);
		struct netmap_account again = account(&p);
		err = netmap_account_seal(&again, &small);
		arena_fini(&small);
		assert_true(limit < 100000);
	}
	assert_int_equal(err, 0);
}

/* --- chance against the naive reading --------------------------------------------------------- */

#define PEERS 12
#define GROUPS 5
#define POLICIES 4
#define RULES 3

static uint64_t seed;

static unsigned pick(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 20) % below);
}

static bool coin(void)
{
	return pick(2) == 0;
}

static const char *const versions[] = { "0.77.1", "0.47.0", "development", "", "0.60.0-rc1" };

static const char *const *random_ids(const char *kind, size_t of, size_t *ret_n)
{
	size_t n = pick(4);
	const char **ids = arena_calloc(&arena, n + 1, sizeof(*ids));
	for (size_t i = 0; i < n; i++)
		ids[i] = arena_printf(&arena, "%s%u", kind, pick((unsigned)of + 1));
	*ret_n = n;
	return ids;
}

static void random_rule(struct netmap_account_rule *r, unsigned number)
{
	*r = (struct netmap_account_rule){
		.id = arena_printf(&arena, "rule%u", number),
		.enabled = pick(5) != 0,
		.action = coin() ? NETMAP_ACCEPT : NETMAP_DROP,
		.bidirectional = coin(),
		.protocol = (enum netmap_protocol)(1 + pick(6)),
	};
	r->source_groups = random_ids("g", GROUPS, &r->nsource_groups);
	r->destination_groups = random_ids("g", GROUPS, &r->ndestination_groups);
	if (pick(4) == 0)
		r->source_peer = arena_printf(&arena, "p%u", pick(PEERS + 1));
	if (pick(4) == 0)
		r->destination_peer = arena_printf(&arena, "p%u", pick(PEERS + 1));
	uint16_t *ports = arena_calloc(&arena, 3, sizeof(*ports));
	struct netmap_port_range *ranges = arena_calloc(&arena, 3, sizeof(*ranges));
	r->ports = ports;
	r->ranges = ranges;
	r->nports = coin() ? 0 : pick(4);
	r->nranges = coin() ? 0 : pick(4);
	for (size_t i = 0; i < 3; i++) {
		ports[i] = (uint16_t)(1 + pick(3));
		ranges[i].first = (uint16_t)(1 + pick(3));
		ranges[i].last = (uint16_t)(ranges[i].first + pick(2));
	}
}

static struct netmap_account random_account(void)
{
	struct netmap_account_peer *peers = arena_calloc(&arena, PEERS, sizeof(*peers));
	size_t npeers = 1 + pick(PEERS);
	for (size_t i = 0; i < npeers; i++) {
		peers[i] = (struct netmap_account_peer){
			.id = arena_printf(&arena, "p%zu", i),
			.label = arena_printf(&arena, "host-%zu", i),
			.version = versions[pick(LN_COUNT(versions))],
			.capabilities = coin() ? 1u << NETMAP_CAP_IPV6 : 0,
			.v4 = ip_v4(0x64400001u + (uint32_t)i),
			.login_expires = pick(4) == 0 ? 1 + pick(200) : 0,
			.awaiting_approval = pick(8) == 0,
		};
		peers[i].key.b[31] = (uint8_t)(pick(8) * 16 + i);
		if (coin()) {
			peers[i].v6 = addr("fd00::");
			peers[i].v6.b[15] = (uint8_t)(1 + i);
		}
	}
	struct netmap_account_group *g = arena_calloc(&arena, GROUPS, sizeof(*g));
	for (size_t i = 0; i < GROUPS; i++) {
		g[i].id = arena_printf(&arena, "g%zu", i);
		g[i].name = i == 0 ? "All" : g[i].id;
		g[i].peers = random_ids("p", PEERS, &g[i].npeers);
	}
	struct netmap_account_policy *p = arena_calloc(&arena, POLICIES, sizeof(*p));
	for (unsigned i = 0; i < POLICIES; i++) {
		struct netmap_account_rule *r = arena_calloc(&arena, RULES, sizeof(*r));
		p[i].id = arena_printf(&arena, "policy%u", i);
		p[i].enabled = pick(5) != 0;
		p[i].nrules = pick(RULES + 1);
		p[i].rules = r;
		for (unsigned k = 0; k < p[i].nrules; k++)
			random_rule(&r[k], i * RULES + k);
	}
	return (struct netmap_account){
		.serial = seed,
		.network = prefix("100.64.0.0/16"),
		.network_v6 = pick(5) != 0 ? prefix("fd00::/64") : (struct ip_prefix){ .len = 0 },
		.domain = "example.org",
		.peers = peers,
		.npeers = npeers,
		.groups = g,
		.ngroups = GROUPS,
		.policies = p,
		.npolicies = POLICIES,
	};
}

static bool names(const char *const *ids, size_t n, const char *id)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(ids[i], id) == 0)
			return true;
	}
	return false;
}

/* Is the peer on this side of a rule? Straight from the sentences of 4.8.1 and 4.8.2. */
static bool naive_side(const struct netmap_account *acc, const char *peer_id,
		       const char *const *ids, size_t n, const struct netmap_account_peer *p)
{
	if (p->awaiting_approval)
		return false;
	if (peer_id != NULL)
		return strcmp(peer_id, p->id) == 0;
	for (size_t i = 0; i < n; i++) {
		for (size_t g = 0; g < acc->ngroups; g++) {
			if (strcmp(acc->groups[g].id, ids[i]) == 0 &&
			    strcmp(acc->groups[g].name, "All") == 0)
				return names(acc->groups[g].peers, acc->groups[g].npeers, p->id);
		}
	}
	for (size_t g = 0; g < acc->ngroups; g++) {
		if (names(ids, n, acc->groups[g].id) &&
		    names(acc->groups[g].peers, acc->groups[g].npeers, p->id))
			return true;
	}
	return false;
}

#define LINE 96

struct lines {
	char (*v)[LINE];
	size_t n, room;
};

static void add_line(struct lines *l, const char *policy, int direction, int action, int protocol,
		     const struct ip_addr *peer, unsigned first, unsigned last)
{
	if (l->n == l->room) {
		l->room = l->room * 2 + 64;
		l->v = realloc(l->v, l->room * sizeof(*l->v));
	}
	char text[IP_TEXT_MAX];
	ip_format(peer, text);
	snprintf(l->v[l->n++], LINE, "%s %d %d %d %s %u-%u", policy, direction, action, protocol,
		 text, first, last);
}

static int line_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void naive_ports(struct lines *l, const struct netmap_account_rule *r, int direction,
			const struct ip_addr *peer, bool ranges)
{
	int protocol = r->protocol == NETMAP_PROTO_SSH ? NETMAP_PROTO_TCP : (int)r->protocol;
	if (r->nports == 0 && r->nranges == 0)
		add_line(l, r->id, direction, r->action, protocol, peer, 0, 0);
	for (size_t i = 0; i < r->nports; i++) {
		bool again = false;
		for (size_t k = 0; k < i; k++)
			again |= r->ports[k] == r->ports[i];
		if (!again)
			add_line(l, r->id, direction, r->action, protocol, peer, r->ports[i],
				 r->ports[i]);
	}
	for (size_t i = 0; r->nports == 0 && i < r->nranges; i++) {
		bool again = false;
		for (size_t k = 0; k < i; k++)
			again |= r->ranges[k].first == r->ranges[i].first &&
				 r->ranges[k].last == r->ranges[i].last;
		if (!again && (ranges || r->ranges[i].first == r->ranges[i].last))
			add_line(l, r->id, direction, r->action, protocol, peer, r->ranges[i].first,
				 r->ranges[i].last);
	}
}

/* All rules of a map, and which peers it shows. */
static void naive_map(const struct netmap_account *acc, const struct netmap_account_peer *t,
		      struct lines *l, bool *shown)
{
	bool v6 = t->capabilities != 0 && t->v6.family == 6 && acc->network_v6.addr.family == 6;
	bool ranges = strcmp(t->version, "") != 0 && strcmp(t->version, "0.47.0") != 0;
	for (size_t i = 0; i < acc->npolicies; i++) {
		for (size_t k = 0; k < acc->policies[i].nrules; k++) {
			const struct netmap_account_rule *r = &acc->policies[i].rules[k];
			if (!acc->policies[i].enabled || !r->enabled)
				continue;
			for (size_t o = 0; o < acc->npeers; o++) {
				const struct netmap_account_peer *p = &acc->peers[o];
				if (p == t)
					continue;
#define SOURCE(x) naive_side(acc, r->source_peer, r->source_groups, r->nsource_groups, x)
#define DEST(x)                                                                                    \
 naive_side(acc, r->destination_peer, r->destination_groups, r->ndestination_groups, x)
				bool st = SOURCE(t), dt = DEST(t), sp = SOURCE(p), dp = DEST(p);
				bool in = (dt && sp) || (r->bidirectional && st && dp);
				bool out = (st && dp) || (r->bidirectional && dt && sp);
				shown[o] |= in || out;
				if (in)
					naive_ports(l, r, NETMAP_IN, &p->v4, ranges);
				if (out)
					naive_ports(l, r, NETMAP_OUT, &p->v4, ranges);
				if (in && v6 && p->v6.family == 6)
					naive_ports(l, r, NETMAP_IN, &p->v6, ranges);
				if (out && v6 && p->v6.family == 6)
					naive_ports(l, r, NETMAP_OUT, &p->v6, ranges);
			}
		}
	}
}

static void compare(const struct netmap_account *acc, size_t target)
{
	const ln_wall now = 100;
	struct netmap m;
	assert_int_equal(netmap_build(acc, target, now, &arena, &m), 0);
	struct lines expected = { 0 }, got = { 0 };
	bool shown[PEERS] = { false };
	if (!acc->peers[target].awaiting_approval)
		naive_map(acc, &acc->peers[target], &expected, shown);
	for (size_t i = 0; i < m.nrules; i++) {
		const struct netmap_rule *r = &m.rules[i];
		assert_int_equal(r->peer.len, ip_bits(&r->peer.addr));
		add_line(&got, r->policy_id, r->direction, r->action, r->protocol, &r->peer.addr,
			 r->port_first, r->port_last);
	}
	assert_int_equal(got.n, expected.n);
	if (got.n > 0) {
		qsort(got.v, got.n, LINE, line_cmp);
		qsort(expected.v, expected.n, LINE, line_cmp);
	}
	for (size_t i = 0; i < got.n; i++)
		assert_string_equal(got.v[i], expected.v[i]);

	size_t online = 0, offline = 0;
	for (size_t i = 0; i < acc->npeers; i++) {
		const struct netmap_account_peer *p = &acc->peers[i];
		if (!shown[i])
			continue;
		bool expired = p->login_expires != 0 && p->login_expires <= now;
		const struct netmap_peer *q = expired ? &m.offline[offline++] : &m.peers[online++];
		assert_memory_equal(&q->key, &p->key, sizeof(p->key));
	}
	assert_int_equal(m.npeers, online);
	assert_int_equal(m.noffline, offline);
	free(got.v);
	free(expected.v);
}

static void test_chance(void **state)
{
	(void)state;
	for (unsigned run = 1; run <= 2000; run++) {
		seed = run * 0x9e3779b97f4a7c15ull;
		struct netmap_account acc = random_account();
		assert_int_equal(netmap_account_seal(&acc, &arena), 0);
		for (size_t t = 0; t < acc.npeers; t++)
			compare(&acc, t);
		arena_reset(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_default_policy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_policy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ipv6, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expired_and_unapproved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forwarder_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arena_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chance, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
