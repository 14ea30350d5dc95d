#pragma once
/*
 * When an agent connects to its home relay again (spec relay 14): after a loss once to the same
 * URL, then a choice among all, at first at once and then ever more slowly, for ever. Owned by the
 * agent; dials nothing itself.
 *
 *	IDLE -> CHOOSE -> (connected) HOLD -(lost)-> SAME -(failed)-> CHOOSE -(failed)-> wait ...
 */
#include <stdbool.h>

#include "lib/base/rng.h"
#include "lib/base/time.h"

#define RELAY_GUARD_SAME (1500 * LN_MSEC) /* before the same URL is tried again */
/* And up to so much more, so that a crash does not bring everybody back in one moment ... */
#define RELAY_GUARD_JITTER LN_SEC
/* ... or, when the server said Close, so much. */
#define RELAY_GUARD_AFTER_CLOSE (3 * LN_SEC)
#define RELAY_GUARD_FIRST (2 * LN_SEC)
#define RELAY_GUARD_LAST (60 * LN_SEC)

enum relay_guard_do {
	RELAY_GUARD_NOTHING,
	RELAY_GUARD_DIAL_SAME, /* the URL that was lost */
	RELAY_GUARD_CHOOSE     /* all URLs at once; the first that answers wins */
};

struct relay_guard_conf { /* 0: the numbers above. Jitter shrinks with `same`. */
	ln_time same, first, last;
};

struct relay_guard {
	struct relay_guard_conf conf;
	enum relay_guard_do next;
	ln_time at;
	ln_time pause; /* before the next choice, without jitter; 0: at once */
	bool online;   /* the system has a network */
	bool wanted;   /* there are URLs */
	bool busy;     /* the owner is dialling, or connected */
};

/* conf null: all zero. */
void relay_guard_init(struct relay_guard *g, const struct relay_guard_conf *conf);
/* URLs came or went. The connection that is up stays. */
void relay_guard_want(struct relay_guard *g, ln_time now, bool wanted);
/* What failed may work now (a new token, address or network): all URLs, at once. */
void relay_guard_hurry(struct relay_guard *g, ln_time now);
/* What is due; then it is the owner's until connected, failed or lost. */
enum relay_guard_do relay_guard_take(struct relay_guard *g, ln_time now);
void relay_guard_connected(struct relay_guard *g);
void relay_guard_failed(struct relay_guard *g, ln_time now, const struct ln_rng *rng);
/* listed: its URL is still one of ours. closed: the server said Close before. */
void relay_guard_lost(struct relay_guard *g, ln_time now, bool listed, bool closed,
		      const struct ln_rng *rng);
/* Without a network nothing is tried; its return starts from the beginning. */
void relay_guard_network(struct relay_guard *g, ln_time now, bool online);
ln_time relay_guard_deadline(const struct relay_guard *g);
