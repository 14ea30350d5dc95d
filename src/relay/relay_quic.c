/*
 * The relay over QUIC (spec relay 11): one message is one datagram. A queue of the hub holds
 * WebSocket frames for everybody; here they are taken apart again.
 */
#include "lib/crypto/digest.h"
#include "lib/wire/ws_frame.h"

#include "src/relay/relay_server_internal.h"

#define ALPN "nb-quic"
#define IDLE (30 * LN_SEC)
#define SLICES 4
/* So long a path may refuse full-size messages before the peer is sent away to take WebSocket. */
#define NARROW_LIMIT (10 * LN_SEC)

/* The same after a restart, and nobody's who has not the relay's secret. */
void relay_quic_secret(const struct relay_server_conf *conf, uint8_t dst[NET_QUIC_SECRET])
{
	static const char label[] = "linnet relay: QUIC resets";
	_Static_assert(NET_QUIC_SECRET == SHA256_LEN, "one digest");
	ln_assert(conf->nkeys != 0);
	digest_hmac_sha256(slice_of(conf->keys[0].b, sizeof(conf->keys[0].b)), slice_str(label),
			   dst);
}

static void too_large(struct relay_conn *c, size_t n)
{
	struct relay_shard *sh = c->shard;
	sh->figures.too_large++;
	if (c->narrow_since == 0) {
		c->narrow_since = sh->now;
		c->narrow = n;
	} else if (sh->now - c->narrow_since > NARROW_LIMIT) {
		relay_hub_close(sh->hub, c->peer, RELAY_HUB_NARROW);
	}
}

/* Sends the messages of one piece of the queue; the bytes that are done with. */
static size_t write_piece(struct relay_conn *c, struct slice piece)
{
	size_t done = 0;
	struct ws_frame f;
	while (ws_frame_read(slice_after(piece, done), &f) == 0) {
		struct slice msg = slice_of(piece.p + done + f.header, (size_t)f.payload);
		int r = net_quic_send(c->quic, msg);
		if (r == LN_E_AGAIN) {
			c->blocked = true;
			break;
		}
		if (r == LN_E_LIMIT)
			too_large(c, msg.n);
		else if (c->narrow_since != 0 && msg.n >= c->narrow)
			c->narrow_since = 0;
		done += f.header + msg.n;
	}
	return done;
}

void relay_quic_write(struct relay_conn *c)
{
	struct relay_hub *h = c->shard->hub;
	struct slice v[SLICES];
	size_t n;
	while (!c->blocked && (n = relay_hub_view(c->peer, v, SLICES)) != 0) {
		size_t done = 0;
		for (size_t i = 0; i < n && !c->blocked; i++)
			done += write_piece(c, v[i]);
		relay_hub_sent(h, c->peer, done);
	}
	if (c->blocked)
		relay_hub_blocked(h, c->peer, c->shard->now, true);
}

static const struct net_quic_ops conn_ops = {
	.message = relay_conn_message,
	.writable = relay_conn_writable,
	.closed = relay_conn_closed,
};

static bool on_admit(void *user)
{
	struct relay_server *s = user;
	relay_shard_begin_turn(&s->shards[0]);
	return !s->draining && !relay_server_is_full(s) && relay_server_admit(s, s->shards[0].now);
}

static void on_accept(void *user, struct net_quic *q, const struct ip_ep *from)
{
	struct relay_server *s = user;
	struct relay_shard *sh = &s->shards[0]; /* one socket, one loop */
	relay_shard_begin_turn(sh);
	struct relay_conn *c = relay_conn_new(sh, from);
	if (c == NULL) {
		net_quic_free(q);
		return;
	}
	sh->placed++;
	c->quic = q;
	net_quic_attach(q, &conn_ops, c);
}

int relay_server_listen_quic(struct relay_server *s, const struct relay_server_quic *conf,
			     struct ln_fail *f)
{
	struct net_quic_listen_conf lc = {
		.at = conf->at,
		.cert_file = conf->cert_file,
		.key_file = conf->key_file,
		.alpn = ALPN,
		.idle = IDLE,
		.admit = on_admit,
		.accept = on_accept,
		.user = s,
	};
	memcpy(lc.secret, s->quic_secret, sizeof(lc.secret));
	return net_quic_listen(s->loop, &lc, &s->quic, f);
}

int relay_server_reload_quic(struct relay_server *s, struct ln_fail *f)
{
	return s->quic != NULL ? net_quic_listen_reload(s->quic, f) : 0;
}

bool relay_server_has_quic(const struct relay_server *s)
{
	return s->quic != NULL;
}

uint16_t relay_server_quic_port(const struct relay_server *s)
{
	return s->quic != NULL ? net_quic_listen_port(s->quic) : 0;
}
