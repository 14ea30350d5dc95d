#include <stdlib.h>
#include <unistd.h>

#include "src/agent/uwg/uwg_internal.h"

/* --- to the thread ---------------------------------------------------------------------------- */

void uwg_mail_free(struct uwg_mail *m)
{
	wg_secret_wipe(&m->peer.psk);
	str_fini(&m->batch);
	free(m);
}

void uwg_mail_send(struct uwg *u, struct uwg_mail *m)
{
	const uint64_t one = 1;
	pthread_mutex_lock(&u->mail_lock);
	bool first = list_empty(&u->mail);
	if (m->batch.n > 0 && u->inject_bytes + m->batch.n > UWG_INJECT_WAITING) {
		pthread_mutex_unlock(&u->mail_lock);
		uwg_mail_free(m);
		return;
	}
	u->inject_bytes += m->batch.n;
	list_add_tail(&u->mail, &m->link);
	pthread_mutex_unlock(&u->mail_lock);
	if (first)
		(void)!write(u->wake, &one, sizeof(one));
}

void uwg_mail_take(struct uwg *u, struct list *ret)
{
	struct list *l;
	uint64_t count;
	(void)!read(u->wake, &count, sizeof(count)); /* before the box: nothing is slept over */
	list_init(ret);
	pthread_mutex_lock(&u->mail_lock);
	while ((l = list_pop(&u->mail)) != NULL)
		list_add_tail(ret, l);
	u->inject_bytes = 0;
	pthread_mutex_unlock(&u->mail_lock);
}

/* --- to the owner ----------------------------------------------------------------------------- */

struct note {
	struct list link;
	struct uwg_event ev;
	uint8_t data[];
};

struct uwg_box *uwg_box_new(struct ev_loop *l, uwg_event_fn *on_event, void *user)
{
	struct uwg_box *b = ln_alloc(sizeof(*b));
	*b = (struct uwg_box){ .loop = l, .on_event = on_event, .user = user, .refs = 1 };
	pthread_mutex_init(&b->lock, NULL);
	list_init(&b->events);
	return b;
}

static void unref(struct uwg_box *b)
{
	struct list *l;
	pthread_mutex_lock(&b->lock);
	int left = --b->refs;
	pthread_mutex_unlock(&b->lock);
	if (left != 0)
		return;
	while ((l = list_pop(&b->events)) != NULL)
		free(list_entry(l, struct note, link));
	pthread_mutex_destroy(&b->lock);
	free(b);
}

void uwg_box_close(struct uwg_box *b)
{
	b->closed = true;
	unref(b);
}

/* On the loop: hands over what came since it was posted. The owner may free the device inside. */
static void deliver(void *arg)
{
	struct uwg_box *b = arg;
	struct list events;
	struct list *l;
	list_init(&events);
	pthread_mutex_lock(&b->lock);
	b->posted = false;
	b->nevents = 0;
	while ((l = list_pop(&b->events)) != NULL)
		list_add_tail(&events, l);
	pthread_mutex_unlock(&b->lock);
	while ((l = list_pop(&events)) != NULL) {
		struct note *n = list_entry(l, struct note, link);
		if (!b->closed)
			b->on_event(b->user, &n->ev);
		free(n);
	}
	unref(b);
}

static size_t room_for(enum uwg_event_kind kind)
{
	if (kind == UWG_EV_STUN)
		return UWG_STUN_WAITING;
	return kind == UWG_EV_RELAY ? UWG_RELAY_WAITING : UWG_EVENTS_WAITING;
}

void uwg_box_post(struct uwg_box *b, const struct uwg_event *ev)
{
	struct note *n = ln_alloc(sizeof(*n) + ev->data.n);
	n->ev = *ev;
	if (ev->data.n != 0)
		memcpy(n->data, ev->data.p, ev->data.n);
	n->ev.data.p = n->data;
	pthread_mutex_lock(&b->lock);
	bool full = b->nevents >= room_for(ev->kind);
	bool post = !full && !b->posted;
	if (!full) {
		list_add_tail(&b->events, &n->link);
		b->nevents++;
	}
	if (post) {
		b->posted = true;
		b->refs++;
	}
	pthread_mutex_unlock(&b->lock);
	if (full)
		free(n);
	if (post)
		ev_post(b->loop, deliver, b);
}
