/* RFC 6040: the table of its section 4.2, in both families. */
#include "lib/wg/wg_ecn.h"
#include "lib/wg/wg_offload.h"

#include "tests/unit/unit.h"

#define DROP (-1)

static uint8_t packet[40];

static void make4(uint8_t tos)
{
	memset(packet, 0, sizeof(packet));
	memcpy(packet, (uint8_t[]){ 0x45, tos, 0, 40, 1, 2, 0x40, 0, 64, 17 }, 10);
	memcpy(packet + 12, (uint8_t[]){ 100, 64, 0, 1, 100, 64, 0, 9 }, 8);
	wg_offload_store(packet + 10, wg_offload_sum(0, packet, 20));
}

static void make6(uint8_t class)
{
	memset(packet, 0, sizeof(packet));
	packet[0] = (uint8_t)(0x60 | class >> 4);
	packet[1] = (uint8_t)(class << 4 | 0xb); /* and some flow label */
	packet[2] = 0xcd;
}

/* [inner][outer], each in the order Not-ECT, ECT(1), ECT(0), CE. */
static const int joined[4][4] = {
	{ 0, 0, 0, DROP },
	{ 1, 1, 1, 3 },
	{ 2, 1, 2, 3 },
	{ 3, 3, 3, 3 },
};

static void test_v4(void **state)
{
	for (int inner = 0; inner < 4; inner++) {
		for (int outer = 0; outer < 4; outer++) {
			make4((uint8_t)(0xb8 | inner));
			assert_int_equal(wg_ecn_of(packet), inner);
			int want = joined[inner][outer];
			assert_int_equal(wg_ecn_join(packet, (enum wg_ecn)outer), want != DROP);
			if (want == DROP)
				continue;
			assert_int_equal(packet[1], 0xb8 | want);
			assert_int_equal(wg_offload_fold(wg_offload_sum(0, packet, 20)), 0xffff);
		}
	}
}

static void test_v6(void **state)
{
	for (int inner = 0; inner < 4; inner++) {
		for (int outer = 0; outer < 4; outer++) {
			make6((uint8_t)(0xb8 | inner));
			assert_int_equal(wg_ecn_of(packet), inner);
			int want = joined[inner][outer];
			assert_int_equal(wg_ecn_join(packet, (enum wg_ecn)outer), want != DROP);
			if (want == DROP)
				continue;
			uint8_t class = (uint8_t)(0xb8 | want);
			assert_int_equal(packet[0], 0x60 | class >> 4);
			assert_int_equal(packet[1], (class << 4 & 0xff) | 0xb);
			assert_int_equal(packet[2], 0xcd);
		}
	}
}

/* A header that was damaged before the tunnel stays recognisable as damaged. */
static void test_wrong_checksum(void **state)
{
	make4(2);
	packet[11] ^= 0x40;
	assert_true(wg_ecn_join(packet, WG_ECN_CE));
	assert_int_equal(packet[1], 3);
	assert_int_not_equal(wg_offload_fold(wg_offload_sum(0, packet, 20)), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v4),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_wrong_checksum),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
