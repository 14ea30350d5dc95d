#pragma once
/*
 * One allocation at a TURN server (RFC 8656), without its socket: allocate with long-term
 * credentials, refresh, and for every address we talk to a permission and, when there is much to
 * say, a channel. The owner brings in whole messages, sends what poll and write hand out, and keeps
 * time.
 *
 *	NEW -(401, then success)-> UP -> ENDED (refused, silent, closed)
 *
 * Peers need no opening: the first datagram to an address asks for its permission and waits for it.
 */
#include "lib/base/rng.h"
#include "lib/base/time.h"
#include "lib/turn/turn_msg.h"

#define TURN_USER_MAX 512
#define TURN_PASSWORD_MAX 512
#define TURN_PEERS_MAX 1024

struct turn_client;

struct turn_client_conf {
	const char *user, *password; /* copied; longer ones are refused by the server */
	bool stream;                 /* TCP or TLS: nothing is repeated, ChannelData is padded */
	const struct ln_rng *rng;
};

enum turn_event {
	TURN_EV_SEND,  /* `bytes` is one message for the server */
	TURN_EV_UP,    /* `relayed` is ours now; `mapped` is how the server sees us */
	TURN_EV_ENDED, /* code: STUN's error, or 0 for silence and for our own close */
};

struct turn_out {
	enum turn_event event;
	struct slice bytes; /* in the caller's buffer */
	struct ip_ep relayed, mapped;
	unsigned code;
};

struct turn_client *turn_client_new(const struct turn_client_conf *conf, ln_time now);
void turn_client_free(struct turn_client *c); /* null is fine */

/* One message of the server. 1: a datagram of a peer, *ret_from and *ret_data (inside msg) are set.
 * 0: anything else, also what is broken or not authentic. */
LN_MUST_CHECK int turn_client_input(struct turn_client *c, ln_time now, struct slice msg,
				    struct ip_ep *ret_from, struct slice *ret_data);
/* buf: at least STUN_MSG_MAX bytes, for both. */
bool turn_client_poll(struct turn_client *c, ln_time now, struct mslice buf, struct turn_out *ret);
/*
 * A datagram to a peer, as a message for the server. Empty: it waits for the permission (the newest
 * one per peer) or is dropped (not up, too long, refused, too many peers); poll afterwards.
 */
struct slice turn_client_write(struct turn_client *c, ln_time now, const struct ip_ep *to,
			       struct slice data, struct mslice buf);
/* Gives the allocation back: one Refresh of zero seconds, then ENDED. */
void turn_client_close(struct turn_client *c);
ln_time turn_client_deadline(const struct turn_client *c);
bool turn_client_is_up(const struct turn_client *c);
size_t turn_client_npeers(const struct turn_client *c);
