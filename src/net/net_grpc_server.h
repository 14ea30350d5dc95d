#pragma once
/*
 * What the public port needs of a gRPC server beyond net_grpc.h: it owns the connections and hands
 * single streams over.
 */
#include "src/net/net_grpc.h"
#include "src/net/net_h2.h"

/* Limits of a connection as the server's configuration wants them. */
void grpc_server_h2_conf(const struct grpc_server *s, struct net_h2_conf *ret);
/* Whether the request in st is one for gRPC, by its content type. */
bool grpc_server_wants(const struct net_h2_stream *st);
/* From net_h2_ops.open: the server answers the request. */
void grpc_server_open(struct grpc_server *s, struct net_h2_stream *st);
