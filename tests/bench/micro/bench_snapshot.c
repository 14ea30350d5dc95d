/*
 * What a change costs before the first map of it is made: the snapshot read anew and followed from
 * the former one, the shared parts encoded anew and followed. One peer of N is renamed each time;
 * all of them see each other. Processor time of one step in microseconds, the median of 21, as JSON
 * lines. Usage: bench_snapshot [N...].
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/mgmt/mgmt_plan.h"

#include "src/ev/ev.h"
#include "src/store/store_internal.h"

#define ROUNDS 21

enum step {
	STEP_READ,
	STEP_FOLLOW,
	STEP_ENCODE,
	STEP_COPY,
	STEPS
};

static const char *const step_names[STEPS] = { "snapshot-read", "snapshot-follow", "shelf-encode",
					       "shelf-follow" };
static const uint64_t seed[2] = { 1, 2 };

static double thread_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static struct store *fill_store(const char *path, unsigned n)
{
	struct store_conf conf = { .path = path, .rng = ev_rng() };
	struct store_account acc;
	struct store *s;
	struct arena a;
	struct store_key key = {
		.name = "k", .hash = "k", .masked = "k", .reusable = true, .expires = 0
	};
	ln_assert(store_open(&conf, &s, NULL) == 0);
	ln_assert(store_account_ensure(s, ev_wall(), &acc) == 0);
	ln_assert(store_key_create(s, &key, ev_wall(), NULL) == 0);
	ln_assert(store_group_begin(s->db, false) == 0);
	arena_init(&a, SIZE_MAX);
	for (unsigned i = 0; i < n; i++) {
		char host[32];
		struct store_meta meta = { .hostname = host, .version = "0.77.1" };
		struct store_registration reg = { .setup_key_hash = "k", .meta = &meta };
		struct store_peer p;
		uint64_t serial;
		snprintf(host, sizeof(host), "host-%u", i);
		meta.capabilities = 1u << NETMAP_CAP_SOURCE_PREFIXES | 1u << NETMAP_CAP_IPV6;
		rng_fill(ev_rng(), reg.key.b, sizeof(reg.key.b));
		ln_assert(store_peer_register(s, &reg, ev_wall(), &a, &p, &serial) == 0);
	}
	arena_fini(&a);
	ln_assert(store_group_end(s->db) == 0);
	return s;
}

/* What a round of maps asks of the shelf. */
static void use(struct mgmt_shelf *shelf, const struct netmap_account *acc)
{
	struct mgmt_map_options opt =
		mgmt_map_options_of(acc->peers[0].version, acc->peers[0].capabilities);
	struct mgmt_plan p;
	struct arena a;
	arena_init(&a, SIZE_MAX);
	ln_assert(mgmt_plan_make(&p, shelf, 0, ev_wall(), &opt, &a) == 0);
	(void)mgmt_shelf_compact(shelf);
	mgmt_plan_free(&p);
	arena_fini(&a);
}

struct snapshot {
	struct arena arena;
	struct netmap_account *acc;
	struct mgmt_shelf *shelf;
};

static void snapshot_fini(struct snapshot *s)
{
	mgmt_shelf_free(s->shelf);
	arena_fini(&s->arena);
}

/* Read and encoded anew: what a round costs without the former one. */
static void anew(struct store *s, double us[STEPS][ROUNDS], int round)
{
	struct snapshot x;
	double begin = thread_us();
	arena_init(&x.arena, SIZE_MAX);
	ln_assert(store_account_load(s, &x.arena, &x.acc) == 0);
	us[STEP_READ][round] = thread_us() - begin;
	begin = thread_us();
	x.shelf = mgmt_shelf_new(x.acc, seed, MGMT_SHELF_BYTES);
	use(x.shelf, x.acc);
	us[STEP_ENCODE][round] = thread_us() - begin;
	snapshot_fini(&x);
}

static void followed(struct store *s, struct snapshot *former, double us[STEPS][ROUNDS], int round)
{
	struct snapshot x;
	struct netmap_same same;
	double begin = thread_us();
	arena_init(&x.arena, SIZE_MAX);
	ln_assert(store_account_follow(s, former->acc, &x.arena, &x.acc, &same) == 1);
	us[STEP_FOLLOW][round] = thread_us() - begin;
	begin = thread_us();
	x.shelf = mgmt_shelf_new(x.acc, seed, MGMT_SHELF_BYTES);
	mgmt_shelf_follow(x.shelf, former->shelf, &same);
	use(x.shelf, x.acc);
	us[STEP_COPY][round] = thread_us() - begin;
	snapshot_fini(former);
	*former = x;
}

static void rename_one(struct store *s, const struct netmap_account *acc, int round)
{
	char name[32];
	struct store_id id = { 0 };
	snprintf(name, sizeof(name), "renamed-%d", round);
	snprintf(id.text, sizeof(id.text), "%s", acc->peers[acc->npeers / 2].id);
	ln_assert(store_group_begin(s->db, false) == 0);
	ln_assert(store_peer_rename(s, &id, name) == 1);
	ln_assert(store_group_end(s->db) == 0);
}

static void measure(const char *path, unsigned n)
{
	double us[STEPS][ROUNDS];
	struct snapshot former;
	struct store *s = fill_store(path, n);
	arena_init(&former.arena, SIZE_MAX);
	ln_assert(store_account_load(s, &former.arena, &former.acc) == 0);
	former.shelf = mgmt_shelf_new(former.acc, seed, MGMT_SHELF_BYTES);
	use(former.shelf, former.acc);
	for (int round = 0; round < ROUNDS; round++) {
		rename_one(s, former.acc, round);
		followed(s, &former, us, round);
		anew(s, us, round);
	}
	for (int step = 0; step < STEPS; step++) {
		qsort(us[step], ROUNDS, sizeof(us[step][0]), by_value);
		printf("{\"call\": \"%s\", \"peers\": %u, \"us\": %.0f}\n", step_names[step], n,
		       us[step][ROUNDS / 2]);
	}
	snapshot_fini(&former);
	store_close(s);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/bench-snapshot-XXXXXX", path[64];
	static const char *const usual[] = { "", "1000", "5000" };
	const char *const *sizes = argc > 1 ? (const char *const *)argv : usual;
	int n = argc > 1 ? argc : (int)LN_COUNT(usual);
	ln_assert(mkdtemp(dir) != NULL);
	for (int i = 1; i < n; i++) {
		static const char *const ends[] = { "", "-wal", "-shm" };
		snprintf(path, sizeof(path), "%s/db", dir);
		measure(path, (unsigned)atoi(sizes[i]));
		for (size_t k = 0; k < LN_COUNT(ends); k++) {
			snprintf(path, sizeof(path), "%s/db%s", dir, ends[k]);
			(void)unlink(path);
		}
	}
	return rmdir(dir) == 0 ? 0 : 1;
}
