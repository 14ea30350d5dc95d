/*
 * What a map is computed from, for one receiver (spec management-protocol 1.7): the peers it sees
 * and itself, the rules it is named in, and for each rule the one or two lists of peers it may
 * know. The receiver computes 4.8 from it and must come to the map it would have been sent; so a
 * list goes out as a single group, whatever groups it was made of, and the side of a rule that the
 * receiver may not look into is a group of nobody but itself.
 */
#include "lib/mgmt/mgmt_components.h"

#include "lib/mgmt/mgmt_internal.h"
#include "lib/mgmt/mgmt_put.h"

#include "proto/proto_scan.h"

enum { /* NetworkMapComponentsFull */
	FULL_SERIAL = 1,
	FULL_PEER_CONFIG = 2,
	FULL_NETWORK = 3,
	FULL_SETTINGS = 4,
	FULL_DNS_SETTINGS = 5,
	FULL_DNS_DOMAIN = 6,
	FULL_POLICIES = 11,
	FULL_GROUPS = 12,
	FULL_FORWARDER_PORT = 23,
	FULL_USER_ID_CLAIM = 25,
};

enum {
	NETWORK_CIDR = 2, /* AccountNetwork */
	NETWORK_CIDR_V6 = 3,
	NETWORK_SERIAL = 5,
	DNS_DISABLED_GROUPS = 1, /* DNSSettingsCompact */
	POLICY_ID = 1,           /* PolicyCompact */
	POLICY_ACTION = 2,
	POLICY_PROTOCOL = 3,
	POLICY_BIDIRECTIONAL = 4,
	POLICY_PORTS = 5,
	POLICY_PORT_RANGES = 6,
	POLICY_SOURCES = 7,
	POLICY_DESTINATIONS = 8,
	RANGE_START = 1, /* PortInfo.Range */
	RANGE_END = 2,
	GROUP_ID = 1, /* GroupCompact */
	GROUP_PEERS = 2,
};

#define SELF_GROUP "self" /* the receiver alone */
#define GROUP_NAME_MAX 16

struct pack {
	const struct mgmt_plan *plan;
	const struct netmap_account *acc;
	struct str *dst;
	struct str part;  /* the message being made */
	struct str inner; /* one inside it */
	uint32_t *ranks;  /* of each peer of the account among those sent */
	uint64_t *sent;   /* numbers of lists that went out as groups */
};

bool mgmt_components_fit(const struct mgmt_plan *p)
{
	const struct netmap_index *x = mgmt_shelf_account(p->shelf)->index;
	if (p->view.nparts == 0 || p->view.noffline > 0 || !ip_is_set(&p->view.self.address.addr))
		return false;
	for (size_t i = 0; i < p->view.nparts; i++) {
		if (x->rules[p->view.parts[i].rule].nports == 0)
			return false;
	}
	return true;
}

static void put_text(struct str *dst, uint32_t number, const char *text)
{
	if (*text != '\0')
		proto_put_bytes(dst, number, slice_str(text));
}

static void put_int(struct str *dst, uint32_t number, uint64_t v)
{
	if (v != 0)
		proto_put_varint(dst, number, v);
}

static void pack_head(struct pack *k)
{
	char text[IP_PREFIX_TEXT_MAX];
	struct proto_writer w;
	put_int(k->dst, FULL_SERIAL, k->acc->serial);
	proto_writer_init(&w);
	proto_pack(&k->part, mgmt_self_to_wire(&w, &k->plan->view.self));
	proto_writer_fini(&w);
	proto_put_bytes(k->dst, FULL_PEER_CONFIG, str_slice(&k->part));

	str_clear(&k->part);
	ip_prefix_format(&k->acc->network, text);
	put_text(&k->part, NETWORK_CIDR, text);
	if (ip_is_set(&k->acc->network_v6.addr)) {
		ip_prefix_format(&k->acc->network_v6, text);
		put_text(&k->part, NETWORK_CIDR_V6, text);
	}
	put_int(&k->part, NETWORK_SERIAL, k->acc->serial);
	proto_put_bytes(k->dst, FULL_NETWORK, str_slice(&k->part));
	proto_put_bytes(k->dst, FULL_SETTINGS, slice_of(NULL, 0));

	/* DNS is off, as in plain maps: for the group that is the receiver. */
	str_clear(&k->part);
	put_text(&k->part, DNS_DISABLED_GROUPS, SELF_GROUP);
	proto_put_bytes(k->dst, FULL_DNS_SETTINGS, str_slice(&k->part));
	put_text(k->dst, FULL_DNS_DOMAIN, k->acc->domain);
}

/* The peers seen and the receiver, and the ranks by which everything else names them. */
static void pack_peers(struct pack *k)
{
	const struct netmap_view *v = &k->plan->view;
	const struct mgmt_block *b = mgmt_shelf_compact(k->plan->shelf);
	uint32_t rank = 0;
	size_t run = 0;
	for (size_t i = 0; i <= k->acc->npeers; i++) {
		if (i < k->acc->npeers && (bitset_has(v->peers, i) || i == v->target)) {
			k->ranks[i] = rank++;
			continue;
		}
		struct slice bytes = mgmt_block_run(b, run, i);
		str_addn(k->dst, bytes.p, bytes.n);
		run = i + 1;
	}
}

static const char *group_name(const struct netmap_list *list, char name[GROUP_NAME_MAX])
{
	char *p = name + GROUP_NAME_MAX;
	uint32_t v = list->number;
	*--p = '\0';
	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	*--p = 'g';
	return p;
}

static void pack_group(struct pack *k, const char *name, const uint32_t *peers, size_t n)
{
	uint8_t varint[MGMT_PUT_VARINT_MAX];
	str_clear(&k->part);
	str_clear(&k->inner);
	put_text(&k->part, GROUP_ID, name);
	for (size_t i = 0; i < n; i++) {
		uint8_t *end = mgmt_put_varint(varint, k->ranks[peers[i]]);
		str_addn(&k->inner, varint, (size_t)(end - varint));
	}
	proto_put_bytes(&k->part, GROUP_PEERS, str_slice(&k->inner));
	proto_put_bytes(k->dst, FULL_GROUPS, str_slice(&k->part));
}

static void pack_ports(struct pack *k, const struct netmap_rule_index *r)
{
	uint8_t varint[MGMT_PUT_VARINT_MAX];
	if (r->ports[0].first == 0)
		return; /* every port */
	bool ranges = false;
	for (size_t i = 0; i < r->nports; i++)
		ranges = ranges || r->ports[i].first != r->ports[i].last;
	str_clear(&k->inner);
	for (size_t i = 0; !ranges && i < r->nports; i++) {
		uint8_t *end = mgmt_put_varint(varint, r->ports[i].first);
		str_addn(&k->inner, varint, (size_t)(end - varint));
	}
	if (!ranges)
		proto_put_bytes(&k->part, POLICY_PORTS, str_slice(&k->inner));
	/* Ports hide ranges on the other side: as soon as there is a range all of them are. */
	for (size_t i = 0; ranges && i < r->nports; i++) {
		str_clear(&k->inner);
		put_int(&k->inner, RANGE_START, r->ports[i].first);
		put_int(&k->inner, RANGE_END, r->ports[i].last);
		proto_put_bytes(&k->part, POLICY_PORT_RANGES, str_slice(&k->inner));
	}
}

/* What the receiver may know of one side: all of it when it is on the other, else itself. */
static void pack_side(struct pack *k, uint32_t number, const struct netmap_list *list, bool known)
{
	char name[GROUP_NAME_MAX];
	put_text(&k->part, number, known ? group_name(list, name) : SELF_GROUP);
}

static void pack_policy(struct pack *k, const struct netmap_rule_index *r)
{
	const struct netmap_list *source = r->lists[NETMAP_SOURCE];
	const struct netmap_list *destination = r->lists[NETMAP_DESTINATION];
	uint32_t target = k->plan->view.target;
	str_clear(&k->part);
	put_text(&k->part, POLICY_ID, r->rule->id);
	put_int(&k->part, POLICY_ACTION, r->rule->action);
	put_int(&k->part, POLICY_PROTOCOL, r->protocol);
	put_int(&k->part, POLICY_BIDIRECTIONAL, r->rule->bidirectional);
	pack_ports(k, r);
	pack_side(k, POLICY_SOURCES, source, bitset_has(destination->bits, target));
	pack_side(k, POLICY_DESTINATIONS, destination, bitset_has(source->bits, target));
	proto_put_bytes(k->dst, FULL_POLICIES, str_slice(&k->part));
}

static void pack_list_once(struct pack *k, const struct netmap_list *list)
{
	char name[GROUP_NAME_MAX];
	if (bitset_has(k->sent, list->number))
		return;
	bitset_add(k->sent, list->number);
	pack_group(k, group_name(list, name), list->peers, list->npeers);
}

static void pack_rules(struct pack *k)
{
	const struct netmap_view *v = &k->plan->view;
	const struct netmap_index *x = k->acc->index;
	for (size_t i = 0; i < v->nparts; i++) {
		if (i == 0 || v->parts[i].rule != v->parts[i - 1].rule)
			pack_policy(k, &x->rules[v->parts[i].rule]);
	}
	pack_group(k, SELF_GROUP, &v->target, 1);
	for (size_t i = 0; i < v->nparts; i++) {
		const struct netmap_rule_index *r = &x->rules[v->parts[i].rule];
		if (bitset_has(r->lists[NETMAP_DESTINATION]->bits, v->target))
			pack_list_once(k, r->lists[NETMAP_SOURCE]);
		if (bitset_has(r->lists[NETMAP_SOURCE]->bits, v->target))
			pack_list_once(k, r->lists[NETMAP_DESTINATION]);
	}
}

int mgmt_components_pack(const struct mgmt_plan *p, struct str *dst)
{
	const struct netmap_account *acc = mgmt_shelf_account(p->shelf);
	struct arena scratch;
	arena_init(&scratch, SIZE_MAX);
	struct pack k = {
		.plan = p,
		.acc = acc,
		.dst = dst,
		.ranks = arena_calloc(&scratch, acc->npeers, sizeof(uint32_t)),
		.sent = arena_calloc(&scratch, BITSET_WORDS(acc->index->nlists), sizeof(uint64_t)),
	};
	str_init(&k.part, dst->limit);
	str_init(&k.inner, dst->limit);
	if (k.ranks == NULL || k.sent == NULL) {
		arena_fini(&scratch);
		return LN_E_LIMIT;
	}
	pack_head(&k);
	pack_peers(&k);
	pack_rules(&k);
	put_int(dst, FULL_FORWARDER_PORT, acc->index->forwarder_port);
	put_text(dst, FULL_USER_ID_CLAIM, "sub");
	int err = dst->err != 0 ? dst->err : k.part.err != 0 ? k.part.err : k.inner.err;
	str_fini(&k.part);
	str_fini(&k.inner);
	arena_fini(&scratch);
	return err;
}
