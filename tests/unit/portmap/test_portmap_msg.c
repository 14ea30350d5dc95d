/* Messages of RFC 6886 3 and RFC 6887 7, 11 byte by byte. */
#include <string.h>

#include "lib/portmap/portmap_msg.h"

#include "tests/unit/unit.h"

static const struct portmap_request map_request = {
	.kind = PORTMAP_PCP_MAP,
	.client = { .family = 4, .b = { 10, 1, 0, 2 } },
	.nonce = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 },
	.port = 51820,
	.wanted = { .port = 40001 },
	.lifetime = 7200,
};

static void test_pcp_request(void **state)
{
	static const uint8_t expected[60] = {
		2, 1, 0, 0, 0, 0, 0x1c, 0x20, /* version, MAP, lifetime 7200 */
		0, 0, 0, 0, 0, 0, 0,    0,    0,  0,  0xff, 0xff, 10, 1, 0,    2,    1,    2,
		3, 4, 5, 6, 7, 8, 9,    10,   11, 12, 17,   0,    0,  0, 0xca, 0x6c, 0x9c, 0x41,
		0, 0, 0, 0, 0, 0, 0,    0,    0,  0,  0xff, 0xff, 0,  0, 0,    0,
	};
	uint8_t buf[PORTMAP_MSG_MAX];
	(void)state;
	assert_int_equal(portmap_msg_write(&map_request, buf), sizeof(expected));
	assert_memory_equal(buf, expected, sizeof(expected));
	struct portmap_request q = map_request;
	q.kind = PORTMAP_PCP_ANNOUNCE;
	assert_int_equal(portmap_msg_write(&q, buf), 24);
	assert_int_equal(buf[1], 0);
}

static void test_pmp_request(void **state)
{
	static const uint8_t map[12] = { 0, 1, 0, 0, 0xca, 0x6c, 0x9c, 0x41, 0, 0, 0x1c, 0x20 };
	static const uint8_t removal[12] = { 0, 1, 0, 0, 0xca, 0x6c };
	uint8_t buf[PORTMAP_MSG_MAX];
	struct portmap_request q = map_request;
	(void)state;
	q.kind = PORTMAP_PMP_MAP;
	assert_int_equal(portmap_msg_write(&q, buf), sizeof(map));
	assert_memory_equal(buf, map, sizeof(map));
	q.lifetime = 0;
	assert_int_equal(portmap_msg_write(&q, buf), sizeof(removal));
	assert_memory_equal(buf, removal, sizeof(removal));
	q.kind = PORTMAP_PMP_ADDRESS;
	assert_int_equal(portmap_msg_write(&q, buf), 2);
	assert_memory_equal(buf, ((uint8_t[]){ 0, 0 }), 2);
}

static void test_pcp_answer(void **state)
{
	static const uint8_t answer[60] = {
		2, 0x81, 0, 0,  0,  0,  0x0e, 0x10, 0, 0,    0,    77,   0,    0,    0,
		0, 0,    0, 0,  0,  0,  0,    0,    0, 1,    2,    3,    4,    5,    6,
		7, 8,    9, 10, 11, 12, 17,   0,    0, 0,    0xca, 0x6c, 0x9c, 0x42, 0,
		0, 0,    0, 0,  0,  0,  0,    0,    0, 0xff, 0xff, 198,  51,   100,  21,
	};
	struct portmap_answer a;
	(void)state;
	assert_int_equal(portmap_msg_read(slice_of(answer, sizeof(answer)), &a), 0);
	assert_int_equal(a.kind, PORTMAP_PCP_MAP);
	assert_int_equal(a.lifetime, 3600);
	assert_int_equal(a.epoch, 77);
	assert_int_equal(a.port, 51820);
	assert_int_equal(a.mapped.port, 40002);
	assert_int_equal(a.mapped.addr.family, 4);
	assert_int_equal(ip_to_u32(&a.mapped.addr), 0xc6336415);
	assert_memory_equal(a.nonce, map_request.nonce, sizeof(a.nonce));
	for (size_t n = 0; n < sizeof(answer); n++)
		assert_true(portmap_msg_read(slice_of(answer, n), &a) < 0);
	uint8_t tcp[60];
	memcpy(tcp, answer, sizeof(tcp));
	tcp[36] = 6;
	assert_int_equal(portmap_msg_read(slice_of(tcp, sizeof(tcp)), &a), LN_E_MALFORMED);
	tcp[1] = 1; /* a request */
	assert_int_equal(portmap_msg_read(slice_of(tcp, sizeof(tcp)), &a), LN_E_MALFORMED);
}

static void test_pmp_answer(void **state)
{
	static const uint8_t address[12] = { 0, 0x80, 0, 0, 0, 0, 0, 5, 198, 51, 100, 21 };
	static const uint8_t map[16] = { 0,    0x81, 0,    0,    0, 0, 0,    6,
					 0xca, 0x6c, 0x9c, 0x42, 0, 0, 0x0e, 0x10 };
	static const uint8_t refused[8] = { 0, 0x80, 0, 3, 0, 0, 0, 5 };
	static const uint8_t old[8] = { 0, 0x81, 0, 1, 0, 0, 0, 5 }; /* to PCP */
	struct portmap_answer a;
	(void)state;
	assert_int_equal(portmap_msg_read(slice_of(address, sizeof(address)), &a), 0);
	assert_int_equal(a.kind, PORTMAP_PMP_ADDRESS);
	assert_int_equal(ip_to_u32(&a.mapped.addr), 0xc6336415);
	assert_int_equal(portmap_msg_read(slice_of(map, sizeof(map)), &a), 0);
	assert_int_equal(a.kind, PORTMAP_PMP_MAP);
	assert_int_equal(a.mapped.port, 40002);
	assert_int_equal(a.mapped.addr.family, 0);
	assert_int_equal(a.lifetime, 3600);
	for (size_t n = 0; n < sizeof(map); n++)
		assert_true(portmap_msg_read(slice_of(map, n), &a) < 0);
	assert_int_equal(portmap_msg_read(slice_of(refused, sizeof(refused)), &a), 0);
	assert_int_equal(a.result, 3);
	assert_false(a.other_version);
	assert_int_equal(portmap_msg_read(slice_of(old, sizeof(old)), &a), 0);
	assert_true(a.other_version);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pcp_request),
		cmocka_unit_test(test_pmp_request),
		cmocka_unit_test(test_pcp_answer),
		cmocka_unit_test(test_pmp_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
