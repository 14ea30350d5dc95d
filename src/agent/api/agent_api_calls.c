/* What each call of the local API does (spec agent 1.6). */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/agent/api/agent_api_internal.h"

#define API_UP_LIMIT (50 * LN_SEC)
#define API_READY_LIMIT (10 * LN_SEC)
#define API_LOGIN_LIMIT (125 * LN_SEC)

/* Every request is read into an arena that goes when the call has run. */
#define API_READ(c, msg, a, type, var)                                                             \
 struct daemon_##type var;                                                                         \
 if (daemon_##type##_read(msg, a, &var) < 0) {                                                     \
  agent_api_fail(c, GRPC_INVALID_ARGUMENT, "the request is unreadable");                           \
  return;                                                                                          \
 }

static void api_arena_fini(struct arena *a)
{
	arena_fini(a);
}

#define API_ARENA(name)                                                                            \
 LN_AUTO(api_arena_fini) struct arena name;                                                        \
 arena_init(&name, API_ARENA_MAX)

/* --- which network -----------------------------------------------------------------------------*/

/* The network of the named profile, or of the active one; null after a failure was answered. */
static struct agent_network *api_network(struct api_call *c, const char *profile, const char *user)
{
	struct agent *a = c->api->agent;
	struct agent_profile p;
	struct agent_network *n;
	struct ln_fail f = { 0 };
	int err = agent_profiles_find(agent_profiles(a), profile != NULL ? profile : "",
				      user != NULL ? user : "", &p, &f);
	if (err == 0)
		err = agent_network_of(a, &p, &n, &f);
	if (err < 0) {
		agent_api_fail_err(c, err, f.text);
		return NULL;
	}
	return n;
}

static const char *api_opt(bool has, const char *value)
{
	return has ? value : "";
}

static int api_choose(struct api_call *c, const struct agent_network *n, const char *profile,
		      struct ln_fail *f)
{
	return profile[0] != '\0' ? agent_choose(c->api->agent, agent_network_profile(n), f) : 0;
}

/* --- login, up, down ---------------------------------------------------------------------------*/

static void api_login_done(void *user, enum grpc_status status, const char *text)
{
	struct api_call *c = user;
	if (status == GRPC_OK) {
		struct daemon_login_response r = { .user_code = "",
						   .verification_uri = "",
						   .verification_uri_complete = "" };
		struct str out;
		str_init(&out, 4096);
		daemon_login_response_write(&out, &r);
		agent_api_reply(c, str_slice(&out));
		str_fini(&out);
	} else {
		agent_api_fail(c, status, text);
	}
	agent_api_release(c);
}

static void api_login(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, login_request, m);
	struct ln_fail f = { 0 };
	struct agent_network *n = api_network(c, api_opt(m.has_profile, m.profile),
					      api_opt(m.has_username, m.username));
	/* The gate before any effect: saving the URL already is one (spec agent trap 49). */
	if (n == NULL || !agent_api_may_set(c, n, &m.set))
		return;
	int err = api_choose(c, n, m.has_profile ? m.profile : "", &f);
	if (err == 0)
		err = agent_network_set(n, &m.set, &f);
	if (err < 0) {
		agent_api_fail_err(c, err, f.text);
		return;
	}
	agent_api_hold(c, API_LOGIN_LIMIT);
	agent_network_login(n, m.setup_key, m.hostname, api_login_done, c);
}

static void api_wait_sso(struct api_call *c, struct slice msg)
{
	(void)msg;
	agent_api_fail(c, GRPC_INVALID_ARGUMENT,
		       "no login by identity provider is pending: use a setup key");
}

static void api_set_config(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, set_config_request, m);
	struct ln_fail f = { 0 };
	struct agent_network *n = api_network(c, m.profile, m.username);
	if (n == NULL || !agent_api_may_set(c, n, &m.set))
		return;
	int err = agent_network_set(n, &m.set, &f);
	if (err < 0)
		agent_api_fail_err(c, err, f.text);
	else
		agent_api_reply(c, slice_of("", 0));
}

static void api_up_limit(struct ev_timer *t)
{
	struct api_call *c = ln_container(t, struct api_call, limit);
	char text[400];
	if (c->answered)
		return;
	const char *why = agent_network_error(c->waits_for);
	(void)snprintf(text, sizeof(text), "still connecting%s%.300s; the agent keeps trying",
		       why[0] != '\0' ? ": " : "", why);
	agent_api_fail(c, GRPC_DEADLINE_EXCEEDED, text);
}

static void api_up(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, up_request, m);
	struct agent_network *n = api_network(c, api_opt(m.has_profile, m.profile),
					      api_opt(m.has_username, m.username));
	struct ln_fail f = { 0 };
	if (n == NULL)
		return;
	int err = api_choose(c, n, m.has_profile ? m.profile : "", &f);
	if (err < 0) {
		agent_api_fail_err(c, err, f.text);
		return;
	}
	agent_bring_up(c->api->agent, n);
	if (m.async) {
		agent_api_reply(c, slice_of("", 0));
		return;
	}
	agent_api_hold(c, API_UP_LIMIT);
	c->waits_for = n;
	c->limit.fn = api_up_limit;
	agent_network_wait(n, agent_api_done, c);
}

static void api_down(struct api_call *c, struct slice msg)
{
	(void)msg;
	struct agent_network *n = api_network(c, "", "");
	if (n == NULL)
		return;
	if (agent_take_down(c->api->agent, n) < 0)
		agent_api_fail(c, GRPC_UNKNOWN, "service is not up");
	else
		agent_api_reply(c, slice_of("", 0));
}

static void api_logout(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, profile_request, m);
	struct agent_network *n = api_network(c, api_opt(m.has_profile, m.profile),
					      api_opt(m.has_username, m.username));
	if (n == NULL || !agent_api_may_deregister(c, n))
		return;
	agent_api_hold(c, API_UP_LIMIT);
	agent_network_logout(n, agent_api_done, c);
}

/* --- status ------------------------------------------------------------------------------------*/

static int api_peer_cmp(const void *x, const void *y)
{
	const struct daemon_peer_state *a = x, *b = y;
	struct ip_addr p = { 0 }, q = { 0 };
	(void)!ip_parse(slice_str(a->ip), &p);
	(void)!ip_parse(slice_str(b->ip), &q);
	return ip_cmp(&p, &q);
}

void agent_api_send_status(struct api_call *c, bool full, bool finish)
{
	API_ARENA(a);
	struct agent_network *n = api_network(c, "", "");
	if (n == NULL)
		return;
	struct daemon_status_response r;
	if (agent_network_status(n, full, &a, &r) < 0) {
		agent_api_fail(c, GRPC_RESOURCE_EXHAUSTED, "the status is too large");
		return;
	}
	if (r.npeers > 1) {
		struct daemon_peer_state *v = arena_calloc(&a, r.npeers, sizeof(*v));
		if (v != NULL) {
			memcpy(v, r.peers, r.npeers * sizeof(*v));
			qsort(v, r.npeers, sizeof(*v), api_peer_cmp);
			r.peers = v;
		}
	}
	struct str out;
	str_init(&out, 0);
	daemon_status_response_write(&out, &r);
	if (finish)
		agent_api_reply(c, str_slice(&out));
	else if (grpc_call_send(c->call, str_slice(&out)) < 0)
		agent_api_fail(c, GRPC_RESOURCE_EXHAUSTED, "the subscriber does not read");
	str_fini(&out);
}

static void api_status_ready(void *user, enum grpc_status status, const char *text)
{
	struct api_call *c = user;
	(void)status;
	(void)text;
	if (!c->answered)
		agent_api_send_status(c, c->full, true);
	agent_api_release(c);
}

static void api_status_limit(struct ev_timer *t)
{
	struct api_call *c = ln_container(t, struct api_call, limit);
	if (!c->answered)
		agent_api_send_status(c, c->full, true);
}

static void api_status(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, status_request, m);
	struct agent_network *n = api_network(c, "", "");
	if (n == NULL)
		return;
	c->full = m.full;
	/* One that has failed already may fail for long: its caller may want to change why. */
	bool starting =
		agent_network_state(n) == AGENT_CONNECTING && agent_network_error(n)[0] == '\0';
	if (!m.has_wait_for_ready || !m.wait_for_ready || !starting) {
		agent_api_send_status(c, m.full, true);
		return;
	}
	agent_api_hold(c, API_READY_LIMIT);
	c->limit.fn = api_status_limit;
	agent_network_wait(n, api_status_ready, c);
}

static void api_subscribe(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, status_request, m);
	c->stream = true;
	c->full = m.full;
	agent_api_send_status(c, m.full, false);
}

/* --- configuration and profiles ----------------------------------------------------------------*/

static void api_get_config(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, config_request, m);
	struct agent_network *n = api_network(c, m.profile, m.username);
	if (n == NULL)
		return;
	const struct agent_conf *f = agent_network_agent_conf(n);
	char management[AGENT_URL_TEXT_MAX], admin[AGENT_URL_TEXT_MAX];
	agent_url_format(&f->management, management);
	agent_url_format(&f->admin, admin);
	struct daemon_config_response r = {
		.management_url = management,
		.config_file = f->path,
		.log_file = agent_options(c->api->agent)->log_file,
		.preshared_key = f->has_psk ? AGENT_CONF_PSK_HIDDEN : "",
		.admin_url = admin,
		.interface_name = f->ifname,
		.wireguard_port = f->wg_port,
		.mtu = f->mtu,
		.disable_auto_connect = f->disable_auto_connect,
		.server_ssh_allowed = f->ssh_allowed,
		.rosenpass = f->rosenpass,
		.rosenpass_permissive = f->rosenpass_permissive,
		.disable_notifications = f->disable_notifications,
		.block_inbound = f->block_inbound,
		.network_monitor = f->network_monitor,
		.disable_dns = f->disable_dns,
		.disable_client_routes = f->disable_client_routes,
		.disable_server_routes = f->disable_server_routes,
		.block_lan_access = f->block_lan,
		.disable_ipv6 = f->disable_ipv6,
	};
	struct str out;
	str_init(&out, 0);
	daemon_config_response_write(&out, &r);
	agent_api_reply(c, str_slice(&out));
	str_fini(&out);
}

static void api_active_profile(struct api_call *c, struct slice msg)
{
	(void)msg;
	const struct agent_profile *p = agent_profiles_active(agent_profiles(c->api->agent));
	struct daemon_active_profile r = { .name = p->name, .username = p->user, .id = p->id };
	struct str out;
	str_init(&out, 0);
	daemon_active_profile_write(&out, &r);
	agent_api_reply(c, str_slice(&out));
	str_fini(&out);
}

static void api_list_profiles(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, user_request, m);
	struct agent_profiles *ps = agent_profiles(c->api->agent);
	const struct agent_profile *active = agent_profiles_active(ps);
	struct agent_profile *v;
	int n = agent_profiles_list(ps, m.username, &a, &v);
	struct daemon_profile *out = n > 0 ? arena_calloc(&a, (size_t)n, sizeof(*out)) : NULL;
	if (out == NULL) {
		agent_api_fail(c, GRPC_RESOURCE_EXHAUSTED, "too many profiles");
		return;
	}
	for (int i = 0; i < n; i++)
		out[i] = (struct daemon_profile){
			.name = v[i].name,
			.id = v[i].id,
			.active = strcmp(v[i].id, active->id) == 0 &&
				  strcmp(v[i].user, active->user) == 0,
		};
	struct daemon_profile_list r = { .profiles = out, .nprofiles = (size_t)n };
	struct str text;
	str_init(&text, 0);
	daemon_profile_list_write(&text, &r);
	agent_api_reply(c, str_slice(&text));
	str_fini(&text);
}

static void api_reply_id(struct api_call *c, const char *id)
{
	struct daemon_profile_id r = { .id = id };
	struct str out;
	str_init(&out, 0);
	daemon_profile_id_write(&out, &r);
	agent_api_reply(c, str_slice(&out));
	str_fini(&out);
}

static void api_switch_profile(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, profile_request, m);
	struct agent *agent = c->api->agent;
	struct agent_profile p;
	struct ln_fail f = { 0 };
	int err = agent_profiles_find(agent_profiles(agent), api_opt(m.has_profile, m.profile),
				      api_opt(m.has_username, m.username), &p, &f);
	if (err == 0)
		err = agent_switch(agent, &p, &f);
	if (err < 0)
		agent_api_fail_err(c, err, f.text);
	else
		api_reply_id(c, p.id);
}

static void api_add_profile(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, profile_change, m);
	struct agent_profile p;
	struct ln_fail f = { 0 };
	int err = agent_profiles_add(agent_profiles(c->api->agent), m.username, m.profile, ev_rng(),
				     &p, &f);
	if (err < 0)
		agent_api_fail_err(c, err, f.text);
	else
		api_reply_id(c, p.id);
}

static void api_remove_profile(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, profile_change, m);
	struct agent *agent = c->api->agent;
	struct agent_profile p;
	struct ln_fail f = { 0 };
	int err = agent_profiles_find(agent_profiles(agent), m.profile, m.username, &p, &f);
	if (err == 0)
		err = agent_profiles_remove(agent_profiles(agent), &p, &f);
	if (err < 0) {
		agent_api_fail_err(c, err, f.text);
		return;
	}
	agent_drop_network(agent, &p);
	api_reply_id(c, p.id);
}

static void api_rename_profile(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, profile_rename, m);
	struct agent *agent = c->api->agent;
	struct agent_profile p;
	struct ln_fail f = { 0 };
	if (m.profile[0] == '\0') {
		agent_api_fail(c, GRPC_INVALID_ARGUMENT, "say which profile is to be renamed");
		return;
	}
	int err = agent_profiles_find(agent_profiles(agent), m.profile, m.username, &p, &f);
	if (err == 0)
		err = agent_rename(agent, &p, m.name, &f);
	if (err < 0)
		agent_api_fail_err(c, err, f.text);
	else
		api_reply_id(c, p.name); /* the old name, in the same place */
}

static void api_reconnect_peer(struct api_call *c, struct slice msg)
{
	API_ARENA(a);
	API_READ(c, msg, &a, reconnect_request, m);
	struct daemon_reconnect_response r;
	struct ln_fail f = { 0 };
	struct agent_network *n = api_network(c, "", "");
	if (n == NULL)
		return;
	int err = agent_network_reconnect(n, m.peer, &a, &r, &f);
	if (err < 0) {
		agent_api_fail_err(c, err, f.text);
		return;
	}
	struct str out;
	str_init(&out, 0);
	daemon_reconnect_response_write(&out, &r);
	agent_api_reply(c, str_slice(&out));
	str_fini(&out);
}

static void api_features(struct api_call *c, struct slice msg)
{
	(void)msg;
	/* Routed networks are not selected here yet. */
	struct daemon_features r = { .disable_networks = true };
	struct str out;
	str_init(&out, 0);
	daemon_features_write(&out, &r);
	agent_api_reply(c, str_slice(&out));
	str_fini(&out);
}

const struct api_method agent_api_methods[] = {
	{ DAEMON_SERVICE "Login", api_login },
	{ DAEMON_SERVICE "WaitSSOLogin", api_wait_sso },
	{ DAEMON_SERVICE "Up", api_up },
	{ DAEMON_SERVICE "Down", api_down },
	{ DAEMON_SERVICE "Status", api_status },
	{ DAEMON_SERVICE "SubscribeStatus", api_subscribe },
	{ DAEMON_SERVICE "Logout", api_logout },
	{ DAEMON_SERVICE "GetConfig", api_get_config },
	{ DAEMON_SERVICE "SetConfig", api_set_config },
	{ DAEMON_SERVICE "GetActiveProfile", api_active_profile },
	{ DAEMON_SERVICE "ListProfiles", api_list_profiles },
	{ DAEMON_SERVICE "SwitchProfile", api_switch_profile },
	{ DAEMON_SERVICE "AddProfile", api_add_profile },
	{ DAEMON_SERVICE "RenameProfile", api_rename_profile },
	{ DAEMON_SERVICE "RemoveProfile", api_remove_profile },
	{ DAEMON_SERVICE "GetFeatures", api_features },
	{ DAEMON_SERVICE "ReconnectPeer", api_reconnect_peer },
};
const size_t agent_api_nmethods = LN_COUNT(agent_api_methods);
