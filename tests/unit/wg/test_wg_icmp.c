#include <stdlib.h>

#include "lib/wg/wg_icmp.h"
#include "lib/wg/wg_offload.h"

#include "tests/unit/unit.h"

static uint8_t packet[2000];
static uint8_t answer[WG_ICMP_MAX];

static void make4(uint8_t protocol, size_t n)
{
	memset(packet, 0, sizeof(packet));
	packet[0] = 0x45;
	wg_offload_put16(packet + 2, (uint16_t)n);
	packet[8] = 64;
	packet[9] = protocol;
	memcpy(packet + 12, (uint8_t[]){ 100, 64, 0, 1, 100, 64, 0, 9 }, 8);
	for (size_t i = 20; i < n; i++)
		packet[i] = (uint8_t)i;
}

static void make6(uint8_t next, size_t n)
{
	memset(packet, 0, sizeof(packet));
	packet[0] = 0x60;
	wg_offload_put16(packet + 4, (uint16_t)(n - 40));
	packet[6] = next;
	packet[8] = packet[24] = 0xfd;
	packet[23] = 1;
	packet[39] = 9;
	for (size_t i = 40; i < n; i++)
		packet[i] = (uint8_t)(i + 100);
}

static size_t answer_to(size_t n)
{
	/* A copy of just its size, so that reading past the end is seen. */
	uint8_t *tight = malloc(n + 1);
	memcpy(tight, packet, n);
	size_t r = wg_icmp_unreachable(slice_of(tight, n), answer);
	free(tight);
	return r;
}

static size_t too_big_for(size_t n, size_t mtu)
{
	return wg_icmp_too_big(slice_of(packet, n), mtu, answer);
}

static bool sums_to_zero(const uint8_t *p, size_t n, uint64_t start)
{
	return wg_offload_fold(wg_offload_sum(start, p, n)) == 0xffff;
}

static void test_v4(void **state)
{
	static const size_t sizes[] = { 20, 21, 84, 548, 549, 1280 };
	for (size_t i = 0; i < LN_COUNT(sizes); i++) {
		size_t n = sizes[i];
		size_t quote = LN_MIN(n, (size_t)548);
		make4(WG_OFFLOAD_UDP, n);
		assert_int_equal(answer_to(n), 28 + quote);
		assert_int_equal(wg_offload_be16(answer + 2), 28 + quote);
		assert_true(sums_to_zero(answer, 20, 0));
		assert_true(sums_to_zero(answer + 20, 8 + quote, 0));
		assert_int_equal(answer[20], 3);
		assert_int_equal(answer[21], 1);
		assert_memory_equal(answer + 12, packet + 16, 4);
		assert_memory_equal(answer + 16, packet + 12, 4);
		assert_memory_equal(answer + 28, packet, quote);
	}
}

static void test_v6(void **state)
{
	make6(WG_OFFLOAD_TCP, 1280);
	assert_int_equal(answer_to(1280), 576);
	assert_int_equal(wg_offload_be16(answer + 4), 536);
	assert_int_equal(answer[40], 1);
	assert_int_equal(answer[41], 3);
	assert_memory_equal(answer + 48, packet, 528);
	assert_memory_equal(answer + 24, packet + 8, 16);
	assert_true(sums_to_zero(answer + 40, 536, wg_offload_pseudo(answer, 58, 536)));
}

static void test_no_answer(void **state)
{
	make4(1, 84);
	packet[20] = 8; /* echo: a question */
	assert_int_not_equal(answer_to(84), 0);
	packet[20] = 3; /* an error itself */
	assert_int_equal(answer_to(84), 0);
	assert_int_equal(answer_to(20), 0); /* its type is missing */

	make4(WG_OFFLOAD_UDP, 84);
	packet[7] = 1; /* a later fragment */
	assert_int_equal(answer_to(84), 0);
	make4(WG_OFFLOAD_UDP, 84);
	packet[16] = 224; /* to many */
	assert_int_equal(answer_to(84), 0);
	packet[16] = 255;
	assert_int_equal(answer_to(84), 0);
	make4(WG_OFFLOAD_UDP, 84);
	packet[12] = 0; /* from nobody */
	assert_int_equal(answer_to(84), 0);
	make4(WG_OFFLOAD_UDP, 84);
	packet[0] = 0x44; /* a header too short, and one longer than the packet */
	assert_int_equal(answer_to(84), 0);
	packet[0] = 0x46;
	assert_int_equal(answer_to(23), 0);

	make6(58, 84);
	packet[40] = 128;
	assert_int_not_equal(answer_to(84), 0);
	packet[40] = 1;
	assert_int_equal(answer_to(84), 0);
	assert_int_equal(answer_to(40), 0);
	make6(0, 84); /* options in front: unknown what follows */
	assert_int_equal(answer_to(84), 0);
	make6(WG_OFFLOAD_UDP, 84);
	packet[24] = 0xff;
	assert_int_equal(answer_to(84), 0);
	make6(WG_OFFLOAD_UDP, 84);
	packet[8] = 0;
	assert_int_equal(answer_to(84), 0); /* from the loopback address */

	make6(WG_OFFLOAD_UDP, 84);
	assert_int_equal(answer_to(39), 0);
	packet[0] = 0x50;
	assert_int_equal(answer_to(84), 0);
	assert_int_equal(answer_to(0), 0);
}

static void test_too_big(void **state)
{
	make4(WG_OFFLOAD_TCP, 1200);
	assert_int_equal(too_big_for(1200, 1040), WG_ICMP_MAX);
	assert_true(sums_to_zero(answer, 20, 0));
	assert_true(sums_to_zero(answer + 20, WG_ICMP_MAX - 20, 0));
	assert_int_equal(answer[20], 3); /* RFC 1191: unreachable, fragmentation needed */
	assert_int_equal(answer[21], 4);
	assert_int_equal(wg_offload_be32(answer + 24), 1040);
	assert_memory_equal(answer + 28, packet, 548);
	make6(WG_OFFLOAD_TCP, 1400);
	size_t n = too_big_for(1400, 1280);
	assert_int_equal(n, WG_ICMP_MAX);
	assert_true(sums_to_zero(answer + 40, n - 40, wg_offload_pseudo(answer, 58, n - 40)));
	assert_int_equal(answer[40], 2); /* RFC 4443 3.2 */
	assert_int_equal(answer[41], 0);
	assert_int_equal(wg_offload_be32(answer + 44), 1280);
	make4(1, 1200); /* an error message (its type is 20) gets none */
	assert_int_equal(too_big_for(1200, 1040), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v4),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_too_big),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
