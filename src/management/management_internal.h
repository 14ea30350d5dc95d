#pragma once
/*
 * What the files of the management service share. Private to src/management and its tests.
 *
 * Everything belongs to the loop's thread. A request that needs the store becomes a job struct that
 * the store thread fills in; while it is there, the loop does not touch the job's `in`/`out` parts.
 * A call may end at any time: whoever comes back from the store looks whether it is still there.
 */
#include "lib/base/arena.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/str.h"
#include "lib/crypto/box.h"
#include "lib/mgmt/mgmt_plan.h"
#include "lib/netmap/netmap_change.h"
#include "lib/token/relay_token.h"

#include "src/ev/ev.h"
#include "src/management/management.h"
#include "src/management/management_fast.h"
#include "src/management/management_pace.h"
#include "src/net/net_grpc.h"
#include "src/store/store.h"

#define MANAGEMENT_REQUEST_MAX (256 * 1024) /* opened request; real ones are below 10 KiB */
#define MANAGEMENT_ARENA(n) ((n)*24 + (1 << 20))
#define MANAGEMENT_FORWARDER_PORT 22054 /* of the removal message */
#define MANAGEMENT_NONCES_MAX 1024      /* remembered per peer; the oldest go first */
#define MANAGEMENT_NONCE_AGE (24 * LN_HOUR)

struct admin_server;
struct management_stream;

/* The account at one serial, shared by whoever still reads it. */
struct management_snapshot {
	struct arena arena;
	const struct netmap_account *account;
	bool followed; /* made of the former one and the changes */
	struct netmap_same same;
	struct mgmt_shelf *shelf; /* parts of its maps; the loop's thread only */
	uint64_t serial;
	unsigned refs;
};

struct management_nonce {
	uint64_t hash;
	ln_time at;
};

/* A peer the store has confirmed. Goes when it is deleted and has no stream. */
struct management_peer {
	struct map_node node; /* by key */
	struct wg_key key;
	struct box_key box;
	uint64_t since; /* serial at which it was confirmed */
	struct management_stream *stream;
	struct grpc_call *job;
	struct management_fast fast;     /* the map it has */
	struct management_nonce *nonces; /* ring, oldest at `first` */
	size_t nnonces, cap, first;
};

/* Gathers changes: see management_push.c. */
struct management_push {
	uint64_t want; /* a commit raised the serial to at least this */
	bool loading;  /* a snapshot is under way */
	bool again;    /* something changed while it was */
	struct management_pace pace;
	struct ev_timer timer;
	struct ev_timer work;
	struct list dirty;   /* streams that need a map */
	struct list flights; /* streams whose map is on its way to a reader, oldest first */
	size_t flying;       /* bytes of those maps */
};

struct management {
	struct ev_loop *loop;
	struct store *store;
	struct management_conf conf; /* texts owned */
	struct wg_secret secret;
	struct wg_key key;
	struct relay_token_key relay_key;
	struct store_account account;
	struct management_snapshot *snapshot;
	struct map peers;
	struct list streams;
	struct management_push push;
	struct ev_timer sweep;
	struct admin_server *admin;
	struct management_counters counters;
	unsigned setups; /* Syncs without their first map */
	int64_t last_token;
	uint64_t hash_seed[2];
	ln_time started;
	bool stopping;
	struct grpc_method *rows;
};

/* --- management_box.c ----------------------------------------------------------------------------
 */

struct management_request {
	struct wg_key key;
	struct box_key box;
	uint8_t nonce[BOX_NONCE_LEN];
	struct slice plain; /* in the arena */
};

/* LN_E_MALFORMED, LN_E_AUTH, LN_E_LIMIT: all of them INVALID_ARGUMENT to the caller. */
LN_MUST_CHECK int management_open(struct management *m, struct slice msg, struct arena *a,
				  struct management_request *ret);
/* Seals and queues one message. LN_E_LIMIT, LN_E_CLOSED as grpc_call_send. */
LN_MUST_CHECK int management_send(struct management *m, struct grpc_call *c,
				  const struct box_key *box, const struct str *plain);
/* The same for a measured map, written and sealed where it is sent from. */
LN_MUST_CHECK int management_send_plan(struct management *m, struct grpc_call *c,
				       const struct box_key *box, const struct mgmt_plan *plan);
struct management_peer *management_peer_find(struct management *m, const struct wg_key *key);
/* The store knows this key (as of `serial`). */
struct management_peer *management_peer_confirm(struct management *m, const struct wg_key *key,
						const struct box_key *box, uint64_t serial);
void management_peer_free(struct management *m, struct management_peer *p);
/* Ends the Job streams of peers the snapshot no longer has, and frees the peers. */
void management_peers_purge(struct management *m);
/* Spec 2.4: false when this peer sent the same nonce within 24 h, else remembers it. */
bool management_nonce_fresh(struct management_peer *p, const uint64_t seed[2],
			    const uint8_t nonce[BOX_NONCE_LEN], ln_time now);

/* --- management_calls.c: unary calls and Job
 * ------------------------------------------------------ */

extern const struct grpc_method management_rows[];
extern const size_t management_nrows;
extern const struct grpc_method management_login_row;
extern const struct grpc_method management_sync_row;

/* True when the server is stopping: the call was answered UNAVAILABLE. */
bool management_stopping(struct management *m, struct grpc_call *c);
/* Ends a call with an error and counts it. */
void management_refuse(struct management *m, struct grpc_call *c, enum grpc_status status,
		       const char *text);
/* --- management_servers.c ---------------------------------------------------------------------*/

void management_servers_init(struct management *m, const struct management_conf *from);
void management_servers_fini(struct management *m);
/*
 * Everything an agent is told about servers, with fresh tokens. `m` and the arena outlive the
 * result. LN_E_LIMIT.
 */
LN_MUST_CHECK int management_servers(const struct management *m, struct arena *a,
				     struct mgmt_servers *ret);
/* New tokens for an open stream, in time before the old ones end. */
void management_refresh_init(struct management_stream *st);
void management_refresh_arm(struct management_stream *st);
void management_refresh_fini(struct management_stream *st);

/* --- management_meta.c
 * ---------------------------------------------------------------------------- */

/* Texts of `from` are used in place; lists become sorted JSON in the arena. LN_E_LIMIT. */
LN_MUST_CHECK int management_meta_convert(const struct mgmt_meta *from, struct arena *a,
					  struct store_meta *ret);

/* --- management_push.c
 * ---------------------------------------------------------------------------- */

void management_push_init(struct management *m);
void management_push_fini(struct management *m);
/*
 * On the store's thread. `former` may be null, or holds a reference for as long as this takes. The
 * result has no shelf yet.
 */
LN_MUST_CHECK int management_snapshot_load(struct store *s,
					   const struct management_snapshot *former,
					   struct management_snapshot **ret);
/* Gives it a shelf, on the loop; `former` is the one it was loaded from, or null. */
void management_snapshot_furnish(struct management_snapshot *s, const uint64_t seed[2],
				 const struct management_snapshot *former);
void management_snapshot_unref(struct management_snapshot *s);
/* A commit raised the serial: reload, then tell the streams. */
void management_changed(struct management *m, uint64_t serial);
/* A stream waits for a snapshot of at least this serial: no gathering. */
void management_push_hurry(struct management *m, uint64_t serial);
/* The stream wants the newest map as soon as its reader can take it. */
void management_push_stream(struct management *m, struct management_stream *st);
/* A map of `bytes` is queued for the stream's reader; 0: it is there, or the stream has ended. */
void management_push_flight(struct management *m, struct management_stream *st, size_t bytes);

/* --- management_sync.c
 * ---------------------------------------------------------------------------- */

struct management_stream {
	struct list all;         /* in management.streams */
	struct list dirty;       /* in management_push.dirty */
	struct list flight_link; /* in management_push.flights */
	size_t flight;           /* bytes of the map in flight that count */
	ln_time flight_at;
	struct ev_timer refresh; /* of the relay token */
	struct management *m;
	struct grpc_call *call;       /* null once closed */
	struct management_peer *peer; /* null before attach and after it was replaced */
	struct store_id id;
	struct box_key box;
	int64_t token;
	uint64_t min_serial; /* of the first map */
	uint64_t sent;       /* serial of the newest map sent */
	uint64_t last_hash;
	int32_t format;                 /* SyncResponse.Version it gets at most */
	bool remember;                  /* fast path: `pending` is worth remembering */
	bool skip;                      /* fast path: the first answer may be without a map */
	struct management_fast pending; /* sent, not yet confirmed; serial 0: nothing */
	bool attached;                  /* may be marked connected: a disconnect is owed */
	bool counted;                   /* among the set-ups */
	bool first;                     /* the first map has been sent */
	bool ended;                     /* finish was called */
	bool waiting;                   /* for `writable` */
	unsigned refs;                  /* the call; the job */
};

/*
 * Sends the stream the map of the current snapshot, its removal if the peer is gone, or nothing if
 * it has the same already. LN_E_AGAIN: the reader is behind; `writable` brings it back.
 */
int management_stream_feed(struct management_stream *st, struct arena *a);
/* Ends with OK; no further map. */
void management_stream_end(struct management_stream *st, enum grpc_status status, const char *text);

/* --- administration
 * --------------------------------------------------------------------------------- */

LN_MUST_CHECK int admin_server_new(struct management *m, const char *path,
				   struct admin_server **ret, struct ln_fail *f);
void admin_server_free(struct admin_server *s);
