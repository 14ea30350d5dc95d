/* Both ends of TLS in memory: verification, resumption by ticket, replaced certificates. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/net/net_tls.h"
#include "tests/unit/unit.h"

#define HOST "vpn.example.org"

static char folder[] = "/tmp/test_net_tls.XXXXXX";
static char cert_file[64], key_file[64];

/* A self-signed certificate for HOST, as a file and its own root. */
static int make_files(void **state)
{
	assert_non_null(mkdtemp(folder));
	snprintf(cert_file, sizeof(cert_file), "%s/cert.pem", folder);
	snprintf(key_file, sizeof(key_file), "%s/key.pem", folder);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	assert_non_null(key);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1,
				   0);
	X509_set_issuer_name(x, name);
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:" HOST);
	assert_non_null(san);
	X509_add_ext(x, san, -1);
	X509_EXTENSION_free(san);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	FILE *f = fopen(cert_file, "w");
	assert_int_equal(PEM_write_X509(f, x), 1);
	fclose(f);
	f = fopen(key_file, "w");
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
	return 0;
}

static int remove_files(void **state)
{
	unlink(cert_file);
	unlink(key_file);
	return rmdir(folder);
}

static struct net_tls_ctx *server_ctx(void)
{
	struct net_tls_ctx *c;
	struct ln_fail f;
	assert_int_equal(net_tls_ctx_server(cert_file, key_file, &c, &f), 0);
	return c;
}

static struct net_tls_ctx *client_ctx(void)
{
	struct net_tls_ctx *c;
	struct ln_fail f;
	assert_int_equal(net_tls_ctx_client(cert_file, &c, &f), 0);
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
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
