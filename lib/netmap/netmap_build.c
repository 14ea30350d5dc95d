#include "lib/netmap/netmap_index.h"
#include "lib/netmap/netmap_version.h"
#include "lib/netmap/netmap_view.h"

/* Older agents read single ports only (4.8.2). */
#define RANGES_SINCE "0.48.0"

struct build {
	const struct netmap_account *acc;
	struct arena *a;
	uint32_t target;
	bool v6;     /* the target gets IPv6 */
	bool ranges; /* the target reads port ranges */
	bool *peers; /* the target's remote peers */
	/*
	 * One mark per direction and peer, raised by each policy rule: whether this rule was
	 * already given for that peer, however many groups or sides name it.
	 */
	uint32_t *marks[2];
	uint32_t mark;
	struct netmap_rule *rules;
	size_t nrules;
	size_t room;
	int err;
};

static void add_rule(struct build *b, const struct netmap_rule *rule)
{
	if (b->nrules == b->room) {
		size_t room = LN_MAX((size_t)64, b->room * 2);
		struct netmap_rule *v = arena_calloc(b->a, room, sizeof(*v));
		if (v == NULL) {
			b->err = LN_E_LIMIT;
			return;
		}
		if (b->nrules > 0)
			memcpy(v, b->rules, b->nrules * sizeof(*v));
		b->rules = v;
		b->room = room;
	}
	b->rules[b->nrules++] = *rule;
}

/* What one policy rule says about one other peer in one direction. */
static void add_peer(struct build *b, const struct netmap_rule_index *x, const char *rule_id,
		     enum netmap_direction direction, uint32_t peer)
{
	if (peer == b->target || b->marks[direction][peer] == b->mark || b->err < 0)
		return;
	b->marks[direction][peer] = b->mark;
	b->peers[peer] = true;

	const struct netmap_account_peer *other = &b->acc->peers[peer];
	struct netmap_rule rule = {
		.direction = direction,
		.action = x->rule->action,
		.protocol = x->protocol,
		.policy_id = rule_id,
	};
	for (size_t i = 0; i < x->nports; i++) {
		rule.port_first = x->ports[i].first;
		rule.port_last = x->ports[i].last;
		if (rule.port_first != rule.port_last && !b->ranges)
			continue;
		if (ip_is_set(&other->v4)) {
			rule.peer = ip_prefix_host(&other->v4);
			add_rule(b, &rule);
		}
		if (b->v6 && ip_is_set(&other->v6)) {
			rule.peer = ip_prefix_host(&other->v6);
			add_rule(b, &rule);
		}
	}
}

static void add_side(struct build *b, const struct netmap_rule_index *x, const char *rule_id,
		     enum netmap_direction direction, const struct netmap_side *side)
{
	if (side->single) {
		add_peer(b, x, rule_id, direction, side->peer);
		return;
	}
	for (size_t g = 0; g < side->ngroups; g++) {
		const struct netmap_members *m = &b->acc->index->groups[side->groups[g]];
		for (size_t i = 0; i < m->npeers; i++)
			add_peer(b, x, rule_id, direction, m->peers[i]);
	}
}

/* Spec management-protocol 4.8.2. */
static void apply_rule(struct build *b, const struct netmap_rule_index *x)
{
	const struct netmap_index *index = b->acc->index;
	bool in_source = netmap_side_has(index, &x->source, b->target);
	bool in_destination = netmap_side_has(index, &x->destination, b->target);
	if (!in_source && !in_destination)
		return;
	const char *id = arena_strdup(b->a, x->rule->id);
	if (id == NULL) {
		b->err = LN_E_LIMIT;
		return;
	}
	b->mark++;
	bool both = x->rule->bidirectional;
	if (in_destination)
		add_side(b, x, id, NETMAP_IN, &x->source);
	if (in_source && both)
		add_side(b, x, id, NETMAP_IN, &x->destination);
	if (in_source)
		add_side(b, x, id, NETMAP_OUT, &x->destination);
	if (in_destination && both)
		add_side(b, x, id, NETMAP_OUT, &x->source);
}

static const char *full_name(const struct netmap_account *acc, const struct netmap_account_peer *p,
			     struct arena *a)
{
	return arena_printf(a, "%s.%s", p->label, acc->domain);
}

static int describe_peer(const struct build *b, const struct netmap_account_peer *in,
			 struct netmap_peer *ret)
{
	*ret = (struct netmap_peer){
		.key = in->key,
		.v4 = in->v4,
		.fqdn = full_name(b->acc, in, b->a),
		.agent_version = arena_strdup(b->a, in->version != NULL ? in->version : ""),
		.ssh_key = arena_slice(b->a, in->ssh_key),
	};
	if (b->v6)
		ret->v6 = in->v6;
	if (ret->fqdn == NULL || ret->agent_version == NULL ||
	    (in->ssh_key.n > 0 && ret->ssh_key.p == NULL))
		return LN_E_LIMIT;
	return 0;
}

/* Peers whose login has run out are known, but nobody connects to them (4.8.3). */
static int list_peers(const struct build *b, ln_wall now, struct netmap *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < b->acc->npeers; i++)
		n += b->peers[i];
	struct netmap_peer *online = arena_calloc(b->a, n, sizeof(*online));
	struct netmap_peer *offline = arena_calloc(b->a, n, sizeof(*offline));
	if (online == NULL || offline == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < b->acc->npeers; i++) {
		if (!b->peers[i])
			continue;
		const struct netmap_account_peer *p = &b->acc->peers[i];
		bool expired = p->login_expires != 0 && p->login_expires <= now;
		struct netmap_peer *to =
			expired ? &offline[ret->noffline++] : &online[ret->npeers++];
		int err = describe_peer(b, p, to);
		if (err < 0)
			return err;
	}
	ret->peers = online;
	ret->offline = offline;
	return 0;
}

bool netmap_target_v6(const struct netmap_account *acc, size_t target)
{
	const struct netmap_account_peer *p = &acc->peers[target];
	return (p->capabilities >> NETMAP_CAP_IPV6 & 1) != 0 && ip_is_set(&p->v6) &&
	       ip_is_set(&acc->network_v6.addr);
}

bool netmap_target_ranges(const struct netmap_account *acc, size_t target)
{
	return netmap_version_since(acc->peers[target].version, RANGES_SINCE);
}

int netmap_self_make(const struct netmap_account *acc, size_t target, struct arena *a,
		     struct netmap_self *ret)
{
	const struct netmap_account_peer *p = &acc->peers[target];
	*ret = (struct netmap_self){
		.address = { .addr = p->v4, .len = acc->network.len },
		.fqdn = full_name(acc, p, a),
		.lazy_connections = acc->lazy_connections,
		.routing_peer_dns = acc->routing_peer_dns,
	};
	if (netmap_target_v6(acc, target))
		ret->address_v6 = (struct ip_prefix){ .addr = p->v6, .len = acc->network_v6.len };
	return ret->fqdn != NULL ? 0 : LN_E_LIMIT;
}

static int apply_policies(struct build *b, ln_wall now, struct netmap *ret)
{
	const struct netmap_account *acc = b->acc;
	b->peers = arena_calloc(b->a, acc->npeers, sizeof(*b->peers));
	b->marks[0] = arena_calloc(b->a, acc->npeers, sizeof(uint32_t));
	b->marks[1] = arena_calloc(b->a, acc->npeers, sizeof(uint32_t));
	if (b->peers == NULL || b->marks[0] == NULL || b->marks[1] == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < acc->index->nrules && b->err == 0; i++)
		apply_rule(b, &acc->index->rules[i]);
	if (b->err < 0)
		return b->err;
	ret->rules = b->rules;
	ret->nrules = b->nrules;
	return list_peers(b, now, ret);
}

int netmap_build(const struct netmap_account *acc, size_t target, ln_wall now, struct arena *a,
		 struct netmap *ret)
{
	ln_assert(acc->index != NULL && target < acc->npeers);
	const struct netmap_account_peer *self = &acc->peers[target];
	struct build b = {
		.acc = acc,
		.a = a,
		.target = (uint32_t)target,
		.v6 = netmap_target_v6(acc, target),
		.ranges = netmap_target_ranges(acc, target),
	};
	struct netmap m = {
		.serial = acc->serial,
		.dns_forwarder_port = acc->index->forwarder_port,
	};
	int err = netmap_self_make(acc, target, a, &m.self);
	/* Not approved: the peer learns its own address and nothing else (4.2). */
	if (err == 0 && !self->awaiting_approval)
		err = apply_policies(&b, now, &m);
	if (err < 0)
		return err;
	m.peers_is_empty = m.npeers == 0;
	m.rules_is_empty = m.nrules == 0;
	*ret = m;
	return 0;
}
