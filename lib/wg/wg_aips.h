#pragma once
/*
 * Allowed IPs: which peer a prefix belongs to, longest prefix first. Single addresses, which is
 * what nearly all peers have, stand in a hash table and cost the same however many there are;
 * shorter prefixes in a path-compressed binary trie per family. A prefix belongs to one peer at
 * most, and giving it to another one moves it (as WireGuard does). Owns its entries; `owner` is the
 * caller's list of the entries of one peer.
 */
#include "lib/base/ip.h"
#include "lib/base/list.h"
#include "lib/base/map.h"

struct wg_aips_node;

/* Embedded in every peer; wg_aips_owner_init() before use. */
struct wg_aips_owner {
	struct list entries;
	size_t count;
};

struct wg_aips {
	struct map hosts4;
	struct map hosts6;
	struct wg_aips_node *root4;
	struct wg_aips_node *root6;
	size_t count; /* prefixes */
};

/* The seed makes the places in the hash table ours alone. */
void wg_aips_init(struct wg_aips *t, const uint64_t seed[2]);
void wg_aips_fini(struct wg_aips *t); /* every owner must have been cleared */
void wg_aips_owner_init(struct wg_aips_owner *o);

/* Host bits are ignored. LN_E_MALFORMED for a prefix of no family or too long. */
LN_MUST_CHECK int wg_aips_insert(struct wg_aips *t, struct wg_aips_owner *o,
				 const struct ip_prefix *p);
/* Removes every prefix of the owner. */
void wg_aips_clear(struct wg_aips *t, struct wg_aips_owner *o);
/* The owner of the longest prefix that contains the address, or null. `addr` is 4 or 16 bytes. */
struct wg_aips_owner *wg_aips_find(const struct wg_aips *t, const uint8_t *addr, unsigned family);
