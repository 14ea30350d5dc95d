#pragma once
/*
 * Parts of maps, encoded once and shared by all receivers of one account snapshot: each remote
 * peer's RemotePeerConfig, and for each side of a policy rule the FirewallRules towards its peers,
 * as they stand in a NetworkMap (spec management-protocol 1.5). A map is then mostly a few copies
 * of long runs of bytes (mgmt_plan.h).
 *
 * Parts come into being when the first receiver needs them. What a receiver understands makes
 * variants: with IPv6 or without, with source prefixes or without, port ranges or single ports.
 *
 * Owner: whoever called mgmt_shelf_new(). The account must outlive it. Not for several threads.
 */
#include "lib/mgmt/mgmt_block.h"
#include "lib/mgmt/mgmt_msg.h"
#include "lib/netmap/netmap_change.h"
#include "lib/netmap/netmap_view.h"

#define MGMT_SHELF_BYTES ((size_t)64 << 20) /* sensible budget of the parts kept */

struct mgmt_shelf;

enum mgmt_variant { /* bits */
	MGMT_VARIANT_V6 = 1,
	MGMT_VARIANT_RANGES = 2,
	MGMT_VARIANT_PREFIXES = 4,
	MGMT_VARIANTS = 8
};

/* The seed makes the hashes of this process its own. Beyond `budget` bytes parts are not kept. */
struct mgmt_shelf *mgmt_shelf_new(const struct netmap_account *acc, const uint64_t seed[2],
				  size_t budget);
void mgmt_shelf_free(struct mgmt_shelf *s);
/*
 * Fills an empty shelf from that of the former account: of what was asked for there, only entries
 * of peers that changed are made anew. Both have the same seed; the domain and the networks of the
 * account are the same, as they are when netmap_account_change() made it.
 */
void mgmt_shelf_follow(struct mgmt_shelf *s, const struct mgmt_shelf *from,
		       const struct netmap_same *same);

/* RemotePeerConfig of every peer of the account, each with the tag of NetworkMap.remotePeers. */
const struct mgmt_block *mgmt_shelf_peers(struct mgmt_shelf *s, bool v6);
/* PeerCompact of every peer, each with the tag of NetworkMapComponentsFull.peers (1.7). */
const struct mgmt_block *mgmt_shelf_compact(struct mgmt_shelf *s);
/*
 * FirewallRules towards each peer of the part's list, in its order. Null beyond MGMT_BLOCK_MAX.
 * What is not `kept` belongs to the caller.
 */
struct mgmt_block *mgmt_shelf_rules(struct mgmt_shelf *s, const struct netmap_part *part,
				    unsigned variant);

const struct netmap_account *mgmt_shelf_account(const struct mgmt_shelf *s);
const uint64_t *mgmt_shelf_seed(const struct mgmt_shelf *s);
size_t mgmt_shelf_kept(const struct mgmt_shelf *s); /* bytes of parts kept */
