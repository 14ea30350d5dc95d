/*
 * Who talks to us: opening and sealing, the cached shared key of known peers, and the nonces that
 * must not come twice (spec management-protocol 2.1, 2.4).
 */
#include <stdlib.h>
#include <string.h>

#include "lib/crypto/ct.h"

#include "src/management/management_internal.h"

static struct slice key_slice(const struct wg_key *k)
{
	return slice_of(k->b, sizeof(k->b));
}

struct management_peer *management_peer_find(struct management *m, const struct wg_key *key)
{
	struct map_node *n = map_find(&m->peers, key_slice(key));
	return n != NULL ? map_entry(n, struct management_peer, node) : NULL;
}

struct management_peer *management_peer_confirm(struct management *m, const struct wg_key *key,
						const struct box_key *box, uint64_t serial)
{
	struct management_peer *p = management_peer_find(m, key);
	if (p == NULL) {
		p = ln_alloc(sizeof(*p));
		p->key = *key;
		p->box = *box;
		map_insert(&m->peers, &p->node, key_slice(&p->key));
	}
	p->since = LN_MAX(p->since, serial);
	return p;
}

void management_peer_free(struct management *m, struct management_peer *p)
{
	map_remove(&m->peers, &p->node);
	box_key_wipe(&p->box);
	free(p->nonces);
	free(p);
}

void management_peers_purge(struct management *m)
{
	struct map_node *next;
	for (struct map_node *n = map_first(&m->peers); n != NULL; n = next) {
		struct management_peer *p = map_entry(n, struct management_peer, node);
		next = map_next(&m->peers, n);
		if (p->since > m->snapshot->serial ||
		    netmap_account_find_key(m->snapshot->account, &p->key) >= 0)
			continue;
		if (p->job != NULL)
			grpc_call_finish(p->job, GRPC_OK, NULL);
		p->job = NULL;
		if (p->stream == NULL) /* else it is told first and frees the way */
			management_peer_free(m, p);
	}
}

static void nonce_add(struct management_peer *p, uint64_t hash, ln_time now)
{
	if (p->nnonces == p->cap && p->cap < MANAGEMENT_NONCES_MAX) {
		/* first is 0 until the ring is at its largest: nothing has to be turned. */
		size_t cap = p->cap != 0 ? p->cap * 2 : 4;
		p->nonces = ln_realloc(p->nonces, cap * sizeof(*p->nonces));
		p->cap = cap;
	}
	if (p->nnonces == p->cap) {
		p->nonces[p->first] = (struct management_nonce){ hash, now };
		p->first = (p->first + 1) % p->cap;
		return;
	}
	p->nonces[(p->first + p->nnonces++) % p->cap] = (struct management_nonce){ hash, now };
}

bool management_nonce_fresh(struct management_peer *p, const uint64_t seed[2],
			    const uint8_t nonce[BOX_NONCE_LEN], ln_time now)
{
	uint64_t hash = map_hash(seed, slice_of(nonce, BOX_NONCE_LEN));
	for (size_t i = 0; i < p->nnonces; i++) {
		const struct management_nonce *n = &p->nonces[(p->first + i) % p->cap];
		if (n->hash == hash && now - n->at < MANAGEMENT_NONCE_AGE)
			return false;
	}
	nonce_add(p, hash, now);
	return true;
}

int management_open(struct management *m, struct slice msg, struct arena *a,
		    struct management_request *ret)
{
	struct mgmt_envelope env;
	struct management_request req;
	int r = mgmt_envelope_read(msg, &env);
	if (r < 0)
		return r;
	if (env.body.n < BOX_OVERHEAD)
		return LN_E_MALFORMED;
	req.key = env.key;
	const struct management_peer *known = management_peer_find(m, &env.key);
	if (known != NULL)
		req.box = known->box;
	else if ((r = box_key_init(&req.box, &m->secret, &env.key)) < 0)
		return r;
	size_t n = env.body.n - BOX_OVERHEAD;
	uint8_t *plain = arena_alloc(a, LN_MAX(n, 1u));
	if (plain == NULL)
		return LN_E_LIMIT;
	r = box_open(&req.box, env.body, mslice_of(plain, n));
	if (r < 0)
		return r;
	memcpy(req.nonce, env.body.p, BOX_NONCE_LEN);
	req.plain = slice_of(plain, n);
	*ret = req;
	return 0;
}

int management_send_plan(struct management *m, struct grpc_call *c, const struct box_key *box,
			 const struct mgmt_plan *plan)
{
	uint8_t head[MGMT_ENVELOPE_HEAD_MAX];
	size_t nbody = plan->size + BOX_OVERHEAD;
	size_t nhead = mgmt_envelope_head(head, &m->key, nbody);
	struct grpc_msg *msg = grpc_msg_new(nhead + nbody);
	struct mslice to = grpc_msg_bytes(msg);
	memcpy(to.p, head, nhead);
	mgmt_plan_write(plan, to.p + nhead + BOX_OVERHEAD);
	int r = box_seal_in_place(box, ev_rng(), mslice_of(to.p + nhead, nbody));
	if (r < 0) {
		grpc_msg_free(msg);
		return r;
	}
	return grpc_call_send_msg(c, msg);
}

int management_send(struct management *m, struct grpc_call *c, const struct box_key *box,
		    const struct str *plain)
{
	if (plain->err < 0)
		return plain->err;
	size_t n = plain->n + BOX_OVERHEAD;
	uint8_t *body = ln_alloc(n);
	int r = box_seal(box, ev_rng(), str_slice(plain), mslice_of(body, n));
	if (r >= 0) {
		LN_AUTO(str_fini) struct str msg;
		str_init(&msg, n + 128);
		mgmt_envelope_write(&msg, &m->key, slice_of(body, n));
		r = msg.err < 0 ? msg.err : grpc_call_send(c, str_slice(&msg));
	}
	free(body);
	return r;
}
