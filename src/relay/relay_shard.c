/*
 * A shard: a loop, its hub and its connections, and the mail between shards. One system call wakes
 * another shard for all that one turn has for it, none when it is awake anyway.
 */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "lib/wire/ws_frame.h"

#include "src/relay/relay_server_internal.h"

#define MODULE RELAY_SERVER_MODULE
#define BOX_HIGH (1u << 20)  /* so much waits for a loop that is behind */
#define WAIT (200 * LN_USEC) /* for it, at once */
#define WAITS 50             /* in one turn: longer than the system lets a thread wait for a core */
#define MEMORY (256u << 20)  /* waiting for all receivers, whatever their shard */

/* --- a turn -----------------------------------------------------------------------------------*/

static void drain_hub(struct relay_shard *sh)
{
	struct relay_hub_out out;
	while (relay_hub_poll(sh->hub, sh->now, &out))
		relay_conn_handle(out.user, &out);
}

/* What other shards have for us. */
static void fetch_mail(struct relay_shard *sh)
{
	struct relay_queue mail[RELAY_LINKS_MAX];
	if (!atomic_load_explicit(&sh->woken, memory_order_relaxed))
		return;
	pthread_mutex_lock(&sh->lock);
	memcpy(mail, sh->box, sizeof(mail));
	memset(sh->box, 0, sizeof(sh->box));
	atomic_store_explicit(&sh->woken, false, memory_order_relaxed);
	pthread_cond_broadcast(&sh->fetched);
	pthread_mutex_unlock(&sh->lock);
	for (unsigned i = 0; i < sh->server->nshards; i++) {
		relay_links_fetched(sh->hub, &mail[i]);
		while (mail[i].bytes != 0)
			if (relay_links_deliver(sh->hub, i, &mail[i]) != 0)
				drain_hub(sh);
	}
}

static void on_mail(void *arg)
{
	relay_shard_begin_turn(arg);
}

/* The bytes that wait for `to` in our box, after a moment of patience when they are many. */
static size_t look_again(struct relay_shard *sh, struct relay_shard *to)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += WAIT;
	until.tv_sec += until.tv_nsec / LN_SEC;
	until.tv_nsec %= LN_SEC;
	pthread_mutex_lock(&to->lock);
	if (to->box[sh->index].bytes > BOX_HIGH)
		(void)pthread_cond_timedwait(&to->fetched, &to->lock, &until);
	size_t bytes = to->box[sh->index].bytes;
	pthread_mutex_unlock(&to->lock);
	return bytes;
}

/*
 * The other loop does not come after us. Reading on would mean to drop what we read, so the
 * senders wait instead, as they would with one loop that is busy. Not for long, should the other
 * one be held up by something else, and our own box is emptied meanwhile: it may wait for us.
 */
static void be_patient(struct relay_shard *sh, struct relay_shard *to)
{
	for (size_t left = SIZE_MAX; left > BOX_HIGH && sh->waits < WAITS; sh->waits++) {
		fetch_mail(sh);
		left = look_again(sh, to);
		relay_links_posted(sh->hub, to->index, left, 0);
	}
}

static void post_mail(struct relay_shard *sh, struct relay_shard *to)
{
	struct relay_queue mail;
	if (to == sh || !relay_links_take(sh->hub, to->index, &mail))
		return;
	struct relay_queue *box = &to->box[sh->index];
	size_t posted = mail.bytes;
	pthread_mutex_lock(&to->lock);
	size_t before = box->bytes;
	relay_queue_join(box, &mail);
	bool wake = posted != 0 && !atomic_load_explicit(&to->woken, memory_order_relaxed);
	if (wake)
		atomic_store_explicit(&to->woken, true, memory_order_relaxed);
	pthread_mutex_unlock(&to->lock);
	relay_links_posted(sh->hub, to->index, before, posted);
	if (wake)
		ev_post(to->loop, on_mail, to);
	if (before + posted > BOX_HIGH)
		be_patient(sh, to);
}

void relay_shard_flush(struct relay_shard *sh)
{
	struct relay_server *s = sh->server;
	if (s->nshards > 1)
		fetch_mail(sh);
	drain_hub(sh);
	for (unsigned i = 0; s->nshards > 1 && i < s->nshards; i++)
		post_mail(sh, &s->shards[i]);
}

static void end_turn(void *arg)
{
	struct relay_shard *sh = arg;
	sh->turn_planned = false;
	if (sh->hub == NULL)
		return;
	sh->now = ev_now();
	sh->waits = 0;
	relay_shard_flush(sh);
	ev_timer_at(&sh->timer, relay_hub_deadline(sh->hub));
	sh->now = 0;
}

void relay_shard_begin_turn(struct relay_shard *sh)
{
	if (sh->now == 0)
		sh->now = ev_now();
	if (!sh->turn_planned)
		ev_defer(sh->loop, end_turn, sh);
	sh->turn_planned = true;
}

static void on_timer(struct ev_timer *t)
{
	relay_shard_begin_turn(ln_container(t, struct relay_shard, timer));
}

/* --- jobs for all shards ----------------------------------------------------------------------*/

struct job {
	struct relay_shard *shard;
	void (*fn)(struct relay_shard *sh, ln_time arg);
	ln_time arg;
};

static void run_job(void *arg)
{
	struct job *j = arg;
	j->fn(j->shard, j->arg);
	free(j);
}

/* fn on the thread of each shard; on the first before this returns. */
static void on_each(struct relay_server *s, void (*fn)(struct relay_shard *sh, ln_time arg),
		    ln_time arg)
{
	for (unsigned i = 1; i < s->nshards; i++) {
		struct job *j = ln_alloc(sizeof(*j));
		*j = (struct job){ .shard = &s->shards[i], .fn = fn, .arg = arg };
		ev_post(s->shards[i].loop, run_job, j);
	}
	fn(&s->shards[0], arg);
}

void relay_shard_left(struct relay_shard *sh)
{
	if (!sh->draining || !list_empty(&sh->conns))
		return;
	sh->draining = false; /* said once */
	relay_server_empty(sh->server);
}

static void drain(struct relay_shard *sh, ln_time over)
{
	relay_shard_begin_turn(sh);
	relay_hub_drain(sh->hub, sh->now, over);
	sh->draining = true;
	relay_shard_left(sh);
}

void relay_shards_drain(struct relay_server *s, ln_time over)
{
	on_each(s, drain, over);
}

static void end_all(struct relay_shard *sh, ln_time unused)
{
	list_for_each_safe(it, &sh->conns)
		relay_conn_end(list_entry(it, struct relay_conn, link));
}

void relay_shards_end_all(struct relay_server *s)
{
	on_each(s, end_all, 0);
}

/* --- figures ----------------------------------------------------------------------------------*/

struct question {
	struct relay_shard *shard;
	struct relay_figures *ret; /* under the server's lock */
	unsigned *left;
};

static void add_histogram(struct obs_histogram *to, const struct obs_histogram *h)
{
	for (size_t i = 0; i < LN_COUNT(to->buckets); i++)
		to->buckets[i] += h->buckets[i];
	to->count += h->count;
	to->sum += h->sum;
}

static void add_counters(struct relay_hub_counters *to, const struct relay_hub_counters *n)
{
	to->received_bytes += n->received_bytes;
	to->sent_bytes += n->sent_bytes;
	to->received += n->received;
	to->sent += n->sent;
	to->unknown += n->unknown;
	to->dropped += n->dropped;
	to->replaced += n->replaced;
	for (size_t i = 0; i < LN_COUNT(to->refused); i++)
		to->refused[i] += n->refused[i];
	to->health_failures += n->health_failures;
}

static void add_figures(struct relay_shard *sh, struct relay_figures *to)
{
	struct relay_hub_gauges g;
	relay_hub_gauges(sh->hub, ev_now(), &g);
	add_counters(&to->n, relay_hub_counters(sh->hub));
	to->g.peers += g.peers;
	to->g.handshaking += g.handshaking;
	to->g.active += g.active;
	to->g.idle += g.idle;
	to->g.subscriptions += g.subscriptions;
	to->g.queued_bytes += g.queued_bytes;
	to->g.draining |= g.draining;
	add_histogram(&to->auth_time, &sh->figures.auth_time);
	add_histogram(&to->store_time, &sh->figures.store_time);
	to->nquic += sh->figures.nquic;
	to->too_large += sh->figures.too_large;
}

static void answer(void *arg)
{
	struct question *q = arg;
	struct relay_server *s = q->shard->server;
	pthread_mutex_lock(&s->lock);
	add_figures(q->shard, q->ret);
	if (--*q->left == 0)
		pthread_cond_signal(&s->answered);
	pthread_mutex_unlock(&s->lock);
	free(q);
}

/* Shards never wait for the server's loop, so that it may wait for them. */
void relay_shards_figures(struct relay_server *s, struct relay_figures *ret)
{
	unsigned left = s->nshards - 1;
	*ret = (struct relay_figures){ .nquic = 0 };
	for (unsigned i = 1; i < s->nshards; i++) {
		struct question *q = ln_alloc(sizeof(*q));
		*q = (struct question){ .shard = &s->shards[i], .ret = ret, .left = &left };
		ev_post(s->shards[i].loop, answer, q);
	}
	pthread_mutex_lock(&s->lock);
	add_figures(&s->shards[0], ret);
	while (left != 0)
		pthread_cond_wait(&s->answered, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* --- life -------------------------------------------------------------------------------------*/

static size_t frame(uint8_t dst[RELAY_HUB_FRAME_MAX], size_t n)
{
	uint8_t head[WS_FRAME_HEADER_MAX] = { 0 };
	size_t len = ws_frame_write(head, WS_FRAME_BINARY, n, NULL);
	/* Messages of the relay are below 64 KiB: 2 or 4 bytes. */
	memcpy(dst, head, RELAY_HUB_FRAME_MAX);
	return len;
}

static void *thread_main(void *arg)
{
	ev_loop_run(arg);
	return NULL;
}

static bool start_thread(struct relay_shard *sh)
{
	sigset_t all, before;
	sh->loop = ev_loop_new();
	sigfillset(&all); /* signals are the business of the program's loop */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = -pthread_create(&sh->thread, NULL, thread_main, sh->loop);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		return true;
	log_warn(MODULE, "no thread for another loop of the relay",
		 LOG_STR("reason", ln_strerror(r)));
	ev_loop_free(sh->loop);
	return false;
}

/* On its own thread: its loop runs already. */
static void start_timer(struct relay_shard *sh, ln_time unused)
{
	ev_timer_init(&sh->timer, sh->loop, on_timer);
}

void relay_shards_start(struct relay_server *s, const struct relay_server_conf *conf)
{
	pthread_condattr_t clock;
	pthread_condattr_init(&clock);
	unsigned wanted = LN_MIN(LN_MAX(conf->loops, 1u), (unsigned)RELAY_LINKS_MAX);
	s->shards = ln_calloc(wanted, sizeof(*s->shards));
	s->shards[0].loop = s->loop;
	for (s->nshards = 1; s->nshards < wanted; s->nshards++)
		if (!start_thread(&s->shards[s->nshards]))
			break;
	for (unsigned i = 0; i < s->nshards; i++) {
		struct relay_shard *sh = &s->shards[i];
		const struct relay_hub_conf hub = {
			.instance_url = conf->instance_url,
			.keys = conf->keys,
			.nkeys = conf->nkeys,
			.frame = frame,
			.max_peers = conf->max_peers,
			.max_memory = MEMORY / s->nshards,
			.health_threshold = conf->health_threshold,
			.shard = i,
			.nshards = s->nshards,
			.rng = ev_rng(),
		};
		sh->server = s;
		sh->index = i;
		sh->hub = relay_hub_new(&hub);
		list_init(&sh->conns);
		pthread_mutex_init(&sh->lock, NULL);
		pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
		pthread_cond_init(&sh->fetched, &clock);
	}
	pthread_condattr_destroy(&clock);
	on_each(s, start_timer, 0);
}

static void stop(struct relay_shard *sh, ln_time unused)
{
	if (sh->index != 0)
		ev_loop_stop(sh->loop);
}

/* Now all of it is ours: the threads have ended. */
static void dispose(struct relay_shard *sh)
{
	end_all(sh, 0);
	for (unsigned i = 0; i < sh->server->nshards; i++) {
		relay_links_fetched(sh->hub, &sh->box[i]);
		relay_links_discard(sh->hub, &sh->box[i]);
	}
	relay_hub_free(sh->hub);
	sh->hub = NULL;
	ev_timer_fini(&sh->timer);
	pthread_mutex_destroy(&sh->lock);
	pthread_cond_destroy(&sh->fetched);
	if (sh->index != 0)
		ev_loop_free(sh->loop);
}

void relay_shards_stop(struct relay_server *s)
{
	on_each(s, stop, 0);
	for (unsigned i = 1; i < s->nshards; i++)
		pthread_join(s->shards[i].thread, NULL);
	for (unsigned i = 0; i < s->nshards; i++)
		dispose(&s->shards[i]);
}
