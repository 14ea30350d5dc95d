#pragma once
/*
 * The relay server without its sockets (spec relay 5 to 9): peers by id, who wants to hear about
 * whom, one bounded queue per receiver, health checks, drain. The owner brings whole messages in
 * and takes queued bytes out; a queue holds them as the transport sends them (conf.frame).
 *
 *	open -> HELLO -(Auth)-> READY -> closing -(CLOSE from poll)-> relay_hub_remove
 *
 * A receiver that does not read loses its newest messages and stalls nobody. While it is behind, a
 * sender's messages are taken only up to a share of the room that is left, so that one sender
 * cannot crowd out the others. Payloads are opaque; no account is known here.
 */
#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"
#include "lib/relay/relay_msg.h"
#include "lib/token/relay_token.h"

#define RELAY_HUB_FRAME_MAX 8 /* bytes a transport may put before a message */
#define RELAY_HUB_HANDSHAKE (10 * LN_SEC)
#define RELAY_HUB_STALL (10 * LN_SEC) /* a socket that accepts nothing for so long */
#define RELAY_HUB_HEALTH_EVERY (25 * LN_SEC)
#define RELAY_HUB_HEALTH_LOOK (45 * LN_SEC)
#define RELAY_HUB_ACTIVE (30 * LN_SEC)

struct relay_hub;
struct relay_hub_peer;

struct relay_hub_conf {
	const char *instance_url;           /* 1 to 8,190 bytes */
	const struct relay_token_key *keys; /* any of them opens; copied */
	size_t nkeys;
	/* Writes what the transport puts before a message of n bytes; null: nothing. */
	size_t (*frame)(uint8_t dst[RELAY_HUB_FRAME_MAX], size_t n);
	size_t max_peers;          /* connections; 0 = 1,000,000 */
	size_t max_queue;          /* bytes waiting for one receiver; 0 = 256 KiB */
	size_t max_memory;         /* bytes waiting for all of them; 0 = 256 MiB */
	size_t max_subscriptions;  /* of one connection; more are ignored; 0 = 20,000 */
	unsigned health_threshold; /* looks without an answer; 0 = 1 */
	/* One of several hubs that are one relay (relay_links.h). The limits above are this hub's.
	 */
	unsigned shard;   /* 0 to nshards - 1 */
	unsigned nshards; /* at most RELAY_LINKS_MAX; 0 = 1 */
	const struct ln_rng *rng;
};

enum relay_hub_reason {
	RELAY_HUB_LEFT,     /* the peer sent Close */
	RELAY_HUB_PROTOCOL, /* a message this side may not get */
	RELAY_HUB_REFUSED,  /* Auth was wrong */
	RELAY_HUB_LATE,     /* no Auth in time */
	RELAY_HUB_REPLACED, /* the same id connected again */
	RELAY_HUB_SILENT,   /* health checks unanswered */
	RELAY_HUB_STALLED,  /* the socket accepted nothing, or control messages piled up */
	RELAY_HUB_NARROW,   /* the transport keeps refusing full-size messages */
	RELAY_HUB_DRAINED,
};

enum relay_hub_event {
	RELAY_HUB_WRITE, /* relay_hub_view() has bytes */
	RELAY_HUB_CHECK, /* blocked for RELAY_HUB_STALL: say so again, or close it */
	RELAY_HUB_CLOSE  /* write what is queued, end the transport, relay_hub_remove() */
};

struct relay_hub_out {
	enum relay_hub_event event;
	enum relay_hub_reason reason; /* of CLOSE */
	struct relay_hub_peer *peer;
	void *user;
};

enum relay_hub_refusal {
	RELAY_HUB_BAD_MESSAGE,
	RELAY_HUB_BAD_TOKEN, /* form or algorithm */
	RELAY_HUB_BAD_SIGNATURE,
	RELAY_HUB_EXPIRED,
	RELAY_HUB_TIMEOUT,
	RELAY_HUB_REFUSALS
};

struct relay_hub_counters {
	uint64_t received_bytes, sent_bytes; /* whole Transport messages */
	uint64_t received, sent;             /* the same, counted */
	uint64_t unknown;                    /* no such destination */
	uint64_t dropped;                    /* the receiver's queue was full */
	uint64_t replaced;
	uint64_t refused[RELAY_HUB_REFUSALS];
	uint64_t health_failures;
};

struct relay_hub_gauges {
	size_t peers, handshaking, active, idle, subscriptions, queued_bytes;
	bool draining;
};

/* What relay_hub_input() says, together. */
enum relay_hub_said {
	RELAY_HUB_FLUSH = 1, /* a queue has grown: poll now rather than at the end of the turn */
	RELAY_HUB_JOINED = 2 /* this message completed the handshake */
};

struct relay_hub *relay_hub_new(const struct relay_hub_conf *conf);
void relay_hub_free(struct relay_hub *h); /* every peer was removed */

/* Null: full or draining. */
struct relay_hub_peer *relay_hub_open(struct relay_hub *h, ln_time now, void *user);
/* One whole message. enum relay_hub_said. */
int relay_hub_input(struct relay_hub *h, struct relay_hub_peer *p, ln_time now, ln_wall wall,
		    struct slice msg);
/* The transport broke a rule (framing, size): the peer will be closed. */
void relay_hub_close(struct relay_hub *h, struct relay_hub_peer *p, enum relay_hub_reason why);
/* The transport is gone; also after CLOSE. p is freed. */
void relay_hub_remove(struct relay_hub *h, struct relay_hub_peer *p);

bool relay_hub_poll(struct relay_hub *h, ln_time now, struct relay_hub_out *ret);
ln_time relay_hub_deadline(const struct relay_hub *h);

/* The queued bytes; valid until the next call. Their number of slices. */
size_t relay_hub_view(const struct relay_hub_peer *p, struct slice *dst, size_t max);
void relay_hub_sent(struct relay_hub *h, struct relay_hub_peer *p, size_t n);
/* The socket does not take more, or does again; starts or ends the stall clock. */
void relay_hub_blocked(struct relay_hub *h, struct relay_hub_peer *p, ln_time now, bool blocked);

/* Nobody new; each peer gets Close at a random moment within `over` (spec relay 16). */
void relay_hub_drain(struct relay_hub *h, ln_time now, ln_time over);
/* New secrets; open connections stay (spec relay 4.2). */
void relay_hub_set_keys(struct relay_hub *h, const struct relay_token_key *keys, size_t n);

const struct relay_id *relay_hub_peer_id(const struct relay_hub_peer *p); /* null before Auth */
const struct relay_hub_counters *relay_hub_counters(const struct relay_hub *h);
void relay_hub_gauges(const struct relay_hub *h, ln_time now, struct relay_hub_gauges *ret);
