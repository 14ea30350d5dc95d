#pragma once
/*
 * TLS by OpenSSL, without descriptors: a session reads from the bytes it is fed and appends what it
 * wants to send to a string of its owner.
 *
 * A context (certificates, roots, limits) is shared by its sessions: each holds a reference of
 * OpenSSL's, so a context may be freed or replaced at any time; live sessions keep the old one.
 * TLS 1.2 and up. A client always verifies chain and name.
 *
 * Resumption (TLS 1.3 only): the server gives each session one ticket and keeps nothing; tickets of
 * a context that was replaced lead to a full handshake. A client context remembers the newest
 * ticket and shows it once, to the same host. So a client context belongs to one thread.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/str.h"

struct net_tls_ctx;
struct net_tls;

/* PEM files. LN_E_MALFORMED with OpenSSL's reason in f. ALPN offers h2, then http/1.1. */
LN_MUST_CHECK int net_tls_ctx_server(const char *cert_file, const char *key_file,
				     struct net_tls_ctx **ret, struct ln_fail *f);
/* The system's roots, plus ca_file when not null. ALPN asks for h2. */
LN_MUST_CHECK int net_tls_ctx_client(const char *ca_file, struct net_tls_ctx **ret,
				     struct ln_fail *f);
bool net_tls_ctx_valid(const struct net_tls_ctx *c); /* server: its certificate, at this moment */
void net_tls_ctx_free(struct net_tls_ctx *c);

/*
 * host: the name to verify, with SNI unless it is an address; null on the server. Null when it
 * cannot be a name (empty, too long); never on the server.
 */
struct net_tls *net_tls_new(struct net_tls_ctx *c, const char *host);
void net_tls_free(struct net_tls *t);
/* Client, before the start: asks for no protocol (relays speak HTTP/1.1 and no ALPN). */
void net_tls_without_alpn(struct net_tls *t);

/*
 * For other carriers of TLS (QUIC): is this chain, DER and the leaf first, good for the host by the
 * roots of a client context? LN_E_AUTH with the reason in f.
 */
LN_MUST_CHECK int net_tls_verify(struct net_tls_ctx *c, const char *host, const struct slice *chain,
				 size_t n, struct ln_fail *f);

/* Client: emits the first flight. Server: nothing. LN_E_AUTH on failure. */
LN_MUST_CHECK int net_tls_start(struct net_tls *t, struct str *out);
/*
 * A step of the handshake on the bytes that came. 0: done; what is left in *in is for
 * net_tls_read(). LN_E_AGAIN: all was taken, the peer is next. Else as net_tls_read(). May run on
 * any thread that has the session to itself.
 */
LN_MUST_CHECK int net_tls_handshake(struct net_tls *t, struct slice *in, struct str *out);
/*
 * Takes cipher text from the front of *in, gives plain text. Positive: bytes in dst. LN_E_AGAIN:
 * all of *in was taken, more is needed. LN_E_CLOSED: the peer ended properly. LN_E_AUTH: broken;
 * the reason is in net_tls_error().
 */
LN_MUST_CHECK int net_tls_read(struct net_tls *t, struct slice *in, struct mslice dst,
			       struct str *out);
/* LN_E_STATE before the handshake is done; LN_E_AUTH when the session is broken. */
LN_MUST_CHECK int net_tls_write(struct net_tls *t, struct slice plain, struct str *out);
void net_tls_end(struct net_tls *t, struct str *out); /* close_notify */
bool net_tls_is_ready(const struct net_tls *t);       /* handshake done */
bool net_tls_is_h2(const struct net_tls *t);          /* ALPN agreed on h2 */
bool net_tls_is_resumed(const struct net_tls *t);     /* by a ticket; after the handshake */
const char *net_tls_error(const struct net_tls *t);   /* never null */
