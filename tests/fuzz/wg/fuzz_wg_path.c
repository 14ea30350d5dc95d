/*
 * What the device does to the headers of any packet: two bytes say what the path carries, the rest
 * is the packet. A right TCP checksum has to be right afterwards.
 */
#include <stdlib.h>

#include "lib/wg/wg_ecn.h"
#include "lib/wg/wg_icmp.h"
#include "lib/wg/wg_offload.h"
#include "lib/wg/wg_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the whole packet behind the header; what is summed does not matter, only that it stays. */
static uint16_t sum_of(const uint8_t *p, size_t n)
{
	return wg_offload_fold(wg_offload_sum(0, p, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t answer[WG_ICMP_MAX];
	size_t mtu = 0;
	if (size < 2 + 20 || size > 65535)
		return 0;
	unsigned family = data[2] >> 4;
	size_t inner = wg_path_inner(wg_offload_be16(data), data[1] & 1 ? 4 : 6);
	size_t n = size - 2;
	if (family != 4 && (family != 6 || n < 40))
		return 0;
	uint8_t *packet = malloc(n);
	memcpy(packet, data + 2, n);
	size_t l4 = family == 6 ? 40 : LN_MIN((size_t)(packet[0] & 15) * 4, n);
	uint16_t before = sum_of(packet + l4, n - l4);
	wg_path_clamp(mslice_of(packet, n), inner);
	uint16_t after = sum_of(packet + l4, n - l4);
	/* 0 and 0xffff are the same number. */
	ln_assert(before % 0xffff == after % 0xffff);
	if (wg_path_refuses(slice_of(packet, n), inner, &mtu))
		ln_assert(wg_icmp_too_big(slice_of(packet, n), mtu, answer) <= sizeof(answer));
	before = sum_of(packet, LN_MIN(n, (size_t)20));
	if (wg_ecn_join(packet, (enum wg_ecn)(data[0] & 3)) && family == 4)
		ln_assert(before % 0xffff == sum_of(packet, 20) % 0xffff);
	free(packet);
	return 0;
}
