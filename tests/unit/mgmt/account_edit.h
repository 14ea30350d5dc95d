#pragma once
/* Edits of chance, each both as the account it leads to and as the change that leads there. */
#include "lib/netmap/netmap_change.h"

/* The same account with its peers and members in the order of their ids, each once; sealed. */
struct netmap_account *account_edit_sorted(const struct netmap_account *from, struct arena *a);
/*
 * One to four edits of `from`, which is sorted: the account after them, sealed, and the change.
 * Both belong to the arena and refer to `from`.
 */
struct netmap_account *account_edit(const struct netmap_account *from, uint64_t seed,
				    struct arena *a, struct netmap_change *ret_change);
