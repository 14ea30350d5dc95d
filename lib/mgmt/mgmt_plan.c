#include "lib/mgmt/mgmt_plan.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/mgmt/mgmt_components.h"
#include "lib/mgmt/mgmt_internal.h"
#include "lib/mgmt/mgmt_put.h"

#define MESSAGE_MAX MGMT_BLOCK_MAX

enum { /* SyncResponse, spec management-protocol 1.4 */
	SYNC_PEERS_IS_EMPTY = 4,
	SYNC_NETWORK_MAP = 5,
	SYNC_ENVELOPE = 8,
	SYNC_VERSION = 9,
	ENVELOPE_FULL = 1, /* NetworkMapEnvelope */
};

enum { /* NetworkMap, 1.5 */
	MAP_PEERS_IS_EMPTY = 4,
	MAP_OFFLINE_PEERS = 7,
	MAP_RULES_IS_EMPTY = 9,
	MAP_ROUTE_RULES_IS_EMPTY = 11,
};

#define FLAG_SIZE 2u /* a tag and a true */
#define OFFLINE_TAG (7u << 3 | 2)

/* What stands behind the last list of every map: sshAuth { UserIDClaim "sub" }. */
static const uint8_t map_end[] = {
	MAP_ROUTE_RULES_IS_EMPTY << 3, 1, 13 << 3 | 2, 5, 1 << 3 | 2, 3, 's', 'u', 'b'
};

/* --- making ----------------------------------------------------------------------------------- */

static size_t set_bytes(const struct mgmt_block *b, const uint64_t *set, size_t words)
{
	size_t n = 0;
	for (size_t i = bitset_next(set, words, 0, true); i < b->nentries;) {
		size_t stop = LN_MIN(bitset_next(set, words, i, false), b->nentries);
		n += mgmt_block_run(b, i, stop).n;
		i = bitset_next(set, words, stop, true);
	}
	return n;
}

static uint64_t set_sum(const struct mgmt_block *b, const uint64_t *set, size_t words)
{
	uint64_t sum = 0;
	for (size_t w = 0; w < words; w++) {
		for (uint64_t v = set[w]; v != 0; v &= v - 1)
			sum += b->hashes[w * 64 + (size_t)__builtin_ctzll(v)];
	}
	return sum;
}

/* The position of the target in a list; npeers when it is not in it. */
static size_t own_entry(const struct netmap_list *list, uint32_t target)
{
	size_t i = 0;
	if (!bitset_has(list->bits, target))
		return list->npeers;
	while (list->peers[i] != target)
		i++;
	return i;
}

static int plan_rules(struct mgmt_plan *p, struct arena *a, uint64_t *ret_sum)
{
	const struct netmap_view *v = &p->view;
	const struct netmap_index *x = mgmt_shelf_account(p->shelf)->index;
	unsigned variant = (v->v6 ? MGMT_VARIANT_V6 : 0u) |
			   (v->ranges && p->opt.port_ranges ? MGMT_VARIANT_RANGES : 0u) |
			   (p->opt.source_prefixes ? MGMT_VARIANT_PREFIXES : 0u);
	p->rules = arena_calloc(a, v->nparts, sizeof(*p->rules));
	p->own = arena_calloc(a, v->nparts, sizeof(*p->own));
	if (p->rules == NULL || p->own == NULL)
		return LN_E_LIMIT;
	*ret_sum = 0;
	for (size_t i = 0; i < v->nparts; i++) {
		const struct netmap_part *part = &v->parts[i];
		struct mgmt_block *b = mgmt_shelf_rules(p->shelf, part, variant);
		p->rules[i] = b;
		if (b == NULL)
			return LN_E_LIMIT;
		p->own[i] = own_entry(x->rules[part->rule].lists[part->slot], v->target);
		p->nrules_bytes += b->n;
		*ret_sum += b->sum;
		if (p->own[i] < b->nentries) {
			p->nrules_bytes -= mgmt_block_run(b, p->own[i], p->own[i] + 1).n;
			*ret_sum -= b->hashes[p->own[i]];
		}
		if (p->nrules_bytes > MESSAGE_MAX)
			return LN_E_LIMIT;
	}
	return 0;
}

/*
 * Lists count as sets: the order of rules carries no meaning, and peers have the account's order.
 * The sums are of hashes with a seed nobody knows, so no one can make two maps look alike.
 */
static uint64_t fingerprint(const struct mgmt_plan *p, uint64_t peers, uint64_t offline,
			    uint64_t rules)
{
	static const struct netmap_self untold = { .fqdn = "" };
	const struct netmap_self *self = &p->view.self;
	if (!ip_is_set(&self->address.addr))
		self = &untold; /* no PeerConfig is sent */
	const uint64_t *seed = mgmt_shelf_seed(p->shelf);

	struct {
		uint64_t peers, offline, rules, sizes[3], fqdn, flags, forwarder_port;
		uint8_t address[16], address_v6[16];
	} all = {
		.peers = peers,
		.offline = offline,
		.rules = rules,
		.sizes = { p->npeers_bytes, p->noffline_bytes, p->nrules_bytes },
		.fqdn = map_hash(seed, slice_str(self->fqdn)),
		.flags = (uint64_t)self->lazy_connections | (uint64_t)self->routing_peer_dns << 1 |
			 (uint64_t)(p->opt.deprecated_peers && p->view.npeers > 0) << 2 |
			 (uint64_t)self->mtu << 16 | (uint64_t)self->address.addr.family << 32 |
			 (uint64_t)self->address.len << 40 |
			 (uint64_t)self->address_v6.addr.family << 48 |
			 (uint64_t)self->address_v6.len << 56,
		.forwarder_port = mgmt_shelf_account(p->shelf)->index->forwarder_port,
	};

	static_assert(sizeof(all) == 9 * 8 + 32, "no padding goes into the hash");
	memcpy(all.address, self->address.addr.b, sizeof(all.address));
	memcpy(all.address_v6, self->address_v6.addr.b, sizeof(all.address_v6));
	return map_hash(seed, slice_of(&all, sizeof(all)));
}

int mgmt_plan_make(struct mgmt_plan *p, struct mgmt_shelf *shelf, size_t target, ln_wall now,
		   const struct mgmt_map_options *opt, struct arena *a)
{
	uint64_t rules;
	*p = (struct mgmt_plan){ .shelf = shelf, .opt = *opt };
	str_init(&p->head, MESSAGE_MAX);
	str_init(&p->map, MESSAGE_MAX);
	str_init(&p->dns, 0);
	str_init(&p->tail, 0);
	int err = netmap_view_make(mgmt_shelf_account(shelf), target, now, a, &p->view);
	if (err < 0)
		return err;
	const struct netmap_view *v = &p->view;
	p->peers = mgmt_shelf_peers(shelf, v->v6);
	p->npeers_bytes = set_bytes(p->peers, v->peers, v->words);
	p->noffline_bytes = set_bytes(p->peers, v->offline, v->words);
	err = plan_rules(p, a, &rules);
	if (err < 0)
		return err;
	p->hash = fingerprint(p, set_sum(p->peers, v->peers, v->words),
			      set_sum(p->peers, v->offline, v->words), rules);
	return 0;
}

void mgmt_plan_free(struct mgmt_plan *p)
{
	for (size_t i = 0; p->rules != NULL && i < p->view.nparts; i++) {
		if (p->rules[i] != NULL && !p->rules[i]->kept)
			mgmt_block_free(p->rules[i]);
	}
	str_fini(&p->head);
	str_fini(&p->map);
	str_fini(&p->dns);
	str_fini(&p->tail);
}

/* --- measuring -------------------------------------------------------------------------------- */

/* The small messages around the lists; protobuf-c writes fields by number, as do we. */
static int pack_frame(struct mgmt_plan *p, const struct mgmt_servers *servers,
		      const struct mgmt_deadline *deadline)
{
	const struct netmap_account *acc = mgmt_shelf_account(p->shelf);
	struct proto_writer w;
	proto_writer_init(&w);
	Management__PeerConfig *self = NULL;
	if (ip_is_set(&p->view.self.address.addr))
		self = mgmt_self_to_wire(&w, &p->view.self);

	Management__SyncResponse *head = proto_new(&w, &management__sync_response__descriptor);
	if (servers != NULL)
		head->netbirdconfig = mgmt_servers_to_wire(&w, servers);
	head->peerconfig = self;
	proto_pack(&p->head, head);

	Management__NetworkMap *map = proto_new(&w, &management__network_map__descriptor);
	map->serial = acc->serial;
	map->peerconfig = self;
	proto_pack(&p->map, map);

	map = proto_new(&w, &management__network_map__descriptor);
	map->dnsconfig = proto_new(&w, &management__dnsconfig__descriptor);
	map->dnsconfig->forwarderport = acc->index->forwarder_port;
	proto_pack(&p->dns, map);

	Management__SyncResponse *tail = proto_new(&w, &management__sync_response__descriptor);
	tail->sessionexpiresat = mgmt_deadline_to_wire(&w, deadline);
	proto_pack(&p->tail, tail);
	proto_writer_fini(&w);
	return p->head.err < 0 ? p->head.err : p->map.err;
}

static int measure_components(struct mgmt_plan *p, size_t *ret_size)
{
	str_clear(&p->map);
	int err = mgmt_components_pack(p, &p->map);
	if (err < 0)
		return err;
	p->nmap = 1 + mgmt_varint_size(p->map.n) + p->map.n;
	p->size = p->head.n + p->tail.n + 1 + mgmt_varint_size(p->nmap) + p->nmap + FLAG_SIZE;
	if (p->size > MESSAGE_MAX)
		return LN_E_LIMIT;
	*ret_size = p->size;
	return 0;
}

static void write_components(const struct mgmt_plan *plan, uint8_t *dst)
{
	uint8_t *p = mgmt_put_raw(dst, plan->head.s, plan->head.n);
	p = mgmt_put_raw(p, plan->tail.s, plan->tail.n);
	p = mgmt_put_head(p, SYNC_ENVELOPE, plan->nmap);
	p = mgmt_put_head(p, ENVELOPE_FULL, plan->map.n);
	p = mgmt_put_raw(p, plan->map.s, plan->map.n);
	p = mgmt_put_int(p, SYNC_VERSION, 1);
	ln_assert((size_t)(p - dst) == plan->size);
}

bool mgmt_plan_use_components(struct mgmt_plan *p)
{
	p->components = mgmt_components_fit(p);
	return p->components;
}

int mgmt_plan_measure(struct mgmt_plan *p, const struct mgmt_servers *servers,
		      const struct mgmt_deadline *deadline, size_t *ret_size)
{
	int err = pack_frame(p, servers, deadline);
	if (err < 0)
		return err;
	if (p->components)
		return measure_components(p, ret_size);
	size_t no_peers = p->view.npeers == 0 ? FLAG_SIZE : 0;
	p->nmap = p->map.n + p->npeers_bytes + no_peers + p->dns.n + p->noffline_bytes +
		  p->nrules_bytes + (p->nrules_bytes == 0 ? FLAG_SIZE : 0) + sizeof(map_end);
	p->size = p->head.n + (p->opt.deprecated_peers ? p->npeers_bytes : 0) + no_peers + 1 +
		  mgmt_varint_size(p->nmap) + p->nmap + p->tail.n;
	if (p->size > MESSAGE_MAX)
		return LN_E_LIMIT;
	*ret_size = p->size;
	return 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

static uint8_t *write_set(uint8_t *p, const struct mgmt_block *b, const uint64_t *set, size_t words)
{
	for (size_t i = bitset_next(set, words, 0, true); i < b->nentries;) {
		size_t stop = LN_MIN(bitset_next(set, words, i, false), b->nentries);
		struct slice run = mgmt_block_run(b, i, stop);
		p = mgmt_put_raw(p, run.p, run.n);
		i = bitset_next(set, words, stop, true);
	}
	return p;
}

/* One by one, for the tag is that of the other list. */
static uint8_t *write_offline(uint8_t *p, const struct mgmt_block *b, const uint64_t *set,
			      size_t words)
{
	for (size_t i = bitset_next(set, words, 0, true); i < b->nentries;
	     i = bitset_next(set, words, i + 1, true)) {
		struct slice entry = mgmt_block_run(b, i, i + 1);
		*p = OFFLINE_TAG;
		mgmt_put_raw(p + 1, entry.p + 1, entry.n - 1);
		p += entry.n;
	}
	return p;
}

static uint8_t *write_rules(uint8_t *p, const struct mgmt_plan *plan)
{
	for (size_t i = 0; i < plan->view.nparts; i++) {
		const struct mgmt_block *b = plan->rules[i];
		size_t own = LN_MIN(plan->own[i], b->nentries);
		struct slice run = mgmt_block_run(b, 0, own);
		p = mgmt_put_raw(p, run.p, run.n);
		if (own == b->nentries)
			continue;
		run = mgmt_block_run(b, own + 1, b->nentries);
		p = mgmt_put_raw(p, run.p, run.n);
	}
	return p;
}

void mgmt_plan_write(const struct mgmt_plan *plan, uint8_t *dst)
{
	const struct netmap_view *v = &plan->view;
	if (plan->components) {
		write_components(plan, dst);
		return;
	}
	uint8_t *p = mgmt_put_raw(dst, plan->head.s, plan->head.n);
	if (plan->opt.deprecated_peers) /* the field has the number of the one in the map */
		p = write_set(p, plan->peers, v->peers, v->words);
	if (v->npeers == 0)
		p = mgmt_put_int(p, SYNC_PEERS_IS_EMPTY, 1);
	p = mgmt_put_head(p, SYNC_NETWORK_MAP, plan->nmap);
	p = mgmt_put_raw(p, plan->map.s, plan->map.n);
	p = write_set(p, plan->peers, v->peers, v->words);
	if (v->npeers == 0)
		p = mgmt_put_int(p, MAP_PEERS_IS_EMPTY, 1);
	p = mgmt_put_raw(p, plan->dns.s, plan->dns.n);
	p = write_offline(p, plan->peers, v->offline, v->words);
	p = write_rules(p, plan);
	if (plan->nrules_bytes == 0)
		p = mgmt_put_int(p, MAP_RULES_IS_EMPTY, 1);
	p = mgmt_put_raw(p, map_end, sizeof(map_end));
	p = mgmt_put_raw(p, plan->tail.s, plan->tail.n);
	ln_assert((size_t)(p - dst) == plan->size);
}
