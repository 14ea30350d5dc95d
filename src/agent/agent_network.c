#include "src/agent/agent_network.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/agent/agent_login.h"
#include "src/agent/agent_meta.h"
#include "src/agent/agent_port.h"
#include "src/agent/agent_version.h"
#include "src/agent/engine/engine.h"
#include "src/agent/mgmt_client.h"
#include "src/obs/obs_log.h"
#include "src/plat/plat_mark.h"

#define AGENT_BACKOFF_FIRST LN_SEC
#define AGENT_BACKOFF_CAP (15 * LN_SEC)

struct agent_waiter {
	struct list link;
	agent_network_done_fn *done;
	void *user;
};

struct agent_network {
	struct agent_network_conf conf;
	char table_wanted[32];
	struct agent_profile profile;
	struct agent_conf *file;
	struct mgmt_client *mgmt;
	struct agent_url mgmt_url; /* what mgmt was made for */
	struct agent_login login;
	struct engine *engine;
	struct agent_conf *running; /* the engine's; `file` may be changed meanwhile */
	char table[32];
	uint32_t mark; /* chosen when its first socket is; 0 none */
	bool up;
	bool restart_due;
	enum agent_state state;
	ln_time backoff;
	struct ev_timer retry; /* the connect loop's next pass */
	struct list waiters;
	agent_network_done_fn *logout_done; /* null: no logout is going on */
	void *logout_user;
	char error[256]; /* why not connected to management */
	bool mgmt_connected;
	ln_wall session_expires;
	bool session_was_active;
};

const char *agent_state_name(enum agent_state s)
{
	switch (s) {
	case AGENT_IDLE:
		return "Idle";
	case AGENT_CONNECTING:
		return "Connecting";
	case AGENT_CONNECTED:
		return "Connected";
	case AGENT_NEEDS_LOGIN:
		return "NeedsLogin";
	case AGENT_LOGIN_FAILED:
		return "LoginFailed";
	case AGENT_SESSION_EXPIRED:
		return "SessionExpired";
	}
	return "Idle";
}

/* --- state and waiters -------------------------------------------------------------------------*/

static void agent_network_wake(struct agent_network *n, enum grpc_status status, const char *text)
{
	struct list round;
	list_init(&round);
	while (!list_empty(&n->waiters))
		list_add_tail(&round, list_pop(&n->waiters));
	while (!list_empty(&round)) {
		struct agent_waiter *w = list_entry(list_pop(&round), struct agent_waiter, link);
		w->done(w->user, status, text);
		free(w);
	}
}

static void agent_network_set_state(struct agent_network *n, enum agent_state s)
{
	if (n->state == s)
		return;
	log_info("agent", "state", LOG_STR("profile", n->profile.name),
		 LOG_STR("state", agent_state_name(s)));
	n->state = s;
	n->conf.on_change(n->conf.user);
}

void agent_network_wait(struct agent_network *n, agent_network_done_fn *done, void *user)
{
	struct agent_waiter *w = ln_alloc(sizeof(*w));
	w->done = done;
	w->user = user;
	list_add_tail(&n->waiters, &w->link);
	if (!n->up || n->state == AGENT_CONNECTED)
		ev_timer_after(&n->retry, 0); /* answered from the loop */
}

/* --- management client -------------------------------------------------------------------------*/

static bool agent_network_is_overlay(void *user, const struct ip_addr *a)
{
	const struct agent_network *n = user;
	return n->engine != NULL && engine_overlay_has(n->engine, a);
}

static void agent_network_meta_named(struct agent_network *n, const char *hostname, struct arena *a,
				     struct mgmt_meta *ret)
{
	struct agent_meta_input in = {
		.plat = n->conf.plat,
		.sys = n->conf.sys,
		.conf = n->file,
		.hostname = hostname,
		.is_overlay = agent_network_is_overlay,
		.user = n,
	};
	agent_meta_fill(&in, a, ret);
}

static void agent_network_meta(void *user, struct arena *a, struct mgmt_meta *ret)
{
	/* --hostname is for the logins before the engine only (spec management-protocol 3.2). */
	agent_network_meta_named(user, "", a, ret);
}

static void agent_network_deadline(struct agent_network *n, const struct mgmt_deadline *d)
{
	switch (d->kind) {
	case MGMT_DEADLINE_ABSENT:
		break;
	case MGMT_DEADLINE_NONE:
		n->session_expires = 0;
		break;
	case MGMT_DEADLINE_AT:
		n->session_expires = d->at;
		break;
	}
}

static void agent_network_on_sync(void *user, const struct mgmt_sync_response *m)
{
	struct agent_network *n = user;
	agent_network_deadline(n, &m->deadline);
	if (n->engine != NULL)
		engine_sync(n->engine, m);
}

static void agent_network_restart(struct agent_network *n, const char *why);

static void agent_network_on_denied(void *user, const char *text)
{
	agent_network_restart(user, text);
}

static void agent_network_on_mgmt_state(void *user, bool connected, const char *why)
{
	struct agent_network *n = user;
	if (n->mgmt_connected != connected)
		log_info("agent", connected ? "management connected" : "management not connected",
			 LOG_STR("profile", n->profile.name), LOG_STR("why", why));
	n->mgmt_connected = connected;
	(void)snprintf(n->error, sizeof(n->error), "%s", why);
	n->conf.on_change(n->conf.user);
}

/* The first that no network of this host has; kept as long as nobody else claims it. */
static uint32_t agent_network_choose_mark(struct agent_network *n)
{
	unsigned slot;
	if (n->mark != 0 || n->conf.mark_base == 0)
		return n->mark;
	int err = plat_mark_free_slot(n->conf.plat, n->conf.marks_taken(n->conf.user), &slot);
	if (err < 0)
		log_warn("agent", "no mark is left for the packets of this network",
			 LOG_STR("profile", n->profile.name), LOG_ERRNO(err));
	else
		n->mark = plat_mark(n->conf.mark_base, slot);
	return n->mark;
}

static struct mgmt_client *agent_network_mgmt(struct agent_network *n)
{
	/* An engine stays with its server; a network that only tries goes to a new address at once.
	 */
	if (n->mgmt != NULL &&
	    (n->engine != NULL || agent_url_same_server(&n->mgmt_url, &n->file->management)))
		return n->mgmt;
	mgmt_client_free(n->mgmt);
	struct mgmt_client_conf c = {
		.url = n->file->management,
		.key = &n->file->key,
		.fwmark = agent_network_choose_mark(n),
		.meta = agent_network_meta,
		.on_sync = agent_network_on_sync,
		.on_denied = agent_network_on_denied,
		.on_state = agent_network_on_mgmt_state,
		.user = n,
	};
	n->mgmt_url = n->file->management;
	n->mgmt = mgmt_client_new(n->conf.loop, &c);
	return n->mgmt;
}

static void agent_network_send_login(void *user, const char *setup_key, const char *hostname,
				     mgmt_client_login_fn *done, void *done_user)
{
	struct agent_network *n = user;
	struct arena a;
	arena_init(&a, (size_t)1 << 20);
	struct mgmt_login_request m = {
		.setup_key = setup_key,
		.jwt = "",
		.has_meta = true,
		.dns_labels = (const char *const *)n->file->dns_labels.v,
		.ndns_labels = n->file->dns_labels.n,
	};
	agent_network_meta_named(n, hostname, &a, &m.meta);
	mgmt_client_login(agent_network_mgmt(n), &m, done, done_user);
	arena_fini(&a);
}

static void agent_network_on_login_end(void *user, enum grpc_status status)
{
	struct agent_network *n = user;
	if (status == GRPC_OK) {
		if (!n->up)
			agent_network_set_state(n, AGENT_IDLE);
	} else if (status == GRPC_PERMISSION_DENIED || status == GRPC_FAILED_PRECONDITION) {
		agent_network_set_state(n, AGENT_NEEDS_LOGIN);
	} else if (status != GRPC_CANCELLED) {
		agent_network_set_state(n, AGENT_LOGIN_FAILED);
	}
	if (n->up && n->engine == NULL)
		ev_timer_after(&n->retry, 0); /* the connect loop stood aside */
}

void agent_network_login(struct agent_network *n, const char *setup_key, const char *hostname,
			 agent_network_done_fn *done, void *user)
{
	agent_login_begin(&n->login, setup_key, hostname, done, user);
}

/* --- the connect loop --------------------------------------------------------------------------*/

static void agent_network_stop_engine(struct agent_network *n)
{
	if (n->mgmt != NULL)
		mgmt_client_stop(n->mgmt);
	n->mgmt_connected = false;
	engine_free(n->engine);
	n->engine = NULL;
	agent_conf_free(n->running);
	n->running = NULL;
	n->table[0] = '\0';
}

static void agent_network_again(struct agent_network *n, const char *why)
{
	(void)snprintf(n->error, sizeof(n->error), "%s", why);
	ln_time wait = rng_below64(ev_rng(), 2 * n->backoff);
	n->backoff = ln_time_min(n->backoff * 17 / 10, AGENT_BACKOFF_CAP);
	log_warn("agent", "not connected, trying again", LOG_STR("profile", n->profile.name),
		 LOG_STR("why", why), LOG_DUR("in", wait));
	ev_timer_after(&n->retry, wait);
	n->conf.on_change(n->conf.user);
}

/* Ends the loop for good: the server wants a login. */
static void agent_network_needs_login(struct agent_network *n, const char *text)
{
	n->up = false;
	ev_timer_stop(&n->retry);
	(void)snprintf(n->error, sizeof(n->error), "%s", text);
	bool expired = strstr(text, "peer login has expired") != NULL && n->session_was_active;
	log_warn("agent", "the server wants a login", LOG_STR("profile", n->profile.name),
		 LOG_STR("text", text));
	agent_network_set_state(n, expired ? AGENT_SESSION_EXPIRED : AGENT_NEEDS_LOGIN);
	agent_network_wake(n, GRPC_PERMISSION_DENIED, text);
}

/* From the engine: only noted here, done from the loop. */
static void agent_network_on_engine(void *user, enum engine_event ev, const char *text)
{
	struct agent_network *n = user;
	switch (ev) {
	case ENGINE_EV_READY:
		n->backoff = AGENT_BACKOFF_FIRST;
		n->session_was_active = true;
		agent_network_set_state(n, AGENT_CONNECTED);
		agent_network_wake(n, GRPC_OK, "");
		break;
	case ENGINE_EV_RESTART:
		agent_network_restart(n, text);
		break;
	case ENGINE_EV_STATUS:
		n->conf.on_change(n->conf.user);
		break;
	}
}

static bool agent_network_taken(void *user, const char *ifname)
{
	struct agent_network *n = user;
	return n->conf.name_taken(n->conf.user, n, ifname, "");
}

/* Another network of this process may have the wanted names already. */
static void agent_network_choose_names(struct agent_network *n, char ifname[PLAT_IFNAME_MAX])
{
	(void)snprintf(ifname, PLAT_IFNAME_MAX, "%s", n->file->ifname);
	for (unsigned i = 0; i < 64 && agent_network_taken(n, ifname); i++)
		(void)snprintf(ifname, PLAT_IFNAME_MAX, "wt%u", i);
	(void)snprintf(n->table, sizeof(n->table), "%s", n->table_wanted);
	if (n->conf.name_taken(n->conf.user, n, "", n->table))
		(void)snprintf(n->table, sizeof(n->table), "netbird_%.15s", ifname);
}

/* The next pass chooses anew, for new sockets. */
static void agent_network_drop_mark(struct agent_network *n)
{
	mgmt_client_free(n->mgmt);
	n->mgmt = NULL;
	n->mark = 0;
}

/* What stands in its stead is opened in firewalls and known to gateways: the next start wants it
 * again. */
static void agent_network_keep_port(struct agent_network *n, uint16_t kept)
{
	struct ln_fail f;
	uint16_t wanted = n->running->wg_port, port = engine_port(n->engine);
	if (wanted == 0 || port == (kept != 0 ? kept : wanted))
		return;
	if (agent_port_write(n->profile.path, wanted, port, &f) < 0)
		log_warn("agent", "the next start may use another port", LOG_STR("why", f.text));
}

static void agent_network_start_engine(struct agent_network *n,
				       const struct mgmt_login_response *login)
{
	char ifname[PLAT_IFNAME_MAX];
	struct ln_fail f = { 0 };
	agent_network_choose_names(n, ifname);
	n->running = agent_conf_dup(n->file);
	struct engine_conf c = {
		.loop = n->conf.loop,
		.plat = n->conf.plat,
		.conf = n->running,
		.ifname = ifname,
		.filter_table = n->table,
		.mark = n->mark,
		.lazy = n->conf.lazy,
		.idle_after = n->conf.idle_after,
		.no_kernel = n->conf.no_kernel,
		.portmap = n->conf.portmap,
		.relay_transport = n->conf.relay_transport,
		.redirect = n->conf.redirect,
		.own_interface = agent_network_taken,
		.on_event = agent_network_on_engine,
		.user = n,
	};
	/* Ask for the map while the interface is being made. */
	mgmt_client_start(n->mgmt);
	if (n->file->wg_port != 0)
		c.first_port = agent_port_read(n->profile.path, n->file->wg_port);
	int err = engine_new(&c, login, &n->engine, &f);
	if (err < 0) {
		n->engine = NULL;
		agent_network_stop_engine(n);
		if (err == LN_E_CONFLICT) /* the mark may be another program's */
			agent_network_drop_mark(n);
		agent_network_again(n, f.text);
		/* Something on this host is wrong: whoever waits can act on it, time will not. */
		char text[400];
		(void)snprintf(text, sizeof(text), "%.300s (the agent keeps trying)", f.text);
		agent_network_wake(n, GRPC_FAILED_PRECONDITION, text);
		return;
	}
	agent_network_deadline(n, &login->deadline);
	agent_network_keep_port(n, c.first_port);
}

static void agent_network_on_login(void *user, enum grpc_status status, const char *text,
				   const struct mgmt_login_response *response)
{
	struct agent_network *n = user;
	if (!n->up || n->engine != NULL)
		return;
	if (status == GRPC_PERMISSION_DENIED)
		agent_network_needs_login(n, text);
	else if (status != GRPC_OK)
		agent_network_again(n, text);
	else
		agent_network_start_engine(n, response);
}

static void agent_network_pass(struct ev_timer *t)
{
	struct agent_network *n = ln_container(t, struct agent_network, retry);
	if (!n->up || n->state == AGENT_CONNECTED) {
		/* Waiters that came when nothing was going on. */
		if (n->up)
			agent_network_wake(n, GRPC_OK, "");
		else
			agent_network_wake(n, GRPC_FAILED_PRECONDITION, "the network is down");
		if (!n->restart_due)
			return;
	}
	if (n->restart_due) {
		n->restart_due = false;
		agent_network_stop_engine(n);
	}
	if (!n->up || n->engine != NULL || agent_login_going(&n->login))
		return;
	agent_network_set_state(n, AGENT_CONNECTING);
	agent_network_send_login(n, "", "", agent_network_on_login, n);
}

static void agent_network_restart(struct agent_network *n, const char *why)
{
	if (!n->up || n->restart_due)
		return;
	log_warn("agent", "starting over", LOG_STR("profile", n->profile.name),
		 LOG_STR("why", why));
	n->restart_due = true;
	agent_network_set_state(n, AGENT_CONNECTING);
	ev_timer_after(&n->retry, 0);
}

void agent_network_up(struct agent_network *n)
{
	if (n->up)
		return;
	n->up = true;
	n->backoff = AGENT_BACKOFF_FIRST;
	n->error[0] = '\0';
	agent_network_set_state(n, AGENT_CONNECTING);
	ev_timer_after(&n->retry, 0);
}

static void agent_logout_end(struct agent_network *n, enum grpc_status status, const char *text);

int agent_network_down(struct agent_network *n)
{
	agent_logout_end(n, GRPC_CANCELLED, "the network went down");
	agent_login_cancel(&n->login, "the network went down");
	if (!n->up)
		return LN_E_STATE;
	n->up = false;
	n->restart_due = false;
	ev_timer_stop(&n->retry);
	agent_network_stop_engine(n);
	/* The next up dials anew: the address may have changed, and idle sockets cost. */
	mgmt_client_free(n->mgmt);
	n->mgmt = NULL;
	n->error[0] = '\0';
	agent_network_set_state(n, AGENT_IDLE);
	agent_network_wake(n, GRPC_CANCELLED, "the network went down");
	return 0;
}

/* --- logout ------------------------------------------------------------------------------------*/

static void agent_logout_end(struct agent_network *n, enum grpc_status status, const char *text)
{
	agent_network_done_fn *done = n->logout_done;
	n->logout_done = NULL;
	if (done != NULL)
		done(n->logout_user, status, text);
}

static void agent_logout_reply(void *user, enum grpc_status status, const char *text)
{
	struct agent_network *n = user;
	bool gone = status == GRPC_OK || status == GRPC_NOT_FOUND;
	agent_network_done_fn *done = n->logout_done;
	void *done_user = n->logout_user;
	n->logout_done = NULL;
	if (gone) {
		(void)agent_network_down(n);
		agent_network_set_state(n, AGENT_NEEDS_LOGIN);
	}
	if (done != NULL)
		done(done_user, gone ? GRPC_OK : status, gone ? "" : text);
}

void agent_network_logout(struct agent_network *n, agent_network_done_fn *done, void *user)
{
	agent_logout_end(n, GRPC_CANCELLED, "another logout began");
	n->logout_done = done;
	n->logout_user = user;
	mgmt_client_logout(agent_network_mgmt(n), agent_logout_reply, n);
}

/* --- life --------------------------------------------------------------------------------------*/

int agent_network_new(const struct agent_network_conf *conf, const struct agent_profile *profile,
		      struct agent_network **ret, struct ln_fail *f)
{
	struct agent_conf *file;
	int err = agent_conf_load(profile->path, ev_rng(), &file, f);
	if (err < 0)
		return err;
	struct agent_network *n = ln_alloc(sizeof(*n));
	n->conf = *conf;
	n->profile = *profile;
	n->file = file;
	(void)snprintf(n->table_wanted, sizeof(n->table_wanted), "%s", conf->filter_table);
	list_init(&n->waiters);
	ev_timer_init(&n->retry, conf->loop, agent_network_pass);
	agent_login_init(&n->login, conf->loop,
			 &(struct agent_login_conf){
				 .send = agent_network_send_login,
				 .ended = agent_network_on_login_end,
				 .profile = n->profile.name,
				 .user = n,
			 });
	*ret = n;
	return 0;
}

void agent_network_free(struct agent_network *n)
{
	if (n == NULL)
		return;
	(void)agent_network_down(n);
	agent_network_wake(n, GRPC_CANCELLED, "the agent is stopping");
	mgmt_client_free(n->mgmt);
	ev_timer_fini(&n->retry);
	agent_login_fini(&n->login);
	agent_conf_free(n->file);
	ev_defer_free(n->conf.loop, n);
}

const struct agent_profile *agent_network_profile(const struct agent_network *n)
{
	return &n->profile;
}

void agent_network_renamed(struct agent_network *n)
{
	memcpy(n->profile.name, n->file->name, sizeof(n->profile.name));
	n->conf.on_change(n->conf.user);
}

struct agent_conf *agent_network_agent_conf(struct agent_network *n)
{
	return n->file;
}

int agent_network_set(struct agent_network *n, const struct daemon_settings *s, struct ln_fail *f)
{
	int changed = agent_conf_apply(n->file, s, f);
	if (changed < 0)
		return changed;
	/* The key must be on disk before a server sees it. */
	int err = agent_conf_save(n->file, f);
	return err < 0 ? err : changed;
}

bool agent_network_is_up(const struct agent_network *n)
{
	return n->up;
}

enum agent_state agent_network_state(const struct agent_network *n)
{
	return n->state;
}

const char *agent_network_ifname(const struct agent_network *n)
{
	return n->engine != NULL ? engine_ifname(n->engine) : "";
}

const char *agent_network_table(const struct agent_network *n)
{
	return n->table;
}

uint32_t agent_network_mark(const struct agent_network *n)
{
	return n->mark;
}

const char *agent_network_error(const struct agent_network *n)
{
	return n->error;
}

void agent_network_host_changed(struct agent_network *n, bool default_route)
{
	if (n->engine == NULL)
		return;
	if (engine_network_changed(n->engine, default_route))
		mgmt_client_redial(n->mgmt);
	else
		mgmt_client_send_meta(n->mgmt);
}

void agent_network_dns_changed(struct agent_network *n)
{
	if (n->mgmt != NULL)
		mgmt_client_hurry(n->mgmt);
	if (n->engine != NULL) {
		engine_dns_changed(n->engine);
	} else if (n->up && !agent_login_going(&n->login)) {
		n->backoff = AGENT_BACKOFF_FIRST;
		ev_timer_after(&n->retry, 0);
	}
}

void agent_network_woke(struct agent_network *n)
{
	if (n->engine == NULL)
		return;
	engine_woke(n->engine);
	mgmt_client_redial(n->mgmt);
}

int agent_network_status(struct agent_network *n, bool full, struct arena *a,
			 struct daemon_status_response *ret)
{
	*ret = (struct daemon_status_response){
		.status = agent_state_name(n->state),
		.version = AGENT_NETBIRD_VERSION,
		.session_expires = n->session_expires,
	};
	char url[AGENT_URL_TEXT_MAX], key[WG_KEY_TEXT];
	struct wg_key own;
	if (!full)
		return 0;
	agent_url_format(&n->file->management, url);
	wg_secret_public(&n->file->key, &own);
	wg_key_format(&own, key);
	ret->has_full = true;
	ret->management.url = arena_strdup(a, url);
	ret->management.connected = n->mgmt_connected;
	ret->management.error = n->mgmt_connected ? "" : arena_strdup(a, n->error);
	ret->signal = (struct daemon_server_state){ .url = "", .error = "" };
	ret->ip = ret->ipv6 = ret->fqdn = "";
	ret->key = arena_strdup(a, key);
	ret->rosenpass = false;
	if (ret->management.url == NULL || ret->management.error == NULL || ret->key == NULL)
		return LN_E_LIMIT;
	return n->engine != NULL ? engine_status(n->engine, a, ret) : 0;
}

int agent_network_reconnect(struct agent_network *n, const char *peer, struct arena *a,
			    struct daemon_reconnect_response *ret, struct ln_fail *f)
{
	if (n->engine == NULL)
		return ln_fail(f, LN_E_STATE, "the network is not up: linnet up");
	return engine_reconnect(n->engine, peer, a, ret, f);
}
