#include "src/cmd/linnet_unit.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

bool linnet_unit_name_ok(const char *name)
{
	size_t n = strlen(name);
	if (n == 0 || n > 64 || !isalnum((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && strchr("-_.@", name[i]) == NULL)
			return false;
	return true;
}

static bool is_variable_name(const char *s, size_t n)
{
	if (n == 0 || isdigit((unsigned char)s[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_')
			return false;
	return true;
}

int linnet_unit_set_env(struct linnet_unit *u, struct arena *a, const char *pair)
{
	size_t n = strcspn(pair, "=");
	if (pair[n] != '=' || !is_variable_name(pair, n) || strpbrk(pair, "\n\r") != NULL)
		return LN_E_MALFORMED;
	const char *key = arena_strndup(a, pair, n);
	const char *value = arena_strdup(a, pair + n + 1);
	if (key == NULL || value == NULL)
		return LN_E_LIMIT;
	size_t i = 0;
	while (i < u->nenv && strcmp(u->env[i].key, key) != 0)
		i++;
	if (i == LINNET_UNIT_LIST)
		return LN_E_LIMIT;
	u->env[i].key = key;
	u->env[i].value = value;
	u->nenv = LN_MAX(u->nenv, i + 1);
	return 0;
}

/* systemd.service(5), "Command lines": quotes, backslashes, '%' and '$' are special. */
static void add_quoted(const char *s, bool command, struct str *dst)
{
	str_addc(dst, '"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			str_addc(dst, '\\');
		else if (*s == '%' || (*s == '$' && command))
			str_addc(dst, *s);
		if (*s != '\n' && *s != '\r')
			str_addc(dst, *s);
	}
	str_addc(dst, '"');
}

static void add_option(const char *name, const char *value, struct str *dst)
{
	if (value == NULL || value[0] == '\0')
		return;
	str_addf(dst, " --%s ", name);
	add_quoted(value, true, dst);
}

void linnet_unit_text(const struct linnet_unit *u, struct str *dst)
{
	str_add(dst, "[Unit]\nDescription=linnet mesh network agent\n"
		     "Documentation=man:linnet(1)\nAfter=network.target syslog.target\n\n"
		     "[Service]\nType=notify\nNotifyAccess=main\nExecStart=");
	add_quoted(u->program, true, dst);
	add_option("log-level", u->log_level, dst);
	add_option("daemon-addr", u->daemon_addr, dst);
	add_option("config", u->config_path, dst);
	for (size_t i = 0; i < u->nlog_files; i++)
		add_option("log-file", u->log_files[i], dst);
	str_addf(dst, "\nEnvironment=SYSTEMD_UNIT=%s\n", u->name);
	if (u->management_url != NULL && u->management_url[0] != '\0') {
		str_add(dst, "Environment=");
		struct str pair;
		str_init(&pair, 0);
		str_addf(&pair, "NB_MANAGEMENT_URL=%s", u->management_url);
		add_quoted(str_c(&pair), false, dst);
		str_fini(&pair);
		str_addc(dst, '\n');
	}
	for (size_t i = 0; i < u->nenv; i++) {
		struct str pair;
		str_init(&pair, 0);
		str_addf(&pair, "%s=%s", u->env[i].key, u->env[i].value);
		str_add(dst, "Environment=");
		add_quoted(str_c(&pair), false, dst);
		str_addc(dst, '\n');
		str_fini(&pair);
	}
	str_add(dst, "Restart=on-failure\nRestartSec=5\nTimeoutStopSec=30\n"
		     "RuntimeDirectory=netbird\nRuntimeDirectoryPreserve=yes\n"
		     "StateDirectory=netbird\nStateDirectoryMode=0700\nLogsDirectory=netbird\n\n"
		     "[Install]\nWantedBy=multi-user.target\n");
}

const char *linnet_unit_networkd(void)
{
	return "# Written by `linnet service install`: without this systemd-networkd removes the\n"
	       "# routes and rules of the agent whenever it restarts.\n"
	       "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n";
}

/* --- service.json ----------------------------------------------------------------------------- */

static void take_text(const json_t *o, const char *key, struct arena *a, const char **ret)
{
	const char *s = json_string_value(json_object_get(o, key));
	const char *copy = s != NULL ? arena_strdup(a, s) : NULL;
	if (copy != NULL)
		*ret = copy;
}

static void take_bool(const json_t *o, const char *key, bool *ret)
{
	const json_t *v = json_object_get(o, key);
	if (json_is_boolean(v))
		*ret = json_is_true(v);
}

static int take_env(json_t *vars, struct arena *a, struct linnet_unit *u)
{
	const char *key;
	json_t *v;
	int r = 0;
	json_object_foreach(vars, key, v)
	{
		const char *s = json_string_value(v);
		char *pair = s != NULL ? arena_printf(a, "%s=%s", key, s) : NULL;
		r = pair != NULL ? linnet_unit_set_env(u, a, pair) : LN_E_MALFORMED;
		if (r < 0)
			break;
	}
	return r;
}

int linnet_unit_read(struct slice text, struct arena *a, struct linnet_unit *u)
{
	json_t *o = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		return LN_E_MALFORMED;
	}
	take_text(o, "log_level", a, &u->log_level);
	take_text(o, "daemon_addr", a, &u->daemon_addr);
	take_text(o, "management_url", a, &u->management_url);
	take_text(o, "config_path", a, &u->config_path);
	take_bool(o, "disable_profiles", &u->disable_profiles);
	take_bool(o, "disable_update_settings", &u->disable_update_settings);
	take_bool(o, "disable_networks", &u->disable_networks);
	const json_t *files = json_object_get(o, "log_files");
	if (json_array_size(files) > 0)
		u->nlog_files = 0;
	for (size_t i = 0; i < json_array_size(files) && i < LINNET_UNIT_LIST; i++) {
		const char *s = json_string_value(json_array_get(files, i));
		if (s != NULL && (s = arena_strdup(a, s)) != NULL)
			u->log_files[u->nlog_files++] = s;
	}
	int r = take_env(json_object_get(o, "service_env_vars"), a, u);
	json_decref(o);
	return r;
}

static void put_text(json_t *o, const char *key, const char *s)
{
	if (s != NULL && s[0] != '\0')
		json_object_set_new(o, key, json_string(s));
}

void linnet_unit_write(const struct linnet_unit *u, struct str *dst)
{
	json_t *o = json_object(), *files = json_array(), *env = json_object();
	put_text(o, "log_level", u->log_level);
	put_text(o, "daemon_addr", u->daemon_addr);
	put_text(o, "management_url", u->management_url);
	put_text(o, "config_path", u->config_path);
	for (size_t i = 0; i < u->nlog_files; i++)
		json_array_append_new(files, json_string(u->log_files[i]));
	json_object_set_new(o, "log_files", files);
	json_object_set_new(o, "disable_profiles", json_boolean(u->disable_profiles));
	json_object_set_new(o, "disable_update_settings", json_boolean(u->disable_update_settings));
	json_object_set_new(o, "disable_networks", json_boolean(u->disable_networks));
	for (size_t i = 0; i < u->nenv; i++)
		json_object_set_new(env, u->env[i].key, json_string(u->env[i].value));
	json_object_set_new(o, "service_env_vars", env);
	char *text = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	if (text != NULL)
		str_addf(dst, "%s\n", text);
	free(text);
}
