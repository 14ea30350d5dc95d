#include "lib/wg/wg_offload.h"

/* 32-bit words into 64-bit lanes: no carry can be lost below 16 GiB, and compilers vectorise it. */
uint64_t wg_offload_sum(uint64_t sum, const uint8_t *p, size_t n)
{
	uint64_t lane[8] = { 0 };
	for (; n >= 32; p += 32, n -= 32) {
		uint32_t w[8];
		memcpy(w, p, sizeof(w));
		for (unsigned i = 0; i < 8; i++)
			lane[i] += w[i];
	}
	for (unsigned i = 0; i < 8; i++)
		sum += (lane[i] & 0xffffffffu) + (lane[i] >> 32);
	for (; n >= 2; p += 2, n -= 2) {
		uint16_t w;
		memcpy(&w, p, sizeof(w));
		sum += w;
	}
	if (n != 0) {
		const uint8_t last[2] = { p[0], 0 };
		uint16_t w;
		memcpy(&w, last, sizeof(w));
		sum += w;
	}
	return sum;
}

uint64_t wg_offload_pseudo(const uint8_t *packet, unsigned protocol, size_t length)
{
	uint8_t tail[8] = { 0 };
	wg_offload_put32(tail, (uint32_t)length);
	tail[7] = (uint8_t)protocol;
	bool v4 = packet[0] >> 4 == 4;
	uint64_t sum = wg_offload_sum(0, tail, sizeof(tail));
	return wg_offload_sum(sum, packet + (v4 ? 12 : 8), v4 ? 8 : 32);
}

uint16_t wg_offload_fold(uint64_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

void wg_offload_store_partial(uint8_t *p, uint64_t sum)
{
	uint16_t v = wg_offload_fold(sum);
	memcpy(p, &v, sizeof(v));
}

void wg_offload_store(uint8_t *p, uint64_t sum)
{
	uint16_t v = (uint16_t)~wg_offload_fold(sum);
	memcpy(p, &v, sizeof(v));
}
