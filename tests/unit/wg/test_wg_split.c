#include <stdlib.h>

#include "lib/wg/wg_merge.h"
#include "lib/wg/wg_split.h"

#include "tests/unit/unit.h"

#define FRAME_MAX 70000

static uint8_t frame[FRAME_MAX];
static uint8_t out[128][2048];
static size_t len[128];
static unsigned nout;
static struct wg_merge merge;

/* The definition of RFC 1071, one word at a time. */
static uint16_t slow_sum(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	if (n % 2 != 0)
		sum += (uint32_t)p[n - 1] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static bool ip_checksum_ok(const uint8_t *p)
{
	return p[0] >> 4 == 6 || slow_sum(p, 20, 0) == 0xffff;
}

static bool l4_checksum_ok(const uint8_t *p, size_t n, unsigned protocol)
{
	bool v4 = p[0] >> 4 == 4;
	size_t l4 = v4 ? 20 : 40;
	uint32_t sum = slow_sum(p + (v4 ? 12 : 8), v4 ? 8 : 32, protocol + (uint32_t)(n - l4));
	return slow_sum(p + l4, n - l4, sum) == 0xffff;
}

/* A frame as the TUN gives it: vnet header, IP, TCP or UDP, `payload` bytes of pattern. */
static struct slice make_frame(unsigned family, unsigned protocol, size_t payload, uint16_t gso)
{
	size_t l4 = family == 4 ? 20 : 40;
	size_t header = l4 + (protocol == WG_OFFLOAD_TCP ? 32 : 8);
	struct wg_vnet v = {
		.flags = WG_VNET_NEEDS_CSUM,
		.gso_type = protocol == WG_OFFLOAD_UDP ? WG_VNET_GSO_UDP
			    : family == 4              ? WG_VNET_GSO_TCP4 | WG_VNET_GSO_ECN
						       : WG_VNET_GSO_TCP6,
		.header_len = (uint16_t)header,
		.gso_size = gso,
		.csum_start = (uint16_t)l4,
		.csum_offset = protocol == WG_OFFLOAD_TCP ? 16 : 6,
	};
	if (gso == 0)
		v.gso_type = WG_VNET_GSO_NONE;
	memset(frame, 0, sizeof(frame));
	memcpy(frame, &v, sizeof(v));
	uint8_t *p = frame + sizeof(v);
	size_t n = header + payload;
	if (family == 4) {
		p[0] = 0x45;
		wg_offload_put16(p + 2, (uint16_t)n);
		wg_offload_put16(p + 4, 0xfffe); /* wraps after two segments */
		p[6] = 0x40;
		p[8] = 64;
		p[9] = (uint8_t)protocol;
		p[12] = p[16] = 10;
		p[19] = 1;
		wg_offload_store(p + 10, wg_offload_sum(0, p, 20));
	} else {
		p[0] = 0x60;
		wg_offload_put16(p + 4, (uint16_t)(n - 40));
		p[6] = (uint8_t)protocol;
		p[7] = 64;
		p[8] = p[24] = 0xfd;
		p[39] = 1;
	}
	uint8_t *t = p + l4;
	wg_offload_put16(t, 1234);
	wg_offload_put16(t + 2, 80);
	if (protocol == WG_OFFLOAD_TCP) {
		wg_offload_put32(t + 4, 0xffffff00u); /* wraps too */
		t[12] = 8 << 4;
		t[13] = 0x10 | 0x08 | 0x80; /* ACK PSH CWR */
		t[15] = 99;
		t[20] = t[21] = 1;
		t[22] = 8;
		t[23] = 10;
	} else {
		wg_offload_put16(t + 4, (uint16_t)(n - l4));
	}
	for (size_t i = 0; i < payload; i++)
		p[header + i] = (uint8_t)(i * 31 + i / 256);
	wg_offload_store_partial(t + v.csum_offset, wg_offload_pseudo(p, protocol, n - l4));
	return slice_of(frame, sizeof(v) + n);
}

static void split_all(struct slice f)
{
	struct wg_split s;
	int n;
	nout = 0;
	assert_int_equal(wg_split_init(&s, f), 0);
	while ((n = wg_split_next(&s, mslice_of(out[nout], sizeof(out[0])))) > 0)
		len[nout++] = (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(wg_split_next(&s, mslice_of(out[0], 1)), 0);
}

static void check_tcp_split(unsigned family, size_t payload, uint16_t gso)
{
	size_t l4 = family == 4 ? 20 : 40;
	size_t header = l4 + 32;
	size_t at = 0;
	split_all(make_frame(family, WG_OFFLOAD_TCP, payload, gso));
	assert_int_equal(nout, payload == 0 ? 1 : (payload + gso - 1) / gso);
	for (unsigned i = 0; i < nout; i++) {
		const uint8_t *p = out[i];
		assert_true(ip_checksum_ok(p));
		assert_true(l4_checksum_ok(p, len[i], WG_OFFLOAD_TCP));
		assert_int_equal(wg_offload_be32(p + l4 + 4), (uint32_t)(0xffffff00u + at));
		if (family == 4)
			assert_int_equal(wg_offload_be16(p + 4), (uint16_t)(0xfffe + i));
		assert_int_equal(p[l4 + 13], (i == 0 ? 0x80 : 0) | 0x10 | (i + 1 == nout ? 8 : 0));
		assert_memory_equal(p + header, frame + 10 + header + at, len[i] - header);
		at += len[i] - header;
	}
	assert_int_equal(at, payload);
}

static void test_tcp(void **state)
{
	for (unsigned family = 4; family <= 6; family += 2) {
		check_tcp_split(family, 0, 1000);
		check_tcp_split(family, 999, 1000);
		check_tcp_split(family, 1000, 1000);
		check_tcp_split(family, 1001, 1000);
		check_tcp_split(family, 65000, 1368);
		check_tcp_split(family, 127, 1);
	}
}

static void test_udp(void **state)
{
	for (unsigned family = 4; family <= 6; family += 2) {
		size_t l4 = family == 4 ? 20 : 40;
		split_all(make_frame(family, WG_OFFLOAD_UDP, 5001, 1200));
		assert_int_equal(nout, 5);
		for (unsigned i = 0; i < nout; i++) {
			assert_true(ip_checksum_ok(out[i]));
			assert_true(l4_checksum_ok(out[i], len[i], WG_OFFLOAD_UDP));
			assert_int_equal(wg_offload_be16(out[i] + l4 + 4), len[i] - l4);
		}
		assert_int_equal(len[4], l4 + 8 + 201);
	}
}

static void test_whole(void **state)
{
	struct slice f = make_frame(4, WG_OFFLOAD_UDP, 333, 0);
	split_all(f);
	assert_int_equal(nout, 1);
	assert_int_equal(len[0], f.n - 10);
	assert_true(l4_checksum_ok(out[0], len[0], WG_OFFLOAD_UDP));
	frame[0] = 0; /* the checksum is finished already: not touched */
	split_all(f);
	assert_memory_equal(out[0], frame + 10, len[0]);
}

/* Every truncation and every changed header byte: an error or packets inside their room. */
static void test_damaged(void **state)
{
	struct slice f = make_frame(4, WG_OFFLOAD_TCP, 300, 100);
	uint8_t *copy = malloc(f.n);
	for (size_t n = 0; n <= f.n; n++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct wg_split s;
			memcpy(copy, frame, f.n);
			copy[n % 62] ^= (uint8_t)(1u << bit);
			uint8_t *tight = malloc(n + 1);
			memcpy(tight, copy, n);
			unsigned packets = 0;
			if (wg_split_init(&s, slice_of(tight, n)) == 0)
				while (wg_split_next(&s, mslice_of(out[0], 400)) > 0)
					assert_true(++packets <= 400);
			free(tight);
		}
	}
	free(copy);
}

static void test_small_room(void **state)
{
	struct wg_split s;
	assert_int_equal(wg_split_init(&s, make_frame(4, WG_OFFLOAD_TCP, 300, 100)), 0);
	assert_int_equal(wg_split_next(&s, mslice_of(out[0], 151)), LN_E_LIMIT);
	assert_int_equal(wg_split_next(&s, mslice_of(out[0], 152)), 152);
}

/* --- joining ---------------------------------------------------------------------------------- */

static void add(unsigned i)
{
	assert_true(wg_merge_add(&merge, mslice_of(out[i], len[i])));
}

/* What was split joins to what it was, header included. */
static void test_round_trip(void **state)
{
	for (unsigned family = 4; family <= 6; family += 2) {
		struct slice f = make_frame(family, WG_OFFLOAD_TCP, 30000, 1000);
		frame[10 + (family == 4 ? 20 : 40) + 13] &= 0x7f; /* CWR is never joined */
		split_all(f);
		wg_merge_init(&merge, true);
		for (unsigned i = 0; i < nout; i++)
			add(i);
		assert_int_equal(merge.n, 1);
		const struct wg_merge_item *it = wg_merge_item(&merge, 0);
		uint8_t *joined = malloc(f.n);
		size_t n = 0;
		for (unsigned i = 0; i < it->nparts; i++) {
			memcpy(joined + n, it->part[i].p, it->part[i].n);
			n += it->part[i].n;
		}
		assert_int_equal(n, f.n - 10);
		assert_memory_equal(joined, frame + 10, n);
		free(joined);
		assert_int_equal(it->vnet.gso_size, 1000);
		assert_int_equal(it->vnet.flags, WG_VNET_NEEDS_CSUM);
		assert_int_equal(it->vnet.csum_start, family == 4 ? 20 : 40);
	}
}

static void split_plain(size_t payload)
{
	struct slice f = make_frame(4, WG_OFFLOAD_TCP, payload, 1000);
	frame[10 + 20 + 13] = 0x10;
	split_all(f);
}

static void test_not_joined(void **state)
{
	split_plain(8000);
	wg_merge_init(&merge, true);
	add(0);
	add(2); /* a gap */
	add(1); /* late */
	assert_int_equal(merge.n, 3);
	assert_int_equal(wg_merge_item(&merge, 0)->vnet.gso_type, WG_VNET_GSO_NONE);

	split_plain(8000);
	out[1][60] ^= 1; /* damaged payload: keeps its wrong checksum */
	wg_merge_init(&merge, true);
	add(0);
	add(1);
	add(2);
	assert_int_equal(merge.n, 3);

	split_plain(8000);
	out[1][8]--; /* another TTL; its checksum is the IP header's only */
	wg_merge_init(&merge, true);
	add(0);
	add(1);
	assert_int_equal(merge.n, 2);

	split_plain(2500);
	wg_merge_init(&merge, true);
	add(0);
	add(1);
	add(2); /* the short one ends the item */
	assert_int_equal(merge.n, 1);
	assert_false(merge.item[0].open);
}

static void split_udp(unsigned family, size_t payload)
{
	split_all(make_frame(family, WG_OFFLOAD_UDP, payload, 1000));
}

static void test_udp_round_trip(void **state)
{
	for (unsigned family = 4; family <= 6; family += 2) {
		uint8_t joined[10000];
		size_t n = 0;
		split_udp(family, 7300);
		wg_merge_init(&merge, true);
		for (unsigned i = 0; i < nout; i++)
			add(i);
		assert_int_equal(merge.n, 1);
		assert_false(merge.item[0].open); /* the short one ends it */
		const struct wg_merge_item *it = wg_merge_item(&merge, 0);
		for (unsigned i = 0; i < it->nparts; i++) {
			memcpy(joined + n, it->part[i].p, it->part[i].n);
			n += it->part[i].n;
		}
		assert_memory_equal(joined, frame + 10, n);
		assert_int_equal(n, 7300 + (family == 4 ? 28 : 48));
		assert_int_equal(it->vnet.gso_type, WG_VNET_GSO_UDP);
		assert_int_equal(it->vnet.gso_size, 1000);
		assert_int_equal(it->vnet.csum_offset, 6);
		split_udp(family, 7300); /* a TUN that does not take them */
		wg_merge_init(&merge, false);
		for (unsigned i = 0; i < nout; i++)
			add(i);
		assert_int_equal(merge.n, nout);
	}
}

/* Without DF the identification of an IPv4 datagram means something. */
static void clear_df(unsigned i, uint16_t id)
{
	out[i][6] = 0;
	wg_offload_put16(out[i] + 4, id);
}

static void test_udp_not_joined(void **state)
{
	split_udp(4, 3000);
	out[1][26] = out[1][27] = 0; /* sent without a checksum */
	wg_merge_init(&merge, true);
	add(0);
	add(1);
	add(2);
	assert_int_equal(merge.n, 3);

	split_udp(4, 3000);
	out[1][500] ^= 1;
	wg_merge_init(&merge, true);
	add(0);
	add(1);
	assert_int_equal(merge.n, 2);

	split_udp(4, 3000);
	clear_df(0, 0xffff);
	clear_df(1, 0);
	clear_df(2, 2);
	wg_merge_init(&merge, true);
	add(0);
	add(1);
	assert_int_equal(merge.n, 1); /* 65535 and then 0 */
	add(2);
	assert_int_equal(merge.n, 2);

	split_udp(4, 3000);
	wg_merge_init(&merge, true);
	add(0);
	out[1][1] = 3; /* congestion was met by one of them only */
	add(1);
	assert_int_equal(merge.n, 2);

	split_udp(4, 2300);
	wg_merge_init(&merge, true);
	add(2);
	add(0); /* longer than the first */
	assert_int_equal(merge.n, 2);
}

/* Every length and alignment around the wide loop, against the definition. */
static void test_sum(void **state)
{
	for (size_t i = 0; i < 4096; i++)
		frame[i] = (uint8_t)(i * 40503 >> 4);
	memset(frame + 4096, 0xff, 4096); /* as many carries as there can be */
	for (size_t at = 0; at < 9; at++)
		for (size_t n = 0; n < 400; n++) {
			const uint8_t *p = frame + (n % 2 != 0 ? 4096 : 0) + at;
			uint8_t got[2];
			wg_offload_store_partial(got, wg_offload_sum(0, p, n));
			assert_int_equal(wg_offload_be16(got), slow_sum(p, n, 0));
		}
	uint8_t got[2];
	wg_offload_store_partial(got, wg_offload_sum(0, frame, 65535));
	assert_int_equal(wg_offload_be16(got), slow_sum(frame, 65535, 0));
}

/* A pure ACK between data of its flow is not overtaken. */
static void test_order_within_flow(void **state)
{
	split_plain(4000);
	uint8_t *ack = out[10];
	memcpy(ack, out[1], 52);
	len[10] = 52;
	wg_offload_put16(ack + 2, 52);
	wg_merge_init(&merge, true);
	add(0);
	add(10);
	add(1);
	add(2);
	assert_int_equal(merge.n, 3);
	assert_ptr_equal(merge.item[1].first, ack);
	assert_int_equal(merge.item[2].nparts, 2);
}

static void test_limits(void **state)
{
	make_frame(4, WG_OFFLOAD_TCP, 100, 1);
	frame[10 + 20 + 13] = 0x10;
	split_all(slice_of(frame, 10 + 52 + 100));
	wg_merge_init(&merge, true);
	for (unsigned i = 0; i < 100; i++)
		add(i);
	assert_int_equal(merge.n, 2);
	assert_int_equal(merge.item[0].nparts, WG_MERGE_PARTS);
	assert_int_equal(merge.item[1].nparts, 100 - WG_MERGE_PARTS);

	split_all(make_frame(4, WG_OFFLOAD_UDP, 10, 0));
	wg_merge_init(&merge, false);
	for (unsigned i = 0; i < WG_MERGE_ITEMS; i++)
		add(0);
	assert_false(wg_merge_add(&merge, mslice_of(out[0], len[0])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),        cmocka_unit_test(test_udp),
		cmocka_unit_test(test_whole),      cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_small_room), cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_not_joined), cmocka_unit_test(test_order_within_flow),
		cmocka_unit_test(test_limits),     cmocka_unit_test(test_udp_round_trip),
		cmocka_unit_test(test_sum),        cmocka_unit_test(test_udp_not_joined),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
