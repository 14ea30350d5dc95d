/* One connection of the relay: between its transport and the hub of its shard. */
#include <stdlib.h>

#include "src/net/net_stream.h"
#include "src/relay/relay_server_internal.h"

#define MODULE RELAY_SERVER_MODULE
#define SLICES 4 /* of one write: 64 KiB, what a socket takes at once */

struct relay_conn *relay_conn_new(struct relay_shard *sh, const struct ip_ep *from)
{
	struct relay_conn *c = ln_alloc(sizeof(*c));
	*c = (struct relay_conn){ .shard = sh, .from = *from, .accepted = sh->now };
	c->peer = relay_hub_open(sh->hub, sh->now, c);
	if (c->peer == NULL) {
		free(c);
		return NULL;
	}
	list_add_tail(&sh->conns, &c->link);
	return c;
}

void relay_conn_end(struct relay_conn *c)
{
	struct relay_shard *sh = c->shard;
	relay_hub_remove(sh->hub, c->peer);
	net_ws_free(c->ws);
	net_quic_free(c->quic);
	list_remove(&c->link);
	sh->figures.nquic -= c->quic != NULL && c->joined;
	relay_server_return(sh, c->place);
	ev_defer_free(sh->loop, c);
	relay_shard_left(sh);
}

static const char *reason_name(enum relay_hub_reason r)
{
	switch (r) {
	case RELAY_HUB_LEFT:
		return "left";
	case RELAY_HUB_PROTOCOL:
		return "a message that may not come here";
	case RELAY_HUB_REFUSED:
		return "wrong hello";
	case RELAY_HUB_LATE:
		return "no hello in time";
	case RELAY_HUB_REPLACED:
		return "the same peer connected again";
	case RELAY_HUB_SILENT:
		return "health checks unanswered";
	case RELAY_HUB_STALLED:
		return "does not read";
	case RELAY_HUB_NARROW:
		return "its path over QUIC is too narrow";
	case RELAY_HUB_DRAINED:
		return "the relay stops";
	}
	return "";
}

/* --- out --------------------------------------------------------------------------------------*/

void relay_conn_write(struct relay_conn *c)
{
	struct relay_hub *h = c->shard->hub;
	struct slice v[SLICES];
	size_t n;
	if (c->blocked)
		return;
	if (c->quic != NULL) {
		relay_quic_write(c);
		return;
	}
	while (net_ws_pending(c->ws) == 0 && (n = relay_hub_view(c->peer, v, SLICES)) != 0) {
		size_t sum = 0;
		for (size_t i = 0; i < n; i++)
			sum += v[i].n;
		net_ws_write_frames(c->ws, v, n);
		relay_hub_sent(h, c->peer, sum);
	}
	if (net_ws_pending(c->ws) == 0)
		return;
	c->blocked = true;
	c->seen_pending = net_ws_pending(c->ws);
	relay_hub_blocked(h, c->peer, c->shard->now, true);
}

/* Blocked for RELAY_HUB_STALL: has the socket taken anything meanwhile? */
static void check(struct relay_conn *c)
{
	struct relay_hub *h = c->shard->hub;
	if (!c->blocked)
		return;
	if (c->quic != NULL) {
		/* Its window has not opened once: it would not be blocked since then. */
		relay_hub_close(h, c->peer, RELAY_HUB_STALLED);
		return;
	}
	size_t pending = net_ws_pending(c->ws);
	if (pending < c->seen_pending)
		relay_hub_blocked(h, c->peer, c->shard->now, true);
	else
		relay_hub_close(h, c->peer, RELAY_HUB_STALLED);
	c->seen_pending = pending;
}

void relay_conn_handle(struct relay_conn *c, const struct relay_hub_out *out)
{
	switch (out->event) {
	case RELAY_HUB_WRITE:
		relay_conn_write(c);
		break;
	case RELAY_HUB_CHECK:
		check(c);
		break;
	case RELAY_HUB_CLOSE:
		log_debug(MODULE, "connection ended", LOG_EP("peer", &c->from),
			  LOG_STR("reason", reason_name(out->reason)));
		relay_conn_write(c);
		relay_conn_end(c);
		break;
	}
}

/* --- in ---------------------------------------------------------------------------------------*/

void relay_conn_message(void *user, struct slice msg)
{
	struct relay_conn *c = user;
	struct relay_shard *sh = c->shard;
	relay_shard_begin_turn(sh);
	bool joined = relay_hub_peer_id(c->peer) != NULL;
	int said = relay_hub_input(sh->hub, c->peer, sh->now, joined ? 0 : ev_wall(), msg);
	if ((said & RELAY_HUB_JOINED) != 0) {
		ln_time now = ev_now();
		c->joined = true;
		sh->figures.nquic += c->quic != NULL;
		obs_histogram_add(&sh->figures.auth_time, now - c->accepted);
		obs_histogram_add(&sh->figures.store_time, now - sh->now);
	}
	/* Also ends connections, this one perhaps: nothing of it is used after. */
	if ((said & RELAY_HUB_FLUSH) != 0)
		relay_shard_flush(sh);
}

void relay_conn_writable(void *user)
{
	struct relay_conn *c = user;
	relay_shard_begin_turn(c->shard);
	c->blocked = false;
	relay_hub_blocked(c->shard->hub, c->peer, c->shard->now, false);
	relay_conn_write(c);
}

void relay_conn_closed(void *user, int err, const char *why)
{
	struct relay_conn *c = user;
	relay_shard_begin_turn(c->shard);
	log_debug(MODULE, "connection ended", LOG_EP("peer", &c->from), LOG_STR("reason", why));
	relay_conn_end(c);
}

static const struct net_ws_ops ws_ops = {
	.message = relay_conn_message,
	.writable = relay_conn_writable,
	.closed = relay_conn_closed,
};

void relay_conn_start_ws(struct relay_conn *c, struct net_stream *stream, const char *key,
			 struct front_place *place)
{
	c->place = place;
	c->ws = net_ws_accept(c->shard->loop, stream, key, RELAY_MSG_MAX, &ws_ops, c);
}
