#pragma once
/*
 * The agent's relays (spec relay 13 to 15): one home connection, chosen among the addresses of
 * management and kept; foreign ones while peers are met there; and the peers behind them.
 *
 * Home: all addresses are tried at once, the first that finishes its handshake stays. When it ends,
 * lib/relay/relay_guard.h says when to try again.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/crypto/key.h"
#include "lib/relay/relay_guard.h"

#include "src/agent/relay_pipe.h"
#include "src/ev/ev.h"

#define RELAY_CLIENT_URLS_MAX 7

struct relay_client;
struct relay_peer;

struct relay_client_conf {
	const struct wg_key *own; /* copied */
	uint32_t fwmark;
	enum relay_transport transport;
	uint16_t mtu; /* of the interface: above 1,280 QUIC is left out unless asked for */
	/* The home connection: its instance address, or "" when it is lost. From the loop. */
	void (*on_home)(void *user, const char *instance, const struct ip_addr *server);
	/* up: the peer is online there. Not up: it is not, or not any more; p is dead afterwards.
	 */
	void (*on_peer)(void *user, struct relay_peer *p, bool up, const char *why);
	void (*on_packet)(void *user, struct relay_peer *p, struct slice data);
	void *user;
	struct relay_guard_conf guard; /* shorter in tests; all 0 = the specification's */
};

struct relay_client *relay_client_new(struct ev_loop *loop, const struct relay_client_conf *conf);
void relay_client_free(struct relay_client *c); /* says Close to its relays; no callback */

/*
 * The addresses and the token as management sent them; the connections there are stay. Without
 * addresses there is no relay: the home connection ends. LN_E_MALFORMED: an unusable token; the
 * old one stays.
 */
int relay_client_set(struct relay_client *c, const char *const *urls, size_t n,
		     const char *token_payload, const char *token_signature);

/* Our address has changed: every connection is made anew, at once. */
void relay_client_redial(struct relay_client *c);
/* Names may have other addresses: without a home relay all are tried at once. */
void relay_client_hurry(struct relay_client *c);

/* Reaches a peer at a relay. Never null; refusals come by on_peer(), from the loop. */
struct relay_peer *relay_client_open(struct relay_client *c, const struct wg_key *remote,
				     const char *url, const struct ip_addr *hint, void *user);
void relay_client_close(struct relay_peer *p);
void *relay_peer_user(const struct relay_peer *p);
/* All of one turn of the loop leave together; dropped when the connection is far behind. */
void relay_peer_send(struct relay_peer *p, struct slice data);

struct relay_client_state {
	const char *url; /* valid until the next call of this header */
	bool connected, home, quic;
	const char *error; /* "" none */
};

/* For status: the home relay or the addresses tried for it, then the foreign ones. Their number. */
size_t relay_client_list(const struct relay_client *c, struct relay_client_state *dst, size_t max);
