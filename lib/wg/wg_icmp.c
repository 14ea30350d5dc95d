#include "lib/wg/wg_icmp.h"

#include "lib/wg/wg_offload.h"

#define ICMP4 1
#define ICMP6 58
#define ICMP_HEADER 8
#define ICMP4_UNREACHABLE 3
#define ICMP4_HOST 1
#define ICMP6_UNREACHABLE 1
#define ICMP6_ADDRESS 3
#define ICMP4_TOO_BIG 4 /* a code of "unreachable" */
#define ICMP6_TOO_BIG 2 /* a type */
#define HOPS 64

/* The first bytes of an answer, as both families have them. */
struct what {
	uint8_t type;
	uint8_t code;
	size_t mtu;
};

/* Unspecified, loopback, multicast, reserved and broadcast addresses are no single host. */
static bool is_host4(const uint8_t *a)
{
	return a[0] != 0 && a[0] != 127 && a[0] < 224;
}

static bool is_host6(const uint8_t *a)
{
	static const uint8_t zero[15];
	bool none_or_loopback = memcmp(a, zero, sizeof(zero)) == 0 && a[15] <= 1;
	return a[0] != 0xff && !none_or_loopback;
}

static bool deserves_answer4(const uint8_t *p, size_t n)
{
	size_t header = (size_t)(p[0] & 15) * 4;
	if (header < 20 || n < header || (wg_offload_be16(p + 6) & 0x1fff) != 0)
		return false;
	if (!is_host4(p + 12) || !is_host4(p + 16))
		return false;
	if (p[9] != ICMP4)
		return true;
	/* Of ICMP only questions: echo, timestamp, information. */
	if (n == header)
		return false;
	uint8_t type = p[header];
	return type == 8 || type == 13 || type == 15 || type == 17;
}

/* Extension headers are not walked: behind them there might be an error, so there is no answer. */
static bool deserves_answer6(const uint8_t *p, size_t n)
{
	uint8_t next = p[6];
	bool known = next == WG_OFFLOAD_TCP || next == WG_OFFLOAD_UDP ||
		     (next == ICMP6 && n > 40 && p[40] >= 128);
	return known && is_host6(p + 8) && is_host6(p + 24);
}

static size_t answer4(const uint8_t *p, size_t n, struct what w, uint8_t *dst)
{
	size_t quote = LN_MIN(n, (size_t)(WG_ICMP_MAX - 20 - ICMP_HEADER));
	size_t total = 20 + ICMP_HEADER + quote;
	memset(dst, 0, 20 + ICMP_HEADER);
	dst[0] = 0x45;
	dst[1] = 0xc0; /* RFC 1812 4.3.2.5: errors travel as internetwork control */
	wg_offload_put16(dst + 2, (uint16_t)total);
	dst[8] = HOPS;
	dst[9] = ICMP4;
	memcpy(dst + 12, p + 16, 4);
	memcpy(dst + 16, p + 12, 4);
	wg_offload_store(dst + 10, wg_offload_sum(0, dst, 20));
	dst[20] = w.type;
	dst[21] = w.code;
	wg_offload_put16(dst + 26, (uint16_t)w.mtu);
	memcpy(dst + 20 + ICMP_HEADER, p, quote);
	wg_offload_store(dst + 22, wg_offload_sum(0, dst + 20, ICMP_HEADER + quote));
	return total;
}

static size_t answer6(const uint8_t *p, size_t n, struct what w, uint8_t *dst)
{
	size_t quote = LN_MIN(n, (size_t)(WG_ICMP_MAX - 40 - ICMP_HEADER));
	memset(dst, 0, 40 + ICMP_HEADER);
	dst[0] = 0x60;
	wg_offload_put16(dst + 4, (uint16_t)(ICMP_HEADER + quote));
	dst[6] = ICMP6;
	dst[7] = HOPS;
	memcpy(dst + 8, p + 24, 16);
	memcpy(dst + 24, p + 8, 16);
	dst[40] = w.type;
	dst[41] = w.code;
	wg_offload_put32(dst + 44, (uint32_t)w.mtu);
	memcpy(dst + 40 + ICMP_HEADER, p, quote);
	uint64_t sum = wg_offload_pseudo(dst, ICMP6, ICMP_HEADER + quote);
	wg_offload_store(dst + 42, wg_offload_sum(sum, dst + 40, ICMP_HEADER + quote));
	return 40 + ICMP_HEADER + quote;
}

static size_t answer(struct slice packet, struct what v4, struct what v6, uint8_t *dst)
{
	const uint8_t *p = packet.p;
	size_t n = packet.n;
	if (n >= 20 && p[0] >> 4 == 4 && deserves_answer4(p, n))
		return answer4(p, n, v4, dst);
	if (n >= 40 && p[0] >> 4 == 6 && deserves_answer6(p, n))
		return answer6(p, n, v6, dst);
	return 0;
}

size_t wg_icmp_unreachable(struct slice packet, uint8_t *dst)
{
	return answer(packet, (struct what){ ICMP4_UNREACHABLE, ICMP4_HOST, 0 },
		      (struct what){ ICMP6_UNREACHABLE, ICMP6_ADDRESS, 0 }, dst);
}

size_t wg_icmp_too_big(struct slice packet, size_t mtu, uint8_t *dst)
{
	return answer(packet, (struct what){ ICMP4_UNREACHABLE, ICMP4_TOO_BIG, mtu },
		      (struct what){ ICMP6_TOO_BIG, 0, mtu }, dst);
}
