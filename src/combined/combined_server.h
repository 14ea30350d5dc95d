#pragma once
/*
 * Several services on one loop behind one public port: what linnet-server runs.
 *
 * Life: combined_new (everything is open and answers when it returns) -> combined_reload on SIGHUP
 * -> combined_drain on SIGTERM -> combined_free. The configuration and its plan must outlive it.
 */
#include "src/combined/combined_conf.h"

struct ev_loop;
struct combined;

enum combined_roles {
	COMBINED_MANAGEMENT = 1,
	COMBINED_SIGNAL = 2,
	COMBINED_STUN = 4,
	COMBINED_RELAY = 8,
	COMBINED_ALL = 15
};

/*
 * Opens the data folder (made with mode 0700 when missing, and locked), the store and the
 * listeners. On failure nothing stays open and f says in one sentence what to do: -EADDRINUSE,
 * -EACCES, -ENOSPC, LN_E_CONFLICT (another server uses the folder), what the store says.
 */
LN_MUST_CHECK int combined_new(struct ev_loop *loop, const struct combined_conf *conf,
			       const struct combined_plan *plan, unsigned roles,
			       struct combined **ret, struct ln_fail *f);
/* Rereads the certificate files; the old ones stay in use when the new ones are bad. */
void combined_reload(struct combined *s);
/*
 * No new connections, GOAWAY on the old ones, Sync streams end, peers are marked disconnected,
 * the store is written; done(arg) when all is closed or `limit` has passed. Once.
 */
void combined_drain(struct combined *s, ln_time limit, void (*done)(void *arg), void *arg);
void combined_free(struct combined *s); /* null is fine; also without a drain before */
