#pragma once
/*
 * What the servers keep: the account, its peers, groups, policies and setup keys, and the server
 * key. Functions by use, not by table. SQLite underneath (src/store/sqlite); the SQL stands in
 * src/store/sql.
 *
 * Owner and threads: a struct store belongs to one thread at a time. Tools and tests open it and
 * call the functions directly. A server calls store_start(), which gives it to the store thread;
 * from then on only jobs (store_run) may call the functions, in the order they were handed in.
 *
 * Durability: a function that returned 0 after changing something has its change on disk (WAL,
 * synchronous=FULL), except for the mark of being connected. A function that failed changed
 * nothing. A write equal to what is stored changes nothing. Every change that can alter a map
 * raises the account's serial in the same transaction; the serial never falls (spec
 * management-protocol 4.4, 5.7).
 *
 * Errors every function may return, not repeated below: LN_E_TIMEOUT (another process holds the
 * lock beyond the busy timeout), -ENOSPC (disk full), -EIO, -EROFS, LN_E_MALFORMED (the file is
 * damaged), LN_E_INTERNAL. The store can be used on after each of them. Text for people is in the
 * struct ln_fail where there is one.
 *
 * Results point into the arena that was handed in. Times are Unix seconds (0 = never/none) except
 * where a name says otherwise.
 */
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"
#include "lib/crypto/key.h"

struct ev_loop;
struct store;

#define STORE_ID_LEN 20
#define STORE_NAME_MAX 255         /* bytes of a name a person or an agent chooses */
#define STORE_GROUP_ALL "All"      /* every peer is a member; can be neither renamed nor deleted */
#define STORE_POLICY_PORTS_MAX 512 /* ports and ranges of one rule */

/* 12 random-looking bytes (4 of time) as 20 characters 0-9a-v, like the ids NetBird makes. */
struct store_id {
	char text[STORE_ID_LEN + 1];
};

struct store_conf {
	const char *path;         /* database file; made with mode 0600 when missing */
	const struct ln_rng *rng; /* ids, addresses, server key; must outlive the store */
	unsigned busy_ms;         /* 0 = 5000 */
	bool read_only;           /* nothing is created or migrated */
};

/*
 * Opens, checks and, if needed, migrates. Before an existing file is migrated a copy
 * "<path>.v<N>.backup" is made. LN_E_UNSUPPORTED: made by a newer linnet, or no linnet store.
 */
LN_MUST_CHECK int store_open(const struct store_conf *conf, struct store **ret, struct ln_fail *f);
void store_close(struct store *s); /* after store_stop() when started */

/* --- the store thread ------------------------------------------------------------------------- */

typedef void store_job_fn(struct store *s, void *arg); /* on the store thread */
typedef void store_done_fn(void *arg);                 /* on the loop */

void store_start(struct store *s, struct ev_loop *loop);
/* Queues a job; done (may be null) follows on the loop. From the loop's thread only. */
void store_run(struct store *s, store_job_fn *job, store_done_fn *done, void *arg);

/*
 * The same for small jobs that come in crowds: those that wait one behind the other share a commit,
 * and each is answered after it. What fails in one job is undone for this job only; when the commit
 * fails, every job runs once more, alone. So the job sets all of its results each time it runs.
 *
 * STORE_SOON: the job writes nothing but marks of being connected, which are not waited for.
 */
enum store_wait {
	STORE_DURABLE,
	STORE_SOON
};

void store_run_shared(struct store *s, enum store_wait wait, store_job_fn *job, store_done_fn *done,
		      void *arg);
size_t store_backlog(const struct store *s); /* jobs queued or running; from the loop's thread */
/* Runs what is queued, then ends the thread; done callbacks may still come through the loop. */
void store_stop(struct store *s);

/* --- server key and account ------------------------------------------------------------------- */

/* The X25519 key of this server; made and stored on first use (spec 2.3: persisted). */
LN_MUST_CHECK int store_server_key(struct store *s, struct wg_secret *ret);

struct store_account {
	struct store_id id;
	uint64_t serial;
	struct ip_prefix net4;
	struct ip_prefix net6;
	char domain[STORE_NAME_MAX + 1];
	bool lazy_connections;
};

/*
 * The one account, made on first use as NetBird makes it: a random /16 of 100.64.0.0/10, a random
 * /64 of fd00::/8, group All, policy Default, lazy connections on, IPv6 for All.
 */
LN_MUST_CHECK int store_account_ensure(struct store *s, ln_wall now, struct store_account *ret);
LN_MUST_CHECK int store_account_get(struct store *s, struct store_account *ret); /* or NOTFOUND */
/* The setting "connect at the first packet" of all peers. */
LN_MUST_CHECK int store_account_set_lazy(struct store *s, bool lazy);

/* --- setup keys --------------------------------------------------------------------------------
 */

struct store_ref { /* a name beside an id */
	struct store_id id;
	const char *name;
};

struct store_key {
	struct store_id id;
	const char *name;
	const char *hash;   /* stored form: lib/token/setup_key.h */
	const char *masked; /* for lists */
	bool reusable;
	bool ephemeral;
	bool revoked;
	int64_t expires;
	uint32_t usage_limit; /* 0 = unlimited; a one-off key has 1 */
	uint32_t used_times;
	int64_t last_used;
	int64_t created;
	const struct store_ref *groups; /* auto groups; only the ids are read on creation */
	size_t ngroups;
};

/* Fills id and created. LN_E_NOTFOUND: a group does not exist. */
LN_MUST_CHECK int store_key_create(struct store *s, struct store_key *key, ln_wall now,
				   struct ln_fail *f);
LN_MUST_CHECK int store_key_list(struct store *s, struct arena *a, struct store_key **ret,
				 size_t *ret_n);
LN_MUST_CHECK int store_key_revoke(struct store *s, const struct store_id *id); /* NOTFOUND */
LN_MUST_CHECK int store_key_delete(struct store *s, const struct store_id *id); /* NOTFOUND */

/* --- peers --------------------------------------------------------------------------------------
 */

/* Text columns of what an agent says about its host; never null in results. */
#define STORE_META_TEXTS(X)                                                                        \
 X(hostname)                                                                                       \
 X(go_os)                                                                                          \
 X(kernel)                                                                                         \
 X(core)                                                                                           \
 X(platform)                                                                                       \
 X(os)                                                                                             \
 X(version)                                                                                        \
 X(ui_version)                                                                                     \
 X(kernel_version)                                                                                 \
 X(os_version)                                                                                     \
 X(serial_number)                                                                                  \
 X(product)                                                                                        \
 X(manufacturer)                                                                                   \
 X(cloud)                                                                                          \
 X(environment)                                                                                    \
 X(addresses) /* JSON list, sorted: equal sets are equal texts */                                  \
 X(files)     /* JSON list, sorted */

struct store_meta {
#define X(name) const char *name;
	STORE_META_TEXTS(X)
#undef X
	uint32_t flags;        /* 1u << enum mgmt_flag */
	uint32_t capabilities; /* 1u << enum mgmt_capability */
	int32_t sync_version;
};

struct store_peer {
	struct store_id id;
	struct wg_key key;
	struct slice ssh_key;
	const char *name;
	const char *label; /* first label of the FQDN */
	struct ip_addr v4;
	struct ip_addr v6; /* family 0 = none */
	bool ephemeral;
	bool connected;
	int64_t session;       /* fencing token of the open session; 0 = none (spec 6.2) */
	const char *last_seen; /* "YYYY-MM-DD HH:MM:SS" UTC by the database's clock; "" = never */
	int64_t created;
	struct store_meta meta;
};

struct store_registration {
	struct wg_key key;
	const char *setup_key_hash;
	struct slice ssh_key;
	const struct store_meta *meta;
};

/*
 * New peer by setup key (spec 3.5, 5.1). LN_E_NOTFOUND: the key is unknown, revoked, expired or
 * used up. LN_E_CONFLICT: the peer exists. LN_E_MALFORMED: the host name gives no label.
 * LN_E_LIMIT: the network has no free address.
 */
LN_MUST_CHECK int store_peer_register(struct store *s, const struct store_registration *r,
				      ln_wall now, struct arena *a, struct store_peer *ret,
				      uint64_t *ret_serial);
LN_MUST_CHECK int store_peer_find(struct store *s, const struct wg_key *key, struct arena *a,
				  struct store_peer *ret); /* LN_E_NOTFOUND */
LN_MUST_CHECK int store_peer_get(struct store *s, const struct store_id *id, struct arena *a,
				 struct store_peer *ret); /* LN_E_NOTFOUND */
LN_MUST_CHECK int store_peer_list(struct store *s, struct arena *a, struct store_peer **ret,
				  size_t *ret_n); /* by name */
/* 1 when stored (serial raised), 0 when equal, LN_E_NOTFOUND. */
LN_MUST_CHECK int store_peer_set_ssh_key(struct store *s, const struct store_id *id,
					 struct slice ssh_key);
/*
 * Spec 5.4: an empty ui_version keeps the stored one. 2 when something was stored that can alter a
 * map (version, capabilities, IPv6 switch: serial raised), 1 when something else was stored,
 * 0 when equal, LN_E_NOTFOUND.
 */
LN_MUST_CHECK int store_peer_set_meta(struct store *s, const struct store_id *id,
				      const struct store_meta *meta);
/*
 * New label by the algorithm of registration. 1 when stored, 0 when equal, LN_E_NOTFOUND,
 * LN_E_MALFORMED, LN_E_CONFLICT (no free label).
 */
LN_MUST_CHECK int store_peer_rename(struct store *s, const struct store_id *id, const char *name);
/* Groups, and whole policies that name it, go too (spec 5.6). LN_E_NOTFOUND. */
LN_MUST_CHECK int store_peer_delete(struct store *s, const struct store_id *id);
/*
 * Deletes ephemeral peers that are disconnected and were last seen at least `idle_s` seconds ago
 * (spec 5.3). Number deleted.
 */
LN_MUST_CHECK int store_peer_sweep(struct store *s, int64_t idle_s);
/*
 * Connected state with its fence (spec 6.2): one statement each. 1 = applied, 0 = stale (not an
 * error; nothing changed). Disconnect with token 0 does nothing.
 */
LN_MUST_CHECK int store_peer_connect(struct store *s, const struct store_id *account,
				     const struct store_id *peer, int64_t token);
LN_MUST_CHECK int store_peer_disconnect(struct store *s, const struct store_id *account,
					const struct store_id *peer, int64_t token);
/* After a crash: nobody is connected to a server that just started. Number of rows. */
LN_MUST_CHECK int store_peer_disconnect_all(struct store *s);

/* --- groups --------------------------------------------------------------------------------------
 */

struct store_group {
	struct store_id id;
	const char *name;
	const struct store_ref *peers;
	size_t npeers;
};

LN_MUST_CHECK int store_group_list(struct store *s, struct arena *a, struct store_group **ret,
				   size_t *ret_n); /* by name */
/* LN_E_CONFLICT: the name is taken. LN_E_MALFORMED: empty or too long. */
LN_MUST_CHECK int store_group_create(struct store *s, const char *name, struct store_id *ret);
/* 1 stored, 0 equal; LN_E_NOTFOUND, LN_E_CONFLICT, LN_E_MALFORMED, LN_E_DENIED (All). */
LN_MUST_CHECK int store_group_rename(struct store *s, const struct store_id *id, const char *name);
/* LN_E_NOTFOUND, LN_E_DENIED (All), LN_E_CONFLICT (a policy or setup key uses it; f says which). */
LN_MUST_CHECK int store_group_delete(struct store *s, const struct store_id *id, struct ln_fail *f);
/* 1 stored, 0 was so already; LN_E_NOTFOUND, LN_E_DENIED (removing from All). */
LN_MUST_CHECK int store_group_add_peer(struct store *s, const struct store_id *group,
				       const struct store_id *peer);
LN_MUST_CHECK int store_group_remove_peer(struct store *s, const struct store_id *group,
					  const struct store_id *peer);

/* --- policies ------------------------------------------------------------------------------------
 */

struct store_ports {
	uint16_t first;
	uint16_t last; /* == first: a single port */
};

struct store_rule {
	struct store_id id; /* filled on creation when empty */
	const char *name;
	bool enabled;
	bool drop; /* else accept */
	bool bidirectional;
	uint8_t protocol; /* enum netmap_protocol */
	const struct store_ports *ports;
	size_t nports;
	const struct store_ref *sources; /* groups; only the ids are read */
	size_t nsources;
	const struct store_ref *destinations;
	size_t ndestinations;
	struct store_ref source_peer; /* empty id = none; takes the place of the groups */
	struct store_ref destination_peer;
};

struct store_policy {
	struct store_id id;
	const char *name;
	const char *description;
	bool enabled;
	const struct store_rule *rules;
	size_t nrules;
};

LN_MUST_CHECK int store_policy_list(struct store *s, struct arena *a, struct store_policy **ret,
				    size_t *ret_n); /* by name */
/* Fills p->id. LN_E_NOTFOUND (a group or peer, named in f), LN_E_MALFORMED (a value, in f). */
LN_MUST_CHECK int store_policy_create(struct store *s, struct store_policy *p, struct ln_fail *f);
/*
 * Makes the stored policy equal to p; rules are matched by position and keep their ids.
 * 1 stored, 0 equal, errors as above.
 */
LN_MUST_CHECK int store_policy_update(struct store *s, const struct store_policy *p,
				      struct ln_fail *f);
LN_MUST_CHECK int store_policy_delete(struct store *s, const struct store_id *id); /* NOTFOUND */

/* --- the snapshot
 * --------------------------------------------------------------------------------- */

struct netmap_account;
struct netmap_same;
/* Everything a map is computed from, read in one transaction, labelled with its serial. */
LN_MUST_CHECK int store_account_load(struct store *s, struct arena *a, struct netmap_account **ret);
/*
 * The same, made of a former snapshot of this store and the rows that changed since. 1 when that
 * was possible: *ret_same connects the two. 0 when everything was read: the former one is from
 * before this store was opened, another process wrote, or too much changed.
 */
LN_MUST_CHECK int store_account_follow(struct store *s, const struct netmap_account *former,
				       struct arena *a, struct netmap_account **ret,
				       struct netmap_same *ret_same);
