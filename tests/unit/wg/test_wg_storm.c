/* One device with many peers, in virtual time: handshakes all due at once, traffic, and rest. */
#include <stdlib.h>
#include <time.h>

#include "lib/wg/wg_dev.h"
#include "lib/wg/wg_offload.h"

#include "tests/unit/unit.h"

#define PEERS 1200 /* more than the device answers in a second without cookies */
#define ACTIVE 100
#define KEEPALIVE 25
#define OVERHEAD 16 /* header of a data message */

struct client {
	struct wg_dev *dev;
	struct ip_ep ep;
	struct wg_key key;
	unsigned handshakes;
	unsigned delivered;
};

static struct wg_dev *hub;
static struct wg_key hub_key;
static struct client clients[PEERS];
static const struct ip_ep hub_ep = { .addr = { .family = 4, .b = { 192, 0, 2, 1 } }, .port = 1 };
static ln_time now = LN_SEC;
static unsigned hub_delivered;
static uint8_t room[WG_DEV_POLL_ROOM];
static uint64_t seed = 7;

static void fill(void *ctx, void *dst, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		((uint8_t *)dst)[i] = (uint8_t)(seed >> 40);
	}
}

static const struct ln_rng rng = { .fill = fill };

static struct ip_addr inner_of(size_t i)
{
	return ip_v4(0x64400000u + (uint32_t)i);
}

static struct wg_dev *device(struct wg_key *ret_key)
{
	struct wg_dev_conf c;
	struct wg_secret secret;
	wg_dev_conf_default(&c);
	wg_secret_generate(&secret, &rng);
	wg_secret_public(&secret, ret_key);
	c.secret = &secret;
	struct wg_dev *d = wg_dev_new(&c, &rng);
	wg_dev_set_wall(d, now, 1700000000 * LN_SEC);
	return d;
}

static void introduce(struct wg_dev *d, const struct wg_key *key, struct ip_prefix allowed)
{
	const struct wg_peer_conf c = {
		.key = *key, .allowed = &allowed, .nallowed = 1, .keepalive = KEEPALIVE
	};
	assert_int_equal(wg_dev_set_peer(d, now, &c), 0);
}

static int set_up(void **state)
{
	hub = device(&hub_key);
	for (size_t i = 0; i < PEERS; i++) {
		struct client *c = &clients[i];
		struct ip_addr inner = inner_of(i + 1);
		c->dev = device(&c->key);
		c->ep = (struct ip_ep){ .addr = ip_v4(0xc6120001u + (uint32_t)i), .port = 7 };
		introduce(hub, &c->key, ip_prefix_host(&inner));
		inner = inner_of(0);
		introduce(c->dev, &hub_key, ip_prefix_host(&inner));
	}
	return 0;
}

static int tear_down(void **state)
{
	for (size_t i = 0; i < PEERS; i++)
		wg_dev_free(clients[i].dev);
	wg_dev_free(hub);
	return 0;
}

static unsigned receive(struct wg_dev *d, uint8_t *b, size_t n, const struct ip_ep *from)
{
	struct wg_rx rx = { .msg = mslice_of(b, n), .from = from };
	wg_dev_open(d, now, &rx, 1);
	return rx.inner.n != 0;
}

/* Everything the client has to say reaches the hub at once. */
static void drain_client(struct client *c)
{
	struct wg_out o;
	while (wg_dev_poll(c->dev, now, mslice_of(room, sizeof(room)), &o)) {
		if (o.kind == WG_OUT_DATAGRAM)
			hub_delivered += receive(hub, room, o.len, &c->ep);
		c->handshakes += o.kind == WG_OUT_HANDSHAKE;
	}
}

static unsigned drain_hub(void)
{
	struct wg_out o;
	unsigned datagrams = 0;
	while (wg_dev_poll(hub, now, mslice_of(room, sizeof(room)), &o)) {
		if (o.kind != WG_OUT_DATAGRAM)
			continue;
		size_t i = wg_offload_be32(o.ep.addr.b) - 0xc6120001u;
		assert_true(i < PEERS);
		clients[i].delivered += receive(clients[i].dev, room, o.len, &hub_ep);
		datagrams++;
	}
	return datagrams;
}

/* Passes time in steps; returns the datagrams the hub sent. */
static unsigned run(ln_time duration, ln_time step)
{
	unsigned sent = 0;
	for (ln_time end = now + duration; now < end; now += step) {
		for (size_t i = 0; i < PEERS; i++)
			if (wg_dev_deadline(clients[i].dev) <= now)
				drain_client(&clients[i]);
		if (wg_dev_deadline(hub) <= now)
			sent += drain_hub();
	}
	return sent;
}

static size_t connected(void)
{
	size_t n = 0;
	for (size_t i = 0; i < PEERS; i++)
		n += clients[i].handshakes != 0;
	return n;
}

/* The first thousand at once, the others by cookies and their next attempts. */
static void test_all_at_once(void **state)
{
	for (size_t i = 0; i < PEERS; i++)
		assert_int_equal(wg_dev_set_endpoint(clients[i].dev, now, &hub_key, &hub_ep, true),
				 0);
	run(20 * LN_MSEC, 5 * LN_MSEC);
	size_t first = connected();
	run(12 * LN_SEC, 20 * LN_MSEC);
	print_message("# %zu of %d at once, %llu cookies\n", first, PEERS,
		      (unsigned long long)wg_dev_drops(hub)->cookies_sent);
	assert_true(first >= 1000 && first < PEERS);
	assert_true(wg_dev_drops(hub)->cookies_sent != 0);
	assert_int_equal(connected(), PEERS);
}

/* A small UDP packet; its content is of no interest. */
static void make_packet(uint8_t *p, size_t from, size_t to)
{
	struct ip_addr a = inner_of(from);
	memset(p, 0, 64);
	p[0] = 0x45;
	p[3] = 64;
	memcpy(p + 12, a.b, 4);
	a = inner_of(to);
	memcpy(p + 16, a.b, 4);
}

static void send_packet(struct wg_dev *d, size_t from, size_t to, struct wg_tx *ret)
{
	memset(room, 0, 256);
	make_packet(room + OVERHEAD, from, to);
	*ret = (struct wg_tx){ .msg = room, .inner = 64 };
	wg_dev_seal(d, now, ret, 1);
	assert_int_equal(ret->err, 0);
}

static void test_active_tunnels(void **state)
{
	hub_delivered = 0;
	for (unsigned round = 0; round < 20; round++)
		for (size_t k = 0; k < ACTIVE; k++) {
			size_t i = k * (PEERS / ACTIVE);
			struct wg_tx tx;
			send_packet(clients[i].dev, i + 1, 0, &tx);
			hub_delivered += receive(hub, room, tx.len, &clients[i].ep);
			send_packet(hub, 0, i + 1, &tx);
			clients[i].delivered += receive(clients[i].dev, room, tx.len, &hub_ep);
		}
	assert_int_equal(hub_delivered, 20 * ACTIVE);
	for (size_t k = 0; k < ACTIVE; k++)
		assert_int_equal(clients[k * (PEERS / ACTIVE)].delivered, 20);
}

/* At rest there are keepalives and nothing else, and the sessions are renewed without a storm. */
static void test_rest(void **state)
{
	run(15 * LN_SEC, 200 * LN_MSEC);
	struct timespec t0;
	struct timespec t1;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t0);
	unsigned sent = run(60 * LN_SEC, 200 * LN_MSEC);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t1);
	print_message("# %u datagrams in a minute of rest; all %d devices used %ld ms\n", sent,
		      PEERS + 1,
		      (t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000);
	assert_true(sent <= PEERS * (60 / KEEPALIVE + 1));
	run(80 * LN_SEC, 200 * LN_MSEC);
	for (size_t i = 0; i < PEERS; i++) /* at two minutes the sessions were renewed */
		assert_int_equal(clients[i].handshakes, 2);
	uint64_t lost = wg_dev_drops(hub)->no_session + wg_dev_drops(hub)->bad_auth;
	assert_int_equal(lost, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_active_tunnels),
		cmocka_unit_test(test_rest),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
