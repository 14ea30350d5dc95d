/*
 * Hubs that are one relay.
 *
 * Who has an id is settled by stamps: a connection that takes an id gets one above every stamp this
 * hub has given or knows of the id, near the clock, so that later connections have greater ones;
 * the lowest digits are the hub's number, so no two are equal. Each hub believes the greatest stamp
 * it has heard. Between two hubs records keep their order, between three they need not:
 *
 *	P is at 1 (stamp 5), comes back at 2 (stamp 6) and leaves.
 *	Hub 3 hears "at 2, 6", "left 2, 6", and only then "at 1, 5".
 *
 * Therefore hub 1, when it ends its connection because of stamp 6, says "5 gave way to 6": who
 * still believes 5 then has either heard of 6 already, and P is gone, or will.
 */
#include <stdlib.h>

#include "lib/relay/relay_hub_internal.h"

#define LINK_MAX (4u << 20)
/* Of this size mail is carried over at once: the other thread may begin. */
#define FLUSH_AT (64u << 10)
#define STAMP_STEP ((uint64_t)RELAY_LINKS_MAX)

enum record_kind {
	RECORD_TRANSPORT, /* for the id; the body is the message as the receiver gets it */
	RECORD_ONLINE,    /* the id is at the writer */
	RECORD_OFFLINE,   /* and no longer */
	RECORD_GAVE_WAY   /* its connection there ended because of another one */
};

/* A record is whole in one chunk of a queue: this head, then its body. */
struct record {
	uint16_t kind;
	uint16_t flow; /* of the sender, for fairness */
	uint32_t n;    /* bytes of the body */
	struct relay_id id;
};

struct claim {
	uint64_t stamp;
	uint64_t by; /* RECORD_GAVE_WAY: the stamp of the other one */
};

_Static_assert(sizeof(struct record) + RELAY_MSG_MAX <= RELAY_QUEUE_CHUNK, "a record fits a chunk");

/* --- life -------------------------------------------------------------------------------------*/

void relay_links_init(struct relay_hub *h)
{
	h->nshards = LN_MAX(h->conf.nshards, 1u);
	ln_assert(h->nshards <= RELAY_LINKS_MAX && h->conf.shard < h->nshards);
	if (h->nshards == 1)
		return;
	h->links = ln_calloc(h->nshards, sizeof(*h->links));
	for (unsigned i = 0; i < h->nshards; i++)
		h->links[i].shard = i;
	/* At most a quarter of this hub's memory is on its way to others. */
	size_t most = h->conf.max_memory / 4 / (h->nshards - 1);
	h->link_max = LN_MIN(most, (size_t)LINK_MAX);
	h->conf.max_memory -= h->link_max * (h->nshards - 1);
}

void relay_links_fini(struct relay_hub *h)
{
	if (h->links == NULL)
		return;
	for (struct map_node *n = map_first(&h->topics), *next; n != NULL; n = next) {
		next = map_next(&h->topics, n);
		map_remove(&h->topics, n);
		free(map_entry(n, struct relay_topic, node));
	}
	for (unsigned i = 0; i < h->nshards; i++)
		relay_queue_clear(&h->pool, &h->links[i].out);
	free(h->links);
}

/* --- out --------------------------------------------------------------------------------------*/

static void write_record(uint8_t *at, const struct record *r, const void *body)
{
	memcpy(at, r, sizeof(*r));
	if (body != NULL)
		memcpy(at + sizeof(*r), body, r->n);
}

static void tell_all(struct relay_hub *h, enum record_kind kind, const struct relay_id *id,
		     const struct claim *claim)
{
	const struct record r = { .kind = (uint16_t)kind, .n = sizeof(*claim), .id = *id };
	for (unsigned i = 0; i < h->nshards; i++)
		if (i != h->conf.shard)
			write_record(relay_queue_must_add(&h->pool, &h->links[i].out,
							  sizeof(r) + sizeof(*claim)),
				     &r, claim);
}

static uint64_t next_stamp(struct relay_hub *h, const struct relay_topic *t, ln_time now)
{
	uint64_t step = LN_MAX(h->last_stamp, t->stamp) / STAMP_STEP + 1;
	step = LN_MAX(step, (uint64_t)now / STAMP_STEP);
	h->last_stamp = step * STAMP_STEP + h->conf.shard;
	return h->last_stamp;
}

void relay_links_joined(struct relay_hub *h, struct relay_topic *t, ln_time now)
{
	t->link = NULL;
	if (h->links == NULL)
		return;
	t->stamp = next_stamp(h, t, now);
	tell_all(h, RECORD_ONLINE, &t->id, &(struct claim){ .stamp = t->stamp });
}

void relay_links_left(struct relay_hub *h, struct relay_topic *t)
{
	if (h->links != NULL)
		tell_all(h, RECORD_OFFLINE, &t->id, &(struct claim){ .stamp = t->stamp });
}

/* As for the queue of a receiver: while the other hub is behind, twice the room that is left. */
static bool admits(const struct relay_hub *h, const struct relay_link *l, size_t n, unsigned flow)
{
	size_t waiting = l->waiting + l->out.bytes;
	if (waiting + n > h->link_max || h->pool.nused >= h->transport_chunks)
		return false;
	return !l->behind || l->flow[flow] + n <= 2 * (h->link_max - waiting);
}

int relay_links_forward(struct relay_hub *h, const struct relay_hub_peer *from,
			const struct relay_topic *t, struct slice msg)
{
	struct relay_link *l = t->link;
	const struct record r = {
		.kind = RECORD_TRANSPORT, .flow = from->flow, .n = (uint32_t)msg.n, .id = t->id
	};
	size_t n = sizeof(r) + msg.n;
	uint8_t *at = admits(h, l, n, from->flow)
			      ? relay_queue_add(&h->pool, &l->out, n, from->flow)
			      : NULL;
	if (at == NULL) {
		h->counters.dropped++;
		return 0;
	}
	l->flow[from->flow] += (uint32_t)n;
	write_record(at, &r, NULL);
	at += sizeof(r);
	/* Spec relay 6: to the receiver the id is the sender's. */
	memcpy(at, msg.p, RELAY_HEADER);
	memcpy(at + RELAY_HEADER, from->topic->id.b, RELAY_ID_LEN);
	memcpy(at + RELAY_TRANSPORT_HEADER, msg.p + RELAY_TRANSPORT_HEADER,
	       msg.n - RELAY_TRANSPORT_HEADER);
	return l->out.bytes >= FLUSH_AT ? RELAY_HUB_FLUSH : 0;
}

bool relay_links_take(struct relay_hub *h, unsigned to, struct relay_queue *ret)
{
	struct relay_queue *q = &h->links[to].out;
	*ret = *q;
	*q = (struct relay_queue){ .bytes = 0 };
	relay_queue_leave(&h->pool, ret);
	return ret->bytes != 0 || h->links[to].waiting != 0;
}

void relay_links_posted(struct relay_hub *h, unsigned to, size_t before, size_t posted)
{
	struct relay_link *l = &h->links[to];
	l->waiting = before + posted;
	l->behind = before != 0;
	/* All of what came earlier has been fetched. */
	if (!l->behind)
		memset(l->flow, 0, sizeof(l->flow));
}

/* --- in ---------------------------------------------------------------------------------------*/

void relay_links_fetched(struct relay_hub *h, const struct relay_queue *mail)
{
	relay_queue_enter(&h->pool, mail);
}

static int take_transport(struct relay_hub *h, struct relay_link *l, const struct record *r,
			  const uint8_t *body)
{
	if (l->last == NULL || l->last_epoch != h->epoch || !relay_id_equal(&l->last->id, &r->id)) {
		l->last = relay_subs_find(h, &r->id);
		l->last_epoch = h->epoch;
	}
	/* It has left meanwhile; one that came back elsewhere misses what was on its way. */
	if (l->last == NULL || l->last->peer == NULL) {
		h->counters.unknown++;
		return 0;
	}
	int said = 0;
	uint8_t *at = relay_hub_transport(h, l->last->peer, r->n, r->flow, &said);
	if (at != NULL)
		memcpy(at, body, r->n);
	return said;
}

static void take_online(struct relay_hub *h, struct relay_link *l, const struct record *r,
			const struct claim *c)
{
	l->seen = c->stamp;
	struct relay_topic *t = relay_subs_get(h, &r->id);
	if (relay_subs_is_online(t) && t->stamp > c->stamp)
		return;
	if (t->peer != NULL) {
		const struct claim mine = { .stamp = t->stamp, .by = c->stamp };
		relay_hub_replace(h, t);
		tell_all(h, RECORD_GAVE_WAY, &t->id, &mine);
	}
	t->link = l;
	t->stamp = c->stamp;
	relay_subs_online(h, t);
}

static void take_offline(struct relay_hub *h, const struct relay_link *l, const struct record *r,
			 const struct claim *c)
{
	struct relay_topic *t = relay_subs_find(h, &r->id);
	if (t == NULL || t->link != l || t->stamp != c->stamp)
		return;
	t->link = NULL;
	relay_subs_offline(h, t);
	relay_subs_release(h, t);
}

/* Have we heard of the connection with this stamp? */
static bool knows(const struct relay_hub *h, uint64_t stamp)
{
	unsigned shard = (unsigned)(stamp % STAMP_STEP);
	uint64_t seen = shard == h->conf.shard ? h->last_stamp : h->links[shard].seen;
	return seen >= stamp;
}

static int take_record(struct relay_hub *h, struct relay_link *l, const struct record *r,
		       const uint8_t *body)
{
	struct claim c;
	if (r->kind == RECORD_TRANSPORT)
		return take_transport(h, l, r, body);
	memcpy(&c, body, sizeof(c));
	if (r->kind == RECORD_ONLINE)
		take_online(h, l, r, &c);
	else if (r->kind == RECORD_OFFLINE || knows(h, c.by))
		take_offline(h, l, r, &c);
	return 0;
}

int relay_links_deliver(struct relay_hub *h, unsigned from, struct relay_queue *mail)
{
	int said = 0;
	while (mail->bytes != 0 && said == 0) {
		struct slice v;
		size_t done = 0;
		(void)relay_queue_view(mail, &v, 1);
		while (done < v.n && said == 0) {
			struct record r;
			memcpy(&r, v.p + done, sizeof(r));
			said = take_record(h, &h->links[from], &r, v.p + done + sizeof(r));
			done += sizeof(r) + r.n;
		}
		relay_queue_drop(&h->pool, mail, done);
	}
	return said;
}

void relay_links_discard(struct relay_hub *h, struct relay_queue *mail)
{
	relay_queue_clear(&h->pool, mail);
}
