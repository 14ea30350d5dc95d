#pragma once
/* A member of the crowd: peer_crowd.c is its port, signal and life, crowd_relay.c its relay. */
#include "lib/peer/peer_conn.h"
#include "lib/wg/wg_dev.h"

#include "src/agent/relay_client.h"
#include "src/agent/signal_client.h"
#include "tests/bench/sync/sync_load.h"

struct member {
	struct agent *agent; /* its keys, and its registration */
	struct signal_client *signal;
	struct relay_client *relay;
	struct relay_peer *relayed; /* the peer, as the relay knows it; null */
	struct peer_local local;
	struct wg_dev *wg;
	struct wg_key remote; /* who offered first */
	struct box_key box;
	struct peer_conn *conn; /* null before that */
	int fd;
	struct ev_io io;
	struct ev_timer timer;
	bool connected;
};

extern struct member *members; /* load.nagents */
extern unsigned nhome;         /* so many are connected to the relay */

void member_drive(struct member *m); /* after every input */
void member_relay_start(struct member *m);
void member_relay_open(struct member *m, const struct peer_out *out);
void member_relay_close(struct member *m);
/* The answer to one agent's Login names the relay; the token is good for every agent. */
void crowd_relay_named(void *user, enum grpc_status status, const char *text, struct slice reply);
