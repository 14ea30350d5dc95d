/* Both ends of TLS in memory: verification, resumption by ticket, replaced certificates. */
#include <string.h>

#include "src/net/net_tls.h"
#include "tests/unit/net/net_cert.h"
#include "tests/unit/unit.h"

#define HOST NET_CERT_HOST

static struct net_tls_ctx *server_ctx(void)
{
	struct net_tls_ctx *c;
	struct ln_fail f;
	assert_int_equal(net_tls_ctx_server(net_cert_file, net_cert_key, &c, &f), 0);
	return c;
}

static struct net_tls_ctx *client_ctx(void)
{
	struct net_tls_ctx *c;
	struct ln_fail f;
	assert_int_equal(net_tls_ctx_client(net_cert_file, &c, &f), 0);
	return c;
}

/* Feeds what one end has said to the other; the plain text goes to got. */
static int feed(struct net_tls *to, struct str *said, struct str *answer, struct str *got)
{
	uint8_t plain[4096];
	struct slice in = str_slice(said);
	int r;
	while ((r = net_tls_read(to, &in, mslice_of(plain, sizeof(plain)), answer)) > 0)
		str_addn(got, plain, (size_t)r);
	str_consume(said, said->n - in.n);
	return r == LN_E_AGAIN ? 0 : r;
}

/* One connection that carries "hello" to the server; whether it was resumed, or an error. */
static int converse(struct net_tls_ctx *sc, struct net_tls_ctx *cc, const char *host)
{
	struct net_tls *s = net_tls_new(sc, NULL), *c = net_tls_new(cc, host);
	struct str up, down, at_server, at_client;
	str_init(&up, 1 << 16);
	str_init(&down, 1 << 16);
	str_init(&at_server, 1 << 16);
	str_init(&at_client, 1 << 16);
	assert_non_null(c);
	int r = net_tls_start(c, &up);
	for (int i = 0; r == 0 && i < 4; i++) {
		r = feed(s, &up, &down, &at_server);
		if (r == 0)
			r = feed(c, &down, &up, &at_client);
	}
	if (r == 0) {
		assert_true(net_tls_is_ready(s) && net_tls_is_ready(c));
		assert_true(net_tls_is_h2(s) && net_tls_is_h2(c));
		assert_int_equal(net_tls_write(c, slice_str("hello"), &up), 0);
		assert_int_equal(feed(s, &up, &down, &at_server), 0);
		assert_true(slice_is(str_slice(&at_server), "hello"));
		assert_int_equal(net_tls_is_resumed(s), net_tls_is_resumed(c));
		r = net_tls_is_resumed(c);
	}
	net_tls_free(s);
	net_tls_free(c);
	str_fini(&up);
	str_fini(&down);
	str_fini(&at_server);
	str_fini(&at_client);
	return r;
}

static void test_a_ticket_is_used_once_each(void **state)
{
	struct net_tls_ctx *s = server_ctx(), *c = client_ctx();
	assert_int_equal(converse(s, c, HOST), 0);
	/* Neither end said goodbye: a broken connection is when a ticket is wanted. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(converse(s, c, HOST), 1);
	net_tls_ctx_free(s);
	net_tls_ctx_free(c);
}

static void test_a_replaced_certificate_is_shaken_hands_on(void **state)
{
	struct net_tls_ctx *s = server_ctx(), *c = client_ctx();
	assert_int_equal(converse(s, c, HOST), 0);
	net_tls_ctx_free(s);
	s = server_ctx();
	assert_int_equal(converse(s, c, HOST), 0);
	assert_int_equal(converse(s, c, HOST), 1);
	net_tls_ctx_free(s);
	net_tls_ctx_free(c);
}

static void test_a_ticket_is_for_one_host(void **state)
{
	struct net_tls_ctx *s = server_ctx(), *c = client_ctx();
	assert_int_equal(converse(s, c, HOST), 0);
	/* With the ticket the certificate would not be looked at again. */
	assert_int_equal(converse(s, c, "other.example.org"), LN_E_AUTH);
	net_tls_ctx_free(s);
	net_tls_ctx_free(c);
}

static void test_a_session_outlives_its_context(void **state)
{
	struct net_tls_ctx *s = server_ctx(), *c = client_ctx();
	struct net_tls *ts = net_tls_new(s, NULL), *tc = net_tls_new(c, HOST);
	struct str up, down, got;
	str_init(&up, 1 << 16);
	str_init(&down, 1 << 16);
	str_init(&got, 1 << 16);
	assert_int_equal(net_tls_start(tc, &up), 0);
	net_tls_ctx_free(s);
	net_tls_ctx_free(c);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(feed(ts, &up, &down, &got), 0);
		assert_int_equal(feed(tc, &down, &up, &got), 0);
	}
	assert_true(net_tls_is_ready(ts) && net_tls_is_ready(tc));
	net_tls_free(ts);
	net_tls_free(tc);
	str_fini(&up);
	str_fini(&down);
	str_fini(&got);
}

static void test_a_name_that_is_none_gives_no_session(void **state)
{
	struct net_tls_ctx *c = client_ctx();
	assert_null(net_tls_new(c, ""));
	net_tls_ctx_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_ticket_is_used_once_each),
		cmocka_unit_test(test_a_replaced_certificate_is_shaken_hands_on),
		cmocka_unit_test(test_a_ticket_is_for_one_host),
		cmocka_unit_test(test_a_session_outlives_its_context),
		cmocka_unit_test(test_a_name_that_is_none_gives_no_session),
	};
	return cmocka_run_group_tests(tests, net_cert_make, net_cert_remove);
}
