#include "lib/portmap/portmap_msg.h"

#include <string.h>

#include "lib/base/cursor.h"

#define PCP_VERSION 2
#define PMP_VERSION 0
#define RESPONSE 0x80
#define PROTOCOL_UDP 17

enum {
	PCP_OP_ANNOUNCE = 0,
	PCP_OP_MAP = 1,
	PMP_OP_ADDRESS = 0,
	PMP_OP_MAP_UDP = 1
};

/* --- addresses in sixteen bytes (RFC 6887 5)
 * ----------------------------------------------------*/

static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

static void write_address(struct writer *w, const struct ip_addr *a, bool v6)
{
	if (a->family == 6) {
		writer_bytes(w, slice_of(a->b, 16));
		return;
	}
	/* "Any" of a family: all zeros, with the prefix of mapped addresses for IPv4. */
	if (a->family == 0 && v6)
		writer_zero(w, sizeof(v4_mapped));
	else
		writer_bytes(w, slice_of(v4_mapped, sizeof(v4_mapped)));
	if (a->family == 4)
		writer_bytes(w, slice_of(a->b, 4));
	else
		writer_zero(w, 4);
}

static struct ip_addr read_address(struct cursor *c)
{
	struct ip_addr a = { 0 };
	struct slice s = cursor_bytes(c, 16);
	if (s.n != 16)
		return a;
	bool v4 = memcmp(s.p, v4_mapped, sizeof(v4_mapped)) == 0;
	struct slice own = v4 ? slice_of(s.p + sizeof(v4_mapped), 4) : s;
	return ip_from_bytes(own, &a) == 0 ? a : (struct ip_addr){ 0 };
}

/* --- writing
 * ------------------------------------------------------------------------------------*/

static void write_pcp(struct writer *w, const struct portmap_request *q)
{
	bool map = q->kind == PORTMAP_PCP_MAP;
	writer_u8(w, PCP_VERSION);
	writer_u8(w, map ? PCP_OP_MAP : PCP_OP_ANNOUNCE);
	writer_u16(w, 0);
	writer_u32(w, map ? q->lifetime : 0);
	write_address(w, &q->client, false);
	if (!map)
		return;
	writer_bytes(w, slice_of(q->nonce, sizeof(q->nonce)));
	writer_u8(w, PROTOCOL_UDP);
	writer_zero(w, 3);
	writer_u16(w, q->port);
	writer_u16(w, q->wanted.port);
	write_address(w, &q->wanted.addr, q->client.family == 6);
}

static void write_pmp(struct writer *w, const struct portmap_request *q)
{
	bool map = q->kind == PORTMAP_PMP_MAP;
	writer_u8(w, PMP_VERSION);
	writer_u8(w, map ? PMP_OP_MAP_UDP : PMP_OP_ADDRESS);
	if (!map)
		return;
	writer_u16(w, 0);
	writer_u16(w, q->port);
	/* A deletion must not name an outer port (RFC 6886 3.4). */
	writer_u16(w, q->lifetime != 0 ? q->wanted.port : 0);
	writer_u32(w, q->lifetime);
}

size_t portmap_msg_write(const struct portmap_request *q, uint8_t dst[PORTMAP_MSG_MAX])
{
	struct writer w = writer_of(mslice_of(dst, PORTMAP_MSG_MAX));
	if (q->kind == PORTMAP_PCP_MAP || q->kind == PORTMAP_PCP_ANNOUNCE)
		write_pcp(&w, q);
	else
		write_pmp(&w, q);
	return writer_len(&w);
}

/* --- reading
 * ------------------------------------------------------------------------------------*/

static int read_pcp(struct cursor *c, uint8_t op, struct portmap_answer *a)
{
	cursor_skip(c, 1);
	a->result = cursor_u8(c);
	a->lifetime = cursor_u32(c);
	a->epoch = cursor_u32(c);
	cursor_skip(c, 12);
	if (op == PCP_OP_ANNOUNCE) {
		a->kind = PORTMAP_PCP_ANNOUNCE;
		return c->err;
	}
	if (op != PCP_OP_MAP)
		return LN_E_UNSUPPORTED;
	a->kind = PORTMAP_PCP_MAP;
	cursor_copy(c, a->nonce, sizeof(a->nonce));
	uint8_t protocol = cursor_u8(c);
	cursor_skip(c, 3);
	a->port = cursor_u16(c);
	a->mapped.port = cursor_u16(c);
	a->mapped.addr = read_address(c);
	if (c->err == 0 && protocol != PROTOCOL_UDP)
		return LN_E_MALFORMED;
	return c->err; /* options may follow */
}

static int read_pmp(struct cursor *c, uint8_t op, struct portmap_answer *a)
{
	a->result = cursor_u16(c);
	/* A gateway that knows only NAT-PMP answers PCP so, with an opcode of its choice. */
	if (c->err == 0 && a->result == PORTMAP_UNSUPP_VERSION) {
		a->other_version = true;
		return 0;
	}
	a->epoch = cursor_u32(c);
	if (op == PMP_OP_ADDRESS) {
		a->kind = PORTMAP_PMP_ADDRESS;
		uint32_t address = a->result == PORTMAP_OK ? cursor_u32(c) : 0;
		a->mapped.addr = a->result == PORTMAP_OK ? ip_v4(address) : (struct ip_addr){ 0 };
		return c->err;
	}
	if (op != PMP_OP_MAP_UDP)
		return LN_E_UNSUPPORTED;
	a->kind = PORTMAP_PMP_MAP;
	a->port = cursor_u16(c);
	a->mapped.port = cursor_u16(c);
	a->lifetime = cursor_u32(c);
	return c->err;
}

int portmap_msg_read(struct slice pkt, struct portmap_answer *ret)
{
	struct cursor c = cursor_of(pkt);
	*ret = (struct portmap_answer){ 0 };
	uint8_t version = cursor_u8(&c);
	uint8_t op = cursor_u8(&c);
	if (c.err != 0)
		return c.err;
	if ((op & RESPONSE) == 0)
		return LN_E_MALFORMED;
	op &= RESPONSE - 1;
	if (version == PMP_VERSION)
		return read_pmp(&c, op, ret);
	if (version != PCP_VERSION)
		return LN_E_UNSUPPORTED;
	int r = read_pcp(&c, op, ret);
	if (ret->result == PORTMAP_UNSUPP_VERSION && pkt.n >= 4) {
		/* Some PCP version that is not ours: the header alone is what it says. */
		ret->other_version = true;
		return 0;
	}
	return r;
}
