/*
 * One Sync stream: opening, its place at the peer, the maps it gets and its end (spec
 * management-protocol 4.1-4.3, 5.5, 6.2).
 *
 *	open -> message -> [store: known? store meta, mark connected] -> attached -> first map
 *	     -> maps, newest only -> ended (replaced, deleted, stopping) or closed by the client
 *
 * Clean-up acts on this stream only: the peer's slot is emptied when it still holds this stream,
 * and the store is told with this stream's token.
 */
#include <stdlib.h>
#include <string.h>

#include "src/management/management_internal.h"
#include "src/obs/obs_log.h"

#define SYNC_SETUPS_MAX 1000
/* With more than this waiting a newer map would only queue behind an older one. */
#define SYNC_QUEUE_LOW (64 * 1024)

struct sync_job {
	struct management_stream *st;
	struct arena arena;
	struct management_request req;
	bool has_meta;
	bool store_meta; /* it is not known to be stored already */
	struct store_meta meta;
	uint64_t meta_hash;
	/* filled on the store thread */
	int result;
	int applied;
	bool changed;
	struct store_id id;
	struct store_account account;
};

static void stream_unref(struct management_stream *st)
{
	if (--st->refs > 0)
		return;
	list_remove(&st->all);
	list_remove(&st->dirty);
	list_remove(&st->flight_link);
	management_refresh_fini(st);
	box_key_wipe(&st->box);
	free(st);
}

static void count_off(struct management_stream *st)
{
	if (st->counted)
		st->m->setups--;
	st->counted = false;
}

void management_stream_end(struct management_stream *st, enum grpc_status status, const char *text)
{
	if (st->ended)
		return;
	st->ended = true;
	ev_timer_stop(&st->refresh);
	count_off(st);
	list_remove(&st->dirty);
	management_push_flight(st->m, st, 0);
	if (st->peer != NULL && st->peer->stream == st)
		st->peer->stream = NULL;
	st->peer = NULL;
	if (st->call != NULL)
		grpc_call_finish(st->call, status, text);
}

static void stream_refuse(struct management_stream *st, enum grpc_status status, const char *text)
{
	st->m->counters.refused++;
	management_stream_end(st, status, text);
}

/* --- the disconnect mark
 * --------------------------------------------------------------------------- */

struct disconnect_job {
	struct management *m;
	struct store_id account;
	struct store_id peer;
	int64_t token;
	int result;
};

static void disconnect_job(struct store *s, void *arg)
{
	struct disconnect_job *d = arg;
	d->result = store_peer_disconnect(s, &d->account, &d->peer, d->token);
}

static void disconnect_done(void *arg)
{
	struct disconnect_job *d = arg;
	if (d->result == 0)
		d->m->counters.disconnect_stale++;
	if (d->result < 0) {
		d->m->counters.store_errors++;
		log_warn("management", "cannot mark a peer disconnected", LOG_ERRNO(d->result));
	}
	free(d);
}

static void mark_disconnected(struct management_stream *st)
{
	if (!st->attached)
		return;
	st->attached = false;
	struct disconnect_job *d = ln_alloc(sizeof(*d));
	*d = (struct disconnect_job){
		.m = st->m, .account = st->m->account.id, .peer = st->id, .token = st->token
	};
	store_run_shared(st->m->store, STORE_SOON, disconnect_job, disconnect_done, d);
}

/* --- opening
 * --------------------------------------------------------------------------------------- */

static void sync_job(struct store *s, void *arg)
{
	struct sync_job *j = arg;
	struct store_peer p;
	j->changed = false;
	int r = store_peer_find(s, &j->req.key, &j->arena, &p);
	if (r == 0 && j->store_meta) {
		r = store_peer_set_meta(s, &p.id, &j->meta);
		j->changed = r == 2;
	}
	if (r >= 0)
		r = store_account_get(s, &j->account);
	if (r >= 0) {
		r = store_peer_connect(s, &j->account.id, &p.id, j->st->token);
		j->applied = r;
		j->id = p.id;
	}
	j->result = r;
}

static bool replayed(struct management_stream *st, struct management_peer *p,
		     const struct management_request *req)
{
	if (management_nonce_fresh(p, st->m->hash_seed, req->nonce, ev_now()))
		return false;
	st->m->counters.replays++;
	stream_refuse(st, GRPC_INVALID_ARGUMENT, "invalid request message");
	return true;
}

/* --- the fast path: spec management-protocol 6.1
 * ------------------------------------------------*/

/*
 * The stream is in the peer's slot already: every change reaches it, so the serial cannot move
 * unseen (gap 10). That the peer is known was asked of the store before (gap 1).
 */
static void decide_fast(struct management_stream *st, const struct management_peer *p,
			const struct sync_job *j)
{
	const struct management_fast want = { .serial = j->account.serial,
					      .meta = j->meta_hash,
					      .format = st->format };
	const char *go_os = j->has_meta ? j->meta.go_os : NULL;
	enum management_fast_why why =
		st->m->conf.no_fast_path ? MANAGEMENT_FAST_OFF
					 : management_fast_decide(&p->fast, &want, go_os, ev_now());
	st->skip = why == MANAGEMENT_FAST_SKIP;
	st->remember = st->skip || why >= MANAGEMENT_FAST_MISS;
	st->pending.meta = j->meta_hash;
	st->pending.format = st->format;
}

/* What was sent counts only when the peer's transport has it (gap 4). */
static void remember(struct management_stream *st)
{
	if (st->peer == NULL || st->pending.serial == 0)
		return;
	st->peer->fast = st->pending;
	st->peer->fast.until = ev_now() + MANAGEMENT_FAST_LIFE;
	st->pending.serial = 0;
}

/* A map is on its way: until it is confirmed nothing is known about what the peer has. */
static void expect(struct management_stream *st, const struct mgmt_plan *plan)
{
	st->peer->fast.serial = 0;
	if (!st->remember)
		return;
	st->pending.serial = st->m->snapshot->serial;
	st->pending.map = plan->hash;
	grpc_call_confirm(st->call);
}

static void sync_delivered(struct grpc_call *c)
{
	struct management_stream *st = grpc_call_user(c);
	if (st != NULL && !st->ended)
		remember(st);
}

/* The stream takes the peer's slot; an older one ends, a newer one wins (spec 4.3, 5.5). */
static void take_slot(struct management_stream *st, struct management_peer *p,
		      const struct sync_job *j)
{
	struct management_stream *old = p->stream;
	if (old != NULL && old->token > st->token) {
		management_stream_end(st, GRPC_OK, NULL);
		return;
	}
	p->stream = st;
	st->peer = p;
	decide_fast(st, p, j);
	if (old != NULL) {
		old->peer = NULL;
		management_stream_end(old, GRPC_OK, NULL);
	}
	st->m->counters.syncs++;
	if (st->m->snapshot->serial >= st->min_serial)
		management_push_stream(st->m, st);
	else
		management_push_hurry(st->m, st->min_serial);
}

static void attach(struct sync_job *j)
{
	struct management_stream *st = j->st;
	struct management *m = st->m;
	bool was_known = management_peer_find(m, &j->req.key) != NULL;
	struct management_peer *p =
		management_peer_confirm(m, &j->req.key, &j->req.box, j->account.serial);
	st->id = j->id;
	st->attached = !m->stopping; /* stopping marks all of them at once */
	st->min_serial = j->account.serial;
	if (j->applied == 0)
		m->counters.connect_stale++;
	/* Known ones were looked at before the store was asked. */
	if (!was_known && replayed(st, p, &j->req))
		return;
	if (!st->ended)
		take_slot(st, p, j);
}

static void sync_done(void *arg)
{
	struct sync_job *j = arg;
	struct management_stream *st = j->st;
	struct management *m = st->m;
	if (j->changed)
		management_changed(m, j->account.serial);
	if (j->result == LN_E_NOTFOUND) {
		stream_refuse(st, GRPC_PERMISSION_DENIED, "peer is not registered");
	} else if (j->result < 0) {
		m->counters.store_errors++;
		log_error("management", "sync failed", LOG_KEY("peer", &j->req.key),
			  LOG_ERRNO(j->result));
		stream_refuse(st, GRPC_INTERNAL, "failed handling request");
	} else {
		attach(j);
	}
	/* The client may have gone meanwhile: then nobody else marks it. */
	if (st->call == NULL)
		mark_disconnected(st);
	arena_fini(&j->arena);
	box_key_wipe(&j->req.box);
	free(j);
	stream_unref(st);
}

/* Greater than every token before, also when the clock steps back. */
static int64_t next_token(struct management *m)
{
	m->last_token = LN_MAX(ev_wall(), m->last_token + 1);
	return m->last_token;
}

static void sync_open(void *service, struct grpc_call *c)
{
	struct management *m = service;
	int64_t token = next_token(m);
	unsigned max = m->conf.max_sync_setups != 0 ? m->conf.max_sync_setups : SYNC_SETUPS_MAX;
	if (management_stopping(m, c))
		return;
	if (m->setups >= max) {
		management_refuse(m, c, GRPC_RESOURCE_EXHAUSTED,
				  "too many concurrent sync requests, try again later");
		return;
	}
	struct management_stream *st = ln_alloc(sizeof(*st));
	st->m = m;
	management_refresh_init(st);
	st->call = c;
	st->token = token;
	st->refs = 1;
	st->counted = true;
	list_init(&st->dirty);
	list_init(&st->flight_link);
	list_add_tail(&m->streams, &st->all);
	m->setups++;
	m->counters.streams++;
	grpc_call_set_user(c, st);
}

static int read_request(struct sync_job *j, struct management *m, struct slice msg)
{
	struct mgmt_sync_request body;
	int r = management_open(m, msg, &j->arena, &j->req);
	if (r == 0 && j->req.plain.n > MANAGEMENT_REQUEST_MAX)
		r = LN_E_LIMIT;
	if (r == 0)
		r = mgmt_sync_request_read(j->req.plain, &j->arena, &body);
	if (r < 0)
		return r;
	/* Completely empty metadata changes nothing (5.4); old agents send none (4.1). */
	j->has_meta = body.has_meta && !mgmt_meta_is_empty(&body.meta);
	if (!j->has_meta)
		return 0;
	r = management_meta_convert(&body.meta, &j->arena, &j->meta);
	if (r == 0)
		j->meta_hash = management_meta_hash(m->hash_seed, &j->meta,
						    &grpc_call_peer(j->st->call)->addr);
	return r;
}

static void sync_message(struct grpc_call *c, struct slice msg)
{
	struct management_stream *st = grpc_call_user(c);
	if (st == NULL || st->refs > 1 || st->ended || st->attached)
		return;
	struct management *m = st->m;
	struct sync_job *j = ln_alloc(sizeof(*j));
	arena_init(&j->arena, MANAGEMENT_ARENA(msg.n));
	j->st = st;
	int r = read_request(j, m, msg);
	struct management_peer *p = r == 0 ? management_peer_find(m, &j->req.key) : NULL;
	if (r < 0)
		stream_refuse(st, GRPC_INVALID_ARGUMENT, "invalid request message");
	if (r < 0 || (p != NULL && replayed(st, p, &j->req))) {
		arena_fini(&j->arena);
		free(j);
		return;
	}
	/* What a peer said with a map it still has is stored. */
	j->store_meta =
		j->has_meta && (p == NULL || p->fast.serial == 0 || p->fast.meta != j->meta_hash);
	st->box = j->req.box;
	st->format = LN_MIN(j->has_meta ? j->meta.sync_version : 0, m->conf.sync_version);
	st->refs++;
	store_run_shared(m->store, j->store_meta ? STORE_DURABLE : STORE_SOON, sync_job, sync_done,
			 j);
}

static void sync_writable(struct grpc_call *c)
{
	struct management_stream *st = grpc_call_user(c);
	if (st == NULL || st->ended)
		return;
	management_push_flight(st->m, st, 0);
	if (!st->waiting)
		return;
	st->waiting = false;
	management_push_stream(st->m, st);
}

static void sync_closed(struct grpc_call *c)
{
	struct management_stream *st = grpc_call_user(c);
	if (st == NULL)
		return;
	struct management *m = st->m;
	if (grpc_call_cancelled(c) && grpc_call_queued(c) == 0)
		remember(st);
	st->call = NULL;
	m->counters.streams--;
	management_stream_end(st, GRPC_OK, NULL); /* takes it out of the peer's slot */
	mark_disconnected(st);
	stream_unref(st);
}

/* --- maps
 * ------------------------------------------------------------------------------------------ */

static int send_removal(struct management_stream *st)
{
	struct management *m = st->m;
	LN_AUTO(str_fini) struct str s;
	str_init(&s, 0);
	mgmt_removal_write(&s, m->snapshot->serial, MANAGEMENT_FORWARDER_PORT);
	int r = management_send(m, st->call, &st->box, &s);
	management_stream_end(st, GRPC_OK, NULL);
	return r;
}

static const struct mgmt_deadline no_deadline = { .kind = MGMT_DEADLINE_NONE };

/* The peer has this map: it is told the servers, and with gap 9 its deadline. */
static int send_unchanged(struct management_stream *st, struct arena *a)
{
	struct management *m = st->m;
	const struct mgmt_map_options none = { .port_ranges = false };
	struct mgmt_sync_response resp = { .has_servers = true, .deadline = no_deadline };
	LN_AUTO(str_fini) struct str s;
	int r = management_servers(m, a, &resp.servers);
	if (r < 0)
		return r;
	str_init(&s, 0);
	mgmt_sync_response_write(&s, &resp, &none);
	r = management_send(m, st->call, &st->box, &s);
	if (r == 0)
		m->counters.fast++;
	return r;
}

static int send_map(struct management_stream *st, struct mgmt_plan *plan, struct arena *a)
{
	struct management *m = st->m;
	struct mgmt_servers servers;
	size_t size;
	bool components = st->format >= 1 && mgmt_plan_use_components(plan);
	int r = st->first ? 0 : management_servers(m, a, &servers);
	if (r == 0)
		r = mgmt_plan_measure(plan, st->first ? NULL : &servers, &no_deadline, &size);
	if (r == 0)
		r = management_send_plan(m, st->call, &st->box, plan);
	if (r < 0)
		return r;
	management_push_flight(m, st, size);
	expect(st, plan);
	m->counters.maps++;
	m->counters.components += components;
	log_debug("management", "map sent", LOG_STR("peer", st->id.text),
		  LOG_UINT("serial", m->snapshot->serial), LOG_UINT("bytes", size),
		  LOG_STR("form", components ? "components" : "plain"));
	return 0;
}

/* Maps that differ in nothing but the serial are not sent again. */
static int send_plan(struct management_stream *st, struct mgmt_plan *plan, struct arena *a)
{
	struct management *m = st->m;
	struct management_fast *has = &st->peer->fast;
	int r;
	if (st->first && plan->hash == st->last_hash) {
		m->counters.maps_same++;
		/* What it has, or will have, is the map of this serial too. */
		if (has->serial != 0 && has->map == plan->hash)
			has->serial = m->snapshot->serial;
		if (st->pending.serial != 0)
			st->pending.serial = m->snapshot->serial;
		r = 0;
	} else if (!st->first && st->skip && has->serial == m->snapshot->serial &&
		   has->map == plan->hash) {
		r = send_unchanged(st, a);
	} else {
		r = send_map(st, plan, a);
	}
	if (r < 0)
		return r;
	if (!st->first)
		management_refresh_arm(st);
	st->first = true;
	st->last_hash = plan->hash;
	st->sent = m->snapshot->serial;
	count_off(st);
	return 0;
}

static int make_and_send(struct management_stream *st, size_t at, struct arena *a)
{
	const struct netmap_account_peer *p = &st->m->snapshot->account->peers[at];
	struct mgmt_map_options opt = mgmt_map_options_of(p->version, p->capabilities);
	struct mgmt_plan plan;
	int r = mgmt_plan_make(&plan, st->m->snapshot->shelf, at, ev_wall(), &opt, a);
	if (r == 0)
		r = send_plan(st, &plan, a);
	mgmt_plan_free(&plan);
	return r;
}

int management_stream_feed(struct management_stream *st, struct arena *a)
{
	struct management *m = st->m;
	if (st->ended || st->call == NULL || st->peer == NULL ||
	    m->snapshot->serial < st->min_serial || (st->first && m->snapshot->serial <= st->sent))
		return 0;
	if (grpc_call_queued(st->call) > SYNC_QUEUE_LOW) {
		if (!st->waiting)
			m->counters.maps_late++;
		st->waiting = true;
		return LN_E_AGAIN;
	}
	ptrdiff_t at = netmap_account_find(m->snapshot->account, st->id.text);
	if (at < 0)
		return send_removal(st);
	int r = make_and_send(st, (size_t)at, a);
	if (r < 0 && !st->ended) {
		log_error("management", "cannot send a map", LOG_STR("peer", st->id.text),
			  LOG_ERRNO(r));
		management_stream_end(st, GRPC_UNAVAILABLE, "the map could not be sent");
	}
	return r;
}

const struct grpc_method management_sync_row = {
	.path = "/management.ManagementService/Sync",
	.open = sync_open,
	.message = sync_message,
	.writable = sync_writable,
	.delivered = sync_delivered,
	.closed = sync_closed,
};
