#include "lib/wg/wg_noise.h"

#include "lib/crypto/ct.h"

static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

struct noise_key {
	uint8_t b[AEAD_KEY_LEN];
};

static void noise_key_wipe(struct noise_key *k)
{
	ct_wipe(k, sizeof(*k));
}

static void wg_noise_state_wipe(struct wg_noise_state *s)
{
	ct_wipe(s, sizeof(*s));
}

void wg_noise_local_init(struct wg_noise_local *l, const struct wg_secret *secret)
{
	l->secret = *secret;
	wg_secret_public(secret, &l->key);
}

int wg_noise_peer_init(struct wg_noise_peer *p, const struct wg_noise_local *l,
		       const struct wg_key *remote)
{
	*p = (struct wg_noise_peer){ .remote = *remote };
	return x25519_shared(&l->secret, remote, &p->shared);
}

void wg_noise_peer_wipe(struct wg_noise_peer *p)
{
	ct_wipe(p, sizeof(*p));
}

void wg_noise_forget(struct wg_noise_peer *p)
{
	p->initiated = false;
	wg_noise_state_wipe(&p->ours);
	wg_secret_wipe(&p->ephemeral);
	p->accepted = false;
	wg_noise_state_wipe(&p->theirs);
}

void wg_noise_keys_wipe(struct wg_noise_keys *k)
{
	ct_wipe(k, sizeof(*k));
}

void wg_noise_opening_wipe(struct wg_noise_opening *o)
{
	ct_wipe(o, sizeof(*o));
}

/* --- the operations of Noise ------------------------------------------------------------------ */

static void mix_hash(struct wg_noise_state *s, const void *data, size_t n)
{
	blake2s_hash(slice_of(s->hash, sizeof(s->hash)), slice_of(data, n), s->hash);
}

/* Chaining only: what the paper writes as KDF1. */
static void mix_key(struct wg_noise_state *s, const void *data, size_t n)
{
	blake2s_kdf(s->chain, slice_of(data, n), s->chain, NULL, NULL);
}

static void mix_secret(struct wg_noise_state *s, const struct wg_secret *dh, struct noise_key *ret)
{
	blake2s_kdf(s->chain, slice_of(dh->b, sizeof(dh->b)), s->chain, ret->b, NULL);
}

static int mix_dh(struct wg_noise_state *s, const struct wg_secret *mine,
		  const struct wg_key *theirs, struct noise_key *ret)
{
	LN_SECRET(wg_secret) dh;
	int r = x25519_shared(mine, theirs, &dh);
	if (r < 0)
		return r;
	if (ret != NULL)
		mix_secret(s, &dh, ret);
	else
		mix_key(s, dh.b, sizeof(dh.b));
	return 0;
}

static void mix_psk(struct wg_noise_state *s, const struct wg_secret *psk, struct noise_key *ret)
{
	struct noise_key tau;
	blake2s_kdf(s->chain, slice_of(psk->b, sizeof(psk->b)), s->chain, tau.b, ret->b);
	mix_hash(s, tau.b, sizeof(tau.b));
	noise_key_wipe(&tau);
}

static void mix_ephemeral(struct wg_noise_state *s, const uint8_t ephemeral[WG_KEY_LEN])
{
	mix_hash(s, ephemeral, WG_KEY_LEN);
	mix_key(s, ephemeral, WG_KEY_LEN);
}

static void encrypt_and_hash(struct wg_noise_state *s, const struct noise_key *k,
			     struct slice plain, uint8_t *dst)
{
	aead_seal(k->b, 0, slice_of(s->hash, sizeof(s->hash)), plain, dst);
	mix_hash(s, dst, plain.n + AEAD_TAG_LEN);
}

static int decrypt_and_hash(struct wg_noise_state *s, const struct noise_key *k,
			    struct slice sealed, uint8_t *dst)
{
	int r = aead_open(k->b, 0, slice_of(s->hash, sizeof(s->hash)), sealed, dst);
	if (r < 0)
		return LN_E_AUTH;
	mix_hash(s, sealed.p, sealed.n);
	return 0;
}

/* Both sides start from the names of the protocol and the responder's static key. */
static void start(struct wg_noise_state *s, const struct wg_key *responder)
{
	blake2s_hash(slice_str(construction), slice_of(NULL, 0), s->chain);
	blake2s_hash(slice_of(s->chain, sizeof(s->chain)), slice_str(identifier), s->hash);
	mix_hash(s, responder->b, sizeof(responder->b));
}

/* The transport keys: first for the initiator's messages, second for the responder's. */
static void split(const struct wg_noise_state *s, uint8_t *initiator, uint8_t *responder)
{
	blake2s_kdf(s->chain, slice_of(NULL, 0), initiator, responder, NULL);
}

/* --- initiation ------------------------------------------------------------------------------- */

void wg_noise_write_initiation(struct wg_noise_peer *p, const struct wg_noise_local *l,
			       const struct ln_rng *rng, uint32_t index,
			       const uint8_t stamp[WG_STAMP_LEN], struct wg_msg_initiation *ret)
{
	LN_AUTO(noise_key_wipe) struct noise_key k;
	LN_AUTO(wg_noise_state_wipe) struct wg_noise_state s;
	LN_SECRET(wg_secret) e;
	struct wg_key e_public;

	*ret = (struct wg_msg_initiation){ 0 };
	wg_msg_put_le32(ret->type, WG_MSG_INITIATION);
	wg_msg_put_le32(ret->sender, index);
	start(&s, &p->remote);

	/* e */
	wg_secret_generate(&e, rng);
	wg_secret_public(&e, &e_public);
	memcpy(ret->ephemeral, e_public.b, sizeof(e_public.b));
	mix_ephemeral(&s, ret->ephemeral);

	/* es: cannot fail, wg_noise_peer_init refused keys of low order */
	ln_assert(mix_dh(&s, &e, &p->remote, &k) == 0);

	/* s */
	encrypt_and_hash(&s, &k, slice_of(l->key.b, sizeof(l->key.b)), ret->remote_static);

	/* ss */
	mix_secret(&s, &p->shared, &k);

	/* {t} */
	encrypt_and_hash(&s, &k, slice_of(stamp, WG_STAMP_LEN), ret->stamp);

	p->ours = s;
	p->ephemeral = e;
	p->local_index = index;
	p->initiated = true;
}

int wg_noise_open_initiation(const struct wg_noise_local *l, const struct wg_msg_initiation *m,
			     struct wg_noise_opening *ret)
{
	LN_AUTO(noise_key_wipe) struct noise_key k;
	LN_AUTO(wg_noise_state_wipe) struct wg_noise_state s;
	struct wg_key e;
	struct wg_key remote;
	start(&s, &l->key);

	/* e */
	memcpy(e.b, m->ephemeral, sizeof(e.b));
	mix_ephemeral(&s, e.b);

	/* es */
	if (mix_dh(&s, &l->secret, &e, &k) < 0)
		return LN_E_AUTH;

	/* s */
	if (decrypt_and_hash(&s, &k, slice_of(m->remote_static, sizeof(m->remote_static)),
			     remote.b) < 0)
		return LN_E_AUTH;

	ret->remote = remote;
	ret->ephemeral = e;
	ret->state = s;
	ret->remote_index = wg_msg_le32(m->sender);
	memcpy(ret->stamp, m->stamp, sizeof(ret->stamp));
	return 0;
}

static bool is_replay(const struct wg_noise_peer *p, const uint8_t stamp[WG_STAMP_LEN],
		      const struct wg_key *ephemeral)
{
	int order = memcmp(stamp, p->stamp, WG_STAMP_LEN);
	if (order != 0)
		return order < 0;
	for (unsigned i = 0; i < p->nstamped; i++)
		if (wg_key_equal(&p->stamped[i], ephemeral))
			return true;
	return p->nstamped == WG_NOISE_SAME_STAMP;
}

int wg_noise_accept_initiation(struct wg_noise_peer *p, const struct wg_noise_opening *o)
{
	LN_AUTO(noise_key_wipe) struct noise_key k;
	LN_AUTO(wg_noise_state_wipe) struct wg_noise_state s = o->state;
	uint8_t stamp[WG_STAMP_LEN];

	/* ss */
	mix_secret(&s, &p->shared, &k);

	/* {t} */
	if (decrypt_and_hash(&s, &k, slice_of(o->stamp, sizeof(o->stamp)), stamp) < 0)
		return LN_E_AUTH;
	if (is_replay(p, stamp, &o->ephemeral))
		return LN_E_REPLAY;

	if (memcmp(stamp, p->stamp, sizeof(stamp)) != 0)
		p->nstamped = 0;
	memcpy(p->stamp, stamp, sizeof(stamp));
	p->stamped[p->nstamped++] = o->ephemeral;
	p->theirs = s;
	p->remote_ephemeral = o->ephemeral;
	p->remote_index = o->remote_index;
	p->accepted = true;
	return 0;
}

/* --- response --------------------------------------------------------------------------------- */

int wg_noise_write_response(struct wg_noise_peer *p, const struct ln_rng *rng, uint32_t index,
			    struct wg_msg_response *ret, struct wg_noise_keys *ret_keys)
{
	LN_AUTO(noise_key_wipe) struct noise_key k;
	LN_AUTO(wg_noise_state_wipe) struct wg_noise_state s = p->theirs;
	LN_SECRET(wg_secret) e;
	struct wg_key e_public;
	if (!p->accepted)
		return LN_E_STATE;

	*ret = (struct wg_msg_response){ 0 };
	wg_msg_put_le32(ret->type, WG_MSG_RESPONSE);
	wg_msg_put_le32(ret->sender, index);
	wg_msg_put_le32(ret->receiver, p->remote_index);

	/* e */
	wg_secret_generate(&e, rng);
	wg_secret_public(&e, &e_public);
	memcpy(ret->ephemeral, e_public.b, sizeof(e_public.b));
	mix_ephemeral(&s, ret->ephemeral);

	/* ee, se */
	if (mix_dh(&s, &e, &p->remote_ephemeral, NULL) < 0 || mix_dh(&s, &e, &p->remote, NULL) < 0)
		return LN_E_AUTH;

	/* psk */
	mix_psk(&s, &p->psk, &k);

	/* {} */
	encrypt_and_hash(&s, &k, slice_of(NULL, 0), ret->nothing);

	split(&s, ret_keys->recv, ret_keys->send);
	ret_keys->local_index = index;
	ret_keys->remote_index = p->remote_index;
	p->accepted = false;
	wg_noise_state_wipe(&p->theirs);
	return 0;
}

int wg_noise_read_response(struct wg_noise_peer *p, const struct wg_noise_local *l,
			   const struct wg_msg_response *m, struct wg_noise_keys *ret_keys)
{
	LN_AUTO(noise_key_wipe) struct noise_key k;
	LN_AUTO(wg_noise_state_wipe) struct wg_noise_state s = p->ours;
	struct wg_key e;
	if (!p->initiated || wg_msg_le32(m->receiver) != p->local_index)
		return LN_E_STATE;

	/* e */
	memcpy(e.b, m->ephemeral, sizeof(e.b));
	mix_ephemeral(&s, e.b);

	/* ee, se */
	if (mix_dh(&s, &p->ephemeral, &e, NULL) < 0 || mix_dh(&s, &l->secret, &e, NULL) < 0)
		return LN_E_AUTH;

	/* psk */
	mix_psk(&s, &p->psk, &k);

	/* {} */
	if (decrypt_and_hash(&s, &k, slice_of(m->nothing, sizeof(m->nothing)), NULL) < 0)
		return LN_E_AUTH;

	split(&s, ret_keys->send, ret_keys->recv);
	ret_keys->local_index = p->local_index;
	ret_keys->remote_index = wg_msg_le32(m->sender);
	p->initiated = false;
	wg_noise_state_wipe(&p->ours);
	wg_secret_wipe(&p->ephemeral);
	return 0;
}
