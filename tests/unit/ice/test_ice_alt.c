/* Two connected agents with an IPv4 and an IPv6 path between them, in virtual time. */
#include "lib/ice/ice_agent.h"
#include "lib/stun/stun_msg.h"

#include "tests/unit/unit.h"

#define FLIGHT 256

static uint64_t seed;

static void fill(void *ctx, void *dst, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)dst)[i] = (uint8_t)(seed >> 56);
	}
}

static const struct ln_rng rng = { fill, NULL };
static const char *const addrs[2][2] = { { "10.1.0.2:51820", "[2001:db8::2]:51820" },
					 { "10.1.0.3:51820", "[2001:db8::3]:51820" } };
static const struct ice_cred creds[2] = {
	{ "LeftUfragLeftUfr", "LeftPasswordLeftPasswordLeftPassw" },
	{ "RightUfragRightU", "RightPasswordRightPasswordRightPa" },
};

struct packet {
	ln_time at;
	int to, family;
	size_t n;
	uint8_t b[512];
};

static struct {
	ln_time now;
	struct ice_agent *a[2];
	struct packet flight[FLIGHT];
	size_t n;
	ln_time one_way[2]; /* by family: IPv4, IPv6 */
	int lose_every[2];  /* of each side's requests; 0 none */
	unsigned requests[2][2], selections[2];
	struct ip_ep selected[2];
	ln_time from; /* counted from here on */
} w;

static struct ip_ep ep(const char *text)
{
	struct ip_ep e;
	assert_int_equal(ip_ep_parse(slice_str(text), &e), 0);
	return e;
}

static void send(int side, const struct ice_out *out)
{
	int family = out->to.addr.family == 6;
	bool request = out->data.p[0] == 0;
	if (request && w.now >= w.from)
		w.requests[side][family]++;
	if (request && w.lose_every[family] != 0 &&
	    w.requests[side][family] % (unsigned)w.lose_every[family] == 0)
		return;
	assert_true(w.n < FLIGHT && out->data.n <= sizeof(w.flight[0].b));
	struct packet *p = &w.flight[w.n++];
	*p = (struct packet){
		.at = w.now + w.one_way[family], .to = !side, .family = family, .n = out->data.n
	};
	memcpy(p->b, out->data.p, p->n);
}

static void drain(int side)
{
	uint8_t buf[1280];
	struct ice_out out;
	while (ice_agent_poll(w.a[side], w.now, mslice_of(buf, sizeof(buf)), &out)) {
		if (out.kind == ICE_OUT_DATAGRAM)
			send(side, &out);
		if (out.kind == ICE_OUT_SELECTED) {
			w.selections[side]++;
			w.selected[side] = out.pair.remote.addr;
		}
	}
}

static ln_time earliest(void)
{
	ln_time at = ln_time_min(ice_agent_deadline(w.a[0]), ice_agent_deadline(w.a[1]));
	for (size_t i = 0; i < w.n; i++)
		at = ln_time_min(at, w.flight[i].at);
	return at;
}

static void run(ln_time until)
{
	for (;;) {
		ln_time at = LN_MAX(earliest(), w.now);
		if (at > until)
			break;
		w.now = at;
		for (size_t i = 0; i < w.n;) {
			struct packet p = w.flight[i];
			if (p.at > w.now) {
				i++;
				continue;
			}
			w.flight[i] = w.flight[--w.n];
			struct ip_ep from = ep(addrs[!p.to][p.family]);
			(void)!ice_agent_input(w.a[p.to], w.now, &from, slice_of(p.b, p.n));
		}
		drain(0);
		drain(1);
	}
	w.now = until;
}

static void start(bool renominate)
{
	memset(&w, 0, sizeof(w));
	seed = 11;
	w.one_way[0] = w.one_way[1] = 5 * LN_MSEC;
	w.from = LN_TIME_NEVER;
	for (int i = 0; i < 2; i++) {
		struct ice_agent_conf c = { .controlling = i == 0,
					    .local = creds[i],
					    .renominate = renominate };
		w.a[i] = ice_agent_new(&c, &rng, 0);
	}
	for (int i = 0; i < 2; i++) {
		for (int f = 0; f < 2; f++) {
			struct ip_ep e = ep(addrs[i][f]);
			struct ice_cand c;
			ice_cand_init(&c, ICE_CAND_HOST, &e, NULL, "", &rng);
			/* The first address is preferred. */
			c.priority -= (uint32_t)f << 8;
			assert_int_equal(ice_agent_add_local(w.a[i], 0, &c), 0);
			assert_int_equal(ice_agent_add_remote(w.a[!i], 0, &c), 0);
		}
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(ice_agent_set_remote(w.a[i], 0, &creds[!i]), 0);
	run(3 * LN_SEC);
	for (int i = 0; i < 2; i++) {
		struct ip_ep want = ep(addrs[!i][0]);
		assert_int_equal(ice_agent_state(w.a[i]), ICE_CONNECTED);
		assert_true(ip_ep_equal(&w.selected[i], &want));
	}
}

static void finish(void)
{
	ice_agent_free(w.a[0]);
	ice_agent_free(w.a[1]);
}

static struct ice_way way(int side, int family)
{
	struct ice_way v[4];
	struct ip_ep want = ep(addrs[!side][family]);
	size_t n = ice_agent_ways(w.a[side], v, LN_COUNT(v));
	for (size_t i = 0; i < n; i++)
		if (ip_ep_equal(&v[i].pair.remote.addr, &want))
			return v[i];
	fail_msg("no way over family %d", family);
	return v[0];
}

/* Both paths are measured, by both sides, and not one check more leaves than without the second. */
static void both_are_measured(void **state)
{
	(void)state;
	start(true);
	w.one_way[1] = 20 * LN_MSEC;
	w.from = w.now;
	run(w.now + 600 * LN_SEC);
	for (int i = 0; i < 2; i++) {
		assert_true(w.requests[i][0] + w.requests[i][1] <= 301);
		assert_in_range(w.requests[i][1], 50, 61);
		struct ice_way v4 = way(i, 0), v6 = way(i, 1);
		assert_true(v4.selected && !v6.selected);
		assert_true(v4.quality.rtt == 10 * LN_MSEC);
		assert_in_range(v6.quality.rtt, 39 * LN_MSEC, 41 * LN_MSEC);
		assert_int_equal(v6.quality.lost, 0);
		assert_true(v6.quality.n > 40);
		assert_int_equal(v4.quality.n, 64);
		assert_int_equal(w.selections[i], 1);
	}
	finish();
}

/* The other path loses half of what is asked there; the one in use does not look worse for it. */
static void loss_of_the_other(void **state)
{
	(void)state;
	start(true);
	w.lose_every[1] = 2;
	w.from = w.now;
	run(w.now + 900 * LN_SEC);
	for (int i = 0; i < 2; i++) {
		struct ice_way v4 = way(i, 0), v6 = way(i, 1);
		assert_int_equal(v4.quality.lost, 0);
		unsigned lost = ice_quality_count_lost(&v6.quality, 64);
		assert_int_equal(v6.quality.n, 64);
		assert_in_range(lost, 31, 33);
	}
	finish();
}

static void comparing_asks_more(void **state)
{
	(void)state;
	start(true);
	struct ip_ep other = ep(addrs[1][1]), nobody = ep("10.9.9.9:1");
	run(w.now + 10 * LN_SEC);
	assert_int_equal(ice_agent_compare(w.a[0], w.now, &nobody), LN_E_NOTFOUND);
	assert_int_equal(ice_agent_compare(w.a[0], w.now, &other), 0);
	w.from = w.now;
	run(w.now + 40 * LN_SEC);
	assert_in_range(w.requests[0][1], 9, 11);
	assert_true(w.requests[0][0] + w.requests[0][1] <= 21);
	assert_int_equal(ice_agent_compare(w.a[0], w.now, NULL), 0);
	w.requests[0][1] = 0;
	run(w.now + 40 * LN_SEC);
	assert_in_range(w.requests[0][1], 3, 5);
	finish();
}

static void both_change(void **state)
{
	(void)state;
	start(true);
	struct ip_ep other = ep(addrs[1][1]), mine = ep(addrs[0][1]), old = ep(addrs[1][0]);
	run(w.now + 10 * LN_SEC);
	/* The controlled side waits to be told. */
	assert_int_equal(ice_agent_renominate(w.a[1], w.now, &mine), LN_E_STATE);
	assert_int_equal(ice_agent_renominate(w.a[0], w.now, &old), LN_E_NOTFOUND);
	assert_int_equal(ice_agent_renominate(w.a[0], w.now, &other), 0);
	assert_int_equal(ice_agent_renominate(w.a[0], w.now, &other), LN_E_STATE);
	run(w.now + 10 * LN_MSEC);
	assert_true(ip_ep_equal(&w.selected[0], &other));
	assert_true(ip_ep_equal(&w.selected[1], &mine));
	/* It has the lower priority, and stays. */
	run(w.now + 60 * LN_SEC);
	assert_int_equal(w.selections[0], 2);
	assert_int_equal(w.selections[1], 2);
	assert_int_equal(ice_agent_state(w.a[0]), ICE_CONNECTED);
	/* And back again. */
	assert_int_equal(ice_agent_renominate(w.a[0], w.now, &old), 0);
	run(w.now + 60 * LN_SEC);
	assert_int_equal(w.selections[0], 3);
	assert_int_equal(w.selections[1], 3);
	assert_true(way(0, 0).selected && way(1, 0).selected);
	finish();
}

/* The nominating checks are lost: after a while the old pair is named again, and both are there. */
static void taken_back(void **state)
{
	(void)state;
	start(true);
	struct ip_ep other = ep(addrs[1][1]);
	run(w.now + 10 * LN_SEC);
	w.from = w.now;
	w.lose_every[1] = 1;
	assert_int_equal(ice_agent_renominate(w.a[0], w.now, &other), 0);
	run(w.now + 10 * LN_SEC);
	assert_int_equal(w.selections[0], 1);
	assert_true(way(0, 0).selected && way(1, 0).selected);
	w.lose_every[1] = 0;
	assert_int_equal(ice_agent_renominate(w.a[0], w.now, &other), 0);
	run(w.now + LN_SEC);
	assert_true(way(0, 1).selected && way(1, 1).selected);
	finish();
}

/* A nomination that is repeated by the network, or an old one, changes nothing. */
static void old_numbers(void **state)
{
	(void)state;
	uint8_t buf[1280];
	struct ice_out out;
	struct packet first = { 0 };
	start(true);
	struct ip_ep other = ep(addrs[1][1]), old = ep(addrs[1][0]), mine = ep(addrs[0][1]);
	run(w.now + 10 * LN_SEC);
	assert_int_equal(ice_agent_renominate(w.a[0], w.now, &other), 0);
	assert_true(ice_agent_poll(w.a[0], w.now, mslice_of(buf, sizeof(buf)), &out));
	assert_int_equal(out.kind, ICE_OUT_DATAGRAM);
	struct stun_msg m;
	assert_int_equal(stun_msg_read(out.data, &m), 0);
	assert_true(stun_msg_has(&m, STUN_ATTR_USE_CANDIDATE));
	assert_true(stun_msg_has(&m, STUN_ATTR_NOMINATION));
	assert_int_equal(stun_attr_u32(m.attr[STUN_ATTR_NOMINATION]), 1);
	first.n = out.data.n;
	memcpy(first.b, out.data.p, first.n);
	send(0, &out);
	run(w.now + 20 * LN_SEC);
	assert_true(way(1, 1).selected);
	assert_int_equal(ice_agent_renominate(w.a[0], w.now, &old), 0);
	run(w.now + LN_SEC);
	assert_true(way(0, 0).selected && way(1, 0).selected);
	assert_int_equal(ice_agent_input(w.a[1], w.now, &mine, slice_of(first.b, first.n)), 0);
	run(w.now + 20 * LN_SEC);
	assert_true(way(0, 0).selected && way(1, 0).selected);
	assert_int_equal(w.selections[1], 3);
	finish();
}

/* Another kind of agent is never asked to change. */
static void unmodified(void **state)
{
	(void)state;
	start(false);
	struct ip_ep other = ep(addrs[1][1]);
	run(w.now + 30 * LN_SEC);
	assert_true(way(0, 1).quality.rtt != 0);
	assert_int_equal(ice_agent_renominate(w.a[0], w.now, &other), LN_E_STATE);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_are_measured),   cmocka_unit_test(loss_of_the_other),
		cmocka_unit_test(comparing_asks_more), cmocka_unit_test(both_change),
		cmocka_unit_test(taken_back),          cmocka_unit_test(old_numbers),
		cmocka_unit_test(unmodified),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
