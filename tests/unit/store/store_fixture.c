#include "tests/unit/store/store_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/ev/ev.h"

static void fill(void *ctx, void *dst, size_t n)
{
	uint64_t *seed = ctx;
	for (size_t i = 0; i < n; i++) {
		*seed += 0x9e3779b97f4a7c15ull;
		uint64_t z = (*seed ^ *seed >> 30) * 0xbf58476d1ce4e5b9ull;
		((uint8_t *)dst)[i] = (uint8_t)(z >> 32);
	}
}

void store_fixture_init(struct store_fixture *fx)
{
	*fx = (struct store_fixture){ .dir = "/tmp/linnet-store-XXXXXX", .seed = 1 };
	ln_assert(mkdtemp(fx->dir) != NULL);
	snprintf(fx->path, sizeof(fx->path), "%s/linnet.db", fx->dir);
	fx->rng = (struct ln_rng){ .fill = fill, .ctx = &fx->seed };
	fx->conf = (struct store_conf){ .path = fx->path, .rng = &fx->rng };
	arena_init(&fx->arena, 64 << 20);
	store_fixture_reopen(fx);
}

void store_fixture_reopen(struct store_fixture *fx)
{
	struct ln_fail f = { 0 };
	store_close(fx->store);
	fx->store = NULL;
	if (store_open(&fx->conf, &fx->store, &f) < 0) {
		fprintf(stderr, "%s\n", f.text);
		ln_assert(false);
	}
	ln_assert(store_account_ensure(fx->store, ev_wall(), &fx->account) == 0);
}

void store_fixture_fini(struct store_fixture *fx)
{
	store_close(fx->store);
	arena_fini(&fx->arena);
	DIR *d = opendir(fx->dir);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		char path[512];
		snprintf(path, sizeof(path), "%s/%s", fx->dir, e->d_name);
		unlink(path);
	}
	if (d != NULL)
		closedir(d);
	rmdir(fx->dir);
}

struct store_id store_fixture_key(struct store_fixture *fx, const char *hash, bool reusable,
				  bool ephemeral)
{
	struct store_key key = {
		.name = hash,
		.hash = hash,
		.masked = "AAAAA****",
		.reusable = reusable,
		.ephemeral = ephemeral,
	};
	ln_assert(store_key_create(fx->store, &key, ev_wall(), NULL) == 0);
	return key.id;
}

struct wg_key store_fixture_wg_key(unsigned n)
{
	struct wg_key k = { .b = { (uint8_t)n, (uint8_t)(n >> 8), 7 } };
	return k;
}

int store_fixture_peer(struct store_fixture *fx, unsigned n, const char *host, const char *hash,
		       struct store_peer *ret)
{
	struct store_meta meta = { .hostname = host, .version = "0.70.0" };
	struct store_registration r = {
		.key = store_fixture_wg_key(n),
		.setup_key_hash = hash,
		.ssh_key = slice_str("ssh-ed25519 AAAA"),
		.meta = &meta,
	};
	uint64_t serial;
	return store_peer_register(fx->store, &r, ev_wall(), &fx->arena, ret, &serial);
}

uint64_t store_fixture_serial(struct store_fixture *fx)
{
	struct store_account acc;
	ln_assert(store_account_get(fx->store, &acc) == 0);
	return acc.serial;
}
