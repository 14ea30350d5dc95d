/*
 * Our own addresses: host candidates from the interfaces (spec signal-and-connection 3.2), mapped
 * ones from STUN servers (3.3), and what changes about them.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/agent/engine/engine_internal.h"
#include "src/obs/obs_log.h"

#define ENGINE_MONITOR_PERIOD (5 * LN_MINUTE) /* spec signal-and-connection 3.14 */
#define ENGINE_RESOLVE_RETRY (10 * LN_SEC)

/* --- host candidates ---------------------------------------------------------------------------*/

static bool engine_addr_blacklisted(const struct engine *e, const char *ifname)
{
	const struct agent_list *l = &e->conf.conf->blacklist;
	for (size_t i = 0; i < l->n; i++)
		if (strncmp(ifname, l->v[i], strlen(l->v[i])) == 0)
			return true;
	return strcmp(ifname, e->ifname) == 0 ||
	       (e->conf.own_interface != NULL && e->conf.own_interface(e->conf.user, ifname));
}

static bool engine_addr_usable(const struct engine *e, const struct plat_addr *a)
{
	const struct ip_addr *ip = &a->prefix.addr;
	if (!a->up || a->loopback || a->tentative || a->deprecated)
		return false;
	if (ip->family == 6 && e->conf.conf->disable_ipv6_discovery)
		return false;
	if (ip_is_link_local(ip) || ip_is_loopback(ip) || ip_is_unspecified(ip) ||
	    ip_is_multicast(ip))
		return false;
	/* Checks inside the tunnel would find the tunnel (spec 4.5). */
	return !engine_overlay_has(e, ip) && !engine_addr_blacklisted(e, a->ifname);
}

static bool engine_addr_known(const struct ip_ep *v, unsigned n, const struct ip_ep *ep)
{
	for (unsigned i = 0; i < n; i++)
		if (ip_ep_equal(&v[i], ep))
			return true;
	return false;
}

/* The same addresses in the same order. */
static bool engine_addr_same(const struct ip_ep *a, unsigned na, const struct ip_ep *b, unsigned nb)
{
	if (na != nb)
		return false;
	for (unsigned i = 0; i < na; i++)
		if (!ip_ep_equal(&a[i], &b[i]))
			return false;
	return true;
}

/* Had addresses of this family, and none of them is left. */
static bool engine_addr_lost(const struct peer_local *old, const struct peer_local *new,
			     uint8_t family)
{
	unsigned had = 0, kept = 0;
	for (unsigned i = 0; i < old->nhosts; i++) {
		if (old->hosts[i].addr.family != family)
			continue;
		had++;
		kept += engine_addr_known(new->hosts, new->nhosts, &old->hosts[i]);
	}
	return had > 0 && kept == 0;
}

bool engine_addr_rescan(struct engine *e, bool *ret_lost)
{
	struct plat_addr *v = ln_calloc(ENGINE_ADDRS_MAX, sizeof(*v));
	int n = plat_addresses(e->conf.plat, v, ENGINE_ADDRS_MAX);
	if (n < 0) {
		log_warn("engine", "the host's addresses cannot be read", LOG_ERRNO(n));
		free(v);
		return false;
	}
	struct peer_local old = e->local;
	e->local.nhosts = 0;
	for (int family = 4; family <= 6; family += 2) {
		for (int i = 0; i < LN_MIN(n, ENGINE_ADDRS_MAX); i++) {
			struct ip_ep ep = { .addr = v[i].prefix.addr, .port = e->local.wg_port };
			if (ep.addr.family != family || !engine_addr_usable(e, &v[i]) ||
			    e->local.nhosts == PEER_LOCAL_HOSTS_MAX ||
			    engine_addr_known(e->local.hosts, e->local.nhosts, &ep))
				continue;
			e->local.hosts[e->local.nhosts++] = ep;
		}
	}
	free(v);
	bool changed = !engine_addr_same(old.hosts, old.nhosts, e->local.hosts, e->local.nhosts);
	if (ret_lost != NULL)
		*ret_lost = engine_addr_lost(&old, &e->local, 4) ||
			    engine_addr_lost(&old, &e->local, 6);
	return changed;
}

static bool engine_addr_same_way(const struct plat_way *a, const struct plat_way *b)
{
	return a->ifindex == b->ifindex && ip_equal(&a->gateway, &b->gateway) &&
	       ip_equal(&a->source, &b->source);
}

/* No way at all is no other way: it comes back, or another one does. */
bool engine_addr_new_way(struct engine *e)
{
	const struct stun_query_server *v;
	size_t n = stun_query_list(e->stun, &v);
	bool changed = false, seen[2] = { false, false };
	for (size_t i = 0; i < n; i++) {
		int k = v[i].addr.addr.family == 6;
		struct plat_way way;
		if (seen[k])
			continue;
		seen[k] = true;
		if (plat_way(e->conf.plat, &v[i].addr.addr, e->conf.mark, &way) < 0)
			continue;
		changed |= e->ways[k].ifindex != 0 && !engine_addr_same_way(&e->ways[k], &way);
		e->ways[k] = way;
	}
	engine_portmap_way(e);
	return changed;
}

/* --- STUN --------------------------------------------------------------------------------------*/

/* Two servers saw different ports of one socket: mapping depends on the destination. */
static bool engine_addr_per_destination(const struct stun_query_server *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			if (v[i].state == STUN_QUERY_ANSWERED &&
			    v[j].state == STUN_QUERY_ANSWERED &&
			    v[i].mapped.addr.family == v[j].mapped.addr.family &&
			    !ip_ep_equal(&v[i].mapped, &v[j].mapped))
				return true;
	return false;
}

void engine_addr_collect(struct engine *e)
{
	const struct stun_query_server *v;
	size_t n = stun_query_list(e->stun, &v);
	struct peer_local old = e->local;
	struct peer_local *l = &e->local;
	l->nsrflx = l->stun_answered = l->stun_waiting = 0;
	l->stun_servers = (unsigned)n;
	l->stun_silent = (struct ip_ep){ 0 };
	for (size_t i = 0; i < n; i++) {
		if (v[i].state == STUN_QUERY_WAITING)
			l->stun_waiting++;
		if (v[i].state == STUN_QUERY_FAILED)
			l->stun_silent = v[i].addr;
		/* An old answer stays good enough to try while the next one is awaited. */
		if (v[i].mapped.addr.family == 0 || v[i].state == STUN_QUERY_FAILED)
			continue;
		l->stun_answered++;
		if (l->nsrflx < PEER_LOCAL_SRFLX_MAX &&
		    !engine_addr_known(l->srflx, l->nsrflx, &v[i].mapped) &&
		    !engine_addr_known(l->hosts, l->nhosts, &v[i].mapped) &&
		    !engine_overlay_has(e, &v[i].mapped.addr))
			l->srflx[l->nsrflx++] = v[i].mapped;
	}
	struct ip_ep ported;
	if (engine_portmap_address(e, &ported) && l->nsrflx < PEER_LOCAL_SRFLX_MAX &&
	    !engine_addr_known(l->srflx, l->nsrflx, &ported) &&
	    !engine_overlay_has(e, &ported.addr))
		l->srflx[l->nsrflx++] = ported;
	l->nat_per_destination = engine_addr_per_destination(v, n);
	if (!engine_addr_same(old.srflx, old.nsrflx, l->srflx, l->nsrflx))
		engine_peer_local_changed(e);
}

static void engine_addr_drive(struct engine *e)
{
	uint8_t buf[256];
	struct stun_query_out out;
	bool news = false;
	ln_time now = ev_now();
	while (stun_query_poll(e->stun, now, mslice_of(buf, sizeof(buf)), &out)) {
		switch (out.kind) {
		case STUN_QUERY_SEND:
			(void)wgif_send(e->wg, &out.server, out.data);
			break;
		case STUN_QUERY_MAPPED:
			news = true;
			break;
		case STUN_QUERY_GAVE_UP:
			log_debug("engine", "no STUN answer", LOG_EP("server", &out.server));
			news = true;
			break;
		}
	}
	ev_timer_at(&e->stun_timer, stun_query_deadline(e->stun));
	if (news)
		engine_addr_collect(e);
}

static void engine_addr_on_stun_timer(struct ev_timer *t)
{
	engine_addr_drive(ln_container(t, struct engine, stun_timer));
}

void engine_addr_gather(struct engine *e, ln_time max_age)
{
	stun_query_start(e->stun, ev_now(), max_age);
	engine_addr_drive(e);
}

bool engine_addr_stun(struct engine *e, const struct ip_ep *from, struct slice pkt)
{
	if (stun_query_input(e->stun, ev_now(), from, pkt) < 0)
		return false;
	engine_addr_drive(e);
	return true;
}

/* --- names of STUN servers ---------------------------------------------------------------------*/

/* "stun:host:port", "turns:host?transport=tcp": TURN hosts are asked as STUN servers too. */
static bool engine_addr_parse_uri(const char *uri, char host[256], uint16_t *ret_port)
{
	static const struct {
		const char *scheme;
		uint16_t port;
	} kinds[] = {
		{ "stun:", 3478 }, { "stuns:", 5349 }, { "turn:", 3478 }, { "turns:", 5349 }
	};

	for (size_t i = 0; i < LN_COUNT(kinds); i++) {
		size_t n = strlen(kinds[i].scheme);
		if (strncmp(uri, kinds[i].scheme, n) != 0)
			continue;
		return agent_url_parse_host(slice_of(uri + n, strcspn(uri + n, "?")), kinds[i].port,
					    host, ret_port) == 0;
	}
	return false;
}

struct engine_resolve {
	struct engine *engine; /* null when the engine is gone */
	size_t n;
	bool failed;
	bool stale; /* something has changed since it began: once more */

	struct {
		char host[256];
		uint16_t port;
		struct ip_ep eps[2]; /* one per family */
	} v[ENGINE_URIS_MAX];
};

/* On a worker thread: touches the job only. */
static void engine_resolve_work(void *arg)
{
	struct engine_resolve *job = arg;
	for (size_t i = 0; i < job->n; i++) {
		struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *list = NULL;
		if (getaddrinfo(job->v[i].host, NULL, &hints, &list) != 0) {
			job->failed = true;
			continue;
		}
		for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
			struct ip_ep ep;
			if (ip_ep_from_sockaddr(a->ai_addr, &ep) < 0)
				continue;
			struct ip_ep *slot = &job->v[i].eps[ep.addr.family == 6];
			ep.port = job->v[i].port;
			if (slot->addr.family == 0)
				*slot = ep;
		}
		freeaddrinfo(list);
	}
}

static void engine_addr_use_servers(struct engine *e, const struct engine_resolve *job)
{
	struct ip_ep eps[STUN_QUERY_SERVERS_MAX];
	size_t n = 0;
	for (size_t i = 0; i < job->n; i++) {
		for (int k = 0; k < 2; k++) {
			const struct ip_ep *ep = &job->v[i].eps[k];
			if (ep->addr.family != 0 && n < STUN_QUERY_SERVERS_MAX &&
			    !engine_addr_known(eps, (unsigned)n, ep))
				eps[n++] = *ep;
		}
	}
	if (n == 0)
		return; /* what we had is better than nothing */
	stun_query_set_servers(e->stun, eps, n);
	(void)engine_addr_new_way(e);
	e->local.stun_servers = (unsigned)n;
	engine_addr_gather(e, 0);
}

static void engine_resolve_done(void *arg)
{
	struct engine_resolve *job = arg;
	struct engine *e = job->engine;
	if (e != NULL) {
		e->resolving = NULL;
		engine_addr_use_servers(e, job);
		if (job->stale)
			engine_addr_resolve(e);
		else if (job->failed)
			ev_timer_after(&e->monitor, ENGINE_RESOLVE_RETRY);
	}
	free(job);
}

void engine_addr_resolve(struct engine *e)
{
	if (e->resolving != NULL)
		e->resolving->stale = true;
	if (e->resolving != NULL || e->nstun_uris == 0)
		return;
	struct engine_resolve *job = ln_alloc(sizeof(*job));
	bool names = false;
	job->engine = e;
	for (size_t i = 0; i < e->nstun_uris; i++) {
		char *host = job->v[job->n].host;
		if (!engine_addr_parse_uri(e->stun_uris[i], host, &job->v[job->n].port))
			continue;
		struct ip_ep ep = { .port = job->v[job->n].port };
		if (ip_parse(slice_str(host), &ep.addr) == 0)
			job->v[job->n].eps[ep.addr.family == 6] = ep;
		else
			names = true;
		job->n++;
	}
	if (!names) { /* literals need no worker */
		engine_addr_use_servers(e, job);
		free(job);
		return;
	}
	e->resolving = job;
	ev_work(e->conf.loop, engine_resolve_work, engine_resolve_done, job);
}

static void engine_addr_add_uri(char **v, size_t *n, const char *uri)
{
	char host[256];
	uint16_t port;
	if (*n >= ENGINE_URIS_MAX)
		return;
	if (!engine_addr_parse_uri(uri, host, &port)) {
		log_warn("engine", "the server names an unusable STUN address",
			 LOG_STR("uri", uri));
		return;
	}
	for (size_t i = 0; i < *n; i++)
		if (strcmp(v[i], uri) == 0)
			return;
	v[(*n)++] = ln_strdup(uri);
}

static void engine_addr_drop_uris(struct engine *e)
{
	for (size_t i = 0; i < e->nstun_uris; i++)
		free(e->stun_uris[i]);
	e->nstun_uris = 0;
}

void engine_addr_set_servers(struct engine *e, const struct mgmt_servers *s)
{
	char *v[ENGINE_URIS_MAX];
	size_t n = 0;
	for (size_t i = 0; i < s->nstuns; i++)
		engine_addr_add_uri(v, &n, s->stuns[i].uri);
	for (size_t i = 0; i < s->nturns; i++)
		engine_addr_add_uri(v, &n, s->turns[i].uri);
	bool same = n == e->nstun_uris;
	for (size_t i = 0; same && i < n; i++)
		same = strcmp(v[i], e->stun_uris[i]) == 0;
	/* An empty list leaves the old one in place (spec 3.3). */
	if (n == 0 || same) {
		for (size_t i = 0; i < n; i++)
			free(v[i]);
		return;
	}
	engine_addr_drop_uris(e);
	memcpy(e->stun_uris, v, n * sizeof(v[0]));
	e->nstun_uris = n;
	engine_addr_resolve(e);
}

/* --- life --------------------------------------------------------------------------------------*/

static void engine_addr_on_monitor(struct ev_timer *t)
{
	struct engine *e = ln_container(t, struct engine, monitor);
	ev_timer_after(t, ENGINE_MONITOR_PERIOD);
	engine_addr_resolve(e);
	engine_addr_gather(e, 1);
}

void engine_addr_init(struct engine *e)
{
	e->stun = stun_query_new(ev_rng());
	ev_timer_init(&e->stun_timer, e->conf.loop, engine_addr_on_stun_timer);
	ev_timer_init(&e->monitor, e->conf.loop, engine_addr_on_monitor);
	ev_timer_after(&e->monitor, ENGINE_MONITOR_PERIOD);
}

void engine_addr_fini(struct engine *e)
{
	if (e->resolving != NULL)
		e->resolving->engine = NULL;
	ev_timer_fini(&e->stun_timer);
	ev_timer_fini(&e->monitor);
	engine_addr_drop_uris(e);
	stun_query_free(e->stun);
}
