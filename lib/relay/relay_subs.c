/* Who wants to hear about whom (spec relay 8), with an index from id to subscribers. */
#include <stdlib.h>

#include "lib/relay/relay_hub_internal.h"

/* --- topics -----------------------------------------------------------------------------------*/

static struct slice id_key(const struct relay_id *id)
{
	return slice_of(id->b, sizeof(id->b));
}

struct relay_topic *relay_subs_find(const struct relay_hub *h, const struct relay_id *id)
{
	struct map_node *n = map_find(&h->topics, id_key(id));
	return n != NULL ? map_entry(n, struct relay_topic, node) : NULL;
}

struct relay_topic *relay_subs_get(struct relay_hub *h, const struct relay_id *id)
{
	struct relay_topic *t = relay_subs_find(h, id);
	if (t != NULL)
		return t;
	t = ln_alloc(sizeof(*t));
	t->id = *id;
	list_init(&t->subs);
	map_insert(&h->topics, &t->node, id_key(&t->id));
	return t;
}

bool relay_subs_is_online(const struct relay_topic *t)
{
	return t->peer != NULL || t->link != NULL;
}

void relay_subs_release(struct relay_hub *h, struct relay_topic *t)
{
	if (relay_subs_is_online(t) || !list_empty(&t->subs))
		return;
	map_remove(&h->topics, &t->node);
	h->epoch++;
	free(t);
}

/* --- subscriptions ----------------------------------------------------------------------------*/

static struct slice sub_key(const struct relay_sub_key *k)
{
	return slice_of(k, sizeof(*k));
}

static struct relay_sub *find_sub(const struct relay_hub *h, const struct relay_hub_peer *p,
				  const struct relay_id *id)
{
	struct relay_sub_key k = { .number = p->number, .id = *id };
	struct map_node *n = map_find(&h->subs, sub_key(&k));
	return n != NULL ? map_entry(n, struct relay_sub, node) : NULL;
}

static void set_news(struct relay_hub *h, struct relay_sub *s, enum relay_news news)
{
	s->news = (uint8_t)news;
	/* At the end of the list: what is told last happened last. */
	list_remove(&s->news_link);
	list_add_tail(&s->peer->news, &s->news_link);
	relay_hub_touch(h, s->peer);
}

static void drop_sub(struct relay_hub *h, struct relay_sub *s)
{
	map_remove(&h->subs, &s->node);
	list_remove(&s->of_topic);
	list_remove(&s->of_peer);
	list_remove(&s->news_link);
	s->peer->nsubs--;
	relay_subs_release(h, s->topic);
	free(s);
}

static struct relay_sub *add_sub(struct relay_hub *h, struct relay_hub_peer *p,
				 const struct relay_id *id)
{
	if (p->nsubs >= h->conf.max_subscriptions)
		return NULL;
	struct relay_sub *s = ln_alloc(sizeof(*s));
	s->key = (struct relay_sub_key){ .number = p->number, .id = *id };
	s->peer = p;
	s->topic = relay_subs_get(h, id);
	map_insert(&h->subs, &s->node, sub_key(&s->key));
	list_add_tail(&s->topic->subs, &s->of_topic);
	list_add_tail(&p->subs, &s->of_peer);
	list_init(&s->news_link);
	p->nsubs++;
	return s;
}

void relay_subs_add(struct relay_hub *h, struct relay_hub_peer *p, struct slice msg)
{
	int n = relay_msg_ids(msg);
	for (int i = 0; i < n; i++) {
		struct relay_id id;
		relay_msg_id(msg, (size_t)i, &id);
		struct relay_sub *s = find_sub(h, p, &id);
		if (s == NULL)
			s = add_sub(h, p, &id);
		if (s == NULL)
			return;
		s->want_online = true;
		/* The answer is the present state; older news that waits is void. */
		if (relay_subs_is_online(s->topic)) {
			set_news(h, s, RELAY_NEWS_ONLINE);
		} else {
			s->news = RELAY_NEWS_NONE;
			list_remove(&s->news_link);
		}
	}
}

void relay_subs_remove(struct relay_hub *h, struct relay_hub_peer *p, struct slice msg)
{
	int n = relay_msg_ids(msg);
	for (int i = 0; i < n; i++) {
		struct relay_id id;
		relay_msg_id(msg, (size_t)i, &id);
		struct relay_sub *s = find_sub(h, p, &id);
		if (s != NULL)
			drop_sub(h, s);
	}
}

void relay_subs_clear(struct relay_hub *h, struct relay_hub_peer *p)
{
	list_for_each_safe(it, &p->subs)
		drop_sub(h, list_entry(it, struct relay_sub, of_peer));
}

/* --- events -----------------------------------------------------------------------------------*/

void relay_subs_online(struct relay_hub *h, struct relay_topic *t)
{
	list_for_each(it, &t->subs) {
		struct relay_sub *s = list_entry(it, struct relay_sub, of_topic);
		if (s->want_online)
			set_news(h, s, RELAY_NEWS_ONLINE);
		s->want_online = false;
	}
}

void relay_subs_offline(struct relay_hub *h, struct relay_topic *t)
{
	list_for_each(it, &t->subs)
		set_news(h, list_entry(it, struct relay_sub, of_topic), RELAY_NEWS_OFFLINE);
}

/* One message of up to RELAY_IDS_MAX ids that have the same news; false: nothing left of it. */
static bool tell_some(struct relay_hub *h, struct relay_hub_peer *p, enum relay_news news)
{
	size_t n = 0;
	list_for_each(it, &p->news)
		n += list_entry(it, struct relay_sub, news_link)->news == news;
	n = LN_MIN(n, (size_t)RELAY_IDS_MAX);
	if (n == 0)
		return false;
	uint8_t *at = relay_hub_control(h, p, RELAY_HEADER + n * RELAY_ID_LEN);
	if (at == NULL)
		return false;
	int r = relay_msg_write_header(mslice_of(at, RELAY_HEADER),
				       news == RELAY_NEWS_ONLINE ? RELAY_ONLINE : RELAY_OFFLINE);
	ln_assert(r == RELAY_HEADER);
	at += RELAY_HEADER;
	list_for_each_safe(it, &p->news) {
		struct relay_sub *s = list_entry(it, struct relay_sub, news_link);
		if (s->news != news)
			continue;
		if (n-- == 0)
			break;
		memcpy(at, s->key.id.b, RELAY_ID_LEN);
		at += RELAY_ID_LEN;
		s->news = RELAY_NEWS_NONE;
		list_remove(&s->news_link);
	}
	return true;
}

void relay_subs_tell(struct relay_hub *h, struct relay_hub_peer *p)
{
	/* Each id has one piece of news, its last: the order of the two kinds does not matter. */
	while (tell_some(h, p, RELAY_NEWS_OFFLINE) || tell_some(h, p, RELAY_NEWS_ONLINE))
		;
}
