#include "lib/wg/wg_keypair.h"

#include <stdlib.h>

struct wg_keypair *wg_keypair_new(const struct aead_ops *aead, const struct wg_noise_keys *keys,
				  bool initiator, ln_time now)
{
	struct wg_keypair *k = ln_alloc(sizeof(*k));
	wg_msg_put_le32(k->index.id, keys->local_index);
	k->index.keypair = k;
	k->remote_index = keys->remote_index;
	k->initiator = initiator;
	k->created = now;
	k->aead = aead;
	k->send = aead->ctx_new(aead, keys->send, AEAD_SEAL);
	k->recv = aead->ctx_new(aead, keys->recv, AEAD_OPEN);
	return k;
}

void wg_keypair_free(struct wg_keypair *k)
{
	if (k == NULL)
		return;
	ln_assert(!k->index.listed);
	k->aead->ctx_free(k->send);
	k->aead->ctx_free(k->recv);
	free(k);
}

bool wg_keypair_can_send(const struct wg_keypair *k, ln_time now, ln_time reject_after)
{
	return k != NULL && now - k->created < reject_after && k->send_counter < WG_COUNTER_MAX;
}

void wg_keypairs_add(struct wg_keypairs *s, struct wg_keypair *k, struct wg_keypair *out[2])
{
	out[0] = s->previous;
	out[1] = NULL;
	if (!k->initiator) {
		/* Not ours to send with before the peer has shown that it has the keys. */
		out[1] = s->next;
		s->previous = NULL;
		s->next = k;
		return;
	}
	if (s->next != NULL) {
		/* The peer may be about to use the session we answered: keep it for receiving. */
		out[1] = s->current;
		s->previous = s->next;
		s->next = NULL;
	} else {
		s->previous = s->current;
	}
	s->current = k;
}

struct wg_keypair *wg_keypairs_confirm(struct wg_keypairs *s)
{
	struct wg_keypair *out = s->previous;
	s->previous = s->current;
	s->current = s->next;
	s->next = NULL;
	return out;
}
