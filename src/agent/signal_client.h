#pragma once
/*
 * The agent's side of the signal server: the registered stream on which messages arrive, unary
 * sends with retries, the watchdog for a stream that has silently died
 * (spec signal-and-connection 1.3 to 1.7).
 *
 * Owner: one network. Callbacks run on the loop and never inside a call into this header.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/crypto/box.h"
#include "lib/crypto/key.h"
#include "lib/signal/signal_msg.h"

#include "src/ev/ev.h"

struct signal_client_conf {
	const char *host; /* copied */
	uint16_t port;
	bool tls;
	const struct wg_secret *key; /* stays valid */
	uint32_t fwmark;
	/* The box of a peer we know, or null: then its messages are dropped unopened. */
	const struct box_key *(*box_of)(void *user, const struct wg_key *peer);
	void (*on_message)(void *user, const struct wg_key *from, const struct signal_body *m);
	/* Registered, or not; why: one sentence, "" when connected. */
	void (*on_state)(void *user, bool connected, const char *why);
	void *user;
};

struct signal_client;
struct signal_client *signal_client_new(struct ev_loop *l, const struct signal_client_conf *conf);
/* No callback comes afterwards; done functions of open sends do not either. */
void signal_client_free(struct signal_client *c);
bool signal_client_connected(const struct signal_client *c);
/* ok: the server took it (which says nothing about delivery). */
typedef void signal_client_done_fn(void *user, const struct wg_key *to, uint64_t token, bool ok);
/*
 * Seals and sends. done may be null; it always comes later, also for a refusal (not connected, too
 * many sends waiting). `to` and token are handed back to it.
 */
void signal_client_send(struct signal_client *c, const struct wg_key *to, const struct box_key *box,
			const struct signal_body *m, signal_client_done_fn *done, uint64_t token);
/* The local address of the connection is gone: dial again at once. */
void signal_client_redial(struct signal_client *c);
/* A name may have another address: dial again at once unless we are connected. */
void signal_client_hurry(struct signal_client *c);
