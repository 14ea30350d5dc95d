#pragma once
/* A store in a temporary folder, with seeded randomness; removed at the end. */
#include "src/store/store.h"

struct store_fixture {
	char dir[64];
	char path[96];
	uint64_t seed;
	struct ln_rng rng;
	struct store_conf conf;
	struct store *store;
	struct store_account account;
	struct arena arena;
};

void store_fixture_init(struct store_fixture *fx); /* a folder and an empty store with account */
void store_fixture_fini(struct store_fixture *fx);
void store_fixture_reopen(struct store_fixture *fx);
/* A setup key with the given hash text. */
struct store_id store_fixture_key(struct store_fixture *fx, const char *hash, bool reusable,
				  bool ephemeral);
/* Registers a peer whose key is derived from n. The result of store_peer_register. */
int store_fixture_peer(struct store_fixture *fx, unsigned n, const char *host, const char *hash,
		       struct store_peer *ret);
struct wg_key store_fixture_wg_key(unsigned n);
uint64_t store_fixture_serial(struct store_fixture *fx);
