/* A client's QUIC connection: a socket of its own, and the certificate of the other side. */
#include "src/net/net_quic_internal.h"

#define CLIENT_CID 8

static void on_packet(void *user, const struct quic_packet *pkt)
{
	quic_conn_input(user, pkt);
}

static void on_socket_error(void *user, int err)
{
	struct net_quic *q = user;
	/* Later an ICMP message is no proof; silence and resets are. */
	if (!q->done)
		quic_conn_finish(q, err, ln_strerror(err));
}

static void on_turn(void *user)
{
	quic_conn_turn(user);
}

static const struct quic_socket_ops client_ops = {
	.packet = on_packet,
	.error = on_socket_error,
	.turn = on_turn,
};

static int client_start(struct net_quic *q, const struct net_quic_target *t)
{
	ngtcp2_settings s;
	ngtcp2_transport_params p;
	ngtcp2_cid own = { .datalen = CLIENT_CID }, first = { .datalen = QUIC_CID };
	struct sockaddr_storage local, remote;
	socklen_t nlocal;
	const ngtcp2_callbacks cb = quic_conn_callbacks(true);
	rng_fill(ev_rng(), own.data, own.datalen);
	rng_fill(ev_rng(), first.data, first.datalen);
	quic_conn_params(t->idle, &s, &p);
	quic_socket_local(q->socket, &local, &nlocal);
	const ngtcp2_path path = {
		.local = { (struct sockaddr *)&local, nlocal },
		.remote = { (struct sockaddr *)&remote, ip_ep_to_sockaddr(&t->at, &remote) },
	};
	int err = quic_session_new(q->creds, q->host, t->alpn, &q->ref, &q->tls);
	if (err < 0)
		return err;
	if (ngtcp2_conn_client_new(&q->conn, &first, &own, &path, NGTCP2_PROTO_VER_V1, &cb, &s, &p,
				   NULL, q) != 0)
		return LN_E_INTERNAL;
	ngtcp2_conn_set_tls_native_handle(q->conn, q->tls);
	return 0;
}

int net_quic_connect(struct ev_loop *loop, struct net_tls_ctx *roots,
		     const struct net_quic_target *t, const struct net_quic_ops *ops, void *user,
		     struct net_quic **ret)
{
	struct quic_socket *socket;
	struct quic_creds *creds;
	int err = quic_creds_client(roots, &creds);
	if (err < 0)
		return err;
	struct net_quic *q = quic_conn_alloc(loop, creds);
	quic_creds_unref(creds);
	q->ops = *ops;
	q->user = user;
	q->host = ln_strdup(t->host);
	q->keep_alive = t->keep_alive;
	err = quic_socket_new(loop, NULL, &t->at, t->fwmark, &client_ops, q, &socket);
	if (err == 0) {
		q->socket = socket;
		err = client_start(q, t);
	}
	if (err < 0) {
		quic_conn_drop(q);
		return err;
	}
	quic_conn_touch(q);
	*ret = q;
	return 0;
}
