/* The configuration file in NetBird's format (spec agent 1.7). */
#include <errno.h>
#include <jansson.h>

#include "src/agent/agent_conf.h"
#include "tests/unit/agent/agent_folder.h"

static struct ln_fail f;

static struct agent_conf *load(const char *name)
{
	struct agent_conf *c = NULL;
	f = (struct ln_fail){ 0 };
	if (agent_conf_load(folder_path(name), &folder_rng, &c, &f) < 0)
		fail_msg("%s", f.text);
	return c;
}

static struct daemon_settings none(void)
{
	return (struct daemon_settings){ .management_url = "", .admin_url = "" };
}

static void test_defaults(void **state)
{
	(void)state;
	struct agent_conf *c = load("new.json");
	assert_string_equal(c->ifname, "wt0");
	assert_int_equal(c->wg_port, 51820);
	assert_int_equal(c->mtu, 1280);
	assert_string_equal(c->management.host, "api.netbird.io");
	assert_false(c->ssh_allowed); /* new files: off */
	assert_int_equal(c->blacklist.n, 14);
	assert_false(wg_secret_is_zero(&c->key));
	assert_int_equal(access(folder_path("new.json"), F_OK), -1); /* nothing was written */
	assert_int_equal(agent_conf_save(c, NULL), 0);
	struct stat st;
	assert_int_equal(stat(folder_path("new.json"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	struct agent_conf *again = load("new.json");
	assert_memory_equal(&c->key, &again->key, sizeof(c->key));
	assert_int_equal(again->blacklist.n, 14);
	agent_conf_free(again);
	agent_conf_free(c);
}

/* Written the way NetBird's agent writes it, shortened. */
static const char netbird_file[] =
	"{\n"
	"  \"PrivateKey\": \"oCUhqP3GA+7NNSLimJwkfS1Wk8mMICF2UIerqUsypnM=\",\n"
	"  \"PreSharedKey\": \"\",\n"
	"  \"ManagementURL\": {\"Scheme\": \"https\", \"Opaque\": \"\", \"User\": null,\n"
	"    \"Host\": \"vpn.example.org:8443\", \"Path\": \"\", \"Fragment\": \"\"},\n"
	"  \"WgIface\": \"nb7\", \"WgPort\": 40000, \"MTU\": 1400,\n"
	"  \"IFaceBlackList\": [\"wt0\", \"docker\"],\n"
	"  \"NetworkMonitor\": null, \"SSHKey\": \"-----BEGIN PRIVATE KEY-----\\nx\\n\",\n"
	"  \"DNSRouteInterval\": 60000000000, \"DisableAutoConnect\": true,\n"
	"  \"SomethingNew\": {\"a\": [1, 2]}\n"
	"}\n";

static void test_netbird_file(void **state)
{
	(void)state;
	folder_write("nb.json", netbird_file);
	struct agent_conf *c = load("nb.json");
	assert_string_equal(c->management.host, "vpn.example.org");
	assert_int_equal(c->management.port, 8443);
	assert_string_equal(c->ifname, "nb7");
	assert_int_equal(c->wg_port, 40000);
	assert_int_equal(c->blacklist.n, 2);
	assert_true(c->ssh_allowed); /* missing in an old file: allowed */
	assert_true(c->disable_auto_connect);
	struct wg_key pub;
	char text[WG_KEY_TEXT];
	wg_secret_public(&c->key, &pub);
	wg_key_format(&pub, text);
	assert_string_equal(text, "Zw7pHoR0rLabeDowDU7JIRBI/c2u1PH8YIxHPD5JFEg=");
	assert_int_equal(agent_conf_save(c, NULL), 0);
	agent_conf_free(c);
	/* What we do not know is still there. */
	json_t *o = json_load_file(folder_path("nb.json"), 0, NULL);
	assert_int_equal(json_array_size(json_object_get(json_object_get(o, "SomethingNew"), "a")),
			 2);
	assert_string_equal(json_string_value(json_object_get(o, "SSHKey")),
			    "-----BEGIN PRIVATE KEY-----\nx\n");
	assert_int_equal(json_integer_value(json_object_get(o, "DNSRouteInterval")), 60000000000);
	assert_true(json_is_null(json_object_get(o, "NetworkMonitor")));
	json_t *url = json_object_get(o, "ManagementURL");
	assert_string_equal(json_string_value(json_object_get(url, "Host")),
			    "vpn.example.org:8443");
	assert_true(json_is_null(json_object_get(url, "User")));
	json_decref(o);
}

static void test_bad_files(void **state)
{
	(void)state;

	static const struct {
		const char *text, *says;
	} v[] = {
		{ "", "line" },
		{ "{", "line 1" },
		{ "{\n\n\"a\": }", "line 3" },
		{ "[]", "not a JSON object" },
		{ "{\"PrivateKey\": \"short\"}", "PrivateKey" },
		{ "{\"PreSharedKey\": \"short\"}", "PreSharedKey" },
		{ "{\"WgPort\": 65536}", "WgPort" },
		{ "{\"WgPort\": -1}", "WgPort" },
		{ "{\"WgPort\": \"51820\"}", "WgPort" },
		{ "{\"MTU\": 8193}", "MTU" },
		{ "{\"WgIface\": \"a/b\"}", "WgIface" },
		{ "{\"WgIface\": \"sixteen-letters-\"}", "WgIface" },
		{ "{\"ManagementURL\": {\"Scheme\": \"ftp\", \"Host\": \"a\"}}", "ManagementURL" },
		{ "{\"ManagementURL\": 7}", "ManagementURL" },
	};

	for (size_t i = 0; i < LN_COUNT(v); i++) {
		struct agent_conf *c = NULL;
		folder_write("bad.json", v[i].text);
		assert_int_equal(agent_conf_load(folder_path("bad.json"), &folder_rng, &c, &f),
				 LN_E_MALFORMED);
		assert_null(c);
		assert_non_null(strstr(f.text, "bad.json"));
		if (strstr(f.text, v[i].says) == NULL)
			fail_msg("'%s' does not say '%s'", f.text, v[i].says);
	}
	assert_int_equal(mkdir(folder_path("dir.json"), 0700), 0);
	struct agent_conf *c = NULL;
	assert_int_equal(agent_conf_load(folder_path("dir.json"), &folder_rng, &c, &f), -EISDIR);
}

static void test_apply(void **state)
{
	(void)state;
	struct agent_conf *c = load("new.json");
	struct daemon_settings s = none();
	assert_int_equal(agent_conf_apply(c, &s, &f), 0);
	s.management_url = "http://10.0.0.1";
	s.has_wireguard_port = true;
	s.wireguard_port = 0;
	s.has_block_inbound = s.block_inbound = true;
	s.has_interface_name = true;
	s.interface_name = "ln0";
	assert_int_equal(agent_conf_apply(c, &s, &f), 1);
	assert_int_equal(agent_conf_apply(c, &s, &f), 0); /* the second time nothing changes */
	assert_int_equal(c->wg_port, 0);
	assert_true(c->block_inbound);
	assert_string_equal(c->ifname, "ln0");
	assert_int_equal(c->management.port, 80);
	agent_conf_free(c);
}

static void test_apply_all_or_nothing(void **state)
{
	(void)state;
	struct agent_conf *c = load("new.json");
	struct daemon_settings s = none();
	s.has_block_inbound = s.block_inbound = true;
	s.has_mtu = true;
	s.mtu = 575;
	assert_int_equal(agent_conf_apply(c, &s, &f), LN_E_MALFORMED);
	assert_false(c->block_inbound);
	s.mtu = 8193;
	assert_int_equal(agent_conf_apply(c, &s, &f), LN_E_MALFORMED);
	s.mtu = 576;
	assert_int_equal(agent_conf_apply(c, &s, &f), 1);
	s.mtu = 8192;
	assert_int_equal(agent_conf_apply(c, &s, &f), 1);
	s.management_url = "nonsense";
	assert_int_equal(agent_conf_apply(c, &s, &f), LN_E_MALFORMED);
	s.management_url = "";
	s.has_wireguard_port = true;
	s.wireguard_port = 65536;
	assert_int_equal(agent_conf_apply(c, &s, &f), LN_E_MALFORMED);
	agent_conf_free(c);
}

static void test_preshared_key(void **state)
{
	(void)state;
	struct agent_conf *c = load("new.json");
	struct daemon_settings s = none();
	s.has_preshared_key = true;
	s.preshared_key = "GPbY8kcNx2K20O363rotkJiiY1wRpK0YvZqz93et8U0=";
	assert_int_equal(agent_conf_apply(c, &s, &f), 1);
	assert_true(c->has_psk);
	s.preshared_key = AGENT_CONF_PSK_HIDDEN; /* what GetConfig showed comes back */
	assert_int_equal(agent_conf_apply(c, &s, &f), 0);
	assert_true(c->has_psk);
	s.preshared_key = "nonsense";
	assert_int_equal(agent_conf_apply(c, &s, &f), LN_E_MALFORMED);
	s.preshared_key = "";
	assert_int_equal(agent_conf_apply(c, &s, &f), 1);
	assert_false(c->has_psk);
	agent_conf_free(c);
}

static void test_lists(void **state)
{
	(void)state;
	struct agent_conf *c = load("new.json");
	struct daemon_settings s = none();
	const char *more[] = { "eth9", "wt0", "eth9" };
	s.iface_blacklist = more;
	s.niface_blacklist = 3;
	const char *labels[33];
	for (size_t i = 0; i < 33; i++)
		labels[i] = i % 2 != 0 ? "a" : "b";
	s.dns_labels = labels;
	s.ndns_labels = 33;
	assert_int_equal(agent_conf_apply(c, &s, &f), LN_E_MALFORMED);
	s.ndns_labels = 32;
	assert_int_equal(agent_conf_apply(c, &s, &f), 1);
	assert_int_equal(c->dns_labels.n, 2);
	assert_int_equal(c->blacklist.n, 15);
	struct daemon_settings clean = none();
	clean.clean_dns_labels = true;
	assert_int_equal(agent_conf_apply(c, &clean, &f), 1);
	assert_int_equal(c->dns_labels.n, 0);
	agent_conf_free(c);
}

static void test_moves_server(void **state)
{
	(void)state;
	struct agent_conf *c = load("new.json");
	struct daemon_settings s = none();
	assert_false(agent_conf_moves_server(c, &s));
	s.management_url = "https://api.netbird.io";
	assert_false(agent_conf_moves_server(c, &s));
	s.management_url = "https://api.netbird.io:444";
	assert_true(agent_conf_moves_server(c, &s));
	agent_conf_free(c);
}

static void test_write_failures(void **state)
{
	(void)state;
	assert_int_equal(agent_file_write(folder_path("no/such/file"), slice_str("x"), &f),
			 -ENOENT);
	/* A folder in the way: the old thing stays, nothing temporary is left. */
	assert_int_equal(mkdir(folder_path("d"), 0700), 0);
	assert_int_equal(agent_file_write(folder_path("d"), slice_str("x"), &f), -EISDIR);
	struct str text;
	str_init(&text, 4);
	folder_write("long", "12345");
	assert_int_equal(agent_file_read(folder_path("long"), &text, &f), LN_E_LIMIT);
	str_fini(&text);
	str_init(&text, 5);
	assert_int_equal(agent_file_read(folder_path("long"), &text, &f), 0);
	assert_string_equal(str_c(&text), "12345");
	str_fini(&text);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, folder_new, folder_free)
	const struct CMUnitTest tests[] = {
		T(test_defaults), T(test_netbird_file),         T(test_bad_files),
		T(test_apply),    T(test_apply_all_or_nothing), T(test_preshared_key),
		T(test_lists),    T(test_moves_server),         T(test_write_failures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
