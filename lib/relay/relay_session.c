#include "lib/relay/relay_session.h"

#include <stdlib.h>

#include "lib/base/heap.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/crypto/ct.h"

enum state {
	STATE_WAITING, /* for the transport */
	STATE_HELLO,
	STATE_READY,
	STATE_ENDING, /* ENDED is still to be told */
	STATE_ENDED
};

struct relay_session_peer {
	struct map_node node;
	struct relay_id id;
	void *user;
	struct list todo; /* in session.todo when one of the flags below is set */
	struct heap_node timer;
	ln_time give_up; /* while opening */
	bool subscribe;  /* to be sent */
	bool online;
	bool tell_online;
	struct early *early; /* to be told once it is online */
};

/* The newest payload of somebody who is not online yet. */
struct early {
	struct map_node node;
	struct list age; /* oldest first */
	struct relay_id id;
	ln_time until;
	size_t n;
	uint8_t bytes[];
};

/* An id that is no longer open: Unsubscribe, and its event. */
struct parting {
	struct list link;
	struct relay_id id;
	void *user;
	bool tell;
	enum relay_session_event event;
};

struct relay_session {
	struct relay_session_conf conf;
	uint8_t token[RELAY_TOKEN_MAX];
	enum state state;
	enum relay_session_end end;
	char url[RELAY_AUTH_RESPONSE_MAX];
	bool send_hello, send_health, send_close, tell_ready;
	ln_time hello_limit, hello_again, look;
	bool healthy; /* since the last look */
	unsigned missed;
	struct map peers;
	struct list todo;
	struct list partings;
	struct heap timers;
	struct map early;
	struct list early_by_age;
	ln_time unused_since;
	ln_time now; /* the latest seen: of calls without a time of their own */
};

static struct slice id_key(const struct relay_id *id)
{
	return slice_of(id->b, sizeof(id->b));
}

/* --- life -------------------------------------------------------------------------------------*/

struct relay_session *relay_session_new(const struct relay_session_conf *conf, ln_time now)
{
	struct relay_session *s = ln_alloc(sizeof(*s));
	ln_assert(conf->token.n <= sizeof(s->token));
	s->conf = *conf;
	memcpy(s->token, conf->token.p, conf->token.n);
	s->conf.token = slice_of(s->token, conf->token.n);
	if (s->conf.health_threshold == 0)
		s->conf.health_threshold = 1;
	if (s->conf.max_early == 0)
		s->conf.max_early = RELAY_SESSION_EARLY_MAX;
	s->hello_limit = s->hello_again = s->look = LN_TIME_NEVER;
	s->unused_since = now;
	s->now = now;
	map_init(&s->peers, rng_u64(conf->rng), rng_u64(conf->rng));
	map_init(&s->early, rng_u64(conf->rng), rng_u64(conf->rng));
	list_init(&s->todo);
	list_init(&s->partings);
	list_init(&s->early_by_age);
	heap_init(&s->timers);
	return s;
}

void relay_session_set_lossy(struct relay_session *s, bool lossy)
{
	s->conf.lossy = lossy;
}

void relay_session_start(struct relay_session *s, ln_time now)
{
	if (s->state != STATE_WAITING)
		return;
	s->now = now;
	s->state = STATE_HELLO;
	s->send_hello = true;
	s->hello_limit = now + RELAY_SESSION_HELLO_LIMIT;
	if (s->conf.lossy)
		s->hello_again = now + RELAY_SESSION_HELLO_AGAIN;
}

static void drop_early(struct relay_session *s, struct early *e)
{
	map_remove(&s->early, &e->node);
	list_remove(&e->age);
	free(e);
}

static void free_peer(struct relay_session *s, struct relay_session_peer *p)
{
	map_remove(&s->peers, &p->node);
	heap_remove(&s->timers, &p->timer);
	list_remove(&p->todo);
	free(p->early);
	free(p);
	if (s->peers.count == 0)
		s->unused_since = s->now;
}

void relay_session_free(struct relay_session *s)
{
	if (s == NULL)
		return;
	for (struct map_node *n; (n = map_first(&s->peers)) != NULL;)
		free_peer(s, map_entry(n, struct relay_session_peer, node));
	while (!list_empty(&s->early_by_age))
		drop_early(s, list_entry(s->early_by_age.next, struct early, age));
	for (struct list *l; (l = list_pop(&s->partings)) != NULL;)
		free(list_entry(l, struct parting, link));
	map_fini(&s->peers);
	map_fini(&s->early);
	heap_fini(&s->timers);
	ct_wipe(s->token, sizeof(s->token));
	free(s);
}

static void finish(struct relay_session *s, enum relay_session_end why)
{
	if (s->state >= STATE_ENDING)
		return;
	s->state = STATE_ENDING;
	s->end = why;
	while (!list_empty(&s->early_by_age))
		drop_early(s, list_entry(s->early_by_age.next, struct early, age));
}

void relay_session_leave(struct relay_session *s)
{
	s->send_close = s->state == STATE_READY;
	finish(s, RELAY_SESSION_WE_LEFT);
}

/* --- peers ------------------------------------------------------------------------------------*/

static void plan(struct relay_session *s, struct relay_session_peer *p)
{
	if (list_empty(&p->todo))
		list_add_tail(&s->todo, &p->todo);
}

static void arm(struct relay_session *s, struct relay_session_peer *p, ln_time now)
{
	ln_time at = LN_TIME_NEVER;
	if (!p->online)
		at = s->conf.lossy ? ln_time_min(p->give_up, now + RELAY_SESSION_SUBSCRIBE_AGAIN)
				   : p->give_up;
	heap_set(&s->timers, &p->timer, at);
}

int relay_session_open(struct relay_session *s, ln_time now, const struct relay_id *id, void *user,
		       struct relay_session_peer **ret)
{
	if (s->state >= STATE_ENDING)
		return LN_E_STATE;
	if (map_find(&s->peers, id_key(id)) != NULL)
		return LN_E_CONFLICT;
	struct relay_session_peer *p = ln_alloc(sizeof(*p));
	p->id = *id;
	p->user = user;
	p->subscribe = true;
	p->give_up = now + RELAY_SESSION_OPEN_LIMIT;
	heap_node_init(&p->timer);
	list_init(&p->todo);
	map_insert(&s->peers, &p->node, id_key(&p->id));
	s->now = now;
	s->unused_since = LN_TIME_NEVER;
	struct map_node *n = map_find(&s->early, id_key(id));
	if (n != NULL) {
		p->early = map_entry(n, struct early, node);
		map_remove(&s->early, n);
		list_remove(&p->early->age);
	}
	arm(s, p, now);
	plan(s, p);
	*ret = p;
	return 0;
}

static void part(struct relay_session *s, struct relay_session_peer *p, bool tell,
		 enum relay_session_event event)
{
	/* Before the server's answer nothing was subscribed. */
	if (tell || s->state == STATE_READY) {
		struct parting *g = ln_alloc(sizeof(*g));
		*g = (struct parting){ .id = p->id, .user = p->user, .tell = tell, .event = event };
		list_add_tail(&s->partings, &g->link);
	}
	free_peer(s, p);
}

void relay_session_close(struct relay_session *s, struct relay_session_peer *p)
{
	part(s, p, false, RELAY_SESSION_OFFLINE);
}

static struct relay_session_peer *find_peer(const struct relay_session *s,
					    const struct relay_id *id)
{
	struct map_node *n = map_find(&s->peers, id_key(id));
	return n != NULL ? map_entry(n, struct relay_session_peer, node) : NULL;
}

/* --- input ------------------------------------------------------------------------------------*/

static struct early *make_early(ln_time now, const struct relay_id *id, struct slice payload)
{
	struct early *e = ln_alloc(sizeof(*e) + payload.n);
	e->id = *id;
	e->until = now + RELAY_SESSION_EARLY_LIFE;
	e->n = payload.n;
	if (payload.n != 0)
		memcpy(e->bytes, payload.p, payload.n);
	return e;
}

static void keep_early(struct relay_session *s, ln_time now, const struct relay_id *id,
		       struct slice payload)
{
	struct map_node *old = map_find(&s->early, id_key(id));
	if (old != NULL)
		drop_early(s, map_entry(old, struct early, node));
	if (s->early.count >= s->conf.max_early)
		return;
	struct early *e = make_early(now, id, payload);
	map_insert(&s->early, &e->node, id_key(&e->id));
	list_add_tail(&s->early_by_age, &e->age);
}

static int take_transport(struct relay_session *s, ln_time now, struct slice msg, void **ret_user,
			  struct slice *ret_payload)
{
	struct relay_id id;
	struct slice payload;
	if (relay_msg_read_transport(msg, &id, &payload) < 0)
		return 0;
	struct relay_session_peer *p = find_peer(s, &id);
	if (p == NULL) {
		keep_early(s, now, &id, payload);
		return 0;
	}
	if (!p->online || p->tell_online) {
		free(p->early);
		p->early = make_early(now, &id, payload);
		return 0;
	}
	*ret_user = p->user;
	*ret_payload = payload;
	return 1;
}

static void take_answer(struct relay_session *s, ln_time now, struct slice msg)
{
	struct slice url;
	if (s->state != STATE_HELLO)
		return;
	if (relay_msg_read_auth_response(msg, &url) < 0 || memchr(url.p, '\0', url.n) != NULL) {
		finish(s, RELAY_SESSION_BAD_ANSWER);
		return;
	}
	memcpy(s->url, url.p, url.n);
	s->url[url.n] = '\0';
	s->state = STATE_READY;
	s->send_hello = false;
	s->hello_limit = s->hello_again = LN_TIME_NEVER;
	s->look = now + RELAY_SESSION_LOOK;
	s->tell_ready = true;
}

static void take_states(struct relay_session *s, ln_time now, struct slice msg, bool online)
{
	int n = s->state == STATE_READY ? relay_msg_ids(msg) : 0;
	for (int i = 0; i < n; i++) {
		struct relay_id id;
		relay_msg_id(msg, (size_t)i, &id);
		struct relay_session_peer *p = find_peer(s, &id);
		if (p == NULL)
			continue;
		if (!online) {
			part(s, p, true, RELAY_SESSION_OFFLINE);
		} else if (!p->online) {
			p->online = p->tell_online = true;
			arm(s, p, now);
			plan(s, p);
		}
	}
}

int relay_session_input(struct relay_session *s, ln_time now, struct slice msg, void **ret_user,
			struct slice *ret_payload)
{
	int type = relay_msg_type(msg);
	s->now = now;
	if (s->state >= STATE_ENDING)
		return 0;
	switch (type) {
	case RELAY_TRANSPORT:
		return take_transport(s, now, msg, ret_user, ret_payload);
	case RELAY_CLOSE:
		finish(s, RELAY_SESSION_SERVER_LEFT);
		break;
	case RELAY_HEALTH_CHECK:
		s->healthy = true;
		s->send_health = s->state == STATE_READY;
		break;
	case RELAY_AUTH_RESPONSE:
		take_answer(s, now, msg);
		break;
	case RELAY_ONLINE:
		take_states(s, now, msg, true);
		break;
	case RELAY_OFFLINE:
		take_states(s, now, msg, false);
		break;
	default:
		break;
	}
	return 0;
}

/* --- time -------------------------------------------------------------------------------------*/

static void run_timers(struct relay_session *s, ln_time now)
{
	s->now = now;
	if (s->state == STATE_HELLO && now >= s->hello_limit)
		finish(s, RELAY_SESSION_HELLO_TIMEOUT);
	if (now >= s->hello_again) {
		s->send_hello = true;
		s->hello_again = LN_TIME_NEVER;
	}
	if (s->state == STATE_READY && now >= s->look) {
		s->look = now + RELAY_SESSION_LOOK;
		s->missed = s->healthy ? 0 : s->missed + 1;
		s->healthy = false;
		if (s->missed >= s->conf.health_threshold)
			finish(s, RELAY_SESSION_SILENT);
	}
	while (s->state < STATE_ENDING && heap_deadline(&s->timers) <= now) {
		struct relay_session_peer *p =
			ln_container(heap_top(&s->timers), struct relay_session_peer, timer);
		if (now >= p->give_up) {
			part(s, p, true, RELAY_SESSION_FAILED);
			continue;
		}
		p->subscribe = true;
		arm(s, p, now);
		plan(s, p);
	}
	while (!list_empty(&s->early_by_age)) {
		struct early *e = list_entry(s->early_by_age.next, struct early, age);
		if (e->until > now)
			break;
		drop_early(s, e);
	}
}

ln_time relay_session_deadline(const struct relay_session *s)
{
	if (s->state >= STATE_ENDING)
		return LN_TIME_NEVER;
	ln_time at = ln_time_min(ln_time_min(s->hello_limit, s->hello_again), s->look);
	at = ln_time_min(at, heap_deadline(&s->timers));
	if (!list_empty(&s->early_by_age))
		at = ln_time_min(at, list_entry(s->early_by_age.next, struct early, age)->until);
	return at;
}

/* --- output -----------------------------------------------------------------------------------*/

static bool give(struct relay_session_out *ret, enum relay_session_event event, struct mslice buf,
		 int n, void *user)
{
	ln_assert(n >= 0);
	*ret = (struct relay_session_out){ .event = event,
					   .bytes = slice_of(buf.p, (size_t)n),
					   .user = user };
	return true;
}

static bool give_header(struct relay_session_out *ret, struct mslice buf, enum relay_type type)
{
	return give(ret, RELAY_SESSION_SEND, buf, relay_msg_write_header(buf, type), NULL);
}

/* Of peers that could not be reached while there was no server to unsubscribe from. */
static bool give_failures(struct relay_session *s, struct mslice buf, struct relay_session_out *ret)
{
	struct list *l = list_pop(&s->partings);
	if (l == NULL)
		return false;
	struct parting *g = list_entry(l, struct parting, link);
	give(ret, g->event, buf, 0, g->user);
	free(g);
	return true;
}

/* Unsubscribes of many peers in one message; their events have been told before. */
static bool give_partings(struct relay_session *s, struct mslice buf, struct relay_session_out *ret)
{
	int n = relay_msg_write_header(buf, RELAY_UNSUBSCRIBE);
	size_t ids = 0;
	list_for_each_safe(it, &s->partings) {
		struct parting *g = list_entry(it, struct parting, link);
		if (g->tell) {
			g->tell = false;
			return give(ret, g->event, buf, 0, g->user);
		}
		if (ids++ == RELAY_IDS_MAX)
			break;
		memcpy(buf.p + n, g->id.b, RELAY_ID_LEN);
		n += RELAY_ID_LEN;
	}
	if (ids == 0)
		return false;
	ids = LN_MIN(ids, (size_t)RELAY_IDS_MAX);
	while (ids-- > 0)
		free(list_entry(list_pop(&s->partings), struct parting, link));
	return give(ret, RELAY_SESSION_SEND, buf, n, NULL);
}

/* Subscribes of many peers in one message. */
static bool give_subscribes(struct relay_session *s, struct mslice buf,
			    struct relay_session_out *ret)
{
	int n = relay_msg_write_header(buf, RELAY_SUBSCRIBE);
	size_t ids = 0;
	list_for_each_safe(it, &s->todo) {
		struct relay_session_peer *p = list_entry(it, struct relay_session_peer, todo);
		if (ids == RELAY_IDS_MAX)
			break;
		if (!p->subscribe)
			continue;
		memcpy(buf.p + n, p->id.b, RELAY_ID_LEN);
		n += RELAY_ID_LEN;
		ids++;
		p->subscribe = false;
		if (!p->tell_online)
			list_remove(&p->todo);
	}
	return ids != 0 && give(ret, RELAY_SESSION_SEND, buf, n, NULL);
}

static bool give_news(struct relay_session *s, ln_time now, struct mslice buf,
		      struct relay_session_out *ret)
{
	list_for_each_safe(it, &s->todo) {
		struct relay_session_peer *p = list_entry(it, struct relay_session_peer, todo);
		struct early *e = p->early;
		if (p->tell_online) {
			p->tell_online = false;
			return give(ret, RELAY_SESSION_ONLINE, buf, 0, p->user);
		}
		if (!p->subscribe)
			list_remove(&p->todo);
		if (!p->online || e == NULL)
			continue;
		size_t n = LN_MIN(e->n, buf.n);
		bool fresh = e->until > now;
		if (n != 0)
			memcpy(buf.p, e->bytes, n);
		free(e);
		p->early = NULL;
		if (fresh)
			return give(ret, RELAY_SESSION_EARLY, buf, (int)n, p->user);
	}
	return false;
}

static bool poll_ready(struct relay_session *s, struct mslice buf, struct relay_session_out *ret)
{
	if (s->tell_ready) {
		s->tell_ready = false;
		give(ret, RELAY_SESSION_READY, buf, 0, NULL);
		ret->bytes = slice_str(s->url);
		return true;
	}
	if (s->send_health) {
		s->send_health = false;
		return give_header(ret, buf, RELAY_HEALTH_CHECK);
	}
	return give_partings(s, buf, ret) || give_subscribes(s, buf, ret);
}

bool relay_session_poll(struct relay_session *s, ln_time now, struct mslice buf,
			struct relay_session_out *ret)
{
	ln_assert(buf.n >= RELAY_MSG_MAX);
	run_timers(s, now);
	switch (s->state) {
	case STATE_WAITING:
		return give_failures(s, buf, ret);
	case STATE_HELLO:
		if (s->send_hello) {
			s->send_hello = false;
			return give(ret, RELAY_SESSION_SEND, buf,
				    relay_msg_write_auth(buf, &s->conf.own, s->conf.token), NULL);
		}
		return give_failures(s, buf, ret);
	case STATE_READY:
		return poll_ready(s, buf, ret) || give_news(s, now, buf, ret);
	case STATE_ENDING:
		if (s->send_close) {
			s->send_close = false;
			return give_header(ret, buf, RELAY_CLOSE);
		}
		s->state = STATE_ENDED;
		give(ret, RELAY_SESSION_ENDED, buf, 0, NULL);
		ret->end = s->end;
		return true;
	case STATE_ENDED:
		break;
	}
	return false;
}

/* --- looking ----------------------------------------------------------------------------------*/

const struct relay_id *relay_session_peer_id(const struct relay_session_peer *p)
{
	return &p->id;
}

bool relay_session_peer_is_online(const struct relay_session_peer *p)
{
	return p->online;
}

bool relay_session_is_ready(const struct relay_session *s)
{
	return s->state == STATE_READY;
}

const char *relay_session_url(const struct relay_session *s)
{
	return s->url;
}

size_t relay_session_npeers(const struct relay_session *s)
{
	return s->peers.count;
}

ln_time relay_session_unused_since(const struct relay_session *s)
{
	return s->unused_since;
}
