/* Maps from shared parts against the naive writer: byte for byte, over accounts of chance. */
#include <stdlib.h>

#include "lib/mgmt/mgmt_plan.h"

#include "tests/unit/mgmt/account_random.h"
#include "tests/unit/unit.h"

#define ACCOUNTS 2000
#define NOW 100

static const uint64_t seed[2] = { 11, 22 };
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

static const struct mgmt_host stun = { .uri = "stun:example.org:3478", .user = "", .password = "" };
static const struct mgmt_servers servers = {
	.stuns = &stun,
	.nstuns = 1,
	.has_signal = true,
	.signal = { .uri = "example.org:443", .https = true },
};

/* What of the message does not come from the account; by a number, so that all come by. */
struct frame {
	const struct mgmt_servers *servers;
	struct mgmt_deadline deadline;
	struct mgmt_map_options opt;
};

static struct frame frame_of(const struct netmap_account *acc, size_t target, unsigned number)
{
	static const struct mgmt_deadline deadlines[] = {
		{ .kind = MGMT_DEADLINE_NONE },
		{ .kind = MGMT_DEADLINE_ABSENT },
		{ .kind = MGMT_DEADLINE_AT, .at = 1700000000 * LN_SEC + 5 },
	};
	struct frame f = {
		.servers = number % 2 == 0 ? &servers : NULL,
		.deadline = deadlines[number % 3],
		.opt = mgmt_map_options_of(acc->peers[target].version,
					   acc->peers[target].capabilities),
	};
	if (number % 7 == 0)
		f.opt.deprecated_peers = !f.opt.deprecated_peers;
	return f;
}

static void naive(struct str *dst, const struct netmap_account *acc, size_t target,
		  const struct frame *f, bool no_serial)
{
	struct mgmt_sync_response m = { .has_map = true, .deadline = f->deadline };
	assert_int_equal(netmap_build(acc, target, NOW, &arena, &m.map), 0);
	if (no_serial)
		m.map.serial = 0;
	m.has_servers = f->servers != NULL;
	if (m.has_servers)
		m.servers = *f->servers;
	str_init(dst, 256 << 20);
	mgmt_sync_response_write(dst, &m, &f->opt);
	assert_int_equal(dst->err, 0);
}

static uint64_t check(struct mgmt_shelf *shelf, size_t target, const struct frame *f)
{
	LN_AUTO(str_fini) struct str want;
	struct mgmt_plan p;
	size_t size;
	naive(&want, mgmt_shelf_account(shelf), target, f, false);
	assert_int_equal(mgmt_plan_make(&p, shelf, target, NOW, &f->opt, &arena), 0);
	assert_int_equal(mgmt_plan_measure(&p, f->servers, &f->deadline, &size), 0);
	assert_int_equal(size, want.n);
	uint8_t *got = malloc(size);
	mgmt_plan_write(&p, got);
	assert_memory_equal(got, want.s, size);
	free(got);
	uint64_t hash = p.hash;
	mgmt_plan_free(&p);
	return hash;
}

static void test_same_bytes(void **state)
{
	(void)state;
	size_t peers = 0, rules = 0, maps = 0;
	for (unsigned n = 0; n < ACCOUNTS; n++) {
		struct netmap_account *acc = account_random(n, &arena);
		/* All kept; nothing kept; some. */
		static const size_t budgets[] = { MGMT_SHELF_BYTES, 0, 4000 };
		struct mgmt_shelf *shelf = mgmt_shelf_new(acc, seed, budgets[n % 3]);
		for (size_t t = 0; t < acc->npeers; t++) {
			struct frame f = frame_of(acc, t, n + (unsigned)t);
			uint64_t first = check(shelf, t, &f);
			/* From the shelf this time, and for somebody who understands less. */
			assert_true(check(shelf, t, &f) == first);
			f.opt.port_ranges = false;
			(void)check(shelf, t, &f);
			struct netmap m;
			assert_int_equal(netmap_build(acc, t, NOW, &arena, &m), 0);
			peers += m.npeers + m.noffline;
			rules += m.nrules;
			maps++;
		}
		mgmt_shelf_free(shelf);
		arena_reset(&arena);
	}
	/* The accounts are not all empty: else this proves nothing. */
	assert_true(maps > 10000 && peers > 3 * maps && rules > 10 * maps);
}

/* The fingerprint changes with the bytes, except for those of the serial. */
static void test_fingerprint(void **state)
{
	(void)state;
	size_t same = 0, other = 0;
	for (unsigned n = 0; n < 500; n++) {
		struct netmap_account *acc = account_random(n, &arena);
		struct netmap_account changed = *acc;
		account_random_change(&changed, n, &arena);
		struct mgmt_shelf *before = mgmt_shelf_new(acc, seed, MGMT_SHELF_BYTES);
		struct mgmt_shelf *after = mgmt_shelf_new(&changed, seed, MGMT_SHELF_BYTES);
		for (size_t t = 0; t < acc->npeers; t++) {
			struct frame f = frame_of(acc, t, 1);
			struct frame g = frame_of(&changed, t, 1);
			LN_AUTO(str_fini) struct str x;
			LN_AUTO(str_fini) struct str y;
			naive(&x, acc, t, &f, true);
			naive(&y, &changed, t, &g, true);
			bool equal = slice_equal(str_slice(&x), str_slice(&y));
			bool hashed = check(before, t, &f) == check(after, t, &g);
			assert_int_equal(hashed, equal);
			same += equal;
			other += !equal;
		}
		mgmt_shelf_free(before);
		mgmt_shelf_free(after);
		arena_reset(&arena);
	}
	assert_true(same > 500 && other > 500);
}

static void test_seed(void **state)
{
	(void)state;
	static const uint64_t else_seed[2] = { 11, 23 };
	struct netmap_account *acc = account_random(5, &arena);
	struct mgmt_shelf *x = mgmt_shelf_new(acc, seed, MGMT_SHELF_BYTES);
	struct mgmt_shelf *y = mgmt_shelf_new(acc, else_seed, MGMT_SHELF_BYTES);
	struct frame f = frame_of(acc, 0, 1);
	assert_true(check(x, 0, &f) != check(y, 0, &f));
	mgmt_shelf_free(x);
	mgmt_shelf_free(y);
}

static void test_arena_limit(void **state)
{
	(void)state;
	struct netmap_account *acc = account_random(3, &arena);
	struct mgmt_shelf *shelf = mgmt_shelf_new(acc, seed, 0);
	struct frame f = frame_of(acc, 0, 0);
	int err = LN_E_LIMIT;
	for (size_t limit = 0; err == LN_E_LIMIT; limit += 16) {
		struct arena small;
		struct mgmt_plan p;
		arena_init(&small, limit);
		err = mgmt_plan_make(&p, shelf, 0, NOW, &f.opt, &small);
		mgmt_plan_free(&p);
		arena_fini(&small);
		assert_true(limit < 100000);
	}
	assert_int_equal(err, 0);
	mgmt_shelf_free(shelf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fingerprint, setup, teardown),
		cmocka_unit_test_setup_teardown(test_seed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arena_limit, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
