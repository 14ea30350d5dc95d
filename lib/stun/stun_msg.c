#include "lib/stun/stun_msg.h"

/* A WireGuard message is at least a keepalive (32 bytes) and begins with its type, 1..4. */
static bool looks_like_wireguard(struct slice pkt)
{
	return pkt.n >= 32 && pkt.p[0] >= 1 && pkt.p[0] <= 4 && pkt.p[1] == 0 && pkt.p[2] == 0 &&
	       pkt.p[3] == 0;
}

bool stun_is_message(struct slice pkt)
{
	static const uint8_t magic[4] = { 0x21, 0x12, 0xa4, 0x42 };
	if (pkt.n < STUN_HEADER_LEN || (pkt.p[0] & 0xc0) != 0 || memcmp(pkt.p + 4, magic, 4) != 0)
		return false;
	size_t len = (size_t)pkt.p[2] << 8 | pkt.p[3];
	return len % 4 == 0 && len == pkt.n - STUN_HEADER_LEN && !looks_like_wireguard(pkt);
}

/* RFC 8489 5: the class bits sit at 0x0100 and 0x0010, between the bits of the method. */
static void split_type(uint16_t type, struct stun_msg *m)
{
	m->cls = (enum stun_class)((type >> 4 & 1) | (type >> 7 & 2));
	m->method = (uint16_t)((type & 0xf) | (type >> 1 & 0x70) | (type >> 2 & 0xf80));
}

static uint16_t join_type(enum stun_class cls, uint16_t method)
{
	unsigned c = (unsigned)cls;
	return (uint16_t)((method & 0xf) | (method & 0x70) << 1 | (method & 0xf80) << 2 |
			  (c & 1) << 4 | (c & 2) << 7);
}

static int note_attr(struct stun_msg *m, uint16_t type, size_t at, struct slice value)
{
	enum stun_attr a = stun_attr_find(type);
	if (a == STUN_ATTR_COUNT) {
		if (type < 0x8000 && m->integrity_at == 0 && m->nunknown < STUN_UNKNOWN_MAX)
			m->unknown[m->nunknown++] = type;
		return 0;
	}
	bool behind = m->integrity_at != 0 || m->fingerprint_at != 0;
	if (behind && a != STUN_ATTR_FINGERPRINT && a != STUN_ATTR_PAIR_ID)
		return 0;
	if (stun_msg_has(m, a))
		return 0;
	if (!stun_attr_len_ok(a, value.n))
		return LN_E_MALFORMED;
	m->attr[a] = value;
	if (a == STUN_ATTR_MESSAGE_INTEGRITY)
		m->integrity_at = at;
	if (a == STUN_ATTR_FINGERPRINT)
		m->fingerprint_at = at;
	return 0;
}

int stun_msg_read(struct slice pkt, struct stun_msg *ret)
{
	struct stun_msg m = { .raw = pkt };
	struct cursor c = cursor_of(pkt);
	uint16_t type = cursor_u16(&c);
	uint16_t len = cursor_u16(&c);
	uint32_t magic = cursor_u32(&c);

	cursor_copy(&c, m.tid.b, STUN_TID_LEN);
	if (c.err != 0)
		return c.err;
	if (pkt.n > STUN_MSG_MAX)
		return LN_E_LIMIT;
	if ((type & 0xc000) != 0 || magic != STUN_MAGIC || len % 4 != 0 || len != cursor_left(&c))
		return LN_E_MALFORMED;
	split_type(type, &m);
	while (cursor_left(&c) != 0 && c.err == 0) {
		size_t at = (size_t)(c.p - pkt.p);
		uint16_t a = cursor_u16(&c);
		uint16_t n = cursor_u16(&c);
		struct slice value = cursor_bytes(&c, n);
		cursor_skip(&c, -(size_t)n & 3);
		if (c.err != 0)
			return c.err;
		int err = note_attr(&m, a, at, value);
		if (err != 0)
			return err;
	}
	*ret = m;
	return 0;
}

int stun_msg_mapped(const struct stun_msg *m, struct ip_ep *ret)
{
	if (stun_msg_has(m, STUN_ATTR_XOR_MAPPED_ADDRESS))
		return stun_attr_read_addr(m->attr[STUN_ATTR_XOR_MAPPED_ADDRESS], &m->tid, ret);
	if (stun_msg_has(m, STUN_ATTR_MAPPED_ADDRESS))
		return stun_attr_read_addr(m->attr[STUN_ATTR_MAPPED_ADDRESS], NULL, ret);
	return LN_E_NOTFOUND;
}

void stun_msg_begin(struct writer *w, enum stun_class cls, const struct stun_tid *tid)
{
	stun_msg_begin_method(w, cls, STUN_METHOD_BINDING, tid);
}

void stun_msg_begin_method(struct writer *w, enum stun_class cls, uint16_t method,
			   const struct stun_tid *tid)
{
	writer_u16(w, join_type(cls, method));
	writer_u16(w, 0);
	writer_u32(w, STUN_MAGIC);
	writer_bytes(w, slice_of(tid->b, STUN_TID_LEN));
}

void stun_msg_set_len(struct writer *w, size_t extra)
{
	if (w->err != 0)
		return;
	size_t len = writer_len(w) - STUN_HEADER_LEN + extra;
	w->start[2] = (uint8_t)(len >> 8);
	w->start[3] = (uint8_t)len;
}

void stun_msg_add(struct writer *w, enum stun_attr a, struct slice value)
{
	writer_u16(w, stun_attr_type(a));
	writer_u16(w, (uint16_t)value.n);
	writer_bytes(w, value);
	writer_zero(w, -value.n & 3);
	stun_msg_set_len(w, 0);
}

void stun_msg_add_u32(struct writer *w, enum stun_attr a, uint32_t v)
{
	uint32_t be = __builtin_bswap32(v);
	stun_msg_add(w, a, slice_of(&be, sizeof(be)));
}

void stun_msg_add_u64(struct writer *w, enum stun_attr a, uint64_t v)
{
	uint64_t be = __builtin_bswap64(v);
	stun_msg_add(w, a, slice_of(&be, sizeof(be)));
}

void stun_msg_add_addr(struct writer *w, enum stun_attr a, const struct ip_ep *ep,
		       const struct stun_tid *tid)
{
	uint8_t value[20];
	size_t n = stun_attr_addr_value(ep, tid, value);
	stun_msg_add(w, a, slice_of(value, n));
}

void stun_msg_add_error(struct writer *w, unsigned code, const char *reason)
{
	uint8_t value[64] = { 0, 0, (uint8_t)(code / 100), (uint8_t)(code % 100) };
	struct slice text = slice_str(reason);
	size_t n = LN_MIN(text.n, sizeof(value) - 4);
	memcpy(value + 4, text.p, n);
	stun_msg_add(w, STUN_ATTR_ERROR_CODE, slice_of(value, 4 + n));
}
