#include "lib/ice/ice_check.h"

#include <stdio.h>

#include "lib/stun/stun_auth.h"

#define ROLE_CONFLICT 487

static void add_pair_id(struct writer *w, const struct ice_check *c)
{
	char text[2 * ICE_CID_MAX + 2];
	if (c->own_cid[0] == '\0' || c->peer_cid[0] == '\0')
		return;
	snprintf(text, sizeof(text), "%s:%s", c->own_cid, c->peer_cid);
	stun_msg_add(w, STUN_ATTR_PAIR_ID, slice_str(text));
}

static struct slice seal(struct writer *w, const char *pwd)
{
	stun_auth_sign(w, slice_str(pwd));
	stun_auth_fingerprint(w);
	ln_assert(w->err == 0);
	return writer_slice(w);
}

struct slice ice_check_write_request(struct mslice buf, const struct stun_tid *tid,
				     const struct ice_check *c)
{
	char username[2 * ICE_UFRAG_MAX + 2];
	struct writer w = writer_of(buf);

	snprintf(username, sizeof(username), "%s:%s", c->remote->ufrag, c->local->ufrag);
	stun_msg_begin(&w, STUN_REQUEST, tid);
	stun_msg_add(&w, STUN_ATTR_USERNAME, slice_str(username));
	if (c->nominate)
		stun_msg_add(&w, STUN_ATTR_USE_CANDIDATE, slice_of(NULL, 0));
	stun_msg_add_u64(&w, c->controlling ? STUN_ATTR_ICE_CONTROLLING : STUN_ATTR_ICE_CONTROLLED,
			 c->tie_breaker);
	stun_msg_add_u32(&w, STUN_ATTR_PRIORITY, c->priority);
	if (c->nomination != 0)
		stun_msg_add_u32(&w, STUN_ATTR_NOMINATION, c->nomination);
	add_pair_id(&w, c);
	return seal(&w, c->remote->pwd);
}

struct slice ice_check_write_success(struct mslice buf, const struct stun_tid *tid,
				     const struct ip_ep *mapped, const struct ice_check *c)
{
	struct writer w = writer_of(buf);
	stun_msg_begin(&w, STUN_SUCCESS, tid);
	stun_msg_add_addr(&w, STUN_ATTR_XOR_MAPPED_ADDRESS, mapped, tid);
	add_pair_id(&w, c);
	return seal(&w, c->local->pwd);
}

struct slice ice_check_write_conflict(struct mslice buf, const struct stun_tid *tid,
				      const struct ice_check *c)
{
	struct writer w = writer_of(buf);
	stun_msg_begin(&w, STUN_ERROR, tid);
	stun_msg_add_error(&w, ROLE_CONFLICT, "Role Conflict");
	add_pair_id(&w, c);
	return seal(&w, c->local->pwd);
}

int ice_check_split_username(struct slice username, struct slice *ret_receiver,
			     struct slice *ret_sender)
{
	const uint8_t *colon = username.n != 0 ? memchr(username.p, ':', username.n) : NULL;
	if (colon == NULL)
		return LN_E_MALFORMED;
	*ret_receiver = slice_of(username.p, (size_t)(colon - username.p));
	*ret_sender = slice_after(username, ret_receiver->n + 1);
	return 0;
}

void ice_check_source_cid(const struct stun_msg *m, char dst[ICE_CID_MAX + 1])
{
	struct slice v = m->attr[STUN_ATTR_PAIR_ID];
	const uint8_t *colon = v.n != 0 ? memchr(v.p, ':', v.n) : NULL;
	size_t n = colon != NULL ? (size_t)(colon - v.p) : 0;

	dst[0] = '\0';
	if (n == 0 || n > ICE_CID_MAX)
		return;
	for (size_t i = 0; i < n; i++)
		if (v.p[i] <= ' ' || v.p[i] > '~')
			return;
	memcpy(dst, v.p, n);
	dst[n] = '\0';
}
