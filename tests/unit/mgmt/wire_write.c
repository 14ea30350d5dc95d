/*
 * Prints messages made by our writers, one a line: module, message, hexadecimal bytes. What they
 * hold is written down a second time in check_wire.py, which reads them with Google's protobuf.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/hex.h"
#include "lib/daemon/daemon_msg.h"
#include "lib/mgmt/mgmt_msg.h"
#include "lib/signal/signal_msg.h"

static void emit(const char *module, const char *message, struct str *b)
{
	char *hex = ln_alloc(b->n * 2 + 1);
	hex_encode(str_slice(b), hex);
	printf("%s %s %s\n", module, message, b->n > 0 ? hex : "-");
	free(hex);
	str_fini(b);
}

static const struct wg_key key = { { 1, 2, 3 } };

static void management(void)
{
	struct str b = { 0 };
	const struct mgmt_net_address address = { "192.168.1.7/24", "00:11:22:33:44:55" };
	const struct mgmt_file file = { "/bin/sh", true, false };
	const char *const labels[] = { "db" };
	struct mgmt_login_request login = {
		.setup_key = "K",
		.jwt = "J",
		.has_meta = true,
		.meta = { .hostname = "h\xc3\xa9",
			  .go_os = "linux",
			  .version = "0.77.1",
			  .addresses = &address,
			  .naddresses = 1,
			  .files = &file,
			  .nfiles = 1,
			  .flags = 1u << MGMT_FLAG_NO_IPV6 | 1u << MGMT_FLAG_BLOCK_LAN,
			  .capabilities = 6 },
		.ssh_key = slice_str("ssh"),
		.dns_labels = labels,
		.ndns_labels = 1,
	};
	mgmt_login_request_write(&b, &login, &key);
	emit("management", "LoginRequest", &b);

	mgmt_server_key_write(&b, &key, -1);
	emit("management", "ServerKeyResponse", &b);
	mgmt_envelope_write(&b, &key, slice_str("sealed"));
	emit("management", "EncryptedMessage", &b);

	struct netmap_peer peer = { .key = key,
				    .v4 = ip_v4(0x64400002),
				    .fqdn = "b.example",
				    .agent_version = "0.77.1",
				    .ssh_key = slice_str("ssh") };
	peer.v6 = (struct ip_addr){ .family = 6, .b = { 0xfd, [15] = 2 } };
	const struct netmap_rule rules[] = {
		{ .peer = { ip_v4(0x64400002), 32 },
		  .direction = NETMAP_OUT,
		  .action = NETMAP_DROP,
		  .protocol = NETMAP_PROTO_UDP,
		  .port_first = 8000,
		  .port_last = 8010,
		  .policy_id = "r1" },
		{ .peer = { ip_v4(0), 0 },
		  .protocol = NETMAP_PROTO_TCP,
		  .port_first = 22,
		  .port_last = 22,
		  .policy_id = "r2" },
	};
	const struct mgmt_host stun = { .uri = "stun:h:3478" };
	struct mgmt_sync_response sync = {
		.has_servers = true,
		.servers = { .stuns = &stun,
			     .nstuns = 1,
			     .has_signal = true,
			     .signal = { .uri = "h:443", .https = true } },
		.has_map = true,
		.map = { .serial = 9,
			 .self = { .address = { ip_v4(0x64400001), 16 },
				   .fqdn = "a.example",
				   .lazy_connections = true },
			 .peers = &peer,
			 .npeers = 1,
			 .offline = &peer,
			 .noffline = 1,
			 .rules = rules,
			 .nrules = 2,
			 .dns_forwarder_port = 22054 },
		.deadline = { .kind = MGMT_DEADLINE_NONE },
	};
	sync.map.self.address_v6 = (struct ip_prefix){ peer.v6, 64 };
	const struct mgmt_map_options opt = { true, true, true };
	mgmt_sync_response_write(&b, &sync, &opt);
	emit("management", "SyncResponse", &b);
	mgmt_removal_write(&b, 42, 22054);
	emit("management", "SyncResponse", &b);
}

static void signal_exchange(void)
{
	struct str b = { 0 };
	const struct signal_body offer = {
		.type = SIGNAL_ANSWER,
		.payload = slice_str("u:p"),
		.wg_port = 51820,
		.version = "0.77.1",
		.has_relay = true,
		.relay_address = "",
		.relay_ip = ip_v4(0xcb007109),
		.has_session = true,
		.session = { 1, 2, 3, 4, 5 },
		.rosenpass_addr = ":9999",
	};
	signal_body_write(&b, &offer);
	emit("signalexchange", "Body", &b);
	signal_envelope_write(&b, slice_str("a"), slice_str("b"), slice_str("sealed"));
	emit("signalexchange", "EncryptedMessage", &b);
}

static void local_interface(void)
{
	struct str b = { 0 };
	const struct daemon_settings set = {
		.management_url = "https://m",
		.preshared_key = "",
		.has_preshared_key = true,
		.mtu = 1280,
		.has_mtu = true,
		.has_lazy = true,
		.disable_ipv6 = true,
		.has_disable_ipv6 = true,
	};
	const struct daemon_login_request login = {
		.setup_key = "K", .set = set, .profile = "p", .has_profile = true
	};
	daemon_login_request_write(&b, &login);
	emit("daemon", "LoginRequest", &b);
	const struct daemon_set_config_request config = { .username = "u", .set = set };
	daemon_set_config_request_write(&b, &config);
	emit("daemon", "SetConfigRequest", &b);
	const struct daemon_peer_state peer = { .ip = "100.64.0.2",
						.status = "Idle",
						.last_handshake = 1500 * LN_MSEC,
						.latency = 250 * LN_USEC,
						.reason = "why" };
	const struct daemon_status_response status = {
		.status = "Connected",
		.version = "1",
		.has_full = true,
		.ip = "100.64.0.1/16",
		.management = { .url = "https://m", .connected = true },
		.peers = &peer,
		.npeers = 1,
		.lazy = true,
	};
	daemon_status_response_write(&b, &status);
	emit("daemon", "StatusResponse", &b);
}

int main(void)
{
	management();
	signal_exchange();
	local_interface();
	return 0;
}
