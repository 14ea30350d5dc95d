#include "lib/relay/relay_session.h"

#include <stdlib.h>

#include "lib/crypto/ct.h"
#include "lib/relay/relay_session_internal.h"

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
	if (s->state != SESSION_WAITING)
		return;
	s->now = now;
	s->state = SESSION_HELLO;
	s->send_hello = true;
	s->hello_limit = now + RELAY_SESSION_HELLO_LIMIT;
	if (s->conf.lossy)
		s->hello_again = now + RELAY_SESSION_HELLO_AGAIN;
}

static void drop_early(struct relay_session *s, struct relay_session_early *e)
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
		drop_early(s, list_entry(s->early_by_age.next, struct relay_session_early, age));
	for (struct list *l; (l = list_pop(&s->partings)) != NULL;)
		free(list_entry(l, struct relay_session_parting, link));
	map_fini(&s->peers);
	map_fini(&s->early);
	heap_fini(&s->timers);
	ct_wipe(s->token, sizeof(s->token));
	free(s);
}

static void finish(struct relay_session *s, enum relay_session_end why)
{
	if (s->state >= SESSION_ENDING)
		return;
	s->state = SESSION_ENDING;
	s->end = why;
	while (!list_empty(&s->early_by_age))
		drop_early(s, list_entry(s->early_by_age.next, struct relay_session_early, age));
}

void relay_session_leave(struct relay_session *s)
{
	s->send_close = s->state == SESSION_READY;
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
	if (s->state >= SESSION_ENDING)
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
		p->early = map_entry(n, struct relay_session_early, node);
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
	if (tell || s->state == SESSION_READY) {
		struct relay_session_parting *g = ln_alloc(sizeof(*g));
		*g = (struct relay_session_parting){
			.id = p->id, .user = p->user, .tell = tell, .event = event
		};
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

static struct relay_session_early *make_early(ln_time now, const struct relay_id *id,
					      struct slice payload)
{
	struct relay_session_early *e = ln_alloc(sizeof(*e) + payload.n);
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
		drop_early(s, map_entry(old, struct relay_session_early, node));
	if (s->early.count >= s->conf.max_early)
		return;
	struct relay_session_early *e = make_early(now, id, payload);
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
	if (s->state != SESSION_HELLO)
		return;
	if (relay_msg_read_auth_response(msg, &url) < 0 || memchr(url.p, '\0', url.n) != NULL) {
		finish(s, RELAY_SESSION_BAD_ANSWER);
		return;
	}
	memcpy(s->url, url.p, url.n);
	s->url[url.n] = '\0';
	s->state = SESSION_READY;
	s->send_hello = false;
	s->hello_limit = s->hello_again = LN_TIME_NEVER;
	s->look = now + RELAY_SESSION_LOOK;
	s->tell_ready = true;
}

static void take_states(struct relay_session *s, ln_time now, struct slice msg, bool online)
{
	int n = s->state == SESSION_READY ? relay_msg_ids(msg) : 0;
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
	if (s->state >= SESSION_ENDING)
		return 0;
	switch (type) {
	case RELAY_TRANSPORT:
		return take_transport(s, now, msg, ret_user, ret_payload);
	case RELAY_CLOSE:
		finish(s, RELAY_SESSION_SERVER_LEFT);
		break;
	case RELAY_HEALTH_CHECK:
		s->healthy = true;
		s->send_health = s->state == SESSION_READY;
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

void relay_session_run(struct relay_session *s, ln_time now)
{
	s->now = now;
	if (s->state == SESSION_HELLO && now >= s->hello_limit)
		finish(s, RELAY_SESSION_HELLO_TIMEOUT);
	if (now >= s->hello_again) {
		s->send_hello = true;
		s->hello_again = LN_TIME_NEVER;
	}
	if (s->state == SESSION_READY && now >= s->look) {
		s->look = now + RELAY_SESSION_LOOK;
		s->missed = s->healthy ? 0 : s->missed + 1;
		s->healthy = false;
		if (s->missed >= s->conf.health_threshold)
			finish(s, RELAY_SESSION_SILENT);
	}
	while (s->state < SESSION_ENDING && heap_deadline(&s->timers) <= now) {
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
		struct relay_session_early *e =
			list_entry(s->early_by_age.next, struct relay_session_early, age);
		if (e->until > now)
			break;
		drop_early(s, e);
	}
}

ln_time relay_session_deadline(const struct relay_session *s)
{
	if (s->state >= SESSION_ENDING)
		return LN_TIME_NEVER;
	ln_time at = ln_time_min(ln_time_min(s->hello_limit, s->hello_again), s->look);
	at = ln_time_min(at, heap_deadline(&s->timers));
	if (!list_empty(&s->early_by_age))
		at = ln_time_min(
			at,
			list_entry(s->early_by_age.next, struct relay_session_early, age)->until);
	return at;
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
	return s->state == SESSION_READY;
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
