/* Who may do what over the local API, and what an agent says about itself. */
#include "src/agent/agent_meta.h"
#include "src/agent/api/agent_api_internal.h"
#include "src/plat/fake/fake_plat.h"
#include "tests/unit/agent/agent_folder.h"

static struct ev_loop *loop;
static struct agent *agent;
static struct agent_network *network;
static struct agent_conf *conf;

static int begin(void **state)
{
	struct ln_fail f = { 0 };
	char dir[256];
	assert_int_equal(folder_new(state), 0);
	(void)snprintf(dir, sizeof(dir), "%s", folder_path("state"));
	struct agent_options o = { .state_dir = dir, .lazy = -1 };
	loop = ev_loop_new();
	assert_int_equal(agent_new(loop, &o, &agent, &f), 0);
	assert_int_equal(agent_active_network(agent, &network, &f), 0);
	conf = agent_network_agent_conf(network);
	assert_int_equal(agent_url_parse(slice_str("https://one.example"), &conf->management, &f),
			 0);
	return 0;
}

static int end(void **state)
{
	agent_free(agent);
	ev_loop_turn(loop, 0);
	ev_loop_free(loop);
	return folder_free(state);
}

/* True when a caller of this uid may set `s`; a refusal has answered the call. */
static bool may_set(uid_t uid, const struct daemon_settings *s)
{
	struct api_call c = { .uid = uid };
	bool ok = agent_api_may_set(&c, network, s);
	assert_int_equal(c.answered, !ok);
	return ok;
}

static bool may_deregister(uid_t uid)
{
	struct api_call c = { .uid = uid };
	bool ok = agent_api_may_deregister(&c, network);
	assert_int_equal(c.answered, !ok);
	return ok;
}

#define SETTINGS(...)                                                                              \
 (struct daemon_settings)                                                                          \
 {                                                                                                 \
  .management_url = "", .admin_url = "", __VA_ARGS__                                               \
 }

static void test_privileged_operations(void **state)
{
	(void)state;
	const struct daemon_settings none = SETTINGS(0),
				     mtu = SETTINGS(.has_mtu = true, .mtu = 1400),
				     ssh = SETTINGS(.has_server_ssh_allowed = true,
						    .server_ssh_allowed = true),
				     no_ssh = SETTINGS(.has_server_ssh_allowed = true);
	struct daemon_settings move = none, same = none, both = no_ssh;
	move.management_url = both.management_url = "https://two.example";
	same.management_url = "https://one.example:443/";

	static const struct {
		bool ssh; /* as configured */
		int which;
		bool allowed; /* to somebody who is neither root nor the agent's user */
	} rows[] = {
		{ false, 0, true },  { true, 0, true },  /* nothing */
		{ false, 1, true },  { true, 1, true },  /* another MTU */
		{ false, 2, false }, { true, 2, true },  /* SSH on: only the edge counts */
		{ false, 3, true },  { true, 3, true },  /* SSH off */
		{ false, 4, true },  { true, 4, false }, /* another server */
		{ true, 5, true },                       /* the same server in other words */
		{ true, 6, false },                      /* SSH off and another server at once */
	};
	const struct daemon_settings *v[] = { &none, &mtu, &ssh, &no_ssh, &move, &same, &both };
	uid_t stranger = geteuid() + 4711;
	for (size_t i = 0; i < LN_COUNT(rows); i++) {
		conf->ssh_allowed = rows[i].ssh;
		if (may_set(stranger, v[rows[i].which]) != rows[i].allowed)
			fail_msg("row %zu", i);
		assert_true(may_set(0, v[rows[i].which]));
		if (geteuid() != 0)
			assert_true(may_set(geteuid(), v[rows[i].which]));
	}
	conf->ssh_allowed = true;
	assert_false(may_deregister(stranger));
	assert_true(may_deregister(0));
	conf->ssh_allowed = false;
	assert_true(may_deregister(stranger));
}

/* --- meta --------------------------------------------------------------------------------------*/

static bool is_overlay(void *user, const struct ip_addr *a)
{
	(void)user;
	return a->family == 4 && a->b[0] == 100;
}

static struct plat_addr address(const char *text, bool up, bool loopback)
{
	struct plat_addr a = { .up = up, .loopback = loopback, .mac = { 2, 0, 0, 0xab, 0, 1 } };
	assert_int_equal(ip_prefix_parse(slice_str(text), &a.prefix), 0);
	return a;
}

static void test_meta(void **state)
{
	(void)state;
	struct plat *p;
	struct arena a;
	struct mgmt_meta m;
	const struct plat_addr v[] = {
		address("127.0.0.1/8", true, true),    address("192.0.2.7/24", true, false),
		address("192.0.2.8/24", false, false), address("fe80::1/64", true, false),
		address("100.64.0.1/16", true, false), address("2001:db8::7/64", true, false)
	};
	struct plat_sysinfo sys = { .hostname = "box", .os = "Debian", .kernel = "Linux" };
	assert_int_equal(plat_new("", &p, NULL), 0);
	fake_plat_set_addresses(p, v, LN_COUNT(v));
	struct agent_meta_input in = {
		.plat = p, .sys = &sys, .conf = conf, .hostname = "", .is_overlay = is_overlay
	};
	arena_init(&a, 1 << 20);
	conf->block_inbound = conf->rosenpass = true;
	agent_meta_fill(&in, &a, &m);
	assert_string_equal(m.hostname, "box");
	assert_int_equal(m.naddresses, 2);
	assert_string_equal(m.addresses[0].prefix, "192.0.2.7/24");
	assert_string_equal(m.addresses[0].mac, "02:00:00:ab:00:01");
	assert_string_equal(m.addresses[1].prefix, "2001:db8::7/64");
	/* Closed to everybody means that no routes are served either. */
	assert_int_equal(m.flags &
				 (1u << MGMT_FLAG_NO_SERVER_ROUTES | 1u << MGMT_FLAG_BLOCK_INBOUND |
				  1u << MGMT_FLAG_ROSENPASS | 1u << MGMT_FLAG_NO_DNS),
			 1u << MGMT_FLAG_NO_SERVER_ROUTES | 1u << MGMT_FLAG_BLOCK_INBOUND |
				 1u << MGMT_FLAG_ROSENPASS);
	assert_true((m.capabilities & 1u << MGMT_CAP_IPV6_OVERLAY) != 0);
	conf->disable_ipv6 = true;
	in.hostname = "other";
	agent_meta_fill(&in, &a, &m);
	assert_string_equal(m.hostname, "other");
	assert_false((m.capabilities & 1u << MGMT_CAP_IPV6_OVERLAY) != 0);
	/* Without room the addresses are left out, not the rest. */
	arena_fini(&a);
	arena_init(&a, 1);
	agent_meta_fill(&in, &a, &m);
	assert_int_equal(m.naddresses, 0);
	arena_fini(&a);
	plat_free(p);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = { T(test_privileged_operations), T(test_meta) };
	return cmocka_run_group_tests_name("agent_api_guard", tests, NULL, NULL);
}
