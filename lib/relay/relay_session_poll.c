/* What a session has to say: to the relay, and to its owner. */
#include <stdlib.h>

#include "lib/relay/relay_session_internal.h"

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
	struct relay_session_parting *g = list_entry(l, struct relay_session_parting, link);
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
		struct relay_session_parting *g =
			list_entry(it, struct relay_session_parting, link);
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
		free(list_entry(list_pop(&s->partings), struct relay_session_parting, link));
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
		struct relay_session_early *e = p->early;
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
	relay_session_run(s, now);
	switch (s->state) {
	case SESSION_WAITING:
		return give_failures(s, buf, ret);
	case SESSION_HELLO:
		if (s->send_hello) {
			s->send_hello = false;
			return give(ret, RELAY_SESSION_SEND, buf,
				    relay_msg_write_auth(buf, &s->conf.own, s->conf.token), NULL);
		}
		return give_failures(s, buf, ret);
	case SESSION_READY:
		return poll_ready(s, buf, ret) || give_news(s, now, buf, ret);
	case SESSION_ENDING:
		if (s->send_close) {
			s->send_close = false;
			return give_header(ret, buf, RELAY_CLOSE);
		}
		s->state = SESSION_ENDED;
		give(ret, RELAY_SESSION_ENDED, buf, 0, NULL);
		ret->end = s->end;
		return true;
	case SESSION_ENDED:
		break;
	}
	return false;
}
