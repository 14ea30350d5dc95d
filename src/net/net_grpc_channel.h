#pragma once
/*
 * Inside the gRPC client: the channel, which connects and reconnects (net_grpc_channel.c), and what
 * it needs of the calls (net_grpc_client.c).
 */
#include "src/net/net_dial.h"
#include "src/net/net_grpc_call.h"
#include "src/net/net_stream.h"
#include "src/net/net_tls.h"

/* One connection; a draining one lives on beside its successor until its calls are done. */
struct channel_conn {
	struct list link;
	struct grpc_channel *channel; /* null after the channel is gone */
	struct net_h2 *h2;
};

struct grpc_channel {
	struct ev_loop *loop;
	struct grpc_channel_conf conf;
	char *host;
	char *unix_path;
	char *ca_file;
	char authority[300];
	enum grpc_channel_state state;
	struct net_tls_ctx *tls;
	struct net_dial *dial;
	struct net_stream *stream; /* while TLS shakes hands */
	struct ip_ep peer;
	struct ev_timer limit;     /* of one dial */
	struct channel_conn *conn; /* new calls go here; maybe not ready yet */
	struct list conns;
	struct list calls;
	bool dead;
};

/* The channel is ready: opens the stream of a call that waited for it. */
void grpc_client_open(struct grpc_call *c);
/* Ends a call from our side; its closed() comes from the loop. Nothing when it has ended. */
void grpc_client_end(struct grpc_call *c, enum grpc_status status, const char *text);
