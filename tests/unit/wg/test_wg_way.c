/* The outer IP header and the device: its congestion marks, and paths that are narrow. */
#include "lib/wg/wg_ecn.h"
#include "lib/wg/wg_offload.h"

#include "tests/unit/unit.h"
#include "tests/unit/wg/wg_world.h"

#define ROOM 2000

static struct world w;
static uint8_t room[ROOM];

static int setup(void **state)
{
	world_init(&w, 5, NULL);
	world_peer(&w, 0, 1, 0, NULL);
	world_peer(&w, 1, 0, 0, NULL);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, true);
	world_pass(&w, LN_SEC);
	return 0;
}

static int teardown(void **state)
{
	world_fini(&w);
	return 0;
}

/* A packet of host 0 for host 1, sealed; the result stays in `room`. */
static struct wg_tx seal(size_t size, uint8_t tos, bool dont_fragment)
{
	struct wg_tx tx = { .msg = room, .inner = size };
	uint8_t *p = room + WG_MSG_DATA_HEADER_LEN;
	memset(room, 0, sizeof(room));
	p[0] = 0x45;
	p[1] = tos;
	wg_offload_put16(p + 2, (uint16_t)size);
	p[6] = dont_fragment ? 0x40 : 0;
	p[12] = p[16] = 10;
	p[15] = 1;
	p[19] = 2;
	wg_offload_store(p + 10, wg_offload_sum(0, p, 20));
	wg_dev_seal(w.h[0].dev, w.now, &tx, 1);
	return tx;
}

static struct slice open(const struct wg_tx *tx, enum wg_ecn ecn)
{
	struct wg_rx rx = { .msg = mslice_of(tx->msg, tx->len), .from = &w.h[0].ep, .ecn = ecn };
	wg_dev_open(w.h[1].dev, w.now, &rx, 1);
	return rx.inner;
}

static void test_marks(void **state)
{
	struct wg_tx tx = seal(100, 0xb8 | WG_ECN_ECT0, true);
	assert_int_equal(tx.err, 0);
	assert_int_equal(tx.ecn, WG_ECN_ECT0);
	struct slice inner = open(&tx, WG_ECN_CE);
	assert_int_equal(inner.n, 100);
	assert_int_equal(inner.p[1], 0xb8 | WG_ECN_CE);
	assert_int_equal(wg_offload_fold(wg_offload_sum(0, inner.p, 20)), 0xffff);

	tx = seal(100, 0xb8, true);
	assert_int_equal(tx.ecn, WG_ECN_NOT_ECT);
	assert_int_equal(open(&tx, WG_ECN_NOT_ECT).p[1], 0xb8);
	tx = seal(100, 0xb8, true);
	assert_int_equal(open(&tx, WG_ECN_CE).n, 0); /* the router meant to drop it */
	assert_int_equal(wg_dev_drops(w.h[1].dev)->congested, 1);
}

/* A packet that waited for a session takes its mark along. */
static void test_mark_of_staged(void **state)
{
	struct wg_out o;
	static uint8_t buf[WG_DEV_POLL_ROOM];
	struct ip_ep none = { 0 };
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &none, false);
	assert_int_equal(seal(100, WG_ECN_ECT1, true).err, LN_E_AGAIN);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, false);
	while (wg_dev_poll(w.h[0].dev, w.now, mslice_of(buf, sizeof(buf)), &o))
		if (o.kind == WG_OUT_DATAGRAM)
			break;
	assert_int_equal(o.kind, WG_OUT_DATAGRAM);
	assert_int_equal(o.ecn, WG_ECN_ECT1);
}

static void test_narrow(void **state)
{
	const size_t most = 1040; /* of 1,100 bytes, minus 60, and a multiple of 16 */
	assert_int_equal(seal(1280, 0, true).err, 0);
	wg_dev_path_mtu(w.h[0].dev, w.now, &w.h[1].ep, 1100);
	struct wg_tx tx = seal(most, 0, true);
	assert_int_equal(tx.err, 0);
	assert_true(tx.len + 28 <= 1100);
	tx = seal(most + 1, 0, true);
	assert_int_equal(tx.err, LN_E_LIMIT);
	assert_int_equal(tx.mtu, most);
	assert_int_equal(tx.len, 0);
	assert_int_equal(wg_dev_drops(w.h[0].dev)->too_big, 1);
	assert_int_equal(seal(1280, 0, false).err, 0); /* the kernel may cut it */
}

/* Another peer's path, time, and another place. */
static void test_narrow_no_more(void **state)
{
	struct ip_ep other = w.h[1].ep;
	other.port++;
	wg_dev_path_mtu(w.h[0].dev, w.now, &other, 1100);
	assert_int_equal(seal(1280, 0, true).err, 0);
	wg_dev_path_mtu(w.h[0].dev, w.now, &w.h[1].ep, 1100);
	w.now += 60 * LN_SEC;
	assert_int_equal(seal(1280, 0, true).err, LN_E_LIMIT);
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &w.h[1].ep, false);
	assert_int_equal(seal(1280, 0, true).err, LN_E_LIMIT); /* the same place */
	wg_dev_set_endpoint(w.h[0].dev, w.now, &w.h[1].key, &other, false);
	assert_int_equal(seal(1280, 0, true).err, 0);

	wg_dev_path_mtu(w.h[0].dev, w.now, &other, 1100);
	w.now += 601 * LN_SEC;
	assert_int_not_equal(seal(1280, 0, true).err, LN_E_LIMIT);
}

/* SYNs of both directions leave the device with what the path has room for. */
static void test_syn(void **state)
{
	uint8_t *p = room + WG_MSG_DATA_HEADER_LEN;
	for (unsigned narrow = 0; narrow < 2; narrow++) { /* known to the sender, or the receiver */
		struct wg_tx tx = { .msg = room, .inner = 44 };
		teardown(NULL);
		setup(NULL);
		wg_dev_path_mtu(w.h[narrow].dev, w.now, &w.h[1 - narrow].ep, 1100);
		memset(room, 0, sizeof(room));
		memcpy(p, (uint8_t[]){ 0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6 }, 10);
		memcpy(p + 12, (uint8_t[]){ 10, 0, 0, 1, 10, 0, 0, 2 }, 8);
		memcpy(p + 32, (uint8_t[]){ 0x60, 2 }, 2);
		memcpy(p + 40, (uint8_t[]){ 2, 4, 0x04, 0xd8 }, 4);
		wg_dev_seal(w.h[0].dev, w.now, &tx, 1);
		struct slice inner = open(&tx, WG_ECN_NOT_ECT);
		assert_int_equal(inner.n, 44);
		assert_int_equal(wg_offload_be16(inner.p + 42), 1040 - 40);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_marks), T(test_mark_of_staged), T(test_narrow), T(test_narrow_no_more),
		T(test_syn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
