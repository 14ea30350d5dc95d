/* The local interface: what NetBird's command line and daemon said, and round trips. */
#include "lib/base/hex.h"
#include "lib/daemon/daemon_denied.h"
#include "lib/daemon/daemon_msg.h"

#include "tests/unit/mgmt/wire_index.h"
#include "tests/unit/unit.h"

static struct wire_index wire;

static struct slice recorded(const char *file)
{
	for (size_t i = 0; i < wire.nrows; i++) {
		if (strcmp(wire.rows[i].file, file) == 0)
			return wire.rows[i].plain;
	}
	fail_msg("no vector %s", file);
	return slice_of(NULL, 0);
}

static void assert_bytes(struct str *got, struct slice expected)
{
	assert_int_equal(got->err, 0);
	assert_int_equal(got->n, expected.n);
	assert_memory_equal(got->s, expected.p, expected.n);
	str_fini(got);
}

static void test_up(void **state)
{
	(void)state;
	struct str out = { 0 };
	struct daemon_status_request sq;
	struct slice msg = recorded("daemon-up/00-0-Status.request.bin");
	assert_int_equal(daemon_status_request_read(msg, &wire.a, &sq), 0);
	assert_true(sq.has_wait_for_ready && sq.wait_for_ready);
	assert_false(sq.full);
	daemon_status_request_write(&out, &sq);
	assert_bytes(&out, msg);

	struct daemon_status_response sr;
	msg = recorded("daemon-up/00-0-Status.reply.bin");
	assert_int_equal(daemon_status_response_read(msg, &wire.a, &sr), 0);
	assert_string_equal(sr.status, "NeedsLogin");
	assert_string_equal(sr.version, "0.77.1");
	assert_false(sr.has_full);
	assert_string_equal(sr.management.url, "");
	daemon_status_response_write(&out, &sr);
	assert_bytes(&out, msg);

	struct daemon_set_config_request sc;
	msg = recorded("daemon-up/00-1-SetConfig.request.bin");
	assert_int_equal(daemon_set_config_request_read(msg, &wire.a, &sc), 0);
	assert_string_equal(sc.username, "root");
	assert_string_equal(sc.profile, "default");
	assert_string_equal(sc.set.management_url, "http://198.51.100.10:80");
	assert_false(sc.set.has_lazy || sc.set.has_mtu || sc.set.has_interface_name);
	daemon_set_config_request_write(&out, &sc);
	assert_bytes(&out, msg);

	struct daemon_login_request lq;
	msg = recorded("daemon-up/00-2-Login.request.bin");
	assert_int_equal(daemon_login_request_read(msg, &wire.a, &lq), 0);
	assert_string_equal(lq.setup_key, "896ABAB4-0734-452F-AD53-FA0C7B126D05");
	assert_string_equal(lq.hostname, "host-a");
	assert_string_equal(lq.set.management_url, "http://198.51.100.10:80");
	assert_true(lq.has_profile && lq.has_username);
	assert_false(lq.has_hint);
	daemon_login_request_write(&out, &lq);
	assert_bytes(&out, msg);

	struct daemon_up_request uq;
	msg = recorded("daemon-up/00-3-Up.request.bin");
	assert_int_equal(daemon_up_request_read(msg, &wire.a, &uq), 0);
	assert_string_equal(uq.profile, "default");
	assert_string_equal(uq.username, "root");
	assert_false(uq.async);
	daemon_up_request_write(&out, &uq);
	assert_bytes(&out, msg);
}

static void test_status(void **state)
{
	(void)state;
	struct daemon_status_response m;
	struct slice msg = recorded("daemon-status/01-0-Status.reply.bin");
	assert_int_equal(daemon_status_response_read(msg, &wire.a, &m), 0);
	assert_string_equal(m.status, "Connected");
	assert_true(m.has_full);
	assert_string_equal(m.management.url, "http://198.51.100.10:80");
	assert_true(m.management.connected && m.signal.connected);
	assert_string_equal(m.ip, "100.126.124.131/16");
	assert_string_equal(m.ipv6, "fd52:2b38:faca:7129:fdf5:4992:92e6:321b/64");
	assert_string_equal(m.fqdn, "host-a.netbird.selfhosted");
	assert_int_equal(m.wg_port, 51820);
	assert_false(m.kernel_interface);
	assert_true(m.lazy);
	assert_int_equal(m.npeers, 1);
	const struct daemon_peer_state *p = &m.peers[0];
	assert_string_equal(p->status, "Connected");
	assert_string_equal(p->local_cand_type, "srflx");
	assert_string_equal(p->remote_cand_ep, "203.0.113.66:51820");
	assert_true(p->status_changed == 1795273619202937850);
	assert_true(p->last_handshake == 1795273618000000000);
	assert_int_equal(p->rx_bytes, 692);
	assert_int_equal(p->tx_bytes, 752);
	assert_int_equal(p->latency, 174458);
	assert_string_equal(p->reason, "");
	assert_int_equal(m.nrelays, 2);
	assert_string_equal(m.relays[0].uri, "stun:198.51.100.10:3478");
	assert_string_equal(m.relays[1].transport, "ws");
	assert_int_equal(m.nevents, 2);
	assert_int_equal(m.events[1].category, 4);
	assert_string_equal(m.events[1].message, "Network map updated");

	struct daemon_active_profile a;
	assert_int_equal(
		daemon_active_profile_read(
			recorded("daemon-status/02-0-GetActiveProfile.reply.bin"), &wire.a, &a),
		0);
	assert_string_equal(a.name, "default");
}

/* Every field of a status survives, ours (1001) included. */
static void test_status_again(void **state)
{
	(void)state;
	const char *const networks[] = { "10.0.0.0/8" };
	const struct daemon_path_state paths[] = {
		{ .kind = "P2P",
		  .local = "1.2.3.4:5",
		  .remote = "6.7.8.9:10",
		  .used = true,
		  .rtt = 5 * LN_MSEC,
		  .variation = 1,
		  .checks = 64,
		  .checks_lost = 3 },
		{ .kind = "Relayed",
		  .local = "",
		  .remote = "rel://x",
		  .checks = 1,
		  .estimated = true },
	};
	const struct daemon_peer_state peer = {
		.paths = paths,
		.npaths = 2,
		.checks = 64,
		.checks_lost = 3,
		.ip = "100.64.0.2",
		.ipv6 = "fd00::2",
		.key = "k",
		.fqdn = "f",
		.status = "Idle",
		.status_changed = -1,
		.relayed = true,
		.local_cand_type = "host",
		.remote_cand_type = "relay",
		.local_cand_ep = "1.2.3.4:5",
		.remote_cand_ep = "6.7.8.9:10",
		.last_handshake = 0,
		.rx_bytes = 1,
		.tx_bytes = INT64_MAX,
		.latency = 5 * LN_MSEC,
		.relay_address = "rel://x",
		.networks = networks,
		.nnetworks = 1,
		.rosenpass = true,
		.reason = "no STUN answer from stun.example.org",
	};
	const struct daemon_relay_state relay = { "stun:x", false, "refused", "" };
	const struct daemon_event event = { .id = "id",
					    .severity = 2,
					    .category = 3,
					    .message = "m",
					    .user_message = "u",
					    .at = 123456789 };
	const struct daemon_status_response in = {
		.status = "Connecting",
		.version = "1",
		.has_full = true,
		.management = { "u", true, "" },
		.signal = { "s", false, "down" },
		.ip = "100.64.0.1/16",
		.key = "key",
		.fqdn = "me",
		.kernel_interface = true,
		.wg_port = 51820,
		.rosenpass_permissive = true,
		.peers = &peer,
		.npeers = 1,
		.relays = &relay,
		.nrelays = 1,
		.events = &event,
		.nevents = 1,
		.lazy = true,
		.session_expires = 1700000000 * LN_SEC,
	};
	struct str one = { 0 }, two = { 0 };
	daemon_status_response_write(&one, &in);
	struct daemon_status_response m;
	assert_int_equal(daemon_status_response_read(str_slice(&one), &wire.a, &m), 0);
	assert_string_equal(m.peers[0].reason, peer.reason);
	assert_true(m.peers[0].status_changed == -1);
	assert_true(m.peers[0].last_handshake == 0);
	assert_true(m.peers[0].tx_bytes == INT64_MAX);
	assert_true(m.peers[0].latency == 5 * LN_MSEC);
	assert_string_equal(m.peers[0].networks[0], "10.0.0.0/8");
	assert_int_equal(m.peers[0].checks, 64);
	assert_int_equal(m.peers[0].checks_lost, 3);
	assert_int_equal(m.peers[0].npaths, 2);
	const struct daemon_path_state *w = m.peers[0].paths;
	assert_string_equal(w[0].kind, "P2P");
	assert_string_equal(w[0].local, "1.2.3.4:5");
	assert_string_equal(w[0].remote, "6.7.8.9:10");
	assert_true(w[0].used && !w[1].used);
	assert_true(w[0].rtt == 5 * LN_MSEC && w[0].variation == 1);
	assert_int_equal(w[0].checks, 64);
	assert_int_equal(w[0].checks_lost, 3);
	assert_true(w[1].rtt == 0 && w[1].variation == 0);
	assert_true(w[1].estimated && !w[0].estimated);
	assert_string_equal(w[1].remote, "rel://x");
	assert_string_equal(m.ipv6, "");
	assert_string_equal(m.signal.error, "down");
	assert_true(m.events[0].at == 123456789);
	assert_true(m.session_expires == in.session_expires);
	daemon_status_response_write(&two, &m);
	assert_true(slice_equal(str_slice(&one), str_slice(&two)));
	str_fini(&one);
	str_fini(&two);
}

static const char *const texts[] = { "a", "", "b" };

static struct daemon_settings settings(void)
{
	struct daemon_settings s = {
		.management_url = "https://example.org",
		.admin_url = "https://admin",
		.external_ips = texts,
		.nexternal_ips = 3,
		.clean_external_ips = true,
		.iface_blacklist = texts,
		.niface_blacklist = 1,
		.dns_labels = texts + 2,
		.ndns_labels = 1,
		.clean_dns_labels = true,
		.dns_address = slice_str("127.0.0.1:53"),
		.interface_name = "wt7",
		.has_interface_name = true,
		.wireguard_port = 0,
		.has_wireguard_port = true,
		.mtu = 1280,
		.has_mtu = true,
		/* Present and empty: the key is taken away. */
		.preshared_key = "",
		.has_preshared_key = true,
		.has_disable_auto_connect = true,
		.disable_auto_connect = true,
		.has_server_ssh_allowed = true,
		.has_rosenpass = true,
		.rosenpass = true,
		.has_rosenpass_permissive = true,
		.has_network_monitor = true,
		.network_monitor = true,
		.has_disable_client_routes = true,
		.has_disable_server_routes = true,
		.disable_server_routes = true,
		.has_disable_dns = true,
		.has_disable_firewall = true,
		.disable_firewall = true,
		.has_block_lan_access = true,
		.has_block_inbound = true,
		.block_inbound = true,
		.has_disable_ipv6 = true,
		.has_disable_notifications = true,
		.disable_notifications = true,
		.has_lazy = true,
	};
	return s;
}

static void check_settings(const struct daemon_settings *m)
{
	assert_string_equal(m->management_url, "https://example.org");
	assert_string_equal(m->admin_url, "https://admin");
	assert_int_equal(m->nexternal_ips, 3);
	assert_string_equal(m->external_ips[1], "");
	assert_string_equal(m->external_ips[2], "b");
	assert_int_equal(m->niface_blacklist, 1);
	assert_string_equal(m->dns_labels[0], "b");
	assert_true(m->clean_external_ips && m->clean_dns_labels);
	assert_true(slice_is(m->dns_address, "127.0.0.1:53"));
	assert_true(m->has_interface_name);
	assert_string_equal(m->interface_name, "wt7");
	assert_true(m->has_wireguard_port && m->wireguard_port == 0);
	assert_true(m->has_mtu && m->mtu == 1280);
	assert_true(m->has_preshared_key);
	assert_string_equal(m->preshared_key, "");
#define CHECK(name, value) assert_true(m->has_##name && m->name == (value))
	CHECK(disable_auto_connect, true);
	CHECK(server_ssh_allowed, false);
	CHECK(rosenpass, true);
	CHECK(rosenpass_permissive, false);
	CHECK(network_monitor, true);
	CHECK(disable_client_routes, false);
	CHECK(disable_server_routes, true);
	CHECK(disable_dns, false);
	CHECK(disable_firewall, true);
	CHECK(block_lan_access, false);
	CHECK(block_inbound, true);
	CHECK(disable_ipv6, false);
	CHECK(disable_notifications, true);
	CHECK(lazy, false);
}

static void test_settings(void **state)
{
	(void)state;
	struct str out = { 0 };
	const struct daemon_login_request login = {
		.setup_key = "k",
		.hostname = "h",
		.set = settings(),
		.hint = "me",
		.has_hint = true,
		.desktop = true,
	};
	daemon_login_request_write(&out, &login);
	struct daemon_login_request lq;
	assert_int_equal(daemon_login_request_read(str_slice(&out), &wire.a, &lq), 0);
	check_settings(&lq.set);
	assert_string_equal(lq.hint, "me");
	assert_false(lq.has_profile);
	assert_true(lq.desktop);
	str_clear(&out);

	const struct daemon_set_config_request set = { .username = "u", .set = settings() };
	daemon_set_config_request_write(&out, &set);
	struct daemon_set_config_request sq;
	assert_int_equal(daemon_set_config_request_read(str_slice(&out), &wire.a, &sq), 0);
	check_settings(&sq.set);
	str_fini(&out);
}

static void test_small(void **state)
{
	(void)state;
	struct str out = { 0 };
	const struct daemon_config_response config = {
		.management_url = "u",
		.config_file = "c",
		.preshared_key = "**********",
		.wireguard_port = 51820,
		.mtu = 1280,
		.lazy = true,
		.disable_ipv6 = true,
	};
	daemon_config_response_write(&out, &config);
	struct daemon_config_response c;
	assert_int_equal(daemon_config_response_read(str_slice(&out), &wire.a, &c), 0);
	assert_string_equal(c.config_file, "c");
	assert_string_equal(c.log_file, "");
	assert_true(c.wireguard_port == 51820 && c.mtu == 1280 && c.lazy && c.disable_ipv6);
	assert_false(c.rosenpass);
	str_clear(&out);

	const struct daemon_profile profiles[] = { { "default", "default", true },
						   { "work", "0a1b", false } };
	const struct daemon_profile_list list = { profiles, 2 };
	daemon_profile_list_write(&out, &list);
	struct daemon_profile_list l;
	assert_int_equal(daemon_profile_list_read(str_slice(&out), &wire.a, &l), 0);
	assert_int_equal(l.nprofiles, 2);
	assert_string_equal(l.profiles[1].id, "0a1b");
	assert_true(l.profiles[0].active && !l.profiles[1].active);
	str_clear(&out);

	const struct daemon_login_response login = { true, "code", "v", "vc" };
	daemon_login_response_write(&out, &login);
	struct daemon_login_response lr;
	assert_int_equal(daemon_login_response_read(str_slice(&out), &wire.a, &lr), 0);
	assert_true(lr.needs_sso);
	assert_string_equal(lr.verification_uri_complete, "vc");
	str_clear(&out);

	/* deregister sends nothing: the active profile is meant. */
	struct daemon_profile_request pr = { .has_profile = true };
	assert_int_equal(daemon_profile_request_read(slice_of(NULL, 0), &wire.a, &pr), 0);
	assert_false(pr.has_profile || pr.has_username);
	const struct daemon_profile_request one = { .profile = "x", .has_profile = true };
	daemon_profile_request_write(&out, &one);
	assert_int_equal(daemon_profile_request_read(str_slice(&out), &wire.a, &pr), 0);
	assert_string_equal(pr.profile, "x");
	str_fini(&out);
}

/* google.rpc.Status {7, "no", [Any {ErrorInfo {reason, domain, {summary, command}}}]}. */
static void test_denied(void **state)
{
	(void)state;
	static const char info[] = "\x0a\x12PRIVILEGE_REQUIRED"
				   "\x12\x11"
				   "daemon.netbird.io"
				   "\x1a\x0c\x0a\x07summary\x12\x01s"
				   "\x1a\x0c\x0a\x07"
				   "command\x12\x01"
				   "c";
	static const char type[] = "\x0a\x28type.googleapis.com/google.rpc.ErrorInfo";
	struct str out = { 0 };
	daemon_denied_write(&out, 7, "no", "s", "c");
	const size_t info_n = sizeof(info) - 1, type_n = sizeof(type) - 1;
	assert_memory_equal(out.s, "\x08\x07\x12\x02no\x1a", 7);
	assert_int_equal((uint8_t)out.s[7], info_n + type_n + 2);
	assert_memory_equal(out.s + 8, type, type_n);
	assert_int_equal(out.s[8 + type_n], 0x12);
	assert_int_equal(out.s[9 + type_n], info_n);
	assert_int_equal(out.n, 10 + type_n + info_n);
	assert_memory_equal(out.s + 10 + type_n, info, info_n);
	str_fini(&out);
}

static void test_profiles(void **state)
{
	(void)state;
	struct str out = { 0 };
	const struct daemon_profile_change change = { "root", "work" };
	daemon_profile_change_write(&out, &change);
	struct daemon_profile_change c;
	assert_int_equal(daemon_profile_change_read(str_slice(&out), &wire.a, &c), 0);
	assert_string_equal(c.username, "root");
	assert_string_equal(c.profile, "work");
	str_clear(&out);
	str_clear(&out);
	const struct daemon_profile_rename rename = { "root", "0a1b", "home" };
	daemon_profile_rename_write(&out, &rename);
	struct daemon_profile_rename n;
	assert_int_equal(daemon_profile_rename_read(str_slice(&out), &wire.a, &n), 0);
	assert_string_equal(n.username, "root");
	assert_string_equal(n.profile, "0a1b");
	assert_string_equal(n.name, "home");
	str_clear(&out);
	const struct daemon_profile_id id = { "0a1b" };
	daemon_profile_id_write(&out, &id);
	struct daemon_profile_id i;
	assert_int_equal(daemon_profile_id_read(str_slice(&out), &wire.a, &i), 0);
	assert_string_equal(i.id, "0a1b");
	str_fini(&out);
}

static void feed_all(struct slice msg)
{
	struct arena a;
	arena_init(&a, 1 << 16);
#define FEED(name)                                                                                 \
 do {                                                                                              \
  struct daemon_##name m;                                                                          \
  assert_true(daemon_##name##_read(msg, &a, &m) <= 0);                                             \
 } while (0)
	FEED(login_request);
	FEED(login_response);
	FEED(set_config_request);
	FEED(up_request);
	FEED(profile_request);
	FEED(status_request);
	FEED(status_response);
	FEED(active_profile);
	FEED(config_response);
	FEED(profile_list);
	arena_fini(&a);
}

static void test_damaged(void **state)
{
	(void)state;
	for (size_t i = 0; i < wire.nrows; i++) {
		if (strcmp(wire.rows[i].protocol, "daemon") == 0)
			wire_mutate(wire.rows[i].plain, feed_all);
	}
}

static void test_reconnect(void **state)
{
	(void)state;
	struct daemon_reconnect_request q = { .peer = "db-1" }, q2;
	struct daemon_reconnect_response r = { .fqdn = "db-1.lan",
					       .ip = "100.64.0.7",
					       .key = "K=" },
					 r2;
	struct arena a;
	struct str s;
	arena_init(&a, 4096);
	str_init(&s, 0);
	daemon_reconnect_request_write(&s, &q);
	assert_int_equal(daemon_reconnect_request_read(str_slice(&s), &a, &q2), 0);
	assert_string_equal(q2.peer, "db-1");
	assert_int_equal(daemon_reconnect_request_read(slice_str("\x0a\x7f"), &a, &q2),
			 LN_E_MALFORMED);
	str_clear(&s);
	daemon_reconnect_response_write(&s, &r);
	assert_int_equal(daemon_reconnect_response_read(str_slice(&s), &a, &r2), 0);
	assert_string_equal(r2.fqdn, r.fqdn);
	assert_string_equal(r2.ip, r.ip);
	assert_string_equal(r2.key, r.key);
	str_fini(&s);
	arena_fini(&a);
}

int main(void)
{
	wire_index_load(&wire);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_up),           cmocka_unit_test(test_status),
		cmocka_unit_test(test_status_again), cmocka_unit_test(test_settings),
		cmocka_unit_test(test_small),        cmocka_unit_test(test_denied),
		cmocka_unit_test(test_profiles),     cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_reconnect),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	wire_index_free(&wire);
	return failed;
}
