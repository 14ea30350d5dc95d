/*
 * The kernel device against an in-memory kernel: what it tells the kernel, what it concludes from
 * the kernel's table, and the wake endpoint over the real loopback.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/agent/kwg/kwg_internal.h"
#include "src/agent/wgif/wgif.h"
#include "src/plat/fake/fake_plat.h"
#include "src/plat/fake/fake_wg.h"
#include "tests/unit/unit.h"

#define EVENTS 32

static struct ev_loop *loop;
static struct plat *plat;
static struct fake_wg *host;
static struct kwg *dev;
static struct uwg_event events[EVENTS];
static size_t nevents;
static uint8_t data[1 << 18];
static int kernel = -1; /* in the place of the kernel's UDP socket */

static void on_event(void *user, const struct uwg_event *ev)
{
	(void)user;
	assert_true(nevents < EVENTS);
	events[nevents++] = *ev;
	assert_true(ev->data.n <= sizeof(data));
	if (ev->data.n > 0)
		memcpy(data, ev->data.p, ev->data.n);
}

static size_t count(enum uwg_event_kind kind)
{
	size_t n = 0;
	for (size_t i = 0; i < nevents; i++)
		n += events[i].kind == kind;
	return n;
}

static void turn(ln_time time)
{
	ln_time end = ev_now() + time;
	while (ev_now() < end)
		ev_loop_turn(loop, end - ev_now());
}

static struct wg_key key_of(uint8_t n)
{
	struct wg_key k = { .b = { n, 9 } };
	return k;
}

static struct ip_ep ep(const char *text)
{
	struct ip_ep e;
	assert_int_equal(ip_ep_parse(slice_str(text), &e), 0);
	return e;
}

static void set_peer(uint8_t n, uint16_t keepalive, unsigned nallowed)
{
	struct ip_prefix allowed[4];
	struct uwg_peer_conf c = { .key = key_of(n), .keepalive = keepalive };
	for (unsigned i = 0; i < nallowed; i++)
		allowed[i] =
			(struct ip_prefix){ .addr = ip_v4(0x0a000000U + n * 256U + i), .len = 32 };
	c.allowed = allowed;
	c.nallowed = nallowed;
	kwg_peer_set(dev, &c);
}

static struct fake_wg_peer *in_kernel(uint8_t n)
{
	struct wg_key k = key_of(n);
	struct fake_wg_peer *p = fake_wg_find(host, &k);
	assert_non_null(p);
	return p;
}

static int bound_socket(uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

/* As the kernel sends to the endpoint it was given. */
static void send_to_endpoint(int fd, const struct ip_ep *to, const void *p, size_t n)
{
	struct sockaddr_storage sa;
	unsigned len = ip_ep_to_sockaddr(to, &sa);
	assert_int_equal(sendto(fd, p, n, 0, (struct sockaddr *)&sa, len), n);
}

/* What WireGuard's socket hears. */
static void expect_from(int fd, const struct ip_ep *from, const void *p, size_t n)
{
	uint8_t b[2048];
	struct sockaddr_storage sa;
	struct ip_ep got;
	socklen_t len = sizeof(sa);
	assert_int_equal(recvfrom(fd, b, sizeof(b), MSG_DONTWAIT, (struct sockaddr *)&sa, &len), n);
	assert_memory_equal(b, p, n);
	assert_int_equal(ip_ep_from_sockaddr((struct sockaddr *)&sa, &got), 0);
	assert_true(ip_ep_equal(&got, from));
}

static int set_up(void **state)
{
	(void)state;
	struct ln_fail f = { 0 };
	struct wg_secret key = { .b = { 1 } };
	struct uwg_conf conf = { .ifname = "wt0", .mtu = 1280, .key = &key };
	nevents = 0;
	loop = ev_loop_new();
	if (plat_new("", &plat, &f) < 0)
		return -1;
	host = fake_plat_wg(plat);
	host->available = true;
	kernel = bound_socket(&conf.port);
	return kwg_new(loop, plat, &conf, on_event, NULL, &dev, &f);
}

static int tear_down(void **state)
{
	(void)state;
	kwg_free(dev);
	dev = NULL;
	ev_loop_turn(loop, 0);
	plat_free(plat);
	ev_loop_free(loop);
	close(kernel);
	return 0;
}

static void new_peers_get_the_wake_endpoint(void **state)
{
	(void)state;
	set_peer(1, 25, 2);
	set_peer(2, 0, 1);
	struct fake_wg_peer *a = in_kernel(1), *b = in_kernel(2);
	assert_true(kwg_wake_is_ours(&a->p.endpoint));
	assert_true(kwg_wake_is_ours(&b->p.endpoint));
	assert_false(ip_ep_equal(&a->p.endpoint, &b->p.endpoint));
	/* a keepalive towards nowhere would call for the peer by itself */
	assert_int_equal(a->p.keepalive, 0);
	assert_int_equal(a->p.nallowed, 2);
	set_peer(1, 25, 1);
	assert_int_equal(in_kernel(1)->p.nallowed, 1);
	set_peer(1, 25, 1); /* the same list is not replaced again */
	assert_int_equal(in_kernel(1)->p.nallowed, 1);
	struct wg_key k = key_of(1);
	kwg_peer_remove(dev, &k);
	kwg_peer_remove(dev, &k);
	assert_int_equal(host->npeers, 1);
}

static void endpoints(void **state)
{
	(void)state;
	struct wg_key k = key_of(1);
	struct ip_ep to = ep("192.0.2.1:5000"), none = { 0 };
	set_peer(1, 0, 1);
	kwg_peer_endpoint(dev, &k, &to, false);
	assert_true(ip_ep_equal(&in_kernel(1)->p.endpoint, &to));
	assert_int_equal(in_kernel(1)->sent_keepalives, 0);
	set_peer(1, 25, 1);
	assert_int_equal(in_kernel(1)->p.keepalive, 25);
	assert_int_equal(in_kernel(1)->sent_keepalives, 1);
	/* "initiate" makes the kernel send something whatever the keepalive was */
	kwg_peer_endpoint(dev, &k, &to, true);
	assert_int_equal(in_kernel(1)->sent_keepalives, 2);
	assert_int_equal(in_kernel(1)->p.keepalive, 25);
	set_peer(1, 0, 1);
	kwg_peer_endpoint(dev, &k, &to, true);
	assert_int_equal(in_kernel(1)->sent_keepalives, 3);
	assert_int_equal(in_kernel(1)->p.keepalive, 0);
	kwg_peer_endpoint(dev, &k, &none, false);
	assert_true(kwg_wake_is_ours(&in_kernel(1)->p.endpoint));
	k = key_of(77);
	kwg_peer_endpoint(dev, &k, &to, true);
	assert_int_equal(host->npeers, 1);
}

static void first_packet_wakes_and_survives(void **state)
{
	(void)state;
	uint8_t initiation[WG_MSG_INITIATION_LEN] = { WG_MSG_INITIATION, 0, 0, 0, 0xaa };
	struct wg_key k = key_of(2);
	struct ip_ep to = ep("192.0.2.1:5000");
	set_peer(1, 0, 1);
	set_peer(2, 0, 1);
	struct ip_ep wake = in_kernel(2)->p.endpoint;
	send_to_endpoint(kernel, &wake, initiation, sizeof(initiation));
	turn(50 * LN_MSEC);
	assert_int_equal(count(UWG_EV_WANTED), 1);
	assert_true(wg_key_equal(&events[0].key, &k));
	/* the kernel tries again: the newest is kept, and nobody is called twice in a second */
	initiation[4] = 0xbb;
	send_to_endpoint(kernel, &wake, initiation, sizeof(initiation));
	turn(50 * LN_MSEC);
	assert_int_equal(count(UWG_EV_WANTED), 1);
	assert_int_equal(host->nsent, 0);
	kwg_peer_endpoint(dev, &k, &to, true);
	assert_int_equal(host->nsent, 1);
	assert_true(ip_ep_equal(&host->sent_to, &to));
	assert_int_equal(host->sent_len, sizeof(initiation));
	assert_memory_equal(host->sent, initiation, sizeof(initiation));
	/* one that was under way when the endpoint came */
	initiation[4] = 0xcc;
	send_to_endpoint(kernel, &wake, initiation, sizeof(initiation));
	turn(50 * LN_MSEC);
	assert_int_equal(host->nsent, 2);
	assert_int_equal(host->sent[4], 0xcc);
	assert_int_equal(count(UWG_EV_WANTED), 1);
}

/* The other side initiates: ours would only be in its way. */
static void the_answering_side_keeps_its_initiation(void **state)
{
	(void)state;
	const uint8_t initiation[WG_MSG_INITIATION_LEN] = { WG_MSG_INITIATION };
	struct wg_key k = key_of(1);
	struct ip_ep to = ep("192.0.2.1:5000");
	set_peer(1, 0, 1);
	send_to_endpoint(kernel, &in_kernel(1)->p.endpoint, initiation, sizeof(initiation));
	turn(50 * LN_MSEC);
	assert_int_equal(count(UWG_EV_WANTED), 1);
	kwg_peer_endpoint(dev, &k, &to, false);
	assert_int_equal(host->nsent, 0);
}

static void data_waits_for_the_next_endpoint(void **state)
{
	(void)state;
	uint8_t b[96] = { WG_MSG_DATA };
	struct wg_key k = key_of(1);
	struct ip_ep to = ep("192.0.2.1:5000");
	set_peer(1, 0, 1);
	struct ip_ep wake = in_kernel(1)->p.endpoint;
	send_to_endpoint(kernel, &wake, b, WG_MSG_DATA_MIN); /* a keepalive calls for nobody */
	send_to_endpoint(kernel, &wake, b, 0);
	send_to_endpoint(kernel, &wake, "hello", 5);
	turn(50 * LN_MSEC);
	assert_int_equal(count(UWG_EV_WANTED), 0);
	for (unsigned i = 0; i < KWG_WAITING_MAX + 3; i++) {
		b[8] = (uint8_t)i;
		send_to_endpoint(kernel, &wake, b, sizeof(b));
	}
	turn(50 * LN_MSEC);
	assert_int_equal(count(UWG_EV_WANTED), 1);
	kwg_peer_endpoint(dev, &k, &to, false);
	assert_int_equal(host->nsent, KWG_WAITING_MAX); /* the newest ones */
	assert_int_equal(host->sent[8], KWG_WAITING_MAX + 2);
}

static void strangers_wake_nobody(void **state)
{
	(void)state;
	const uint8_t initiation[WG_MSG_INITIATION_LEN] = { WG_MSG_INITIATION };
	uint16_t port = 0;
	int other = bound_socket(&port);
	set_peer(1, 0, 1);
	struct ip_ep wake = in_kernel(1)->p.endpoint;
	send_to_endpoint(other, &wake, initiation, sizeof(initiation));
	struct ip_ep elsewhere = wake;
	elsewhere.addr = ip_v4(0x7f000001U);
	send_to_endpoint(kernel, &elsewhere, initiation, sizeof(initiation));
	elsewhere.addr = ip_v4(0x7f400000U + 4711); /* a slot nobody has */
	send_to_endpoint(kernel, &elsewhere, initiation, sizeof(initiation));
	turn(50 * LN_MSEC);
	assert_int_equal(nevents, 0);
	close(other);
}

static void peers_reached_by_a_relay(void **state)
{
	(void)state;
	uint8_t b[96] = { WG_MSG_DATA };
	const uint8_t initiation[WG_MSG_INITIATION_LEN] = { WG_MSG_INITIATION };
	struct wg_key k = key_of(1);
	struct ip_ep relay = { .addr = ip_v4(0x7f010203U), .port = kwg_port(dev) };
	struct ip_ep to, direct = ep("[2001:db8::1]:5000");
	struct slice one, batch;
	struct uwg_peer_stats s;
	set_peer(1, 0, 1);
	send_to_endpoint(kernel, &in_kernel(1)->p.endpoint, initiation, sizeof(initiation));
	turn(50 * LN_MSEC);
	kwg_peer_endpoint(dev, &k, &relay, true);
	/* the caught initiation goes the same way, but not from inside the call */
	assert_int_equal(count(UWG_EV_RELAY), 0);
	turn(50 * LN_MSEC);
	assert_int_equal(count(UWG_EV_RELAY), 1);
	batch = slice_of(data, events[nevents - 1].data.n);
	assert_true(uwg_relay_next(&batch, &to, &one));
	assert_true(ip_ep_equal(&to, &relay));
	assert_int_equal(one.n, sizeof(initiation));
	assert_false(uwg_relay_next(&batch, &to, &one));
	/* the kernel sends to a port of ours */
	struct ip_ep in = in_kernel(1)->p.endpoint;
	assert_true(ip_equal(&in.addr, &relay.addr));
	assert_int_not_equal(in.port, relay.port);
	b[8] = 1;
	send_to_endpoint(kernel, &in, b, sizeof(b));
	b[8] = 2;
	send_to_endpoint(kernel, &in, b, WG_MSG_DATA_MIN); /* keepalives as well */
	nevents = 0;
	turn(50 * LN_MSEC);
	assert_int_equal(count(UWG_EV_RELAY), nevents);
	assert_in_range(nevents, 1, 2);
	batch = slice_of(data, events[nevents - 1].data.n);
	while (uwg_relay_next(&batch, &to, &one))
		assert_true(ip_ep_equal(&to, &relay));
	assert_int_equal(one.n, WG_MSG_DATA_MIN);
	assert_int_equal(one.p[8], 2);
	/* and sees what the relay brings as from there, or from where the owner says */
	nevents = 0;
	kwg_inject(dev, &relay, slice_of(b, sizeof(b)));
	kwg_inject(dev, &direct, slice_of(b, sizeof(b)));
	turn(20 * LN_MSEC);
	expect_from(kernel, &in, b, sizeof(b));
	assert_int_equal(host->ninjected, 1);
	assert_true(ip_ep_equal(&host->injected_from, &direct));
	assert_int_equal(kwg_peer_stats(dev, &k, &s), 0);
	assert_true(ip_ep_equal(&s.endpoint, &relay));
	turn(400 * LN_MSEC);
	assert_int_equal(count(UWG_EV_ROAMED), 0);
}

/* Many datagrams in one turn: all arrive whole and in order, whatever their sizes and sources. */
static void relayed_datagrams_go_in_runs(void **state)
{
	(void)state;
	static uint8_t b[1400];
	struct ip_ep relay[2], in[2];
	for (uint8_t i = 0; i < 2; i++) {
		struct wg_key k = key_of(i);
		relay[i] = (struct ip_ep){ .addr = ip_v4(0x7f010203U + i), .port = kwg_port(dev) };
		set_peer(i, 0, 1);
		kwg_peer_endpoint(dev, &k, &relay[i], false);
		in[i] = in_kernel(i)->p.endpoint;
	}
	static const size_t sizes[] = { 1312, 1312, 1312, 700, 1312, 80, 80, 1400, 32 };
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 100; i++) {
			memset(b, (int)i, sizeof(b));
			kwg_inject(dev, &relay[i / 70], slice_of(b, sizes[i % LN_COUNT(sizes)]));
		}
		kwg_inject(dev, &relay[0], slice_of(NULL, 0)); /* nothing */
		turn(20 * LN_MSEC);
		for (unsigned i = 0; i < 100; i++) {
			memset(b, (int)i, sizeof(b));
			expect_from(kernel, &in[i / 70], b, sizes[i % LN_COUNT(sizes)]);
		}
		assert_int_equal(dev->wake.no_gso, round == 2); /* this kernel can */
		dev->wake.no_gso = round == 1;                  /* an old kernel */
	}
	assert_int_equal(recv(kernel, b, sizeof(b), MSG_DONTWAIT), -1);
	assert_int_equal(host->ninjected, 0);
	/* and what the kernel sends arrives the same way, more than one batch of it */
	for (unsigned i = 0; i < 150; i++) {
		memset(b, (int)i, 4);
		b[0] = WG_MSG_DATA;
		send_to_endpoint(kernel, &in[1], b, 4 + i);
	}
	nevents = 0;
	turn(50 * LN_MSEC);
	size_t bytes = 0;
	for (size_t i = 0; i < nevents; i++)
		bytes += events[i].data.n;
	struct str one = { 0 };
	uwg_relay_add(&one, &relay[1], slice_of(b, 0));
	assert_int_equal(bytes, 150 * (one.n + 4) + 149 * 150 / 2);
	str_fini(&one);
}

static void handshakes_and_moves_are_seen(void **state)
{
	(void)state;
	struct wg_key k = key_of(1);
	struct ip_ep to = ep("192.0.2.1:5000"), moved = ep("192.0.2.1:6000");
	set_peer(1, 0, 1);
	turn(30 * LN_MSEC);
	unsigned before = host->dumps;
	turn(300 * LN_MSEC);
	assert_int_equal(host->dumps, before); /* nobody asks, nobody looks */
	kwg_peer_endpoint(dev, &k, &to, true);
	turn(20 * LN_MSEC);
	assert_int_equal(nevents, 0);
	in_kernel(1)->p.last_handshake = ev_wall() - LN_SEC;
	in_kernel(1)->p.rx_bytes = 92;
	turn(400 * LN_MSEC);
	assert_int_equal(count(UWG_EV_HANDSHAKE), 1);
	assert_true(wg_key_equal(&events[0].key, &k));
	in_kernel(1)->p.endpoint = moved;
	turn(400 * LN_MSEC);
	assert_int_equal(count(UWG_EV_HANDSHAKE), 1);
	assert_int_equal(count(UWG_EV_ROAMED), 1);
	assert_true(ip_ep_equal(&events[1].from, &moved));

	struct uwg_peer_stats s;
	assert_int_equal(kwg_peer_stats(dev, &k, &s), 0);
	assert_true(s.last_handshake > 0 && s.last_handshake <= ev_now() - LN_SEC);
	assert_int_equal(s.rx_bytes, 92);
	assert_true(s.last_received > 0);
	assert_int_equal(s.last_data_received, 0); /* a handshake is no data */
	assert_true(ip_ep_equal(&s.endpoint, &moved));
	k = key_of(2);
	assert_int_equal(kwg_peer_stats(dev, &k, &s), LN_E_NOTFOUND);
}

static void what_counts_as_data(void **state)
{
	(void)state;
	assert_false(kwg_poll_is_data(0, 0, false));
	assert_false(kwg_poll_is_data(LN_SEC, 32, false));
	assert_true(kwg_poll_is_data(LN_SEC, 33, false));
	assert_true(kwg_poll_is_data(LN_SEC, 64, false));
	assert_false(kwg_poll_is_data(LN_SEC, 32 + 148 + 92, true));
	assert_true(kwg_poll_is_data(LN_SEC, 32 + 148 + 93, true));
	/* a minute of keepalives, and one small packet among them */
	assert_false(kwg_poll_is_data(60 * LN_SEC, 3 * 32, false));
	assert_true(kwg_poll_is_data(60 * LN_SEC, 2 * 32 + 64, false));
}

static void table_is_read_once_for_all(void **state)
{
	(void)state;
	struct uwg_peer_stats s;
	for (uint8_t i = 0; i < 50; i++)
		set_peer(i, 0, 1);
	unsigned before = host->dumps;
	for (uint8_t i = 0; i < 50; i++) {
		struct wg_key k = key_of(i);
		assert_int_equal(kwg_peer_stats(dev, &k, &s), 0);
		assert_int_equal(s.endpoint.addr.family,
				 0); /* the wake endpoint is nobody's business */
	}
	assert_int_equal(host->dumps, before + 1);
}

static void stun_is_passed_on(void **state)
{
	(void)state;
	uint8_t stun[20] = { 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42 };
	struct ip_ep from = ep("192.0.2.9:3478");
	fake_wg_push_stun(host, &from, slice_of(stun, sizeof(stun)));
	stun[3] = 4; /* a length that is not its own */
	fake_wg_push_stun(host, &from, slice_of(stun, sizeof(stun)));
	turn(50 * LN_MSEC);
	assert_int_equal(nevents, 1);
	assert_int_equal(events[0].kind, UWG_EV_STUN);
	assert_true(ip_ep_equal(&events[0].from, &from));
	assert_int_equal(events[0].data.n, 20);
	assert_int_equal(kwg_send(dev, &from, slice_of(stun, 20)), 0);
	assert_int_equal(host->nsent, 1);
}

static void a_removed_link_is_noticed(void **state)
{
	(void)state;
	struct wg_key k = key_of(1);
	struct uwg_peer_stats s;
	set_peer(1, 0, 1);
	kwg_check(dev);
	turn(30 * LN_MSEC);
	assert_int_equal(nevents, 0);
	host->gone = true;
	kwg_check(dev);
	assert_int_equal(nevents, 0); /* never from inside a call */
	turn(30 * LN_MSEC);
	set_peer(1, 0, 2);
	assert_int_equal(kwg_peer_stats(dev, &k, &s), 0);
	turn(30 * LN_MSEC);
	assert_int_equal(nevents, 1);
	assert_int_equal(events[0].kind, UWG_EV_DOWN);
}

static void free_in_event(void *user, const struct uwg_event *ev)
{
	(void)user;
	(void)ev;
	nevents++;
	kwg_free(dev);
	dev = NULL;
}

static void owner_frees_it_in_an_event(void **state)
{
	(void)state;
	struct wg_key k = key_of(1);
	struct ip_ep to = ep("192.0.2.1:5000");
	dev->on_event = free_in_event;
	for (uint8_t i = 1; i < 4; i++)
		set_peer(i, 0, 1);
	kwg_peer_endpoint(dev, &k, &to, true);
	for (uint8_t i = 1; i < 4; i++)
		in_kernel(i)->p.last_handshake = ev_wall();
	turn(300 * LN_MSEC);
	assert_int_equal(nevents, 1);
}

static void choice(void **state)
{
	(void)state;
	struct ln_fail f = { 0 };
	struct wg_secret key = { .b = { 1 } };
	struct uwg_conf conf = { .ifname = "wt0", .mtu = 1280, .key = &key };
	struct wgif *w = NULL;
	kwg_free(dev);
	dev = NULL;
	assert_int_equal(wgif_new(loop, plat, false, &conf, on_event, NULL, &w, &f), 0);
	assert_true(wgif_is_kernel(w));
	assert_string_equal(wgif_ifname(w), "wt0");
	wgif_free(w);
	/* In user space this name cannot be had: the kernel was not asked, or could not. */
	conf.ifname = "an-interface-name-that-is-too-long";
	assert_true(wgif_new(loop, plat, true, &conf, on_event, NULL, &w, &f) < 0);
	host->available = false;
	assert_true(wgif_new(loop, plat, false, &conf, on_event, NULL, &w, &f) < 0);
	host->available = true;
	host->fail_new = -EPERM;
	assert_true(wgif_new(loop, plat, false, &conf, on_event, NULL, &w, &f) < 0);
	assert_null(host->dev);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(new_peers_get_the_wake_endpoint),
		TEST(endpoints),
		TEST(first_packet_wakes_and_survives),
		TEST(the_answering_side_keeps_its_initiation),
		TEST(data_waits_for_the_next_endpoint),
		TEST(strangers_wake_nobody),
		TEST(peers_reached_by_a_relay),
		TEST(relayed_datagrams_go_in_runs),
		TEST(handshakes_and_moves_are_seen),
		cmocka_unit_test(what_counts_as_data),
		TEST(table_is_read_once_for_all),
		TEST(stun_is_passed_on),
		TEST(a_removed_link_is_noticed),
		TEST(owner_frees_it_in_an_event),
		TEST(choice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
