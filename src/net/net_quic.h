#pragma once
/*
 * QUIC v1 (RFC 9000) for messages in DATAGRAM frames (RFC 9221), both roles; no stream is ever
 * opened (spec relay 11). Messages may be lost and may overtake each other.
 *
 * A listener owns one UDP socket for all its connections, a client has a socket of its own. What a
 * turn of the loop sends leaves together, equal packets of one connection as one segmented send.
 * Certificates are the files of TLS over TCP, and a client verifies them by the same rules
 * (net_tls_verify).
 *
 * Without the library (meson -Dquic=disabled) net_quic_built() is false and both openers say
 * LN_E_UNSUPPORTED.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"

struct ev_loop;
struct net_quic;
struct net_quic_listener;
struct net_tls_ctx;

#define NET_QUIC_SECRET 32

struct net_quic_ops {
	void (*ready)(void *user); /* client: the handshake is done; unused on a server */
	/* Valid during the call; net_quic_free() is fine inside. */
	void (*message)(void *user, struct slice msg);
	void (*writable)(void *user); /* after LN_E_AGAIN: there is room again */
	/*
	 * LN_E_CLOSED: the other side ended it properly; LN_E_AUTH: its certificate is refused, or
	 * it speaks another protocol; LN_E_TIMEOUT; -errno. Still to be freed. From the loop.
	 */
	void (*closed)(void *user, int err, const char *why);
};

struct net_quic_listen_conf {
	struct ip_ep at; /* family 0: every address, IPv4 and IPv6 */
	const char *cert_file, *key_file;
	const char *alpn;
	/*
	 * Of the tokens that end connections of a process before this one (stateless reset), so it
	 * stays the same over restarts.
	 */
	uint8_t secret[NET_QUIC_SECRET];
	ln_time idle;
	/* From so many unfinished handshakes on, clients must prove their address (Retry). */
	unsigned retry_above; /* 0 = 100 */
	bool retry_always;
	/* May somebody new start a handshake now? Null: yes. */
	bool (*admit)(void *user);
	/* A handshake is done: give the connection its ops by net_quic_attach(), or free it. */
	void (*accept)(void *user, struct net_quic *q, const struct ip_ep *from);
	void *user;
};

struct net_quic_target {
	const char *host; /* to verify; SNI unless it is an address */
	struct ip_ep at;
	const char *alpn;
	ln_time idle;       /* what we ask for; the smaller of both sides counts */
	ln_time keep_alive; /* a PING after so much silence */
	uint32_t fwmark;
};

struct net_quic_counters {
	uint64_t retries, resets, refused; /* sent; and handshakes nobody would admit */
};

bool net_quic_built(void);

/* -errno of the socket, LN_E_MALFORMED for the certificate, with the reason in f. */
LN_MUST_CHECK int net_quic_listen(struct ev_loop *loop, const struct net_quic_listen_conf *conf,
				  struct net_quic_listener **ret, struct ln_fail *f);
/* Rereads the certificate for later connections; on failure the old one stays. */
LN_MUST_CHECK int net_quic_listen_reload(struct net_quic_listener *l, struct ln_fail *f);
uint16_t net_quic_listen_port(const struct net_quic_listener *l);
const struct net_quic_counters *net_quic_listen_counters(const struct net_quic_listener *l);
/* Handshakes that go on are dropped; what accept() gave was freed before. Null is fine. */
void net_quic_listen_free(struct net_quic_listener *l);

/* roots: a client context, used during this call and the handshake. */
LN_MUST_CHECK int net_quic_connect(struct ev_loop *loop, struct net_tls_ctx *roots,
				   const struct net_quic_target *t, const struct net_quic_ops *ops,
				   void *user, struct net_quic **ret);
void net_quic_attach(struct net_quic *q, const struct net_quic_ops *ops, void *user);
void net_quic_free(struct net_quic *q); /* tells the other side; null is fine */

/*
 * 0: sent or about to be. LN_E_AGAIN: not now, writable() will come. LN_E_LIMIT: larger than what
 * the path is known to carry (it may learn more: net_quic_room()). LN_E_CLOSED: closed() comes.
 */
LN_MUST_CHECK int net_quic_send(struct net_quic *q, struct slice msg);
size_t net_quic_room(const struct net_quic *q); /* the largest message the path takes now */
