#include "src/management/management.h"

#include <stdlib.h>
#include <string.h>

#include "src/management/management_internal.h"
#include "src/obs/obs_log.h"

#define EPHEMERAL_AFTER (10 * LN_MINUTE) /* spec management-protocol 5.3 */
#define SWEEP_EVERY LN_MINUTE

static void copy_conf(struct management *m, const struct management_conf *from)
{
	struct management_conf *to = &m->conf;
	*to = *from;
	management_servers_init(m, from);
	to->admin_socket = from->admin_socket != NULL ? ln_strdup(from->admin_socket) : NULL;
	if (to->ephemeral_after == 0)
		to->ephemeral_after = EPHEMERAL_AFTER;
	if (to->sweep_every == 0)
		to->sweep_every = SWEEP_EVERY;
}

static void free_text(const char *s)
{
	free((void *)(uintptr_t)s);
}

/* --- ephemeral peers
 * ------------------------------------------------------------------------------- */

struct sweep_job {
	struct management *m;
	int64_t idle_s;
	int result;
	struct store_account account;
};

static void sweep_work(struct store *s, void *arg)
{
	struct sweep_job *j = arg;
	j->result = store_peer_sweep(s, j->idle_s);
	if (j->result > 0 && store_account_get(s, &j->account) < 0)
		j->account.serial = 0;
}

static void sweep_done(void *arg)
{
	struct sweep_job *j = arg;
	struct management *m = j->m;
	if (j->result < 0) {
		m->counters.store_errors++;
		log_warn("management", "cannot delete ephemeral peers", LOG_ERRNO(j->result));
	} else if (j->result > 0) {
		log_info("management", "ephemeral peers deleted", LOG_INT("peers", j->result));
		management_changed(m, j->account.serial);
	}
	if (!m->stopping)
		ev_timer_after(&m->sweep, m->conf.sweep_every);
	free(j);
}

/* After a start every peer has the full time to come back. A failed sweep is simply repeated. */
static void sweep_timer(struct ev_timer *t)
{
	struct management *m = ln_container(t, struct management, sweep);
	if (ev_now() - m->started < m->conf.ephemeral_after) {
		ev_timer_after(t, m->conf.sweep_every);
		return;
	}
	struct sweep_job *j = ln_alloc(sizeof(*j));
	j->m = m;
	j->idle_s = (m->conf.ephemeral_after + LN_SEC - 1) / LN_SEC;
	store_run(m->store, sweep_work, sweep_done, j);
}

/* --- life
 * ------------------------------------------------------------------------------------------ */

static int read_store(struct management *m, struct ln_fail *f)
{
	int r = store_server_key(m->store, &m->secret);
	if (r < 0)
		return ln_fail(f, r, "cannot read the server key: %s", ln_strerror(r));
	wg_secret_public(&m->secret, &m->key);
	r = store_account_ensure(m->store, ev_wall(), &m->account);
	if (r < 0)
		return ln_fail(f, r, "cannot read the account: %s", ln_strerror(r));
	r = store_peer_disconnect_all(m->store);
	if (r >= 0)
		r = management_snapshot_load(m->store, NULL, &m->snapshot);
	if (r >= 0)
		management_snapshot_furnish(m->snapshot, m->hash_seed, NULL);
	if (r < 0)
		return ln_fail(f, r, "cannot read the account: %s", ln_strerror(r));
	return 0;
}

static void make_rows(struct management *m)
{
	m->rows = ln_calloc(management_nrows + 2, sizeof(*m->rows));
	memcpy(m->rows, management_rows, management_nrows * sizeof(*m->rows));
	m->rows[management_nrows] = management_login_row;
	m->rows[management_nrows + 1] = management_sync_row;
	for (size_t i = 0; i < management_nrows + 2; i++)
		m->rows[i].service = m;
}

int management_new(struct ev_loop *loop, const struct management_conf *conf, struct store *store,
		   struct management **ret, struct ln_fail *f)
{
	struct management *m = ln_alloc(sizeof(*m));
	m->loop = loop;
	m->store = store;
	list_init(&m->streams);
	rng_fill(ev_rng(), m->hash_seed, sizeof(m->hash_seed));
	map_init(&m->peers, rng_u64(ev_rng()), rng_u64(ev_rng()));
	copy_conf(m, conf);
	int r = read_store(m, f);
	if (r < 0) {
		wg_secret_wipe(&m->secret);
		management_servers_fini(m);
		free_text(m->conf.admin_socket);
		free(m);
		return r;
	}
	management_push_init(m);
	ev_timer_init(&m->sweep, loop, sweep_timer);
	make_rows(m);
	*ret = m;
	return 0;
}

void management_register(struct management *m, struct grpc_server *server)
{
	grpc_server_add(server, m->rows, management_nrows + 2);
}

int management_start(struct management *m, struct ln_fail *f)
{
	m->started = ev_now();
	if (m->conf.admin_socket != NULL) {
		int r = admin_server_new(m, m->conf.admin_socket, &m->admin, f);
		if (r < 0)
			return r;
	}
	ev_timer_after(&m->sweep, m->conf.sweep_every);
	return 0;
}

struct stop_job {
	struct management *m;
	void (*done)(void *arg);
	void *arg;
	int result;
};

static void stop_work(struct store *s, void *arg)
{
	struct stop_job *j = arg;
	j->result = store_peer_disconnect_all(s);
}

static void stop_done(void *arg)
{
	struct stop_job *j = arg;
	if (j->result < 0)
		log_warn("management", "cannot mark the peers disconnected", LOG_ERRNO(j->result));
	if (j->done != NULL)
		j->done(j->arg);
	free(j);
}

void management_stop(struct management *m, void (*done)(void *arg), void *arg)
{
	m->stopping = true;
	ev_timer_stop(&m->sweep);
	ev_timer_stop(&m->push.timer);
	admin_server_free(m->admin);
	m->admin = NULL;
	list_for_each_safe(n, &m->streams) {
		struct management_stream *st = list_entry(n, struct management_stream, all);
		/* One statement for all of them follows. */
		st->attached = false;
		management_stream_end(st, GRPC_OK, NULL);
	}
	map_for_each(n, &m->peers) {
		struct management_peer *p = map_entry(n, struct management_peer, node);
		if (p->job != NULL)
			grpc_call_finish(p->job, GRPC_OK, NULL);
		p->job = NULL;
	}
	struct stop_job *j = ln_alloc(sizeof(*j));
	*j = (struct stop_job){ .m = m, .done = done, .arg = arg };
	store_run(m->store, stop_work, stop_done, j);
}

void management_free(struct management *m)
{
	if (m == NULL)
		return;
	admin_server_free(m->admin);
	ln_assert(list_empty(&m->streams));
	struct map_node *n;
	while ((n = map_first(&m->peers)) != NULL)
		management_peer_free(m, map_entry(n, struct management_peer, node));
	map_fini(&m->peers);
	management_push_fini(m);
	ev_timer_fini(&m->sweep);
	management_snapshot_unref(m->snapshot);
	wg_secret_wipe(&m->secret);
	management_servers_fini(m);
	free_text(m->conf.admin_socket);
	free(m->rows);
	free(m);
}

const struct wg_key *management_server_key(const struct management *m)
{
	return &m->key;
}

const struct management_counters *management_counters(const struct management *m)
{
	return &m->counters;
}
