#include "lib/turn/turn_client.h"

#include <stdlib.h>

#include "lib/base/heap.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/crypto/ct.h"
#include "lib/stun/stun_auth.h"

#define RTO (500 * LN_MSEC) /* doubling (RFC 8489 6.2.1) */
#define TRIES 6             /* 15.5 s and the last wait */
#define STREAM_LIMIT (10 * LN_SEC)
#define STALE_MAX 3          /* nonces in a row for one request */
#define LIFETIME 600u        /* asked for; the answer counts */
#define RENEW (240 * LN_SEC) /* permissions end after 300 s, channels after 600 s */
/* A channel's number belongs to its peer for ten minutes and five more (RFC 8656 12). */
#define CHANNEL_KEPT (900 * LN_SEC)
#define REFUSED_FOR (30 * LN_SEC)
#define CHANNEL_AFTER 8 /* datagrams to one peer that make a channel worth its request */
#define TEXT_MAX 763
#define ALLOCATION_MISMATCH 437
#define PEER_KEY 18

struct transaction {
	enum turn_method method;
	struct stun_tid tid;
	bool active;
	bool authentic; /* it carried credentials */
	unsigned tries, stale;
	ln_time at; /* sent again, or given up */
};

struct turn_peer {
	struct map_node node;
	uint8_t key[PEER_KEY];
	struct ip_ep ep;
	struct transaction tx;
	struct heap_node timer; /* of tx, or of the renewal */
	struct list ready;      /* in client.ready while `waiting` may leave */
	bool permitted, bound, unbindable;
	uint16_t channel;
	ln_time permitted_at, used_at, refused_until;
	unsigned sent;
	size_t nwaiting; /* the newest datagram that waits for the permission */
	uint8_t *waiting;
};

enum state {
	STATE_NEW,
	STATE_UP,
	STATE_CLOSING,
	STATE_ENDED
};

struct turn_client {
	struct turn_client_conf conf;
	char user[TURN_USER_MAX + 1], password[TURN_PASSWORD_MAX + 1];
	enum state state;
	struct transaction tx; /* allocate and refresh */
	bool has_key;
	uint8_t key[TURN_KEY_LEN];
	size_t nrealm, nnonce;
	uint8_t realm[TEXT_MAX], nonce[TEXT_MAX];
	struct ip_ep relayed, mapped;
	ln_time refresh_at;
	bool tell_up, tell_end;
	unsigned code;
	struct map peers;
	struct heap timers;
	struct list ready;
	struct turn_peer *channels[TURN_CHANNEL_LAST - TURN_CHANNEL_FIRST + 1];
	uint16_t next_channel;
};

/* --- life -------------------------------------------------------------------------------------*/

static void begin(struct turn_client *c, struct transaction *t, enum turn_method m, ln_time now)
{
	*t = (struct transaction){ .method = m, .active = true, .at = now };
	rng_fill(c->conf.rng, t->tid.b, sizeof(t->tid.b));
}

static void copy_text(char *dst, size_t max, const char *src)
{
	size_t n = LN_MIN(strlen(src), max);
	memcpy(dst, src, n);
	dst[n] = '\0';
}

struct turn_client *turn_client_new(const struct turn_client_conf *conf, ln_time now)
{
	struct turn_client *c = ln_alloc(sizeof(*c));
	c->conf = *conf;
	copy_text(c->user, TURN_USER_MAX, conf->user);
	copy_text(c->password, TURN_PASSWORD_MAX, conf->password);
	c->conf.user = c->conf.password = NULL;
	c->refresh_at = LN_TIME_NEVER;
	c->next_channel = TURN_CHANNEL_FIRST;
	map_init(&c->peers, rng_u64(conf->rng), rng_u64(conf->rng));
	heap_init(&c->timers);
	list_init(&c->ready);
	begin(c, &c->tx, TURN_ALLOCATE, now);
	return c;
}

static void peer_free(struct turn_client *c, struct turn_peer *p)
{
	map_remove(&c->peers, &p->node);
	heap_remove(&c->timers, &p->timer);
	list_remove(&p->ready);
	if (p->channel != 0)
		c->channels[p->channel - TURN_CHANNEL_FIRST] = NULL;
	free(p->waiting);
	free(p);
}

void turn_client_free(struct turn_client *c)
{
	if (c == NULL)
		return;
	for (struct map_node *n; (n = map_first(&c->peers)) != NULL;)
		peer_free(c, map_entry(n, struct turn_peer, node));
	map_fini(&c->peers);
	heap_fini(&c->timers);
	ct_wipe(c, sizeof(*c));
	free(c);
}

static void end(struct turn_client *c, unsigned code)
{
	if (c->state == STATE_ENDED)
		return;
	c->state = STATE_ENDED;
	c->code = code;
	c->tell_end = true;
	c->tell_up = c->tx.active = false;
	c->refresh_at = LN_TIME_NEVER;
}

void turn_client_close(struct turn_client *c)
{
	if (c->state != STATE_UP) {
		end(c, 0);
		return;
	}
	c->state = STATE_CLOSING;
	begin(c, &c->tx, TURN_REFRESH, 0);
}

/* --- requests ---------------------------------------------------------------------------------*/

static void add_body(const struct turn_client *c, struct writer *w, const struct transaction *t,
		     const struct turn_peer *p)
{
	struct ip_ep ep = p != NULL ? p->ep : (struct ip_ep){ 0 };
	switch (t->method) {
	case TURN_ALLOCATE:
		stun_msg_add_u32(w, STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24); /* UDP */
		break;
	case TURN_REFRESH:
		stun_msg_add_u32(w, STUN_ATTR_LIFETIME, c->state == STATE_UP ? LIFETIME : 0);
		break;
	case TURN_BIND:
		stun_msg_add_u32(w, STUN_ATTR_CHANNEL_NUMBER, (uint32_t)p->channel << 16);
		stun_msg_add_addr(w, STUN_ATTR_XOR_PEER_ADDRESS, &ep, &t->tid);
		break;
	case TURN_PERMIT:
		ep.port = 0;
		stun_msg_add_addr(w, STUN_ATTR_XOR_PEER_ADDRESS, &ep, &t->tid);
		break;
	case TURN_SEND:
	case TURN_DATA:
		break; /* indications */
	}
}

static bool give_request(struct turn_client *c, struct transaction *t, const struct turn_peer *p,
			 ln_time now, struct mslice buf, struct turn_out *ret)
{
	struct writer w = writer_of(buf);
	stun_msg_begin_method(&w, STUN_REQUEST, (uint16_t)t->method, &t->tid);
	add_body(c, &w, t, p);
	t->authentic = c->has_key;
	if (c->has_key) {
		stun_msg_add(&w, STUN_ATTR_USERNAME, slice_str(c->user));
		stun_msg_add(&w, STUN_ATTR_REALM, slice_of(c->realm, c->nrealm));
		stun_msg_add(&w, STUN_ATTR_NONCE, slice_of(c->nonce, c->nnonce));
		stun_auth_sign(&w, slice_of(c->key, sizeof(c->key)));
	}
	stun_auth_fingerprint(&w);
	t->at = now + (c->conf.stream ? STREAM_LIMIT : RTO << t->tries);
	t->tries++;
	*ret = (struct turn_out){ .event = TURN_EV_SEND, .bytes = writer_slice(&w) };
	return ret->bytes.n != 0;
}

static bool exhausted(const struct turn_client *c, const struct transaction *t)
{
	return t->tries >= (c->conf.stream ? 1u : TRIES);
}

/* --- peers ------------------------------------------------------------------------------------*/

static void peer_key(const struct ip_ep *ep, uint8_t key[PEER_KEY])
{
	memset(key, 0, PEER_KEY);
	memcpy(key, ep->addr.b, ip_bits(&ep->addr) / 8);
	key[16] = (uint8_t)(ep->port >> 8);
	key[17] = (uint8_t)ep->port;
}

static struct turn_peer *peer_find(const struct turn_client *c, const struct ip_ep *ep)
{
	uint8_t key[PEER_KEY];
	peer_key(ep, key);
	struct map_node *n = map_find(&c->peers, slice_of(key, sizeof(key)));
	return n != NULL ? map_entry(n, struct turn_peer, node) : NULL;
}

static void peer_ask(struct turn_client *c, struct turn_peer *p, ln_time now)
{
	begin(c, &p->tx, p->channel != 0 ? TURN_BIND : TURN_PERMIT, now);
	heap_set(&c->timers, &p->timer, now);
}

static struct turn_peer *peer_add(struct turn_client *c, ln_time now, const struct ip_ep *ep)
{
	struct turn_peer *p = ln_alloc(sizeof(*p));
	p->ep = *ep;
	peer_key(ep, p->key);
	heap_node_init(&p->timer);
	list_init(&p->ready);
	map_insert(&c->peers, &p->node, slice_of(p->key, sizeof(p->key)));
	peer_ask(c, p, now);
	return p;
}

/* A number nobody has; they come round only after thousands of others. */
static void peer_bind(struct turn_client *c, struct turn_peer *p, ln_time now)
{
	for (unsigned i = 0; i < LN_COUNT(c->channels) && p->channel == 0; i++) {
		uint16_t n = c->next_channel;
		c->next_channel = (uint16_t)(n == TURN_CHANNEL_LAST ? TURN_CHANNEL_FIRST : n + 1u);
		if (c->channels[n - TURN_CHANNEL_FIRST] != NULL)
			continue;
		c->channels[n - TURN_CHANNEL_FIRST] = p;
		p->channel = n;
	}
	if (p->channel != 0)
		peer_ask(c, p, now);
}

static void peer_refused(struct turn_client *c, struct turn_peer *p, ln_time now)
{
	if (p->channel != 0) /* Send indications do as well */
		c->channels[p->channel - TURN_CHANNEL_FIRST] = NULL;
	p->channel = 0;
	if (p->permitted && !p->bound && p->tx.method == TURN_BIND) {
		p->tx.active = false;
		p->unbindable = true;
		heap_set(&c->timers, &p->timer, p->permitted_at + RENEW);
		return;
	}
	if (!p->permitted && !p->unbindable && p->tx.method == TURN_BIND) {
		p->unbindable = true; /* the number we had; without one then */
		peer_ask(c, p, now);
		return;
	}
	p->tx.active = p->permitted = p->bound = false;
	p->refused_until = now + REFUSED_FOR;
	p->nwaiting = 0;
	list_remove(&p->ready);
	heap_set(&c->timers, &p->timer, p->refused_until);
}

static void peer_granted(struct turn_client *c, struct turn_peer *p, ln_time now)
{
	p->bound = p->tx.method == TURN_BIND;
	p->tx.active = false;
	p->permitted = true;
	p->permitted_at = now;
	heap_set(&c->timers, &p->timer, now + RENEW);
	if (p->nwaiting != 0 && list_empty(&p->ready))
		list_add_tail(&c->ready, &p->ready);
}

/* True when the peer's request is to be sent. */
static bool peer_due(struct turn_client *c, struct turn_peer *p, ln_time now)
{
	if (p->tx.active && !exhausted(c, &p->tx))
		return true;
	if (p->tx.active) {
		peer_refused(c, p, now);
		return false;
	}
	bool quiet = p->used_at < p->permitted_at;
	if (quiet && p->bound) {
		/* The server keeps the binding: it may use the number, and refuses another. */
		p->permitted = p->bound = false;
		heap_set(&c->timers, &p->timer, p->permitted_at + CHANNEL_KEPT);
		return false;
	}
	if (quiet || !p->permitted) {
		peer_free(c, p); /* nobody sends there any more */
		return false;
	}
	peer_ask(c, p, now);
	return true;
}

static void peer_wait(struct turn_peer *p, struct slice data)
{
	p->waiting = ln_realloc(p->waiting, LN_MAX(data.n, 1u));
	if (data.n != 0)
		memcpy(p->waiting, data.p, data.n);
	p->nwaiting = data.n;
}

struct slice turn_client_write(struct turn_client *c, ln_time now, const struct ip_ep *to,
			       struct slice data, struct mslice buf)
{
	struct stun_tid tid;
	struct slice none = slice_of(NULL, 0);
	if (c->state != STATE_UP || data.n == 0 || data.n > TURN_DATA_MAX || to->port == 0 ||
	    to->addr.family != c->relayed.addr.family)
		return none;
	struct turn_peer *p = peer_find(c, to);
	if (p == NULL && c->peers.count >= TURN_PEERS_MAX)
		return none;
	if (p == NULL)
		p = peer_add(c, now, to);
	p->used_at = now;
	if (now < p->refused_until)
		return none;
	if (!p->permitted) {
		peer_wait(p, data);
		if (!p->tx.active)
			peer_ask(c, p, now);
		return none;
	}
	if (++p->sent >= CHANNEL_AFTER && p->channel == 0 && !p->tx.active && !p->unbindable)
		peer_bind(c, p, now);
	if (p->bound)
		return turn_msg_write_channel(buf, p->channel, data, c->conf.stream);
	rng_fill(c->conf.rng, tid.b, sizeof(tid.b));
	return turn_msg_write_send(buf, &tid, to, data);
}

/* --- input ------------------------------------------------------------------------------------*/

static bool keep_text(struct slice v, uint8_t dst[TEXT_MAX], size_t *n)
{
	if (v.p == NULL || v.n > TEXT_MAX)
		return false;
	if (v.n != 0)
		memcpy(dst, v.p, v.n);
	*n = v.n;
	return true;
}

/* 401 and 438 say which realm and nonce the server wants. False: it will not take us. */
static bool take_challenge(struct turn_client *c, struct transaction *t, const struct stun_msg *m,
			   unsigned code, ln_time now)
{
	bool again = code == 438 ? t->stale < STALE_MAX : code == 401 && !t->authentic;
	if (!again || !keep_text(m->attr[STUN_ATTR_NONCE], c->nonce, &c->nnonce))
		return false;
	if (!keep_text(m->attr[STUN_ATTR_REALM], c->realm, &c->nrealm) && !c->has_key)
		return false;
	turn_msg_key(slice_str(c->user), slice_of(c->realm, c->nrealm), slice_str(c->password),
		     c->key);
	c->has_key = true;
	unsigned stale = t->stale + (code == 438);
	begin(c, t, t->method, now);
	t->stale = stale;
	return true;
}

static void session_answer(struct turn_client *c, ln_time now, const struct stun_msg *m)
{
	struct slice v = m->attr[STUN_ATTR_LIFETIME];
	ln_time lifetime = (v.p != NULL ? stun_attr_u32(v) : LIFETIME) * LN_SEC;
	c->tx.active = false;
	if (c->state == STATE_CLOSING) {
		end(c, 0);
		return;
	}
	if (c->state == STATE_NEW) {
		v = m->attr[STUN_ATTR_XOR_RELAYED_ADDRESS];
		if (v.p == NULL || stun_attr_read_addr(v, &m->tid, &c->relayed) < 0 ||
		    c->relayed.port == 0) {
			end(c, 0);
			return;
		}
		if (stun_msg_mapped(m, &c->mapped) < 0)
			c->mapped = (struct ip_ep){ 0 };
		c->state = STATE_UP;
		c->tell_up = true;
	}
	/* A minute early, or for short ones halfway. */
	c->refresh_at = now + LN_MAX(lifetime - LN_MINUTE, lifetime / 2);
}

static void session_input(struct turn_client *c, ln_time now, const struct stun_msg *m,
			  unsigned code)
{
	if (m->cls == STUN_SUCCESS)
		session_answer(c, now, m);
	else if (!take_challenge(c, &c->tx, m, code, now))
		end(c, code);
}

static void peer_input(struct turn_client *c, struct turn_peer *p, ln_time now,
		       const struct stun_msg *m, unsigned code)
{
	if (m->cls == STUN_SUCCESS) {
		peer_granted(c, p, now);
	} else if (code == ALLOCATION_MISMATCH) {
		end(c, code); /* the server has lost it, with all its peers */
	} else if (take_challenge(c, &p->tx, m, code, now)) {
		heap_set(&c->timers, &p->timer, now);
	} else {
		peer_refused(c, p, now);
	}
}

static bool is_of(const struct transaction *t, const struct stun_msg *m)
{
	return t->active && t->tries != 0 && m->method == (uint16_t)t->method &&
	       memcmp(t->tid.b, m->tid.b, STUN_TID_LEN) == 0;
}

static void take_answer(struct turn_client *c, ln_time now, const struct stun_msg *m)
{
	unsigned code = 0;
	if (m->cls == STUN_ERROR && (!stun_msg_has(m, STUN_ATTR_ERROR_CODE) ||
				     stun_attr_read_error(m->attr[STUN_ATTR_ERROR_CODE], &code)))
		return;
	if (m->cls == STUN_SUCCESS && c->has_key &&
	    !stun_auth_verify(m, slice_of(c->key, sizeof(c->key))))
		return;
	if (is_of(&c->tx, m)) {
		session_input(c, now, m, code);
		return;
	}
	map_for_each(n, &c->peers) {
		struct turn_peer *p = map_entry(n, struct turn_peer, node);
		if (is_of(&p->tx, m)) {
			peer_input(c, p, now, m, code);
			return;
		}
	}
}

int turn_client_input(struct turn_client *c, ln_time now, struct slice msg, struct ip_ep *ret_from,
		      struct slice *ret_data)
{
	struct stun_msg m;
	uint16_t channel;
	int err = turn_msg_read_channel(msg, &channel, ret_data);
	if (err == 0) {
		const struct turn_peer *p =
			channel >= TURN_CHANNEL_FIRST && channel <= TURN_CHANNEL_LAST
				? c->channels[channel - TURN_CHANNEL_FIRST]
				: NULL;
		if (p == NULL || c->state != STATE_UP)
			return 0;
		*ret_from = p->ep;
		return 1;
	}
	if (err != LN_E_NOTFOUND || stun_msg_read(msg, &m) < 0 || c->state == STATE_ENDED)
		return 0;
	if (m.cls == STUN_INDICATION)
		return c->state == STATE_UP && turn_msg_read_data(&m, ret_from, ret_data) == 0;
	if (m.cls != STUN_REQUEST && stun_auth_fingerprint_ok(&m))
		take_answer(c, now, &m);
	return 0;
}

/* --- output -----------------------------------------------------------------------------------*/

static bool session_due(struct turn_client *c, ln_time now)
{
	if (c->state == STATE_UP && !c->tx.active && now >= c->refresh_at)
		begin(c, &c->tx, TURN_REFRESH, now);
	if (!c->tx.active || now < c->tx.at)
		return false;
	/* Nobody waits for the answer to a goodbye. */
	bool last = c->state == STATE_CLOSING && c->tx.tries != 0;
	if (!last && !exhausted(c, &c->tx))
		return true;
	end(c, 0);
	return false;
}

static bool give_waiting(struct turn_client *c, ln_time now, struct mslice buf,
			 struct turn_out *ret)
{
	for (struct list *l; (l = list_pop(&c->ready)) != NULL;) {
		struct turn_peer *p = list_entry(l, struct turn_peer, ready);
		size_t n = p->nwaiting;
		p->nwaiting = 0;
		struct slice msg = turn_client_write(c, now, &p->ep, slice_of(p->waiting, n), buf);
		if (msg.n == 0)
			continue;
		*ret = (struct turn_out){ .event = TURN_EV_SEND, .bytes = msg };
		return true;
	}
	return false;
}

bool turn_client_poll(struct turn_client *c, ln_time now, struct mslice buf, struct turn_out *ret)
{
	ln_assert(buf.n >= STUN_MSG_MAX);
	if (session_due(c, now) && give_request(c, &c->tx, NULL, now, buf, ret))
		return true;
	if (c->tell_up) {
		c->tell_up = false;
		*ret = (struct turn_out){ .event = TURN_EV_UP,
					  .relayed = c->relayed,
					  .mapped = c->mapped };
		return true;
	}
	while (c->state == STATE_UP && heap_deadline(&c->timers) <= now) {
		struct turn_peer *p = ln_container(heap_top(&c->timers), struct turn_peer, timer);
		if (!peer_due(c, p, now))
			continue;
		bool given = give_request(c, &p->tx, p, now, buf, ret);
		heap_set(&c->timers, &p->timer, p->tx.at);
		if (given)
			return true;
	}
	if (c->state == STATE_UP && give_waiting(c, now, buf, ret))
		return true;
	if (!c->tell_end)
		return false;
	c->tell_end = false;
	*ret = (struct turn_out){ .event = TURN_EV_ENDED, .code = c->code };
	return true;
}

ln_time turn_client_deadline(const struct turn_client *c)
{
	if (c->tell_end || c->tell_up)
		return 0;
	if (c->state == STATE_ENDED)
		return LN_TIME_NEVER;
	ln_time at = c->tx.active ? c->tx.at : c->refresh_at;
	if (c->state != STATE_UP)
		return at;
	return list_empty(&c->ready) ? ln_time_min(at, heap_deadline(&c->timers)) : 0;
}

bool turn_client_is_up(const struct turn_client *c)
{
	return c->state == STATE_UP;
}

size_t turn_client_npeers(const struct turn_client *c)
{
	return c->peers.count;
}
