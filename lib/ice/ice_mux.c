#include "lib/ice/ice_mux.h"

#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/ice/ice_agent_internal.h"

struct mux_entry {
	struct map_node by_ufrag;
	struct map_node by_prefix;
	struct ice_agent *agent;
	void *owner;
};

struct ice_mux {
	struct map ufrags;
	struct map prefixes;
};

struct ice_mux *ice_mux_new(const struct ln_rng *rng)
{
	struct ice_mux *m = ln_alloc(sizeof(*m));
	map_init(&m->ufrags, rng_u64(rng), rng_u64(rng));
	map_init(&m->prefixes, rng_u64(rng), rng_u64(rng));
	return m;
}

static void drop(struct ice_mux *m, struct mux_entry *e)
{
	map_remove(&m->ufrags, &e->by_ufrag);
	map_remove(&m->prefixes, &e->by_prefix);
	free(e);
}

void ice_mux_free(struct ice_mux *m)
{
	struct map_node *n;
	if (m == NULL)
		return;
	while ((n = map_first(&m->ufrags)) != NULL)
		drop(m, map_entry(n, struct mux_entry, by_ufrag));
	map_fini(&m->ufrags);
	map_fini(&m->prefixes);
	free(m);
}

int ice_mux_add(struct ice_mux *m, struct ice_agent *a, void *owner)
{
	if (map_find(&m->ufrags, ice_agent_ufrag(a)) != NULL)
		return LN_E_CONFLICT;
	while (map_find(&m->prefixes, ice_agent_tid_prefix(a)) != NULL)
		ice_agent_renew_tid_prefix(a);
	struct mux_entry *e = ln_alloc(sizeof(*e));
	e->agent = a;
	e->owner = owner;
	map_insert(&m->ufrags, &e->by_ufrag, ice_agent_ufrag(a));
	map_insert(&m->prefixes, &e->by_prefix, ice_agent_tid_prefix(a));
	return 0;
}

void ice_mux_remove(struct ice_mux *m, const struct ice_agent *a)
{
	struct map_node *n = map_find(&m->ufrags, ice_agent_ufrag(a));
	if (n == NULL)
		return;
	struct mux_entry *e = map_entry(n, struct mux_entry, by_ufrag);
	if (e->agent == a)
		drop(m, e);
}

void *ice_mux_find(const struct ice_mux *m, struct slice pkt)
{
	struct stun_msg msg;
	struct slice receiver;
	struct slice sender;
	struct map_node *n;

	if (stun_msg_read(pkt, &msg) != 0 || msg.method != STUN_METHOD_BINDING)
		return NULL;
	if (msg.cls == STUN_REQUEST) {
		if (ice_check_split_username(msg.attr[STUN_ATTR_USERNAME], &receiver, &sender) != 0)
			return NULL;
		n = map_find(&m->ufrags, receiver);
		return n != NULL ? map_entry(n, struct mux_entry, by_ufrag)->owner : NULL;
	}
	if (msg.cls == STUN_INDICATION)
		return NULL;
	n = map_find(&m->prefixes, slice_of(msg.tid.b, ICE_TID_PREFIX));
	return n != NULL ? map_entry(n, struct mux_entry, by_prefix)->owner : NULL;
}

size_t ice_mux_count(const struct ice_mux *m)
{
	return m->ufrags.count;
}
