#pragma once
/*
 * The transport keys of one session, and the three a peer may hold at a time:
 *
 *	current   what we send with
 *	previous  what the peer may still send with
 *	next      we answered a handshake; becomes current when the peer first uses it
 *
 * A keypair is owned by its peer and found by its local index in the device's table.
 */
#include "lib/base/map.h"
#include "lib/base/time.h"
#include "lib/crypto/aead.h"
#include "lib/wg/wg_counter.h"
#include "lib/wg/wg_noise.h"

struct wg_peer;
struct wg_keypair;

/* An entry of the device's table of local indices: a session, or a handshake of ours. */
struct wg_index {
	struct map_node node;
	uint8_t id[4]; /* as on the wire */
	bool listed;
	struct wg_peer *peer;
	struct wg_keypair *keypair; /* null: the handshake we began */
};

struct wg_keypair {
	struct wg_index index;
	uint32_t remote_index;
	bool initiator; /* we began this handshake: rekeying is on us */
	ln_time created;
	const struct aead_ops *aead;
	struct aead_ctx *send;
	struct aead_ctx *recv;
	uint64_t send_counter; /* the next to use */
	struct wg_counter recv_counter;
};

struct wg_keypairs {
	struct wg_keypair *current;
	struct wg_keypair *previous;
	struct wg_keypair *next;
};

/* index.listed is false: the device enters it into its table. */
struct wg_keypair *wg_keypair_new(const struct aead_ops *aead, const struct wg_noise_keys *keys,
				  bool initiator, ln_time now);
/* The index must have left the table. Null is allowed. */
void wg_keypair_free(struct wg_keypair *k);
/* May we send with it: younger than Reject-After-Time, counters left. Null may not. */
bool wg_keypair_can_send(const struct wg_keypair *k, ln_time now, ln_time reject_after);
/*
 * Enters a new session. Up to two old ones fall out: they are put into `out` (null for none) for
 * the device to unlist and free.
 */
void wg_keypairs_add(struct wg_keypairs *s, struct wg_keypair *k, struct wg_keypair *out[2]);
/* The peer used `next`: it becomes current. Returns what falls out, or null. */
struct wg_keypair *wg_keypairs_confirm(struct wg_keypairs *s);
