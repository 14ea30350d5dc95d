/* The server's side of QUIC: packets to connections, and who may become one. */
#include <stdlib.h>

#include "src/net/net_quic_internal.h"
#include "src/obs/obs_log.h"

#define RETRY_ABOVE 100
#define UNFINISHED_MAX 4096 /* handshakes at once; more are not answered */
#define RETRY_LIFE (10 * LN_SEC)
#define RESETS_PER_SECOND 500
/*
 * RFC 9000 10.3: a reset looks like a packet and is smaller than what it answers, so that two
 * servers cannot keep answering each other. A lone PING has to be answered as well.
 */
#define RESET_MIN 21
#define RESET_MAX 42

struct net_quic_listener {
	struct ev_loop *loop;
	struct net_quic_listen_conf conf;
	char *cert_file, *key_file, *alpn;
	struct quic_socket *socket;
	struct quic_creds *creds;
	struct map cids;
	struct list conns;
	struct list dirty;
	unsigned unfinished;
	ln_time reset_bucket; /* when it is full again */
	struct net_quic_counters counters;
};

/* --- connection ids ---------------------------------------------------------------------------*/

static struct quic_cid *find_cid(const struct net_quic_listener *l, const uint8_t *p, size_t n)
{
	struct map_node *m = map_find(&l->cids, slice_of(p, n));
	return m != NULL ? map_entry(m, struct quic_cid, node) : NULL;
}

void quic_listener_register(struct net_quic_listener *l, struct net_quic *q, const ngtcp2_cid *cid)
{
	/* Only what a client makes up can be there already; the first one keeps it. */
	if (find_cid(l, cid->data, cid->datalen) != NULL)
		return;
	struct quic_cid *c = ln_alloc(sizeof(*c));
	c->cid = *cid;
	c->conn = q;
	map_insert(&l->cids, &c->node, slice_of(c->cid.data, c->cid.datalen));
	list_add_tail(&q->cids, &c->of_conn);
}

void quic_listener_unregister(struct net_quic_listener *l, const ngtcp2_cid *cid)
{
	struct quic_cid *c = find_cid(l, cid->data, cid->datalen);
	if (c == NULL)
		return;
	map_remove(&l->cids, &c->node);
	list_remove(&c->of_conn);
	free(c);
}

const uint8_t *quic_listener_secret(const struct net_quic_listener *l)
{
	return l->conf.secret;
}

/* --- connections ------------------------------------------------------------------------------*/

void quic_listener_touch(struct net_quic_listener *l, struct net_quic *q)
{
	if (list_empty(&q->dirty))
		list_add_tail(&l->dirty, &q->dirty);
	quic_socket_plan(l->socket);
}

void quic_listener_done(struct net_quic_listener *l, struct net_quic *q)
{
	struct ip_ep from = { .port = 0 };
	const ngtcp2_path *path = ngtcp2_conn_get_path(q->conn);
	(void)!ip_ep_from_sockaddr(path->remote.addr, &from);
	l->unfinished--;
	l->conf.accept(l->conf.user, q, &from);
}

void quic_listener_lost(struct net_quic_listener *l, struct net_quic *q)
{
	/* One that was done and is not attached was refused: accept() has freed it. */
	if (!q->done)
		l->unfinished--;
	quic_conn_drop(q);
}

static void on_turn(void *user)
{
	struct net_quic_listener *l = user;
	struct list *n;
	while ((n = list_pop(&l->dirty)) != NULL)
		quic_conn_turn(list_entry(n, struct net_quic, dirty));
}

/* --- packets of nobody ------------------------------------------------------------------------*/

static void send_version(struct net_quic_listener *l, const struct quic_packet *pkt,
			 const ngtcp2_version_cid *v)
{
	static const uint32_t versions[] = { NGTCP2_PROTO_VER_V1 };
	uint8_t *room = quic_socket_room(l->socket);
	/* A small packet is not answered: we would be the louder one (RFC 9000 6.1). */
	if (pkt->n < NGTCP2_MAX_UDP_PAYLOAD_SIZE)
		return;
	ngtcp2_ssize n = ngtcp2_pkt_write_version_negotiation(
		room, QUIC_PACKET_MAX, (uint8_t)rng_u32(ev_rng()), v->scid, v->scidlen, v->dcid,
		v->dcidlen, versions, LN_COUNT(versions));
	if (n > 0)
		quic_socket_commit(l->socket, pkt->path, (size_t)n);
}

/* So that a client of the process before this one need not wait for its idle timeout. */
static void send_reset(struct net_quic_listener *l, const struct quic_packet *pkt,
		       const ngtcp2_version_cid *v)
{
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN], random[RESET_MAX];
	ngtcp2_cid cid;
	ln_time now = ev_now(), cost = LN_SEC / RESETS_PER_SECOND;
	ln_time full = LN_MAX(l->reset_bucket, now) + cost;
	size_t len = LN_MIN(pkt->n - 1, (size_t)RESET_MAX);
	if (len < RESET_MIN || v->dcidlen != QUIC_CID || full - now > LN_SEC)
		return;
	l->reset_bucket = full;
	ngtcp2_cid_init(&cid, v->dcid, v->dcidlen);
	if (ngtcp2_crypto_generate_stateless_reset_token(token, l->conf.secret, NET_QUIC_SECRET,
							 &cid) != 0)
		return;
	size_t nrandom = len - sizeof(token);
	rng_fill(ev_rng(), random, nrandom);
	ngtcp2_ssize n = ngtcp2_pkt_write_stateless_reset(quic_socket_room(l->socket),
							  QUIC_PACKET_MAX, token, random, nrandom);
	if (n > 0) {
		quic_socket_commit(l->socket, pkt->path, (size_t)n);
		l->counters.resets++;
	}
}

static void send_retry(struct net_quic_listener *l, const struct quic_packet *pkt,
		       const ngtcp2_pkt_hd *hd)
{
	uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN];
	ngtcp2_cid own = { .datalen = QUIC_CID };
	rng_fill(ev_rng(), own.data, own.datalen);
	ngtcp2_ssize n = ngtcp2_crypto_generate_retry_token(
		token, l->conf.secret, NET_QUIC_SECRET, hd->version, pkt->path->remote.addr,
		pkt->path->remote.addrlen, &own, &hd->dcid, (ngtcp2_tstamp)ev_wall());
	if (n < 0)
		return;
	n = ngtcp2_crypto_write_retry(quic_socket_room(l->socket), QUIC_PACKET_MAX, hd->version,
				      &hd->scid, &own, &hd->dcid, token, (size_t)n);
	if (n > 0) {
		quic_socket_commit(l->socket, pkt->path, (size_t)n);
		l->counters.retries++;
	}
}

/* The client has proved its address by the token of a Retry. */
static bool proven(const struct net_quic_listener *l, const struct quic_packet *pkt,
		   const ngtcp2_pkt_hd *hd, ngtcp2_cid *original)
{
	return hd->token.len != 0 && hd->token.base[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY &&
	       ngtcp2_crypto_verify_retry_token(
		       original, hd->token.base, hd->token.len, l->conf.secret, NET_QUIC_SECRET,
		       hd->version, pkt->path->remote.addr, pkt->path->remote.addrlen, &hd->dcid,
		       RETRY_LIFE, (ngtcp2_tstamp)ev_wall()) == 0;
}

static void newcomer(struct net_quic_listener *l, const struct quic_packet *pkt)
{
	ngtcp2_pkt_hd hd;
	ngtcp2_cid original;
	struct net_quic *q;
	int r = ngtcp2_accept(&hd, pkt->p, pkt->n);
	if (r != 0)
		return;
	bool known = proven(l, pkt, &hd, &original);
	if (!known && (l->conf.retry_always || l->unfinished >= l->conf.retry_above)) {
		send_retry(l, pkt, &hd);
		return;
	}
	if (l->unfinished >= UNFINISHED_MAX ||
	    (l->conf.admit != NULL && !l->conf.admit(l->conf.user))) {
		l->counters.refused++;
		return;
	}
	const struct quic_server_new n = {
		.listener = l,
		.socket = l->socket,
		.creds = l->creds,
		.alpn = l->alpn,
		.hd = &hd,
		.path = pkt->path,
		.original = known ? &original : NULL,
		.idle = l->conf.idle,
	};
	if (quic_conn_server(l->loop, &n, &q) < 0)
		return;
	l->unfinished++;
	list_add_tail(&l->conns, &q->all);
	quic_conn_input(q, pkt);
}

static void on_packet(void *user, const struct quic_packet *pkt)
{
	struct net_quic_listener *l = user;
	ngtcp2_version_cid v;
	int r = ngtcp2_pkt_decode_version_cid(&v, pkt->p, pkt->n, QUIC_CID);
	if (r == NGTCP2_ERR_VERSION_NEGOTIATION) {
		send_version(l, pkt, &v);
		return;
	}
	if (r != 0)
		return;
	struct quic_cid *c = find_cid(l, v.dcid, v.dcidlen);
	if (c != NULL)
		quic_conn_input(c->conn, pkt);
	else if (v.version != 0)
		newcomer(l, pkt);
	else
		send_reset(l, pkt, &v);
}

static void on_error(void *user, int err)
{
	(void)user;
	(void)err; /* of connected sockets only */
}

/* --- life -------------------------------------------------------------------------------------*/

static const struct quic_socket_ops socket_ops = {
	.packet = on_packet,
	.error = on_error,
	.turn = on_turn,
};

int net_quic_listen(struct ev_loop *loop, const struct net_quic_listen_conf *conf,
		    struct net_quic_listener **ret, struct ln_fail *f)
{
	struct quic_creds *creds;
	int err = quic_creds_server(conf->cert_file, conf->key_file, &creds, f);
	if (err < 0)
		return err;
	struct net_quic_listener *l = ln_alloc(sizeof(*l));
	err = quic_socket_new(loop, &conf->at, NULL, 0, &socket_ops, l, &l->socket);
	if (err < 0) {
		quic_creds_unref(creds);
		free(l);
		return ln_fail(f, err, "%s", ln_strerror(err));
	}
	l->loop = loop;
	l->conf = *conf;
	if (l->conf.retry_above == 0)
		l->conf.retry_above = RETRY_ABOVE;
	l->creds = creds;
	l->cert_file = ln_strdup(conf->cert_file);
	l->key_file = ln_strdup(conf->key_file);
	l->alpn = ln_strdup(conf->alpn);
	map_init(&l->cids, rng_u64(ev_rng()), rng_u64(ev_rng()));
	list_init(&l->conns);
	list_init(&l->dirty);
	*ret = l;
	return 0;
}

int net_quic_listen_reload(struct net_quic_listener *l, struct ln_fail *f)
{
	struct quic_creds *fresh;
	int err = quic_creds_server(l->cert_file, l->key_file, &fresh, f);
	if (err < 0)
		return err;
	quic_creds_unref(l->creds);
	l->creds = fresh;
	return 0;
}

uint16_t net_quic_listen_port(const struct net_quic_listener *l)
{
	return quic_socket_port(l->socket);
}

const struct net_quic_counters *net_quic_listen_counters(const struct net_quic_listener *l)
{
	return &l->counters;
}

void net_quic_listen_free(struct net_quic_listener *l)
{
	if (l == NULL)
		return;
	while (!list_empty(&l->conns)) {
		struct net_quic *q = list_entry(l->conns.next, struct net_quic, all);
		ln_assert(!q->attached);
		quic_conn_drop(q);
	}
	quic_socket_free(l->socket);
	quic_creds_unref(l->creds);
	map_fini(&l->cids);
	free(l->cert_file);
	free(l->key_file);
	free(l->alpn);
	ev_defer_free(l->loop, l);
}
