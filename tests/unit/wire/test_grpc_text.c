#include "lib/wire/grpc_text.h"

#include "tests/unit/unit.h"

static void timeout_of(const char *text, ln_time want)
{
	ln_time t = -1;
	assert_int_equal(grpc_timeout_parse(slice_str(text), &t), 0);
	assert_true(t == want);
}

static void timeouts_are_read(void **state)
{
	/* Recorded from official agents. */
	timeout_of("999926u", 999926 * LN_USEC);
	timeout_of("14996739u", 14996739 * LN_USEC);
	timeout_of("1n", 1);
	timeout_of("3m", 3 * LN_MSEC);
	timeout_of("3S", 3 * LN_SEC);
	timeout_of("2M", 2 * LN_MINUTE);
	timeout_of("00000001H", LN_HOUR);
	timeout_of("99999999H", LN_TIME_NEVER);
	timeout_of("0u", 0);
	static const char *const bad[] = { "", "u", "1", "1s", "123456789u", "-1u", "1.5S", " 1u" };
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		ln_time t = 7;
		assert_int_equal(grpc_timeout_parse(slice_str(bad[i]), &t), LN_E_MALFORMED);
		assert_true(t == 7);
	}
}

static void timeouts_are_written(void **state)
{
	static const struct {
		ln_time left;
		const char *text;
	} v[] = {
		{ 5 * LN_SEC, "5000000u" },
		{ 1, "1u" },
		{ 0, "1u" },
		{ -5, "1u" },
		{ 1001, "2u" },
		{ 99999999 * LN_USEC, "99999999u" },
		{ 99999999 * LN_USEC + 1, "100000m" },
		{ 30 * LN_HOUR, "108000S" },
		{ LN_TIME_NEVER, "2562048H" },
	};

	for (size_t i = 0; i < LN_COUNT(v); i++) {
		char t[GRPC_TIMEOUT_TEXT];
		grpc_timeout_format(v[i].left, t);
		if (i == 7)
			assert_true(strcmp(t, "108000S") == 0 || strcmp(t, "108000000m") == 0);
		else
			assert_string_equal(t, v[i].text);
		ln_time back;
		assert_int_equal(grpc_timeout_parse(slice_str(t), &back), 0);
		assert_true(back >= v[i].left);
	}
}

static void messages_survive(void **state)
{
	struct str enc, dec;
	str_init(&enc, 0);
	str_init(&dec, 0);
	grpc_message_encode(slice_str("50% \xc3\xa4\n~ ok"), &enc);
	assert_string_equal(str_c(&enc), "50%25 %C3%A4%0A~ ok");
	grpc_message_decode(str_slice(&enc), &dec);
	assert_string_equal(str_c(&dec), "50% \xc3\xa4\n~ ok");
	str_clear(&dec);
	grpc_message_decode(slice_str("%zz %4 %e4%"), &dec);
	assert_string_equal(str_c(&dec), "%zz %4 \xe4%");
	uint8_t all[256];
	for (size_t i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	str_clear(&enc);
	str_clear(&dec);
	grpc_message_encode(slice_of(all, 256), &enc);
	grpc_message_decode(str_slice(&enc), &dec);
	assert_int_equal(dec.n, 256);
	assert_memory_equal(dec.s, all, 256);
	str_fini(&enc);
	str_fini(&dec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timeouts_are_read),
		cmocka_unit_test(timeouts_are_written),
		cmocka_unit_test(messages_survive),
	};
	return cmocka_run_group_tests_name("grpc_text", tests, NULL, NULL);
}
