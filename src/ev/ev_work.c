#include <stdlib.h>

#include "src/ev/ev.h"
#include "src/ev/ev_internal.h"

struct work_job {
	uv_work_t req;
	struct ev_loop *loop;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void on_work(uv_work_t *req)
{
	struct work_job *j = ln_container(req, struct work_job, req);
	j->work(j->arg);
}

static void on_done(uv_work_t *req, int status)
{
	struct work_job *j = ln_container(req, struct work_job, req);
	j->loop->nwork--;
	if (j->done != NULL)
		j->done(j->arg);
	free(j);
}

/* libuv's pool has four threads, which is the bound the header promises. */
void ev_work(struct ev_loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct work_job *j = ln_alloc(sizeof(*j));
	*j = (struct work_job){ .loop = l, .work = work, .done = done, .arg = arg };
	l->nwork++;
	int r = uv_queue_work(&l->uv, &j->req, on_work, on_done);
	ln_assert(r == 0);
}
