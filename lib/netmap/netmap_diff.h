#pragma once
/*
 * From one map to the next, for the agent: which peers went, which are to be made anew (their
 * allowed addresses or the version of their agent changed; management-protocol 4.9) and which
 * came. A peer whose name alone changed is in none of the lists.
 */
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/netmap/netmap.h"

struct netmap_diff {
	const size_t *removed; /* positions in the old map's peers, ascending */
	size_t nremoved;
	const size_t *changed; /* positions in the new map's peers, ascending */
	size_t nchanged;
	const size_t *added; /* positions in the new map's peers, ascending */
	size_t nadded;
};

/*
 * Both maps have gone through netmap_check(). `old` may be null: everything is new. The lists
 * belong to the arena. LN_E_LIMIT: arena.
 */
LN_MUST_CHECK int netmap_diff(const struct netmap *old, const struct netmap *new, struct arena *a,
			      struct netmap_diff *ret);

/* What netmap_check() took out. */
struct netmap_check {
	size_t own;      /* peers with our own key */
	size_t doubled;  /* peers whose key an earlier peer has */
	size_t prefixes; /* allowed prefixes: ours, an earlier peer's, or no addresses of a peer */
	size_t bare;     /* peers without any allowed prefix left */
};

/*
 * Takes out of a decoded map what no server may make us believe (reliability-security A-7): our
 * own key as a peer, our own address as a peer's, one address for two peers (the first keeps it),
 * whole networks that hold our own address, loopback, link-local, multicast and unspecified
 * addresses. Rewrites the lists of `map` into the arena. LN_E_LIMIT: arena.
 */
LN_MUST_CHECK int netmap_check(struct netmap *map, const struct wg_key *own, struct arena *a,
			       struct netmap_check *ret);
