/* What the relay service tells about itself (spec relay 12: the names are fixed). */
#include "src/relay/relay_server_internal.h"

bool relay_server_is_draining(const struct relay_server *s)
{
	return s->draining;
}

size_t relay_server_peers(struct relay_server *s)
{
	struct relay_figures f;
	relay_shards_figures(s, &f);
	return f.g.peers;
}

static void write_refusals(const struct relay_hub_counters *n, struct str *dst)
{
	static const char *const labels[RELAY_HUB_REFUSALS] = {
		[RELAY_HUB_BAD_MESSAGE] = "reason=\"message\"",
		[RELAY_HUB_BAD_TOKEN] = "reason=\"token\"",
		[RELAY_HUB_BAD_SIGNATURE] = "reason=\"signature\"",
		[RELAY_HUB_EXPIRED] = "reason=\"expired\"",
		[RELAY_HUB_TIMEOUT] = "reason=\"timeout\"",
	};
	const char *name = "relay_handshake_failures_total";
	obs_metrics_head(dst, name, "counter", "Handshakes that were refused");
	for (size_t i = 0; i < LN_COUNT(labels); i++)
		obs_metrics_value(dst, name, labels[i], n->refused[i]);
}

void relay_server_metrics(struct relay_server *s, struct str *dst)
{
	struct relay_figures f;
	relay_shards_figures(s, &f);
	const struct relay_hub_counters *n = &f.n;
	const struct relay_hub_gauges g = f.g;
	obs_metrics_head(dst, "relay_peers", "gauge", "Connected peers");
	size_t quic = LN_MIN(f.nquic, g.peers);
	obs_metrics_value(dst, "relay_peers", "transport=\"ws\"", g.peers - quic);
	obs_metrics_value(dst, "relay_peers", "transport=\"quic\"", quic);
	obs_metrics_one(dst, "relay_peers_active", "gauge",
			"Peers that sent a message within 30 seconds", g.active);
	obs_metrics_one(dst, "relay_peers_idle", "gauge", "The other peers", g.idle);
	obs_metrics_one(dst, "relay_transfer_received_bytes_total", "counter",
			"Bytes of Transport messages from peers", n->received_bytes);
	obs_metrics_one(dst, "relay_transfer_sent_bytes_total", "counter",
			"Bytes of Transport messages to peers", n->sent_bytes);
	obs_metrics_histogram(dst, "relay_peer_authentication_time_milliseconds",
			      "From the upgrade to the answer of the hello", &f.auth_time);
	obs_metrics_histogram(dst, "relay_peer_store_time_milliseconds",
			      "Handling of the hello: table and news", &f.store_time);
	obs_metrics_one(dst, "relay_peer_reconnections_total", "counter",
			"Connections that replaced one of the same peer", n->replaced);
	write_refusals(n, dst);
	obs_metrics_one(dst, "relay_transport_unknown_destination_total", "counter",
			"Messages to peers that are not here", n->unknown);
	obs_metrics_one(dst, "relay_transport_queue_drops_total", "counter",
			"Messages dropped because the receiver is behind", n->dropped);
	obs_metrics_one(dst, "relay_datagram_too_large_total", "counter",
			"Messages dropped because the receiver's path over QUIC is too narrow",
			f.too_large);
	obs_metrics_one(dst, "relay_subscriptions", "gauge", "Subscriptions to peers' states",
			g.subscriptions);
	obs_metrics_one(dst, "relay_draining", "gauge", "1 while the relay stops", g.draining);
}
