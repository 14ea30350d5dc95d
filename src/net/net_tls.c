#include "src/net/net_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/ip.h"

#define TICKET_LIFE 7200 /* seconds */

struct net_tls_ctx {
	SSL_CTX *ssl;
	bool server;
	/* Client: the newest ticket and whose it is. */
	SSL_SESSION *ticket;
	char ticket_host[256];
};

struct net_tls {
	SSL *ssl;
	char *host;       /* client */
	struct slice *in; /* set only while a call runs */
	struct str *out;  /* the same */
	char error[160];
};

/* --- the BIO between OpenSSL and our slices ---------------------------------------------------*/

static int bio_read(BIO *b, char *dst, int n)
{
	struct net_tls *t = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (t->in == NULL || t->in->n == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	size_t take = LN_MIN((size_t)n, t->in->n);
	memcpy(dst, t->in->p, take);
	*t->in = slice_after(*t->in, take);
	return (int)take;
}

static int bio_write(BIO *b, const char *src, int n)
{
	struct net_tls *t = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (t->out == NULL)
		return -1;
	str_addn(t->out, src, (size_t)n);
	return t->out->err == 0 ? n : -1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

/* One method table for the process; OpenSSL locks inside, and programs make contexts at start. */
static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *m;
	if (m == NULL) {
		m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "linnet slices");
		ln_assert(m != NULL);
		BIO_meth_set_read(m, bio_read);
		BIO_meth_set_write(m, bio_write);
		BIO_meth_set_ctrl(m, bio_ctrl);
	}
	return m;
}

/* --- contexts ---------------------------------------------------------------------------------*/

static const char *ssl_reason(void)
{
	unsigned long e = ERR_peek_last_error();
	const char *s = e != 0 ? ERR_reason_error_string(e) : NULL;
	/* System errors (no such file) have no reason string. */
	if (s == NULL && e != 0 && ERR_SYSTEM_ERROR(e))
		s = ln_strerror(-ERR_GET_REASON(e));
	return s != NULL ? s : "unknown reason";
}

static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *outlen,
		       const unsigned char *in, unsigned inlen, void *arg)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";
	unsigned char *chosen;
	int r = SSL_select_next_proto(&chosen, outlen, ours, sizeof(ours) - 1, in, inlen);
	*out = chosen;
	return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static struct net_tls_ctx *ctx_new(bool server)
{
	struct net_tls_ctx *c = ln_alloc(sizeof(*c));
	c->server = server;
	c->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	ln_assert(c->ssl != NULL);
	SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION);
	SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					    SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* The server keeps no state of past sessions; the tickets do. */
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
	return c;
}

/* --- resumption -------------------------------------------------------------------------------*/

/*
 * Before TLS 1.3 a resumed session derives its keys from the old secret, so whoever gets the ticket
 * key reads what was recorded; 1.3 always adds a fresh exchange (RFC 8446 2.2).
 */
static int no_old_tickets(SSL *ssl, void *arg)
{
	if (SSL_version(ssl) < TLS1_3_VERSION)
		SSL_set_options(ssl, SSL_OP_NO_TICKET);
	return 1;
}

static void server_tickets(struct net_tls_ctx *c)
{
	static const unsigned char name[] = "linnet";
	SSL_CTX_set_num_tickets(c->ssl, 1); /* each is one connection's worth */
	SSL_CTX_set_timeout(c->ssl, TICKET_LIFE);
	SSL_CTX_set_session_id_context(c->ssl, name, sizeof(name) - 1);
	SSL_CTX_set_cert_cb(c->ssl, no_old_tickets, NULL);
}

static void forget_ticket(struct net_tls_ctx *c)
{
	SSL_SESSION_free(c->ticket);
	c->ticket = NULL;
}

/*
 * A ticket came. The context may be gone while its last sessions live on. A copy is kept: OpenSSL
 * spoils its own when the connection breaks without a proper end, which is when it is wanted.
 */
static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct net_tls_ctx *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct net_tls *t = SSL_get_app_data(ssl);
	if (c == NULL || t->host == NULL || strlen(t->host) >= sizeof(c->ticket_host))
		return 0;
	forget_ticket(c);
	c->ticket = SSL_SESSION_dup(session);
	strcpy(c->ticket_host, t->host);
	return 0; /* not taken */
}

static void client_tickets(struct net_tls_ctx *c)
{
	SSL_CTX_set_session_cache_mode(c->ssl,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_set_app_data(c->ssl, c);
	SSL_CTX_sess_set_new_cb(c->ssl, on_ticket);
}

/* A ticket is shown once: two connections cannot be told to be of one client (RFC 8446 C.4). */
static void use_ticket(struct net_tls_ctx *c, struct net_tls *t)
{
	if (c->ticket == NULL || strcmp(c->ticket_host, t->host) != 0)
		return;
	(void)SSL_set_session(t->ssl, c->ticket);
	forget_ticket(c);
}

int net_tls_ctx_server(const char *cert_file, const char *key_file, struct net_tls_ctx **ret,
		       struct ln_fail *f)
{
	struct net_tls_ctx *c = ctx_new(true);
	ERR_clear_error();
	int r = 0;
	if (SSL_CTX_use_certificate_chain_file(c->ssl, cert_file) != 1)
		r = ln_fail(f, LN_E_MALFORMED, "certificate %s: %s", cert_file, ssl_reason());
	else if (SSL_CTX_use_PrivateKey_file(c->ssl, key_file, SSL_FILETYPE_PEM) != 1)
		r = ln_fail(f, LN_E_MALFORMED, "key %s: %s", key_file, ssl_reason());
	else if (SSL_CTX_check_private_key(c->ssl) != 1)
		r = ln_fail(f, LN_E_MALFORMED, "key %s does not belong to certificate %s", key_file,
			    cert_file);
	if (r != 0) {
		net_tls_ctx_free(c);
		return r;
	}
	SSL_CTX_set_alpn_select_cb(c->ssl, alpn_select, NULL);
	server_tickets(c);
	*ret = c;
	return 0;
}

int net_tls_ctx_client(const char *ca_file, struct net_tls_ctx **ret, struct ln_fail *f)
{
	struct net_tls_ctx *c = ctx_new(false);
	ERR_clear_error();
	SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_default_verify_paths(c->ssl);
	if (ca_file != NULL && SSL_CTX_load_verify_file(c->ssl, ca_file) != 1) {
		int r = ln_fail(f, LN_E_MALFORMED, "root certificate %s: %s", ca_file,
				ssl_reason());
		net_tls_ctx_free(c);
		return r;
	}
	SSL_CTX_set_alpn_protos(c->ssl, (const unsigned char *)"\x02h2", 3);
	client_tickets(c);
	*ret = c;
	return 0;
}

bool net_tls_ctx_valid(const struct net_tls_ctx *c)
{
	const X509 *x = SSL_CTX_get0_certificate(c->ssl);
	return x != NULL && X509_cmp_current_time(X509_get0_notBefore(x)) < 0 &&
	       X509_cmp_current_time(X509_get0_notAfter(x)) > 0;
}

void net_tls_ctx_free(struct net_tls_ctx *c)
{
	if (c == NULL)
		return;
	if (!c->server) {
		forget_ticket(c);
		SSL_CTX_set_app_data(c->ssl, NULL);
	}
	SSL_CTX_free(c->ssl);
	free(c);
}

/* --- sessions ---------------------------------------------------------------------------------*/

/* A name that cannot be verified must not lead to a session without a name check. */
static bool set_name(X509_VERIFY_PARAM *p, const char *host, bool *ret_is_ip)
{
	struct ip_addr a;
	*ret_is_ip = ip_parse(slice_str(host), &a) == 0;
	if (host[0] == '\0')
		return false;
	if (*ret_is_ip)
		return X509_VERIFY_PARAM_set1_ip(p, a.b, a.family == 4 ? 4 : 16) == 1;
	X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(p, host, 0) == 1;
}

static bool set_host(struct net_tls *t, const char *host)
{
	bool is_ip;
	if (!set_name(SSL_get0_param(t->ssl), host, &is_ip))
		return false;
	return is_ip || SSL_ctrl(t->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
				 (void *)(uintptr_t)host) == 1;
}

static int verify_chain(struct net_tls_ctx *c, const char *host, STACK_OF(X509) * chain,
			struct ln_fail *f)
{
	bool is_ip;
	int r = LN_E_AUTH;
	X509_STORE_CTX *v = X509_STORE_CTX_new();
	ln_assert(v != NULL);
	if (sk_X509_num(chain) == 0 ||
	    X509_STORE_CTX_init(v, SSL_CTX_get_cert_store(c->ssl), sk_X509_value(chain, 0),
				chain) != 1 ||
	    X509_STORE_CTX_set_default(v, "ssl_server") != 1 ||
	    !set_name(X509_STORE_CTX_get0_param(v), host, &is_ip))
		(void)ln_fail(f, r, "the certificate cannot be verified");
	else if (X509_verify_cert(v) == 1)
		r = 0;
	else
		(void)ln_fail(f, r, "%s",
			      X509_verify_cert_error_string(X509_STORE_CTX_get_error(v)));
	X509_STORE_CTX_free(v);
	return r;
}

int net_tls_verify(struct net_tls_ctx *c, const char *host, const struct slice *chain, size_t n,
		   struct ln_fail *f)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	ln_assert(certs != NULL);
	for (size_t i = 0; i < n; i++) {
		const unsigned char *p = chain[i].p;
		X509 *x = d2i_X509(NULL, &p, (long)chain[i].n);
		if (x != NULL)
			ln_assert(sk_X509_push(certs, x) > 0);
		else if (i == 0)
			break; /* no leaf */
	}
	int r = verify_chain(c, host, certs, f);
	sk_X509_pop_free(certs, X509_free);
	ERR_clear_error();
	return r;
}

struct net_tls *net_tls_new(struct net_tls_ctx *c, const char *host)
{
	struct net_tls *t = ln_alloc(sizeof(*t));
	t->ssl = SSL_new(c->ssl);
	ln_assert(t->ssl != NULL);
	BIO *b = BIO_new(bio_method());
	ln_assert(b != NULL);
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	if (c->server) {
		SSL_set_accept_state(t->ssl);
	} else {
		SSL_set_connect_state(t->ssl);
		SSL_set_app_data(t->ssl, t);
		if (!set_host(t, host)) {
			ERR_clear_error();
			net_tls_free(t);
			return NULL;
		}
		t->host = ln_strdup(host);
		use_ticket(c, t);
	}
	return t;
}

void net_tls_without_alpn(struct net_tls *t)
{
	SSL_set_alpn_protos(t->ssl, NULL, 0);
}

void net_tls_free(struct net_tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	free(t->host);
	free(t);
}

static void enter(struct net_tls *t, struct slice *in, struct str *out)
{
	t->in = in;
	t->out = out;
	ERR_clear_error();
}

static void leave(struct net_tls *t)
{
	t->in = NULL;
	t->out = NULL;
}

/* Turns what OpenSSL said into one of ours and keeps the words. */
static int result(struct net_tls *t, int r)
{
	int e = SSL_get_error(t->ssl, r);
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return LN_E_AGAIN;
	if (e == SSL_ERROR_ZERO_RETURN)
		return LN_E_CLOSED;
	long v = SSL_get_verify_result(t->ssl);
	snprintf(t->error, sizeof(t->error), "%s",
		 v != X509_V_OK ? X509_verify_cert_error_string(v) : ssl_reason());
	ERR_clear_error();
	return LN_E_AUTH;
}

int net_tls_start(struct net_tls *t, struct str *out)
{
	enter(t, NULL, out);
	int r = SSL_is_server(t->ssl) ? 1 : SSL_do_handshake(t->ssl);
	if (r != 1) {
		r = result(t, r);
		leave(t);
		return r == LN_E_AGAIN ? 0 : r;
	}
	leave(t);
	return 0;
}

int net_tls_handshake(struct net_tls *t, struct slice *in, struct str *out)
{
	enter(t, in, out);
	int r = SSL_do_handshake(t->ssl);
	r = r == 1 ? 0 : result(t, r);
	leave(t);
	return r;
}

int net_tls_read(struct net_tls *t, struct slice *in, struct mslice dst, struct str *out)
{
	enter(t, in, out);
	int r = SSL_read(t->ssl, dst.p, (int)LN_MIN(dst.n, (size_t)INT32_MAX));
	if (r <= 0)
		r = result(t, r);
	leave(t);
	return r;
}

int net_tls_write(struct net_tls *t, struct slice plain, struct str *out)
{
	if (!SSL_is_init_finished(t->ssl))
		return LN_E_STATE;
	enter(t, NULL, out);
	int r = 0;
	while (plain.n != 0) {
		r = SSL_write(t->ssl, plain.p, (int)LN_MIN(plain.n, (size_t)16384));
		if (r <= 0) {
			r = result(t, r);
			break;
		}
		plain = slice_after(plain, (size_t)r);
		r = 0;
	}
	leave(t);
	/* The string always takes what it is given, so there is nothing to wait for. */
	return r == LN_E_AGAIN ? LN_E_AUTH : r;
}

void net_tls_end(struct net_tls *t, struct str *out)
{
	enter(t, NULL, out);
	if (SSL_is_init_finished(t->ssl))
		(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
	leave(t);
}

bool net_tls_is_ready(const struct net_tls *t)
{
	return SSL_is_init_finished(t->ssl) == 1;
}

bool net_tls_is_h2(const struct net_tls *t)
{
	const unsigned char *p;
	unsigned n;
	SSL_get0_alpn_selected(t->ssl, &p, &n);
	return n == 2 && memcmp(p, "h2", 2) == 0;
}

bool net_tls_is_resumed(const struct net_tls *t)
{
	return SSL_session_reused(t->ssl) == 1;
}

const char *net_tls_error(const struct net_tls *t)
{
	return t->error[0] != '\0' ? t->error : "TLS failed";
}
