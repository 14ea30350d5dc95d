#pragma once
/*
 * The handshake: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as the WireGuard paper writes it down
 * (section 5.4), token by token. Knows no packets, peers' tables or clocks.
 *
 * Per remote key there are two independent halves, so that crossing initiations both succeed:
 *
 *	ours:    none -> INITIATED (wg_noise_write_initiation) -> none (wg_noise_read_response)
 *	theirs:  none -> ACCEPTED (wg_noise_accept_initiation) -> none (wg_noise_write_response)
 *
 * A newer initiation replaces an older one in both halves. Everything received is worked out in
 * locals and copied into the state only when the whole message has verified.
 */
#include "lib/base/rng.h"
#include "lib/wg/wg_msg.h"

/* The device's own key pair. */
struct wg_noise_local {
	struct wg_secret secret;
	struct wg_key key;
};

void wg_noise_local_init(struct wg_noise_local *l, const struct wg_secret *secret);

/* Chaining key and transcript hash of one handshake. */
struct wg_noise_state {
	uint8_t chain[BLAKE2S_LEN];
	uint8_t hash[BLAKE2S_LEN];
};

/* Different initiations accepted that carry one and the same timestamp. */
#define WG_NOISE_SAME_STAMP 4

struct wg_noise_peer {
	struct wg_key remote;
	struct wg_secret psk;    /* all zero = none */
	struct wg_secret shared; /* DH of the two static keys */

	bool initiated;
	uint32_t local_index;
	struct wg_noise_state ours;
	struct wg_secret ephemeral;

	bool accepted;
	uint32_t remote_index;
	struct wg_noise_state theirs;
	struct wg_key remote_ephemeral;

	/*
	 * The greatest timestamp seen. Other implementations round theirs to about 17 ms, so two
	 * initiations 0.3 ms apart carry the same one (spec signal-and-connection 5.6): then those
	 * are told apart, and replays recognised, by their ephemeral keys.
	 */
	uint8_t stamp[WG_STAMP_LEN];
	struct wg_key stamped[WG_NOISE_SAME_STAMP];
	unsigned nstamped;
};

/* LN_E_AUTH when `remote` is a point of low order: no handshake with it can be secret. */
LN_MUST_CHECK int wg_noise_peer_init(struct wg_noise_peer *p, const struct wg_noise_local *l,
				     const struct wg_key *remote);
void wg_noise_peer_wipe(struct wg_noise_peer *p);
/* Forgets handshakes in progress, not the greatest timestamp. */
void wg_noise_forget(struct wg_noise_peer *p);

/* The keys a handshake ends in. */
struct wg_noise_keys {
	uint8_t send[AEAD_KEY_LEN];
	uint8_t recv[AEAD_KEY_LEN];
	uint32_t local_index;
	uint32_t remote_index;
};

void wg_noise_keys_wipe(struct wg_noise_keys *k);

/* First message; mac1 and mac2 are left to wg_cookie. `index` names us in what the peer sends. */
void wg_noise_write_initiation(struct wg_noise_peer *p, const struct wg_noise_local *l,
			       const struct ln_rng *rng, uint32_t index,
			       const uint8_t stamp[WG_STAMP_LEN], struct wg_msg_initiation *ret);

/* An initiation read as far as possible without knowing the peer. Wipe after use. */
struct wg_noise_opening {
	struct wg_key remote; /* who claims to have sent it; look the peer up by this */
	struct wg_key ephemeral;
	struct wg_noise_state state;
	uint32_t remote_index;
	uint8_t stamp[WG_STAMP_LEN + AEAD_TAG_LEN]; /* still sealed */
};

void wg_noise_opening_wipe(struct wg_noise_opening *o);
/* LN_E_AUTH. */
LN_MUST_CHECK int wg_noise_open_initiation(const struct wg_noise_local *l,
					   const struct wg_msg_initiation *m,
					   struct wg_noise_opening *ret);
/*
 * Proves that the sender holds the private key of p->remote (which equals o->remote).
 * LN_E_AUTH, or LN_E_REPLAY for a timestamp not above the greatest one.
 */
LN_MUST_CHECK int wg_noise_accept_initiation(struct wg_noise_peer *p,
					     const struct wg_noise_opening *o);
/* Answers the accepted initiation and yields the session. LN_E_STATE, LN_E_AUTH. */
LN_MUST_CHECK int wg_noise_write_response(struct wg_noise_peer *p, const struct ln_rng *rng,
					  uint32_t index, struct wg_msg_response *ret,
					  struct wg_noise_keys *ret_keys);
/*
 * Ends our own handshake. LN_E_STATE (none in progress, or another index), LN_E_AUTH; the state is
 * untouched then, and the true answer may still come.
 */
LN_MUST_CHECK int wg_noise_read_response(struct wg_noise_peer *p, const struct wg_noise_local *l,
					 const struct wg_msg_response *m,
					 struct wg_noise_keys *ret_keys);
