/* TLS 1.3 of QUIC by GnuTLS: OpenSSL 3.0 has no interface for it. Trust stays with OpenSSL. */
#include <stdio.h>
#include <stdlib.h>

#include "src/net/net_quic_internal.h"
#include "src/net/net_tls.h"
#include "src/obs/obs_log.h"

#define CHAIN_MAX 10

/* AES-128 first: it is what both libraries do fastest. */
static const char priority[] =
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:"
	"-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:%DISABLE_TLS13_COMPAT_MODE";

struct quic_creds {
	unsigned refs;
	gnutls_certificate_credentials_t x509;
	struct net_tls_ctx *roots; /* client */
};

/* The chain the server showed, judged by the rules of TLS over TCP. */
static int verify(gnutls_session_t session)
{
	ngtcp2_crypto_conn_ref *ref = gnutls_session_get_ptr(session);
	struct net_quic *q = ref->user_data;
	struct slice chain[CHAIN_MAX];
	unsigned n = 0;
	const gnutls_datum_t *certs = gnutls_certificate_get_peers(session, &n);
	for (unsigned i = 0; i < n && i < CHAIN_MAX; i++)
		chain[i] = slice_of(certs[i].data, certs[i].size);
	struct ln_fail f = { 0 };
	int err = net_tls_verify(q->creds->roots, q->host, chain, LN_MIN(n, CHAIN_MAX), &f);
	if (err == 0)
		return 0;
	(void)snprintf(q->why, sizeof(q->why), "%.150s", f.text);
	return GNUTLS_E_CERTIFICATE_ERROR;
}

int quic_creds_server(const char *cert_file, const char *key_file, struct quic_creds **ret,
		      struct ln_fail *f)
{
	gnutls_certificate_credentials_t x509;
	int err = net_quic_lib_open(f);
	if (err < 0)
		return err;
	ln_assert(gnutls_certificate_allocate_credentials(&x509) == 0);
	int r = gnutls_certificate_set_x509_key_file(x509, cert_file, key_file,
						     GNUTLS_X509_FMT_PEM);
	if (r < 0) {
		gnutls_certificate_free_credentials(x509);
		return ln_fail(f, LN_E_MALFORMED, "certificate %s with key %s: %s", cert_file,
			       key_file, gnutls_strerror(r));
	}
	struct quic_creds *c = ln_alloc(sizeof(*c));
	*c = (struct quic_creds){ .refs = 1, .x509 = x509 };
	*ret = c;
	return 0;
}

int quic_creds_client(struct net_tls_ctx *roots, struct quic_creds **ret)
{
	struct ln_fail f = { 0 };
	int err = net_quic_lib_open(&f);
	if (err < 0) {
		log_warn("net", "no QUIC", LOG_STR("why", f.text));
		return err;
	}
	struct quic_creds *c = ln_alloc(sizeof(*c));
	*c = (struct quic_creds){ .refs = 1, .roots = roots };
	ln_assert(gnutls_certificate_allocate_credentials(&c->x509) == 0);
	gnutls_certificate_set_verify_function(c->x509, verify);
	*ret = c;
	return 0;
}

struct quic_creds *quic_creds_ref(struct quic_creds *c)
{
	c->refs++;
	return c;
}

void quic_creds_unref(struct quic_creds *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	gnutls_certificate_free_credentials(c->x509);
	free(c);
}

static int configure(gnutls_session_t s, struct quic_creds *c, const char *host, const char *alpn)
{
	gnutls_datum_t protocol = { .data = (unsigned char *)(uintptr_t)alpn,
				    .size = (unsigned)strlen(alpn) };
	struct ip_addr literal;
	int r = gnutls_priority_set_direct(s, priority, NULL);
	if (r == 0)
		r = gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, c->x509);
	if (r == 0)
		r = gnutls_alpn_set_protocols(s, &protocol, 1, GNUTLS_ALPN_MANDATORY);
	if (r == 0 && host != NULL && ip_parse(slice_str(host), &literal) < 0)
		r = gnutls_server_name_set(s, GNUTLS_NAME_DNS, host, strlen(host));
	if (r == 0)
		r = host != NULL ? ngtcp2_crypto_gnutls_configure_client_session(s)
				 : ngtcp2_crypto_gnutls_configure_server_session(s);
	return r == 0 ? 0 : LN_E_UNSUPPORTED;
}

/* GNUTLS_ALPN_MANDATORY is about what was offered; a client that offers nothing is refused here. */
static int check_alpn(gnutls_session_t s, unsigned type, unsigned when, unsigned incoming,
		      const gnutls_datum_t *msg)
{
	gnutls_datum_t chosen;
	(void)type;
	(void)when;
	(void)incoming;
	(void)msg;
	return gnutls_alpn_get_selected_protocol(s, &chosen) == 0
		       ? 0
		       : GNUTLS_E_NO_APPLICATION_PROTOCOL;
}

int quic_session_new(struct quic_creds *c, const char *host, const char *alpn,
		     ngtcp2_crypto_conn_ref *ref, gnutls_session_t *ret)
{
	gnutls_session_t s;
	unsigned flags = (host != NULL ? GNUTLS_CLIENT : GNUTLS_SERVER) | GNUTLS_NO_TICKETS |
			 GNUTLS_NO_END_OF_EARLY_DATA;
	if (gnutls_init(&s, flags) != 0)
		return LN_E_UNSUPPORTED;
	if (configure(s, c, host, alpn) < 0) {
		gnutls_deinit(s);
		return LN_E_UNSUPPORTED;
	}
	if (host == NULL)
		gnutls_handshake_set_hook_function(s, GNUTLS_HANDSHAKE_CLIENT_HELLO,
						   GNUTLS_HOOK_POST, check_alpn);
	gnutls_session_set_ptr(s, ref);
	*ret = s;
	return 0;
}
