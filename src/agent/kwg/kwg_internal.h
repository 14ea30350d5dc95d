#pragma once
/*
 * What the files of a kernel device share.
 *
 *	kwg.c       life, descriptors, events to the owner
 *	kwg_peer.c  peers: changes to the kernel, endpoints, packets that wait
 *	kwg_poll.c  reading the kernel's table and what follows from two readings
 *	kwg_relay.c peers reached by a relay
 *	kwg_wake.c  the loopback endpoint of peers without one
 *	kwg_redirect.c, kwg_redirect.bpf.c   the other way to name relayed peers: ports, by XDP
 */
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/wg/wg_msg.h"

#include "src/agent/kwg/kwg.h"
#include "src/agent/kwg/kwg_wake.h"
#include "src/ev/ev.h"

#define KWG_READ_EVERY LN_SEC            /* a table younger than this is good enough */
#define KWG_EXPECT_FAST (250 * LN_MSEC)  /* distance of readings while a handshake is awaited */
#define KWG_EXPECT_FAST_FOR (3 * LN_SEC) /* then every second */
#define KWG_EXPECT_FOR (30 * LN_SEC)
#define KWG_WANTED_EVERY LN_SEC
#define KWG_WAITING_MAX 16              /* data messages kept for a peer without endpoint */
#define KWG_INITIATION_AGE (5 * LN_SEC) /* then the kernel makes a new one (REKEY_TIMEOUT) */
#define KWG_DATAGRAMS_PER_TURN 64       /* of STUN */
#define KWG_BATCHES_PER_TURN 4          /* of KWG_WAKE_BATCH */
#define KWG_RELAY_BATCH (1 << 20)       /* bytes per turn; more is dropped */
#define KWG_RUN_BYTES 60000             /* what one datagram may be cut from */

struct kwg_waiting { /* a data message that had nowhere to go */
	struct list link;
	size_t n;
	uint8_t b[];
};

struct kwg_run {           /* of datagrams from one source that the kernel gets at once */
	struct ip_ep from; /* as the owner knows it */
	struct str bytes;  /* one behind the other: `size` each, the last may be shorter */
	size_t size;
	unsigned n;
	bool due; /* it leaves when the callback that runs now is over */
};

struct kwg_peer {
	struct map_node node;    /* by key */
	struct map_node by_slot; /* key: the four bytes of `slot` */
	struct list news;        /* in kwg.news while an event is due */
	struct wg_key key;
	uint32_t slot; /* of the wake socket */

	/* as the owner wants it */
	struct ip_ep ep; /* family 0: none, the kernel has the wake endpoint */
	bool initiate;   /* the last endpoint came with it */
	uint16_t keepalive;
	struct ip_prefix *allowed;
	size_t nallowed;

	/* what waits for an endpoint */
	uint8_t initiation[WG_MSG_INITIATION_LEN];
	ln_time initiation_at;    /* 0: none */
	ln_wall initiation_after; /* last handshake when it came */
	struct list waiting;
	size_t nwaiting;
	ln_time wanted_at;

	/* as last read from the kernel */
	bool read;
	bool handshake_news, roamed_news;
	struct ip_ep seen; /* endpoint in use; family 0 none */
	ln_time read_at;
	struct uwg_peer_stats stats;
};

struct kwg {
	struct ev_loop *loop;
	uwg_event_fn *on_event;
	void *user;
	bool closed;
	struct plat_wg *dev;
	struct kwg_wake wake;
	struct ev_io wake_io, stun_io[PLAT_WG_FDS];
	bool wake_io_on, stun_io_on[PLAT_WG_FDS];
	struct ev_timer timer;
	struct map peers, slots;
	uint32_t next_slot;
	struct str relay;              /* datagrams for the owner, uwg_relay_add() */
	struct kwg_run run;            /* datagrams for the kernel */
	struct kwg_redirect *redirect; /* null: relayed peers have addresses of their own */

	/* reading */
	ln_time read_at; /* 0 never */
	ln_time expect_since, expect_until;
	struct list news;
	bool down, down_said;
};

/* kwg.c */
/* False when the owner has freed the device meanwhile. */
bool kwg_say(struct kwg *k, const struct uwg_event *ev);

/* kwg_relay.c */
/* Endpoints of relayed peers as the kernel knows them, and as the owner does; others as they are.
 */
struct ip_ep kwg_relay_for_kernel(const struct kwg *k, const struct ip_ep *ep);
struct ip_ep kwg_relay_from_kernel(const struct kwg *k, const struct ip_ep *ep);
/* Packs what goes by a relay; it leaves with kwg_relay_flush() at the end of the turn. */
void kwg_relay_out(struct kwg *k, const struct ip_ep *to, struct slice data);
/* False when the owner has freed the device meanwhile. */
bool kwg_relay_flush(struct kwg *k);
/* What kwg_inject() has gathered goes to the kernel now. */
void kwg_relay_in_flush(struct kwg *k);

/* kwg_peer.c */
struct kwg_peer *kwg_peer_find(const struct kwg *k, const struct wg_key *key);
void kwg_peer_free(struct kwg *k, struct kwg_peer *p);
void kwg_peer_fini_all(struct kwg *k);
/* A message the kernel sent to the wake endpoint of a slot. */
void kwg_peer_captured(struct kwg *k, uint32_t slot, struct slice b);

/* kwg_poll.c */
void kwg_poll_read(struct kwg *k);
void kwg_poll_on_timer(struct ev_timer *t);
void kwg_poll_arm(struct kwg *k);
/* The device is gone: the owner hears of it from the loop. */
void kwg_poll_down(struct kwg *k);
/*
 * Did data come in `dt` (ns) with `bytes` more received? The kernel counts bytes only: what
 * keepalives (one per 25 s) and, if there was one, a handshake explain is no data.
 */
bool kwg_poll_is_data(ln_time dt, uint64_t bytes, bool handshake);
