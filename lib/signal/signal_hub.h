#pragma once
/*
 * The signal server's core (spec signal-and-connection 1.3-1.6, 1.10): who is registered, what
 * waits for whom, who is stuck. It sees keys as text and sealed bytes; it forwards messages
 * unchanged and never opens one.
 *
 * Core contract: verbs and signal_hub_poll(). After every verb and at the deadline the owner calls
 * poll until it says false. A stream object belongs to the hub; the owner of the transport gives
 * it back with signal_hub_unregister() when the transport stream is gone, also after an END.
 *
 * One message at a time: after a SEND the stream counts as busy until signal_hub_ready() says that
 * the transport took it. A stream that is busy for send_timeout is stuck and gets an END.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"

#define SIGNAL_HUB_ID_MAX 256 /* bytes of a registered id; unmodified clients send 44 */

struct signal_hub;
struct signal_stream;

struct signal_hub_conf {
	size_t max_message;   /* bytes of an envelope; 0 = 64 KiB */
	size_t max_queue;     /* messages waiting for one stream; 0 = 256 */
	size_t max_bytes;     /* bytes waiting for one stream; 0 = 1 MiB */
	size_t max_total;     /* bytes waiting in all; 0 = 256 MiB */
	size_t max_streams;   /* 0 = 100,000 */
	ln_time send_timeout; /* 0 = 10 s */
	/*
	 * A newcomer from another address may displace an id this many times at once, then once
	 * per refill: an id can be claimed by anybody, but not kept from its owner by a flood.
	 */
	unsigned displace_burst; /* 0 = 4 */
	ln_time displace_refill; /* 0 = 15 s */
};

enum signal_hub_end {
	SIGNAL_HUB_DISPLACED, /* "peer registered again" */
	SIGNAL_HUB_STUCK      /* took nothing for send_timeout */
};

struct signal_hub_out {
	enum signal_hub_out_type {
		SIGNAL_HUB_SEND, /* hand msg to the transport, then signal_hub_ready() */
		SIGNAL_HUB_END   /* end the stream; it is registered no more */
	} type;
	struct signal_stream *stream;
	void *user;
	struct slice msg; /* valid until the next call */
	enum signal_hub_end reason;
};

/* Counters of spec 1.9; latencies and sizes are the owner's business. */
struct signal_hub_counters {
	uint64_t active;
	uint64_t registrations; /* a replacing one is not counted */
	uint64_t deregistrations;
	uint64_t displaced;
	uint64_t refused; /* failed registrations */
	uint64_t forwarded;
	uint64_t not_connected;
	uint64_t dropped; /* oldest messages of a full queue */
	uint64_t lost;    /* waited for a stream that went away */
	uint64_t stuck;   /* streams ended for making no progress */
	uint64_t oversized;
	uint64_t malformed;
};

struct signal_hub *signal_hub_new(const struct signal_hub_conf *conf, const struct ln_rng *rng);
void signal_hub_free(struct signal_hub *h); /* all streams must be unregistered */

/*
 * Registers id for a transport stream `user` coming from `source` (the socket's address; family 0
 * if unknown). An older stream of the same id gets an END. LN_E_STALE: the entry is as new as this
 * one, or the id is displaced too often ("peer already registered"). LN_E_LIMIT: max_streams.
 * LN_E_MALFORMED: the id is empty or too long.
 */
LN_MUST_CHECK int signal_hub_register(struct signal_hub *h, ln_time now, struct slice id,
				      const struct ip_addr *source, void *user,
				      struct signal_stream **ret);
/* The transport stream is gone. What waited for it is lost; the id is free if it was still its. */
void signal_hub_unregister(struct signal_hub *h, struct signal_stream *s);

/*
 * Takes one envelope for its remoteKey. 1: its stream can take it at once, *ret_now is the SEND of
 * it (the caller's own bytes, not copied) and poll will not give it again. 0: it waits, copied;
 * also when nobody has that id or its queue is full: senders learn nothing (1.5). LN_E_LIMIT:
 * larger than max_message. LN_E_MALFORMED: no envelope. ret_now may be null: then it always waits.
 */
LN_MUST_CHECK int signal_hub_send(struct signal_hub *h, ln_time now, struct slice msg,
				  struct signal_hub_out *ret_now);
/* The transport has taken what it was given and can take more. */
void signal_hub_ready(struct signal_hub *h, struct signal_stream *s);

/* One output; due timer work first. False: nothing now. */
bool signal_hub_poll(struct signal_hub *h, ln_time now, struct signal_hub_out *out);
ln_time signal_hub_deadline(const struct signal_hub *h); /* LN_TIME_NEVER when nobody is busy */

const struct signal_hub_counters *signal_hub_counters(const struct signal_hub *h);
