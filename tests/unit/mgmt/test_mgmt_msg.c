/* Vectors of management-protocol 8, then edges of every reader and writer. */
#include "lib/base/hex.h"
#include "lib/crypto/box.h"
#include "lib/mgmt/mgmt_job.h"
#include "lib/mgmt/mgmt_msg.h"

#include "tests/unit/unit.h"

static struct arena arena;

#define A_PRIVATE "oCUhqP3GA+7NNSLimJwkfS1Wk8mMICF2UIerqUsypnM="
#define A_PUBLIC "Zw7pHoR0rLabeDowDU7JIRBI/c2u1PH8YIxHPD5JFEg="
#define B_PUBLIC "Ye7eIx0R3unqhbONfT0kLjbFGbSQT2DkfyA9LqywNgY="

#define LOGIN                                                                                      \
 "0a2430423743314432452d334634302d344135422d384336442d374538463930413142324333121f0a06686f73"      \
 "742d3112056c696e75783a06302e37302e308a01009201020102"

#define LOGIN_SEALED                                                                               \
 "000102030405060708090a0b0c0d0e0f1011121314151617c402e79ec1debf0af364a8f1841131896904cd05d041"    \
 "613cb4734049c087d053f06e8db3d387265673fee3db45f6bf322b0a1dcbec07ecce548069cd0e6e104e8c938be0"    \
 "6f24a5f25d3f75861a55b5052cd5c6e9d95eb3"

#define CONFIG_ONLY                                                                                \
 "0aa40112480a1c0a1a7475726e3a7475726e2e6578616d706c652e6f72673a33343738120a313839333435363030"    \
 "301a1c4a584a465a39674e6d6e4d753070383937317850532b3965415a413d22580a1c72656c733a2f2f72656c61"    \
 "792e6578616d706c652e6f72673a343433120a313839333435363030301a2c4f4743794e686b684b6e70736c5337"    \
 "52306e4530306a77655976714f4c4a4f53375a6c655870564778524d3d"

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, (size_t)256 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static struct slice unhex(const char *text)
{
	size_t n = strlen(text) / 2;
	uint8_t *p = arena_alloc(&arena, n);
	assert_int_equal(hex_decode(slice_str(text), mslice_of(p, n)), (int)n);
	return slice_of(p, n);
}

static struct wg_key key_of(const char *text)
{
	struct wg_key k;
	assert_int_equal(wg_key_parse(slice_str(text), &k), 0);
	return k;
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;
	assert_int_equal(ip_prefix_parse(slice_str(text), &p), 0);
	return p;
}

static void assert_hex(const struct str *got, const char *expected)
{
	char *text = arena_alloc(&arena, got->n * 2 + 1);
	hex_encode(str_slice(got), text);
	assert_string_equal(text, expected);
}

/* --- login ------------------------------------------------------------------------------------ */

static void test_login_request(void **state)
{
	(void)state;
	struct mgmt_login_request m;
	assert_int_equal(mgmt_login_request_read(unhex(LOGIN), &arena, &m), 0);
	assert_string_equal(m.setup_key, "0B7C1D2E-3F40-4A5B-8C6D-7E8F90A1B2C3");
	assert_true(m.has_meta);
	assert_string_equal(m.meta.hostname, "host-1");
	assert_string_equal(m.meta.go_os, "linux");
	assert_string_equal(m.meta.version, "0.70.0");
	assert_int_equal(m.meta.flags, 0);
	assert_int_equal(m.meta.capabilities,
			 1u << MGMT_CAP_SOURCE_PREFIXES | 1u << MGMT_CAP_IPV6_OVERLAY);
	assert_int_equal(m.ssh_key.n, 0);
	/* The same capabilities unpacked; numbers nobody knows yet are left alone. */
	assert_int_equal(mgmt_login_request_read(unhex("120990010190010290017f"), &arena, &m), 0);
	assert_int_equal(m.meta.capabilities, 6);
	assert_string_equal(m.setup_key, "");
	/* A registration by token only (trap 15). */
	struct str b = { 0 };
	str_add(&b, "\x0a\x24"
		    "00000000-0000-0000-0000-000000000000\x1a\x03jwt");
	assert_int_equal(mgmt_login_request_read(str_slice(&b), &arena, &m), 0);
	assert_string_equal(m.setup_key, "");
	assert_string_equal(m.jwt, "jwt");
	assert_false(m.has_meta);
	str_fini(&b);
}

static void test_sealed(void **state)
{
	(void)state;
	struct wg_secret a;
	struct wg_key b = key_of(B_PUBLIC), own = key_of(A_PUBLIC);
	struct box_key key;
	assert_int_equal(wg_secret_parse(slice_str(A_PRIVATE), &a), 0);
	assert_int_equal(box_key_init(&key, &a, &b), 0);
	uint8_t nonce[BOX_NONCE_LEN], sealed[111];
	for (size_t i = 0; i < sizeof(nonce); i++)
		nonce[i] = (uint8_t)i;
	assert_int_equal(
		box_seal_nonce(&key, nonce, unhex(LOGIN), mslice_of(sealed, sizeof(sealed))), 111);
	assert_memory_equal(sealed, unhex(LOGIN_SEALED).p, sizeof(sealed));
	struct str out = { 0 };
	mgmt_envelope_write(&out, &own, slice_of(sealed, sizeof(sealed)));
	assert_int_equal(out.n, 159);
	assert_memory_equal(out.s, "\x0a\x2c" A_PUBLIC "\x12\x6f", 48);
	struct mgmt_envelope e;
	assert_int_equal(mgmt_envelope_read(str_slice(&out), &e), 0);
	assert_true(wg_key_equal(&e.key, &own));
	assert_int_equal(e.body.n, 111);
	/* The head alone, for a body written behind it. */
	uint8_t head[MGMT_ENVELOPE_HEAD_MAX];
	assert_int_equal(mgmt_envelope_head(head, &own, sizeof(sealed)), 48);
	assert_memory_equal(head, out.s, 48);
	assert_int_equal(mgmt_envelope_head(head, &own, 128), 49);
	assert_int_equal(mgmt_envelope_head(head, &own, 16384), 50);
	str_fini(&out);
}

static void test_login_again(void **state)
{
	(void)state;
	const struct mgmt_net_address addresses[] = { { "10.0.0.1/8", "00:11:22:33:44:55" },
						      { "fe80::1/64", "" } };
	const struct mgmt_file file = { "/bin/sh", true, true };
	const char *const labels[] = { "db", "web" };
	struct mgmt_login_request in = {
		.setup_key = "key",
		.jwt = "",
		.has_meta = true,
		.meta = {
			.hostname = "h", .go_os = "linux", .kernel = "Linux", .core = "12",
			.platform = "x86_64", .os = "Debian GNU/Linux", .version = "0.77.1",
			.kernel_version = "6.1", .os_version = "12", .serial = "s",
			.product = "p", .manufacturer = "m", .cloud = "", .environment = "kvm",
			.addresses = addresses, .naddresses = 2, .files = &file, .nfiles = 1,
			.flags = 1u << MGMT_FLAG_NO_IPV6 | 1u << MGMT_FLAG_ROSENPASS |
				 1u << MGMT_FLAG_LAZY,
			.capabilities = 2, .sync_version = 0,
		},
		.ssh_key = slice_str("ssh-ed25519 AAAA"),
		.dns_labels = labels, .ndns_labels = 2,
	};
	struct wg_key own = key_of(A_PUBLIC);
	struct str out = { 0 }, again = { 0 };
	mgmt_login_request_write(&out, &in, &own);
	struct mgmt_login_request m;
	assert_int_equal(mgmt_login_request_read(str_slice(&out), &arena, &m), 0);
	assert_int_equal(m.meta.flags, in.meta.flags);
	assert_int_equal(m.meta.capabilities, 2);
	assert_string_equal(m.meta.environment, "kvm");
	assert_string_equal(m.meta.ui_version, "");
	assert_int_equal(m.meta.naddresses, 2);
	assert_string_equal(m.meta.addresses[1].prefix, "fe80::1/64");
	assert_true(m.meta.files[0].exists && m.meta.files[0].running);
	assert_true(slice_equal(m.ssh_key, in.ssh_key));
	assert_string_equal(m.dns_labels[1], "web");
	mgmt_login_request_write(&again, &m, &own);
	assert_true(slice_equal(str_slice(&out), str_slice(&again)));
	str_fini(&again);

	/* Flags and environment go out even when they say nothing. */
	str_clear(&out);
	const struct mgmt_sync_request empty = { .has_meta = true };
	mgmt_sync_request_write(&out, &empty);
	assert_hex(&out, "0a057a008a0100");
	struct mgmt_sync_request s;
	assert_int_equal(mgmt_sync_request_read(str_slice(&out), &arena, &s), 0);
	assert_true(s.has_meta);
	assert_true(mgmt_meta_is_empty(&s.meta));
	str_fini(&out);
}

/* Recorded by the upstream branch; management-protocol 8. */
static void test_frozen_sync_requests(void **state)
{
	(void)state;
	struct mgmt_sync_request m;
	assert_int_equal(mgmt_sync_request_read(slice_of(NULL, 0), &arena, &m), 0);
	assert_false(m.has_meta);
	assert_int_equal(
		mgmt_sync_request_read(
			unhex("0a300a087634302d686f737412056c696e75781a06342e31352e302a067838365f36"
			      "3432056c696e75783a06302e34302e30"),
			&arena, &m),
		0);
	assert_string_equal(m.meta.hostname, "v40-host");
	assert_string_equal(m.meta.kernel, "4.15.0");
	assert_string_equal(m.meta.version, "0.40.0");
	assert_string_equal(m.meta.os, "linux");
}

static void test_envelope(void **state)
{
	(void)state;
	struct mgmt_envelope e;
	assert_int_equal(mgmt_envelope_read(slice_of(NULL, 0), &e), LN_E_MALFORMED);
	/* No key, a short one, one in another alphabet, no bytes field. */
	assert_int_equal(mgmt_envelope_read(unhex("1200"), &e), LN_E_MALFORMED);
	assert_int_equal(mgmt_envelope_read(slice_str("\x0a\x04QUJD"), &e), LN_E_MALFORMED);
	assert_int_equal(mgmt_envelope_read(unhex("0a2c"), &e), LN_E_MALFORMED);
	assert_int_equal(mgmt_envelope_read(unhex("0805"), &e), LN_E_MALFORMED);
	/* The spare bits of the last character do not make another key (2.2). */
	struct str b = { 0 };
	str_add(&b, "\x0a\x2cZw7pHoR0rLabeDowDU7JIRBI/c2u1PH8YIxHPD5JFEh=\x18\x01");
	assert_int_equal(mgmt_envelope_read(str_slice(&b), &e), 0);
	struct wg_key a = key_of(A_PUBLIC);
	assert_true(wg_key_equal(&e.key, &a));
	assert_int_equal(e.body.n, 0);
	str_fini(&b);
}

static void test_server_key(void **state)
{
	(void)state;
	struct wg_key a = key_of(A_PUBLIC), got;
	struct str out = { 0 };
	mgmt_server_key_write(&out, &a, 1893456000 * LN_SEC);
	assert_int_equal(mgmt_server_key_read(str_slice(&out), &got), 0);
	assert_true(wg_key_equal(&a, &got));
	assert_memory_equal(out.s + 46, "\x12\x06\x08\x80\xb1\xef\x86\x07", 8);
	assert_int_equal(mgmt_server_key_read(slice_str("\x0a\x01x"), &got), LN_E_MALFORMED);
	assert_int_equal(mgmt_server_key_read(slice_of(NULL, 0), &got), LN_E_MALFORMED);
	str_fini(&out);
}

/* --- sync ------------------------------------------------------------------------------------- */

static const struct mgmt_map_options modern = { .source_prefixes = true, .port_ranges = true };

static void test_config_only(void **state)
{
	(void)state;
	struct mgmt_sync_response m;
	assert_int_equal(mgmt_sync_response_read(unhex(CONFIG_ONLY), &arena, &m), 0);
	assert_true(m.has_servers);
	assert_false(m.has_map);
	assert_false(m.servers.has_signal);
	assert_int_equal(m.servers.nturns, 1);
	assert_string_equal(m.servers.turns[0].uri, "turn:turn.example.org:3478");
	assert_string_equal(m.servers.turns[0].user, "1893456000");
	assert_string_equal(m.servers.turns[0].password, "JXJFZ9gNmnMu0p8971xPS+9eAZA=");
	assert_true(m.servers.has_relay);
	assert_string_equal(m.servers.relay.urls[0], "rels://relay.example.org:443");
	assert_int_equal(m.deadline.kind, MGMT_DEADLINE_ABSENT);
	struct str out = { 0 };
	mgmt_sync_response_write(&out, &m, &modern);
	assert_hex(&out, CONFIG_ONLY);
	str_fini(&out);
}

static void test_deadline(void **state)
{
	(void)state;
	struct str out = { 0 };
	struct mgmt_sync_response s = { .deadline = { .kind = MGMT_DEADLINE_NONE } };
	mgmt_sync_response_write(&out, &s, &modern);
	assert_hex(&out, "3a00");
	assert_int_equal(mgmt_sync_response_read(str_slice(&out), &arena, &s), 0);
	assert_int_equal(s.deadline.kind, MGMT_DEADLINE_NONE);
	str_clear(&out);
	s.deadline = (struct mgmt_deadline){ MGMT_DEADLINE_AT, 1893456000 * LN_SEC };
	mgmt_sync_response_write(&out, &s, &modern);
	assert_hex(&out, "3a060880b1ef8607");
	assert_int_equal(mgmt_sync_response_read(str_slice(&out), &arena, &s), 0);
	assert_int_equal(s.deadline.kind, MGMT_DEADLINE_AT);
	assert_true(s.deadline.at == 1893456000 * LN_SEC);
	str_clear(&out);
	struct mgmt_login_response l = { .deadline = { .kind = MGMT_DEADLINE_NONE } };
	mgmt_login_response_write(&out, &l);
	assert_hex(&out, "2200");
	/* A time no clock of ours can hold is the last one, not a wrapped one. */
	assert_int_equal(mgmt_sync_response_read(unhex("3a0a08ffffffffffffffff7f"), &arena, &s), 0);
	assert_true(s.deadline.at == INT64_MAX);
	str_fini(&out);
}

static void test_removal(void **state)
{
	(void)state;
	struct str out = { 0 };
	mgmt_removal_write(&out, 42, 22054);
	assert_hex(&out, "20012a0c082a2001320420a6ac014801");
	struct mgmt_sync_response m;
	assert_int_equal(mgmt_sync_response_read(str_slice(&out), &arena, &m), 0);
	assert_true(m.has_map);
	assert_int_equal(m.map.serial, 42);
	assert_true(m.map.peers_is_empty && m.map.rules_is_empty);
	assert_int_equal(m.map.dns_forwarder_port, 22054);
	assert_int_equal(m.map.self.address.addr.family, 0);
	str_fini(&out);
}

/* A response that holds nothing but one rule in its map. */
static struct slice with_rule(const char *rule_hex)
{
	struct slice rule = unhex(rule_hex);
	uint8_t *p = arena_alloc(&arena, rule.n + 4);
	p[0] = 0x2a;
	p[1] = (uint8_t)(rule.n + 2);
	p[2] = 0x42;
	p[3] = (uint8_t)rule.n;
	memcpy(p + 4, rule.p, rule.n);
	return slice_of(p, rule.n + 4);
}

#define RULE_IN "0a0b3130302e36342e31302e3520022a0238303a0270314a0564400a0520"
#define RULE_OUT "0a0b3130302e36342e31302e351001180120033208120608c03e10ca3e3a027031"

static void test_rules(void **state)
{
	(void)state;
	struct mgmt_sync_response m;
	assert_int_equal(mgmt_sync_response_read(with_rule(RULE_IN), &arena, &m), 0);
	assert_int_equal(m.map.nrules, 1);
	const struct netmap_rule *r = &m.map.rules[0];
	assert_int_equal(r->direction, NETMAP_IN);
	assert_int_equal(r->action, NETMAP_ACCEPT);
	assert_int_equal(r->protocol, NETMAP_PROTO_TCP);
	assert_int_equal(r->port_first, 80);
	assert_int_equal(r->port_last, 80);
	assert_string_equal(r->policy_id, "p1");
	struct ip_prefix peer = prefix("100.64.10.5/32");
	assert_true(ip_prefix_equal(&r->peer, &peer));
	assert_false(m.map.rules_is_empty);

	struct str out = { 0 };
	struct mgmt_sync_response w = { .has_map = true, .map = { .rules = r, .nrules = 1 } };
	mgmt_sync_response_write(&out, &w, &modern);
	struct slice rule = unhex(RULE_IN);
	assert_non_null(memmem(out.s, out.n, rule.p, rule.n));
	str_clear(&out);

	assert_int_equal(mgmt_sync_response_read(with_rule(RULE_OUT), &arena, &m), 0);
	r = &m.map.rules[0];
	assert_int_equal(r->direction, NETMAP_OUT);
	assert_int_equal(r->action, NETMAP_DROP);
	assert_int_equal(r->protocol, NETMAP_PROTO_UDP);
	assert_int_equal(r->port_first, 8000);
	assert_int_equal(r->port_last, 8010);
	struct mgmt_map_options opt = { .port_ranges = true };
	w.map.rules = r;
	mgmt_sync_response_write(&out, &w, &opt);
	rule = unhex(RULE_OUT);
	assert_non_null(memmem(out.s, out.n, rule.p, rule.n));
	str_clear(&out);
	/* Who reads no ranges gets no rule, and the flag says so. */
	opt.port_ranges = false;
	mgmt_sync_response_write(&out, &w, &opt);
	assert_int_equal(mgmt_sync_response_read(str_slice(&out), &arena, &m), 0);
	assert_int_equal(m.map.nrules, 0);
	assert_true(m.map.rules_is_empty);
	str_fini(&out);
}

static void test_odd_rules(void **state)
{
	(void)state;

	static const struct {
		const char *hex;
		int first; /* -1: left out */
		int last;
	} cases[] = {
		{ "0a023a3a2001", 0, 0 }, /* anybody in IPv6 */
		{ "0a0831302e302e302e312001", 0, 0 },
		{ "0a0831302e302e302e31", -1, 0 },         /* protocol UNKNOWN */
		{ "0a0831302e302e302e312005", -1, 0 },     /* CUSTOM */
		{ "0a0831302e302e302e312006", -1, 0 },     /* NETBIRD_SSH */
		{ "0a0831302e302e302e312007", -1, 0 },     /* not defined */
		{ "0a0831302e302e302e3110022001", -1, 0 }, /* direction 2 */
		{ "0a0831302e302e302e3118022001", -1, 0 }, /* action 2 */
		{ "0a0178"
		  "2001",
		  -1, 0 }, /* no address */
		{ "2001", -1, 0 },
		{ "0a0831302e302e302e3120022a03383078", -1, 0 }, /* port "80x" */
		{ "0a0831302e302e302e3120022a053635353336", -1, 0 },
		{ "0a0831302e302e302e3120022a053635353335", 65535, 65535 },
		{ "0a0831302e302e302e3120022a0130", 0, 0 },
		{ "0a0831302e302e302e3120022a0238303200", 80, 80 },   /* PortInfo empty */
		{ "0a0831302e302e302e3120022a02383032020800", 0, 0 }, /* PortInfo.port 0 */
		{ "0a0831302e302e302e3120022a02383032020807", 7, 7 },
		{ "0a0831302e302e302e312002320508808080"
		  "08",
		  -1, 0 }, /* port > 65535 */
		{ "0a0831302e302e302e312002320612040807"
		  "1005",
		  -1, 0 }, /* 7-5 */
		{ "0a0831302e302e302e3120023204120208"
		  "07",
		  0, 0 },                                            /* end 0: no restriction */
		{ "0a0831302e302e302e3120014a03640a05", -1, 0 },     /* prefix of 3 bytes */
		{ "0a0831302e302e302e3120014a050a00000121", -1, 0 }, /* length 33 */
	};

	for (size_t i = 0; i < LN_COUNT(cases); i++) {
		struct mgmt_sync_response m;
		int err = mgmt_sync_response_read(with_rule(cases[i].hex), &arena, &m);
		if (err < 0) {
			assert_int_equal(err, LN_E_MALFORMED);
			assert_int_equal(cases[i].first, -1);
			continue;
		}
		if (cases[i].first < 0) {
			assert_int_equal(m.map.nrules, 0);
			assert_int_equal(m.map.skipped_rules, 1);
			/* A list of nonsense is not a server without rules. */
			assert_true(m.map.rules_is_empty);
			continue;
		}
		assert_int_equal(m.map.nrules, 1);
		assert_int_equal(m.map.rules[0].port_first, cases[i].first);
		assert_int_equal(m.map.rules[0].port_last, cases[i].last);
	}
	/* 0.0.0.0 is anybody; of a prefix only the address counts. */
	struct mgmt_sync_response m;
	assert_int_equal(mgmt_sync_response_read(with_rule("0a07302e302e302e302001"), &arena, &m),
			 0);
	assert_int_equal(m.map.rules[0].peer.len, 0);
	assert_int_equal(m.map.rules[0].peer.addr.family, 4);
	assert_int_equal(mgmt_sync_response_read(with_rule("20014a050a00000108"), &arena, &m), 0);
	assert_int_equal(m.map.rules[0].peer.len, 32);
}

static void test_any_prefix(void **state)
{
	(void)state;
	const struct netmap_rule rules[] = {
		{ .peer = prefix("0.0.0.0/0"), .protocol = NETMAP_PROTO_ALL, .policy_id = "x" },
		{ .peer = prefix("::/0"), .protocol = NETMAP_PROTO_ALL, .policy_id = "x" },
	};
	struct mgmt_sync_response w = { .has_map = true, .map = { .rules = rules, .nrules = 2 } };
	struct str out = { 0 };
	mgmt_sync_response_write(&out, &w, &modern);
	struct slice v4 = unhex("0a07302e302e302e3020013a01784a050000000000");
	struct slice v6 = unhex("0a023a3a20013a01784a110000000000000000000000000000000000");
	assert_non_null(memmem(out.s, out.n, v4.p, v4.n));
	assert_non_null(memmem(out.s, out.n, v6.p, v6.n));
	str_fini(&out);
}

static void test_map_again(void **state)
{
	(void)state;
	struct netmap_peer peers[] = {
		{ .key = key_of(A_PUBLIC),
		  .v4 = ip_v4(0x64400a05),
		  .v6 = prefix("fd12:3456:789a:1::5").addr,
		  .fqdn = "a.netbird.selfhosted",
		  .agent_version = "0.77.1",
		  .ssh_key = slice_str("ssh-ed25519 AAAA") },
		{ .key = key_of(B_PUBLIC),
		  .v4 = ip_v4(0x64400a06),
		  .fqdn = "b",
		  .agent_version = "" },
	};
	struct mgmt_sync_response in = {
		.has_map = true,
		.map = {
			.serial = UINT64_MAX,
			.self = { .address = prefix("100.64.10.1/16"),
				  .address_v6 = prefix("fd12:3456:789a:1::5/64"), .fqdn = "me",
				  .lazy_connections = true, .mtu = 1280 },
			.peers = peers, .npeers = 2, .offline = &peers[1], .noffline = 1,
			.dns_forwarder_port = 22054,
		},
	};
	struct str out = { 0 };
	mgmt_sync_response_write(&out, &in, &modern);
	struct mgmt_sync_response m;
	assert_int_equal(mgmt_sync_response_read(str_slice(&out), &arena, &m), 0);
	assert_true(m.map.serial == UINT64_MAX);
	assert_true(ip_prefix_equal(&m.map.self.address, &in.map.self.address));
	assert_true(ip_prefix_equal(&m.map.self.address_v6, &in.map.self.address_v6));
	assert_int_equal(m.map.self.mtu, 1280);
	assert_true(m.map.self.lazy_connections);
	assert_int_equal(m.map.npeers, 2);
	assert_int_equal(m.map.noffline, 1);
	assert_int_equal(m.map.peers[0].nallowed, 2);
	assert_int_equal(m.map.peers[0].allowed[1].len, 128);
	assert_true(ip_equal(&m.map.peers[0].v6, &peers[0].v6));
	assert_int_equal(m.map.peers[1].nallowed, 1);
	assert_true(slice_equal(m.map.peers[0].ssh_key, peers[0].ssh_key));
	assert_false(m.map.peers_is_empty);
	assert_true(m.map.rules_is_empty);
	assert_false(m.map.dns_enabled);
	size_t once = out.n;

	/* The copy for agents that look for peers outside of the map. */
	struct mgmt_map_options old = { .deprecated_peers = true };
	str_clear(&out);
	mgmt_sync_response_write(&out, &in, &old);
	assert_true(out.n > once + 100);
	str_fini(&out);
}

static void test_odd_peers(void **state)
{
	(void)state;
	/* One peer without a key, one with an address that is none, one good. */
	struct str b = { 0 }, map = { 0 };
	str_add(&map, "\x1a\x03\x0a\x01x");
	str_add(&map, "\x1a\x31\x0a\x2c" A_PUBLIC "\x12\x01x");
	str_add(&map, "\x1a\x3a\x0a\x2c" B_PUBLIC "\x12\x0a"
		      "10.0.0.0/8");
	str_addf(&b, "\x2a%c", (int)map.n);
	str_addn(&b, map.s, map.n);
	struct mgmt_sync_response m;
	assert_int_equal(mgmt_sync_response_read(str_slice(&b), &arena, &m), 0);
	assert_int_equal(m.map.npeers, 1);
	assert_int_equal(m.map.skipped_peers, 2);
	assert_int_equal(m.map.peers[0].nallowed, 1);
	assert_int_equal(m.map.peers[0].v4.family, 0);
	str_fini(&b);
	str_fini(&map);
}

static void test_self(void **state)
{
	(void)state;
	struct mgmt_login_response m;
	/* No length, no address, a compact prefix of the wrong size. */
	assert_int_equal(mgmt_login_response_read(unhex("120a0a0831302e302e302e31"), &arena, &m),
			 LN_E_MALFORMED);
	assert_int_equal(mgmt_login_response_read(unhex("1200"), &arena, &m), LN_E_MALFORMED);
	assert_int_equal(mgmt_login_response_read(unhex("12120a0a31302e302e302e312f38"
							"4a0401020304"),
						  &arena, &m),
			 LN_E_MALFORMED);
	assert_int_equal(
		mgmt_login_response_read(unhex("120c0a0a31302e302e302e312f38"), &arena, &m), 0);
	assert_int_equal(m.self.address.len, 8);
	assert_false(m.has_servers);
	/* Host bits stay. */
	assert_int_equal(ip_to_u32(&m.self.address.addr), 0x0a000001);
}

static void test_servers(void **state)
{
	(void)state;
	const struct mgmt_host stun = { .uri = "stun:h:3478" };
	struct mgmt_login_response in = {
		.has_servers = true,
		.servers = { .stuns = &stun,
			     .nstuns = 1,
			     .has_signal = true,
			     .signal = { .uri = "h:443", .https = true } },
	};
	struct str out = { 0 };
	mgmt_login_response_write(&out, &in);
	/* Complete: metrics are there, and empty. HTTPS is 3. */
	assert_hex(&out, "0a1c0a0d0a0b7374756e3a683a333437381a090a05683a34343310033200");
	struct mgmt_login_response m;
	assert_int_equal(mgmt_login_response_read(str_slice(&out), &arena, &m), 0);
	assert_true(m.servers.signal.https);
	assert_false(m.servers.has_relay);
	/* A TURN server without its host, which crashes other agents (trap 1). */
	assert_int_equal(mgmt_login_response_read(unhex("0a0512031201"
							"78"),
						  &arena, &m),
			 0);
	assert_string_equal(m.servers.turns[0].uri, "");
	assert_string_equal(m.servers.turns[0].user, "x");
	str_fini(&out);
}

static void test_versions(void **state)
{
	(void)state;
	struct mgmt_sync_response m;
	assert_int_equal(mgmt_sync_response_read(unhex("4801"), &arena, &m), LN_E_UNSUPPORTED);

	static const struct {
		const char *version;
		bool ranges;
		bool deprecated;
	} cases[] = {
		{ "0.29.2", false, true },      { "0.29.3", false, false },
		{ "0.29.3-rc1", false, true },  { "0.48.0", true, false },
		{ "development", true, false }, { "", false, true },
		{ "x", false, true },           { "0.77.1-dirty", true, true },
	};

	for (size_t i = 0; i < LN_COUNT(cases); i++) {
		struct mgmt_map_options o = mgmt_map_options_of(cases[i].version, 2);
		assert_int_equal(o.port_ranges, cases[i].ranges);
		assert_int_equal(o.deprecated_peers, cases[i].deprecated);
		assert_true(o.source_prefixes);
	}
	assert_false(mgmt_map_options_of("0.77.1", 4).source_prefixes);
	assert_int_equal(mgmt_version_cmp("0.70.0", "0.9.0"), 1);
}

static void fill_ff(void *ctx, void *dst, size_t n)
{
	(void)ctx;
	memset(dst, 0xff, n);
}

static void test_job(void **state)
{
	(void)state;
	const struct ln_rng rng = { .fill = fill_ff };
	struct str out = { 0 };
	mgmt_job_hello(&rng, &out);
	assert_true(slice_is(str_slice(&out), "\x0a\x24"
					      "ffffffff-ffff-4fff-bfff-ffffffffffff"));
	str_clear(&out);
	/* Whatever is asked: failed, with a reason. Nothing without an id. */
	assert_int_equal(mgmt_job_answer(unhex("0a0178520408011001"), &out), 1);
	assert_memory_equal(out.s, "\x0a\x01x\x10\x02\x1a", 6);
	str_clear(&out);
	assert_int_equal(mgmt_job_answer(unhex("52020801"), &out), 0);
	assert_int_equal(mgmt_job_answer(slice_of(NULL, 0), &out), 0);
	assert_int_equal(mgmt_job_answer(unhex("0a05"), &out), LN_E_MALFORMED);
	assert_int_equal(out.n, 0);
	str_fini(&out);
}

/* --- limits ----------------------------------------------------------------------------------- */

static struct slice repeated(uint8_t outer, const char *entry, size_t entry_n, size_t times)
{
	size_t n = entry_n * times;
	uint8_t *p = arena_alloc(&arena, n + 6);
	size_t at = 0;
	p[at++] = outer;
	for (size_t v = n;; v >>= 7) {
		p[at++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		if (v <= 0x7f)
			break;
	}
	for (size_t i = 0; i < times; i++)
		memcpy(p + at + i * entry_n, entry, entry_n);
	return slice_of(p, at + n);
}

static void test_amplification(void **state)
{
	(void)state;
	/* Half a million empty peers of two bytes each would become 40 MB and more. */
	struct mgmt_sync_response m;
	struct slice bomb = repeated(0x2a, "\x1a\x00", 2, 500000);
	assert_int_equal(mgmt_sync_response_read(bomb, &arena, &m), LN_E_LIMIT);
}

/* The caps of A-7, at n and n + 1. Entries are large enough to pass the memory cap. */
static void test_counts(void **state)
{
	(void)state;
	static const char rule[] = "\x42\x1e\x0a\x08"
				   "10.0.0.1\x20\x01\x3a\x10"
				   "0123456789abcdef";
	static const char peer[] = "\x1a\x39\x0a\x2c" A_PUBLIC "\x2a\x09"
				   "0.77.1-rc";
	const size_t rule_n = sizeof(rule) - 1, peer_n = sizeof(peer) - 1;
	assert_int_equal(rule_n, 32);
	assert_int_equal(peer_n, 59);
	struct mgmt_sync_response m;
	struct slice msg = repeated(0x2a, peer, peer_n, NETMAP_PEERS_MAX);
	assert_int_equal(mgmt_sync_response_read(msg, &arena, &m), 0);
	assert_int_equal(m.map.npeers, NETMAP_PEERS_MAX);
	msg = repeated(0x2a, peer, peer_n, NETMAP_PEERS_MAX + 1);
	assert_int_equal(mgmt_sync_response_read(msg, &arena, &m), LN_E_LIMIT);
	msg = repeated(0x2a, rule, rule_n, 10000);
	assert_int_equal(mgmt_sync_response_read(msg, &arena, &m), 0);
	assert_int_equal(m.map.nrules, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_login_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sealed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_login_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frozen_sync_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_envelope, setup, teardown),
		cmocka_unit_test_setup_teardown(test_server_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_config_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_prefix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_peers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_self, setup, teardown),
		cmocka_unit_test_setup_teardown(test_servers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_job, setup, teardown),
		cmocka_unit_test_setup_teardown(test_amplification, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
