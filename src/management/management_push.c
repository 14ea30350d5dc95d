/*
 * From a commit to the streams (spec management-protocol 5.7): the snapshot is loaded again, then
 * every stream is offered the newest map.
 *
 * Changes are gathered for a moment (management_pace.h); the first map of a stream does not wait
 * for that. Maps are computed in slices between other work of the loop.
 */
#include <stdlib.h>
#include <string.h>

#include "src/management/management_internal.h"
#include "src/obs/obs_log.h"

#define PUSH_RETRY LN_SEC         /* the store could not be read */
#define PUSH_SLICE (5 * LN_MSEC)  /* computing maps before other work gets its turn */
#define PUSH_ARENA_MAX (64 << 20) /* of one map; its parts are not in it */
/*
 * Maps that are with their readers' connections at once. A storm of them is served as fast as the
 * readers take them, in bounded memory; who has not moved for a while no longer holds others up.
 */
#define PUSH_FLYING_MAX ((size_t)32 << 20)
#define PUSH_STALLED (500 * LN_MSEC)

struct load_job {
	struct management *m;
	struct management_snapshot *former;
	struct management_snapshot *snapshot;
	int result;
};

int management_snapshot_load(struct store *s, const struct management_snapshot *former,
			     struct management_snapshot **ret)
{
	struct management_snapshot *snap = ln_alloc(sizeof(*snap));
	struct netmap_account *acc;
	arena_init(&snap->arena, (size_t)1 << 30);
	int r = former != NULL
			? store_account_follow(s, former->account, &snap->arena, &acc, &snap->same)
			: store_account_load(s, &snap->arena, &acc);
	snap->refs = 1;
	if (r < 0) {
		management_snapshot_unref(snap);
		return r;
	}
	snap->followed = r > 0;
	snap->account = acc;
	snap->serial = acc->serial;
	*ret = snap;
	return 0;
}

void management_snapshot_furnish(struct management_snapshot *s, const uint64_t seed[2],
				 const struct management_snapshot *former)
{
	s->shelf = mgmt_shelf_new(s->account, seed, MGMT_SHELF_BYTES);
	if (s->followed)
		mgmt_shelf_follow(s->shelf, former->shelf, &s->same);
}

void management_snapshot_unref(struct management_snapshot *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	mgmt_shelf_free(s->shelf);
	arena_fini(&s->arena);
	free(s);
}

void management_push_stream(struct management *m, struct management_stream *st)
{
	if (list_empty(&st->dirty))
		list_add_tail(&m->push.dirty, &st->dirty);
	ev_timer_at(&m->push.work, ev_now());
}

void management_push_flight(struct management *m, struct management_stream *st, size_t bytes)
{
	struct management_push *p = &m->push;
	bool full = p->flying >= PUSH_FLYING_MAX;
	p->flying -= st->flight;
	list_remove(&st->flight_link);
	st->flight = bytes;
	p->flying += bytes;
	if (bytes > 0) {
		st->flight_at = ev_now();
		list_add_tail(&p->flights, &st->flight_link);
	}
	if (full && p->flying < PUSH_FLYING_MAX && !list_empty(&p->dirty) && !m->stopping)
		ev_timer_at(&p->work, ev_now());
}

/* Whether another map may be made now; if not, the timer is set for when that may change. */
static bool have_room(struct management *m)
{
	struct management_push *p = &m->push;
	while (p->flying >= PUSH_FLYING_MAX && !list_empty(&p->flights)) {
		struct management_stream *oldest =
			list_entry(p->flights.next, struct management_stream, flight_link);
		if (ev_now() - oldest->flight_at < PUSH_STALLED) {
			ev_timer_at(&p->work, oldest->flight_at + PUSH_STALLED);
			return false;
		}
		management_push_flight(m, oldest, 0);
	}
	return true;
}

static void feed_slice(struct ev_timer *t)
{
	struct management *m = ln_container(t, struct management, push.work);
	ln_time end = ev_now() + PUSH_SLICE;
	struct list *n;
	struct arena a;
	arena_init(&a, PUSH_ARENA_MAX);
	while (have_room(m) && (n = list_pop(&m->push.dirty)) != NULL) {
		struct management_stream *st = list_entry(n, struct management_stream, dirty);
		(void)management_stream_feed(st, &a); /* said and ended there */
		arena_reset(&a);
		if (ev_now() >= end) {
			ev_timer_at(t, ev_now());
			break;
		}
	}
	arena_fini(&a);
}

/* Everybody is offered the snapshot; who has waited for it goes first. */
static void distribute(struct management *m)
{
	/* What was committed while this snapshot was read is told by the next round. */
	management_pace_told(&m->push.pace, ev_now(), m->snapshot->serial < m->push.want);
	list_for_each(n, &m->streams) {
		struct management_stream *st = list_entry(n, struct management_stream, all);
		if (st->peer != NULL && !st->waiting)
			management_push_stream(m, st);
	}
}

static void serve_waiting(struct management *m)
{
	list_for_each(n, &m->streams) {
		struct management_stream *st = list_entry(n, struct management_stream, all);
		if (st->peer != NULL && !st->first && st->min_serial <= m->snapshot->serial)
			management_push_stream(m, st);
	}
}

static void load(struct management *m);

static void load_work(struct store *s, void *arg)
{
	struct load_job *j = arg;
	j->result = management_snapshot_load(s, j->former, &j->snapshot);
}

static void load_done(void *arg)
{
	struct load_job *j = arg;
	struct management *m = j->m;
	struct management_push *p = &m->push;
	p->loading = false;
	if (j->result < 0) {
		m->counters.store_errors++;
		log_error("management", "cannot read the account", LOG_ERRNO(j->result));
		p->pace.next = ev_now() + PUSH_RETRY;
		ev_timer_at(&p->timer, p->pace.next);
	} else if (j->snapshot->serial < m->snapshot->serial) {
		/* A store that went back would be refused by the agents (4.4). */
		log_error("management", "the serial of the account went back",
			  LOG_UINT("from", m->snapshot->serial),
			  LOG_UINT("to", j->snapshot->serial));
		management_snapshot_unref(j->snapshot);
	} else {
		management_snapshot_furnish(j->snapshot, m->hash_seed, j->former);
		m->counters.snapshots++;
		m->counters.snapshots_followed += j->snapshot->followed;
		management_snapshot_unref(m->snapshot);
		m->snapshot = j->snapshot;
		management_peers_purge(m);
		serve_waiting(m);
		if (p->pace.due && ev_now() >= p->pace.next)
			distribute(m);
		else if (p->pace.due)
			ev_timer_at(&p->timer, p->pace.next);
	}
	management_snapshot_unref(j->former);
	free(j);
	if (p->again && !m->stopping) {
		p->again = false;
		load(m);
	}
}

static void load(struct management *m)
{
	if (m->push.loading) {
		m->push.again = true;
		return;
	}
	m->push.loading = true;
	struct load_job *j = ln_alloc(sizeof(*j));
	j->m = m;
	j->former = m->snapshot;
	j->former->refs++;
	store_run(m->store, load_work, load_done, j);
}

/* The end of an interval, or a retry. */
static void push_timer(struct ev_timer *t)
{
	struct management *m = ln_container(t, struct management, push.timer);
	if (m->stopping || !m->push.pace.due)
		return;
	if (m->snapshot->serial >= m->push.want && list_empty(&m->push.dirty))
		distribute(m);
	else if (m->snapshot->serial >= m->push.want)
		ev_timer_after(t, MANAGEMENT_PACE_MIN); /* the round before is not done yet */
	else
		load(m);
}

void management_changed(struct management *m, uint64_t serial)
{
	struct management_push *p = &m->push;
	if (m->stopping || serial <= p->want)
		return;
	ln_time now = ev_now();
	p->want = serial;
	management_pace_change(&p->pace, now);
	if (now >= p->pace.next)
		load(m);
	else
		ev_timer_at(&p->timer, p->pace.next);
}

void management_push_hurry(struct management *m, uint64_t serial)
{
	if (!m->stopping && m->snapshot->serial < serial)
		load(m);
}

void management_push_init(struct management *m)
{
	m->push.want = m->snapshot->serial;
	list_init(&m->push.dirty);
	list_init(&m->push.flights);
	ev_timer_init(&m->push.timer, m->loop, push_timer);
	ev_timer_init(&m->push.work, m->loop, feed_slice);
}

void management_push_fini(struct management *m)
{
	ev_timer_fini(&m->push.timer);
	ev_timer_fini(&m->push.work);
}
