/*
 * Accounts and shelves made from their former ones and a change, against accounts made anew: the
 * same maps byte for byte, over accounts and edits of chance, in chains.
 */
#include <stdlib.h>

#include "lib/mgmt/mgmt_plan.h"

#include "tests/unit/mgmt/account_edit.h"
#include "tests/unit/mgmt/account_random.h"
#include "tests/unit/unit.h"

#define ACCOUNTS 2000
#define STEPS 4
#define NOW 100

static const uint64_t seed[2] = { 11, 22 };
static const struct mgmt_deadline deadline = { .kind = MGMT_DEADLINE_NONE };

struct side { /* one way to the account */
	struct arena arena;
	struct netmap_account *acc;
	struct mgmt_shelf *shelf;
};

static void side_fini(struct side *s)
{
	mgmt_shelf_free(s->shelf);
	arena_fini(&s->arena);
}

static uint8_t *map_of(struct side *s, size_t target, const struct mgmt_map_options *opt,
		       bool components, size_t *ret_n, uint64_t *ret_hash)
{
	struct mgmt_plan p;
	struct arena a;
	arena_init(&a, (size_t)64 << 20);
	assert_int_equal(mgmt_plan_make(&p, s->shelf, target, NOW, opt, &a), 0);
	if (components)
		(void)mgmt_plan_use_components(&p);
	assert_int_equal(mgmt_plan_measure(&p, NULL, &deadline, ret_n), 0);
	uint8_t *bytes = malloc(*ret_n);
	assert_non_null(bytes);
	mgmt_plan_write(&p, bytes);
	*ret_hash = p.hash;
	mgmt_plan_free(&p);
	arena_fini(&a);
	return bytes;
}

/* Returns the number of maps compared. */
static size_t compare(struct side *followed, struct side *anew, unsigned n)
{
	assert_int_equal(followed->acc->npeers, anew->acc->npeers);
	for (size_t t = 0; t < anew->acc->npeers; t++) {
		const struct netmap_account_peer *p = &anew->acc->peers[t];
		struct mgmt_map_options opt = mgmt_map_options_of(p->version, p->capabilities);
		bool components = (n + t) % 2 == 0;
		size_t nx, ny;
		uint64_t hx, hy;
		assert_string_equal(followed->acc->peers[t].id, p->id);
		uint8_t *x = map_of(followed, t, &opt, components, &nx, &hx);
		uint8_t *y = map_of(anew, t, &opt, components, &ny, &hy);
		assert_int_equal(nx, ny);
		assert_memory_equal(x, y, nx);
		assert_true(hx == hy);
		free(x);
		free(y);
	}
	return anew->acc->npeers;
}

/* The side at the next serial; the former one is gone before anything is read of the new one. */
static void follow(struct side *s, const struct netmap_change *c, size_t budget)
{
	struct side next;
	struct netmap_same same;
	arena_init(&next.arena, (size_t)64 << 20);
	assert_int_equal(netmap_account_change(s->acc, c, &next.arena, &next.acc, &same), 0);
	next.shelf = mgmt_shelf_new(next.acc, seed, budget);
	mgmt_shelf_follow(next.shelf, s->shelf, &same);
	side_fini(s);
	*s = next;
}

static void test_chains(void **state)
{
	static const size_t budgets[] = { MGMT_SHELF_BYTES, 0, 4000 };
	size_t maps = 0, kept = 0;
	for (unsigned n = 0; n < ACCOUNTS; n++) {
		struct side followed;
		struct arena edits;
		arena_init(&edits, (size_t)64 << 20);
		arena_init(&followed.arena, (size_t)64 << 20);
		const struct netmap_account *full =
			account_edit_sorted(account_random(n, &edits), &edits);
		/* Of its own memory, as from a store. */
		followed.acc =
			account_edit_sorted(account_random(n, &followed.arena), &followed.arena);
		followed.shelf = mgmt_shelf_new(followed.acc, seed, budgets[n % 3]);
		for (unsigned step = 0; step < STEPS; step++) {
			struct side anew;
			struct netmap_change c;
			full = account_edit(full, (uint64_t)n * STEPS + step, &edits, &c);
			arena_init(&anew.arena, (size_t)64 << 20);
			anew.acc = account_edit_sorted(full, &anew.arena);
			anew.shelf = mgmt_shelf_new(anew.acc, seed, MGMT_SHELF_BYTES);
			follow(&followed, &c, budgets[n % 3]);
			kept += mgmt_shelf_kept(followed.shelf) > 0;
			assert_int_equal(followed.acc->serial, full->serial);
			maps += compare(&followed, &anew, n + step);
			side_fini(&anew);
		}
		side_fini(&followed);
		arena_fini(&edits);
	}
	assert_true(maps > 40000 && kept > ACCOUNTS);
}

/* Of entries nobody changed none is made anew: those of a former shelf are copied, right or wrong.
 */
static void test_entries_are_copied(void **state)
{
	struct arena a;
	struct netmap_same same;
	arena_init(&a, (size_t)64 << 20);
	struct netmap_account *acc = account_edit_sorted(account_random(16, &a), &a);
	struct netmap_account *next;
	struct mgmt_shelf *before = mgmt_shelf_new(acc, seed, MGMT_SHELF_BYTES);
	const struct mgmt_block *b = mgmt_shelf_peers(before, true);
	b->bytes[b->n - 1] ^= 1; /* the last peer's */
	assert_true(acc->npeers >= 2);
	const struct netmap_peer_change first = { .id = acc->peers[0].id };
	const struct netmap_change c = { .serial = acc->serial + 1, .peers = &first, .npeers = 1 };
	assert_int_equal(netmap_account_change(acc, &c, &a, &next, &same), 0);
	struct mgmt_shelf *after = mgmt_shelf_new(next, seed, MGMT_SHELF_BYTES);
	mgmt_shelf_follow(after, before, &same);
	const struct mgmt_block *f = mgmt_shelf_peers(after, true);
	assert_int_equal(f->nentries, b->nentries - 1);
	struct slice x = mgmt_block_run(b, 1, b->nentries), y = mgmt_block_run(f, 0, f->nentries);
	assert_true(slice_equal(x, y));
	/* What nobody asked for is not carried on. */
	struct mgmt_shelf *third = mgmt_shelf_new(next, seed, MGMT_SHELF_BYTES);
	struct mgmt_shelf *fourth = mgmt_shelf_new(next, seed, MGMT_SHELF_BYTES);
	const struct netmap_change none = { .serial = next->serial + 1 };
	struct netmap_account *again;
	assert_int_equal(netmap_account_change(next, &none, &a, &again, &same), 0);
	mgmt_shelf_follow(third, after, &same);
	mgmt_shelf_follow(fourth, third, &same);
	assert_true(mgmt_shelf_kept(third) > 0);
	assert_int_equal(mgmt_shelf_kept(fourth), 0);
	mgmt_shelf_free(before);
	mgmt_shelf_free(after);
	mgmt_shelf_free(third);
	mgmt_shelf_free(fourth);
	arena_fini(&a);
}

static void test_arena_limit(void **state)
{
	struct arena a;
	struct netmap_change c;
	arena_init(&a, (size_t)64 << 20);
	struct netmap_account *acc = account_edit_sorted(account_random(3, &a), &a);
	(void)account_edit(acc, 5, &a, &c);
	int err = LN_E_LIMIT;
	for (size_t limit = 0; err == LN_E_LIMIT; limit += 64) {
		struct arena small;
		struct netmap_account *next;
		struct netmap_same same;
		arena_init(&small, limit);
		err = netmap_account_change(acc, &c, &small, &next, &same);
		arena_fini(&small);
		assert_true(limit < 1000000);
	}
	assert_int_equal(err, 0);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_entries_are_copied),
		cmocka_unit_test(test_arena_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
