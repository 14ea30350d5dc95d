/*
 * A snapshot made of a former one and the changes says what one read from the beginning says, after
 * operations of chance, failed ones, and those of another process.
 */
#include <stdio.h>
#include <string.h>

#include "lib/netmap/netmap_change.h"

#include "src/ev/ev.h"
#include "src/store/store_internal.h"
#include "tests/unit/store/failing_disk.h"
#include "tests/unit/store/store_fixture.h"
#include "tests/unit/unit.h"

#define ROUNDS 400

struct world {
	struct store_fixture fx;
	struct arena arena; /* of one round */
	unsigned next;      /* key of the next peer */
	struct store_peer *peers;
	size_t npeers;
	struct store_group *groups;
	size_t ngroups;
	struct store_policy *policies;
	size_t npolicies;
};

static unsigned pick(struct world *w, size_t below)
{
	return rng_below(&w->fx.rng, (uint32_t)below);
}

static void look(struct world *w)
{
	arena_reset(&w->arena);
	assert_int_equal(store_peer_list(w->fx.store, &w->arena, &w->peers, &w->npeers), 0);
	assert_int_equal(store_group_list(w->fx.store, &w->arena, &w->groups, &w->ngroups), 0);
	assert_int_equal(store_policy_list(w->fx.store, &w->arena, &w->policies, &w->npolicies), 0);
}

static int add_policy(struct world *w)
{
	static const struct store_ports ports[] = { { 22, 22 }, { 80, 90 } };
	struct store_ref groups[2] = { { .id = w->groups[pick(w, w->ngroups)].id },
				       { .id = w->groups[pick(w, w->ngroups)].id } };
	struct store_rule rule = {
		.name = "",
		.enabled = pick(w, 5) != 0,
		.drop = pick(w, 2) == 0,
		.bidirectional = pick(w, 2) == 0,
		.protocol = 2,
		.ports = ports,
		.nports = pick(w, 3),
		.sources = &groups[0],
		.nsources = 1,
		.destinations = &groups[1],
		.ndestinations = 1,
	};
	struct store_policy p = { .name = arena_printf(&w->arena, "p%u", pick(w, 1000)),
				  .description = "",
				  .enabled = true,
				  .rules = &rule,
				  .nrules = 1 };
	if (w->npeers > 0 && pick(w, 2) == 0) {
		rule.source_peer.id = w->peers[pick(w, w->npeers)].id;
		rule.nsources = 0;
	}
	return store_policy_create(w->fx.store, &p, NULL);
}

static int change_policy(struct world *w)
{
	if (w->npolicies == 0)
		return 0;
	struct store_policy *p = &w->policies[pick(w, w->npolicies)];
	p->enabled = !p->enabled;
	if (pick(w, 3) != 0)
		return store_policy_update(w->fx.store, p, NULL);
	return store_policy_delete(w->fx.store, &p->id);
}

static int change_group(struct world *w)
{
	struct store_id id;
	const char *name = arena_printf(&w->arena, "g%u", pick(w, 30));
	const struct store_id *g = &w->groups[pick(w, w->ngroups)].id;
	switch (pick(w, 4)) {
	case 0:
		return store_group_create(w->fx.store, name, &id);
	case 1:
		return store_group_rename(w->fx.store, g, name);
	case 2:
		return store_group_delete(w->fx.store, g, NULL);
	default:
		return 0;
	}
}

static int change_peer(struct world *w, const struct store_peer *p)
{
	struct store_meta meta = p->meta;
	const struct store_id *g = &w->groups[pick(w, w->ngroups)].id;
	switch (pick(w, 9)) {
	case 0:
		meta.version = pick(w, 2) == 0 ? "0.77.1" : "0.20.0";
		return store_peer_set_meta(w->fx.store, &p->id, &meta);
	case 1:
		meta.capabilities ^= 4;
		meta.flags ^= 1u << 16;
		return store_peer_set_meta(w->fx.store, &p->id, &meta);
	case 2:
		meta.kernel = pick(w, 2) == 0 ? "Linux" : "BSD"; /* in no map */
		return store_peer_set_meta(w->fx.store, &p->id, &meta);
	case 3:
		return store_peer_rename(w->fx.store, &p->id,
					 arena_printf(&w->arena, "name-%u", pick(w, 50)));
	case 4:
		return store_peer_set_ssh_key(w->fx.store, &p->id,
					      slice_str(pick(w, 2) == 0 ? "ssh-rsa" : ""));
	case 5:
		return store_group_remove_peer(w->fx.store, g, &p->id);
	case 6:
		return store_peer_connect(w->fx.store, &w->fx.account.id, &p->id, p->session + 1);
	default:
		return store_group_add_peer(w->fx.store, g, &p->id);
	}
}

/* Its result is of no interest: a refused operation changed nothing. */
static void operate(struct world *w)
{
	struct store_peer p;
	int r;
	look(w);
	switch (pick(w, 10)) {
	case 0:
	case 1:
	case 2:
		r = store_fixture_peer(&w->fx, w->next++, "host", "h", &p);
		break;
	case 3:
		r = w->npeers > 0 ? store_peer_delete(w->fx.store, &w->peers[pick(w, w->npeers)].id)
				  : 0;
		break;
	case 4:
		r = add_policy(w);
		break;
	case 5:
		r = change_policy(w);
		break;
	case 6:
		r = change_group(w);
		break;
	default:
		r = w->npeers > 0 ? change_peer(w, &w->peers[pick(w, w->npeers)]) : 0;
		break;
	}
	assert_true(r != LN_E_INTERNAL && r != LN_E_STATE);
}

/* --- comparing -------------------------------------------------------------------------------- */

static void same_peer(const struct netmap_account_peer *x, const struct netmap_account_peer *y)
{
	assert_string_equal(x->id, y->id);
	assert_memory_equal(&x->key, &y->key, sizeof(x->key));
	assert_true(ip_equal(&x->v4, &y->v4) && ip_equal(&x->v6, &y->v6));
	assert_string_equal(x->label, y->label);
	assert_string_equal(x->name, y->name);
	assert_string_equal(x->version, y->version);
	assert_int_equal(x->capabilities, y->capabilities);
	assert_true(slice_equal(x->ssh_key, y->ssh_key));
	assert_int_equal(x->awaiting_approval, y->awaiting_approval);
}

static void same_texts(const char *const *x, size_t nx, const char *const *y, size_t ny)
{
	assert_int_equal(nx, ny);
	for (size_t i = 0; i < nx; i++)
		assert_string_equal(x[i], y[i]);
}

static void same_rule(const struct netmap_account_rule *x, const struct netmap_account_rule *y)
{
	assert_string_equal(x->id, y->id);
	assert_int_equal(x->enabled, y->enabled);
	assert_int_equal(x->action, y->action);
	assert_int_equal(x->bidirectional, y->bidirectional);
	assert_int_equal(x->protocol, y->protocol);
	assert_int_equal(x->nports, y->nports);
	assert_int_equal(x->nranges, y->nranges);
	assert_memory_equal(x->ports, y->ports, x->nports * sizeof(*x->ports));
	assert_memory_equal(x->ranges, y->ranges, x->nranges * sizeof(*x->ranges));
	assert_string_equal(x->source_peer, y->source_peer);
	assert_string_equal(x->destination_peer, y->destination_peer);
	same_texts(x->source_groups, x->nsource_groups, y->source_groups, y->nsource_groups);
	same_texts(x->destination_groups, x->ndestination_groups, y->destination_groups,
		   y->ndestination_groups);
}

static void same_account(const struct netmap_account *x, const struct netmap_account *y)
{
	assert_true(x->serial == y->serial);
	assert_string_equal(x->domain, y->domain);
	assert_int_equal(x->npeers, y->npeers);
	for (size_t i = 0; i < x->npeers; i++)
		same_peer(&x->peers[i], &y->peers[i]);
	assert_int_equal(x->ngroups, y->ngroups);
	for (size_t i = 0; i < x->ngroups; i++) {
		const struct netmap_account_group *g = &x->groups[i], *h = &y->groups[i];
		assert_string_equal(g->id, h->id);
		assert_string_equal(g->name, h->name);
		same_texts(g->peers, g->npeers, h->peers, h->npeers);
	}
	assert_int_equal(x->npolicies, y->npolicies);
	for (size_t i = 0; i < x->npolicies; i++) {
		const struct netmap_account_policy *p = &x->policies[i], *q = &y->policies[i];
		assert_string_equal(p->id, q->id);
		assert_int_equal(p->enabled, q->enabled);
		assert_int_equal(p->nrules, q->nrules);
		for (size_t k = 0; k < p->nrules; k++)
			same_rule(&p->rules[k], &q->rules[k]);
	}
}

/*
 * The account as a second connection reads it: reading it with the store under test would make its
 * notes begin anew.
 */
static void check_against(struct world *w, struct store *reader, const struct netmap_account *got)
{
	struct netmap_account *want;
	struct arena a;
	arena_init(&a, 64 << 20);
	assert_int_equal(store_account_load(reader, &a, &want), 0);
	same_account(got, want);
	arena_fini(&a);
}

struct chain { /* of snapshots */
	struct arena arena;
	struct netmap_account *acc;
	size_t followed, peers_kept;
};

static int follow(struct world *w, struct chain *c)
{
	struct arena next;
	struct netmap_account *acc;
	struct netmap_same same;
	arena_init(&next, 64 << 20);
	int r = store_account_follow(w->fx.store, c->acc, &next, &acc, &same);
	assert_in_range(r, 0, 1);
	for (size_t i = 0; r == 1 && i < acc->npeers; i++) {
		if (same.peers[i] == NETMAP_NEW)
			continue;
		same_peer(&acc->peers[i], &c->acc->peers[same.peers[i]]);
		c->peers_kept++;
	}
	c->followed += (size_t)r;
	arena_fini(&c->arena);
	c->arena = next;
	c->acc = acc;
	return r;
}

static void begin(struct world *w, struct chain *c)
{
	memset(w, 0, sizeof(*w));
	memset(c, 0, sizeof(*c));
	store_fixture_init(&w->fx);
	store_fixture_key(&w->fx, "h", true, false);
	arena_init(&w->arena, 64 << 20);
	arena_init(&c->arena, 64 << 20);
	assert_int_equal(store_account_load(w->fx.store, &c->arena, &c->acc), 0);
}

static void end(struct world *w, struct chain *c)
{
	arena_fini(&c->arena);
	arena_fini(&w->arena);
	store_fixture_fini(&w->fx);
}

static void test_any_operations(void **state)
{
	struct world w;
	struct chain c;
	struct store *reader;
	begin(&w, &c);
	struct store_conf conf = w.fx.conf;
	conf.read_only = true;
	assert_int_equal(store_open(&conf, &reader, NULL), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct store_db *db = w.fx.store->db;
		bool group = round % 4 != 0; /* which is faster, too */
		assert_int_equal(group ? store_group_begin(db, false) : 0, 0);
		for (unsigned n = pick(&w, 5); n > 0; n--)
			operate(&w);
		assert_int_equal(group ? store_group_end(db) : 0, 0);
		(void)follow(&w, &c);
		check_against(&w, reader, c.acc);
	}
	/* Nearly always it was possible, and there was something to keep. */
	assert_true(c.followed > ROUNDS * 9 / 10 && c.peers_kept > ROUNDS * 10);
	store_close(reader);
	end(&w, &c);
}

static void test_failed_operations(void **state)
{
	struct world w;
	struct chain c;
	struct store *reader;
	failing_disk_install();
	begin(&w, &c);
	struct store_conf conf = w.fx.conf;
	conf.read_only = true;
	assert_int_equal(store_open(&conf, &reader, NULL), 0);
	for (int round = 0; round < 60; round++) {
		operate(&w);
		failing_disk_set(round % 12, FAILING_DISK_FULL, true);
		operate(&w);
		failing_disk_clear();
		operate(&w);
		(void)follow(&w, &c);
		check_against(&w, reader, c.acc);
	}
	assert_true(c.followed > 50);
	store_close(reader);
	end(&w, &c);
	failing_disk_remove();
}

static void test_another_process_writes(void **state)
{
	struct world w;
	struct chain c;
	struct store *other;
	struct store_id id;
	begin(&w, &c);
	assert_int_equal(store_open(&w.fx.conf, &other, NULL), 0);
	assert_int_equal(store_account_ensure(other, ev_wall(), &w.fx.account), 0);
	operate(&w);
	assert_int_equal(follow(&w, &c), 1);
	assert_int_equal(store_group_create(other, "theirs", &id), 0);
	operate(&w);
	assert_int_equal(follow(&w, &c), 0);
	check_against(&w, other, c.acc);
	/* And on from there. */
	assert_int_equal(store_group_create(w.fx.store, "ours", &id), 0);
	assert_int_equal(follow(&w, &c), 1);
	check_against(&w, other, c.acc);
	store_close(other);
	end(&w, &c);
}

static void test_too_many_changes(void **state)
{
	struct world w;
	struct chain c;
	struct store_peer p;
	begin(&w, &c);
	assert_int_equal(store_group_begin(w.fx.store->db, false), 0);
	for (; w.next < 1100; w.next++) {
		assert_int_equal(store_fixture_peer(&w.fx, w.next, "host", "h", &p), 0);
		arena_reset(&w.fx.arena);
	}
	assert_int_equal(store_group_end(w.fx.store->db), 0);
	assert_int_equal(follow(&w, &c), 0);
	assert_int_equal(c.acc->npeers, 1100);
	assert_int_equal(follow(&w, &c), 1);
	assert_int_equal(c.acc->npeers, 1100);
	/* A former one from before the notes begin. */
	c.acc->serial = 3;
	assert_int_equal(follow(&w, &c), 0);
	end(&w, &c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_operations),
		cmocka_unit_test(test_failed_operations),
		cmocka_unit_test(test_another_process_writes),
		cmocka_unit_test(test_too_many_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
