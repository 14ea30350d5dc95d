#include "lib/wg/wg_merge.h"

#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define IP_DF 0x40
#define TOTAL_MAX 65535

/* What is known of a packet before it is joined. */
struct look {
	unsigned protocol; /* 0: never joined */
	bool joinable;     /* plain data with a right checksum */
	size_t l4;
	size_t header;
	size_t payload;
	uint32_t next; /* of the packet itself; see struct wg_merge_item */
};

static bool checksum_is_right(const uint8_t *p, size_t n, const struct look *k)
{
	uint64_t sum = wg_offload_pseudo(p, k->protocol, n - k->l4);
	return wg_offload_fold(wg_offload_sum(sum, p + k->l4, n - k->l4)) == 0xffff;
}

static void look_at_tcp(struct look *k, const uint8_t *p, size_t n)
{
	if (n < k->l4 + 20)
		return;
	k->protocol = WG_OFFLOAD_TCP;
	k->header = k->l4 + (size_t)(p[k->l4 + 12] >> 4) * 4;
	if (k->header < k->l4 + 20 || k->header >= n)
		return;
	k->payload = n - k->header;
	k->next = wg_offload_be32(p + k->l4 + 4);
	k->joinable = (p[k->l4 + 13] & ~TCP_PSH) == TCP_ACK && checksum_is_right(p, n, k);
}

/*
 * The kernel numbers the packets it cuts; that goes unnoticed where the identification means
 * nothing (RFC 6864 4.1: DF is set), else the numbers have to be consecutive.
 */
static void look_at_udp(struct look *k, const uint8_t *p, size_t n)
{
	if (n < k->l4 + 8)
		return;
	k->protocol = WG_OFFLOAD_UDP;
	k->header = k->l4 + 8;
	if (k->header == n || wg_offload_be16(p + k->l4 + 4) != n - k->l4)
		return;
	k->payload = n - k->header;
	if (k->l4 == 20 && (p[6] & IP_DF) == 0)
		k->next = wg_offload_be16(p + 4);
	k->joinable = (p[k->l4 + 6] != 0 || p[k->l4 + 7] != 0) && checksum_is_right(p, n, k);
}

static struct look look_at(const struct wg_merge *m, const uint8_t *p, size_t n)
{
	struct look k = { 0 };
	unsigned protocol;
	if (p[0] == 0x45 && n >= 20 && wg_offload_be16(p + 2) == n &&
	    (wg_offload_be16(p + 6) & 0x3fff) == 0) {
		k.l4 = 20;
		protocol = p[9];
	} else if (p[0] >> 4 == 6 && n >= 40 && (size_t)wg_offload_be16(p + 4) + 40 == n) {
		k.l4 = 40;
		protocol = p[6];
	} else {
		return k;
	}
	if (protocol == WG_OFFLOAD_TCP)
		look_at_tcp(&k, p, n);
	else if (protocol == WG_OFFLOAD_UDP && m->udp)
		look_at_udp(&k, p, n);
	return k;
}

static bool same_flow(const struct wg_merge_item *it, const uint8_t *p, const struct look *k)
{
	size_t at = k->l4 == 20 ? 12 : 8; /* addresses, and behind the IP header the ports */
	return it->l4 == k->l4 && it->protocol == k->protocol &&
	       memcmp(it->first + at, p + at, k->l4 - at) == 0 &&
	       memcmp(it->first + k->l4, p + k->l4, 4) == 0;
}

/* Everything but lengths, identification, sequence number, PSH and checksums is equal. */
static bool same_headers(const struct wg_merge_item *it, const uint8_t *p, const struct look *k)
{
	const uint8_t *f = it->first;
	const uint8_t *ft = f + k->l4;
	const uint8_t *pt = p + k->l4;
	bool ip = k->l4 == 20 ? f[1] == p[1] && memcmp(f + 6, p + 6, 3) == 0
			      : memcmp(f, p, 4) == 0 && f[7] == p[7];
	if (k->protocol == WG_OFFLOAD_UDP)
		return ip;
	return ip && it->header == k->header && memcmp(ft + 8, pt + 8, 5) == 0 &&
	       memcmp(ft + 14, pt + 14, 2) == 0 &&
	       memcmp(ft + 20, pt + 20, k->header - k->l4 - 20) == 0;
}

static void close_open(struct wg_merge *m, unsigned slot)
{
	m->item[m->open[slot]].open = false;
	m->nopen--;
	memmove(m->open + slot, m->open + slot + 1, (m->nopen - slot) * sizeof(m->open[0]));
}

/* What the next packet of the flow has to begin with. */
static uint32_t following(const uint8_t *p, const struct look *k)
{
	if (k->protocol == WG_OFFLOAD_TCP)
		return k->next + (uint32_t)k->payload;
	return k->l4 == 20 && (p[6] & IP_DF) == 0 ? (k->next + 1) & 0xffff : 0;
}

static bool has_push(const uint8_t *p, const struct look *k)
{
	return k->protocol == WG_OFFLOAD_TCP && (p[k->l4 + 13] & TCP_PSH) != 0;
}

static bool append(struct wg_merge *m, unsigned slot, const uint8_t *p, const struct look *k)
{
	struct wg_merge_item *it = &m->item[m->open[slot]];
	if (!k->joinable || k->next != it->next || k->payload > it->segment ||
	    it->nparts == WG_MERGE_PARTS || it->total + k->payload > TOTAL_MAX ||
	    !same_headers(it, p, k))
		return false;
	it->part[it->nparts++] = slice_of(p + k->header, k->payload);
	it->total += k->payload;
	it->next = following(p, k);
	it->push = has_push(p, k);
	if (it->push || k->payload < it->segment)
		close_open(m, slot); /* only the last segment may be shorter */
	return true;
}

void wg_merge_init(struct wg_merge *m, bool udp)
{
	m->udp = udp;
	m->n = 0;
	m->nopen = 0;
}

bool wg_merge_add(struct wg_merge *m, struct mslice packet)
{
	const struct look k = look_at(m, packet.p, packet.n);
	for (unsigned s = 0; k.protocol != 0 && s < m->nopen; s++) {
		if (!same_flow(&m->item[m->open[s]], packet.p, &k))
			continue;
		if (append(m, s, packet.p, &k))
			return true;
		if (m->n < WG_MERGE_ITEMS)
			close_open(m, s); /* what follows must not overtake this packet */
		break;
	}
	if (m->n == WG_MERGE_ITEMS)
		return false;
	struct wg_merge_item *it = &m->item[m->n++];
	it->part[0] = slice_from(packet);
	it->nparts = 1;
	it->first = packet.p;
	it->l4 = k.l4;
	it->header = k.header;
	it->total = packet.n;
	it->protocol = k.protocol;
	it->segment = k.payload;
	it->next = following(packet.p, &k);
	it->push = has_push(packet.p, &k);
	it->open = k.joinable && !it->push;
	if (!it->open)
		return true;
	if (m->nopen == WG_MERGE_OPEN)
		close_open(m, 0);
	m->open[m->nopen++] = m->n - 1;
	return true;
}

const struct wg_merge_item *wg_merge_item(struct wg_merge *m, unsigned i)
{
	struct wg_merge_item *it = &m->item[i];
	it->vnet = (struct wg_vnet){ 0 };
	if (it->nparts == 1)
		return it;
	uint8_t *p = it->first;
	uint8_t *l4 = p + it->l4;
	bool v4 = it->l4 == 20;
	bool tcp = it->protocol == WG_OFFLOAD_TCP;
	size_t checksum = tcp ? 16 : 6;
	if (v4) {
		wg_offload_put16(p + 2, (uint16_t)it->total);
		p[10] = p[11] = 0;
		wg_offload_store(p + 10, wg_offload_sum(0, p, 20));
	} else {
		wg_offload_put16(p + 4, (uint16_t)(it->total - 40));
	}
	if (it->push)
		l4[13] |= TCP_PSH;
	if (!tcp)
		wg_offload_put16(l4 + 4, (uint16_t)(it->total - it->l4));
	wg_offload_store_partial(l4 + checksum,
				 wg_offload_pseudo(p, it->protocol, it->total - it->l4));
	it->vnet = (struct wg_vnet){
		.flags = WG_VNET_NEEDS_CSUM,
		.gso_type = !tcp ? WG_VNET_GSO_UDP
			    : v4 ? WG_VNET_GSO_TCP4
				 : WG_VNET_GSO_TCP6,
		.header_len = (uint16_t)it->header,
		.gso_size = (uint16_t)it->segment,
		.csum_start = (uint16_t)it->l4,
		.csum_offset = (uint16_t)checksum,
	};
	return it;
}
