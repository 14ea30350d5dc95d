#include "lib/wg/wg_peer.h"

#include <stdlib.h>

#include "lib/crypto/ct.h"

int wg_peer_new(const struct wg_key *key, const struct wg_noise_local *local,
		const struct wg_timers_conf *timers, struct wg_peer **ret)
{
	struct wg_peer *p = ln_alloc(sizeof(*p));
	int r = wg_noise_peer_init(&p->noise, local, key);
	if (r < 0) {
		free(p);
		return r;
	}
	p->key = *key;
	wg_cookie_maker_init(&p->cookie, key);
	p->handshake.peer = p;
	wg_aips_owner_init(&p->allowed);
	wg_timers_init(&p->timers, timers);
	heap_node_init(&p->deadline);
	list_init(&p->staged);
	list_init(&p->todo_link);
	list_init(&p->changed_link);
	*ret = p;
	return 0;
}

void wg_peer_free(struct wg_peer *p)
{
	ln_assert(p->nstaged == 0 && p->allowed.count == 0 && !p->handshake.listed &&
		  p->keypairs.current == NULL && p->keypairs.previous == NULL &&
		  p->keypairs.next == NULL && p->deadline.index == HEAP_NONE &&
		  list_empty(&p->todo_link) && list_empty(&p->changed_link));
	ct_wipe(p, sizeof(*p));
	free(p);
}
