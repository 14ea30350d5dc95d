#pragma once
/* The inside of src/net/net_quic*.c, for these files only. */
#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/base/list.h"
#include "lib/base/map.h"

#include "src/ev/ev.h"
#include "src/net/net_quic.h"
#include "src/net/net_quic_lib.h"

#define QUIC_CID 16           /* bytes of a connection id of ours */
#define QUIC_PACKET_MAX 1452u /* largest packet sent: what upstream's library stops at */
#define QUIC_RECV_MAX 2048u
#define QUIC_DATAGRAM_MAX 16383u
#define QUIC_HANDSHAKE (10 * LN_SEC)
#define QUIC_TX_BUFFER (64u << 10)
#define QUIC_TX_RUNS 64

/* --- net_quic_io.c: one UDP socket ------------------------------------------------------------*/

struct quic_socket;

/* A packet and both ends of its path; the addresses are as the system writes them. */
struct quic_packet {
	const ngtcp2_path *path;
	const uint8_t *p;
	size_t n;
};

struct quic_socket_ops {
	void (*packet)(void *user, const struct quic_packet *pkt);
	void (*error)(void *user, int err); /* of a connected socket */
	void (*turn)(void *user);           /* after packets, and when quic_socket_plan() asked */
};

/* remote: connected to it; null: bound to at, with the address of each packet kept. */
LN_MUST_CHECK int quic_socket_new(struct ev_loop *loop, const struct ip_ep *at,
				  const struct ip_ep *remote, uint32_t fwmark,
				  const struct quic_socket_ops *ops, void *user,
				  struct quic_socket **ret);
void quic_socket_free(struct quic_socket *s); /* sends what waits */
uint16_t quic_socket_port(const struct quic_socket *s);
void quic_socket_local(const struct quic_socket *s, struct sockaddr_storage *ss, socklen_t *len);
/* Room for one packet of QUIC_PACKET_MAX bytes, to be filled and committed. */
uint8_t *quic_socket_room(struct quic_socket *s);
void quic_socket_commit(struct quic_socket *s, const ngtcp2_path *path, size_t n);
void quic_socket_plan(struct quic_socket *s); /* turn() and sending at the end of this turn */

/* --- net_quic_tls.c ---------------------------------------------------------------------------*/

struct quic_creds;

/* Both load the libraries first: LN_E_UNSUPPORTED. */
LN_MUST_CHECK int quic_creds_server(const char *cert_file, const char *key_file,
				    struct quic_creds **ret, struct ln_fail *f);
LN_MUST_CHECK int quic_creds_client(struct net_tls_ctx *roots, struct quic_creds **ret);
struct quic_creds *quic_creds_ref(struct quic_creds *c);
void quic_creds_unref(struct quic_creds *c);
/* host null: a server. LN_E_UNSUPPORTED when GnuTLS refuses what it is told. */
LN_MUST_CHECK int quic_session_new(struct quic_creds *c, const char *host, const char *alpn,
				   ngtcp2_crypto_conn_ref *ref, gnutls_session_t *ret);

/* --- net_quic_conn.c --------------------------------------------------------------------------*/

struct quic_cid {
	struct map_node node; /* in the listener's table */
	struct list of_conn;
	struct net_quic *conn;
	ngtcp2_cid cid;
};

struct net_quic {
	struct ev_loop *loop;
	struct quic_socket *socket;
	struct net_quic_listener *listener; /* null: a client, which owns its socket */
	ngtcp2_conn *conn;
	ngtcp2_crypto_conn_ref ref;
	gnutls_session_t tls;
	struct quic_creds *creds;
	struct net_quic_ops ops;
	void *user;
	struct ev_timer timer;
	struct list all;
	struct list dirty; /* has to be looked at at the end of the turn */
	struct list cids;
	char *host; /* client: the name the certificate must have */
	char why[160];
	ln_time keep_alive;
	bool done;         /* the handshake */
	bool attached;     /* a server's owner has it */
	bool blocked;      /* LN_E_AGAIN was said */
	bool ended;        /* closed() was or will be called: nothing is sent or read */
	bool reset;        /* the other side does not know the connection */
	bool gone;         /* net_quic_free() was called; the memory stays for this turn */
	struct str *inbox; /* while a packet is read: messages, each behind its length */
};

/* What a connection asks of its listener. */
void quic_listener_register(struct net_quic_listener *l, struct net_quic *q, const ngtcp2_cid *cid);
void quic_listener_unregister(struct net_quic_listener *l, const ngtcp2_cid *cid);
void quic_listener_done(struct net_quic_listener *l, struct net_quic *q); /* handshake */
void quic_listener_touch(struct net_quic_listener *l, struct net_quic *q);
void quic_listener_lost(struct net_quic_listener *l, struct net_quic *q); /* before accept() */
const uint8_t *quic_listener_secret(const struct net_quic_listener *l);

struct quic_server_new {
	struct net_quic_listener *listener;
	struct quic_socket *socket;
	struct quic_creds *creds;
	const char *alpn;
	const ngtcp2_pkt_hd *hd;
	const ngtcp2_path *path;
	const ngtcp2_cid *original; /* what the client first sent to, when it was told to retry */
	ln_time idle;
};

LN_MUST_CHECK int quic_conn_server(struct ev_loop *loop, const struct quic_server_new *n,
				   struct net_quic **ret);
void quic_conn_input(struct net_quic *q, const struct quic_packet *pkt);
void quic_conn_turn(struct net_quic *q);
/* Frees it and says nothing: a handshake that ended, no ops were ever given. */
void quic_conn_drop(struct net_quic *q);

/* Of both roles. */
struct net_quic *quic_conn_alloc(struct ev_loop *loop, struct quic_creds *creds);
void quic_conn_params(ln_time idle, ngtcp2_settings *s, ngtcp2_transport_params *p);
ngtcp2_callbacks quic_conn_callbacks(bool client);
void quic_conn_touch(struct net_quic *q); /* there is something to send */
/* Reports the end once. Only from the loop, never inside ngtcp2. */
void quic_conn_finish(struct net_quic *q, int err, const char *why);
