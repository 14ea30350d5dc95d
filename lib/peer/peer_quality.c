/* The ways to the other side and how good they are. */
#include "lib/peer/peer_internal.h"

size_t peer_conn_ways(const struct peer_conn *p, struct peer_way dst[PEER_WAYS_MAX])
{
	struct ice_way pairs[PEER_WAYS_MAX - 1];
	size_t n = 0, npairs = 0;
	enum peer_path path = peer_relay_path(p);
	if (p->ice != NULL)
		npairs = ice_agent_ways(p->ice, pairs, LN_COUNT(pairs));
	for (size_t i = 0; i < npairs; i++)
		dst[n++] = (struct peer_way){
			.path = PEER_PATH_DIRECT,
			.pair = pairs[i].pair,
			.quality = pairs[i].quality,
			.used = path == PEER_PATH_DIRECT && pairs[i].selected,
		};
	return n;
}
