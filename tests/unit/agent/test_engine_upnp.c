/* What the helper may say. */
#include <string.h>

#include "src/agent/engine/engine_upnp.h"
#include "tests/unit/unit.h"

static bool reads(const char *text, struct ip_ep *ep)
{
	char url[256];
	*ep = (struct ip_ep){ 0 };
	return engine_upnp_read(slice_str(text), ep, url);
}

static void test_answers(void **state)
{
	struct ip_ep ep;
	char url[256], text[IP_EP_TEXT_MAX], big[600];
	(void)state;
	assert_true(engine_upnp_read(
		slice_str("mapped 11.0.0.21 40001 http://10.1.0.1:5000/rootDesc.xml\n"), &ep, url));
	ip_ep_format(&ep, text);
	assert_string_equal(text, "11.0.0.21:40001");
	assert_string_equal(url, "http://10.1.0.1:5000/rootDesc.xml");
	/* It does not know its address: the port alone counts. */
	assert_true(reads("mapped 0.0.0.0 40001 http://a/\n", &ep));
	assert_int_equal(ep.addr.family, 0);
	assert_false(reads("", &ep));
	assert_false(reads("mapped", &ep));
	assert_false(reads("mapped 11.0.0.21 0 http://a/", &ep));
	assert_false(reads("mapped 11.0.0.21 65536 http://a/", &ep));
	assert_false(reads("mapped 11.0.0 40001 http://a/", &ep));
	assert_false(reads("mapped 2001:db8::1 40001 http://a/", &ep));
	assert_false(reads("mapped 127.0.0.1 40001 http://a/", &ep));
	assert_false(reads("mapped 224.0.0.1 40001 http://a/", &ep));
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	assert_false(reads(big, &ep));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_answers) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
