#include "lib/stun/stun_query.h"

#include <stdlib.h>

#include "lib/stun/stun_auth.h"
#include "lib/stun/stun_msg.h"

#define ANSWER_MAX_AGE (25 * LN_SEC)  /* spec 3.3 */
#define FIRST_RETRANSMIT (LN_SEC / 2) /* RFC 8489 6.2.1: RTO 500 ms, doubled each time */
#define TRANSMISSIONS 4               /* at 0, 0.5, 1.5 and 3.5 s */
#define GIVE_UP_AFTER (5 * LN_SEC)    /* spec 3.1: STUN gather timeout */
/* A server that gave no answer is asked again after so long, doubling, and up to a fifth more. */
#define RETRY_FIRST (5 * LN_SEC)
#define RETRY_MOST (60 * LN_SEC)

struct server {
	struct stun_tid tid;
	ln_time started;
	ln_time sent_at;
	ln_time next;  /* transmission, giving up, or another attempt after a failure; or NEVER */
	ln_time retry; /* how long the next failure waits */
	unsigned sent;
	bool report; /* an output is due: MAPPED or GAVE_UP by the public state */
};

struct stun_query {
	struct ln_rng rng;
	size_t n;
	struct stun_query_server pub[STUN_QUERY_SERVERS_MAX];
	struct server priv[STUN_QUERY_SERVERS_MAX];
};

struct stun_query *stun_query_new(const struct ln_rng *rng)
{
	struct stun_query *q = ln_alloc(sizeof(*q));
	q->rng = *rng;
	return q;
}

void stun_query_free(struct stun_query *q)
{
	free(q);
}

static size_t find_server(const struct stun_query *q, const struct ip_ep *addr)
{
	for (size_t i = 0; i < q->n; i++)
		if (ip_ep_equal(&q->pub[i].addr, addr))
			return i;
	return q->n;
}

void stun_query_set_servers(struct stun_query *q, const struct ip_ep *servers, size_t n)
{
	struct stun_query fresh = { .rng = q->rng };
	for (size_t i = 0; i < n && fresh.n < STUN_QUERY_SERVERS_MAX; i++) {
		if (find_server(&fresh, &servers[i]) < fresh.n)
			continue;
		size_t old = find_server(q, &servers[i]);
		if (old < q->n) {
			fresh.pub[fresh.n] = q->pub[old];
			fresh.priv[fresh.n] = q->priv[old];
		} else {
			fresh.pub[fresh.n] = (struct stun_query_server){ .addr = servers[i] };
			fresh.priv[fresh.n] =
				(struct server){ .next = LN_TIME_NEVER, .retry = RETRY_FIRST };
		}
		fresh.n++;
	}
	*q = fresh;
}

static void ask(struct stun_query *q, size_t i, ln_time now)
{
	q->pub[i].state = STUN_QUERY_WAITING;
	q->priv[i] = (struct server){ .started = now, .next = now, .retry = q->priv[i].retry };
	rng_fill(&q->rng, q->priv[i].tid.b, STUN_TID_LEN);
}

void stun_query_start(struct stun_query *q, ln_time now, ln_time max_age)
{
	if (max_age == 0)
		max_age = ANSWER_MAX_AGE;
	for (size_t i = 0; i < q->n; i++) {
		struct stun_query_server *pub = &q->pub[i];
		if (pub->state == STUN_QUERY_WAITING ||
		    (pub->state == STUN_QUERY_ANSWERED && now - pub->answered_at < max_age))
			continue;
		ask(q, i, now);
	}
}

static void finish(struct stun_query *q, size_t i, ln_time now, enum stun_query_state state)
{
	struct server *s = &q->priv[i];
	q->pub[i].state = state;
	s->report = true;
	if (state == STUN_QUERY_ANSWERED) {
		s->next = LN_TIME_NEVER;
		s->retry = RETRY_FIRST;
		return;
	}
	/* UDP may pass again, and nothing else would notice. */
	s->next = now + s->retry + rng_below64(&q->rng, s->retry / 5 + 1);
	s->retry = ln_time_min(2 * s->retry, RETRY_MOST);
}

/* An address of the server's own family that a peer could send to. */
static bool mapped_ok(const struct ip_ep *mapped, const struct ip_ep *server)
{
	return mapped->port != 0 && mapped->addr.family == server->addr.family &&
	       !ip_is_unspecified(&mapped->addr) && !ip_is_multicast(&mapped->addr);
}

int stun_query_input(struct stun_query *q, ln_time now, const struct ip_ep *from, struct slice pkt)
{
	struct stun_msg m;
	struct ip_ep mapped;
	size_t i = find_server(q, from);

	if (i == q->n || q->pub[i].state != STUN_QUERY_WAITING || stun_msg_read(pkt, &m) != 0 ||
	    m.method != STUN_METHOD_BINDING || (m.cls != STUN_SUCCESS && m.cls != STUN_ERROR) ||
	    memcmp(m.tid.b, q->priv[i].tid.b, STUN_TID_LEN) != 0 || !stun_auth_fingerprint_ok(&m))
		return LN_E_NOTFOUND;
	if (m.cls == STUN_ERROR || stun_msg_mapped(&m, &mapped) != 0 ||
	    !mapped_ok(&mapped, &q->pub[i].addr)) {
		finish(q, i, now, STUN_QUERY_FAILED);
		return 0;
	}
	q->pub[i].mapped = mapped;
	q->pub[i].answered_at = now;
	q->pub[i].rtt = now - q->priv[i].sent_at;
	finish(q, i, now, STUN_QUERY_ANSWERED);
	return 0;
}

/* What is due for server i: a transmission into out, or the end. True when out was filled. */
static bool poll_server(struct stun_query *q, size_t i, ln_time now, struct mslice buf,
			struct stun_query_out *out)
{
	struct server *s = &q->priv[i];
	struct stun_query_server *pub = &q->pub[i];

	bool due = s->next <= now;
	if (due && pub->state == STUN_QUERY_WAITING && now - s->started >= GIVE_UP_AFTER)
		finish(q, i, now, STUN_QUERY_FAILED);
	else if (due && pub->state == STUN_QUERY_FAILED && !s->report)
		ask(q, i, now);
	if (s->report) {
		s->report = false;
		*out = (struct stun_query_out){
			.kind = pub->state == STUN_QUERY_ANSWERED ? STUN_QUERY_MAPPED
								  : STUN_QUERY_GAVE_UP,
			.server = pub->addr,
			.mapped = pub->mapped,
		};
		return true;
	}
	if (s->next > now)
		return false;
	/* Bare header, as upstream asks (spec trap 26). */
	struct writer w = writer_of(buf);
	stun_msg_begin(&w, STUN_REQUEST, &s->tid);
	ln_assert(w.err == 0);
	s->sent_at = now;
	s->next = now + (FIRST_RETRANSMIT << s->sent++);
	if (s->sent >= TRANSMISSIONS || s->next > s->started + GIVE_UP_AFTER)
		s->next = s->started + GIVE_UP_AFTER;
	*out = (struct stun_query_out){
		.kind = STUN_QUERY_SEND,
		.server = pub->addr,
		.data = writer_slice(&w),
	};
	return true;
}

bool stun_query_poll(struct stun_query *q, ln_time now, struct mslice buf,
		     struct stun_query_out *out)
{
	for (size_t i = 0; i < q->n; i++)
		if (poll_server(q, i, now, buf, out))
			return true;
	return false;
}

ln_time stun_query_deadline(const struct stun_query *q)
{
	ln_time at = LN_TIME_NEVER;
	for (size_t i = 0; i < q->n; i++)
		at = ln_time_min(at, q->priv[i].report ? 0 : q->priv[i].next);
	return at;
}

size_t stun_query_list(const struct stun_query *q, const struct stun_query_server **ret)
{
	*ret = q->pub;
	return q->n;
}
