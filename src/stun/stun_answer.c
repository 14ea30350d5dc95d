#include "src/stun/stun_answer.h"

#include "lib/stun/stun_auth.h"
#include "lib/stun/stun_msg.h"

#define AMPLIFICATION_MAX 3
#define UNKNOWN_ATTRIBUTE 420

static void write_unknown(struct writer *w, const struct stun_msg *m)
{
	uint8_t types[2 * STUN_UNKNOWN_MAX];
	for (unsigned i = 0; i < m->nunknown; i++) {
		types[2 * i] = (uint8_t)(m->unknown[i] >> 8);
		types[2 * i + 1] = (uint8_t)m->unknown[i];
	}
	stun_msg_begin(w, STUN_ERROR, &m->tid);
	stun_msg_add_error(w, UNKNOWN_ATTRIBUTE, "");
	stun_msg_add(w, STUN_ATTR_UNKNOWN_ATTRIBUTES, slice_of(types, 2 * m->nunknown));
}

enum stun_answer stun_answer_write(struct slice request, const struct ip_ep *from,
				   struct mslice buf, struct slice *ret)
{
	struct stun_msg m;
	struct writer w = writer_of(buf);
	enum stun_answer kind = STUN_ANSWER_SUCCESS;

	*ret = slice_of(buf.p, 0);
	if (!stun_is_message(request) || stun_msg_read(request, &m) != 0 || m.cls != STUN_REQUEST ||
	    m.method != STUN_METHOD_BINDING || !stun_auth_fingerprint_ok(&m))
		return STUN_ANSWER_NONE;
	if (m.nunknown != 0) {
		kind = STUN_ANSWER_UNKNOWN_ATTR;
		write_unknown(&w, &m);
	} else {
		stun_msg_begin(&w, STUN_SUCCESS, &m.tid);
		stun_msg_add_addr(&w, STUN_ATTR_XOR_MAPPED_ADDRESS, from, &m.tid);
	}
	stun_auth_fingerprint(&w);
	struct slice answer = writer_slice(&w);
	if (answer.n == 0 || answer.n > AMPLIFICATION_MAX * request.n)
		return STUN_ANSWER_NONE;
	*ret = answer;
	return kind;
}
