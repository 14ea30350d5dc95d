/* Frames of RFC 6455 5.7, edges of the lengths, and wslay as the judge of what we write and read.
 */
#include <wslay/wslay.h>

#include "lib/wire/ws_frame.h"

#include "tests/unit/unit.h"

static void test_examples_of_the_rfc(void **state)
{
	static const uint8_t plain[] = { 0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f };
	static const uint8_t masked[] = { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
					  0x7f, 0x9f, 0x4d, 0x51, 0x58 };
	struct ws_frame f;
	uint8_t text[5];
	assert_int_equal(ws_frame_read(slice_of(plain, sizeof(plain)), &f), 0);
	assert_true(f.fin && !f.masked && f.op == WS_FRAME_TEXT && f.payload == 5 && f.header == 2);
	assert_int_equal(ws_frame_read(slice_of(masked, sizeof(masked)), &f), 0);
	assert_true(f.fin && f.masked && f.payload == 5 && f.header == 6);
	ws_frame_mask(text, masked + 6, 5, f.mask);
	assert_memory_equal(text, "Hello", 5);
}

static void test_lengths(void **state)
{
	static const struct {
		size_t n, header;
	} v[] = { { 0, 2 },     { 1, 2 },      { 125, 2 },        { 126, 4 },
		  { 65535, 4 }, { 65536, 10 }, { 1ull << 40, 10 } };

	for (size_t i = 0; i < LN_COUNT(v); i++)
		for (int masked = 0; masked < 2; masked++) {
			uint8_t b[WS_FRAME_HEADER_MAX];
			static const uint8_t key[4] = { 1, 2, 3, 4 };
			struct ws_frame f;
			size_t n = ws_frame_write(b, WS_FRAME_BINARY, v[i].n, masked ? key : NULL);
			assert_int_equal(n, v[i].header + (masked ? 4 : 0));
			assert_int_equal(ws_frame_read(slice_of(b, n), &f), 0);
			assert_int_equal(f.payload, v[i].n);
			assert_int_equal(f.header, n);
			assert_int_equal(f.masked, masked);
			for (size_t cut = 0; cut < n; cut++)
				assert_int_equal(ws_frame_read(slice_of(b, cut), &f),
						 LN_E_TRUNCATED);
		}
}

static void test_what_is_refused(void **state)
{
	static const uint8_t v[][10] = {
		{ 0xc2, 0 },           /* a reserved bit */
		{ 0x83, 0 },           /* no such opcode */
		{ 0x8b, 0 },           /* the same, control */
		{ 0x09, 0 },           /* a fragmented Ping */
		{ 0x89, 126, 0, 126 }, /* a long Ping */
		{ 0x82, 126, 0, 125 }, /* not the shortest form */
		{ 0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff },
		{ 0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0 },
	};
	for (size_t i = 0; i < LN_COUNT(v); i++) {
		struct ws_frame f;
		assert_int_equal(ws_frame_read(slice_of(v[i], sizeof(v[i])), &f), LN_E_MALFORMED);
	}
}

static void test_mask_of_every_length(void **state)
{
	uint8_t src[100] = { 0 }, dst[100];
	static const uint8_t key[4] = { 0xde, 0xad, 0xbe, 0xef };
	for (size_t n = 0; n <= sizeof(src); n++) {
		for (size_t i = 0; i < n; i++)
			src[i] = (uint8_t)(i * 7 + n);
		ws_frame_mask(dst, src, n, key);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(dst[i], src[i] ^ key[i % 4]);
		ws_frame_mask(dst, dst, n, key);
		assert_memory_equal(dst, src, n);
	}
}

/* --- wslay ------------------------------------------------------------------------------------*/

struct wire {
	uint8_t b[70000];
	size_t n, at;
	uint8_t got[70000];
	size_t ngot;
	unsigned messages;
};

static ssize_t wslay_recv(wslay_event_context_ptr c, uint8_t *dst, size_t n, int flags, void *user)
{
	struct wire *w = user;
	size_t take = LN_MIN(n, w->n - w->at);
	if (take == 0) {
		wslay_event_set_error(c, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(dst, w->b + w->at, take);
	w->at += take;
	return (ssize_t)take;
}

static ssize_t wslay_send(wslay_event_context_ptr c, const uint8_t *p, size_t n, int flags,
			  void *user)
{
	struct wire *w = user;
	memcpy(w->b + w->n, p, n);
	w->n += n;
	return (ssize_t)n;
}

static int wslay_mask(wslay_event_context_ptr c, uint8_t *dst, size_t n, void *user)
{
	memset(dst, 0x5a, n);
	return 0;
}

static void wslay_msg(wslay_event_context_ptr c, const struct wslay_event_on_msg_recv_arg *arg,
		      void *user)
{
	struct wire *w = user;
	w->messages++;
	w->ngot = arg->msg_length;
	if (arg->msg_length > 0)
		memcpy(w->got, arg->msg, arg->msg_length);
	assert_int_equal(arg->opcode, WSLAY_BINARY_FRAME);
}

static const struct wslay_event_callbacks callbacks = {
	.recv_callback = wslay_recv,
	.send_callback = wslay_send,
	.genmask_callback = wslay_mask,
	.on_msg_recv_callback = wslay_msg,
};
static const size_t sizes[] = { 0, 1, 2, 125, 126, 127, 1200, 8820, 65535, 65536 };

static void test_wslay_reads_ours(void **state)
{
	static struct wire w;
	static const uint8_t key[4] = { 1, 2, 3, 4 };
	for (int client = 0; client < 2; client++)
		for (size_t i = 0; i < LN_COUNT(sizes); i++) {
			wslay_event_context_ptr c;
			memset(&w, 0, sizeof(w));
			int r = client ? wslay_event_context_client_init(&c, &callbacks, &w)
				       : wslay_event_context_server_init(&c, &callbacks, &w);
			assert_int_equal(r, 0);
			w.n = ws_frame_write(w.b, WS_FRAME_BINARY, sizes[i], client ? NULL : key);
			for (size_t k = 0; k < sizes[i]; k++)
				w.b[w.n + k] = (uint8_t)k;
			if (!client)
				ws_frame_mask(w.b + w.n, w.b + w.n, sizes[i], key);
			w.n += sizes[i];
			assert_int_equal(wslay_event_recv(c), 0);
			assert_int_equal(w.messages, 1);
			assert_int_equal(w.ngot, sizes[i]);
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(w.got[k], (uint8_t)k);
			wslay_event_context_free(c);
		}
}

static void test_we_read_wslays(void **state)
{
	static struct wire w;
	static uint8_t payload[65536];
	for (int client = 0; client < 2; client++)
		for (size_t i = 0; i < LN_COUNT(sizes); i++) {
			wslay_event_context_ptr c;
			struct wslay_event_msg m = { WSLAY_BINARY_FRAME, payload, sizes[i] };
			struct ws_frame f;
			memset(&w, 0, sizeof(w));
			for (size_t k = 0; k < sizes[i]; k++)
				payload[k] = (uint8_t)(k * 3);
			int r = client ? wslay_event_context_client_init(&c, &callbacks, &w)
				       : wslay_event_context_server_init(&c, &callbacks, &w);
			assert_int_equal(r, 0);
			assert_int_equal(wslay_event_queue_msg(c, &m), 0);
			assert_int_equal(wslay_event_send(c), 0);
			assert_int_equal(ws_frame_read(slice_of(w.b, w.n), &f), 0);
			assert_int_equal(f.masked, client);
			assert_int_equal(f.payload, sizes[i]);
			assert_int_equal(f.header + f.payload, w.n);
			if (f.masked)
				ws_frame_mask(w.b + f.header, w.b + f.header, sizes[i], f.mask);
			assert_memory_equal(w.b + f.header, payload, sizes[i]);
			wslay_event_context_free(c);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples_of_the_rfc),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_mask_of_every_length),
		cmocka_unit_test(test_wslay_reads_ours),
		cmocka_unit_test(test_we_read_wslays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
