#pragma once
/*
 * The relay service: hubs (lib/relay/relay_hub.h) behind WebSockets that the front hands over at
 * /relay (spec relay 5, 10, 12), and behind QUIC on a UDP port (spec relay 11). Everything here is
 * called on the loop it was made with. That loop accepts all connections and carries QUIC and a
 * share of the WebSockets; `loops - 1` threads carry the others, each with a loop and a hub of its
 * own (lib/relay/relay_links.h). A new connection goes to the loop that has the fewest.
 *
 * Reads are large, every message of a read is sorted into its receiver's queue, and each receiver
 * is written once per turn of the loop.
 *
 * Life: relay_server_new -> its rows into one or more fronts -> relay_server_drain -> the fronts
 * are freed -> relay_server_free.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/str.h"
#include "lib/base/time.h"
#include "lib/token/relay_token.h"

struct ev_loop;
struct front_row;
struct relay_server;

#define RELAY_SERVER_LOOPS_MAX 16
#define RELAY_SERVER_HANDSHAKES 2000 /* upgrades a second; twice that at once */

struct relay_server_conf {
	const char *instance_url;           /* "rel://host:port", as peers compare it */
	const struct relay_token_key *keys; /* copied */
	size_t nkeys;
	size_t max_peers;          /* 0: the hub's default */
	unsigned health_threshold; /* health checks in a row without an answer; 0 = 1 */
	unsigned handshakes;       /* 0 = RELAY_SERVER_HANDSHAKES */
	unsigned loops;            /* at most RELAY_SERVER_LOOPS_MAX; 0 = 1 */
};

struct relay_server_quic {
	struct ip_ep at; /* that of the TCP port; family 0: every address */
	const char *cert_file, *key_file;
};

struct relay_server *relay_server_new(struct ev_loop *loop, const struct relay_server_conf *conf);
const struct front_row *relay_server_rows(const struct relay_server *s, size_t *ret_n);
/* Errors of net_quic_listen(). Without QUIC agents take the WebSocket. */
LN_MUST_CHECK int relay_server_listen_quic(struct relay_server *s,
					   const struct relay_server_quic *conf, struct ln_fail *f);
/* Rereads the certificate; the old one stays when that fails. */
LN_MUST_CHECK int relay_server_reload_quic(struct relay_server *s, struct ln_fail *f);
bool relay_server_has_quic(const struct relay_server *s);
uint16_t relay_server_quic_port(const struct relay_server *s); /* 0: none */
/* Nobody new; Close to everybody within `over`; done(arg) when all are gone or `limit` passed. */
void relay_server_drain(struct relay_server *s, ln_time over, ln_time limit,
			void (*done)(void *arg), void *arg);
void relay_server_free(struct relay_server *s); /* null is fine; ends what is open */

bool relay_server_is_draining(const struct relay_server *s);
/* These two ask every loop and wait for a turn of each. */
size_t relay_server_peers(struct relay_server *s); /* connections */
void relay_server_metrics(struct relay_server *s, struct str *dst);
