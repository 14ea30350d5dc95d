#pragma once
/* The device's own state and what its three files share. Private to lib/wg. */
#include "lib/wg/wg_limit.h"
#include "lib/wg/wg_path.h"
#include "lib/wg/wg_peer.h"

#define WG_DEV_COOKIES 64 /* cookie replies waiting to be polled; more are dropped */
#define WG_DEV_BATCH 64   /* packets per call of the AEAD */

struct wg_dev_cookie {
	struct ip_ep to;
	struct wg_msg_cookie msg;
};

struct wg_dev {
	struct wg_dev_conf conf; /* secret is null */
	const struct ln_rng *rng;
	struct wg_noise_local local;
	struct wg_cookie_checker checker;
	struct wg_limit limit;

	struct map peers;   /* by key */
	struct map indices; /* struct wg_index by id */
	struct wg_aips allowed;
	struct heap deadlines;
	struct list todo;    /* peers */
	struct list changed; /* peers */
	size_t staged_bytes;

	ln_wall wall_offset; /* wall time minus ln_time */
	ln_wall last_stamp;

	ln_time load_full; /* bucket of handshake messages with a right mac1 */
	ln_time loaded_until;

	struct wg_dev_cookie cookies[WG_DEV_COOKIES]; /* ring */
	unsigned cookie_first;
	unsigned ncookies;

	struct aead_job jobs[WG_DEV_BATCH];
	struct wg_dev_drops drops;
};

struct wg_peer *wg_dev_find_peer(const struct wg_dev *d, const struct wg_key *key);
void wg_dev_todo(struct wg_dev *d, struct wg_peer *p, unsigned what);
void wg_dev_todo_done(struct wg_peer *p, unsigned what);
void wg_dev_changed(struct wg_dev *d, struct wg_peer *p);
/* Moves the peer in the heap when its next timer is earlier than where it stands. */
void wg_dev_rearm(struct wg_dev *d, struct wg_peer *p);

uint32_t wg_dev_index_new(struct wg_dev *d);
void wg_dev_index_add(struct wg_dev *d, struct wg_index *x, struct wg_peer *p);
void wg_dev_index_remove(struct wg_dev *d, struct wg_index *x);
struct wg_index *wg_dev_index_find(const struct wg_dev *d, uint32_t id);

/* A handshake ended: enters the session and drops what falls out. */
void wg_dev_begin_session(struct wg_dev *d, struct wg_peer *p, ln_time now,
			  const struct wg_noise_keys *keys, bool initiator);
/* The session in use, or null. */
struct wg_keypair *wg_dev_session(const struct wg_dev *d, const struct wg_peer *p, ln_time now);
void wg_dev_drop_keypair(struct wg_dev *d, struct wg_keypair *k);
void wg_dev_drop_sessions(struct wg_dev *d, struct wg_peer *p);
/*
 * Begins a handshake unless one is under way; without an endpoint, asks for one. `retry`: the
 * series of attempts goes on.
 */
void wg_dev_want_session(struct wg_dev *d, struct wg_peer *p, ln_time now, bool retry);

void wg_dev_stage(struct wg_dev *d, struct wg_peer *p, struct slice packet);
struct wg_staged *wg_dev_unstage(struct wg_dev *d, struct wg_peer *p);
void wg_dev_purge_staged(struct wg_dev *d, struct wg_peer *p);

/* Bookkeeping of one or more messages that went out, or came in authenticated. */
void wg_dev_sent(struct wg_dev *d, struct wg_peer *p, ln_time now, size_t bytes);
void wg_dev_received(struct wg_dev *d, struct wg_peer *p, ln_time now, size_t bytes,
		     const struct ip_ep *from, bool direct);

/* Where copies of the peer's messages go besides its endpoint, or null. */
const struct ip_ep *wg_dev_spare(const struct wg_peer *p);

/* The longest packet that the peer's path carries; 0: nothing is known against our MTU. */
size_t wg_dev_path_inner(struct wg_peer *p, ln_time now);

/* Seals jobs[0..n) of the device for a session; the headers are written too. */
void wg_dev_seal_jobs(struct wg_dev *d, struct wg_keypair *k, size_t n);
