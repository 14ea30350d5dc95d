#include "lib/wg/wg_split.h"

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

static int init_segments(struct wg_split *s)
{
	const uint8_t *p = s->packet.p;
	unsigned type = s->vnet.gso_type & ~WG_VNET_GSO_ECN;
	unsigned family = p[0] >> 4;
	s->l4 = s->vnet.csum_start;
	if ((s->vnet.flags & WG_VNET_NEEDS_CSUM) == 0 || s->vnet.gso_size == 0)
		return LN_E_MALFORMED;
	if (s->l4 < (family == 4 ? 20u : 40u) || (type == WG_VNET_GSO_TCP4 && family != 4) ||
	    (type == WG_VNET_GSO_TCP6 && family != 6))
		return LN_E_MALFORMED;
	if (type == WG_VNET_GSO_UDP) {
		s->protocol = WG_OFFLOAD_UDP;
		s->header = s->l4 + 8;
	} else if (type == WG_VNET_GSO_TCP4 || type == WG_VNET_GSO_TCP6) {
		s->protocol = WG_OFFLOAD_TCP;
		if (s->packet.n < s->l4 + 20)
			return LN_E_TRUNCATED;
		size_t tcp = (size_t)(p[s->l4 + 12] >> 4) * 4;
		if (tcp < 20)
			return LN_E_MALFORMED;
		s->header = s->l4 + tcp;
	} else {
		return LN_E_MALFORMED;
	}
	return s->packet.n >= s->header ? 0 : LN_E_TRUNCATED;
}

int wg_split_init(struct wg_split *s, struct slice frame)
{
	*s = (struct wg_split){ 0 };
	if (frame.n < sizeof(s->vnet) + 20)
		return LN_E_TRUNCATED;
	memcpy(&s->vnet, frame.p, sizeof(s->vnet));
	s->packet = slice_after(frame, sizeof(s->vnet));
	unsigned family = s->packet.p[0] >> 4;
	if (family != 4 && family != 6)
		return LN_E_MALFORMED;
	if (family == 6 && s->packet.n < 40)
		return LN_E_TRUNCATED;
	if (s->vnet.gso_type != WG_VNET_GSO_NONE)
		return init_segments(s);
	if ((s->vnet.flags & WG_VNET_NEEDS_CSUM) != 0 &&
	    (size_t)s->vnet.csum_start + s->vnet.csum_offset + 2 > s->packet.n)
		return LN_E_TRUNCATED;
	return 0;
}

static int whole(struct wg_split *s, struct mslice dst)
{
	size_t n = s->packet.n;
	if (dst.n < n)
		return LN_E_LIMIT;
	memcpy(dst.p, s->packet.p, n);
	s->done = true;
	if ((s->vnet.flags & WG_VNET_NEEDS_CSUM) != 0) {
		/* The field holds the sum of the pseudo header and is part of what is summed. */
		size_t start = s->vnet.csum_start;
		uint8_t *field = dst.p + start + s->vnet.csum_offset;
		uint64_t sum = wg_offload_sum(0, dst.p + start, n - start);
		wg_offload_store(field, sum);
		if (s->vnet.csum_offset == 6 && field[0] == 0 && field[1] == 0)
			field[0] = field[1] = 0xff; /* UDP: zero would mean no checksum */
	}
	return (int)n;
}

static void finish_tcp(const struct wg_split *s, uint8_t *p, size_t n, bool last)
{
	uint8_t *tcp = p + s->l4;
	wg_offload_put32(tcp + 4, wg_offload_be32(tcp + 4) + (uint32_t)s->at);
	if (!last)
		tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (s->index != 0) /* RFC 3168 6.1.2: the reaction is announced once */
		tcp[13] &= (uint8_t)~TCP_CWR;
	tcp[16] = tcp[17] = 0;
	uint64_t sum = wg_offload_pseudo(p, WG_OFFLOAD_TCP, n - s->l4);
	wg_offload_store(tcp + 16, wg_offload_sum(sum, tcp, n - s->l4));
}

static void finish_udp(const struct wg_split *s, uint8_t *p, size_t n)
{
	uint8_t *udp = p + s->l4;
	wg_offload_put16(udp + 4, (uint16_t)(n - s->l4));
	udp[6] = udp[7] = 0;
	uint64_t sum = wg_offload_pseudo(p, WG_OFFLOAD_UDP, n - s->l4);
	wg_offload_store(udp + 6, wg_offload_sum(sum, udp, n - s->l4));
	if (udp[6] == 0 && udp[7] == 0)
		udp[6] = udp[7] = 0xff;
}

static void finish_ip(const struct wg_split *s, uint8_t *p, size_t n)
{
	if (p[0] >> 4 == 6) {
		wg_offload_put16(p + 4, (uint16_t)(n - 40));
		return;
	}
	size_t ip = (size_t)(p[0] & 15) * 4;
	wg_offload_put16(p + 2, (uint16_t)n);
	wg_offload_put16(p + 4, (uint16_t)(wg_offload_be16(p + 4) + s->index));
	p[10] = p[11] = 0;
	wg_offload_store(p + 10, wg_offload_sum(0, p, LN_MIN(LN_MAX(ip, (size_t)20), s->l4)));
}

int wg_split_next(struct wg_split *s, struct mslice dst)
{
	if (s->done)
		return 0;
	if (s->protocol == 0)
		return whole(s, dst);
	size_t left = s->packet.n - s->header - s->at;
	size_t chunk = LN_MIN(left, (size_t)s->vnet.gso_size);
	size_t n = s->header + chunk;
	if (dst.n < n)
		return LN_E_LIMIT;
	memcpy(dst.p, s->packet.p, s->header);
	memcpy(dst.p + s->header, s->packet.p + s->header + s->at, chunk);
	finish_ip(s, dst.p, n);
	if (s->protocol == WG_OFFLOAD_TCP)
		finish_tcp(s, dst.p, n, chunk == left);
	else
		finish_udp(s, dst.p, n);
	s->at += chunk;
	s->index++;
	s->done = chunk == left;
	return (int)n;
}
