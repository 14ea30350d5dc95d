#pragma once
/*
 * The management service: management.ManagementService over gRPC, the administration socket and the
 * timers that go with them. Everything here belongs to one loop; the store answers from its own
 * thread through it.
 *
 * Life: management_new -> management_register (rows into a gRPC server) -> management_start ->
 * management_stop (streams end, peers are marked disconnected) -> management_free. The store must
 * outlive it; the gRPC server is freed before it.
 */
#include "lib/base/err.h"
#include "lib/base/time.h"
#include "lib/crypto/key.h"

struct ev_loop;
struct grpc_server;
struct management;
struct store;

/* The relays agents are told about; no URL: none. */
struct management_relay {
	const char *const *urls; /* "rels://host:443" */
	size_t nurls;
	const char *secret; /* shared with the relays */
	ln_time ttl;        /* of a token; 0 = 12 h */
};

/* TURN servers agents are told about; no URI: none. */
struct management_turn {
	const char *const *uris; /* "turn:host:3478?transport=udp" */
	size_t nuris;
	const char *secret;              /* of time-based credentials (coturn: use-auth-secret) */
	const char *username, *password; /* instead, when secret is "" */
	ln_time ttl;                     /* of time-based ones; 0 = 12 h */
};

/* Text is copied by management_new. */
struct management_conf {
	const char *const *stuns; /* URIs, "stun:host:3478" */
	size_t nstuns;
	const char *signal_uri; /* "host:port", no scheme; must be set */
	bool signal_tls;
	struct management_relay relay;
	struct management_turn turn;
	const char *admin_socket; /* path; null: no administration socket */
	unsigned max_sync_setups; /* Syncs that wait for their first map at once; 0 = 1000 */
	ln_time ephemeral_after;  /* 0 = 10 min without a connection, then deleted */
	ln_time sweep_every;      /* 0 = 1 min */
	bool no_fast_path;        /* every Sync gets a full map (spec 6.1) */
	int sync_version;         /* highest SyncResponse.Version sent to who knows it: 0 or 1 */
};

struct management_counters {
	uint64_t logins, registrations, refused; /* refused: any non-OK unary answer or Sync */
	uint64_t syncs, streams;                 /* streams: open now */
	uint64_t maps, maps_same, maps_late;     /* sent; not sent because equal; reader was slow */
	uint64_t components;                     /* of the maps: sent in the component form */
	uint64_t fast;                           /* Syncs answered without a map */
	uint64_t snapshots, snapshots_followed;  /* loaded; of them: made of the former one */
	uint64_t refreshes;                      /* of relay tokens, sent on open streams */
	uint64_t connect_stale, disconnect_stale, store_errors, replays;
};

/*
 * Reads the server key, the account (made on first use) and the first snapshot from the store,
 * blocking: call before store_start(). Errors: what the store says, -errno for the admin socket.
 */
LN_MUST_CHECK int management_new(struct ev_loop *loop, const struct management_conf *conf,
				 struct store *store, struct management **ret, struct ln_fail *f);
/* Adds the rows of all methods to a server; may be called for several (legacy listener). */
void management_register(struct management *m, struct grpc_server *server);
/* Opens the admin socket and starts the timers. */
LN_MUST_CHECK int management_start(struct management *m, struct ln_fail *f);
/*
 * Ends every stream with OK and refuses new calls as UNAVAILABLE; done(arg) when all peers are
 * marked disconnected in the store.
 */
void management_stop(struct management *m, void (*done)(void *arg), void *arg);
void management_free(struct management *m);

const struct wg_key *management_server_key(const struct management *m);
const struct management_counters *management_counters(const struct management *m);
