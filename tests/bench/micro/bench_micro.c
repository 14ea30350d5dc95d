/*
 * Nanoseconds of processor time per call of what runs for every packet or every map. Prints JSON
 * lines: call, variant, ns (best of five), and bytes where a call has a size. To be compared from
 * commit to commit on one machine. Usage: bench_micro [word]: only the calls whose name has it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/crypto/box.h"
#include "lib/mgmt/mgmt_plan.h"
#include "lib/netmap/netmap_account.h"
#include "lib/stun/stun_msg.h"
#include "lib/wg/wg_aips.h"
#include "lib/wg/wg_counter.h"
#include "lib/wg/wg_offload.h"

#include "src/agent/uwg/uwg_ipsecmb.h"

#define TRIES 5
#define TRY_NS 10e6

static const char *wanted;
static volatile uint64_t sink; /* keeps results alive */

static double thread_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

typedef void bench_fn(void *arg, unsigned count);

static double time_of(bench_fn *fn, void *arg, unsigned count)
{
	double begin = thread_ns();
	fn(arg, count);
	return thread_ns() - begin;
}

static void bench(const char *call, const char *variant, size_t bytes, bench_fn *fn, void *arg)
{
	unsigned count = 1;
	double best = 0;
	if (wanted != NULL && strstr(call, wanted) == NULL)
		return;
	while (time_of(fn, arg, count) < TRY_NS && count < 1u << 28)
		count *= 2;
	for (unsigned i = 0; i < TRIES; i++) {
		double ns = time_of(fn, arg, count) / count;
		best = i == 0 || ns < best ? ns : best;
	}
	printf("{\"call\": \"%s\", \"variant\": \"%s\", \"ns\": %.1f", call, variant, best);
	if (bytes != 0)
		printf(", \"bytes\": %zu, \"gbit_s\": %.2f", bytes, (double)bytes * 8 / best);
	printf("}\n");
	fflush(stdout);
}

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void fill(void *ctx, void *dst, size_t n)
{
	uint8_t *p = dst;
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(next_random() >> 32);
}

static const struct ln_rng rng = { .fill = fill };

/* --- the bulk cipher -------------------------------------------------------------------------- */

#define BATCH 32

struct cipher {
	const struct aead_ops *ops;
	struct aead_ctx *ctx;
	bool open;
	size_t n;
	uint8_t (*text)[8936 + AEAD_TAG_LEN];
	struct aead_job jobs[BATCH];
};

/* A tag that is wrong costs as much as one that is right. */
static void run_cipher(void *arg, unsigned count)
{
	struct cipher *c = arg;
	for (unsigned done = 0; done < count; done += BATCH) {
		size_t n = LN_MIN(count - done, (unsigned)BATCH);
		for (size_t i = 0; i < n; i++)
			c->jobs[i] = (struct aead_job){ .text = c->text[i],
							.n = c->n,
							.counter = done + i };
		if (c->open)
			c->ops->open_batch(c->ctx, c->jobs, n);
		else
			c->ops->seal_batch(c->ctx, c->jobs, n);
	}
}

static void bench_cipher(const struct aead_ops *ops)
{
	static const size_t sizes[] = { 0, 64, 128, 256, 512, 1280, 1420, 8936 };
	static uint8_t text[BATCH][8936 + AEAD_TAG_LEN];
	const uint8_t key[AEAD_KEY_LEN] = { 1 };
	for (unsigned open = 0; open < 2; open++)
		for (size_t i = 0; i < LN_COUNT(sizes); i++) {
			struct cipher c = { .ops = ops, .open = open, .n = sizes[i], .text = text };
			c.ctx = ops->ctx_new(ops, key, open ? AEAD_OPEN : AEAD_SEAL);
			bench(open ? "open" : "seal", ops->name, sizes[i], run_cipher, &c);
			ops->ctx_free(c.ctx);
		}
}

static void bench_ciphers(void)
{
	struct uwg_ipsecmb *m;
	bench_cipher(&aead_evp);
	if (uwg_ipsecmb_open(&m) < 0)
		return;
	bench_cipher(uwg_ipsecmb_ops(m));
	uwg_ipsecmb_close(m);
}

/* --- tables and checks of the packet path ----------------------------------------------------- */

#define LOOKUPS 4096

struct lookup {
	struct wg_aips table;
	uint8_t addr[LOOKUPS][4];
};

static void run_lookup(void *arg, unsigned count)
{
	const struct lookup *l = arg;
	uint64_t sum = 0;
	for (unsigned i = 0; i < count; i++)
		sum += wg_aips_find(&l->table, l->addr[i % LOOKUPS], 4) != NULL;
	sink += sum;
}

static void bench_lookup(size_t prefixes, uint8_t len)
{
	static struct lookup l;
	struct wg_aips_owner owner;
	char variant[40];
	wg_aips_init(&l.table, (const uint64_t[2]){ 1, 2 });
	wg_aips_owner_init(&owner);
	for (size_t i = 0; i < prefixes; i++) {
		struct ip_prefix p = { .addr = { .family = 4 }, .len = len };
		uint32_t v = (uint32_t)(0x64400000u + next_random() % 0x400000u); /* 100.64/10 */
		wg_offload_put32(p.addr.b, v);
		if (wg_aips_insert(&l.table, &owner, &p) == 0 && i < LOOKUPS)
			memcpy(l.addr[i], p.addr.b, 4);
	}
	for (size_t i = prefixes; i < LOOKUPS; i++)
		memcpy(l.addr[i], l.addr[i % prefixes], 4);
	snprintf(variant, sizeof(variant), "%zu prefixes /%u", prefixes, len);
	bench("allowed-ip", variant, 0, run_lookup, &l);
	wg_aips_clear(&l.table, &owner);
	wg_aips_fini(&l.table);
}

static void run_counter(void *arg, unsigned count)
{
	struct wg_counter *c = arg;
	uint64_t sum = 0;
	for (unsigned i = 0; i < count; i++)
		sum += wg_counter_accept(c, c->next);
	sink += sum;
}

static void run_sum(void *arg, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		sink += wg_offload_sum(i, arg, 1280);
}

static void run_stun(void *arg, unsigned count)
{
	const struct slice *m = arg;
	struct stun_msg msg;
	for (unsigned i = 0; i < count; i++)
		sink += (uint64_t)stun_msg_read(*m, &msg);
}

static void bench_packets(void)
{
	static uint8_t packet[1280];
	static struct wg_counter counter;
	/* RFC 5769 2.1: the sample request, integrity and fingerprint included. */
	static const uint8_t request[] = {
		0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
		0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e,
		0x20, 0x74, 0x65, 0x73, 0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24,
		0x00, 0x04, 0x6e, 0x00, 0x01, 0xff, 0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1,
		0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68,
		0x36, 0x76, 0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c,
		0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5,
		0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
	};
	struct slice m = slice_of(request, sizeof(request));
	struct stun_msg parsed;
	ln_assert(stun_msg_read(m, &parsed) == 0);
	bench_lookup(10, 32);
	bench_lookup(1000, 32);
	bench_lookup(100000, 32);
	bench_lookup(1000, 24);
	bench("replay", "in order", 0, run_counter, &counter);
	bench("checksum", "internet", sizeof(packet), run_sum, packet);
	bench("stun-read", "RFC 5769 2.1", 0, run_stun, &m);
}

/* --- the control plane ------------------------------------------------------------------------ */

struct sealed {
	struct box_key key;
	struct slice plain;
	struct slice body;
	struct mslice dst;
};

static void run_box_seal(void *arg, unsigned count)
{
	const struct sealed *s = arg;
	for (unsigned i = 0; i < count; i++)
		ln_assert(box_seal(&s->key, &rng, s->plain, s->dst) >= 0);
}

static void run_box_open(void *arg, unsigned count)
{
	const struct sealed *s = arg;
	for (unsigned i = 0; i < count; i++)
		ln_assert(box_open(&s->key, s->body, s->dst) >= 0);
}

static void bench_box(void)
{
	static const size_t sizes[] = { 64, 1024, 16384, 655360 };
	static uint8_t plain[655360];
	static uint8_t body[655360 + BOX_OVERHEAD];
	static uint8_t dst[655360 + BOX_OVERHEAD];
	struct sealed s = { .key = { .k = { 7 } } };
	for (size_t i = 0; i < LN_COUNT(sizes); i++) {
		s.plain = slice_of(plain, sizes[i]);
		s.dst = mslice_of(body, sizes[i] + BOX_OVERHEAD);
		ln_assert(box_seal(&s.key, &rng, s.plain, s.dst) >= 0);
		s.body = slice_from(s.dst);
		s.dst = mslice_of(dst, sizes[i] + BOX_OVERHEAD);
		bench("box-seal", "", sizes[i], run_box_seal, &s);
		bench("box-open", "", sizes[i], run_box_open, &s);
	}
}

#define NOW ((ln_wall)1700000000 * LN_SEC)

struct maps {
	struct netmap_account acc;
	struct netmap map;
	struct arena arena;   /* the account's */
	struct arena scratch; /* of one call */
	struct mgmt_map_options opt;
	struct mgmt_shelf *shelf;
	size_t size;
	uint8_t *dst;
};

static void run_map_build(void *arg, unsigned count)
{
	struct maps *m = arg;
	for (unsigned i = 0; i < count; i++) {
		arena_reset(&m->scratch);
		ln_assert(netmap_build(&m->acc, i % m->acc.npeers, NOW, &m->scratch, &m->map) == 0);
	}
}

static void run_map_encode(void *arg, unsigned count)
{
	const struct maps *m = arg;
	for (unsigned i = 0; i < count; i++) {
		LN_AUTO(str_fini) struct str dst;
		const struct mgmt_sync_response r = { .has_map = true, .map = m->map };
		str_init(&dst, 256 << 20);
		mgmt_sync_response_write(&dst, &r, &m->opt);
		sink += dst.n;
	}
}

/* The server's way: the same bytes, from parts that all receivers share. */
static void run_map_plan(void *arg, unsigned count)
{
	struct maps *m = arg;
	const struct mgmt_deadline none = { .kind = MGMT_DEADLINE_NONE };
	for (unsigned i = 0; i < count; i++) {
		struct mgmt_plan p;
		size_t size;
		arena_reset(&m->scratch);
		ln_assert(mgmt_plan_make(&p, m->shelf, i % m->acc.npeers, NOW, &m->opt,
					 &m->scratch) == 0 &&
			  mgmt_plan_measure(&p, NULL, &none, &size) == 0);
		if (size > m->size) {
			m->dst = ln_realloc(m->dst, size);
			m->size = size;
		}
		mgmt_plan_write(&p, m->dst);
		mgmt_plan_free(&p);
	}
}

/* Everybody may talk to everybody: the account a new user has. */
static void make_account(struct maps *m, size_t n)
{
	struct netmap_account_peer *peers =
		arena_calloc(&m->arena, n, sizeof(struct netmap_account_peer));
	const char **ids = arena_calloc(&m->arena, n, sizeof(char *));
	static const char *const all[] = { "all" };
	static const struct netmap_account_rule rule = {
		.id = "r",
		.enabled = true,
		.bidirectional = true,
		.source_groups = all,
		.nsource_groups = 1,
		.destination_groups = all,
		.ndestination_groups = 1,
	};
	static const struct netmap_account_policy policy = {
		.id = "p", .enabled = true, .rules = &rule, .nrules = 1
	};
	struct netmap_account_group *group = arena_calloc(&m->arena, 1, sizeof(*group));
	ln_assert(peers != NULL && ids != NULL && group != NULL);
	for (size_t i = 0; i < n; i++) {
		struct netmap_account_peer *p = &peers[i];
		ids[i] = p->id = arena_printf(&m->arena, "peer%zu", i);
		p->label = p->name = p->id;
		p->version = "0.77.1";
		fill(NULL, p->key.b, sizeof(p->key.b));
		p->v4 = (struct ip_addr){ .family = 4 };
		wg_offload_put32(p->v4.b, 0x64400001u + (uint32_t)i);
		ln_assert(p->id != NULL);
	}
	*group = (struct netmap_account_group){
		.id = "all", .name = "All", .peers = ids, .npeers = n
	};
	m->acc = (struct netmap_account){
		.serial = 1,
		.network = { .addr = { .family = 4, .b = { 100, 64 } }, .len = 10 },
		.domain = "netbird.selfhosted",
		.peers = peers,
		.npeers = n,
		.groups = group,
		.ngroups = 1,
		.policies = &policy,
		.npolicies = 1,
	};
	ln_assert(netmap_account_seal(&m->acc, &m->arena) == 0);
}

static void bench_maps(size_t n)
{
	const uint64_t shelf_seed[2] = { 1, 2 };
	struct maps m = { 0 };
	char variant[32];
	snprintf(variant, sizeof(variant), "%zu peers", n);
	arena_init(&m.arena, 256 << 20);
	arena_init(&m.scratch, 256 << 20);
	make_account(&m, n);
	m.opt = mgmt_map_options_of("0.77.1", 0);
	m.shelf = mgmt_shelf_new(&m.acc, shelf_seed, MGMT_SHELF_BYTES);
	bench("map-build", variant, 0, run_map_build, &m);
	run_map_build(&m, 1);
	bench("map-encode", variant, 0, run_map_encode, &m);
	bench("map-from-shelf", variant, 0, run_map_plan, &m);
	mgmt_shelf_free(m.shelf);
	free(m.dst);
	arena_fini(&m.scratch);
	arena_fini(&m.arena);
}

int main(int argc, char **argv)
{
	wanted = argc > 1 ? argv[1] : NULL;
	bench_ciphers();
	bench_packets();
	bench_box();
	bench_maps(100);
	bench_maps(1000);
	return 0;
}
