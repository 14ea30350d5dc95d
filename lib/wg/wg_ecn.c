#include "lib/wg/wg_ecn.h"

#include "lib/wg/wg_offload.h"

#define MASK 3

enum wg_ecn wg_ecn_of(const uint8_t *packet)
{
	/* IPv6 has the traffic class across its first two bytes. */
	return packet[0] >> 4 == 4 ? packet[1] & MASK : packet[1] >> 4 & MASK;
}

static void set(uint8_t *packet, enum wg_ecn ecn)
{
	if (packet[0] >> 4 == 6) {
		packet[1] = (uint8_t)((packet[1] & ~(MASK << 4)) | ecn << 4);
		return;
	}
	uint16_t before = wg_offload_be16(packet);
	packet[1] = (uint8_t)((packet[1] & ~MASK) | ecn);
	/* RFC 1624: the checksum follows the change of one word, right or wrong as it was. */
	uint32_t sum = (uint16_t)~wg_offload_be16(packet + 10) + (uint32_t)(uint16_t)~before +
		       wg_offload_be16(packet);
	wg_offload_put16(packet + 10, (uint16_t)~wg_offload_fold(sum));
}

bool wg_ecn_join(uint8_t *packet, enum wg_ecn outer)
{
	enum wg_ecn inner = wg_ecn_of(packet);
	if (outer == WG_ECN_CE && inner == WG_ECN_NOT_ECT)
		return false;
	if (outer == WG_ECN_CE && inner != WG_ECN_CE)
		set(packet, WG_ECN_CE);
	else if (outer == WG_ECN_ECT1 && inner == WG_ECN_ECT0)
		set(packet, WG_ECN_ECT1);
	return true;
}
