/*
 * The store thread: jobs run one after the other, in the order they were handed in; their answers
 * go back through the loop. Small jobs that wait together are one group with one commit: sixty
 * registrations then cost one write to the disk instead of sixty. This is the one place of
 * src/store with a lock, because a slow name resolution on the loop's worker threads must not hold
 * up a commit.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "src/ev/ev.h"
#include "src/store/store_internal.h"

#define STORE_GROUP_MAX 128 /* jobs of one commit: nobody waits longer than for these */

struct store_job {
	struct store_job *next;
	bool shared;
	enum store_wait wait;
	struct store_thread *thread;
	store_job_fn *fn;
	store_done_fn *done;
	void *arg;
};

struct store_thread {
	struct store *store;
	struct ev_loop *loop;
	pthread_t id;
	pthread_mutex_t lock; /* guards head, tail, ending */
	pthread_cond_t wake;
	struct store_job *head;
	struct store_job **tail;
	bool ending;
	size_t backlog; /* loop's thread only */
	bool stopped;   /* loop's thread only: free with the last answer */
};

static void thread_free(struct store_thread *t)
{
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->wake);
	free(t);
}

static void answer(void *arg)
{
	struct store_job *j = arg;
	struct store_thread *t = j->thread;
	if (j->done != NULL)
		j->done(j->arg); /* may be the one that stops the store */
	free(j);
	t->backlog--;
	if (t->stopped && t->backlog == 0)
		thread_free(t);
}

/* Takes one job, or the shared ones that wait behind each other; null at the end. */
static struct store_job *next_jobs(struct store_thread *t)
{
	pthread_mutex_lock(&t->lock);
	while (t->head == NULL && !t->ending)
		pthread_cond_wait(&t->wake, &t->lock);
	struct store_job *first = t->head, *last = first;
	for (size_t n = 1; last != NULL && last->shared && n < STORE_GROUP_MAX; n++) {
		if (last->next == NULL || !last->next->shared)
			break;
		last = last->next;
	}
	if (last != NULL) {
		t->head = last->next;
		if (t->head == NULL)
			t->tail = &t->head;
		last->next = NULL;
	}
	pthread_mutex_unlock(&t->lock);
	return first;
}

/* False: nothing of it is stored. */
static bool run_together(struct store *s, struct store_job *jobs)
{
	bool durable = false;
	for (struct store_job *j = jobs; j != NULL; j = j->next)
		durable = durable || j->wait == STORE_DURABLE;
	if (store_group_begin(s->db, durable) < 0)
		return false;
	for (struct store_job *j = jobs; j != NULL && !store_group_lost(s->db); j = j->next)
		j->fn(s, j->arg);
	return store_group_end(s->db) == 0;
}

static void *thread_main(void *arg)
{
	struct store_thread *t = arg;
	struct store_job *jobs;
	while ((jobs = next_jobs(t)) != NULL) {
		bool together = jobs->next != NULL && run_together(t->store, jobs);
		while (jobs != NULL) {
			struct store_job *j = jobs;
			jobs = j->next; /* the loop frees what is posted */
			if (!together)
				j->fn(t->store, j->arg);
			ev_post(t->loop, answer, j);
		}
	}
	return NULL;
}

void store_start(struct store *s, struct ev_loop *loop)
{
	ln_assert(s->thread == NULL);
	struct store_thread *t = ln_alloc(sizeof(*t));
	t->store = s;
	t->loop = loop;
	t->tail = &t->head;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->wake, NULL);
	/* Signals belong to the loop's thread. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = pthread_create(&t->id, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	ln_assert(r == 0);
	s->thread = t;
}

static void queue(struct store *s, struct store_job job)
{
	struct store_thread *t = s->thread;
	ln_assert(t != NULL);
	struct store_job *j = ln_alloc(sizeof(*j));
	*j = job;
	j->thread = t;
	t->backlog++;
	pthread_mutex_lock(&t->lock);
	*t->tail = j;
	t->tail = &j->next;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
}

void store_run(struct store *s, store_job_fn *job, store_done_fn *done, void *arg)
{
	queue(s, (struct store_job){ .fn = job, .done = done, .arg = arg });
}

void store_run_shared(struct store *s, enum store_wait wait, store_job_fn *job, store_done_fn *done,
		      void *arg)
{
	queue(s, (struct store_job){
			 .shared = true, .wait = wait, .fn = job, .done = done, .arg = arg });
}

size_t store_backlog(const struct store *s)
{
	return s->thread != NULL ? s->thread->backlog : 0;
}

void store_stop(struct store *s)
{
	struct store_thread *t = s->thread;
	if (t == NULL)
		return;
	pthread_mutex_lock(&t->lock);
	t->ending = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->id, NULL);
	s->thread = NULL;
	t->stopped = true;
	if (t->backlog == 0)
		thread_free(t);
}
