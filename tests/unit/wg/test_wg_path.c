/* What a narrow path carries, who is told of it, and what a SYN says. */
#include <stdlib.h>

#include "lib/wg/wg_msg.h"
#include "lib/wg/wg_offload.h"
#include "lib/wg/wg_path.h"

#include "tests/unit/unit.h"

static uint8_t packet[2000];
static size_t length;

static void make(unsigned family, bool dont_fragment, size_t n)
{
	memset(packet, 0, sizeof(packet));
	length = n;
	if (family == 4) {
		packet[0] = 0x45;
		wg_offload_put16(packet + 2, (uint16_t)n);
		packet[6] = dont_fragment ? 0x40 : 0;
		packet[9] = WG_OFFLOAD_UDP;
	} else {
		packet[0] = 0x60;
		wg_offload_put16(packet + 4, (uint16_t)(n - 40));
		packet[6] = WG_OFFLOAD_UDP;
	}
}

/* A segment with these options, their length a multiple of four, and a right checksum. */
static uint8_t *make_tcp(unsigned family, uint8_t flags, const uint8_t *options, size_t n)
{
	size_t l4 = family == 4 ? 20 : 40;
	make(family, true, l4 + 20 + n);
	packet[family == 4 ? 9 : 6] = WG_OFFLOAD_TCP;
	uint8_t *tcp = packet + l4;
	tcp[12] = (uint8_t)((20 + n) / 4 << 4);
	tcp[13] = flags;
	if (n != 0)
		memcpy(tcp + 20, options, n);
	wg_offload_store(tcp + 16,
			 wg_offload_sum(wg_offload_pseudo(packet, 6, 20 + n), tcp, 20 + n));
	return tcp;
}

static bool checksum_is_right(const uint8_t *tcp)
{
	size_t n = length - (size_t)(tcp - packet);
	uint64_t sum = wg_offload_pseudo(packet, WG_OFFLOAD_TCP, n);
	return wg_offload_fold(wg_offload_sum(sum, tcp, n)) == 0xffff;
}

/* On a copy of just its size, so that a step past the end is seen. */
static void clamp(size_t inner)
{
	uint8_t *tight = malloc(length);
	memcpy(tight, packet, length);
	wg_path_clamp(mslice_of(tight, length), inner);
	memcpy(packet, tight, length);
	free(tight);
}

/* A message made of the longest packet fits, and one of the next size would not. */
static void test_inner(void **state)
{
	for (unsigned family = 4; family <= 6; family += 2) {
		size_t outer = family == 4 ? 28 : 48;
		for (size_t mtu = 400; mtu <= 1500; mtu++) {
			size_t n = wg_path_inner(mtu, family);
			assert_true(wg_msg_padded(n, 9000) + WG_MSG_DATA_OVERHEAD + outer <= mtu);
			assert_true(wg_msg_padded(n + 1, 9000) + WG_MSG_DATA_OVERHEAD + outer >
				    mtu);
		}
		assert_true(wg_path_inner(0, family) >= 68);
	}
}

static bool refused(size_t inner, size_t *ret_mtu)
{
	return wg_path_refuses(slice_of(packet, length), inner, ret_mtu);
}

static void test_refused(void **state)
{
	size_t mtu = 0;
	make(4, true, 1200);
	assert_false(refused(1200, &mtu));
	assert_true(refused(1199, &mtu));
	assert_int_equal(mtu, 1199);
	make(4, false, 1200);
	assert_false(refused(600, &mtu)); /* nobody would listen */
	make(6, false, 1280);
	assert_false(refused(1000, &mtu)); /* every IPv6 path has to carry that */
	make(6, false, 1281);
	assert_true(refused(1000, &mtu));
	assert_int_equal(mtu, 1280);
	make(6, false, 1400);
	assert_true(refused(1392, &mtu));
	assert_int_equal(mtu, 1392);
}

static void test_clamp(void **state)
{
	static const uint8_t plain[] = { 2, 4, 0x04, 0xd8, 1, 3, 3, 7 }; /* 1,240 */
	static const uint8_t behind[] = { 1, 2, 4, 0x04, 0xd8, 1, 1, 0 };
	for (unsigned family = 4; family <= 6; family += 2) {
		size_t most = 1000 - 20 - (family == 4 ? 20 : 40);
		for (unsigned flags = 0x02; flags <= 0x12; flags += 0x10) { /* SYN, SYN ACK */
			uint8_t *tcp = make_tcp(family, (uint8_t)flags, plain, sizeof(plain));
			clamp(1000);
			assert_int_equal(wg_offload_be16(tcp + 22), most);
			assert_true(checksum_is_right(tcp));
			tcp = make_tcp(family, (uint8_t)flags, behind, sizeof(behind));
			clamp(1000);
			assert_int_equal(wg_offload_be16(tcp + 23), most);
			assert_true(checksum_is_right(tcp));
		}
	}
}

/* Smaller values, other segments, other protocols, and options that make no sense. */
static void test_left_alone(void **state)
{
	static const uint8_t mss[] = { 2, 4, 0x04, 0xd8 };
	static const uint8_t small[] = { 2, 4, 0x02, 0x00 };
	static const uint8_t ended[] = { 0, 2, 4, 0x04, 0xd8, 0, 0, 0 };
	static const uint8_t endless[] = { 1, 1, 1, 8 };
	static const uint8_t zero[] = { 3, 0, 2, 4 };
	static const uint8_t odd[] = { 2, 3, 0x04, 0xd8 };

	static const struct {
		uint8_t flags;
		const uint8_t *options;
		size_t n;
	} cases[] = {
		{ 0x10, mss, sizeof(mss) },
		{ 0x02, small, sizeof(small) },
		{ 0x02, ended, sizeof(ended) },
		{ 0x02, endless, sizeof(endless) },
		{ 0x02, zero, sizeof(zero) },
		{ 0x02, odd, sizeof(odd) },
		{ 0x02, NULL, 0 },
	};

	uint8_t before[sizeof(packet)];
	for (size_t i = 0; i < LN_COUNT(cases); i++) {
		make_tcp(4, cases[i].flags, cases[i].options, cases[i].n);
		memcpy(before, packet, sizeof(before));
		clamp(1000);
		assert_memory_equal(packet, before, sizeof(before));
	}
	make_tcp(4, 0x02, mss, sizeof(mss));
	for (unsigned change = 0; change < 4; change++) {
		memcpy(before, packet, sizeof(before));
		if (change == 0)
			packet[9] = WG_OFFLOAD_UDP;
		else if (change == 1)
			packet[7] = 1; /* a later fragment */
		else if (change == 2)
			packet[32] = 0xf0; /* a header longer than the packet */
		else
			packet[0] = 0x4f; /* likewise of IP */
		uint8_t changed[sizeof(packet)];
		memcpy(changed, packet, sizeof(changed));
		clamp(1000);
		assert_memory_equal(packet, changed, sizeof(changed));
		memcpy(packet, before, sizeof(before));
	}
	make_tcp(4, 0x02, mss, sizeof(mss));
	for (length = 20; length < 44; length++)
		clamp(1000); /* cut off */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inner),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_clamp),
		cmocka_unit_test(test_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
