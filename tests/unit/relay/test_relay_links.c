/*
 * Several hubs that are one relay: the same conversations at one hub and at three, with mail
 * carried at once and in any order between them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/str.h"
#include "lib/relay/relay_hub.h"
#include "lib/relay/relay_links.h"

#include "tests/unit/unit.h"

#define HUBS 3
#define IDS 6
#define CONNS 400
#define MOST (16u << 20) /* bytes written to one connection */

/* A relay of n hubs, with the boxes between them. */
struct world {
	unsigned n;
	struct relay_hub *hub[HUBS];
	struct relay_queue box[HUBS][HUBS]; /* [to][from] */
};

/* One connection: in the worlds that are compared it is at different hubs. */
struct conn {
	struct world *w;
	unsigned at, id;
	struct relay_hub_peer *peer; /* null: ended */
	struct str in;               /* messages, each behind its length */
	bool left;                   /* by itself */
	bool asks[IDS];              /* is subscribed to */
	uint32_t sent;
};

static struct relay_token_key key;
static struct relay_id ids[IDS];
static ln_time now;
static uint64_t rng_state;

static void rng_bytes(void *ctx, void *dst, size_t n)
{
	uint8_t *p = dst;
	for (size_t i = 0; i < n; i++) {
		rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(rng_state >> 56);
	}
}

static const struct ln_rng rng = { .fill = rng_bytes };

static unsigned below(unsigned n)
{
	return rng_below(&rng, n);
}

static size_t frame(uint8_t dst[RELAY_HUB_FRAME_MAX], size_t n)
{
	uint32_t len = (uint32_t)n;
	memcpy(dst, &len, sizeof(len));
	return sizeof(len);
}

static void world_start(struct world *w, unsigned n, size_t max_memory)
{
	*w = (struct world){ .n = n };
	for (unsigned i = 0; i < n; i++) {
		const struct relay_hub_conf conf = { .instance_url = "rel://relay.example:80",
						     .keys = &key,
						     .nkeys = 1,
						     .frame = frame,
						     .max_memory = max_memory,
						     .shard = i,
						     .nshards = n,
						     .rng = &rng };
		w->hub[i] = relay_hub_new(&conf);
	}
}

/* --- the owners of the hubs -------------------------------------------------------------------*/

static void take(struct conn *c)
{
	struct slice v[4];
	size_t n;
	while ((n = relay_hub_view(c->peer, v, LN_COUNT(v))) != 0) {
		size_t sum = 0;
		for (size_t i = 0; i < n; i++) {
			str_addn(&c->in, v[i].p, v[i].n);
			sum += v[i].n;
		}
		assert_int_equal(c->in.err, 0);
		relay_hub_sent(c->w->hub[c->at], c->peer, sum);
	}
}

static bool poll_hub(struct world *w, unsigned i)
{
	struct relay_hub_out out;
	bool any = false;
	for (; relay_hub_poll(w->hub[i], now, &out); any = true) {
		struct conn *c = out.user;
		take(c);
		if (out.event != RELAY_HUB_CLOSE)
			continue;
		relay_hub_remove(w->hub[i], c->peer);
		c->peer = NULL;
	}
	return any;
}

static bool post(struct world *w, unsigned from, unsigned to)
{
	struct relay_queue q, *box = &w->box[to][from];
	if (from == to || !relay_links_take(w->hub[from], to, &q))
		return false;
	size_t before = box->bytes, posted = q.bytes;
	relay_queue_join(box, &q);
	relay_links_posted(w->hub[from], to, before, posted);
	return posted != 0;
}

static bool fetch(struct world *w, unsigned from, unsigned to)
{
	struct relay_queue q = w->box[to][from];
	bool any = q.bytes != 0;
	w->box[to][from] = (struct relay_queue){ .bytes = 0 };
	relay_links_fetched(w->hub[to], &q);
	while (q.bytes != 0)
		if (relay_links_deliver(w->hub[to], from, &q) != 0)
			poll_hub(w, to);
	return any;
}

static void settle(struct world *w)
{
	for (bool any = true; any;) {
		any = false;
		for (unsigned i = 0; i < w->n; i++) {
			any |= poll_hub(w, i);
			for (unsigned k = 0; k < w->n; k++)
				any |= post(w, i, k) | fetch(w, k, i);
		}
	}
}

static void world_end(struct world *w, struct conn *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].peer != NULL)
			relay_hub_remove(w->hub[v[i].at], v[i].peer);
		str_fini(&v[i].in);
	}
	for (unsigned i = 0; i < w->n; i++)
		for (unsigned k = 0; k < w->n; k++) {
			relay_links_fetched(w->hub[i], &w->box[i][k]);
			relay_links_discard(w->hub[i], &w->box[i][k]);
		}
	for (unsigned i = 0; i < w->n; i++)
		relay_hub_free(w->hub[i]);
}

/* --- what peers do ----------------------------------------------------------------------------*/

static int input(struct conn *c, const uint8_t *msg, int n)
{
	assert_true(n > 0);
	return relay_hub_input(c->w->hub[c->at], c->peer, now, 100 * LN_SEC,
			       slice_of(msg, (size_t)n));
}

static void join(struct world *w, struct conn *c, unsigned at, unsigned id)
{
	struct relay_token_text t;
	uint8_t token[RELAY_TOKEN_MAX], msg[RELAY_AUTH_MAX];
	*c = (struct conn){ .w = w, .at = at, .id = id };
	str_init(&c->in, MOST);
	c->peer = relay_hub_open(w->hub[at], now, c);
	assert_non_null(c->peer);
	relay_token_make(&key, 200 * LN_SEC, &t);
	int n = relay_token_join(slice_str(t.payload), slice_str(t.signature),
				 mslice_of(token, sizeof(token)));
	n = relay_msg_write_auth(mslice_of(msg, sizeof(msg)), &ids[id], slice_of(token, (size_t)n));
	assert_int_equal(input(c, msg, n), RELAY_HUB_JOINED);
}

static void end(struct conn *c)
{
	c->left = true;
	take(c);
	relay_hub_remove(c->w->hub[c->at], c->peer);
	c->peer = NULL;
}

/* The payload: number of the sender's connection, then of the message. */
static int say(struct conn *c, unsigned to, uint32_t who, size_t n)
{
	static uint8_t msg[RELAY_MSG_MAX], payload[RELAY_PAYLOAD_MAX];
	memcpy(payload, &who, 4);
	memcpy(payload + 4, &c->sent, 4);
	c->sent++;
	return input(c, msg,
		     relay_msg_write_transport(mslice_of(msg, sizeof(msg)), &ids[to],
					       slice_of(payload, LN_MAX(n, (size_t)8))));
}

static void subscribe(struct conn *c, enum relay_type type, unsigned id)
{
	uint8_t msg[RELAY_HEADER + RELAY_ID_LEN];
	int n = relay_msg_write_header(mslice_of(msg, sizeof(msg)), type);
	memcpy(msg + n, ids[id].b, RELAY_ID_LEN);
	input(c, msg, (int)sizeof(msg));
	c->asks[id] = type == RELAY_SUBSCRIBE;
}

static struct slice next(const struct conn *c, size_t *at)
{
	uint32_t n;
	if (*at == c->in.n)
		return slice_of(NULL, 0);
	memcpy(&n, c->in.s + *at, 4);
	struct slice s = slice_of(c->in.s + *at + 4, n);
	*at += 4 + n;
	return s;
}

static int setup(void **state)
{
	relay_token_key_make(slice_str("secret"), &key);
	for (unsigned i = 0; i < IDS; i++) {
		char name[8];
		snprintf(name, sizeof(name), "p%u", i);
		relay_id_of_text(slice_str(name), &ids[i]);
	}
	now = 1000 * LN_SEC;
	return 0;
}

/* --- like one hub -----------------------------------------------------------------------------*/

static size_t alive(struct conn *v, size_t n)
{
	size_t found[CONNS], k = 0;
	for (size_t i = 0; i < n; i++)
		if (v[i].peer != NULL)
			found[k++] = i;
	return k != 0 ? found[below((unsigned)k)] : SIZE_MAX;
}

/* One step in both worlds; the connections have the same numbers. */
static size_t step(struct world *w[2], struct conn *v[2], size_t n)
{
	unsigned id = below(IDS), what = below(10), at = below(HUBS), size = below(3000);
	size_t i = alive(v[0], n);
	now += LN_USEC;
	for (unsigned k = 0; k < 2 && w[k] != NULL; k++) {
		if (i == SIZE_MAX || (what == 0 && n < CONNS))
			join(w[k], &v[k][n], w[k]->n == 1 ? 0 : at, id);
		else if (what == 1)
			end(&v[k][i]);
		else if (what == 2)
			subscribe(&v[k][i], RELAY_SUBSCRIBE, id);
		else if (what == 3)
			subscribe(&v[k][i], RELAY_UNSUBSCRIBE, id);
		else
			say(&v[k][i], id, (uint32_t)i, size);
	}
	return i == SIZE_MAX || (what == 0 && n < CONNS) ? n + 1 : n;
}

static void three_hubs_say_what_one_says(void **state)
{
	static struct conn a[CONNS], b[CONNS];
	for (unsigned seed = 1; seed <= 60; seed++) {
		struct world one, three, *w[2] = { &one, &three };
		struct conn *v[2] = { a, b };
		size_t n = 0;
		rng_state = seed;
		world_start(&one, 1, 0);
		world_start(&three, HUBS, 0);
		for (unsigned i = 0; i < 300; i++) {
			n = step(w, v, n);
			settle(&one);
			settle(&three);
		}
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(a[i].peer == NULL, b[i].peer == NULL);
			assert_int_equal(a[i].in.n, b[i].in.n);
			assert_memory_equal(str_c(&a[i].in), str_c(&b[i].in), a[i].in.n);
		}
		world_end(&one, a, n);
		world_end(&three, b, n);
	}
}

/* --- whatever the order -----------------------------------------------------------------------*/

/* Messages of one connection to another keep their order and come once. */
static void check_order(const struct conn *v, size_t n)
{
	static uint32_t last[CONNS];
	for (size_t i = 0; i < n; i++) {
		memset(last, 0xff, sizeof(last));
		size_t at = 0;
		for (struct slice m; (m = next(&v[i], &at)).n != 0;) {
			struct slice payload;
			struct relay_id from;
			uint32_t who, number;
			if (relay_msg_type(m) != RELAY_TRANSPORT)
				continue;
			assert_int_equal(relay_msg_read_transport(m, &from, &payload), 0);
			memcpy(&who, payload.p, 4);
			memcpy(&number, payload.p + 4, 4);
			assert_in_range(who, 0, n - 1);
			assert_true(relay_id_equal(&from, &ids[v[who].id]));
			assert_true(last[who] == UINT32_MAX || number > last[who]);
			last[who] = number;
		}
	}
}

/* The newest connection of an id is the one that lives, unless it left. */
static struct conn *newest(struct conn *v, size_t n, unsigned id)
{
	for (size_t i = n; i-- > 0;)
		if (v[i].id == id)
			return v[i].left ? NULL : &v[i];
	return NULL;
}

static void check_who_lives(struct conn *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].peer != NULL)
			assert_ptr_equal(&v[i], newest(v, n, v[i].id));
	for (unsigned id = 0; id < IDS; id++) {
		struct conn *c = newest(v, n, id);
		assert_true(c == NULL || c->peer != NULL);
	}
}

static enum relay_type last_news(const struct conn *c, unsigned id)
{
	enum relay_type last = RELAY_SUBSCRIBE; /* none */
	size_t at = 0;
	for (struct slice m; (m = next(c, &at)).n != 0;) {
		int type = relay_msg_type(m);
		for (int i = 0; type != RELAY_TRANSPORT && i < relay_msg_ids(m); i++) {
			struct relay_id of;
			relay_msg_id(m, (size_t)i, &of);
			if (relay_id_equal(&of, &ids[id]))
				last = (enum relay_type)type;
		}
	}
	return last;
}

/* Every hub knows where everybody is, and says it to who asks. */
static void check_what_hubs_know(struct world *w, struct conn *v, size_t n)
{
	for (unsigned at = 0; at < w->n; at++) {
		struct conn *c = &v[n + at];
		join(w, c, at, IDS - 1);
		for (unsigned id = 0; id < IDS - 1; id++)
			subscribe(c, RELAY_SUBSCRIBE, id);
		settle(w);
		for (unsigned id = 0; id < IDS - 1; id++)
			assert_int_equal(last_news(c, id) == RELAY_ONLINE,
					 newest(v, n, id) != NULL);
		for (unsigned id = 0; id < IDS - 1; id++) {
			struct conn *to = newest(v, n, id);
			size_t before = to != NULL ? to->in.n : 0;
			say(c, id, (uint32_t)(n + at), 100);
			settle(w);
			assert_int_equal(to != NULL ? to->in.n - before : 0,
					 to != NULL ? 4 + RELAY_TRANSPORT_HEADER + 100 : 0);
		}
	}
}

/* Who was told that somebody is there hears of the end. */
static void check_news(struct conn *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (unsigned id = 0; id < IDS && v[i].peer != NULL; id++)
			if (v[i].asks[id] && newest(v, n, id) == NULL)
				assert_int_not_equal(last_news(&v[i], id), RELAY_ONLINE);
}

static void mail_in_any_order_ends_the_same(void **state)
{
	static struct conn v[CONNS + HUBS];
	for (unsigned seed = 1; seed <= 150; seed++) {
		struct world three, *w[2] = { &three, NULL };
		struct conn *c[2] = { v, NULL };
		size_t n = 0;
		rng_state = seed;
		world_start(&three, HUBS, 0);
		for (unsigned i = 0; i < 400; i++) {
			n = step(w, c, n);
			if (below(2) == 0)
				post(&three, below(HUBS), below(HUBS));
			if (below(3) == 0)
				fetch(&three, below(HUBS), below(HUBS));
			/* An owner polls at the end of each turn. */
			for (unsigned k = 0; k < HUBS; k++)
				poll_hub(&three, k);
		}
		settle(&three);
		check_who_lives(v, n);
		check_order(v, n);
		check_news(v, n);
		check_what_hubs_know(&three, v, n);
		world_end(&three, v, n + HUBS);
	}
}

/* --- bounds -----------------------------------------------------------------------------------*/

/* Hub 1 does not fetch: what waits for it is bounded, and a newcomer finds room. */
static void a_hub_that_is_behind_is_shared(void **state)
{
	static struct conn v[3];
	struct world w;
	rng_state = 3;
	world_start(&w, 2, 8u << 20);
	join(&w, &v[0], 0, 0);
	join(&w, &v[1], 0, 1);
	join(&w, &v[2], 1, 2);
	settle(&w);
	for (unsigned i = 0; i < 4000; i++) {
		now += LN_USEC;
		say(&v[0], 2, 0, 1200);
		if (i % 10 == 0)
			post(&w, 0, 1);
	}
	const struct relay_hub_counters *n = relay_hub_counters(w.hub[0]);
	uint64_t dropped = n->dropped;
	assert_true(dropped > 0);
	/* A quarter of the memory is the limit; a sender alone gets two thirds of it. */
	assert_in_range(w.box[1][0].bytes, 1u << 20, (2u << 20) * 3 / 4);
	for (unsigned i = 0; i < 100; i++)
		say(&v[1], 2, 1, 1200);
	assert_int_equal(n->dropped, dropped);
	/* Peers come and go nevertheless, and then all is well again. */
	end(&v[1]);
	settle(&w);
	assert_int_equal(relay_hub_counters(w.hub[1])->received, 0);
	dropped = n->dropped;
	say(&v[0], 2, 0, 1200);
	settle(&w);
	assert_int_equal(n->dropped, dropped);
	check_order(v, 3);
	world_end(&w, v, 3);
}

/* A full box is looked at again, though nothing new was put into it. */
static void a_hub_that_fetched_gets_mail_again(void **state)
{
	static struct conn v[2];
	struct world w;
	rng_state = 4;
	world_start(&w, 2, 1u << 20);
	join(&w, &v[0], 0, 0);
	join(&w, &v[1], 1, 1);
	settle(&w);
	for (unsigned i = 0; i < 4000; i++) {
		say(&v[0], 1, 0, 1200);
		post(&w, 0, 1);
	}
	fetch(&w, 0, 1);
	poll_hub(&w, 1);
	say(&v[0], 1, 0, 8000); /* may be lost still */
	post(&w, 0, 1);
	size_t before = v[1].in.n;
	say(&v[0], 1, 0, 8000);
	settle(&w);
	assert_true(v[1].in.n - before >= 8000);
	world_end(&w, v, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(three_hubs_say_what_one_says, setup),
		cmocka_unit_test_setup(mail_in_any_order_ends_the_same, setup),
		cmocka_unit_test_setup(a_hub_that_is_behind_is_shared, setup),
		cmocka_unit_test_setup(a_hub_that_fetched_gets_mail_again, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
