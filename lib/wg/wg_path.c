#include "lib/wg/wg_path.h"

#include "lib/wg/wg_msg.h"
#include "lib/wg/wg_offload.h"

#define UDP_HEADER 8
#define TCP_HEADER 20
#define TCP_SYN 0x02
#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2
#define DONT_FRAGMENT 0x40
#define MTU6_MIN 1280 /* RFC 8200 section 5 */
#define MTU4_MIN 68   /* RFC 791: and no path claims less */

size_t wg_path_inner(size_t mtu, unsigned family)
{
	size_t outer = (family == 4 ? 20 : 40) + UDP_HEADER + WG_MSG_DATA_OVERHEAD;
	size_t least = outer + MTU4_MIN + WG_MSG_PAD;
	return (LN_MAX(mtu, least) - outer) / WG_MSG_PAD * WG_MSG_PAD;
}

bool wg_path_refuses(struct slice packet, size_t inner, size_t *ret_mtu)
{
	if (packet.n <= inner)
		return false;
	if (packet.p[0] >> 4 == 4) {
		*ret_mtu = inner;
		return (packet.p[6] & DONT_FRAGMENT) != 0;
	}
	*ret_mtu = LN_MAX(inner, (size_t)MTU6_MIN);
	return packet.n > *ret_mtu;
}

/* The TCP header of a packet that is no later fragment and has no extension headers; or empty. */
static struct mslice tcp_of(struct mslice packet)
{
	const uint8_t *p = packet.p;
	size_t at = p[0] >> 4 == 4 ? (size_t)(p[0] & 15) * 4 : 40;
	bool tcp = p[0] >> 4 == 4 ? p[9] == WG_OFFLOAD_TCP && (wg_offload_be16(p + 6) & 0x1fff) == 0
				  : p[6] == WG_OFFLOAD_TCP;
	if (!tcp || packet.n < at + TCP_HEADER)
		return mslice_of(NULL, 0);
	size_t header = (size_t)(p[at + 12] >> 4) * 4;
	if (header < TCP_HEADER || packet.n < at + header)
		return mslice_of(NULL, 0);
	return mslice_of(packet.p + at, header);
}

/* The value of the MSS option, or null. */
static uint8_t *find_mss(struct mslice tcp)
{
	for (size_t at = TCP_HEADER; at < tcp.n && tcp.p[at] != OPTION_END;) {
		if (tcp.p[at] == OPTION_NOP) {
			at++;
			continue;
		}
		size_t left = tcp.n - at;
		if (left < 2 || tcp.p[at + 1] < 2 || tcp.p[at + 1] > left)
			return NULL;
		if (tcp.p[at] == OPTION_MSS && tcp.p[at + 1] == 4)
			return tcp.p + at + 2;
		at += tcp.p[at + 1];
	}
	return NULL;
}

void wg_path_clamp(struct mslice packet, size_t inner)
{
	struct mslice tcp = tcp_of(packet);
	if (tcp.n == 0 || (tcp.p[13] & TCP_SYN) == 0)
		return;
	uint8_t *mss = find_mss(tcp);
	size_t most = inner - TCP_HEADER - (packet.p[0] >> 4 == 4 ? 20 : 40);
	if (mss == NULL || wg_offload_be16(mss) <= most)
		return;
	/* RFC 1624. At an odd place the two bytes count the other way round. */
	bool odd = (mss - tcp.p) % 2 != 0;
	uint16_t before = wg_offload_be16(mss);
	uint16_t after = (uint16_t)most;
	wg_offload_put16(mss, after);
	if (odd) {
		before = (uint16_t)(before << 8 | before >> 8);
		after = (uint16_t)(after << 8 | after >> 8);
	}
	uint32_t sum = (uint16_t)~wg_offload_be16(tcp.p + 16) + (uint32_t)(uint16_t)~before + after;
	wg_offload_put16(tcp.p + 16, (uint16_t)~wg_offload_fold(sum));
}
