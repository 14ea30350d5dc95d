/*
 * The engine over an in-memory kernel (plat/fake): what maps do to peers, filter and state. The
 * WireGuard device is real, so each run takes a network namespace of its own; without the right to
 * one the tests are skipped.
 */
#include <errno.h>
#include <sched.h>

#include "lib/crypto/box.h"

#include "src/agent/engine/engine.h"
#include "src/plat/fake/fake_plat.h"
#include "tests/unit/agent/agent_folder.h"

#define IFNAME "lnt0"

static struct ev_loop *loop;
static struct plat *plat;
static struct agent_conf *conf;
static struct engine *engine;
static struct arena arena;
static struct wg_key own;
static unsigned ready, restarts;
static char why[128];

static void on_event(void *user, enum engine_event ev, const char *text)
{
	(void)user;
	ready += ev == ENGINE_EV_READY;
	restarts += ev == ENGINE_EV_RESTART;
	if (ev == ENGINE_EV_RESTART)
		(void)snprintf(why, sizeof(why), "%s", text);
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;
	assert_int_equal(ip_prefix_parse(slice_str(text), &p), 0);
	return p;
}

static void turns(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ev_loop_turn(loop, LN_MSEC);
}

static int begin(void **state)
{
	struct ln_fail f = { 0 };
	engine = NULL;
	ready = restarts = 0;
	if (unshare(CLONE_NEWNET) < 0 || access("/dev/net/tun", R_OK | W_OK) < 0)
		return 0;
	assert_int_equal(folder_new(state), 0);
	arena_init(&arena, 1 << 22);
	loop = ev_loop_new();
	assert_int_equal(plat_new("", &plat, &f), 0);
	assert_int_equal(agent_conf_load(folder_path("none.json"), ev_rng(), &conf, &f), 0);
	strcpy(conf->ifname, IFNAME);
	conf->wg_port = 0;
	wg_secret_public(&conf->key, &own);
	struct mgmt_login_response login = { .has_self = true, .has_servers = true };
	login.self = (struct netmap_self){ .address = prefix("100.64.0.1/16"),
					   .address_v6 = prefix("fd00::1/64"),
					   .fqdn = "me.example",
					   .lazy_connections = true };
	login.servers.has_signal = true;
	login.servers.signal.uri = "127.0.0.1:1"; /* the loopback is down here */
	struct engine_conf c = { .loop = loop,
				 .plat = plat,
				 .conf = conf,
				 .ifname = IFNAME,
				 .filter_table = "lntest",
				 .mark = 0x1bd00,
				 .lazy = -1,
				 .on_event = on_event };
	if (engine_new(&c, &login, &engine, &f) < 0)
		fail_msg("%s", f.text);
	return 0;
}

static int end(void **state)
{
	if (engine == NULL)
		return 0;
	engine_free(engine);
	turns(3);
	assert_null(fake_plat_find(plat, IFNAME)); /* nothing stays */
	plat_free(plat);
	ev_loop_free(loop);
	agent_conf_free(conf);
	arena_fini(&arena);
	return folder_free(state);
}

#define NEEDS_ENGINE()                                                                             \
 do {                                                                                              \
  (void)state;                                                                                     \
  if (engine == NULL)                                                                              \
   skip();                                                                                         \
 } while (0)

/* --- maps --------------------------------------------------------------------------------------*/

static struct ip_prefix allowed[8][2];
static struct netmap_peer peers[8];

/* Peer i: key from i, 100.64.1.i and fd00::1:i. */
static struct netmap_peer *peer(unsigned i)
{
	char text[64];
	struct wg_secret s = { { 0, (uint8_t)(i + 1) } };
	(void)snprintf(text, sizeof(text), "100.64.1.%u/32", i);
	allowed[i][0] = prefix(text);
	(void)snprintf(text, sizeof(text), "fd00::1:%u/128", i);
	allowed[i][1] = prefix(text);
	peers[i] = (struct netmap_peer){ .v4 = allowed[i][0].addr,
					 .v6 = allowed[i][1].addr,
					 .allowed = allowed[i],
					 .nallowed = 2,
					 .fqdn = "p.example",
					 .agent_version = "0.77.1" };
	wg_secret_public(&s, &peers[i].key);
	return &peers[i];
}

static struct netmap map(uint64_t serial, size_t npeers)
{
	return (struct netmap){ .serial = serial,
				.self = { .address = prefix("100.64.0.1/16"),
					  .address_v6 = prefix("fd00::1/64"),
					  .fqdn = "me.example",
					  .lazy_connections = true },
				.peers = peers,
				.npeers = npeers,
				.peers_is_empty = npeers == 0,
				.rules_is_empty = true };
}

static void apply(const struct netmap *m)
{
	struct mgmt_sync_response r = { .has_map = true, .map = *m };
	engine_sync(engine, &r);
	turns(2);
}

static const struct daemon_status_response *status(void)
{
	static struct daemon_status_response st;
	st = (struct daemon_status_response){ 0 };
	assert_int_equal(engine_status(engine, &arena, &st), 0);
	return &st;
}

static void test_peers_come_and_go(void **state)
{
	NEEDS_ENGINE();
	for (unsigned i = 0; i < 4; i++)
		(void)peer(i);
	struct netmap m = map(5, 4);
	apply(&m);
	assert_int_equal(status()->npeers, 4);
	assert_string_equal(status()->ip, "100.64.0.1/16");
	assert_string_equal(status()->peers[0].status, "Idle");
	for (unsigned i = 0; i < 500 && ready == 0; i++)
		turns(1);
	assert_int_equal(ready, 1); /* the first map, and signal that has failed once */
	/* Older maps change nothing, equal ones are applied again. */
	struct netmap old = map(4, 1);
	apply(&old);
	assert_int_equal(status()->npeers, 4);
	m.npeers = 3;
	apply(&m);
	assert_int_equal(status()->npeers, 3);
	struct netmap none = map(6, 0);
	apply(&none);
	assert_int_equal(status()->npeers, 0);
	assert_int_equal(ready, 1);
}

static void test_what_a_map_may_not_do(void **state)
{
	NEEDS_ENGINE();
	for (unsigned i = 0; i < 4; i++)
		(void)peer(i);
	peers[0].key = own;
	allowed[1][0] = prefix("100.64.0.1/32"); /* ours */
	allowed[1][1] = prefix("127.0.0.1/32");
	allowed[2][0] = prefix("0.0.0.0/0");
	allowed[3][0] = allowed[2][1]; /* claimed twice */
	struct netmap m = map(1, 4);
	apply(&m);
	assert_int_equal(status()->npeers, 3);
	struct netmap low = map(2, 1);
	memset(&peers[0].key, 0, sizeof(peers[0].key)); /* a point of low order */
	apply(&low);
	assert_int_equal(status()->npeers, 0);
	assert_int_equal(restarts, 0);
}

static void test_filter(void **state)
{
	NEEDS_ENGINE();
	struct ip_addr source = prefix("100.64.1.2/32").addr;
	assert_false(fake_plat_passes(plat, IFNAME, &source, 6, 22)); /* closed before any map */
	struct netmap_rule rules[] = {
		{ .peer = prefix("100.64.1.2/32"),
		  .protocol = NETMAP_PROTO_TCP,
		  .port_first = 22,
		  .port_last = 22 },
		{ .peer = prefix("100.64.1.2/32"),
		  .direction = NETMAP_OUT,
		  .protocol = NETMAP_PROTO_ALL },
		{ .peer = prefix("100.64.1.3/32"), .protocol = NETMAP_PROTO_UNKNOWN },
	};
	struct netmap m = map(1, 0);
	m.rules = rules;
	m.nrules = LN_COUNT(rules);
	m.rules_is_empty = false;
	apply(&m);
	assert_true(fake_plat_passes(plat, IFNAME, &source, 6, 22));
	assert_false(fake_plat_passes(plat, IFNAME, &source, 6, 23));
	assert_int_equal(fake_plat_find(plat, IFNAME)->nrules, 1);
	/* The kernel refuses the next set: the old one stays, and the map is applied all the same.
	 */
	m.serial = 2;
	m.nrules = 0;
	m.rules_is_empty = true;
	fake_plat_fail_next(plat, -EPERM);
	apply(&m);
	assert_true(fake_plat_passes(plat, IFNAME, &source, 6, 22));
	apply(&m);
	assert_false(fake_plat_passes(plat, IFNAME, &source, 6, 22));
	/* No rules and no word about it: a server that knows none. */
	m.serial = 3;
	m.rules_is_empty = false;
	apply(&m);
	assert_true(fake_plat_passes(plat, IFNAME, &source, 17, 9));
	conf->block_inbound = true;
	m.serial = 4;
	apply(&m);
	assert_false(fake_plat_passes(plat, IFNAME, &source, 17, 9));
}

static void test_own_address_changes(void **state)
{
	NEEDS_ENGINE();
	struct netmap m = map(1, 0);
	apply(&m);
	assert_int_equal(fake_plat_find(plat, IFNAME)->addresses.n, 2);
	/* The removal message names no address: that is no change. */
	m.self = (struct netmap_self){ 0 };
	m.serial = 2;
	apply(&m);
	assert_int_equal(restarts, 0);
	m = map(3, 0);
	m.self.address = prefix("100.64.0.9/16");
	apply(&m);
	assert_int_equal(restarts, 1);
	assert_non_null(strstr(why, "another address"));
}

static struct plat_addr host_address(const char *text, const char *ifname)
{
	struct plat_addr a = { .up = true, .prefix = prefix(text) };
	(void)snprintf(a.ifname, sizeof(a.ifname), "%s", ifname);
	return a;
}

static void test_host_changes(void **state)
{
	NEEDS_ENGINE();
	struct plat_addr v[] = { host_address("192.0.2.7/24", "eth0"),
				 host_address("100.64.0.1/16", IFNAME),
				 host_address("198.51.100.7/24", "eth1") };
	struct mgmt_host stun = { .uri = "stun:203.0.113.1:3478" };
	struct mgmt_sync_response r = { .has_servers = true };
	struct plat_way one = { .ifindex = 2, .source = v[0].prefix.addr }, two = one;
	r.servers.stuns = &stun;
	r.servers.nstuns = 1;
	fake_plat_set_way(plat, 4, &one);
	engine_sync(engine, &r);
	fake_plat_set_addresses(plat, v, 2);
	assert_false(engine_network_changed(engine, false)); /* the first one: nothing is lost */
	assert_false(engine_network_changed(engine, true));  /* the route came back as it was */
	fake_plat_set_addresses(plat, v, 3);
	assert_false(engine_network_changed(engine, false));
	two.ifindex = 3;
	two.source = v[2].prefix.addr;
	fake_plat_set_way(plat, 4, &two);
	assert_true(engine_network_changed(engine, true));
	assert_false(engine_network_changed(engine, true));
	/* The way is gone and comes back: the same one is no news. */
	fake_plat_set_way(plat, 4, &(struct plat_way){ 0 });
	assert_false(engine_network_changed(engine, true));
	fake_plat_set_way(plat, 4, &two);
	assert_false(engine_network_changed(engine, true));
	/* No earlier address is left. */
	fake_plat_set_addresses(plat, v + 1, 1);
	assert_true(engine_network_changed(engine, false));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = { T(test_peers_come_and_go),
					    T(test_what_a_map_may_not_do), T(test_filter),
					    T(test_own_address_changes), T(test_host_changes) };
	return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
