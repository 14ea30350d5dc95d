#pragma once
/* Accounts of chance: small, and with everything a map can depend on. Same seed, same account. */
#include "lib/netmap/netmap_account.h"

/* Sealed; all of it in the arena. */
struct netmap_account *account_random(uint64_t seed, struct arena *a);
/* Changes something of an account in place that may or may not show in maps, and seals it anew. */
void account_random_change(struct netmap_account *acc, uint64_t seed, struct arena *a);
