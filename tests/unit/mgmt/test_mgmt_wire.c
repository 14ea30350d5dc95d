/* The management messages NetBird's programs sent, read by our decoders. */
#include <stdio.h>

#include "lib/mgmt/mgmt_msg.h"

#include "tests/unit/mgmt/wire_index.h"
#include "tests/unit/unit.h"

static struct wire_index wire;

static bool is(const struct wire_row *row, const char *message)
{
	return strcmp(row->protocol, "management") == 0 && strcmp(row->message, message) == 0;
}

/* The folder is named after the agent's version. */
static void version_of(const struct wire_row *row, char dst[16])
{
	assert_int_equal(sscanf(row->file, "management-%15[^/]", dst), 1);
}

static void test_boxes_open(void **state)
{
	(void)state;
	size_t boxes = 0;
	for (size_t i = 0; i < wire.nrows; i++) {
		const struct wire_row *row = &wire.rows[i];
		if (strcmp(row->protocol, "management") != 0 || row->sealed.n == 0)
			continue;
		struct mgmt_envelope e;
		assert_int_equal(mgmt_envelope_read(row->sealed, &e), 0);
		assert_true(wire_row_opens(&wire, row, e.body));
		/* Our envelope of the same content is the same bytes. */
		struct str again = { 0 };
		mgmt_envelope_write(&again, &e.key, e.body);
		assert_true(slice_equal(str_slice(&again), row->sealed));
		str_fini(&again);
		boxes++;
	}
	assert_int_equal(boxes, 79);
}

static void check_meta(const struct wire_row *row, const struct mgmt_meta *m)
{
	char version[16];
	version_of(row, version);
	assert_string_equal(m->version, version);
	assert_string_equal(m->go_os, "linux");
	assert_string_equal(m->kernel, "Linux");
	assert_string_equal(m->os, "Debian GNU/Linux");
	assert_int_not_equal(m->naddresses, 0);
	assert_string_equal(m->addresses[0].prefix, "10.1.0.2/24");
	assert_int_equal(strlen(m->addresses[0].mac), 17);
	bool modern = mgmt_version_cmp(version, "0.71.0") >= 0;
	assert_int_equal(m->capabilities, modern ? 6 : 0);
	assert_int_equal(m->sync_version, strcmp(version, "0.77.1") == 0 ? 1 : 0);
	assert_false(mgmt_meta_is_empty(m));
}

static void test_login_requests(void **state)
{
	(void)state;
	size_t seen = 0;
	for (size_t i = 0; i < wire.nrows; i++) {
		const struct wire_row *row = &wire.rows[i];
		if (!is(row, "LoginRequest"))
			continue;
		struct mgmt_login_request m;
		assert_int_equal(mgmt_login_request_read(row->plain, &wire.a, &m), 0);
		char key[64], host[64];
		assert_int_equal(
			sscanf(row->inside, "setup key %63[^,], host name %63s", key, host), 2);
		assert_string_equal(m.setup_key, strcmp(key, "absent") == 0 ? "" : key);
		assert_string_equal(m.jwt, "");
		assert_true(m.has_meta);
		assert_string_equal(m.meta.hostname, host);
		check_meta(row, &m.meta);
		seen++;
	}
	assert_int_equal(seen, 25);
}

static void test_sync_requests(void **state)
{
	(void)state;
	size_t seen = 0;
	for (size_t i = 0; i < wire.nrows; i++) {
		const struct wire_row *row = &wire.rows[i];
		if (!is(row, "SyncRequest") && !is(row, "SyncMetaRequest"))
			continue;
		struct mgmt_sync_request m;
		assert_int_equal(mgmt_sync_request_read(row->plain, &wire.a, &m), 0);
		assert_true(m.has_meta);
		assert_string_equal(m.meta.hostname, "machine-a");
		check_meta(row, &m.meta);
		assert_int_equal(m.meta.nfiles, is(row, "SyncMetaRequest") ? 1 : 0);
		seen++;
	}
	assert_int_equal(seen, 10);
}

static void check_servers(const struct mgmt_servers *s)
{
	assert_int_equal(s->nstuns, 1);
	assert_string_equal(s->stuns[0].uri, "stun:198.51.100.10:3478");
	assert_int_equal(s->nturns, 0);
	assert_true(s->has_signal);
	assert_string_equal(s->signal.uri, "198.51.100.10:80");
	assert_false(s->signal.https);
	assert_int_equal(s->signal.protocol, 2);
	assert_true(s->has_relay);
	assert_int_equal(s->relay.nurls, 1);
	assert_string_equal(s->relay.urls[0], "rel://198.51.100.10:80");
	assert_int_equal(strlen(s->relay.token_signature), 44);
}

static void check_self(const struct wire_row *row, const struct netmap_self *s)
{
	char version[16];
	version_of(row, version);
	assert_int_equal(s->address.addr.family, 4);
	assert_int_equal(s->address.len, 16);
	assert_string_equal(s->fqdn, "host-a.netbird.selfhosted");
	assert_true(s->lazy_connections);
	assert_true(s->routing_peer_dns);
	bool v6 = mgmt_version_cmp(version, "0.71.0") >= 0;
	assert_int_equal(s->address_v6.addr.family, v6 ? 6 : 0);
	assert_int_equal(s->address_v6.len, v6 ? 64 : 0);
}

static void test_login_responses(void **state)
{
	(void)state;
	size_t seen = 0;
	for (size_t i = 0; i < wire.nrows; i++) {
		const struct wire_row *row = &wire.rows[i];
		if (!is(row, "LoginResponse"))
			continue;
		struct mgmt_login_response m;
		assert_int_equal(mgmt_login_response_read(row->plain, &wire.a, &m), 0);
		assert_true(m.has_servers);
		check_servers(&m.servers);
		assert_true(m.has_self);
		check_self(row, &m.self);
		assert_int_equal(m.deadline.kind, MGMT_DEADLINE_NONE);
		seen++;
	}
	assert_int_equal(seen, 15);
}

static void check_map(const struct wire_row *row, const struct netmap *map)
{
	unsigned serial, npeers, nrules;
	const char *from = strstr(row->inside, "serial");
	assert_non_null(from);
	assert_int_equal(sscanf(from, "serial %u, %u remote peers, %u firewall rules", &serial,
				&npeers, &nrules),
			 3);
	assert_int_equal(map->serial, serial);
	assert_int_equal(map->npeers, npeers);
	assert_int_equal(map->nrules, nrules);
	assert_int_equal(map->skipped_peers + map->skipped_rules, 0);
	assert_false(map->peers_is_empty);
	assert_false(map->rules_is_empty);
	assert_true(map->dns_enabled);
	assert_int_equal(map->dns_forwarder_port,
			 strstr(row->file, "0.77.1") || strstr(row->file, "0.72.4") ? 22054 : 5353);
	check_self(row, &map->self);
	bool v6 = map->self.address_v6.len != 0;
	for (size_t i = 0; i < map->npeers; i++) {
		const struct netmap_peer *p = &map->peers[i];
		assert_int_equal(p->v4.family, 4);
		assert_int_equal(p->v6.family, v6 ? 6 : 0);
		assert_int_equal(p->nallowed, v6 ? 2 : 1);
		assert_string_equal(p->agent_version, "0.77.1");
		assert_non_null(strstr(p->fqdn, ".netbird.selfhosted"));
		assert_true(slice_has_prefix(p->ssh_key, slice_str("ssh-ed25519 ")));
	}
	for (size_t i = 0; i < map->nrules; i++) {
		const struct netmap_rule *r = &map->rules[i];
		assert_int_equal(r->action, NETMAP_ACCEPT);
		assert_int_equal(r->protocol, NETMAP_PROTO_ALL);
		assert_int_equal(r->port_first, 0);
		assert_int_equal(r->port_last, 0);
		assert_int_equal(r->peer.len, ip_bits(&r->peer.addr));
		assert_int_equal(strlen(r->policy_id), 20);
	}
}

static void test_sync_responses(void **state)
{
	(void)state;
	size_t seen = 0;
	for (size_t i = 0; i < wire.nrows; i++) {
		const struct wire_row *row = &wire.rows[i];
		if (!is(row, "SyncResponse"))
			continue;
		struct mgmt_sync_response m;
		assert_int_equal(mgmt_sync_response_read(row->plain, &wire.a, &m), 0);
		assert_int_equal(m.has_servers, strncmp(row->inside, "with ", 5) == 0);
		if (m.has_servers)
			check_servers(&m.servers);
		assert_true(m.has_map);
		check_map(row, &m.map);
		seen++;
	}
	assert_int_equal(seen, 25);
}

static void test_server_keys(void **state)
{
	(void)state;
	size_t seen = 0;
	for (size_t i = 0; i < wire.nrows; i++) {
		if (!is(&wire.rows[i], "ServerKeyResponse"))
			continue;
		struct wg_key key;
		assert_int_equal(mgmt_server_key_read(wire.rows[i].plain, &key), 0);
		assert_false(wg_key_is_zero(&key));
		seen++;
	}
	assert_int_equal(seen, 5);
}

static void feed_all(struct slice msg)
{
	struct arena a;
	arena_init(&a, (size_t)1 << 20);
	struct mgmt_login_request lq;
	struct mgmt_sync_request sq;
	struct mgmt_login_response lr;
	struct mgmt_sync_response sr;
	struct mgmt_envelope e;
	struct wg_key key;
	assert_true(mgmt_login_request_read(msg, &a, &lq) <= 0);
	assert_true(mgmt_sync_request_read(msg, &a, &sq) <= 0);
	assert_true(mgmt_login_response_read(msg, &a, &lr) <= 0);
	assert_true(mgmt_sync_response_read(msg, &a, &sr) <= 0);
	assert_true(mgmt_envelope_read(msg, &e) <= 0);
	assert_true(mgmt_server_key_read(msg, &key) <= 0);
	arena_fini(&a);
}

/* One message of each kind and version: every truncation, changes of every byte. */
static void test_damaged(void **state)
{
	(void)state;
	for (size_t i = 0; i < wire.nrows; i++) {
		const struct wire_row *row = &wire.rows[i];
		if (strcmp(row->protocol, "management") != 0 ||
		    strncmp(row->file, "management-0.77.1", 17) != 0)
			continue;
		if (is(row, "SyncResponse") && strstr(row->file, "reply.plain") == NULL)
			continue;
		wire_mutate(row->plain, feed_all);
	}
}

int main(void)
{
	wire_index_load(&wire);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boxes_open),     cmocka_unit_test(test_login_requests),
		cmocka_unit_test(test_sync_requests),  cmocka_unit_test(test_login_responses),
		cmocka_unit_test(test_sync_responses), cmocka_unit_test(test_server_keys),
		cmocka_unit_test(test_damaged),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	wire_index_free(&wire);
	return failed;
}
