/* combined_conf: NetBird's files are taken as they are, and what follows from them is right. */
#include <stdio.h>
#include <string.h>

#include "src/combined/combined_conf.h"
#include "tests/unit/unit.h"

struct fixture {
	struct svc_conf c;
	struct combined_conf v;
	struct combined_plan p;
	struct ln_fail f;
};

static int load(struct fixture *x, const char *text)
{
	memset(x, 0, sizeof(*x));
	svc_conf_init(&x->c, combined_conf_rows, combined_conf_nrows, &x->v);
	int err = text != NULL ? svc_conf_read_text(&x->c, "c.yaml", slice_str(text), &x->f) : 0;
	return err < 0 ? err : combined_plan_make(&x->c, &x->p, &x->f);
}

/* What NetBird's installer writes (spec auth-and-setup 8.2). */
static const char installer[] = "server:\n"
				"  listenAddress: \":8080\"\n"
				"  exposedAddress: \"http://linnet.test:8080\"\n"
				"  stunPorts: [3478]\n"
				"  metricsPort: 9090\n"
				"  healthcheckAddress: \":9000\"\n"
				"  logLevel: info\n"
				"  logFile: console\n"
				"  authSecret: \"c2VjcmV0\"\n"
				"  dataDir: /var/lib/netbird/\n"
				"  auth:\n"
				"    issuer: \"http://linnet.test:8080/oauth2\"\n"
				"    dashboardRedirectURIs: [\"http://linnet.test:8080/nb-auth\"]\n"
				"    cliRedirectURIs: [\"http://localhost:53000/\"]\n"
				"  store: {engine: sqlite, encryptionKey: \"a2V5\"}\n"
				"  reverseProxy: {trustedHTTPProxies: [10.0.0.0/8]}\n";

static void test_installer_file(void **state)
{
	struct fixture x;
	struct str later;
	(void)state;
	assert_int_equal(load(&x, installer), 0);
	assert_int_equal(x.p.listen.ep.port, 8080);
	assert_false(ip_is_set(&x.p.listen.ep.addr));
	assert_string_equal(x.p.signal_uri, "linnet.test:8080");
	assert_false(x.p.signal_tls);
	assert_true(x.p.local_signal && x.p.local_stun);
	assert_int_equal(x.p.nstuns, 1);
	assert_string_equal(x.p.stuns[0], "stun:linnet.test:3478");
	assert_string_equal(x.p.store_path, "/var/lib/netbird/store.db");
	assert_string_equal(x.p.admin_socket, "/var/lib/netbird/admin.sock");
	str_init(&later, 0);
	svc_conf_later(&x.c, &later);
	assert_string_equal(str_c(&later),
			    "server.auth, server.store.encryptionKey, server.reverseProxy");
	assert_int_equal(x.v.metrics_port, 9090);
	assert_string_equal(x.v.health_address, ":9000");
	assert_true(x.p.local_relay);
	assert_int_equal(x.p.nrelays, 1);
	assert_string_equal(x.p.relays[0], "rel://linnet.test:8080");
	assert_string_equal(x.p.relay_url, "rel://linnet.test:8080");
	assert_string_equal(x.p.relay_secret, "c2VjcmV0");
	str_clear(&later);
	svc_conf_dump(&x.c, &later);
	assert_null(strstr(str_c(&later), "c2VjcmV0"));
	assert_null(strstr(str_c(&later), "a2V5"));
	str_fini(&later);
	svc_conf_fini(&x.c);
}

/* What NetBird's end-to-end tests write, as JSON. */
static void test_harness_file(void **state)
{
	struct fixture x;
	(void)state;
	assert_int_equal(
		load(&x,
		     "{\"server\": {\"listenAddress\": \":8080\", \"exposedAddress\": "
		     "\"http://[2001:db8::1]:8080\", \"healthcheckAddress\": \":9000\", "
		     "\"metricsPort\": 9090, \"logLevel\": \"debug\", \"logFile\": \"console\", "
		     "\"authSecret\": \"s\", \"dataDir\": \"/d\", \"disableAnonymousMetrics\": "
		     "true, \"disableGeoliteUpdate\": true, \"auth\": {\"issuer\": "
		     "\"http://localhost:8080/oauth2\"}, \"store\": {\"engine\": \"sqlite\"}, "
		     "\"agentNetwork\": {\"pricingDefaultsFile\": \"x\"}}}"),
		0);
	assert_string_equal(x.p.signal_uri, "[2001:db8::1]:8080");
	assert_string_equal(x.p.stuns[0], "stun:[2001:db8::1]:3478");
	assert_string_equal(x.p.store_path, "/d/store.db");
	svc_conf_fini(&x.c);
}

static void test_turns(void **state)
{
	struct fixture x;
	(void)state;
	assert_int_equal(load(&x, "linnet: {turn: {uris: ['turn:t.test:3478?transport=tcp', "
				  "'turns:t.test'], secret: s, credentialsTTL: 1h}}"),
			 0);
	assert_int_equal(x.v.turns.n, 2);
	assert_string_equal(x.v.turns.v[0], "turn:t.test:3478?transport=tcp");
	assert_true(x.v.turn_ttl == LN_HOUR);
	svc_conf_fini(&x.c);
	assert_int_equal(load(&x, "linnet: {turn: {uris: ['turn:t'], username: u}}"),
			 LN_E_MALFORMED);
	assert_non_null(strstr(x.f.text, "linnet.turn.password"));
	svc_conf_fini(&x.c);
	assert_int_equal(load(&x, "linnet: {turn: {uris: ['turn:t'], username: u, password: p}}"),
			 0);
	svc_conf_fini(&x.c);
	static const char *const bad[] = { "stun:t", "turn:", "turn:t?transport=sctp", "turn:t/x" };
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		char text[128];
		(void)snprintf(text, sizeof(text), "linnet: {turn: {uris: ['%s'], secret: s}}",
			       bad[i]);
		assert_int_equal(load(&x, text), LN_E_MALFORMED);
		svc_conf_fini(&x.c);
	}
}

static void test_relays(void **state)
{
	struct fixture x;
	(void)state;
	assert_int_equal(load(&x,
			      "server: {exposedAddress: 'https://a.test', authSecret: own, relays: "
			      "{addresses: ['rels://r1.test', 'rel://r2.test:80'], "
			      "credentialsTTL: 2h, secret: theirs}}"),
			 0);
	assert_false(x.p.local_relay);
	assert_int_equal(x.p.nrelays, 2);
	assert_string_equal(x.p.relays[1], "rel://r2.test:80");
	assert_string_equal(x.p.relay_secret, "theirs");
	assert_true(x.v.relay_ttl == 2 * LN_HOUR);
	assert_string_equal(x.p.relay_url, "rels://a.test:443");
	svc_conf_fini(&x.c);
	assert_int_equal(load(&x, "server: {authSecret: own, relays: {addresses: [rel://r]}}"), 0);
	assert_string_equal(x.p.relay_secret, "own");
	svc_conf_fini(&x.c);
	assert_int_equal(load(&x, "server: {relays: {addresses: [rel://r]}}"), LN_E_MALFORMED);
	assert_non_null(strstr(x.f.text, "server.relays.secret"));
	svc_conf_fini(&x.c);
	assert_int_equal(load(&x, "server: {relays: {addresses: ['https://r']}}"), LN_E_MALFORMED);
	svc_conf_fini(&x.c);
	assert_int_equal(load(&x, "linnet: {relay: {exposedAddress: 'rels://x.test:1234'}}"), 0);
	assert_string_equal(x.p.relays[0], "rels://x.test:1234");
	assert_string_equal(x.p.relay_secret_path, "/var/lib/linnet/relay-secret");
	svc_conf_fini(&x.c);
}

static void test_defaults(void **state)
{
	struct fixture x;
	(void)state;
	assert_int_equal(load(&x, NULL), 0);
	assert_int_equal(x.p.listen.ep.port, 80);
	assert_int_equal(x.p.exposed_port, 80);
	assert_string_not_equal(x.p.exposed_host, "");
	assert_string_equal(x.v.data_dir, "/var/lib/linnet");
	svc_conf_fini(&x.c);
	assert_int_equal(load(&x, "server: {}"), 0);
	assert_int_equal(x.p.listen.ep.port, 443); /* NetBird's default for a file */
	svc_conf_fini(&x.c);
	assert_int_equal(load(&x, "server: {listenAddress: '192.0.2.7:81'}"), 0);
	assert_string_equal(x.p.signal_uri, "192.0.2.7:81");
	svc_conf_fini(&x.c);
}

static void test_tls_and_others(void **state)
{
	struct fixture x;
	(void)state;
	assert_int_equal(load(&x, "server:\n"
				  "  exposedAddress: https://vpn.example.com/\n"
				  "  tls: {certFile: /c, keyFile: /k}\n"
				  "  signalUri: http://sig.example.com\n"
				  "  stuns:\n"
				  "    - uri: stun:a.example.com:1\n"
				  "      proto: udp\n"
				  "    - uri: 'stun:[2001:db8::2]'\n"
				  "  store: {file: /s/x.db}\n"
				  "linnet: {adminSocket: /run/a.sock}\n"),
			 0);
	assert_int_equal(x.p.listen.ep.port, 443);
	assert_true(x.p.exposed_tls);
	assert_int_equal(x.p.exposed_port, 443);
	assert_string_equal(x.p.signal_uri, "sig.example.com:80");
	assert_false(x.p.signal_tls || x.p.local_signal || x.p.local_stun);
	assert_int_equal(x.p.nstuns, 2);
	assert_string_equal(x.p.stuns[1], "stun:[2001:db8::2]");
	assert_string_equal(x.p.store_path, "/s/x.db");
	assert_string_equal(x.p.admin_socket, "/run/a.sock");
	svc_conf_fini(&x.c);
	assert_int_equal(load(&x, "server: {exposedAddress: 'https://h', signalUri: 's:99'}"), 0);
	assert_true(x.p.signal_tls); /* no scheme: as the exposed address */
	assert_string_equal(x.p.signal_uri, "s:99");
	svc_conf_fini(&x.c);
}

static void expect(const char *text, const char *message)
{
	struct fixture x;
	int err = load(&x, text);
	if (err == 0 || strcmp(x.f.text, message) != 0)
		print_message("# for: %s\n# got %d: %s\n", text, err, x.f.text);
	assert_int_not_equal(err, 0);
	assert_string_equal(x.f.text, message);
	svc_conf_fini(&x.c);
}

static void test_refusals(void **state)
{
	(void)state;
	expect("server: {tls: {certFile: /c}}",
	       "c.yaml:1: server.tls.certFile: a certificate and its key belong together; give "
	       "certFile and keyFile, or neither");
	expect("server: {listenAddress: 'example.com:80'}",
	       "c.yaml:1: server.listenAddress: \"example.com:80\" is not allowed; allowed: "
	       "ADDRESS:PORT with an IP address, or :PORT for every address");
	expect("server: {exposedAddress: 'vpn.example.com'}",
	       "c.yaml:1: server.exposedAddress: \"vpn.example.com\" is not allowed; allowed: "
	       "https://HOST[:PORT] or http://HOST[:PORT], as agents reach this server");
	expect("server: {store: {engine: postgres}}",
	       "c.yaml:1: server.store.engine: \"postgres\" is not allowed; allowed: sqlite (other "
	       "databases come later)");
	expect("server:\n  logLevel: loud\n",
	       "c.yaml:2: server.logLevel: \"loud\" is not allowed; allowed: panic, fatal, error, "
	       "warn, info, debug, trace");
	expect("server: {listenAddres: ':80'}",
	       "c.yaml:1: there is no key \"listenAddres\" under server; did you mean "
	       "listenAddress?");
	expect("server: {stuns: [{uri: 'turn:x'}]}",
	       "c.yaml:1: server.stuns[].uri: \"turn:x\" is not allowed; allowed: stun:HOST[:PORT]");
}

static void test_listen(void **state)
{
	static const char *const good[] = { ":1", "0.0.0.0:65535", "[::]:80", "localhost:80",
					    "127.0.0.1:8080" };
	static const char *const bad[] = { "",        "80",           ":0",   ":65536", "::1:80",
					   "[::1]80", "[1.2.3.4]:80", "a:80", ":8x",    "[::1]:" };
	struct combined_listen l;
	(void)state;
	for (size_t i = 0; i < LN_COUNT(good); i++)
		assert_int_equal(combined_listen_parse(good[i], &l), 0);
	for (size_t i = 0; i < LN_COUNT(bad); i++)
		assert_int_equal(combined_listen_parse(bad[i], &l), LN_E_MALFORMED);
	assert_int_equal(combined_listen_parse("[2001:db8::1]:443", &l), 0);
	assert_int_equal(l.ep.addr.family, 6);
	assert_int_equal(l.ep.port, 443);
}

static void test_long_socket_path(void **state)
{
	struct fixture x;
	char text[300], dir[120];
	(void)state;
	memset(dir, 'd', sizeof(dir));
	dir[0] = '/';
	dir[96] = '\0'; /* 96 + "/admin.sock" = 107 */
	snprintf(text, sizeof(text), "server: {dataDir: '%s'}", dir);
	assert_int_equal(load(&x, text), 0);
	svc_conf_fini(&x.c);
	dir[96] = 'd';
	dir[97] = '\0';
	snprintf(text, sizeof(text), "server: {dataDir: '%s'}", dir);
	assert_int_equal(load(&x, text), LN_E_LIMIT);
	svc_conf_fini(&x.c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_installer_file),
		cmocka_unit_test(test_harness_file),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_relays),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_tls_and_others),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_long_socket_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
