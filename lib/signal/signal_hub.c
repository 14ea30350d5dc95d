#include "lib/signal/signal_hub.h"

#include <stdlib.h>

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/signal/signal_msg.h"

struct message {
	struct list link;
	size_t n;
	uint8_t bytes[];
};

struct signal_stream {
	struct map_node node; /* in hub->ids while registered; key is id[] */
	struct list ready;    /* in hub->ready: something can be handed out */
	struct list busy;     /* in hub->busy, oldest first */
	struct list queue;    /* of struct message, oldest first */
	size_t queued, queued_bytes;
	ln_time registered_at;
	ln_time busy_since;
	struct ip_addr source;
	/* Displacements still allowed, and when that was true; handed on from stream to stream. */
	unsigned displace_left;
	ln_time displace_at;
	bool registered, ending, is_busy;
	enum signal_hub_end end;
	void *user;
	uint8_t id[];
};

struct signal_hub {
	struct signal_hub_conf conf;
	struct map ids;
	struct list ready;
	struct list busy;
	size_t total_bytes;
	size_t streams;       /* also those that end */
	struct message *last; /* handed out by the last poll */
	struct signal_hub_counters n;
};

struct signal_hub *signal_hub_new(const struct signal_hub_conf *conf, const struct ln_rng *rng)
{
	struct signal_hub *h = ln_alloc(sizeof(*h));
	h->conf = *conf;
	struct signal_hub_conf *c = &h->conf;
	c->max_message = c->max_message != 0 ? c->max_message : (size_t)64 << 10;
	c->max_queue = c->max_queue != 0 ? c->max_queue : 256;
	c->max_bytes = c->max_bytes != 0 ? c->max_bytes : (size_t)1 << 20;
	c->max_total = c->max_total != 0 ? c->max_total : (size_t)256 << 20;
	c->max_streams = c->max_streams != 0 ? c->max_streams : 100000;
	c->send_timeout = c->send_timeout != 0 ? c->send_timeout : 10 * LN_SEC;
	c->displace_burst = c->displace_burst != 0 ? c->displace_burst : 4;
	c->displace_refill = c->displace_refill != 0 ? c->displace_refill : 15 * LN_SEC;
	map_init(&h->ids, rng_u64(rng), rng_u64(rng));
	list_init(&h->ready);
	list_init(&h->busy);
	return h;
}

void signal_hub_free(struct signal_hub *h)
{
	if (h == NULL)
		return;
	ln_assert(h->streams == 0);
	free(h->last);
	map_fini(&h->ids);
	free(h);
}

const struct signal_hub_counters *signal_hub_counters(const struct signal_hub *h)
{
	return &h->n;
}

/* --- queues -----------------------------------------------------------------------------------*/

static struct message *pop(struct signal_hub *h, struct signal_stream *s)
{
	struct message *m = list_entry(list_pop(&s->queue), struct message, link);
	s->queued--;
	s->queued_bytes -= m->n;
	h->total_bytes -= m->n;
	return m;
}

/* Puts the stream where poll looks, if there is something to hand out. */
static void offer(struct signal_hub *h, struct signal_stream *s)
{
	bool due = s->ending || (!s->is_busy && s->queued > 0);
	list_remove(&s->ready);
	if (due)
		list_add_tail(&h->ready, &s->ready);
}

static void lose_queue(struct signal_hub *h, struct signal_stream *s)
{
	while (s->queued > 0) {
		free(pop(h, s));
		h->n.lost++;
	}
}

static bool is_full(const struct signal_hub *h, const struct signal_stream *s, size_t n)
{
	return s->queued >= h->conf.max_queue || s->queued_bytes + n > h->conf.max_bytes;
}

/* The stream has been given a message and is busy until it says that it is ready. */
static void hand_out(struct signal_hub *h, struct signal_stream *s, ln_time now, struct slice msg,
		     struct signal_hub_out *out)
{
	h->n.forwarded++;
	s->is_busy = true;
	s->busy_since = now;
	list_add_tail(&h->busy, &s->busy);
	*out = (struct signal_hub_out){
		.type = SIGNAL_HUB_SEND, .stream = s, .user = s->user, .msg = msg
	};
}

int signal_hub_send(struct signal_hub *h, ln_time now, struct slice msg,
		    struct signal_hub_out *ret_now)
{
	struct signal_envelope e;
	if (msg.n > h->conf.max_message) {
		h->n.oversized++;
		return LN_E_LIMIT;
	}
	int err = signal_envelope_read(msg, &e);
	if (err < 0) {
		h->n.malformed++;
		return LN_E_MALFORMED;
	}
	struct map_node *node = map_find(&h->ids, e.remote_key);
	if (node == NULL) {
		h->n.not_connected++;
		return 0;
	}
	struct signal_stream *s = map_entry(node, struct signal_stream, node);
	if (ret_now != NULL && !s->is_busy && s->queued == 0) {
		hand_out(h, s, now, msg, ret_now);
		return 1;
	}
	/* The newest offer is the one that counts: room is made at the old end. */
	while (s->queued > 0 && msg.n <= h->conf.max_bytes && is_full(h, s, msg.n)) {
		free(pop(h, s));
		h->n.dropped++;
	}
	struct message *m = NULL;
	if (!is_full(h, s, msg.n) && h->total_bytes + msg.n <= h->conf.max_total)
		m = malloc(sizeof(*m) + msg.n);
	if (m == NULL) {
		h->n.dropped++;
		offer(h, s);
		return 0;
	}
	m->n = msg.n;
	memcpy(m->bytes, msg.p, msg.n);
	list_add_tail(&s->queue, &m->link);
	s->queued++;
	s->queued_bytes += msg.n;
	h->total_bytes += msg.n;
	offer(h, s);
	return 0;
}

/* --- registry ---------------------------------------------------------------------------------*/

/* Takes the id from a stream and lets poll end it. */
static void end_stream(struct signal_hub *h, struct signal_stream *s, enum signal_hub_end reason)
{
	map_remove(&h->ids, &s->node);
	h->n.active--;
	s->registered = false;
	s->ending = true;
	s->end = reason;
	s->is_busy = false;
	list_remove(&s->busy);
	lose_queue(h, s);
	offer(h, s);
}

/* The same machine, or the same /64: it may replace its own stream as often as it likes. */
static bool same_source(const struct ip_addr *a, const struct ip_addr *b)
{
	size_t n = a->family == 6 ? 8 : 4;
	return a->family == b->family && memcmp(a->b, b->b, n) == 0;
}

/* Whether a stranger may displace s now; counts it. */
static bool may_displace(const struct signal_hub *h, struct signal_stream *s, ln_time now)
{
	ln_time refill = h->conf.displace_refill;
	int64_t gained = (now - s->displace_at) / refill;
	if (gained > 0) {
		unsigned room = h->conf.displace_burst - s->displace_left;
		s->displace_left += gained < room ? (unsigned)gained : room;
		s->displace_at += gained * refill;
	}
	if (s->displace_left == 0)
		return false;
	s->displace_left--;
	return true;
}

static struct signal_stream *stream_new(struct signal_hub *h, ln_time now, struct slice id,
					const struct ip_addr *source, void *user)
{
	struct signal_stream *s = ln_alloc(sizeof(*s) + id.n);
	memcpy(s->id, id.p, id.n);
	s->registered_at = now;
	s->source = *source;
	s->user = user;
	s->displace_left = h->conf.displace_burst;
	s->displace_at = now;
	s->registered = true;
	list_init(&s->ready);
	list_init(&s->busy);
	list_init(&s->queue);
	h->streams++;
	return s;
}

int signal_hub_register(struct signal_hub *h, ln_time now, struct slice id,
			const struct ip_addr *source, void *user, struct signal_stream **ret)
{
	if (id.n == 0 || id.n > SIGNAL_HUB_ID_MAX) {
		h->n.refused++;
		return LN_E_MALFORMED;
	}
	if (h->streams >= h->conf.max_streams) {
		h->n.refused++;
		return LN_E_LIMIT;
	}
	struct map_node *node = map_find(&h->ids, id);
	struct signal_stream *old =
		node != NULL ? map_entry(node, struct signal_stream, node) : NULL;
	if (old != NULL && (now <= old->registered_at ||
			    (!same_source(source, &old->source) && !may_displace(h, old, now)))) {
		h->n.refused++;
		return LN_E_STALE;
	}
	struct signal_stream *s = stream_new(h, now, id, source, user);
	if (old != NULL) {
		s->displace_left = old->displace_left;
		s->displace_at = old->displace_at;
		end_stream(h, old, SIGNAL_HUB_DISPLACED);
		h->n.displaced++;
	} else {
		h->n.registrations++;
	}
	map_insert(&h->ids, &s->node, slice_of(s->id, id.n));
	h->n.active++;
	*ret = s;
	return 0;
}

void signal_hub_unregister(struct signal_hub *h, struct signal_stream *s)
{
	if (s->registered) {
		map_remove(&h->ids, &s->node);
		h->n.active--;
		h->n.deregistrations++;
	}
	lose_queue(h, s);
	list_remove(&s->ready);
	list_remove(&s->busy);
	h->streams--;
	free(s);
}

/* --- outputs ----------------------------------------------------------------------------------*/

void signal_hub_ready(struct signal_hub *h, struct signal_stream *s)
{
	s->is_busy = false;
	list_remove(&s->busy);
	offer(h, s);
}

static void end_stuck(struct signal_hub *h, ln_time now)
{
	while (!list_empty(&h->busy)) {
		struct signal_stream *s = list_entry(h->busy.next, struct signal_stream, busy);
		if (now - s->busy_since < h->conf.send_timeout)
			return;
		h->n.stuck++;
		h->n.deregistrations++;
		end_stream(h, s, SIGNAL_HUB_STUCK);
	}
}

bool signal_hub_poll(struct signal_hub *h, ln_time now, struct signal_hub_out *out)
{
	free(h->last);
	h->last = NULL;
	end_stuck(h, now);
	struct list *first = list_pop(&h->ready);
	if (first == NULL)
		return false;
	struct signal_stream *s = list_entry(first, struct signal_stream, ready);
	*out = (struct signal_hub_out){ .stream = s, .user = s->user };
	if (s->ending) {
		s->ending = false;
		out->type = SIGNAL_HUB_END;
		out->reason = s->end;
		return true;
	}
	h->last = pop(h, s);
	hand_out(h, s, now, slice_of(h->last->bytes, h->last->n), out);
	return true;
}

ln_time signal_hub_deadline(const struct signal_hub *h)
{
	if (list_empty(&h->busy))
		return LN_TIME_NEVER;
	const struct signal_stream *s = list_entry(h->busy.next, struct signal_stream, busy);
	return s->busy_since + h->conf.send_timeout;
}
