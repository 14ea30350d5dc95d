/*
 * Component maps, read as an agent reads them: the message is unpacked by protobuf-c, section 4.8
 * of the specification is applied to what is in it, and the peers and rules that come out must be
 * those of the plain map.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/mgmt/mgmt_plan.h"

#include "proto/management.pb-c.h"
#include "tests/unit/mgmt/account_random.h"
#include "tests/unit/unit.h"

#define ACCOUNTS 600
#define LINE 400

typedef Management__NetworkMapComponentsFull full_map;

static const uint64_t seed[2] = { 11, 22 };
static struct arena arena;

struct lines {
	char (*v)[LINE];
	size_t n, room;
};

static void add_line(struct lines *l, const char *text)
{
	if (l->n == l->room) {
		l->room = l->room * 2 + 64;
		l->v = realloc(l->v, l->room * sizeof(*l->v));
	}
	snprintf(l->v[l->n++], LINE, "%s", text);
}

static int line_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The same rule said twice is one; lists have no order. */
static void sort_lines(struct lines *l)
{
	size_t kept = 0;
	if (l->n > 0)
		qsort(l->v, l->n, LINE, line_cmp);
	for (size_t i = 0; i < l->n; i++) {
		if (kept == 0 || strcmp(l->v[kept - 1], l->v[i]) != 0)
			memmove(l->v[kept++], l->v[i], LINE);
	}
	l->n = kept;
}

static void add_rule(struct lines *l, const char *id, unsigned direction, unsigned action,
		     unsigned protocol, const struct ip_addr *peer, unsigned first, unsigned last)
{
	char text[LINE], ip[IP_TEXT_MAX];
	ip_format(peer, ip);
	snprintf(text, sizeof(text), "%s %u %u %u %s %u-%u", id, direction, action, protocol, ip,
		 first, last);
	add_line(l, text);
}

static void add_peer(struct lines *l, const uint8_t *key, const struct ip_addr *v4,
		     const struct ip_addr *v6, const char *fqdn, const char *version, size_t nssh)
{
	char text[LINE], four[IP_TEXT_MAX] = "-", six[IP_TEXT_MAX] = "-", name[WG_KEY_TEXT];
	struct wg_key k;
	memcpy(k.b, key, sizeof(k.b));
	wg_key_format(&k, name);
	if (ip_is_set(v4))
		ip_format(v4, four);
	if (ip_is_set(v6))
		ip_format(v6, six);
	snprintf(text, sizeof(text), "peer %s %s %s %s %s %zu", name, four, six, fqdn, version,
		 nssh);
	add_line(l, text);
}

/* --- the agent's side --------------------------------------------------------------------------*/

struct reading {
	const full_map *m;
	size_t self;
	bool v6;
	bool *seen;
	struct lines *out;
};

static struct ip_addr address(ProtobufCBinaryData b)
{
	struct ip_addr a = { 0 };
	if (b.len == 0)
		return a;
	a.family = b.len == 4 ? 4 : 6;
	memcpy(a.b, b.data, b.len);
	return a;
}

static bool in_groups(const struct reading *r, size_t n, char **ids, size_t peer)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t g = 0; g < r->m->n_groups; g++) {
			const Management__GroupCompact *group = r->m->groups[g];
			for (size_t k = 0;
			     strcmp(group->id, ids[i]) == 0 && k < group->n_peer_indexes; k++) {
				assert_true(group->peer_indexes[k] < r->m->n_peers);
				if (group->peer_indexes[k] == peer)
					return true;
			}
		}
	}
	return false;
}

static void say_ports(struct reading *r, const Management__PolicyCompact *p, unsigned direction,
		      const struct ip_addr *to)
{
	if (!ip_is_set(to))
		return;
	for (size_t i = 0; i < p->n_ports; i++)
		add_rule(r->out, p->id, direction, p->action, p->protocol, to, p->ports[i],
			 p->ports[i]);
	for (size_t i = 0; p->n_ports == 0 && i < p->n_port_ranges; i++)
		add_rule(r->out, p->id, direction, p->action, p->protocol, to,
			 p->port_ranges[i]->start, p->port_ranges[i]->end);
	if (p->n_ports == 0 && p->n_port_ranges == 0)
		add_rule(r->out, p->id, direction, p->action, p->protocol, to, 0, 0);
}

static void say(struct reading *r, const Management__PolicyCompact *p, unsigned direction,
		size_t other)
{
	struct ip_addr v4 = address(r->m->peers[other]->ip);
	struct ip_addr v6 = address(r->m->peers[other]->ipv6);
	r->seen[other] = true;
	say_ports(r, p, direction, &v4);
	if (r->v6)
		say_ports(r, p, direction, &v6);
}

static void read_policy(struct reading *r, const Management__PolicyCompact *p)
{
#define SOURCE(x) in_groups(r, p->n_source_group_ids, p->source_group_ids, x)
#define DEST(x) in_groups(r, p->n_destination_group_ids, p->destination_group_ids, x)
	bool source = SOURCE(r->self), dest = DEST(r->self);
	for (size_t o = 0; o < r->m->n_peers; o++) {
		if (o == r->self)
			continue;
		if ((dest && SOURCE(o)) || (p->bidirectional && source && DEST(o)))
			say(r, p, NETMAP_IN, o);
		if ((source && DEST(o)) || (p->bidirectional && dest && SOURCE(o)))
			say(r, p, NETMAP_OUT, o);
	}
}

static void read_components(const full_map *m, const struct wg_key *key, struct lines *out)
{
	struct reading r = { .m = m, .self = m->n_peers, .out = out };
	for (size_t i = 0; i < m->n_peers; i++) {
		assert_int_equal(m->peers[i]->wg_pub_key.len, WG_KEY_LEN);
		if (memcmp(m->peers[i]->wg_pub_key.data, key->b, WG_KEY_LEN) == 0)
			r.self = i;
	}
	assert_true(r.self < m->n_peers);
	r.v6 = m->peers[r.self]->supports_ipv6 && m->peers[r.self]->ipv6.len != 0;
	r.seen = calloc(m->n_peers, sizeof(*r.seen));
	for (size_t i = 0; i < m->n_policies; i++)
		read_policy(&r, m->policies[i]);
	const char *domain = strchr(m->peer_config->fqdn, '.');
	for (size_t i = 0; i < m->n_peers; i++) {
		const Management__PeerCompact *p = m->peers[i];
		char fqdn[200];
		snprintf(fqdn, sizeof(fqdn), "%s%s", p->dns_label, domain);
		struct ip_addr v4 = address(p->ip), v6 = { 0 };
		if (r.v6)
			v6 = address(p->ipv6);
		if (r.seen[i])
			add_peer(out, p->wg_pub_key.data, &v4, &v6, fqdn, p->agent_version,
				 p->ssh_pub_key.len);
		/* Nobody is told of more than it would have been. */
		assert_true(r.seen[i] || i == r.self);
	}
	free(r.seen);
}

/* --- the other reading -------------------------------------------------------------------------*/

static void plain_lines(const struct netmap *m, struct lines *out)
{
	for (size_t i = 0; i < m->npeers; i++) {
		const struct netmap_peer *p = &m->peers[i];
		add_peer(out, p->key.b, &p->v4, &p->v6, p->fqdn, p->agent_version, p->ssh_key.n);
	}
	for (size_t i = 0; i < m->nrules; i++) {
		const struct netmap_rule *r = &m->rules[i];
		add_rule(out, r->policy_id, r->direction, r->action, r->protocol, &r->peer.addr,
			 r->port_first, r->port_last);
	}
}

static bool check(struct mgmt_shelf *shelf, size_t t)
{
	const struct netmap_account *acc = mgmt_shelf_account(shelf);
	const struct netmap_account_peer *p = &acc->peers[t];
	const struct mgmt_deadline deadline = { .kind = MGMT_DEADLINE_NONE };
	const struct mgmt_servers servers = { .has_signal = true, .signal = { .uri = "x:1" } };
	struct mgmt_map_options opt = mgmt_map_options_of(p->version, p->capabilities);
	struct mgmt_plan plan;
	size_t size;
	/* Only agents that read port ranges announce this form. */
	if (!opt.port_ranges)
		return false;
	assert_int_equal(mgmt_plan_make(&plan, shelf, t, 0, &opt, &arena), 0);
	bool fits = mgmt_plan_use_components(&plan);
	if (fits) {
		struct lines want = { 0 }, got = { 0 };
		struct netmap m;
		assert_int_equal(mgmt_plan_measure(&plan, &servers, &deadline, &size), 0);
		uint8_t *bytes = malloc(size);
		mgmt_plan_write(&plan, bytes);
		Management__SyncResponse *r = management__sync_response__unpack(NULL, size, bytes);
		assert_non_null(r);
		assert_int_equal(r->version, 1);
		assert_null(r->networkmap);
		assert_non_null(r->peerconfig);
		assert_non_null(r->netbirdconfig);
		assert_non_null(r->sessionexpiresat);
		const full_map *full = r->networkmapenvelope->full;
		assert_true(full->serial == acc->serial && full->network->serial == acc->serial);
		assert_string_equal(full->peer_config->fqdn, r->peerconfig->fqdn);
		read_components(full, &p->key, &got);
		assert_int_equal(netmap_build(acc, t, 0, &arena, &m), 0);
		plain_lines(&m, &want);
		sort_lines(&want);
		sort_lines(&got);
		assert_int_equal(got.n, want.n);
		for (size_t i = 0; i < got.n; i++)
			assert_string_equal(got.v[i], want.v[i]);
		management__sync_response__free_unpacked(r, NULL);
		free(bytes);
		free(want.v);
		free(got.v);
	}
	mgmt_plan_free(&plan);
	return fits;
}

static void test_same_result(void **state)
{
	(void)state;
	size_t maps = 0;
	for (unsigned n = 0; n < ACCOUNTS; n++) {
		arena_init(&arena, (size_t)64 << 20);
		struct netmap_account *acc = account_random(n, &arena);
		struct mgmt_shelf *shelf = mgmt_shelf_new(acc, seed, MGMT_SHELF_BYTES);
		for (size_t t = 0; t < acc->npeers; t++)
			maps += check(shelf, t);
		mgmt_shelf_free(shelf);
		arena_fini(&arena);
	}
	assert_true(maps > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_result) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
