#include "lib/relay/relay_hub.h"

#include <stdlib.h>

#include "lib/crypto/ct.h"
#include "lib/relay/relay_hub_internal.h"

#define MAX_PEERS 1000000u
#define MAX_QUEUE (256u << 10)
#define MAX_MEMORY (256u << 20)
#define MAX_SUBSCRIPTIONS 20000u
/* Control messages may go this far above the queue's limit before the peer counts as stalled. */
#define CONTROL_RESERVE (64u << 10)
/* A queue of this size is written at once: its bytes are still in the cache. */
#define FLUSH_AT (48u << 10)

/* --- life -------------------------------------------------------------------------------------*/

struct relay_hub *relay_hub_new(const struct relay_hub_conf *conf)
{
	struct relay_hub *h = ln_alloc(sizeof(*h));
	h->conf = *conf;
	if (h->conf.max_peers == 0)
		h->conf.max_peers = MAX_PEERS;
	if (h->conf.max_queue == 0)
		h->conf.max_queue = MAX_QUEUE;
	if (h->conf.max_memory == 0)
		h->conf.max_memory = MAX_MEMORY;
	if (h->conf.max_subscriptions == 0)
		h->conf.max_subscriptions = MAX_SUBSCRIPTIONS;
	if (h->conf.health_threshold == 0)
		h->conf.health_threshold = 1;
	h->instance_url = ln_strdup(conf->instance_url);
	ln_assert(conf->instance_url[0] != '\0' &&
		  strlen(conf->instance_url) <= RELAY_AUTH_RESPONSE_MAX - RELAY_HEADER);
	relay_hub_set_keys(h, conf->keys, conf->nkeys);
	list_init(&h->peers);
	list_init(&h->dirty);
	heap_init(&h->timers);
	map_init(&h->topics, rng_u64(conf->rng), rng_u64(conf->rng));
	map_init(&h->subs, rng_u64(conf->rng), rng_u64(conf->rng));
	/* A reserve of a quarter for what is not Transport: newcomers get their answer. */
	relay_links_init(h);
	relay_pool_init(&h->pool, h->conf.max_memory + h->conf.max_memory / 4);
	h->transport_chunks = h->pool.max_used - h->pool.max_used / 5;
	return h;
}

void relay_hub_set_keys(struct relay_hub *h, const struct relay_token_key *keys, size_t n)
{
	for (size_t i = 0; i < h->nkeys; i++)
		relay_token_key_wipe(&h->keys[i]);
	free(h->keys);
	h->keys = ln_calloc(n, sizeof(*keys));
	memcpy(h->keys, keys, n * sizeof(*keys));
	h->nkeys = n;
}

void relay_hub_free(struct relay_hub *h)
{
	if (h == NULL)
		return;
	ln_assert(h->npeers == 0);
	relay_links_fini(h);
	relay_hub_set_keys(h, h->keys, 0);
	free(h->keys);
	free(h->instance_url);
	heap_fini(&h->timers);
	map_fini(&h->topics);
	map_fini(&h->subs);
	relay_pool_fini(&h->pool);
	free(h);
}

void relay_hub_touch(struct relay_hub *h, struct relay_hub_peer *p)
{
	if (list_empty(&p->dirty))
		list_add_tail(&h->dirty, &p->dirty);
}

static void arm(struct relay_hub *h, struct relay_hub_peer *p)
{
	ln_time at = LN_TIME_NEVER;
	if (p->state != RELAY_HUB_CLOSING)
		at = ln_time_min(ln_time_min(p->deadline, p->stall),
				 ln_time_min(p->health_send, p->health_look));
	heap_set(&h->timers, &p->timer, at);
}

struct relay_hub_peer *relay_hub_open(struct relay_hub *h, ln_time now, void *user)
{
	if (h->draining || h->npeers >= h->conf.max_peers)
		return NULL;
	struct relay_hub_peer *p = ln_alloc(sizeof(*p));
	p->user = user;
	p->number = ++h->next_number;
	/* Which flow a sender falls into cannot be chosen by it. */
	p->flow = (uint8_t)rng_below(h->conf.rng, RELAY_QUEUE_FLOWS);
	p->state = RELAY_HUB_HELLO;
	p->deadline = now + RELAY_HUB_HANDSHAKE;
	p->health_send = p->health_look = p->stall = LN_TIME_NEVER;
	heap_node_init(&p->timer);
	list_init(&p->dirty);
	list_init(&p->subs);
	list_init(&p->news);
	list_add_tail(&h->peers, &p->all);
	h->npeers++;
	arm(h, p);
	return p;
}

/* The peer is nobody any more: no messages, no news. */
static void leave(struct relay_hub *h, struct relay_hub_peer *p, bool replaced)
{
	struct relay_topic *t = p->topic;
	relay_subs_clear(h, p);
	p->topic = NULL;
	if (t == NULL)
		return;
	t->peer = NULL;
	if (!replaced) {
		relay_links_left(h, t);
		relay_subs_offline(h, t);
		relay_subs_release(h, t);
	}
}

static void close_peer(struct relay_hub *h, struct relay_hub_peer *p, enum relay_hub_reason why,
		       bool replaced)
{
	if (p->state == RELAY_HUB_CLOSING)
		return;
	p->state = RELAY_HUB_CLOSING;
	p->reason = (uint8_t)why;
	leave(h, p, replaced);
	arm(h, p);
	relay_hub_touch(h, p);
}

void relay_hub_close(struct relay_hub *h, struct relay_hub_peer *p, enum relay_hub_reason why)
{
	close_peer(h, p, why, false);
}

void relay_hub_replace(struct relay_hub *h, struct relay_topic *t)
{
	h->counters.replaced++;
	close_peer(h, t->peer, RELAY_HUB_REPLACED, true);
}

void relay_hub_remove(struct relay_hub *h, struct relay_hub_peer *p)
{
	leave(h, p, false);
	relay_queue_clear(&h->pool, &p->out);
	heap_remove(&h->timers, &p->timer);
	list_remove(&p->dirty);
	list_remove(&p->all);
	h->npeers--;
	free(p);
}

/* --- queues -----------------------------------------------------------------------------------*/

static uint8_t *add_framed(struct relay_hub *h, struct relay_hub_peer *p, size_t n, unsigned flow)
{
	uint8_t head[RELAY_HUB_FRAME_MAX];
	size_t nhead = h->conf.frame != NULL ? h->conf.frame(head, n) : 0;
	uint8_t *at = relay_queue_add(&h->pool, &p->out, nhead + n, flow);
	if (at == NULL)
		return NULL;
	memcpy(at, head, nhead);
	relay_hub_touch(h, p);
	return at + nhead;
}

uint8_t *relay_hub_control(struct relay_hub *h, struct relay_hub_peer *p, size_t n)
{
	uint8_t *at = NULL;
	if (p->out.bytes + n <= h->conf.max_queue + CONTROL_RESERVE)
		at = add_framed(h, p, n, 0);
	if (at == NULL)
		relay_hub_close(h, p, RELAY_HUB_STALLED);
	return at;
}

static void send_empty(struct relay_hub *h, struct relay_hub_peer *p, enum relay_type type)
{
	uint8_t *at = relay_hub_control(h, p, RELAY_HEADER);
	if (at != NULL) {
		int r = relay_msg_write_header(mslice_of(at, RELAY_HEADER), type);
		ln_assert(r == RELAY_HEADER);
	}
}

/*
 * May n bytes of this flow wait for the receiver? While it keeps up, the limit is all. When it is
 * behind, a flow may hold twice the room that is left: one alone two thirds of the queue, k of
 * them 2/(2k+1) each, and a newcomer always finds room.
 */
static bool admits(const struct relay_hub *h, const struct relay_hub_peer *to, size_t n,
		   unsigned flow)
{
	size_t most = h->conf.max_queue;
	if (to->out.bytes + n > most || h->pool.nused >= h->transport_chunks)
		return false;
	return !to->blocked || relay_queue_flow(&to->out, flow) + n <= 2 * (most - to->out.bytes);
}

uint8_t *relay_hub_transport(struct relay_hub *h, struct relay_hub_peer *to, size_t n,
			     unsigned flow, int *said)
{
	uint8_t *at =
		admits(h, to, n + RELAY_HUB_FRAME_MAX, flow) ? add_framed(h, to, n, flow) : NULL;
	if (at == NULL) {
		h->counters.dropped++;
		return NULL;
	}
	h->counters.sent++;
	h->counters.sent_bytes += n;
	if (!to->blocked && to->out.bytes >= FLUSH_AT)
		*said |= RELAY_HUB_FLUSH;
	return at;
}

size_t relay_hub_view(const struct relay_hub_peer *p, struct slice *dst, size_t max)
{
	return relay_queue_view(&p->out, dst, max);
}

void relay_hub_sent(struct relay_hub *h, struct relay_hub_peer *p, size_t n)
{
	relay_queue_drop(&h->pool, &p->out, n);
}

void relay_hub_blocked(struct relay_hub *h, struct relay_hub_peer *p, ln_time now, bool blocked)
{
	p->blocked = blocked;
	p->stall = blocked ? now + RELAY_HUB_STALL : LN_TIME_NEVER;
	arm(h, p);
}

/* --- messages ---------------------------------------------------------------------------------*/

static struct relay_topic *destination(struct relay_hub *h, struct relay_hub_peer *from,
				       const uint8_t id[RELAY_ID_LEN])
{
	if (from->last != NULL && from->last_epoch == h->epoch &&
	    memcmp(from->last->id.b, id, RELAY_ID_LEN) == 0)
		return from->last;
	struct relay_id key;
	memcpy(key.b, id, RELAY_ID_LEN);
	from->last = relay_subs_find(h, &key);
	from->last_epoch = h->epoch;
	return from->last;
}

static int forward(struct relay_hub *h, struct relay_hub_peer *from, ln_time now, struct slice msg)
{
	if (msg.n < RELAY_TRANSPORT_HEADER || msg.n > RELAY_MSG_MAX)
		return 0;
	h->counters.received++;
	h->counters.received_bytes += msg.n;
	from->last_transport = now;
	struct relay_topic *t = destination(h, from, msg.p + RELAY_HEADER);
	if (t != NULL && t->link != NULL)
		return relay_links_forward(h, from, t, msg);
	if (t == NULL || t->peer == NULL) {
		h->counters.unknown++;
		return 0;
	}
	int said = 0;
	uint8_t *at = relay_hub_transport(h, t->peer, msg.n, from->flow, &said);
	if (at == NULL)
		return 0;
	/* Spec relay 6: to the receiver the id is the sender's. */
	memcpy(at, msg.p, RELAY_HEADER);
	memcpy(at + RELAY_HEADER, from->topic->id.b, RELAY_ID_LEN);
	memcpy(at + RELAY_TRANSPORT_HEADER, msg.p + RELAY_TRANSPORT_HEADER,
	       msg.n - RELAY_TRANSPORT_HEADER);
	return said;
}

static void send_auth_response(struct relay_hub *h, struct relay_hub_peer *p)
{
	struct slice url = slice_str(h->instance_url);
	uint8_t *at = relay_hub_control(h, p, RELAY_HEADER + url.n);
	if (at != NULL) {
		int r = relay_msg_write_auth_response(mslice_of(at, RELAY_HEADER + url.n), url);
		ln_assert(r > 0);
	}
}

static enum relay_hub_refusal refusal_of(int err)
{
	if (err == LN_E_AUTH)
		return RELAY_HUB_BAD_SIGNATURE;
	return err == LN_E_STALE ? RELAY_HUB_EXPIRED : RELAY_HUB_BAD_TOKEN;
}

static void refuse(struct relay_hub *h, struct relay_hub_peer *p, enum relay_hub_refusal why)
{
	h->counters.refused[why]++;
	relay_hub_close(h, p, why == RELAY_HUB_TIMEOUT ? RELAY_HUB_LATE : RELAY_HUB_REFUSED);
}

static int hello(struct relay_hub *h, struct relay_hub_peer *p, ln_time now, ln_wall wall,
		 struct slice msg)
{
	struct relay_auth auth;
	if (relay_msg_read_auth(msg, &auth) < 0) {
		refuse(h, p, RELAY_HUB_BAD_MESSAGE);
		return 0;
	}
	int err = relay_token_check(h->keys, h->nkeys, auth.token, wall);
	if (err < 0) {
		refuse(h, p, refusal_of(err));
		return 0;
	}
	/* Trap 17: the answer goes first; only then anybody can send to this peer. */
	p->state = RELAY_HUB_READY;
	p->deadline = LN_TIME_NEVER;
	p->health_send = now + RELAY_HUB_HEALTH_EVERY;
	p->health_look = now + RELAY_HUB_HEALTH_LOOK;
	arm(h, p);
	send_auth_response(h, p);
	if (p->state != RELAY_HUB_READY)
		return 0;
	struct relay_topic *t = relay_subs_get(h, &auth.id);
	if (t->peer != NULL)
		relay_hub_replace(h, t);
	t->peer = p;
	p->topic = t;
	relay_links_joined(h, t, now);
	relay_subs_online(h, t);
	return RELAY_HUB_JOINED;
}

static void repeated_auth(struct relay_hub *h, struct relay_hub_peer *p, struct slice msg)
{
	struct relay_auth auth;
	/* Spec relay 2: over a lossy transport the answer may have been lost. */
	if (relay_msg_read_auth(msg, &auth) == 0 && relay_id_equal(&auth.id, &p->topic->id))
		send_auth_response(h, p);
}

int relay_hub_input(struct relay_hub *h, struct relay_hub_peer *p, ln_time now, ln_wall wall,
		    struct slice msg)
{
	int type = relay_msg_type(msg);
	if (p->state == RELAY_HUB_CLOSING)
		return 0;
	if (p->state == RELAY_HUB_HELLO)
		return hello(h, p, now, wall, msg);
	switch (type) {
	case RELAY_TRANSPORT:
		return forward(h, p, now, msg);
	case RELAY_CLOSE:
		relay_hub_close(h, p, RELAY_HUB_LEFT);
		break;
	case RELAY_HEALTH_CHECK:
		p->answered = true;
		break;
	case RELAY_AUTH:
		repeated_auth(h, p, msg);
		break;
	case RELAY_SUBSCRIBE:
		relay_subs_add(h, p, msg);
		break;
	case RELAY_UNSUBSCRIBE:
		relay_subs_remove(h, p, msg);
		break;
	default:
		relay_hub_close(h, p, RELAY_HUB_PROTOCOL);
		break;
	}
	return 0;
}

/* --- time -------------------------------------------------------------------------------------*/

static void look(struct relay_hub *h, struct relay_hub_peer *p, ln_time now)
{
	p->health_look = now + RELAY_HUB_HEALTH_LOOK;
	p->missed = p->answered ? 0 : p->missed + 1;
	p->answered = false;
	if (p->missed < h->conf.health_threshold)
		return;
	h->counters.health_failures++;
	relay_hub_close(h, p, RELAY_HUB_SILENT);
}

static void run_timer(struct relay_hub *h, struct relay_hub_peer *p, ln_time now)
{
	if (p->deadline <= now) {
		if (p->state == RELAY_HUB_HELLO) {
			refuse(h, p, RELAY_HUB_TIMEOUT);
			return;
		}
		send_empty(h, p, RELAY_CLOSE);
		relay_hub_close(h, p, RELAY_HUB_DRAINED);
		return;
	}
	if (p->health_send <= now) {
		p->health_send = now + RELAY_HUB_HEALTH_EVERY;
		send_empty(h, p, RELAY_HEALTH_CHECK);
	}
	if (p->health_look <= now)
		look(h, p, now);
	if (p->stall <= now) {
		p->stall = LN_TIME_NEVER;
		p->check_due = true;
		relay_hub_touch(h, p);
	}
	arm(h, p);
}

ln_time relay_hub_deadline(const struct relay_hub *h)
{
	return heap_deadline(&h->timers);
}

/* What this peer has for its owner; false: nothing any more. */
static bool poll_peer(struct relay_hub *h, struct relay_hub_peer *p, struct relay_hub_out *ret)
{
	*ret = (struct relay_hub_out){ .event = RELAY_HUB_WRITE, .peer = p, .user = p->user };
	if (p->state != RELAY_HUB_CLOSING && !list_empty(&p->news))
		relay_subs_tell(h, p);
	list_remove(&p->dirty);
	if (p->state == RELAY_HUB_CLOSING) {
		ret->event = RELAY_HUB_CLOSE;
		ret->reason = (enum relay_hub_reason)p->reason;
		bool first = !p->close_given;
		p->close_given = true;
		return first;
	}
	if (p->check_due) {
		p->check_due = false;
		ret->event = RELAY_HUB_CHECK;
		relay_hub_touch(h, p);
		return true;
	}
	return p->out.bytes != 0;
}

bool relay_hub_poll(struct relay_hub *h, ln_time now, struct relay_hub_out *ret)
{
	while (heap_deadline(&h->timers) <= now)
		run_timer(h, ln_container(heap_top(&h->timers), struct relay_hub_peer, timer), now);
	while (!list_empty(&h->dirty))
		if (poll_peer(h, list_entry(h->dirty.next, struct relay_hub_peer, dirty), ret))
			return true;
	return false;
}

void relay_hub_drain(struct relay_hub *h, ln_time now, ln_time over)
{
	h->draining = true;
	list_for_each_safe(it, &h->peers) {
		struct relay_hub_peer *p = list_entry(it, struct relay_hub_peer, all);
		p->deadline = now;
		if (p->state == RELAY_HUB_READY && over > 0)
			p->deadline += rng_below64(h->conf.rng, over);
		arm(h, p);
	}
}

/* --- figures ----------------------------------------------------------------------------------*/

const struct relay_id *relay_hub_peer_id(const struct relay_hub_peer *p)
{
	return p->topic != NULL ? &p->topic->id : NULL;
}

const struct relay_hub_counters *relay_hub_counters(const struct relay_hub *h)
{
	return &h->counters;
}

void relay_hub_gauges(const struct relay_hub *h, ln_time now, struct relay_hub_gauges *ret)
{
	*ret = (struct relay_hub_gauges){ .subscriptions = h->subs.count, .draining = h->draining };
	list_for_each(it, &h->peers) {
		const struct relay_hub_peer *p = list_entry(it, struct relay_hub_peer, all);
		bool active = p->last_transport != 0 && now - p->last_transport < RELAY_HUB_ACTIVE;
		ret->queued_bytes += p->out.bytes;
		ret->handshaking += p->state == RELAY_HUB_HELLO;
		if (p->state != RELAY_HUB_READY)
			continue;
		ret->peers++;
		ret->active += active;
		ret->idle += !active;
	}
}
