/* Labels: spec management-protocol 5.1; punycode against the samples of RFC 3492 section 7.1. */
#include <string.h>

#include "src/store/store_label.h"
#include "tests/unit/unit.h"

static void test_plain(void **state)
{
	static const struct {
		const char *name, *label;
	} t[] = {
		{ "host-1", "host-1" },
		{ "Host_A", "host-a" },
		{ "web.example.org", "web" },
		{ "my laptop!", "my-laptop-" },
		{ "a", "a" },
		{ "UPPER.lower", "upper" },
		{ "-x", "-x" },
	};

	char got[STORE_LABEL_TEXT];
	for (size_t i = 0; i < LN_COUNT(t); i++) {
		assert_int_equal(store_label_base(t[i].name, got), 0);
		assert_string_equal(got, t[i].label);
	}
}

static void test_punycode(void **state)
{
	static const struct {
		const char *name, *label;
	} t[] = {
		{ "b\xc3\xbc"
		  "cher",
		  "xn--bcher-kva" },
		{ "M\xc3\xbcnchen.local", "xn--mnchen-3ya" },
		/* RFC 3492 7.1 (L) 3<nen>B<gumi><kinpachi><sensei>, in lower case */
		{ "3\xe5\xb9\xb4"
		  "b\xe7\xb5\x84\xe9\x87\x91\xe5\x85\xab\xe5\x85\x88\xe7\x94\x9f",
		  "xn--3b-ww4c5e180e575a65lsy2b" },
		/* RFC 3492 7.1 (B) Chinese (simplified) */
		{ "\xe4\xbb\x96\xe4\xbb\xac\xe4\xb8\xba\xe4\xbb\x80\xe4\xb9\x88\xe4\xb8\x8d\xe8"
		  "\xaf\xb4\xe4\xb8\xad\xe6\x96\x87",
		  "xn--ihqwcrb4cv8a8dqg056pqjye" },
	};

	char got[STORE_LABEL_TEXT];
	for (size_t i = 0; i < LN_COUNT(t); i++) {
		assert_int_equal(store_label_base(t[i].name, got), 0);
		assert_string_equal(got, t[i].label);
	}
}

static void test_refused(void **state)
{
	static const char *const t[] = {
		"",     "...",   ".x",       "---",          "!!!",
		"\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80"
	};
	char got[STORE_LABEL_TEXT];
	for (size_t i = 0; i < LN_COUNT(t); i++)
		assert_int_equal(store_label_base(t[i], got), LN_E_MALFORMED);
}

static void test_length(void **state)
{
	char name[300], got[STORE_LABEL_TEXT], with[STORE_LABEL_TEXT];
	struct ip_addr ip = ip_v4(0x6440fffe);
	memset(name, 'a', sizeof(name));
	name[59] = '\0';
	assert_int_equal(store_label_base(name, got), 0);
	assert_int_equal(strlen(got), 59);
	name[59] = 'a';
	name[60] = '\0';
	assert_int_equal(store_label_base(name, got), 0);
	assert_int_equal(strlen(got), 59);
	store_label_with_address(got, &ip, with);
	assert_string_equal(with + 59, "-255-254");
	/* Long and not ASCII: cut inside the digits, but never beyond the room. */
	for (int i = 0; i < 127; i++)
		memcpy(name + 2 * i, "\xc3\xbc", 2);
	name[254] = '\0';
	assert_int_equal(store_label_base(name, got), 0);
	assert_int_equal(strlen(got), 59);
	memset(name, 'a', sizeof(name));
	name[256] = '\0';
	assert_int_equal(store_label_base(name, got), LN_E_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_punycode),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
