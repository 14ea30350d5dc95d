#include "src/agent/agent_conf.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/crypto/ct.h"

#include "src/agent/agent_file.h"

#define AGENT_CONF_FILE_MAX ((size_t)1 << 20)

static const char *const agent_conf_blacklist[] = {
	"wt0", "wt",        "utun",      "tun0",   "zt",   "ZeroTier", "wg",
	"ts",  "Tailscale", "tailscale", "docker", "veth", "br-",      "lo",
};

/* --- lists -------------------------------------------------------------------------------------*/

static void agent_list_fini(struct agent_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct agent_list){ 0 };
}

static bool agent_list_has(const struct agent_list *l, const char *s)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i], s) == 0)
			return true;
	return false;
}

static void agent_list_add(struct agent_list *l, const char *s)
{
	if (l->n >= AGENT_CONF_LIST_MAX || agent_list_has(l, s))
		return;
	l->v = ln_realloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = ln_strdup(s);
}

static void agent_list_set(struct agent_list *l, const char *const *v, size_t n)
{
	agent_list_fini(l);
	for (size_t i = 0; i < n; i++)
		agent_list_add(l, v[i]);
}

/* --- JSON --------------------------------------------------------------------------------------*/

static bool agent_conf_bool(const json_t *o, const char *key, bool fallback)
{
	const json_t *v = json_object_get(o, key);
	return json_is_boolean(v) ? json_is_true(v) : fallback;
}

static const char *agent_conf_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s != NULL ? s : "";
}

static void agent_conf_read_list(const json_t *o, const char *key, struct agent_list *ret)
{
	const json_t *a = json_object_get(o, key);
	for (size_t i = 0; i < json_array_size(a); i++) {
		const char *s = json_string_value(json_array_get(a, i));
		if (s != NULL && s[0] != '\0')
			agent_list_add(ret, s);
	}
}

/* A URL is an object of Go's url.URL in this file; a plain text is understood as well. */
static int agent_conf_read_url(const json_t *o, const char *key, struct agent_url *ret,
			       struct ln_fail *f)
{
	const json_t *v = json_object_get(o, key);
	if (v == NULL || json_is_null(v))
		return 0;
	struct str text;
	str_init(&text, 1024);
	if (json_is_string(v)) {
		str_add(&text, json_string_value(v));
	} else {
		str_addf(&text, "%s://%s%s", agent_conf_text(v, "Scheme"),
			 agent_conf_text(v, "Host"), agent_conf_text(v, "Path"));
	}
	struct ln_fail why = { 0 };
	int err = agent_url_parse(str_slice(&text), ret, &why);
	if (err < 0)
		err = ln_fail(f, err, "%s: %s", key, why.text);
	str_fini(&text);
	return err;
}

static int agent_conf_read_int(const json_t *o, const char *key, int lowest, int highest, int *ret,
			       struct ln_fail *f)
{
	const json_t *v = json_object_get(o, key);
	if (v == NULL || json_is_null(v))
		return 0;
	json_int_t n = json_integer_value(v);
	if (!json_is_integer(v) || n < lowest || n > highest)
		return ln_fail(f, LN_E_MALFORMED, "%s must be a number from %d to %d", key, lowest,
			       highest);
	*ret = (int)n;
	return 0;
}

static bool agent_conf_ifname_valid(const char *s)
{
	size_t n = strlen(s);
	if (n == 0 || n > 15 || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] == '/' || s[i] == ':' || s[i] <= ' ' || s[i] > '~')
			return false;
	return true;
}

static int agent_conf_read_keys(struct agent_conf *c, const json_t *o, const struct ln_rng *rng,
				struct ln_fail *f)
{
	const char *key = agent_conf_text(o, "PrivateKey");
	if (key[0] == '\0') {
		wg_secret_generate(&c->key, rng);
		c->unsaved = true;
	} else if (wg_secret_parse(slice_str(key), &c->key) < 0) {
		return ln_fail(f, LN_E_MALFORMED, "PrivateKey is not the base64 of 32 bytes");
	}
	const char *psk = agent_conf_text(o, "PreSharedKey");
	if (psk[0] == '\0')
		return 0;
	if (wg_secret_parse(slice_str(psk), &c->psk) < 0)
		return ln_fail(f, LN_E_MALFORMED, "PreSharedKey is not the base64 of 32 bytes");
	c->has_psk = true;
	return 0;
}

static int agent_conf_read(struct agent_conf *c, const json_t *o, const struct ln_rng *rng,
			   struct ln_fail *f)
{
	int port = c->wg_port, mtu = c->mtu;
	int err = agent_conf_read_keys(c, o, rng, f);
	if (err == 0)
		err = agent_conf_read_url(o, "ManagementURL", &c->management, f);
	if (err == 0)
		err = agent_conf_read_url(o, "AdminURL", &c->admin, f);
	if (err == 0)
		err = agent_conf_read_int(o, "WgPort", 0, 65535, &port, f);
	if (err == 0)
		err = agent_conf_read_int(o, "MTU", 0, AGENT_CONF_MTU_MAX, &mtu, f);
	if (err < 0)
		return err;
	c->wg_port = (uint16_t)port;
	if (mtu >= AGENT_CONF_MTU_MIN)
		c->mtu = (uint16_t)mtu;
	const char *ifname = agent_conf_text(o, "WgIface");
	if (ifname[0] != '\0') {
		if (!agent_conf_ifname_valid(ifname))
			return ln_fail(f, LN_E_MALFORMED,
				       "WgIface is no interface name (1 to 15 characters)");
		memcpy(c->ifname, ifname, strlen(ifname) + 1);
	}
	strncpy(c->name, agent_conf_text(o, "Name"), sizeof(c->name) - 1);
	strncpy(c->dns_address, agent_conf_text(o, "CustomDNSAddress"), sizeof(c->dns_address) - 1);
	c->network_monitor = agent_conf_bool(o, "NetworkMonitor", false);
	/* spec agent 1.7: absent in an old file means allowed. */
	c->ssh_allowed = agent_conf_bool(o, "ServerSSHAllowed", true);
	c->rosenpass = agent_conf_bool(o, "RosenpassEnabled", false);
	c->rosenpass_permissive = agent_conf_bool(o, "RosenpassPermissive", false);
	c->disable_client_routes = agent_conf_bool(o, "DisableClientRoutes", false);
	c->disable_server_routes = agent_conf_bool(o, "DisableServerRoutes", false);
	c->disable_dns = agent_conf_bool(o, "DisableDNS", false);
	c->disable_firewall = agent_conf_bool(o, "DisableFirewall", false);
	c->block_lan = agent_conf_bool(o, "BlockLANAccess", false);
	c->block_inbound = agent_conf_bool(o, "BlockInbound", false);
	c->disable_ipv6 = agent_conf_bool(o, "DisableIPv6", false);
	c->disable_ipv6_discovery = agent_conf_bool(o, "DisableIPv6Discovery", false);
	c->disable_auto_connect = agent_conf_bool(o, "DisableAutoConnect", false);
	c->disable_notifications = agent_conf_bool(o, "DisableNotifications", true);
	agent_conf_read_list(o, "DNSLabels", &c->dns_labels);
	agent_conf_read_list(o, "NATExternalIPs", &c->external_ips);
	if (json_is_array(json_object_get(o, "IFaceBlackList"))) {
		agent_list_fini(&c->blacklist);
		agent_conf_read_list(o, "IFaceBlackList", &c->blacklist);
	}
	return 0;
}

static void agent_conf_put_url(json_t *o, const char *key, const struct agent_url *u)
{
	char host[AGENT_URL_TEXT_MAX];
	agent_url_format_host(u, host);
	json_object_set_new(o, key,
			    json_pack("{s:s, s:s, s:n, s:s, s:s, s:s, s:b, s:b, s:s, s:s, s:s}",
				      "Scheme", u->tls ? "https" : "http", "Opaque", "", "User",
				      "Host", host, "Path", u->path, "RawPath", "", "OmitHost", 0,
				      "ForceQuery", 0, "RawQuery", "", "Fragment", "",
				      "RawFragment", ""));
}

static void agent_conf_put_list(json_t *o, const char *key, const struct agent_list *l)
{
	json_t *a = json_array();
	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(a, json_string(l->v[i]));
	json_object_set_new(o, key, a);
}

static void agent_conf_put_secret(json_t *o, const char *key, const struct wg_secret *s, bool set)
{
	char text[WG_KEY_TEXT] = "";
	if (set)
		wg_secret_write(s, text);
	json_object_set_new(o, key, json_string(text));
	ct_wipe(text, sizeof(text));
}

static void agent_conf_put(const struct agent_conf *c, json_t *o)
{
	agent_conf_put_secret(o, "PrivateKey", &c->key, true);
	agent_conf_put_secret(o, "PreSharedKey", &c->psk, c->has_psk);
	agent_conf_put_url(o, "ManagementURL", &c->management);
	agent_conf_put_url(o, "AdminURL", &c->admin);
	agent_conf_put_list(o, "IFaceBlackList", &c->blacklist);
	if (c->dns_labels.n > 0 || json_object_get(o, "DNSLabels") != NULL)
		agent_conf_put_list(o, "DNSLabels", &c->dns_labels);
	if (c->external_ips.n > 0 || json_object_get(o, "NATExternalIPs") != NULL)
		agent_conf_put_list(o, "NATExternalIPs", &c->external_ips);
	json_object_set_new(o, "Name", json_string(c->name));
	json_object_set_new(o, "WgIface", json_string(c->ifname));
	json_object_set_new(o, "CustomDNSAddress", json_string(c->dns_address));
	json_object_set_new(o, "WgPort", json_integer(c->wg_port));
	json_object_set_new(o, "MTU", json_integer(c->mtu));
	if (c->network_monitor || json_is_boolean(json_object_get(o, "NetworkMonitor")))
		json_object_set_new(o, "NetworkMonitor", json_boolean(c->network_monitor));
	json_object_set_new(o, "ServerSSHAllowed", json_boolean(c->ssh_allowed));
	json_object_set_new(o, "RosenpassEnabled", json_boolean(c->rosenpass));
	json_object_set_new(o, "RosenpassPermissive", json_boolean(c->rosenpass_permissive));
	json_object_set_new(o, "DisableClientRoutes", json_boolean(c->disable_client_routes));
	json_object_set_new(o, "DisableServerRoutes", json_boolean(c->disable_server_routes));
	json_object_set_new(o, "DisableDNS", json_boolean(c->disable_dns));
	json_object_set_new(o, "DisableFirewall", json_boolean(c->disable_firewall));
	json_object_set_new(o, "BlockLANAccess", json_boolean(c->block_lan));
	json_object_set_new(o, "BlockInbound", json_boolean(c->block_inbound));
	json_object_set_new(o, "DisableIPv6", json_boolean(c->disable_ipv6));
	json_object_set_new(o, "DisableIPv6Discovery", json_boolean(c->disable_ipv6_discovery));
	json_object_set_new(o, "DisableAutoConnect", json_boolean(c->disable_auto_connect));
	json_object_set_new(o, "DisableNotifications", json_boolean(c->disable_notifications));
}

/* --- life --------------------------------------------------------------------------------------*/

static struct agent_conf *agent_conf_new(const char *path)
{
	struct agent_conf *c = ln_alloc(sizeof(*c));
	c->path = ln_strdup(path);
	memcpy(c->ifname, "wt0", 4);
	c->wg_port = 51820;
	c->mtu = 1280;
	c->disable_notifications = true;
	c->management = (struct agent_url){ .tls = true, .host = "api.netbird.io", .port = 443 };
	c->admin = (struct agent_url){ .tls = true, .host = "app.netbird.io", .port = 443 };
	agent_list_set(&c->blacklist, agent_conf_blacklist, LN_COUNT(agent_conf_blacklist));
	return c;
}

void agent_conf_free(struct agent_conf *c)
{
	if (c == NULL)
		return;
	wg_secret_wipe(&c->key);
	wg_secret_wipe(&c->psk);
	agent_list_fini(&c->blacklist);
	agent_list_fini(&c->dns_labels);
	agent_list_fini(&c->external_ips);
	json_decref(c->raw);
	free(c->path);
	free(c);
}

int agent_conf_load(const char *path, const struct ln_rng *rng, struct agent_conf **ret,
		    struct ln_fail *f)
{
	struct str text;
	str_init(&text, AGENT_CONF_FILE_MAX);
	struct agent_conf *c = agent_conf_new(path);
	int err = agent_file_read(path, &text, f);
	if (err == -ENOENT) {
		wg_secret_generate(&c->key, rng);
		c->raw = json_object();
		c->unsaved = true;
		err = 0;
	} else if (err == 0) {
		json_error_t why;
		c->raw = json_loadb(str_c(&text), text.n, 0, &why);
		struct ln_fail part = { 0 };
		if (!json_is_object((json_t *)c->raw))
			err = ln_fail(f, LN_E_MALFORMED, "%s: line %d: %.120s", path, why.line,
				      c->raw != NULL ? "not a JSON object" : why.text);
		else if ((err = agent_conf_read(c, c->raw, rng, &part)) < 0)
			err = ln_fail(f, err, "%s: %s", path, part.text);
	}
	if (text.s != NULL)
		ct_wipe(text.s, text.n);
	str_fini(&text);
	if (err < 0) {
		agent_conf_free(c);
		return err;
	}
	*ret = c;
	return 0;
}

int agent_conf_save(struct agent_conf *c, struct ln_fail *f)
{
	if (!c->unsaved && access(c->path, F_OK) == 0)
		return 0;
	agent_conf_put(c, c->raw);
	char *text = json_dumps(c->raw, JSON_INDENT(4));
	if (text == NULL)
		return ln_fail(f, LN_E_INTERNAL, "%s: cannot be written as JSON", c->path);
	int err = agent_file_write(c->path, slice_str(text), f);
	ct_wipe(text, strlen(text));
	free(text);
	if (err == 0)
		c->unsaved = false;
	return err;
}

int agent_conf_rename(struct agent_conf *c, const char *name, struct ln_fail *f)
{
	char old[sizeof(c->name)];
	bool was = c->unsaved;
	memcpy(old, c->name, sizeof(old));
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	c->unsaved = true;
	int err = agent_conf_save(c, f);
	if (err < 0) {
		memcpy(c->name, old, sizeof(old));
		c->unsaved = was;
	}
	return err;
}

static struct agent_list agent_list_dup(const struct agent_list *l)
{
	struct agent_list out = { 0 };
	for (size_t i = 0; i < l->n; i++)
		agent_list_add(&out, l->v[i]);
	return out;
}

struct agent_conf *agent_conf_dup(const struct agent_conf *c)
{
	struct agent_conf *d = ln_alloc(sizeof(*d));
	*d = *c;
	d->path = ln_strdup(c->path);
	d->blacklist = agent_list_dup(&c->blacklist);
	d->dns_labels = agent_list_dup(&c->dns_labels);
	d->external_ips = agent_list_dup(&c->external_ips);
	d->raw = NULL;
	d->unsaved = false;
	return d;
}

/* --- changes -----------------------------------------------------------------------------------*/

struct agent_conf_checked { /* what needed parsing */
	struct agent_url management, admin;
	struct wg_secret psk;
	bool psk_given, psk_set;
};

static int agent_conf_check(const struct daemon_settings *s, struct agent_conf_checked *ret,
			    struct ln_fail *f)
{
	if (s->management_url[0] != '\0') {
		int err = agent_url_parse(slice_str(s->management_url), &ret->management, f);
		if (err < 0)
			return err;
	}
	if (s->admin_url[0] != '\0') {
		int err = agent_url_parse(slice_str(s->admin_url), &ret->admin, f);
		if (err < 0)
			return err;
	}
	if (s->has_interface_name && !agent_conf_ifname_valid(s->interface_name))
		return ln_fail(f, LN_E_MALFORMED,
			       "an interface name has 1 to 15 characters without '/' and ':'");
	if (s->has_wireguard_port && (s->wireguard_port < 0 || s->wireguard_port > 65535))
		return ln_fail(f, LN_E_MALFORMED, "the WireGuard port is a number from 0 to 65535");
	if (s->has_mtu && (s->mtu < AGENT_CONF_MTU_MIN || s->mtu > AGENT_CONF_MTU_MAX))
		return ln_fail(f, LN_E_MALFORMED, "the MTU is a number from %d to %d",
			       AGENT_CONF_MTU_MIN, AGENT_CONF_MTU_MAX);
	if (s->ndns_labels > AGENT_CONF_LABELS_MAX)
		return ln_fail(f, LN_E_MALFORMED, "at most %d extra DNS labels",
			       AGENT_CONF_LABELS_MAX);
	if (s->has_preshared_key && strcmp(s->preshared_key, AGENT_CONF_PSK_HIDDEN) != 0) {
		ret->psk_given = true;
		ret->psk_set = s->preshared_key[0] != '\0';
		if (ret->psk_set && wg_secret_parse(slice_str(s->preshared_key), &ret->psk) < 0)
			return ln_fail(f, LN_E_MALFORMED,
				       "the preshared key is not the base64 of 32 bytes");
	}
	return 0;
}

static void agent_conf_take_bool(bool has, bool value, bool *dst, bool *changed)
{
	if (has && *dst != value) {
		*dst = value;
		*changed = true;
	}
}

static void agent_conf_take_flags(struct agent_conf *c, const struct daemon_settings *s, bool *ch)
{
#define TAKE(from, to) agent_conf_take_bool(s->has_##from, s->from, &c->to, ch)
	TAKE(disable_auto_connect, disable_auto_connect);
	TAKE(server_ssh_allowed, ssh_allowed);
	TAKE(rosenpass, rosenpass);
	TAKE(rosenpass_permissive, rosenpass_permissive);
	TAKE(network_monitor, network_monitor);
	TAKE(disable_client_routes, disable_client_routes);
	TAKE(disable_server_routes, disable_server_routes);
	TAKE(disable_dns, disable_dns);
	TAKE(disable_firewall, disable_firewall);
	TAKE(block_lan_access, block_lan);
	TAKE(block_inbound, block_inbound);
	TAKE(disable_ipv6, disable_ipv6);
	TAKE(disable_notifications, disable_notifications);
#undef TAKE
}

static void agent_conf_take_lists(struct agent_conf *c, const struct daemon_settings *s, bool *ch)
{
	if (s->clean_external_ips || s->nexternal_ips > 0) {
		agent_list_set(&c->external_ips, s->external_ips, s->nexternal_ips);
		*ch = true;
	}
	if (s->clean_dns_labels || s->ndns_labels > 0) {
		agent_list_set(&c->dns_labels, s->dns_labels, s->ndns_labels);
		*ch = true;
	}
	for (size_t i = 0; i < s->niface_blacklist; i++) {
		if (agent_list_has(&c->blacklist, s->iface_blacklist[i]))
			continue;
		agent_list_add(&c->blacklist, s->iface_blacklist[i]);
		*ch = true;
	}
	if (s->dns_address.n == 0)
		return;
	/* The word "empty" clears: an empty bytes field could not be told from none. */
	size_t n = slice_is(s->dns_address, "empty") ? 0 : s->dns_address.n;
	if (n >= sizeof(c->dns_address))
		return;
	memcpy(c->dns_address, s->dns_address.p, n);
	c->dns_address[n] = '\0';
	*ch = true;
}

int agent_conf_apply(struct agent_conf *c, const struct daemon_settings *s, struct ln_fail *f)
{
	struct agent_conf_checked k = { 0 };
	int err = agent_conf_check(s, &k, f);
	if (err < 0)
		return err;
	bool changed = false;
	if (s->management_url[0] != '\0') {
		changed |= memcmp(&c->management, &k.management, sizeof(k.management)) != 0;
		c->management = k.management;
	}
	if (s->admin_url[0] != '\0') {
		changed |= memcmp(&c->admin, &k.admin, sizeof(k.admin)) != 0;
		c->admin = k.admin;
	}
	if (s->has_interface_name && strcmp(c->ifname, s->interface_name) != 0) {
		memcpy(c->ifname, s->interface_name, strlen(s->interface_name) + 1);
		changed = true;
	}
	if (s->has_wireguard_port && c->wg_port != (uint16_t)s->wireguard_port) {
		c->wg_port = (uint16_t)s->wireguard_port;
		changed = true;
	}
	if (s->has_mtu && c->mtu != (uint16_t)s->mtu) {
		c->mtu = (uint16_t)s->mtu;
		changed = true;
	}
	if (k.psk_given && (c->has_psk != k.psk_set || !ct_equal(&c->psk, &k.psk, sizeof(k.psk)))) {
		c->has_psk = k.psk_set;
		c->psk = k.psk;
		changed = true;
	}
	wg_secret_wipe(&k.psk);
	agent_conf_take_flags(c, s, &changed);
	agent_conf_take_lists(c, s, &changed);
	c->unsaved = c->unsaved || changed;
	return changed;
}

bool agent_conf_moves_server(const struct agent_conf *c, const struct daemon_settings *s)
{
	struct agent_url u;
	if (s->management_url[0] == '\0' ||
	    agent_url_parse(slice_str(s->management_url), &u, NULL) < 0)
		return false;
	return !agent_url_same_server(&u, &c->management);
}
