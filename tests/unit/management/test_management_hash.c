/* The fingerprint of a map: every member matters, the serial does not. */
#include <string.h>

#include "src/management/management_internal.h"
#include "tests/unit/unit.h"

struct sample {
	struct netmap_peer peers[2];
	struct netmap_rule rules[2];
	struct netmap map;
	struct mgmt_map_options opt;
};

static void sample_init(struct sample *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < 2; i++) {
		s->peers[i] = (struct netmap_peer){ .key = { { (uint8_t)(i + 1) } },
						    .v4 = ip_v4(0x64400001 + i),
						    .fqdn = i == 0 ? "a.x" : "b.x",
						    .agent_version = "1",
						    .ssh_key = slice_str("k") };
		s->rules[i] = (struct netmap_rule){ .peer = ip_prefix_host(&s->peers[i].v4),
						    .direction = NETMAP_IN,
						    .protocol = NETMAP_PROTO_TCP,
						    .port_first = 80,
						    .port_last = 80,
						    .policy_id = "p" };
	}
	s->map = (struct netmap){
		.serial = 5, .peers = s->peers, .npeers = 2, .rules = s->rules, .nrules = 2
	};
	s->map.self.fqdn = "me.x";
}

static uint64_t hash(const struct sample *s)
{
	static const uint64_t seed[2] = { 1, 2 };
	return management_map_hash(seed, &s->map, &s->opt);
}

static void test_members(void **state)
{
	struct sample s;
	sample_init(&s);
	uint64_t base = hash(&s);
	s.map.serial = 6;
	assert_true(hash(&s) == base);
#define CHANGED(assignment)                                                                        \
 sample_init(&s);                                                                                  \
 assignment;                                                                                       \
 assert_true(hash(&s) != base)
	CHANGED(s.map.npeers = 1);
	CHANGED(s.map.nrules = 1);
	CHANGED(s.peers[1].key.b[31] = 1);
	CHANGED(s.peers[1].v4 = ip_v4(9));
	CHANGED(s.peers[1].v6.family = 6);
	CHANGED(s.peers[1].fqdn = "c.x");
	CHANGED(s.peers[1].agent_version = "2");
	CHANGED(s.peers[1].ssh_key = slice_str("l"));
	CHANGED(s.peers[1].ssh_key = slice_of("", 0));
	CHANGED(s.rules[0].peer.len = 24);
	CHANGED(s.rules[0].direction = NETMAP_OUT);
	CHANGED(s.rules[0].action = NETMAP_DROP);
	CHANGED(s.rules[0].protocol = NETMAP_PROTO_UDP);
	CHANGED(s.rules[0].port_first = 79);
	CHANGED(s.rules[0].port_last = 81);
	CHANGED(s.rules[0].policy_id = "q");
	CHANGED(s.map.self.fqdn = "you.x");
	CHANGED(s.map.self.address.len = 16);
	CHANGED(s.map.self.address_v6.addr.family = 6);
	CHANGED(s.map.self.lazy_connections = true);
	CHANGED(s.map.self.routing_peer_dns = true);
	CHANGED(s.map.self.mtu = 1);
	CHANGED(s.map.dns_enabled = true);
	CHANGED(s.map.dns_forwarder_port = 53);
	CHANGED(s.opt.source_prefixes = true);
	CHANGED(s.opt.port_ranges = true);
	CHANGED(s.opt.deprecated_peers = true);
	CHANGED((s.map.offline = s.peers, s.map.noffline = 2, s.map.npeers = 0));
#undef CHANGED
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_members) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
