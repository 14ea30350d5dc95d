#pragma once
/*
 * The two MACs at the end of handshake messages and the cookie reply (WireGuard paper, sections
 * 5.3 and 5.4.7). mac1 proves knowledge of our public key before anything costs a multiplication;
 * mac2 proves, under load, that the sender can be reached at its address.
 *
 * Checker: one per device, verifies. Maker: one per peer, stamps our messages and remembers the
 * cookie the peer gave us.
 */
#include "lib/base/ip.h"
#include "lib/base/rng.h"
#include "lib/base/time.h"
#include "lib/wg/wg_msg.h"

#define WG_COOKIE_SECRET_AGE (120 * LN_SEC) /* the checker's secret changes this often */
#define WG_COOKIE_AGE (120 * LN_SEC)        /* a received cookie is used this long */

/* Both derived from the public key of whoever receives the message. */
struct wg_cookie_keys {
	uint8_t mac1[BLAKE2S_LEN];
	uint8_t seal[AEAD_KEY_LEN];
};

struct wg_cookie_checker {
	struct wg_cookie_keys keys;
	uint8_t secret[BLAKE2S_LEN];
	ln_time secret_made;
	bool has_secret;
};

struct wg_cookie_maker {
	struct wg_cookie_keys keys;
	uint8_t last_mac1[WG_MAC_LEN]; /* of the last message sent: binds the reply to it */
	bool sent;
	uint8_t cookie[WG_COOKIE_LEN];
	ln_time cookie_got;
	bool has_cookie;
};

enum wg_cookie_verdict {
	WG_COOKIE_INVALID,  /* mac1 is wrong: drop without a word */
	WG_COOKIE_MAC1,     /* mac1 is right */
	WG_COOKIE_RETURNED, /* and mac2 proves the address; only tested when asked for */
};

void wg_cookie_checker_init(struct wg_cookie_checker *c, const struct wg_key *ours);
void wg_cookie_checker_wipe(struct wg_cookie_checker *c);
/* `m` is an initiation or a response, by its length. */
enum wg_cookie_verdict wg_cookie_check(struct wg_cookie_checker *c, ln_time now,
				       const struct ln_rng *rng, struct slice m,
				       const struct ip_ep *from, bool test_mac2);
/* Writes the reply to a handshake message whose mac1 was right. */
void wg_cookie_reply(struct wg_cookie_checker *c, ln_time now, const struct ln_rng *rng,
		     struct slice m, const struct ip_ep *from, struct wg_msg_cookie *ret);

void wg_cookie_maker_init(struct wg_cookie_maker *k, const struct wg_key *theirs);
void wg_cookie_maker_wipe(struct wg_cookie_maker *k);
/* Fills mac1 and mac2 of a finished handshake message. */
void wg_cookie_stamp(struct wg_cookie_maker *k, ln_time now, struct mslice m);
/* LN_E_STATE when we sent nothing it could answer, LN_E_AUTH. */
LN_MUST_CHECK int wg_cookie_consume(struct wg_cookie_maker *k, ln_time now,
				    const struct wg_msg_cookie *m);
