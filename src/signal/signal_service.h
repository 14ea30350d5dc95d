#pragma once
/*
 * The signal service: signalexchange.SignalExchange over gRPC in front of the hub
 * (lib/signal/signal_hub.h; spec signal-and-connection 1.2-1.6, 1.10). Belongs to one loop.
 *
 * Life: signal_service_new -> signal_service_register (rows into one or more gRPC servers) ->
 * signal_service_stop (streams end, so that a drain can finish) -> the gRPC servers are freed ->
 * signal_service_free.
 */
#include "lib/base/err.h"
#include "lib/base/time.h"
#include "lib/signal/signal_hub.h"
#include "lib/signal/signal_limit.h"

struct ev_loop;
struct grpc_server;
struct signal_service;

struct signal_service_conf {
	struct signal_hub_conf hub;     /* zeros are its defaults */
	struct signal_limit_conf limit; /* of Send; all zero = no limit */
};

struct signal_service *signal_service_new(struct ev_loop *loop,
					  const struct signal_service_conf *conf);
/* Adds Send and ConnectStream. */
void signal_service_register(struct signal_service *s, struct grpc_server *server);
/* Ends every stream with UNAVAILABLE and refuses new ones the same way. */
void signal_service_stop(struct signal_service *s);
void signal_service_free(struct signal_service *s); /* null is fine; no call may be open */

const struct signal_hub_counters *signal_service_counters(const struct signal_service *s);
