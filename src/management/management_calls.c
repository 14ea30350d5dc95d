/*
 * The short calls: keys and health without a lock or the store, flow information, SyncMeta, Logout;
 * and Job, which is opened and stays silent (spec management-protocol 3.7-3.13).
 */
#include <stdlib.h>
#include <string.h>

#include "src/management/management_internal.h"
#include "src/obs/obs_log.h"

#define KEY_LIFE (24 * LN_HOUR)

void management_refuse(struct management *m, struct grpc_call *c, enum grpc_status status,
		       const char *text)
{
	m->counters.refused++;
	grpc_call_finish(c, status, text);
}

bool management_stopping(struct management *m, struct grpc_call *c)
{
	if (m->stopping)
		grpc_call_finish(c, GRPC_UNAVAILABLE, "the server is stopping");
	return m->stopping;
}

static void open_check(void *service, struct grpc_call *c)
{
	struct management *m = service;
	if (!management_stopping(m, c))
		grpc_call_set_user(c, m);
}

static void send_and_finish(struct grpc_call *c, const struct str *msg)
{
	if (grpc_call_send(c, str_slice(msg)) < 0)
		grpc_call_finish(c, GRPC_INTERNAL, "failed handling request");
	else
		grpc_call_finish(c, GRPC_OK, NULL);
}

/* --- GetServerKey, isHealthy: before nearly everything, so nothing to wait for (trap 25)
 * ---------- */

static void server_key_message(struct grpc_call *c, struct slice msg)
{
	struct management *m = grpc_call_user(c);
	if (m == NULL)
		return;
	grpc_call_set_user(c, NULL);
	LN_AUTO(str_fini) struct str s;
	str_init(&s, 0);
	mgmt_server_key_write(&s, &m->key, ev_wall() + KEY_LIFE);
	send_and_finish(c, &s);
}

static void healthy_message(struct grpc_call *c, struct slice msg)
{
	struct management *m = grpc_call_user(c);
	if (m == NULL)
		return;
	grpc_call_set_user(c, NULL);
	LN_AUTO(str_fini) struct str s;
	str_init(&s, 0);
	send_and_finish(c, &s);
}

/* --- flow information: no identity provider in this server (3.9)
 * ---------------------------------- */

static void flow_message(struct grpc_call *c, struct slice msg)
{
	struct management *m = grpc_call_user(c);
	struct management_request req;
	struct arena a;
	if (m == NULL)
		return;
	grpc_call_set_user(c, NULL);
	arena_init(&a, msg.n + 1024);
	if (management_open(m, msg, &a, &req) < 0)
		management_refuse(m, c, GRPC_INVALID_ARGUMENT, "invalid request message");
	else
		management_refuse(m, c, GRPC_NOT_FOUND,
				  "no authorization flow is configured on this server");
	arena_fini(&a);
}

/* --- SyncMeta and Logout: one store job, a plain Empty as answer
 * ---------------------------------- */

enum short_kind {
	SHORT_SYNC_META,
	SHORT_LOGOUT
};

struct short_call {
	struct management *m;
	enum short_kind kind;
	struct grpc_call *call; /* null once closed */
	bool in_store;
	struct arena arena;
	struct management_request req;
	struct store_meta meta;
	/* filled on the store thread */
	int result;
	uint64_t serial;
	bool changed;
};

static void short_free(struct short_call *x)
{
	if (x->call != NULL || x->in_store)
		return;
	arena_fini(&x->arena);
	box_key_wipe(&x->req.box);
	free(x);
}

static void short_job(struct store *s, void *arg)
{
	struct short_call *x = arg;
	struct store_peer p;
	struct store_account acc;
	struct arena a;
	arena_init(&a, 16 << 20);
	int r = store_peer_find(s, &x->req.key, &a, &p);
	if (r == 0)
		r = x->kind == SHORT_LOGOUT ? store_peer_delete(s, &p.id)
					    : store_peer_set_meta(s, &p.id, &x->meta);
	x->changed = x->kind == SHORT_LOGOUT ? r == 0 : r == 2;
	if (r >= 0 && store_account_get(s, &acc) == 0)
		x->serial = acc.serial;
	x->result = r;
	arena_fini(&a);
}

static void short_done(void *arg)
{
	struct short_call *x = arg;
	struct management *m = x->m;
	x->in_store = false;
	if (x->changed)
		management_changed(m, x->serial);
	struct management_peer *p = management_peer_find(m, &x->req.key);
	if (p != NULL && x->result != 0)
		p->fast.serial = 0; /* its metadata is no longer that of its Sync */
	if (x->result < 0 && x->result != LN_E_NOTFOUND) {
		m->counters.store_errors++;
		log_error("management", "the store failed", LOG_KEY("peer", &x->req.key),
			  LOG_ERRNO(x->result));
	}
	if (x->result >= 0 && x->kind == SHORT_LOGOUT)
		log_info("management", "peer logged out", LOG_KEY("peer", &x->req.key));
	if (x->call != NULL && x->result >= 0) {
		struct str empty;
		str_init(&empty, 0);
		send_and_finish(x->call, &empty);
	} else if (x->call != NULL && x->result == LN_E_NOTFOUND) {
		management_refuse(m, x->call, GRPC_NOT_FOUND, "peer is not registered");
	} else if (x->call != NULL) {
		management_refuse(m, x->call, GRPC_INTERNAL, "failed handling request");
	}
	short_free(x);
}

static bool short_replayed(struct short_call *x)
{
	struct management_peer *p = management_peer_find(x->m, &x->req.key);
	if (p == NULL && netmap_account_find_key(x->m->snapshot->account, &x->req.key) >= 0)
		p = management_peer_confirm(x->m, &x->req.key, &x->req.box, 0);
	if (p == NULL || management_nonce_fresh(p, x->m->hash_seed, x->req.nonce, ev_now()))
		return false;
	x->m->counters.replays++;
	return true;
}

static void short_open(struct management *m, struct grpc_call *c, enum short_kind kind)
{
	if (management_stopping(m, c))
		return;
	struct short_call *x = ln_alloc(sizeof(*x));
	x->m = m;
	x->kind = kind;
	x->call = c;
	grpc_call_set_user(c, x);
}

static void sync_meta_open(void *service, struct grpc_call *c)
{
	short_open(service, c, SHORT_SYNC_META);
}

static void logout_open(void *service, struct grpc_call *c)
{
	short_open(service, c, SHORT_LOGOUT);
}

static void short_message(struct grpc_call *c, struct slice msg)
{
	struct short_call *x = grpc_call_user(c);
	struct mgmt_sync_request meta = { 0 };
	if (x == NULL || x->arena.limit != 0)
		return; /* only one message belongs to a unary call */
	if (management_stopping(x->m, c))
		return;
	arena_init(&x->arena, MANAGEMENT_ARENA(msg.n));
	int r = management_open(x->m, msg, &x->arena, &x->req);
	if (r == 0 && x->req.plain.n > MANAGEMENT_REQUEST_MAX)
		r = LN_E_LIMIT;
	if (r == 0 && x->kind == SHORT_SYNC_META)
		r = mgmt_sync_request_read(x->req.plain, &x->arena, &meta);
	if (r == 0 && meta.has_meta)
		r = management_meta_convert(&meta.meta, &x->arena, &x->meta);
	if (r < 0 || short_replayed(x)) {
		management_refuse(x->m, c, GRPC_INVALID_ARGUMENT, "invalid request message");
		return;
	}
	if (x->kind == SHORT_SYNC_META && !meta.has_meta) {
		management_refuse(x->m, c, GRPC_FAILED_PRECONDITION,
				  "peer system meta has to be provided");
		return;
	}
	x->in_store = true;
	store_run_shared(x->m->store, STORE_DURABLE, short_job, short_done, x);
}

static void short_closed(struct grpc_call *c)
{
	struct short_call *x = grpc_call_user(c);
	if (x == NULL)
		return;
	x->call = NULL;
	short_free(x);
}

/* --- Job: the hello says who it is, then silence (3.8, trap 48)
 * ----------------------------------- */

struct job_stream {
	struct management *m;
	struct grpc_call *call;
	bool in_store;
	bool heard; /* the hello */
	struct wg_key key;
	struct box_key box;
	int result;
	uint64_t serial;
};

static void job_free(struct job_stream *j)
{
	if (j->call != NULL || j->in_store)
		return;
	box_key_wipe(&j->box);
	free(j);
}

static void job_find(struct store *s, void *arg)
{
	struct job_stream *j = arg;
	struct store_peer p;
	struct store_account acc;
	struct arena a;
	arena_init(&a, 16 << 20);
	j->result = store_peer_find(s, &j->key, &a, &p);
	if (j->result == 0 && store_account_get(s, &acc) == 0)
		j->serial = acc.serial;
	arena_fini(&a);
}

static void job_found(void *arg)
{
	struct job_stream *j = arg;
	struct management *m = j->m;
	j->in_store = false;
	if (j->call == NULL) {
		job_free(j);
	} else if (j->result == LN_E_NOTFOUND) {
		management_refuse(m, j->call, GRPC_PERMISSION_DENIED, "peer is not registered");
	} else if (j->result < 0) {
		m->counters.store_errors++;
		management_refuse(m, j->call, GRPC_INTERNAL, "failed handling request");
	} else {
		struct management_peer *p = management_peer_confirm(m, &j->key, &j->box, j->serial);
		struct grpc_call *old = p->job;
		p->job = j->call;
		if (old != NULL)
			grpc_call_finish(old, GRPC_OK, NULL);
	}
}

static void job_open(void *service, struct grpc_call *c)
{
	struct management *m = service;
	if (management_stopping(m, c))
		return;
	struct job_stream *j = ln_alloc(sizeof(*j));
	j->m = m;
	j->call = c;
	grpc_call_set_user(c, j);
}

static void job_message(struct grpc_call *c, struct slice msg)
{
	struct job_stream *j = grpc_call_user(c);
	struct management_request req;
	struct arena a;
	if (j == NULL || j->heard)
		return; /* answers to jobs nobody sent */
	if (management_stopping(j->m, c))
		return;
	j->heard = true;
	arena_init(&a, msg.n + 1024);
	int r = management_open(j->m, msg, &a, &req);
	arena_fini(&a);
	if (r < 0) {
		management_refuse(j->m, c, GRPC_INVALID_ARGUMENT, "invalid request message");
		return;
	}
	j->key = req.key;
	j->box = req.box;
	box_key_wipe(&req.box);
	j->in_store = true;
	store_run_shared(j->m->store, STORE_SOON, job_find, job_found, j);
}

static void job_closed(struct grpc_call *c)
{
	struct job_stream *j = grpc_call_user(c);
	if (j == NULL)
		return;
	struct management_peer *p = management_peer_find(j->m, &j->key);
	if (p != NULL && p->job == c)
		p->job = NULL;
	j->call = NULL;
	job_free(j);
}

const struct grpc_method management_rows[] = {
	{ .path = "/management.ManagementService/GetServerKey",
	  .open = open_check,
	  .message = server_key_message },
	{ .path = "/management.ManagementService/isHealthy",
	  .open = open_check,
	  .message = healthy_message },
	{ .path = "/management.ManagementService/GetDeviceAuthorizationFlow",
	  .open = open_check,
	  .message = flow_message },
	{ .path = "/management.ManagementService/GetPKCEAuthorizationFlow",
	  .open = open_check,
	  .message = flow_message },
	{ .path = "/management.ManagementService/SyncMeta",
	  .open = sync_meta_open,
	  .message = short_message,
	  .closed = short_closed },
	{ .path = "/management.ManagementService/Logout",
	  .open = logout_open,
	  .message = short_message,
	  .closed = short_closed },
	{ .path = "/management.ManagementService/Job",
	  .open = job_open,
	  .message = job_message,
	  .closed = job_closed },
};

const size_t management_nrows = LN_COUNT(management_rows);
