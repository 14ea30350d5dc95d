#include "lib/ice/ice_mux.h"

#include <stdlib.h>

#include "lib/ice/ice_agent_internal.h"

_Static_assert(ICE_MUX_PREFIX == ICE_TID_PREFIX, "the table keeps what an agent puts in front");

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

static void drop_ufrag(struct ice_mux *m, struct ice_mux_slot *s)
{
	if (s->ufrag[0] == '\0')
		return;
	map_remove(&m->ufrags, &s->by_ufrag);
	s->ufrag[0] = '\0';
}

static void drop_prefix(struct ice_mux *m, struct ice_mux_slot *s)
{
	if (!s->has_prefix)
		return;
	map_remove(&m->prefixes, &s->by_prefix);
	s->has_prefix = false;
}

void ice_mux_free(struct ice_mux *m)
{
	struct map_node *n;
	if (m == NULL)
		return;
	while ((n = map_first(&m->ufrags)) != NULL)
		drop_ufrag(m, map_entry(n, struct ice_mux_slot, by_ufrag));
	while ((n = map_first(&m->prefixes)) != NULL)
		drop_prefix(m, map_entry(n, struct ice_mux_slot, by_prefix));
	map_fini(&m->ufrags);
	map_fini(&m->prefixes);
	free(m);
}

static void set_ufrag(struct ice_mux *m, struct ice_mux_slot *s, const char *ufrag)
{
	size_t n = strlen(ufrag);
	if (strcmp(s->ufrag, ufrag) == 0)
		return;
	drop_ufrag(m, s);
	if (n == 0 || n > ICE_UFRAG_MAX || map_find(&m->ufrags, slice_of(ufrag, n)) != NULL)
		return;
	memcpy(s->ufrag, ufrag, n + 1);
	map_insert(&m->ufrags, &s->by_ufrag, slice_of(s->ufrag, n));
}

static void set_prefix(struct ice_mux *m, struct ice_mux_slot *s, struct ice_agent *a)
{
	if (a != NULL && s->has_prefix &&
	    slice_equal(ice_agent_tid_prefix(a), slice_of(s->prefix, sizeof(s->prefix))))
		return;
	drop_prefix(m, s);
	if (a == NULL)
		return;
	while (map_find(&m->prefixes, ice_agent_tid_prefix(a)) != NULL)
		ice_agent_renew_tid_prefix(a);
	memcpy(s->prefix, ice_agent_tid_prefix(a).p, sizeof(s->prefix));
	s->has_prefix = true;
	map_insert(&m->prefixes, &s->by_prefix, slice_of(s->prefix, sizeof(s->prefix)));
}

void ice_mux_set(struct ice_mux *m, struct ice_mux_slot *s, const char *ufrag, struct ice_agent *a)
{
	set_ufrag(m, s, ufrag);
	set_prefix(m, s, a);
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
		return n != NULL ? map_entry(n, struct ice_mux_slot, by_ufrag)->owner : NULL;
	}
	if (msg.cls == STUN_INDICATION)
		return NULL;
	n = map_find(&m->prefixes, slice_of(msg.tid.b, ICE_TID_PREFIX));
	return n != NULL ? map_entry(n, struct ice_mux_slot, by_prefix)->owner : NULL;
}

size_t ice_mux_count(const struct ice_mux *m)
{
	return m->ufrags.count;
}
