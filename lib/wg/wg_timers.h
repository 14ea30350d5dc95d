#pragma once
/*
 * The timers of one peer (WireGuard paper, section 6). The rest of the code never arms a timer: it
 * reports what happened, and asks what is due.
 *
 *	RETRY       an initiation went unanswered: send another, for 90 s in all
 *	KEEPALIVE   data came in and nothing went out for 10 s: say that we are alive
 *	SILENCE     data went out and nothing came back for 15 s: start a handshake
 *	ZERO_KEYS   no new session for 9 minutes: wipe every key
 *	PERSISTENT  the configured interval passed without a packet either way: keep the NAT open
 *	DOUBT       data went out that was no answer, and for a moment nothing came back that way
 *
 * The last one is ours, and runs only while somebody wants to know (wg_dev_set_spare).
 */
#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/base/time.h"

enum wg_timer {
	WG_TIMER_RETRY,
	WG_TIMER_KEEPALIVE,
	WG_TIMER_SILENCE,
	WG_TIMER_ZERO_KEYS,
	WG_TIMER_PERSISTENT,
	WG_TIMER_DOUBT,
	WG_TIMER_COUNT
};

/* The paper's constants. Tests shorten them; everybody else uses wg_timers_standard. */
struct wg_timers_conf {
	ln_time rekey_after;    /* Rekey-After-Time, 120 s */
	ln_time reject_after;   /* Reject-After-Time, 180 s */
	ln_time rekey_timeout;  /* Rekey-Timeout, 5 s */
	ln_time rekey_attempts; /* Rekey-Attempt-Time, 90 s */
	ln_time keepalive;      /* Keepalive-Timeout, 10 s */
	ln_time jitter;         /* added at random to retries, below this: 334 ms */
};

extern const struct wg_timers_conf wg_timers_standard;

#define WG_TIMERS_REKEY_AFTER_MESSAGES (1ull << 60)

struct wg_timers {
	const struct wg_timers_conf *conf;
	ln_time at[WG_TIMER_COUNT]; /* LN_TIME_NEVER: not armed */
	ln_time persistent;         /* interval; 0 off */
	ln_time doubt;              /* likewise */
	ln_time data_at;            /* data was received last; 0 never */
	unsigned attempts;          /* initiations repeated in this series */
};

void wg_timers_init(struct wg_timers *t, const struct wg_timers_conf *conf);
/* No timer runs any more; the persistent interval stays. */
void wg_timers_stop(struct wg_timers *t);
void wg_timers_cancel(struct wg_timers *t, enum wg_timer which);
void wg_timers_set_persistent(struct wg_timers *t, ln_time now, ln_time interval);

/* 0: no DOUBT from now on. */
void wg_timers_set_doubt(struct wg_timers *t, ln_time interval);

/* A data message with content was sent. */
void wg_timers_data_sent(struct wg_timers *t, ln_time now, const struct ln_rng *rng);
/* A data message with content was received. */
void wg_timers_data_received(struct wg_timers *t, ln_time now);
/* Any message that the peer will authenticate was sent: handshake, data or keepalive. */
void wg_timers_sent(struct wg_timers *t, ln_time now);
/* Any authenticated message was received. */
void wg_timers_received(struct wg_timers *t, ln_time now);
/* And it came by the way on which we send. */
void wg_timers_heard(struct wg_timers *t);
void wg_timers_initiation_sent(struct wg_timers *t, ln_time now, const struct ln_rng *rng);
/* Both sides are known to have the new keys. */
void wg_timers_handshake_complete(struct wg_timers *t);
/* We derived keys, whether or not the peer has. */
void wg_timers_session_derived(struct wg_timers *t, ln_time now);
/* The series of initiations ends unanswered; keys in use will be wiped in time. */
void wg_timers_gave_up(struct wg_timers *t, ln_time now);

/* The earliest timer, LN_TIME_NEVER when none runs. */
ln_time wg_timers_deadline(const struct wg_timers *t);
/* Takes one timer that is due; -1 when none is. */
int wg_timers_take(struct wg_timers *t, ln_time now);
/* Whether the series of initiations has lasted Rekey-Attempt-Time. */
bool wg_timers_exhausted(const struct wg_timers *t);
