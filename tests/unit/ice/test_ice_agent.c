/* Agents against hand-made messages: every rule of spec signal-and-connection 3.11 by itself. */
#include <stdio.h>

#include "lib/ice/ice_agent.h"
#include "lib/ice/ice_check.h"
#include "lib/ice/ice_pair.h"
#include "lib/ice/ice_via.h"
#include "lib/stun/stun_auth.h"

#include "tests/unit/unit.h"

static void fill(void *ctx, void *dst, size_t n)
{
	uint64_t *s = ctx;
	for (size_t i = 0; i < n; i++) {
		*s = *s * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)dst)[i] = (uint8_t)(*s >> 56);
	}
}

static uint64_t seed;
static const struct ln_rng rng = { fill, &seed };
static uint8_t buf[ICE_CHECK_MAX];
static const struct ice_cred ours = { "OwnUfragOwnUfrag", "OwnPasswordOwnPasswordOwnPasswor" };
static const struct ice_cred theirs = { "HisUfragHisUfrag", "HisPasswordHisPasswordHisPasswor" };
#define HOST "10.1.0.2:51820"
#define PEER "10.1.0.3:51820"
#define PEER_CID "pppppppppppppppppppppppppppppppp"

static struct ip_ep ep(const char *text)
{
	struct ip_ep e;
	assert_int_equal(ip_ep_parse(slice_str(text), &e), 0);
	return e;
}

static struct ice_cand cand(enum ice_cand_type t, const char *addr)
{
	struct ip_ep e = ep(addr);
	struct ice_cand c;
	ice_cand_init(&c, t, &e, NULL, "", &rng);
	return c;
}

static struct ice_agent *agent_with(struct ice_agent_conf conf)
{
	seed = 42;
	conf.local = ours;
	struct ice_agent *a = ice_agent_new(&conf, &rng, 0);
	struct ice_cand host = cand(ICE_CAND_HOST, HOST);
	assert_int_equal(ice_agent_add_local(a, 0, &host), 0);
	return a;
}

static struct ice_agent *agent(bool controlling)
{
	return agent_with((struct ice_agent_conf){ .controlling = controlling });
}

static void add_peer(struct ice_agent *a, ln_time now, enum ice_cand_type t, const char *addr)
{
	struct ice_cand c = cand(t, addr);
	memcpy(c.cid, PEER_CID, sizeof(PEER_CID));
	assert_int_equal(ice_agent_add_remote(a, now, &c), 0);
}

static bool poll_one(struct ice_agent *a, ln_time now, struct ice_out *out)
{
	return ice_agent_poll(a, now, mslice_of(buf, sizeof(buf)), out);
}

/* The next output must be a datagram; it is read and its MAC is checked. */
static struct ip_ep want_message(struct ice_agent *a, ln_time now, enum stun_class cls,
				 struct stun_msg *m)
{
	struct ice_out out;
	assert_true(poll_one(a, now, &out));
	assert_int_equal(out.kind, ICE_OUT_DATAGRAM);
	assert_int_equal(stun_msg_read(out.data, m), 0);
	assert_int_equal(m->cls, cls);
	assert_true(stun_auth_fingerprint_ok(m));
	assert_true(stun_auth_verify(m, slice_str(cls == STUN_REQUEST ? theirs.pwd : ours.pwd)));
	return out.to;
}

static void want_nothing(struct ice_agent *a, ln_time now)
{
	struct ice_out out;
	assert_false(poll_one(a, now, &out));
}

static void want_event(struct ice_agent *a, ln_time now, enum ice_out_kind kind,
		       struct ice_out *out)
{
	assert_true(poll_one(a, now, out));
	assert_int_equal(out->kind, kind);
}

/* The peer answers request m that was sent to `to`. */
static int answer(struct ice_agent *a, ln_time now, const struct stun_msg *m, const char *from,
		  const char *mapped)
{
	uint8_t pkt[512];
	struct ip_ep source = ep(from);
	struct ip_ep e = ep(mapped);
	struct ice_check c = { .local = &theirs, .remote = &ours, .own_cid = "", .peer_cid = "" };
	return ice_agent_input(
		a, now, &source,
		ice_check_write_success(mslice_of(pkt, sizeof(pkt)), &m->tid, &e, &c));
}

struct asked {
	bool controlling;
	bool nominate;
	uint64_t tie;
	const struct ice_cred *from;
	const struct ice_cred *to;
};

static int ask_as(struct ice_agent *a, ln_time now, const char *from, const struct asked *q)
{
	uint8_t pkt[512];
	struct stun_tid tid;
	struct ip_ep source = ep(from);
	struct ice_check c = {
		.local = q->from != NULL ? q->from : &theirs,
		.remote = q->to != NULL ? q->to : &ours,
		.controlling = q->controlling,
		.nominate = q->nominate,
		.tie_breaker = q->tie,
		.priority = 1,
		.own_cid = PEER_CID,
		.peer_cid = "x",
	};
	rng_fill(&rng, tid.b, sizeof(tid.b));
	return ice_agent_input(a, now, &source,
			       ice_check_write_request(mslice_of(pkt, sizeof(pkt)), &tid, &c));
}

static int ask(struct ice_agent *a, ln_time now, const char *from, bool controlling, bool nominate)
{
	return ask_as(a, now, from,
		      &(struct asked){ .controlling = controlling, .nominate = nominate });
}

/* Spec 3.6, 3.11: attributes in order, 0x8100 before MESSAGE-INTEGRITY. */
static void request_layout(void **state)
{
	static const uint16_t order[] = { 0x0006, 0x802a, 0x0024, 0x8100, 0x0008, 0x8028 };
	struct stun_msg m;
	struct ice_agent *a = agent(true);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	add_peer(a, 0, ICE_CAND_HOST, PEER);
	struct ip_ep to = want_message(a, 0, STUN_REQUEST, &m);
	struct ip_ep peer = ep(PEER);
	assert_true(ip_ep_equal(&to, &peer));
	assert_true(slice_is(m.attr[STUN_ATTR_USERNAME], "HisUfragHisUfrag:OwnUfragOwnUfrag"));
	assert_int_equal(m.attr[STUN_ATTR_PAIR_ID].n, 65);
	assert_memory_equal(m.attr[STUN_ATTR_PAIR_ID].p + 33, PEER_CID, 32);
	size_t at = STUN_HEADER_LEN;
	for (size_t i = 0; i < LN_COUNT(order); i++) {
		assert_int_equal(m.raw.p[at] << 8 | m.raw.p[at + 1], order[i]);
		size_t n = (size_t)m.raw.p[at + 2] << 8 | m.raw.p[at + 3];
		at += 4 + ((n + 3) & ~(size_t)3);
	}
	assert_int_equal(at, m.raw.n);
	assert_int_equal(m.raw.n, 184);
	ice_agent_free(a);
}

/* Spec 3.11 no. 2: no end before 12 s; three repetitions a second, later every 500 ms. */
static void keeps_checking(void **state)
{
	struct stun_msg m;
	struct ice_out out;
	ln_time now = 0, sent[64] = { 0 };
	unsigned n = 0;
	struct ice_agent *a = agent(true);
	add_peer(a, 0, ICE_CAND_HOST, PEER);
	want_nothing(a, 0); /* no credentials yet */
	assert_true(ice_agent_deadline(a) == LN_TIME_NEVER);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	for (; now < 12 * LN_SEC; n++) {
		assert_true(ice_agent_deadline(a) == now);
		(void)want_message(a, now, STUN_REQUEST, &m);
		want_nothing(a, now);
		sent[n] = now;
		assert_true(n < 3 || now - sent[n - 3] >= LN_SEC);
		assert_true(n == 0 || now - sent[n - 1] >= (n <= 10 ? 200 : 500) * LN_MSEC);
		now = ice_agent_deadline(a);
		assert_true(now - sent[n] <= 600 * LN_MSEC);
	}
	assert_true(n >= 24 && n <= 36);
	assert_true(now == 12 * LN_SEC);
	want_event(a, now, ICE_OUT_FAILED, &out);
	want_nothing(a, now);
	assert_true(ice_agent_deadline(a) == LN_TIME_NEVER);
	assert_int_equal(ice_agent_state(a), ICE_FAILED);
	/* Spec 3.11 no. 3: valid requests are answered even now. */
	assert_int_equal(ask(a, now, PEER, false, false), 0);
	(void)want_message(a, now, STUN_SUCCESS, &m);
	want_nothing(a, now);
	struct ice_report r;
	ice_agent_report(a, &r);
	assert_int_equal(r.checks_sent, n);
	assert_int_equal(r.checks_answered, 0);
	assert_int_equal(r.checks_received, 1);
	ice_agent_free(a);
}

/* Five checks in any second whatever the number of pairs; each gets its turn, answers go first. */
static void budget_of_checks(void **state)
{
	struct stun_msg m;
	struct ice_out out;
	ln_time sent[256] = { 0 };
	unsigned n = 0, seen[20] = { 0 };
	struct ice_agent *a = agent(true);
	assert_int_equal(ice_agent_set_remote(a, LN_SEC, &theirs), 0);
	for (unsigned i = 0; i < 20; i++) {
		char addr[32];
		snprintf(addr, sizeof(addr), "203.0.113.66:%u", 1000 + i);
		add_peer(a, LN_SEC, ICE_CAND_SRFLX, addr);
	}
	for (ln_time now = LN_SEC; now < 12 * LN_SEC; now = ice_agent_deadline(a)) {
		while (poll_one(a, now, &out)) {
			assert_int_equal(out.kind, ICE_OUT_DATAGRAM);
			assert_true(n < 5 || now - sent[n - 5] >= LN_SEC);
			sent[n++] = now;
			seen[out.to.port - 1000]++;
		}
	}
	for (unsigned i = 0; i < 20; i++)
		assert_true(seen[i] >= 1 && seen[i] <= 3);
	/* What answers the peer's check needs not wait for the repetitions. */
	ln_time now = sent[n - 1] + 400 * LN_MSEC;
	assert_int_equal(ask(a, now, "203.0.113.99:7", false, false), 0);
	(void)want_message(a, now, STUN_SUCCESS, &m);
	struct ip_ep to = want_message(a, now, STUN_REQUEST, &m);
	struct ip_ep from = ep("203.0.113.99:7");
	assert_true(ip_ep_equal(&to, &from));
	ice_agent_free(a);
}

/* A private address of another network waits a moment for what STUN servers saw. */
static void far_hosts_wait(void **state)
{
	struct stun_msg m;
	struct ice_agent *a = agent(true);
	assert_int_equal(ice_agent_set_remote(a, LN_SEC, &theirs), 0);
	add_peer(a, LN_SEC, ICE_CAND_HOST, "10.9.0.2:51820");
	want_nothing(a, LN_SEC);
	assert_true(ice_agent_deadline(a) == 1100 * LN_MSEC);
	add_peer(a, LN_SEC, ICE_CAND_HOST, "203.0.113.5:51820");
	(void)want_message(a, LN_SEC, STUN_REQUEST, &m);
	(void)want_message(a, 1100 * LN_MSEC, STUN_REQUEST, &m);
	ice_agent_free(a);
}

static void controlling_nominates_host_at_once(void **state)
{
	struct stun_msg m;
	struct ice_out out;
	struct ice_agent *a = agent(true);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	add_peer(a, 0, ICE_CAND_HOST, PEER);
	(void)want_message(a, 0, STUN_REQUEST, &m);
	assert_false(stun_msg_has(&m, STUN_ATTR_USE_CANDIDATE));
	assert_int_equal(answer(a, LN_MSEC, &m, PEER, HOST), 0);
	(void)want_message(a, LN_MSEC, STUN_REQUEST, &m);
	assert_true(stun_msg_has(&m, STUN_ATTR_USE_CANDIDATE));
	want_nothing(a, LN_MSEC);
	/* Repeated until answered. */
	ln_time again = ice_agent_deadline(a);
	assert_true(again == 201 * LN_MSEC);
	(void)want_message(a, again, STUN_REQUEST, &m);
	assert_true(stun_msg_has(&m, STUN_ATTR_USE_CANDIDATE));
	assert_int_equal(answer(a, again + 3 * LN_MSEC, &m, PEER, HOST), 0);
	want_event(a, again + 3 * LN_MSEC, ICE_OUT_SELECTED, &out);
	assert_int_equal(out.pair.local.type, ICE_CAND_HOST);
	assert_int_equal(out.pair.remote.type, ICE_CAND_HOST);
	assert_true(out.pair.rtt == 3 * LN_MSEC);
	assert_int_equal(ice_agent_state(a), ICE_CONNECTED);
	ice_agent_free(a);
}

/* Spec 3.7: srflx 500 ms, prflx 1 s; the best that answers is taken. */
static void acceptance_waits(void **state)
{
	struct stun_msg m;
	struct ice_agent *a = agent(true);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	add_peer(a, 0, ICE_CAND_SRFLX, "203.0.113.66:51820");
	(void)want_message(a, 0, STUN_REQUEST, &m);
	assert_int_equal(answer(a, LN_MSEC, &m, "203.0.113.66:51820", "203.0.113.2:51820"), 0);
	want_nothing(a, LN_MSEC);
	assert_true(ice_agent_deadline(a) == 200 * LN_MSEC);
	(void)want_message(a, 200 * LN_MSEC, STUN_REQUEST, &m);
	assert_false(stun_msg_has(&m, STUN_ATTR_USE_CANDIDATE));
	assert_true(ice_agent_deadline(a) == 500 * LN_MSEC);
	/* A host pair that answers meanwhile goes first. */
	add_peer(a, 300 * LN_MSEC, ICE_CAND_HOST, PEER);
	(void)want_message(a, 300 * LN_MSEC, STUN_REQUEST, &m);
	assert_int_equal(answer(a, 301 * LN_MSEC, &m, PEER, HOST), 0);
	struct ip_ep to = want_message(a, 301 * LN_MSEC, STUN_REQUEST, &m);
	struct ip_ep peer = ep(PEER);
	assert_true(ip_ep_equal(&to, &peer));
	assert_true(stun_msg_has(&m, STUN_ATTR_USE_CANDIDATE));
	ice_agent_free(a);
}

static void controlled_triggers_and_selects(void **state)
{
	struct stun_msg check;
	struct stun_msg m;
	struct ice_out out;
	struct ice_agent *a = agent(false);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	/* An unknown source: a peer-reflexive pair, answered and checked at once. */
	assert_int_equal(ask(a, LN_SEC, "203.0.113.66:7777", true, true), 0);
	struct ip_ep to = want_message(a, LN_SEC, STUN_SUCCESS, &m);
	struct ip_ep peer = ep("203.0.113.66:7777");
	struct ip_ep mapped;
	assert_true(ip_ep_equal(&to, &peer));
	assert_int_equal(stun_msg_mapped(&m, &mapped), 0);
	assert_true(ip_ep_equal(&mapped, &peer));
	(void)want_message(a, LN_SEC, STUN_REQUEST, &check);
	assert_true(stun_msg_has(&check, STUN_ATTR_ICE_CONTROLLED));
	assert_false(stun_msg_has(&check, STUN_ATTR_USE_CANDIDATE));
	/* The id of the peer's candidate was learnt from its 0x8100. */
	assert_memory_equal(check.attr[STUN_ATTR_PAIR_ID].p + 33, PEER_CID, 32);
	want_nothing(a, LN_SEC);
	assert_int_equal(ice_agent_state(a), ICE_CHECKING);
	/* USE-CANDIDATE was remembered: the answer selects (both nomination styles). */
	uint8_t copy[256];
	struct stun_msg kept = check;
	memcpy(copy, check.raw.p, check.raw.n);
	assert_int_equal(answer(a, LN_SEC + LN_MSEC, &kept, "203.0.113.66:7777", "9.9.9.9:5"), 0);
	want_event(a, LN_SEC + LN_MSEC, ICE_OUT_SELECTED, &out);
	assert_int_equal(out.pair.remote.type, ICE_CAND_PRFLX);
	assert_int_equal(out.pair.local.type, ICE_CAND_PRFLX);
	/* The same answer again belongs to nothing. */
	assert_int_equal(answer(a, LN_SEC + LN_MSEC, &kept, "203.0.113.66:7777", "9.9.9.9:5"),
			 LN_E_NOTFOUND);
	ice_agent_free(a);
}

/* A later nomination of at least the same priority wins; one of lower priority does not. */
static void controlled_follows_better(void **state)
{
	struct stun_msg m;
	struct ice_out out;
	struct ice_agent *a = agent(false);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	add_peer(a, 0, ICE_CAND_SRFLX, "203.0.113.66:1");
	(void)want_message(a, 0, STUN_REQUEST, &m);
	assert_int_equal(answer(a, 1, &m, "203.0.113.66:1", HOST), 0);
	assert_int_equal(ask(a, 1, "203.0.113.66:1", true, true), 0);
	(void)want_message(a, 1, STUN_SUCCESS, &m);
	want_event(a, 1, ICE_OUT_SELECTED, &out);
	add_peer(a, 2, ICE_CAND_HOST, PEER);
	add_peer(a, 2, ICE_CAND_RELAY, "198.51.100.1:9");
	assert_int_equal(ask(a, 3, "198.51.100.1:9", true, true), 0);
	(void)want_message(a, 3, STUN_SUCCESS, &m);
	(void)want_message(a, 3, STUN_REQUEST, &m);
	assert_int_equal(answer(a, 4, &m, "198.51.100.1:9", HOST), 0);
	want_nothing(a, 4);
	assert_int_equal(ask(a, 5, PEER, true, true), 0);
	(void)want_message(a, 5, STUN_SUCCESS, &m);
	(void)want_message(a, 5, STUN_REQUEST, &m);
	assert_int_equal(answer(a, 6, &m, PEER, HOST), 0);
	want_event(a, 6, ICE_OUT_SELECTED, &out);
	assert_int_equal(out.pair.remote.type, ICE_CAND_HOST);
	ice_agent_free(a);
}

static struct ice_agent *connected(ln_time now)
{
	struct stun_msg m;
	struct ice_out out;
	struct ice_agent *a = agent(false);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	add_peer(a, 0, ICE_CAND_HOST, PEER);
	(void)want_message(a, 0, STUN_REQUEST, &m);
	assert_int_equal(answer(a, now, &m, PEER, HOST), 0);
	assert_int_equal(ask(a, now, PEER, true, true), 0);
	(void)want_message(a, now, STUN_SUCCESS, &m);
	want_event(a, now, ICE_OUT_SELECTED, &out);
	return a;
}

/* Spec 3.8: a request every 2 s; silence of 6 s is the end; indications do not count. */
static void keepalive_and_silence(void **state)
{
	struct stun_msg m;
	struct ice_out out;
	struct ice_report r;
	struct ip_ep peer = ep(PEER);
	struct ice_agent *a = connected(LN_MSEC);
	assert_true(ice_agent_deadline(a) == LN_MSEC + 2 * LN_SEC);
	(void)want_message(a, LN_MSEC + 2 * LN_SEC, STUN_REQUEST, &m);
	assert_int_equal(answer(a, 2 * LN_SEC + 8 * LN_MSEC, &m, PEER, HOST), 0);
	ice_agent_report(a, &r);
	assert_true(r.selected);
	assert_true(r.pair.rtt == 7 * LN_MSEC);
	assert_int_equal(r.keepalives_sent, 1);
	assert_int_equal(r.keepalives_lost, 0);
	ln_time last = 2 * LN_SEC + 8 * LN_MSEC;
	assert_true(r.last_received == last);
	/* From now on nothing comes back but an indication. */
	unsigned sent = 0;
	for (;;) {
		ln_time now = ice_agent_deadline(a);
		assert_true(poll_one(a, now, &out));
		if (out.kind == ICE_OUT_DISCONNECTED) {
			assert_true(now == last + 6 * LN_SEC);
			break;
		}
		sent++;
		uint8_t pkt[64];
		struct writer w = writer_of(mslice_of(pkt, sizeof(pkt)));
		stun_msg_begin(&w, STUN_INDICATION, &(struct stun_tid){ { 1 } });
		assert_int_equal(ice_agent_input(a, now, &peer, writer_slice(&w)), LN_E_NOTFOUND);
	}
	ice_agent_report(a, &r);
	assert_int_equal(r.keepalives_sent, 1 + sent);
	assert_int_equal(r.keepalives_lost, sent - 1);
	assert_int_equal(r.state, ICE_DISCONNECTED);
	assert_int_equal(ask(a, 20 * LN_SEC, PEER, true, false), 0);
	(void)want_message(a, 20 * LN_SEC, STUN_SUCCESS, &m);
	want_nothing(a, 20 * LN_SEC);
	ice_agent_free(a);
}

/* Without traffic the pair is checked at whole seconds, 25 s apart, and silence is noticed as fast.
 */
static void rest_and_silence(void **state)
{
	struct stun_msg m;
	struct ice_out out;
	struct ice_agent *a = connected(LN_MSEC);
	ice_agent_rest(a, LN_MSEC, true);
	assert_true(ice_agent_rests(a));
	ln_time at = ice_agent_deadline(a);
	assert_in_range(at, LN_SEC, LN_SEC + ICE_REST);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(at % LN_SEC, 0);
		want_nothing(a, at - 1);
		(void)want_message(a, at, STUN_REQUEST, &m);
		assert_int_equal(answer(a, at + 7 * LN_MSEC, &m, PEER, HOST), 0);
		assert_int_equal(ice_agent_deadline(a) - at, ICE_REST);
		at += ICE_REST;
	}
	/* Ours are left out as long as the other side's come. */
	for (int i = 0; i < 3; i++, at += ICE_REST) {
		assert_int_equal(ask(a, at - LN_SEC, PEER, true, false), 0);
		(void)want_message(a, at - LN_SEC, STUN_SUCCESS, &m);
		want_nothing(a, at + LN_SEC);
	}
	/* Now nothing comes any more. */
	want_nothing(a, at + LN_SEC);
	at = ice_agent_deadline(a);
	assert_int_equal(at % LN_SEC, 0);
	for (ln_time now = at;; now = ice_agent_deadline(a)) {
		assert_true(poll_one(a, now, &out));
		if (out.kind == ICE_OUT_DISCONNECTED) {
			assert_int_equal(now, at + 4 * LN_SEC);
			break;
		}
		assert_int_equal((now - at) % (500 * LN_MSEC), 0);
	}
	ice_agent_free(a);
}

static void rest_ends(void **state)
{
	struct stun_msg m;
	for (int asked = 0; asked < 2; asked++) {
		struct ice_agent *a = connected(LN_MSEC);
		ice_agent_rest(a, LN_MSEC, true);
		ln_time now = ice_agent_deadline(a) - LN_SEC / 2;
		if (now < 3 * LN_SEC) { /* not long after the last check: a full rest later */
			now += LN_SEC / 2;
			(void)want_message(a, now, STUN_REQUEST, &m);
			assert_int_equal(answer(a, now, &m, PEER, HOST), 0);
			now += 10 * LN_SEC;
		}
		if (asked)
			ice_agent_ask(a, now);
		else
			ice_agent_rest(a, now, false);
		assert_false(ice_agent_rests(a));
		(void)want_message(a, now, STUN_REQUEST, &m);
		assert_int_equal(answer(a, now, &m, PEER, HOST), 0);
		assert_int_equal(ice_agent_deadline(a), now + 2 * LN_SEC);
		/* Not while an answer is awaited. */
		(void)want_message(a, now + 2 * LN_SEC, STUN_REQUEST, &m);
		ice_agent_rest(a, now + 2 * LN_SEC, true);
		assert_false(ice_agent_rests(a));
		ice_agent_free(a);
	}
}

/* Spec 3.11 no. 6 and 7: a check that is faster than the offer is answered at once, and when the
 * credentials come its source is checked first; after 15 s it is forgotten. */
static void early_checks(void **state)
{
	for (int late = 0; late < 2; late++) {
		struct stun_msg m;
		ln_time offer = late ? 16 * LN_SEC + 1 : 15 * LN_SEC;
		struct ice_agent *a = agent(false);
		assert_int_equal(ask(a, 0, "203.0.113.66:7777", true, true), 0);
		(void)want_message(a, 0, STUN_SUCCESS, &m);
		want_nothing(a, LN_SEC);
		assert_int_equal(ice_agent_set_remote(a, offer, &theirs), 0);
		if (late) {
			want_nothing(a, offer);
		} else {
			struct ip_ep to = want_message(a, offer, STUN_REQUEST, &m);
			assert_int_equal(to.port, 7777);
			struct ice_out out;
			assert_int_equal(answer(a, offer, &m, "203.0.113.66:7777", HOST), 0);
			want_event(a, offer, ICE_OUT_SELECTED, &out);
		}
		ice_agent_free(a);
	}
}

/* Agents up to v0.50.3 send no 0x8100; then we send none either. */
static void without_pair_ids(void **state)
{
	uint8_t pkt[512];
	struct stun_msg m;
	struct ip_ep peer = ep(PEER);
	struct stun_tid tid = { { 3 } };
	struct ice_check c = { .local = &theirs,
			       .remote = &ours,
			       .controlling = true,
			       .own_cid = "",
			       .peer_cid = "" };
	struct ice_agent *a = agent(false);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	struct slice req = ice_check_write_request(mslice_of(pkt, sizeof(pkt)), &tid, &c);
	assert_int_equal(req.n, 112); /* as v0.28.9's, spec 3.6 */
	assert_int_equal(ice_agent_input(a, 0, &peer, req), 0);
	(void)want_message(a, 0, STUN_SUCCESS, &m);
	assert_int_equal(m.raw.n, 64);
	(void)want_message(a, 0, STUN_REQUEST, &m);
	assert_false(stun_msg_has(&m, STUN_ATTR_PAIR_ID));
	ice_agent_free(a);
}

static void refuses(void **state)
{
	static const struct ice_cred wrong = { "HisUfragHisUfrag", "WrongPasswordWrongPassword" };
	static const struct ice_cred stranger = { "Stranger", "StrangerStrangerStranger" };
	struct ice_cred other_pwd = ours;
	struct stun_msg m;
	struct ice_report r;
	struct ice_agent *a = agent(false);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	add_peer(a, 0, ICE_CAND_HOST, PEER);
	(void)want_message(a, 0, STUN_REQUEST, &m);
	other_pwd.pwd[0] ^= 1;
	assert_int_equal(ask_as(a, 1, PEER, &(struct asked){ .to = &other_pwd }), LN_E_AUTH);
	assert_int_equal(ask_as(a, 1, PEER, &(struct asked){ .to = &stranger }), LN_E_NOTFOUND);
	assert_int_equal(ask_as(a, 1, PEER, &(struct asked){ .from = &stranger }), LN_E_AUTH);
	want_nothing(a, 1);

	/* An answer by another password, from another address, of an unknown transaction. */
	uint8_t pkt[512];
	struct ip_ep peer = ep(PEER);
	struct ip_ep host = ep(HOST);
	struct ice_check c = { .local = &wrong, .own_cid = "", .peer_cid = "" };
	struct mslice into = mslice_of(pkt, sizeof(pkt));
	assert_int_equal(
		ice_agent_input(a, 2, &peer, ice_check_write_success(into, &m.tid, &host, &c)),
		LN_E_AUTH);
	assert_int_equal(answer(a, 2, &m, "10.2.0.3:51820", HOST), LN_E_STATE);
	struct stun_msg unknown = m;
	unknown.tid.b[11] ^= 1;
	assert_int_equal(answer(a, 2, &unknown, PEER, HOST), LN_E_NOTFOUND);
	/* Too late: the transaction lives 4 s. */
	assert_int_equal(answer(a, 4 * LN_SEC + 1, &m, PEER, HOST), LN_E_NOTFOUND);
	ice_agent_report(a, &r);
	assert_int_equal(r.checks_refused, 3);
	assert_int_equal(r.pairs_answered, 0);

	/* Every truncation and every changed byte of a valid request is refused. */
	struct stun_tid tid = { { 7 } };
	c = (struct ice_check){
		.local = &theirs, .remote = &ours, .own_cid = "a", .peer_cid = "b"
	};
	struct slice req = ice_check_write_request(into, &tid, &c);
	for (size_t n = 0; n < req.n; n++)
		assert_true(ice_agent_input(a, 3, &peer, slice_of(pkt, n)) < 0);
	/* FINGERPRINT's own header is not: without it the message is still authentic. */
	for (size_t n = 0; n < req.n - 8; n++) {
		pkt[n] ^= 0x80;
		assert_true(ice_agent_input(a, 3, &peer, req) < 0);
		pkt[n] ^= 0x80;
	}
	assert_int_equal(ice_agent_input(a, 3, &peer, req), 0);
	ice_agent_free(a);
}

/* Spec 4.5: neither checks to an overlay address nor answers to one. */
static void overlay_guard(void **state)
{
	struct ice_agent_conf conf = { .noverlay = 1 };
	assert_int_equal(ip_prefix_parse(slice_str("100.71.0.0/16"), &conf.overlay[0]), 0);
	struct ice_agent *a = agent_with(conf);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	struct ice_cand inside = cand(ICE_CAND_HOST, "100.71.3.4:51820");
	assert_int_equal(ice_agent_add_remote(a, 0, &inside), LN_E_DENIED);
	assert_int_equal(ice_agent_add_local(a, 0, &inside), LN_E_DENIED);
	assert_int_equal(ask(a, 0, "100.71.3.4:51820", true, false), LN_E_DENIED);
	want_nothing(a, 0);
	ice_agent_free(a);
}

static void candidate_rules(void **state)
{
	struct ice_report r;
	struct stun_msg m;
	struct ice_agent *a = agent(true);
	static const char *const bad[] = { "0.0.0.0:1",         "10.0.0.1:0",  "224.0.0.1:5",
					   "255.255.255.255:5", "[fe80::1]:5", "[ff02::1]:5" };
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		struct ice_cand c = cand(ICE_CAND_HOST, bad[i]);
		assert_int_equal(ice_agent_add_remote(a, 0, &c), LN_E_MALFORMED);
	}
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	/* Not checked: a family we do not have, loopback, our own address. */
	add_peer(a, 0, ICE_CAND_HOST, "[2001:db8::1]:5");
	add_peer(a, 0, ICE_CAND_HOST, "127.0.0.1:5");
	add_peer(a, 0, ICE_CAND_HOST, HOST);
	want_nothing(a, 0);
	ice_agent_report(a, &r);
	assert_int_equal(r.pairs, 0);
	assert_int_equal(r.remote_host, 3);
	struct ice_cand v6 = cand(ICE_CAND_HOST, "[2001:db8::2]:5");
	assert_int_equal(ice_agent_add_local(a, 0, &v6), 0);
	assert_int_equal(ice_agent_add_local(a, 0, &v6), LN_E_CONFLICT);
	(void)want_message(a, 0, STUN_REQUEST, &m);

	/* Spec 2.10: a srflx candidate with cid whose rport differs makes a second one. */
	struct ice_cand srflx = cand(ICE_CAND_SRFLX, "203.0.113.7:40001");
	srflx.related = ep("0.0.0.0:51820");
	assert_int_equal(ice_agent_add_remote(a, 1, &srflx), 0);
	struct ip_ep to = want_message(a, 1, STUN_REQUEST, &m);
	assert_int_equal(to.port, 40001);
	to = want_message(a, 1, STUN_REQUEST, &m);
	assert_int_equal(to.port, 51820);
	assert_int_equal(ice_agent_add_remote(a, 1, &srflx), LN_E_CONFLICT);
	/* Without cid the client sends it itself. */
	srflx.addr.port = 40002;
	srflx.related.port = 51821;
	srflx.cid[0] = '\0';
	assert_int_equal(ice_agent_add_remote(a, 1, &srflx), 0);
	(void)want_message(a, 1, STUN_REQUEST, &m);
	assert_false(stun_msg_has(&m, STUN_ATTR_PAIR_ID));
	want_nothing(a, 1);

	/* Of other credentials. */
	struct ice_cand stale = cand(ICE_CAND_HOST, "10.9.9.9:1");
	snprintf(stale.ufrag, sizeof(stale.ufrag), "OldUfrag");
	assert_int_equal(ice_agent_add_remote(a, 1, &stale), LN_E_STALE);
	assert_int_equal(ice_agent_set_remote(a, 1, &theirs), 0);
	assert_int_equal(ice_agent_set_remote(a, 1, &ours), LN_E_STATE);
	ice_agent_free(a);
}

static void remote_limit(void **state)
{
	struct stun_msg m;
	struct ice_report r;
	struct ice_agent *a = agent(false);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	for (unsigned i = 0; i <= 64; i++) {
		char addr[32];
		snprintf(addr, sizeof(addr), "10.2.0.2:%u", 1000 + i);
		struct ice_cand c = cand(ICE_CAND_HOST, addr);
		assert_int_equal(ice_agent_add_remote(a, 0, &c), i < 64 ? 0 : LN_E_LIMIT);
	}
	/* Full: an unknown source is answered, but not remembered. */
	assert_int_equal(ask(a, 0, "203.0.113.66:1", true, true), 0);
	(void)want_message(a, 0, STUN_SUCCESS, &m);
	ice_agent_report(a, &r);
	assert_int_equal(r.remote_prflx, 0);
	/* In any second no more than fifty ordinary checks after the first round. */
	unsigned sent = 0;
	for (ln_time now = 0; now < 5 * LN_SEC; now = ice_agent_deadline(a)) {
		struct ice_out out;
		while (poll_one(a, now, &out))
			sent++;
	}
	assert_true(sent <= 64 + 5 * 50);
	ice_agent_free(a);

	/* Peer-reflexive ones make room for newer ones. */
	a = agent(false);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	for (unsigned i = 0; i < 100; i++) {
		char addr[32];
		struct ice_out out;
		snprintf(addr, sizeof(addr), "203.0.113.66:%u", 1000 + i);
		assert_int_equal(ask(a, i, addr, true, false), 0);
		while (poll_one(a, i, &out))
			continue;
	}
	ice_agent_report(a, &r);
	assert_int_equal(r.remote_prflx, 64);
	ice_agent_free(a);
}

/* RFC 8445 7.3.1.1: the larger tie-breaker keeps its role, the other one learns it. */
static void role_conflicts(void **state)
{
	struct stun_msg m;
	for (int controlling = 0; controlling < 2; controlling++) {
		for (int we_win = 0; we_win < 2; we_win++) {
			struct ice_agent *a = agent(controlling);
			assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
			struct asked q = { .controlling = controlling,
					   .tie = we_win ? 0 : UINT64_MAX };
			assert_int_equal(ask_as(a, 0, PEER, &q), 0);
			bool refused = we_win == controlling;
			(void)want_message(a, 0, refused ? STUN_ERROR : STUN_SUCCESS, &m);
			if (refused) {
				unsigned code;
				assert_int_equal(
					stun_attr_read_error(m.attr[STUN_ATTR_ERROR_CODE], &code),
					0);
				assert_int_equal(code, 487);
				want_nothing(a, 0);
			} else {
				(void)want_message(a, 0, STUN_REQUEST, &m);
				assert_int_equal(stun_msg_has(&m, STUN_ATTR_ICE_CONTROLLING),
						 !controlling);
			}
			ice_agent_free(a);
		}
	}
	/* A received 487 turns us round. */
	struct ice_agent *a = agent(true);
	uint8_t pkt[256];
	struct ip_ep peer = ep(PEER);
	struct ice_check c = { .local = &theirs, .own_cid = "", .peer_cid = "" };
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	add_peer(a, 0, ICE_CAND_HOST, PEER);
	(void)want_message(a, 0, STUN_REQUEST, &m);
	assert_int_equal(
		ice_agent_input(a, 1, &peer,
				ice_check_write_conflict(mslice_of(pkt, sizeof(pkt)), &m.tid, &c)),
		0);
	(void)want_message(a, 1, STUN_REQUEST, &m);
	assert_true(stun_msg_has(&m, STUN_ATTR_ICE_CONTROLLED));
	ice_agent_free(a);
}

/* A nominated pair that falls silent makes way for the next. */
static void nomination_moves_on(void **state)
{
	struct stun_msg first;
	struct stun_msg second;
	struct stun_msg m;
	uint8_t kept[256];
	struct ice_agent *a = agent(true);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	add_peer(a, 0, ICE_CAND_HOST, PEER);
	(void)want_message(a, 0, STUN_REQUEST, &first);
	memcpy(kept, first.raw.p, first.raw.n);
	add_peer(a, 0, ICE_CAND_HOST, "10.1.0.4:51820");
	(void)want_message(a, 0, STUN_REQUEST, &second);
	assert_int_equal(answer(a, 1, &first, PEER, HOST), 0);
	assert_int_equal(answer(a, 1, &second, "10.1.0.4:51820", HOST), 0);
	unsigned to_first = 0;
	struct ip_ep peer = ep(PEER);
	for (ln_time now = 1; now < 4 * LN_SEC; now = ice_agent_deadline(a)) {
		struct ice_out out;
		while (poll_one(a, now, &out)) {
			assert_int_equal(stun_msg_read(out.data, &m), 0);
			if (!stun_msg_has(&m, STUN_ATTR_USE_CANDIDATE))
				continue;
			bool first_pair = ip_ep_equal(&out.to, &peer);
			to_first += first_pair;
			assert_int_equal(first_pair, now < 3 * LN_SEC + 1);
		}
	}
	assert_true(to_first >= 10);
	ice_agent_free(a);
}

/* A candidate that a check has announced before keeps its pair and gets its type and id. */
static void prflx_becomes_known(void **state)
{
	struct stun_msg m;
	struct ice_report r;
	struct ice_agent *a = agent(false);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	assert_int_equal(ask(a, 0, "203.0.113.66:5", true, false), 0);
	(void)want_message(a, 0, STUN_SUCCESS, &m);
	(void)want_message(a, 0, STUN_REQUEST, &m);
	add_peer(a, 1, ICE_CAND_SRFLX, "203.0.113.66:5");
	ice_agent_report(a, &r);
	assert_int_equal(r.remote_prflx, 0);
	assert_int_equal(r.remote_srflx, 1);
	assert_int_equal(r.pairs, 1);
	ice_agent_free(a);
}

static void pair_priority(void **state)
{
	/* Spec 9. */
	assert_true(ice_pair_priority(2130706431, 2130706431) == 9151314440652587007u);
	assert_true(ice_pair_priority(2, 1) == ice_pair_priority(1, 2) + 1);
	assert_true(ice_pair_priority(2130706431, 1694498815) <
		    ice_pair_priority(1862270975, 1862270975));
}

static void via_names(void **state)
{
	struct ip_ep plain = ep("192.0.2.7:99"), via = plain, v6 = ep("[2001:db8::1]:99");
	(void)state;
	assert_true(ice_via_make(&plain, &via));
	assert_true(ice_via_is(&via) && !ice_via_is(&plain) && !ice_via_is(&v6));
	struct ip_ep back = ice_via_undo(&via);
	assert_true(ip_ep_equal(&back, &plain));
	assert_false(ice_via_make(&v6, &via));
}

/* A relayed candidate of ours doubles the pairs; the direct one is preferred, the other works. */
static void relayed_base(void **state)
{
	struct ice_agent *a = agent(true);
	struct ice_cand relay = cand(ICE_CAND_RELAY, "203.0.113.9:50000");
	struct ip_ep peer = ep(PEER), via;
	struct stun_msg m;
	struct ice_report r;
	struct ice_out out;
	(void)state;
	assert_true(ice_via_make(&peer, &via));
	char name[IP_EP_TEXT_MAX];
	ip_ep_format(&via, name);
	/* Whichever comes first. */
	add_peer(a, 0, ICE_CAND_HOST, PEER);
	assert_int_equal(ice_agent_add_local(a, 0, &relay), 0);
	assert_int_equal(ice_agent_set_remote(a, 0, &theirs), 0);
	ice_agent_report(a, &r);
	assert_int_equal(r.local_relay, 1);
	assert_int_equal(r.pairs, 2);
	/* Nobody but ourselves gives such names. */
	struct ice_cand forged = cand(ICE_CAND_HOST, name);
	assert_int_equal(ice_agent_add_remote(a, 0, &forged), LN_E_MALFORMED);
	/* Only the check through the allocation is answered. */
	bool seen = false;
	ln_time now = 0;
	for (int i = 0; i < 4 && !seen; i++, now += 100 * LN_MSEC) {
		while (poll_one(a, now, &out) && !seen) {
			assert_int_equal(stun_msg_read(out.data, &m), 0);
			seen = ip_ep_equal(&out.to, &via);
		}
	}
	assert_true(seen);
	assert_int_equal(answer(a, now, &m, name, "203.0.113.9:50000"), 0);
	/* Nominated after the wait for relayed pairs, not before. */
	bool nominated = false;
	for (; now < 1900 * LN_MSEC; now += 50 * LN_MSEC)
		while (poll_one(a, now, &out)) {
			assert_int_equal(stun_msg_read(out.data, &m), 0);
			nominated |= stun_msg_has(&m, STUN_ATTR_USE_CANDIDATE);
		}
	assert_false(nominated);
	for (; now < 3 * LN_SEC && !nominated; now += 50 * LN_MSEC)
		while (!nominated && poll_one(a, now, &out)) {
			assert_int_equal(stun_msg_read(out.data, &m), 0);
			nominated = stun_msg_has(&m, STUN_ATTR_USE_CANDIDATE);
		}
	assert_true(nominated);
	assert_true(ip_ep_equal(&out.to, &via));
	assert_int_equal(answer(a, now, &m, name, "203.0.113.9:50000"), 0);
	want_event(a, now, ICE_OUT_SELECTED, &out);
	assert_int_equal(out.pair.local.type, ICE_CAND_RELAY);
	assert_true(ip_ep_equal(&out.pair.local.addr, &relay.addr));
	ice_agent_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(via_names),
		cmocka_unit_test(relayed_base),
		cmocka_unit_test(request_layout),
		cmocka_unit_test(keeps_checking),
		cmocka_unit_test(budget_of_checks),
		cmocka_unit_test(far_hosts_wait),
		cmocka_unit_test(controlling_nominates_host_at_once),
		cmocka_unit_test(acceptance_waits),
		cmocka_unit_test(controlled_triggers_and_selects),
		cmocka_unit_test(controlled_follows_better),
		cmocka_unit_test(keepalive_and_silence),
		cmocka_unit_test(rest_and_silence),
		cmocka_unit_test(rest_ends),
		cmocka_unit_test(early_checks),
		cmocka_unit_test(without_pair_ids),
		cmocka_unit_test(refuses),
		cmocka_unit_test(overlay_guard),
		cmocka_unit_test(candidate_rules),
		cmocka_unit_test(remote_limit),
		cmocka_unit_test(role_conflicts),
		cmocka_unit_test(nomination_moves_on),
		cmocka_unit_test(prflx_becomes_known),
		cmocka_unit_test(pair_priority),
	};
	return cmocka_run_group_tests_name("ice_agent", tests, NULL, NULL);
}
