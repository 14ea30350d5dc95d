/*
 * Applying a network map (spec agent 2.5, management-protocol 4.4, 4.9), with the sanity rules that
 * keep even a malicious server inside its network (reliability A-7).
 */
#include <stdlib.h>

#include "lib/base/str.h"

#include "src/agent/engine/engine_internal.h"
#include "src/obs/obs_log.h"

/* --- what a peer may be called ----------------------------------------------------------------*/

struct engine_claim { /* one address of one peer of the map */
	struct ip_prefix prefix;
	const struct netmap_peer *peer;
	uint32_t index; /* of the peer */
	bool refused;
};

static bool engine_map_prefix_ok(const struct engine *e, const struct ip_prefix *p)
{
	if (p->addr.family == 6 && e->noverlay < 2)
		return false;
	if (p->len != ip_bits(&p->addr)) /* routes come by another list, later */
		return false;
	return !ip_is_loopback(&p->addr) && !ip_is_link_local(&p->addr) &&
	       !ip_is_multicast(&p->addr) && !ip_is_unspecified(&p->addr) &&
	       !ip_equal(&p->addr, &e->address.addr) && !ip_equal(&p->addr, &e->address_v6.addr);
}

static int engine_claim_cmp(const void *a, const void *b)
{
	const struct engine_claim *x = a, *y = b;
	int c = ip_cmp(&x->prefix.addr, &y->prefix.addr);
	return c != 0 ? c : wg_key_text_cmp(&x->peer->key, &y->peer->key);
}

static int engine_claim_back(const void *a, const void *b)
{
	const struct engine_claim *x = a, *y = b;
	return x->index < y->index ? -1 : x->index > y->index;
}

/*
 * All addresses the map gives to peers, in the order of the peers; an address claimed twice stays
 * with the peer whose key sorts first, whatever order the map has.
 */
static struct engine_claim *engine_map_claims(const struct engine *e, const struct netmap *m,
					      size_t *ret_n)
{
	size_t cap = 0, n = 0;
	for (size_t i = 0; i < m->npeers; i++)
		cap += LN_MIN(m->peers[i].nallowed, (size_t)ENGINE_ALLOWED_MAX);
	struct engine_claim *v = ln_calloc(cap + 1, sizeof(*v));
	for (size_t i = 0; i < m->npeers; i++) {
		const struct netmap_peer *p = &m->peers[i];
		for (size_t j = 0; j < LN_MIN(p->nallowed, (size_t)ENGINE_ALLOWED_MAX); j++)
			if (engine_map_prefix_ok(e, &p->allowed[j]))
				v[n++] = (struct engine_claim){ .prefix = p->allowed[j],
								.peer = p,
								.index = (uint32_t)i };
	}
	qsort(v, n, sizeof(*v), engine_claim_cmp);
	for (size_t i = 1; i < n; i++) {
		if (!ip_equal(&v[i].prefix.addr, &v[i - 1].prefix.addr) ||
		    v[i].index == v[i - 1].index)
			continue;
		v[i].refused = true;
		log_warn("engine", "two peers claim one address",
			 LOG_IP("address", &v[i].prefix.addr), LOG_KEY("refused", &v[i].peer->key));
	}
	qsort(v, n, sizeof(*v), engine_claim_back);
	*ret_n = n;
	return v;
}

/* --- peers -------------------------------------------------------------------------------------*/

static bool engine_map_allowed_same(const struct engine_peer *p, const struct ip_prefix *v,
				    size_t n)
{
	if (p->nallowed != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!ip_prefix_equal(&p->allowed[i], &v[i]))
			return false;
	return true;
}

static void engine_map_one_peer(struct engine *e, const struct netmap_peer *m,
				const struct ip_prefix *allowed, size_t nallowed, size_t closed)
{
	const char *version = m->agent_version != NULL ? m->agent_version : "";
	const char *fqdn = m->fqdn != NULL ? m->fqdn : "";
	struct engine_peer *p = engine_peer_find(e, &m->key);
	/* A changed version or address list is another connection (spec agent 2.5 step 11). */
	if (p != NULL &&
	    (strcmp(p->version, version) != 0 || !engine_map_allowed_same(p, allowed, nallowed))) {
		engine_peer_remove(p);
		p = NULL;
	}
	if (p == NULL) {
		p = engine_peer_add(e, m, allowed, nallowed);
		if (p == NULL) {
			log_warn("engine", "a peer's key is unusable", LOG_KEY("peer", &m->key));
			return;
		}
		p->marked = true;
		engine_peer_pace(p, closed);
		engine_peer_drive(p);
		return;
	}
	p->marked = true;
	if (strcmp(p->fqdn, fqdn) != 0) {
		free(p->fqdn);
		p->fqdn = ln_strdup(fqdn);
	}
	bool idle = peer_conn_state(p->conn) == PEER_IDLE;
	engine_peer_set_lazy(p);
	if (idle)
		engine_peer_pace(p, closed);
	engine_peer_drive(p);
}

static void engine_map_remove_unmarked(struct engine *e)
{
	struct map_node *next;
	for (struct map_node *n = map_first(&e->peers); n != NULL; n = next) {
		next = map_next(&e->peers, n);
		struct engine_peer *p = map_entry(n, struct engine_peer, node);
		if (!p->marked)
			engine_peer_remove(p);
	}
}

/* Removed first, then changed and new ones; whoever stays is not touched. */
static void engine_map_peers(struct engine *e, const struct netmap *m)
{
	size_t n, at = 0;
	struct engine_claim *claims = engine_map_claims(e, m, &n);
	size_t closed = m->npeers; /* or new: all that this map can open */
	map_for_each(node, &e->peers)
		map_entry(node, struct engine_peer, node)->marked = false;
	if (!m->peers_is_empty) {
		for (size_t i = 0; i < m->npeers; i++) {
			struct engine_peer *p = engine_peer_find(e, &m->peers[i].key);
			if (p == NULL)
				continue;
			p->marked = true;
			closed -= peer_conn_state(p->conn) != PEER_IDLE;
		}
	}
	engine_map_remove_unmarked(e);
	for (size_t i = 0; !m->peers_is_empty && i < m->npeers; i++) {
		struct ip_prefix allowed[ENGINE_ALLOWED_MAX];
		size_t count = 0;
		for (; at < n && claims[at].index == i; at++)
			if (!claims[at].refused)
				allowed[count++] = claims[at].prefix;
		if (!wg_key_equal(&m->peers[i].key, &e->own))
			engine_map_one_peer(e, &m->peers[i], allowed, count, closed);
	}
	free(claims);
}

static void engine_map_free_offline(struct engine *e)
{
	for (size_t i = 0; i < e->noffline; i++)
		free(e->offline[i].fqdn);
	free(e->offline);
	e->offline = NULL;
	e->noffline = 0;
}

static void engine_map_offline(struct engine *e, const struct netmap *m)
{
	engine_map_free_offline(e);
	if (m->noffline == 0)
		return;
	e->offline = ln_calloc(m->noffline, sizeof(*e->offline));
	for (size_t i = 0; i < m->noffline; i++) {
		const struct netmap_peer *p = &m->offline[i];
		e->offline[e->noffline++] = (struct engine_offline){
			.key = p->key,
			.v4 = p->v4,
			.v6 = p->v6,
			.fqdn = ln_strdup(p->fqdn != NULL ? p->fqdn : ""),
		};
	}
}

/* --- filter ------------------------------------------------------------------------------------*/

/* False for what the packet filter does not take: outgoing rules, unknown protocols (spec 5.3). */
static bool engine_map_rule(const struct netmap_rule *r, struct plat_rule *ret)
{
	if (r->direction != NETMAP_IN)
		return false;
	*ret = (struct plat_rule){
		.source = r->peer,
		.port_first = r->port_first,
		.port_last = r->port_last,
		.drop = r->action == NETMAP_DROP,
	};
	switch (r->protocol) {
	case NETMAP_PROTO_ALL:
		ret->protocol = 0;
		return true;
	case NETMAP_PROTO_TCP:
		ret->protocol = 6;
		return true;
	case NETMAP_PROTO_UDP:
		ret->protocol = 17;
		return true;
	case NETMAP_PROTO_ICMP:
		ret->protocol = 1;
		return true;
	case NETMAP_PROTO_UNKNOWN:
	case NETMAP_PROTO_CUSTOM:
	case NETMAP_PROTO_SSH:
		return false;
	}
	return false;
}

static void engine_map_rules(struct engine *e, const struct netmap *m)
{
	struct plat_rule *v = ln_calloc(m->nrules + 1, sizeof(*v));
	size_t n = 0;
	for (size_t i = 0; i < m->nrules; i++)
		if (engine_map_rule(&m->rules[i], &v[n]))
			n++;
	struct plat_rule *old = e->rules;
	size_t nold = e->nrules;
	bool old_all = e->allow_all;
	e->rules = v;
	e->nrules = n;
	/* Empty without the flag: a server that knows no rules (spec management-protocol 4.7). */
	e->allow_all = m->nrules == 0 && !m->rules_is_empty;
	struct ln_fail f;
	if (engine_apply_host(e, &f) < 0) {
		log_error("engine", "the packet filter could not be changed and stays as it was",
			  LOG_STR("why", f.text));
		free(e->rules);
		e->rules = old;
		e->nrules = nold;
		e->allow_all = old_all;
		return;
	}
	free(old);
}

/* --- the whole ---------------------------------------------------------------------------------*/

/* Own address, family by family. Another one means another interface (spec agent 2.6). */
static bool engine_map_moved(const struct engine *e, const struct netmap *m)
{
	if (m->self.address.addr.family == 0)
		return false; /* the removal message has no peer configuration */
	if (!ip_prefix_equal(&m->self.address, &e->address))
		return true;
	if (e->conf.conf->disable_ipv6)
		return false;
	if (m->self.address_v6.addr.family != e->address_v6.addr.family)
		return true;
	return e->address_v6.addr.family != 0 &&
	       !ip_prefix_equal(&m->self.address_v6, &e->address_v6);
}

void engine_map_apply(struct engine *e, const struct netmap *m)
{
	if (engine_map_moved(e, m)) {
		engine_say(e, ENGINE_EV_RESTART, "the server gave this peer another address");
		return;
	}
	if (m->serial < e->serial) {
		log_info("engine", "an older network map was ignored",
			 LOG_UINT("serial", m->serial), LOG_UINT("have", e->serial));
		return;
	}
	if (m->self.address.addr.family != 0) {
		e->lazy = m->self.lazy_connections;
		if (m->self.fqdn != NULL && strcmp(m->self.fqdn, e->fqdn) != 0) {
			free(e->fqdn);
			e->fqdn = ln_strdup(m->self.fqdn);
		}
	}
	if (e->conf.lazy >= 0)
		e->lazy = e->conf.lazy == 1;
	engine_map_rules(e, m);
	engine_map_offline(e, m);
	engine_map_peers(e, m);
	if (m->skipped_peers + m->skipped_rules > 0)
		log_warn("engine", "parts of the network map make no sense and were left out",
			 LOG_UINT("peers", m->skipped_peers), LOG_UINT("rules", m->skipped_rules));
	e->serial = m->serial;
	e->have_map = true;
	log_info("engine", "network map applied", LOG_UINT("serial", m->serial),
		 LOG_UINT("peers", e->peers.count), LOG_UINT("offline", e->noffline),
		 LOG_UINT("rules", e->nrules));
	engine_check_ready(e);
	engine_say(e, ENGINE_EV_STATUS, "");
}

void engine_map_fini(struct engine *e)
{
	map_for_each(node, &e->peers)
		map_entry(node, struct engine_peer, node)->marked = false;
	engine_map_remove_unmarked(e);
	engine_map_free_offline(e);
	free(e->rules);
	e->rules = NULL;
	e->nrules = 0;
}
