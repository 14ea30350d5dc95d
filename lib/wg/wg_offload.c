#include "lib/wg/wg_offload.h"

/*
 * The sum is wanted for every byte that passes, so the wide registers are worth a second copy of
 * the loop, chosen when the program starts. Sanitizers are not ready yet at that time.
 */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__) &&             \
	!defined(__SANITIZE_THREAD__) && !defined(__clang__)
# define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
# define FOR_EACH_PROCESSOR
#endif

typedef uint64_t lanes __attribute__((vector_size(64)));

/* 32-bit words into 64-bit lanes: no carry can be lost below 16 GiB. n is a multiple of 64. */
FOR_EACH_PROCESSOR static uint64_t sum_blocks(const uint8_t *p, size_t n)
{
	const lanes low = (lanes){ 0 } + 0xffffffffu;
	lanes even = { 0 };
	lanes odd = { 0 };
	for (; n != 0; p += sizeof(lanes), n -= sizeof(lanes)) {
		lanes v;
		memcpy(&v, p, sizeof(v));
		even += v & low;
		odd += v >> 32;
	}
	even += odd;
	uint64_t sum = 0;
	for (unsigned i = 0; i < 8; i++)
		sum += (even[i] & 0xffffffffu) + (even[i] >> 32);
	return sum;
}

uint64_t wg_offload_sum(uint64_t sum, const uint8_t *p, size_t n)
{
	if (n >= sizeof(lanes)) {
		size_t blocks = n / sizeof(lanes) * sizeof(lanes);
		sum += sum_blocks(p, blocks);
		p += blocks;
		n -= blocks;
	}
	for (; n >= 4; p += 4, n -= 4) {
		uint32_t w;
		memcpy(&w, p, sizeof(w));
		sum += w;
	}
	if (n >= 2) {
		uint16_t w;
		memcpy(&w, p, sizeof(w));
		sum += w;
		p += 2;
		n -= 2;
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
