/* What the transport below a relay decides without a network: words, and servers to avoid. */
#include <stdio.h>
#include <string.h>

#include "src/agent/relay_pipe.h"
#include "tests/unit/unit.h"

static void words(void **state)
{
	assert_int_equal(relay_transport_parse("quic"), RELAY_TRANSPORT_QUIC);
	assert_int_equal(relay_transport_parse(" WS\t"), RELAY_TRANSPORT_WS);
	assert_int_equal(relay_transport_parse("Prefer-Quic"), RELAY_TRANSPORT_PREFER_QUIC);
	assert_int_equal(relay_transport_parse("prefer-ws"), RELAY_TRANSPORT_PREFER_WS);
	static const char *const unknown[] = { NULL,      "",        " ", "auto",
					       "quic ws", "quicker", "w", "\n" };
	for (size_t i = 0; i < LN_COUNT(unknown); i++)
		assert_int_equal(relay_transport_parse(unknown[i]), RELAY_TRANSPORT_AUTO);
}

/* Spec relay 13: 10 minutes, doubled up to 60; a failure inside the window adds nothing. */
static void narrow_servers_are_avoided_for_a_while(void **state)
{
	struct relay_avoid a;
	ln_time now = LN_SEC;
	relay_avoid_init(&a);
	assert_false(relay_avoid_has(&a, "r:443", now));
	relay_avoid_mark(&a, "r:443", now);
	assert_true(relay_avoid_has(&a, "r:443", now + 10 * LN_MINUTE - 1));
	assert_false(relay_avoid_has(&a, "other:443", now));
	relay_avoid_mark(&a, "r:443", now + 9 * LN_MINUTE);
	assert_false(relay_avoid_has(&a, "r:443", now + 10 * LN_MINUTE));
	static const int minutes[] = { 20, 40, 60, 60 };
	for (size_t i = 0; i < LN_COUNT(minutes); i++) {
		now += 2 * LN_HOUR;
		relay_avoid_mark(&a, "r:443", now);
		assert_true(relay_avoid_has(&a, "r:443", now + minutes[i] * LN_MINUTE - 1));
		assert_false(relay_avoid_has(&a, "r:443", now + minutes[i] * LN_MINUTE));
	}
	relay_avoid_fini(&a);
}

/* Foreign addresses come from peers: their number is bounded, the newest stay. */
static void many_servers_do_not_grow_it(void **state)
{
	struct relay_avoid a;
	char name[32];
	size_t n = 0;
	relay_avoid_init(&a);
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "r%d:443", i);
		relay_avoid_mark(&a, name, LN_SEC);
	}
	list_for_each(l, &a.entries)
		n++;
	assert_int_equal(n, 64);
	assert_true(relay_avoid_has(&a, "r999:443", 2 * LN_SEC));
	assert_false(relay_avoid_has(&a, "r0:443", 2 * LN_SEC));
	relay_avoid_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(narrow_servers_are_avoided_for_a_while),
		cmocka_unit_test(many_servers_do_not_grow_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
