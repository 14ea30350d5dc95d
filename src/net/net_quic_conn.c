/* One QUIC connection: ngtcp2 between a socket, GnuTLS and the owner's messages. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/str.h"

#include "src/net/net_quic_internal.h"

#define INBOX_LIMIT (8u << 10) /* all messages of one packet */
/* First byte, packet number, tag, and type and length of the frame. */
#define OVERHEAD (1 + 4 + 16 + 3)

/* --- the end ----------------------------------------------------------------------------------*/

void quic_conn_touch(struct net_quic *q)
{
	if (q->listener != NULL)
		quic_listener_touch(q->listener, q);
	else
		quic_socket_plan(q->socket);
}

void quic_conn_finish(struct net_quic *q, int err, const char *why)
{
	if (q->ended)
		return;
	q->ended = true;
	ev_timer_stop(&q->timer);
	if (q->listener != NULL && !q->attached)
		quic_listener_lost(q->listener, q);
	else
		q->ops.closed(q->user, err, q->why[0] != '\0' ? q->why : why);
}

static void say_close(struct net_quic *q, const ngtcp2_connection_close_error *e)
{
	static const uint8_t words[] = "normal closure";
	ngtcp2_connection_close_error normal;
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	if (ngtcp2_conn_is_in_closing_period(q->conn) || ngtcp2_conn_is_in_draining_period(q->conn))
		return;
	if (e == NULL) {
		/* Spec relay 11: application code 0 is the graceful end. */
		ngtcp2_connection_close_error_default(&normal);
		ngtcp2_connection_close_error_set_application_error(&normal, 0, words,
								    sizeof(words) - 1);
		e = &normal;
	}
	ngtcp2_path_storage_zero(&ps);
	uint8_t *room = quic_socket_room(q->socket);
	ngtcp2_ssize n = ngtcp2_conn_write_connection_close(
		q->conn, &ps.path, &pi, room, QUIC_PACKET_MAX, e, (ngtcp2_tstamp)ev_now());
	if (n > 0) {
		quic_socket_commit(q->socket, &ps.path, (size_t)n);
		quic_socket_plan(q->socket);
	}
}

/* Our library found the fault: the other side is told which. */
static void fail(struct net_quic *q, int liberr)
{
	ngtcp2_connection_close_error e;
	bool tls = liberr == NGTCP2_ERR_CRYPTO;
	char why[120];
	if (q->ended)
		return;
	ngtcp2_connection_close_error_default(&e);
	if (tls)
		ngtcp2_connection_close_error_set_transport_error_tls_alert(
			&e, ngtcp2_conn_get_tls_alert(q->conn), NULL, 0);
	else
		ngtcp2_connection_close_error_set_transport_error_liberr(&e, liberr, NULL, 0);
	say_close(q, &e);
	if (tls)
		(void)snprintf(
			why, sizeof(why), "TLS: %s",
			gnutls_alert_get_name(
				(gnutls_alert_description_t)ngtcp2_conn_get_tls_alert(q->conn)));
	else
		(void)snprintf(why, sizeof(why), "QUIC: %s", ngtcp2_strerror(liberr));
	quic_conn_finish(q, tls ? LN_E_AUTH : LN_E_MALFORMED, why);
}

/* The other side has ended it. */
static void drained(struct net_quic *q)
{
	ngtcp2_connection_close_error e;
	char why[120];
	if (q->reset) {
		quic_conn_finish(q, -ECONNRESET,
				 "the other side does not know the connection any more");
		return;
	}
	ngtcp2_conn_get_connection_close_error(q->conn, &e);
	if (e.type == NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_APPLICATION && e.error_code == 0) {
		quic_conn_finish(q, LN_E_CLOSED, "closed by the other side");
		return;
	}
	bool tls = e.type == NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_TRANSPORT &&
		   (e.error_code & ~(uint64_t)0xff) == NGTCP2_CRYPTO_ERROR;
	(void)snprintf(why, sizeof(why), "ended by the other side with error 0x%llx",
		       (unsigned long long)e.error_code);
	quic_conn_finish(q, tls ? LN_E_AUTH : LN_E_MALFORMED, why);
}

/* --- callbacks of ngtcp2: nothing of the owner is called in here ------------------------------*/

static ngtcp2_conn *get_conn(ngtcp2_crypto_conn_ref *ref)
{
	struct net_quic *q = ref->user_data;
	return q->conn;
}

static void on_rand(uint8_t *dst, size_t n, const ngtcp2_rand_ctx *ctx)
{
	(void)ctx;
	rng_fill(ev_rng(), dst, n);
}

static int on_new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t n, void *user)
{
	struct net_quic *q = user;
	(void)conn;
	rng_fill(ev_rng(), cid->data, n);
	cid->datalen = n;
	if (q->listener == NULL) {
		rng_fill(ev_rng(), token, NGTCP2_STATELESS_RESET_TOKENLEN);
		return 0;
	}
	if (ngtcp2_crypto_generate_stateless_reset_token(token, quic_listener_secret(q->listener),
							 NET_QUIC_SECRET, cid) != 0)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	quic_listener_register(q->listener, q, cid);
	return 0;
}

static int on_remove_cid(ngtcp2_conn *conn, const ngtcp2_cid *cid, void *user)
{
	struct net_quic *q = user;
	(void)conn;
	if (q->listener != NULL)
		quic_listener_unregister(q->listener, cid);
	return 0;
}

static int on_done(ngtcp2_conn *conn, void *user)
{
	struct net_quic *q = user;
	(void)conn;
	q->done = true;
	return 0;
}

static int on_reset(ngtcp2_conn *conn, const ngtcp2_pkt_stateless_reset *sr, void *user)
{
	struct net_quic *q = user;
	(void)conn;
	(void)sr;
	q->reset = true;
	return 0;
}

/* Kept until the packet is done with: the owner may send or free in message(). */
static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *data, size_t n, void *user)
{
	struct net_quic *q = user;
	uint16_t len = (uint16_t)n;
	(void)conn;
	(void)flags;
	if (q->inbox != NULL && n <= QUIC_RECV_MAX) {
		str_addn(q->inbox, &len, sizeof(len));
		str_addn(q->inbox, data, n);
	}
	return 0;
}

ngtcp2_callbacks quic_conn_callbacks(bool client)
{
	ngtcp2_callbacks c = {
		.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
		.handshake_completed = on_done,
		.encrypt = ngtcp2_crypto_encrypt_cb,
		.decrypt = ngtcp2_crypto_decrypt_cb,
		.hp_mask = ngtcp2_crypto_hp_mask_cb,
		.rand = on_rand,
		.get_new_connection_id = on_new_cid,
		.remove_connection_id = on_remove_cid,
		.update_key = ngtcp2_crypto_update_key_cb,
		.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
		.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
		.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
		.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
		.recv_datagram = on_datagram,
		.recv_stateless_reset = on_reset,
	};
	if (client) {
		c.client_initial = ngtcp2_crypto_client_initial_cb;
		c.recv_retry = ngtcp2_crypto_recv_retry_cb;
	} else {
		c.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
	}
	return c;
}

/* --- turns ------------------------------------------------------------------------------------*/

static void arm(struct net_quic *q)
{
	ngtcp2_tstamp at = ngtcp2_conn_get_expiry(q->conn);
	if (!q->ended)
		ev_timer_at(&q->timer, at == UINT64_MAX ? LN_TIME_NEVER : (ln_time)at);
}

/* Acknowledgements, probes, handshake: what ngtcp2 itself wants to send. */
static void write_own(struct net_quic *q)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;
	ngtcp2_path_storage_zero(&ps);
	do {
		uint8_t *room = quic_socket_room(q->socket);
		n = ngtcp2_conn_write_pkt(q->conn, &ps.path, &pi, room, QUIC_PACKET_MAX,
					  (ngtcp2_tstamp)ev_now());
		if (n > 0)
			quic_socket_commit(q->socket, &ps.path, (size_t)n);
	} while (n > 0);
	if (n < 0)
		fail(q, (int)n);
}

void quic_conn_turn(struct net_quic *q)
{
	if (q->ended || q->gone)
		return;
	write_own(q);
	if (!q->ended)
		arm(q);
	if (!q->ended && q->blocked && ngtcp2_conn_get_cwnd_left(q->conn) > 0) {
		q->blocked = false;
		q->ops.writable(q->user);
	}
}

static void on_timer(struct ev_timer *t)
{
	struct net_quic *q = ln_container(t, struct net_quic, timer);
	int r = ngtcp2_conn_handle_expiry(q->conn, (ngtcp2_tstamp)ev_now());
	if (r == 0) {
		quic_conn_touch(q);
		return;
	}
	if (r == NGTCP2_ERR_IDLE_CLOSE)
		quic_conn_finish(q, LN_E_TIMEOUT, "nothing was heard for too long");
	else if (r == NGTCP2_ERR_HANDSHAKE_TIMEOUT)
		quic_conn_finish(q, LN_E_TIMEOUT, "no QUIC handshake in time");
	else
		fail(q, r);
}

/* The handshake has just ended: who waits for that hears it before the first message. */
static void announce(struct net_quic *q)
{
	if (q->keep_alive != 0)
		ngtcp2_conn_set_keep_alive_timeout(q->conn, (ngtcp2_duration)q->keep_alive);
	if (q->listener != NULL)
		quic_listener_done(q->listener, q);
	else
		q->ops.ready(q->user);
}

static void deliver(struct net_quic *q, const struct str *inbox)
{
	struct slice rest = str_slice(inbox);
	while (rest.n > sizeof(uint16_t) && !q->gone && !q->ended) {
		uint16_t n;
		memcpy(&n, rest.p, sizeof(n));
		rest = slice_after(rest, sizeof(n));
		if (q->attached || q->listener == NULL)
			q->ops.message(q->user, slice_of(rest.p, n));
		rest = slice_after(rest, n);
	}
}

void quic_conn_input(struct net_quic *q, const struct quic_packet *pkt)
{
	struct str inbox;
	ngtcp2_pkt_info pi = { 0 };
	bool was_done = q->done;
	if (q->ended || q->gone)
		return;
	str_init(&inbox, INBOX_LIMIT);
	q->inbox = &inbox;
	int r = ngtcp2_conn_read_pkt(q->conn, pkt->path, &pi, pkt->p, pkt->n,
				     (ngtcp2_tstamp)ev_now());
	q->inbox = NULL;
	quic_conn_touch(q);
	if (q->done && !was_done && (r == 0 || r == NGTCP2_ERR_DRAINING))
		announce(q);
	/* What came with a close came before it. */
	deliver(q, &inbox);
	str_fini(&inbox);
	if (q->gone || q->ended || r == 0)
		return;
	if (r == NGTCP2_ERR_DRAINING)
		drained(q);
	else if (r == NGTCP2_ERR_CLOSING || r == NGTCP2_ERR_DROP_CONN)
		quic_conn_finish(q, LN_E_CLOSED, "closed");
	else
		fail(q, r);
}

/* --- use --------------------------------------------------------------------------------------*/

bool net_quic_built(void)
{
	return true;
}

size_t net_quic_room(const struct net_quic *q)
{
	const ngtcp2_transport_params *p = ngtcp2_conn_get_remote_transport_params(q->conn);
	size_t packet = ngtcp2_conn_get_path_max_tx_udp_payload_size(q->conn);
	size_t head = OVERHEAD + ngtcp2_conn_get_dcid(q->conn)->datalen;
	if (p == NULL || p->max_datagram_frame_size <= 3 || packet <= head)
		return 0;
	return (size_t)LN_MIN(packet - head, p->max_datagram_frame_size - 3);
}

int net_quic_send(struct net_quic *q, struct slice msg)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;
	int accepted = 0;
	const ngtcp2_vec v = { (uint8_t *)(uintptr_t)msg.p, msg.n };
	if (q->ended || q->gone || !q->done)
		return LN_E_CLOSED;
	if (msg.n > net_quic_room(q))
		return LN_E_LIMIT;
	ngtcp2_path_storage_zero(&ps);
	do {
		uint8_t *room = quic_socket_room(q->socket);
		n = ngtcp2_conn_writev_datagram(q->conn, &ps.path, &pi, room, QUIC_PACKET_MAX,
						&accepted, 0, 0, &v, 1, (ngtcp2_tstamp)ev_now());
		if (n > 0)
			quic_socket_commit(q->socket, &ps.path, (size_t)n);
	} while (n > 0 && !accepted);
	quic_conn_touch(q);
	if (accepted)
		return 0;
	if (n < 0)
		return LN_E_CLOSED;
	q->blocked = true;
	return LN_E_AGAIN;
}

void net_quic_attach(struct net_quic *q, const struct net_quic_ops *ops, void *user)
{
	q->ops = *ops;
	q->user = user;
	q->attached = true;
}

/* --- life -------------------------------------------------------------------------------------*/

void quic_conn_params(ln_time idle, ngtcp2_settings *s, ngtcp2_transport_params *p)
{
	ngtcp2_settings_default(s);
	s->initial_ts = (ngtcp2_tstamp)ev_now();
	s->handshake_timeout = QUIC_HANDSHAKE;
	s->max_tx_udp_payload_size = QUIC_PACKET_MAX;
	ngtcp2_transport_params_default(p);
	/* No stream may be opened: all limits stay zero. */
	p->max_idle_timeout = (ngtcp2_duration)idle;
	p->max_datagram_frame_size = QUIC_DATAGRAM_MAX;
	p->max_udp_payload_size = QUIC_RECV_MAX - 1;
	p->active_connection_id_limit = 4;
}

struct net_quic *quic_conn_alloc(struct ev_loop *loop, struct quic_creds *creds)
{
	struct net_quic *q = ln_alloc(sizeof(*q));
	q->loop = loop;
	q->creds = quic_creds_ref(creds);
	q->ref = (ngtcp2_crypto_conn_ref){ .get_conn = get_conn, .user_data = q };
	list_init(&q->all);
	list_init(&q->dirty);
	list_init(&q->cids);
	ev_timer_init(&q->timer, loop, on_timer);
	return q;
}

void quic_conn_drop(struct net_quic *q)
{
	q->gone = true;
	ev_timer_fini(&q->timer);
	list_remove(&q->all);
	list_remove(&q->dirty);
	while (!list_empty(&q->cids)) {
		struct quic_cid *c = list_entry(q->cids.next, struct quic_cid, of_conn);
		quic_listener_unregister(q->listener, &c->cid);
	}
	ngtcp2_conn_del(q->conn);
	q->conn = NULL;
	if (q->tls != NULL)
		gnutls_deinit(q->tls);
	quic_creds_unref(q->creds);
	if (q->listener == NULL)
		quic_socket_free(q->socket);
	free(q->host);
	ev_defer_free(q->loop, q);
}

void net_quic_free(struct net_quic *q)
{
	if (q == NULL || q->gone)
		return;
	if (!q->ended)
		say_close(q, NULL);
	q->ended = true;
	quic_conn_drop(q);
}

int quic_conn_server(struct ev_loop *loop, const struct quic_server_new *n, struct net_quic **ret)
{
	ngtcp2_settings s;
	ngtcp2_transport_params p;
	ngtcp2_cid own = { .datalen = QUIC_CID };
	const ngtcp2_callbacks cb = quic_conn_callbacks(false);
	struct net_quic *q = quic_conn_alloc(loop, n->creds);
	q->listener = n->listener;
	q->socket = n->socket;
	rng_fill(ev_rng(), own.data, own.datalen);
	quic_conn_params(n->idle, &s, &p);
	s.token = n->hd->token;
	p.original_dcid = n->original != NULL ? *n->original : n->hd->dcid;
	p.retry_scid_present = n->original != NULL;
	if (n->original != NULL)
		p.retry_scid = n->hd->dcid;
	p.stateless_reset_token_present = 1;
	if (ngtcp2_crypto_generate_stateless_reset_token(p.stateless_reset_token,
							 quic_listener_secret(n->listener),
							 NET_QUIC_SECRET, &own) != 0 ||
	    quic_session_new(n->creds, NULL, n->alpn, &q->ref, &q->tls) < 0 ||
	    ngtcp2_conn_server_new(&q->conn, &n->hd->scid, &own, n->path, n->hd->version, &cb, &s,
				   &p, NULL, q) != 0) {
		quic_conn_drop(q);
		return LN_E_INTERNAL;
	}
	ngtcp2_conn_set_tls_native_handle(q->conn, q->tls);
	/* Until it has heard ours, the client sends to the id it made up. */
	quic_listener_register(n->listener, q, &n->hd->dcid);
	quic_listener_register(n->listener, q, &own);
	*ret = q;
	return 0;
}
