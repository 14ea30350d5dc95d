#include "lib/turn/turn_msg.h"

#include "lib/crypto/ct.h"
#include "lib/crypto/digest.h"

void turn_msg_key(struct slice user, struct slice realm, struct slice password,
		  uint8_t ret[TURN_KEY_LEN])
{
	uint8_t text[2048];
	struct writer w = writer_of(mslice_of(text, sizeof(text)));
	writer_bytes(&w, user);
	writer_u8(&w, ':');
	writer_bytes(&w, realm);
	writer_u8(&w, ':');
	writer_bytes(&w, password);
	digest_md5(writer_slice(&w), ret);
	ct_wipe(text, sizeof(text));
}

static size_t padded(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

int turn_msg_stream_len(struct slice in)
{
	if (in.n < TURN_CHANNEL_HEADER)
		return 0;
	size_t n = (size_t)in.p[2] << 8 | in.p[3];
	if ((in.p[0] & 0xc0) == 0x40)
		n = padded(n + TURN_CHANNEL_HEADER);
	else if ((in.p[0] & 0xc0) == 0 && n % 4 == 0)
		n += STUN_HEADER_LEN;
	else
		return LN_E_MALFORMED;
	return n <= STUN_MSG_MAX ? (int)n : LN_E_LIMIT;
}

int turn_msg_read_channel(struct slice msg, uint16_t *ret_channel, struct slice *ret_data)
{
	if (msg.n < TURN_CHANNEL_HEADER || (msg.p[0] & 0xc0) != 0x40)
		return LN_E_NOTFOUND;
	size_t n = (size_t)msg.p[2] << 8 | msg.p[3];
	if (n > msg.n - TURN_CHANNEL_HEADER)
		return LN_E_TRUNCATED;
	*ret_channel = (uint16_t)(msg.p[0] << 8 | msg.p[1]);
	*ret_data = slice_of(msg.p + TURN_CHANNEL_HEADER, n);
	return 0;
}

struct slice turn_msg_write_channel(struct mslice buf, uint16_t channel, struct slice data,
				    bool pad)
{
	struct writer w = writer_of(buf);
	writer_u16(&w, channel);
	writer_u16(&w, (uint16_t)data.n);
	writer_bytes(&w, data);
	if (pad)
		writer_zero(&w, padded(data.n) - data.n);
	return writer_slice(&w);
}

struct slice turn_msg_write_send(struct mslice buf, const struct stun_tid *tid,
				 const struct ip_ep *to, struct slice data)
{
	struct writer w = writer_of(buf);
	stun_msg_begin_method(&w, STUN_INDICATION, TURN_SEND, tid);
	stun_msg_add_addr(&w, STUN_ATTR_XOR_PEER_ADDRESS, to, tid);
	stun_msg_add(&w, STUN_ATTR_DATA, data);
	return writer_slice(&w);
}

int turn_msg_read_data(const struct stun_msg *m, struct ip_ep *ret_from, struct slice *ret_data)
{
	if (m->cls != STUN_INDICATION || m->method != TURN_DATA ||
	    !stun_msg_has(m, STUN_ATTR_DATA) || !stun_msg_has(m, STUN_ATTR_XOR_PEER_ADDRESS))
		return LN_E_MALFORMED;
	*ret_data = m->attr[STUN_ATTR_DATA];
	return stun_attr_read_addr(m->attr[STUN_ATTR_XOR_PEER_ADDRESS], &m->tid, ret_from);
}
