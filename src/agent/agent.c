#include "src/agent/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/agent/api/agent_api.h"
#include "src/obs/obs_log.h"
#include "src/plat/plat.h"
#include "src/plat/plat_mark.h"
#include "src/plat/plat_wg.h"

#define AGENT_NETWORKS_MAX 64
#define AGENT_HOST_DEBOUNCE (300 * LN_MSEC)
#define AGENT_ROUTES_PAUSE (100 * LN_MSEC) /* between two looks at all routes */
#define AGENT_PULSE (3 * LN_SEC)
#define AGENT_SLEPT (10 * LN_SEC)

struct agent {
	struct ev_loop *loop;
	struct agent_options opt;
	char *state_dir, *config, *socket, *filter_table, *log_file;
	struct agent_profiles *profiles;
	struct plat *plat;
	struct plat_sysinfo sys;
	struct ev_io plat_io;
	bool watching;
	struct ev_timer host_changed, routes_changed;
	bool host_due, routes_due;
	ln_time routes_next;                          /* not before */
	bool route_changed, net_changed, dns_changed; /* since then */
	struct ev_timer pulse;
	ln_time pulse_at;
	struct agent_network *networks[AGENT_NETWORKS_MAX];
	size_t nnetworks;
	bool starting; /* bringing up what was up */
	struct agent_api *api;
};

struct agent_profiles *agent_profiles(struct agent *a)
{
	return a->profiles;
}

const struct agent_options *agent_options(const struct agent *a)
{
	return &a->opt;
}

struct ev_loop *agent_loop(struct agent *a)
{
	return a->loop;
}

/* --- the host ----------------------------------------------------------------------------------*/

static void agent_on_plat(struct ev_io *io, unsigned events)
{
	struct agent *a = ln_container(io, struct agent, plat_io);
	struct plat_event ev;
	bool any = false, routes = false;
	(void)events;
	while (plat_event_next(a->plat, &ev)) {
		any = any || (ev.kind != PLAT_EV_NONE && ev.kind != PLAT_EV_ROUTES);
		routes = routes || ev.kind != PLAT_EV_DNS;
		a->dns_changed = a->dns_changed || ev.kind == PLAT_EV_DNS;
		a->net_changed =
			a->net_changed || (ev.kind != PLAT_EV_ROUTES && ev.kind != PLAT_EV_DNS);
		a->route_changed = a->route_changed || ev.kind == PLAT_EV_DEFAULT_ROUTE;
	}
	/* The first look at once: what captures the tunnel's packets does so from now on. */
	if (routes && !a->routes_due)
		ev_timer_at(&a->routes_changed, LN_MAX(ev_now(), a->routes_next));
	a->routes_due |= routes;
	/* Changes come in groups; the first one starts the clock. */
	if (any && !a->host_due)
		ev_timer_after(&a->host_changed, AGENT_HOST_DEBOUNCE);
	a->host_due |= any;
}

static void agent_on_routes_changed(struct ev_timer *t)
{
	struct agent *a = ln_container(t, struct agent, routes_changed);
	a->routes_due = false;
	a->routes_next = ev_now() + AGENT_ROUTES_PAUSE;
	plat_mark_refresh(a->plat);
}

static void agent_on_host_changed(struct ev_timer *t)
{
	struct agent *a = ln_container(t, struct agent, host_changed);
	if (a->dns_changed)
		log_info("agent", "the host's name servers changed");
	for (size_t i = 0; i < a->nnetworks; i++) {
		if (a->net_changed)
			agent_network_host_changed(a->networks[i], a->route_changed);
		if (a->dns_changed)
			agent_network_dns_changed(a->networks[i]);
	}
	a->route_changed = a->net_changed = a->dns_changed = false;
	a->host_due = false;
}

/*
 * This machine has slept, or this process was stopped: nobody answered meanwhile, and the other
 * ends of our connections may have given up.
 */
static void agent_on_pulse(struct ev_timer *t)
{
	struct agent *a = ln_container(t, struct agent, pulse);
	ln_time slept = ev_now() - a->pulse_at - AGENT_PULSE;
	a->pulse_at = ev_now();
	ev_timer_after(t, AGENT_PULSE);
	if (slept < AGENT_SLEPT)
		return;
	log_info("agent", "this machine has slept", LOG_DUR("for", slept));
	for (size_t i = 0; i < a->nnetworks; i++)
		agent_network_woke(a->networks[i]);
}

/* --- networks ----------------------------------------------------------------------------------*/

static bool agent_name_taken(void *user, const struct agent_network *self, const char *ifname,
			     const char *table)
{
	const struct agent *a = user;
	for (size_t i = 0; i < a->nnetworks; i++) {
		const struct agent_network *n = a->networks[i];
		if (n == self || agent_network_ifname(n)[0] == '\0')
			continue;
		if (strcmp(agent_network_ifname(n), ifname) == 0 ||
		    (table[0] != '\0' && strcmp(agent_network_table(n), table) == 0))
			return true;
	}
	return false;
}

static uint64_t agent_marks_taken(void *user)
{
	const struct agent *a = user;
	uint64_t taken = 0;
	for (size_t i = 0; i < a->nnetworks; i++) {
		uint32_t mark = agent_network_mark(a->networks[i]);
		taken |= mark != 0 ? (uint64_t)1 << plat_mark_slot(mark) : 0;
	}
	return taken;
}

static void agent_on_change(void *user)
{
	struct agent *a = user;
	if (a->api != NULL)
		agent_api_changed(a->api);
}

static bool agent_same_profile(const struct agent_profile *x, const struct agent_profile *y)
{
	return strcmp(x->id, y->id) == 0 && strcmp(x->user, y->user) == 0;
}

static struct agent_network *agent_find_network(struct agent *a, const struct agent_profile *p)
{
	for (size_t i = 0; i < a->nnetworks; i++)
		if (agent_same_profile(agent_network_profile(a->networks[i]), p))
			return a->networks[i];
	return NULL;
}

int agent_network_of(struct agent *a, const struct agent_profile *p, struct agent_network **ret,
		     struct ln_fail *f)
{
	struct agent_network *n = agent_find_network(a, p);
	if (n != NULL) {
		*ret = n;
		return 0;
	}
	if (a->nnetworks == AGENT_NETWORKS_MAX)
		return ln_fail(f, LN_E_LIMIT, "at most %d profiles can be in use at once",
			       AGENT_NETWORKS_MAX);
	struct agent_network_conf c = {
		.loop = a->loop,
		.plat = a->plat,
		.sys = &a->sys,
		.filter_table = a->filter_table,
		.mark_base = a->opt.mark_base,
		.marks_taken = agent_marks_taken,
		.lazy = a->opt.lazy,
		.idle_after = a->opt.idle_after,
		.no_kernel = a->opt.no_kernel,
		.portmap = a->opt.portmap,
		.relay_transport = a->opt.relay_transport,
		.redirect = a->opt.redirect,
		.name_taken = agent_name_taken,
		.on_change = agent_on_change,
		.user = a,
	};
	int err = agent_network_new(&c, p, &n, f);
	if (err < 0)
		return err;
	a->networks[a->nnetworks++] = n;
	*ret = n;
	return 0;
}

int agent_active_network(struct agent *a, struct agent_network **ret, struct ln_fail *f)
{
	return agent_network_of(a, agent_profiles_active(a->profiles), ret, f);
}

static void agent_others_down(struct agent *a, const struct agent_network *keep)
{
	for (size_t i = 0; !a->opt.multi && i < a->nnetworks; i++)
		if (a->networks[i] != keep)
			(void)agent_network_down(a->networks[i]);
}

/* Only with several at once: alone, the active profile connects at the start (spec agent trap 57).
 */
static void agent_note_up(struct agent *a)
{
	const struct agent_profile *v[AGENT_NETWORKS_MAX];
	struct ln_fail f;
	size_t n = 0;
	if (!a->opt.multi || a->starting)
		return;
	for (size_t i = 0; i < a->nnetworks; i++)
		if (agent_network_is_up(a->networks[i]))
			v[n++] = agent_network_profile(a->networks[i]);
	if (agent_profiles_write_up(a->profiles, v, n, &f) < 0)
		log_warn("agent", "the next start will not know which networks were up",
			 LOG_STR("why", f.text));
}

void agent_bring_up(struct agent *a, struct agent_network *n)
{
	agent_others_down(a, n);
	if (agent_network_is_up(n))
		return;
	agent_network_up(n);
	agent_note_up(a);
}

int agent_take_down(struct agent *a, struct agent_network *n)
{
	int err = agent_network_down(n);
	if (err == 0)
		agent_note_up(a);
	return err;
}

int agent_rename(struct agent *a, const struct agent_profile *p, const char *name,
		 struct ln_fail *f)
{
	struct agent_network *n = agent_find_network(a, p);
	struct agent_conf *conf = n != NULL ? agent_network_agent_conf(n) : NULL;
	int err = agent_profiles_rename(a->profiles, p, name, conf, ev_rng(), f);
	if (err == 0 && n != NULL)
		agent_network_renamed(n);
	return err;
}

int agent_switch(struct agent *a, const struct agent_profile *p, struct ln_fail *f)
{
	int err = agent_profiles_set_active(a->profiles, p, f);
	if (err == 0)
		agent_others_down(a, agent_find_network(a, p));
	return err;
}

int agent_choose(struct agent *a, const struct agent_profile *p, struct ln_fail *f)
{
	if (a->opt.multi || agent_same_profile(agent_profiles_active(a->profiles), p))
		return 0;
	return agent_switch(a, p, f);
}

void agent_drop_network(struct agent *a, const struct agent_profile *p)
{
	for (size_t i = 0; i < a->nnetworks; i++) {
		if (!agent_same_profile(agent_network_profile(a->networks[i]), p))
			continue;
		struct agent_network *n = a->networks[i];
		a->networks[i] = a->networks[--a->nnetworks];
		agent_network_free(n);
		return;
	}
}

/* --- life --------------------------------------------------------------------------------------*/

static char *agent_dup(const char *s)
{
	return s != NULL ? ln_strdup(s) : NULL;
}

/* Without the right to mark, everything works until somebody routes into the tunnel. */
static void agent_probe_marks(struct agent *a)
{
	struct ln_fail why = { 0 };
	if (a->opt.mark_base == 0 || plat_mark_probe(a->plat, &why) == 0)
		return;
	log_warn("agent", "routes into a tunnel will capture its own packets",
		 LOG_STR("why", why.text));
	a->opt.mark_base = 0;
}

static int agent_open_host(struct agent *a, struct ln_fail *f)
{
	int err = plat_new(a->state_dir, &a->plat, f);
	if (err < 0)
		return err;
	struct ln_fail why;
	if (plat_recover(a->plat, &why) < 0)
		log_warn("agent", "something of an earlier run stays on this host",
			 LOG_STR("why", why.text));
	agent_probe_marks(a);
	plat_sysinfo(a->plat, &a->sys);
	int fd = plat_event_fd(a->plat);
	if (fd < 0) {
		log_warn("agent", "changes of the host's network are not seen", LOG_ERRNO(fd));
		return 0;
	}
	err = ev_io_init(&a->plat_io, a->loop, fd, agent_on_plat);
	if (err < 0)
		return ln_fail(f, err, "the host's network cannot be watched: %s",
			       ln_strerror(err));
	ev_io_want(&a->plat_io, EV_READ);
	a->watching = true;
	return 0;
}

int agent_new(struct ev_loop *l, const struct agent_options *o, struct agent **ret,
	      struct ln_fail *f)
{
	struct agent *a = ln_alloc(sizeof(*a));
	a->loop = l;
	a->opt = *o;
	a->opt.state_dir = a->state_dir =
		ln_strdup(o->state_dir != NULL ? o->state_dir : AGENT_STATE_DIR);
	a->opt.config = a->config = agent_dup(o->config);
	a->opt.socket = a->socket = agent_dup(o->socket);
	a->opt.filter_table = a->filter_table =
		ln_strdup(o->filter_table != NULL ? o->filter_table : "netbird");
	a->opt.log_file = a->log_file = ln_strdup(o->log_file != NULL ? o->log_file : "");
	ev_timer_init(&a->host_changed, l, agent_on_host_changed);
	ev_timer_init(&a->routes_changed, l, agent_on_routes_changed);
	ev_timer_init(&a->pulse, l, agent_on_pulse);
	a->pulse_at = ev_now();
	ev_timer_after(&a->pulse, AGENT_PULSE);
	int err = agent_profiles_new(a->state_dir, a->config, &a->profiles, f);
	if (err == 0)
		err = agent_open_host(a, f);
	if (err < 0) {
		agent_free(a);
		return err;
	}
	*ret = a;
	return 0;
}

/* A configuration on disk means that somebody has logged in with it before. */
static void agent_auto_connect(struct agent *a, const struct agent_profile *p)
{
	struct agent_network *n;
	struct ln_fail f;
	if (access(p->path, F_OK) < 0)
		return;
	if (agent_network_of(a, p, &n, &f) < 0) {
		log_error("agent", "the configuration is unusable", LOG_STR("why", f.text));
		return;
	}
	if (!agent_network_agent_conf(n)->disable_auto_connect)
		agent_bring_up(a, n);
}

static void agent_connect_noted(struct agent *a)
{
	struct agent_profile *v = ln_calloc(AGENT_NETWORKS_MAX, sizeof(*v));
	size_t n = agent_profiles_read_up(a->profiles, v, AGENT_NETWORKS_MAX);
	/* Killed half-way, the next start still knows them all. */
	a->starting = true;
	for (size_t i = 0; i < n; i++)
		agent_auto_connect(a, &v[i]);
	a->starting = false;
	free(v);
}

int agent_start(struct agent *a, struct ln_fail *f)
{
	if (a->socket != NULL) {
		int err = agent_api_new(a, a->socket, &a->api, f);
		if (err < 0)
			return err;
	}
	/* The answer may cost 0.2 s once, and nobody waits for an `up` yet. */
	struct ln_fail why = { 0 };
	if (!a->opt.no_kernel && plat_wg_probe(a->plat, &why) < 0)
		log_debug("agent", "no WireGuard in the kernel", LOG_STR("why", why.text));
	if (a->opt.multi)
		agent_connect_noted(a);
	agent_auto_connect(a, agent_profiles_active(a->profiles));
	return 0;
}

void agent_stop(struct agent *a, void (*done)(void *arg), void *arg)
{
	for (size_t i = 0; i < a->nnetworks; i++)
		agent_network_free(a->networks[i]);
	a->nnetworks = 0;
	if (a->api != NULL)
		agent_api_stop(a->api, done, arg);
	else
		ev_defer(a->loop, done, arg);
}

void agent_free(struct agent *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->nnetworks; i++)
		agent_network_free(a->networks[i]);
	agent_api_free(a->api);
	ev_timer_fini(&a->host_changed);
	ev_timer_fini(&a->routes_changed);
	ev_timer_fini(&a->pulse);
	if (a->watching)
		ev_io_fini(&a->plat_io);
	if (a->plat != NULL)
		plat_free(a->plat);
	agent_profiles_free(a->profiles);
	free(a->state_dir);
	free(a->config);
	free(a->socket);
	free(a->filter_table);
	free(a->log_file);
	ev_defer_free(a->loop, a);
}
