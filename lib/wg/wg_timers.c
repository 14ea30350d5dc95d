#include "lib/wg/wg_timers.h"

/* What is sent so soon after something came is likely its answer, and need not be answered. */
#define WG_TIMERS_ANSWER (30 * LN_MSEC)

const struct wg_timers_conf wg_timers_standard = {
	.rekey_after = 120 * LN_SEC,
	.reject_after = 180 * LN_SEC,
	.rekey_timeout = 5 * LN_SEC,
	.rekey_attempts = 90 * LN_SEC,
	.keepalive = 10 * LN_SEC,
	.jitter = 334 * LN_MSEC,
};

void wg_timers_init(struct wg_timers *t, const struct wg_timers_conf *conf)
{
	*t = (struct wg_timers){ .conf = conf };
	wg_timers_stop(t);
}

void wg_timers_stop(struct wg_timers *t)
{
	for (unsigned i = 0; i < WG_TIMER_COUNT; i++)
		t->at[i] = LN_TIME_NEVER;
	t->attempts = 0;
}

void wg_timers_cancel(struct wg_timers *t, enum wg_timer which)
{
	t->at[which] = LN_TIME_NEVER;
}

static void traversed(struct wg_timers *t, ln_time now)
{
	if (t->persistent != 0)
		t->at[WG_TIMER_PERSISTENT] = now + t->persistent;
}

void wg_timers_set_persistent(struct wg_timers *t, ln_time now, ln_time interval)
{
	t->persistent = interval;
	t->at[WG_TIMER_PERSISTENT] = LN_TIME_NEVER;
	traversed(t, now);
}

void wg_timers_set_doubt(struct wg_timers *t, ln_time interval)
{
	t->doubt = interval;
	if (interval == 0)
		t->at[WG_TIMER_DOUBT] = LN_TIME_NEVER;
}

void wg_timers_data_sent(struct wg_timers *t, ln_time now, const struct ln_rng *rng)
{
	if (t->at[WG_TIMER_SILENCE] == LN_TIME_NEVER)
		t->at[WG_TIMER_SILENCE] = now + t->conf->keepalive + t->conf->rekey_timeout +
					  rng_below64(rng, t->conf->jitter);
	if (t->doubt != 0 && t->at[WG_TIMER_DOUBT] == LN_TIME_NEVER &&
	    now - t->data_at >= WG_TIMERS_ANSWER)
		t->at[WG_TIMER_DOUBT] = now + t->doubt;
}

void wg_timers_data_received(struct wg_timers *t, ln_time now)
{
	t->data_at = now;
	if (t->at[WG_TIMER_KEEPALIVE] == LN_TIME_NEVER)
		t->at[WG_TIMER_KEEPALIVE] = now + t->conf->keepalive;
}

void wg_timers_sent(struct wg_timers *t, ln_time now)
{
	t->at[WG_TIMER_KEEPALIVE] = LN_TIME_NEVER;
	traversed(t, now);
}

void wg_timers_received(struct wg_timers *t, ln_time now)
{
	t->at[WG_TIMER_SILENCE] = LN_TIME_NEVER;
	traversed(t, now);
}

void wg_timers_heard(struct wg_timers *t)
{
	t->at[WG_TIMER_DOUBT] = LN_TIME_NEVER;
}

void wg_timers_initiation_sent(struct wg_timers *t, ln_time now, const struct ln_rng *rng)
{
	t->at[WG_TIMER_RETRY] = now + t->conf->rekey_timeout + rng_below64(rng, t->conf->jitter);
}

void wg_timers_handshake_complete(struct wg_timers *t)
{
	t->at[WG_TIMER_RETRY] = LN_TIME_NEVER;
	t->attempts = 0;
}

void wg_timers_session_derived(struct wg_timers *t, ln_time now)
{
	t->at[WG_TIMER_ZERO_KEYS] = now + 3 * t->conf->reject_after;
}

void wg_timers_gave_up(struct wg_timers *t, ln_time now)
{
	t->at[WG_TIMER_KEEPALIVE] = LN_TIME_NEVER;
	t->attempts = 0;
	if (t->at[WG_TIMER_ZERO_KEYS] == LN_TIME_NEVER)
		t->at[WG_TIMER_ZERO_KEYS] = now + 3 * t->conf->reject_after;
}

ln_time wg_timers_deadline(const struct wg_timers *t)
{
	ln_time earliest = LN_TIME_NEVER;
	for (unsigned i = 0; i < WG_TIMER_COUNT; i++)
		earliest = ln_time_min(earliest, t->at[i]);
	return earliest;
}

int wg_timers_take(struct wg_timers *t, ln_time now)
{
	for (unsigned i = 0; i < WG_TIMER_COUNT; i++) {
		if (t->at[i] > now)
			continue;
		t->at[i] = LN_TIME_NEVER;
		return (int)i;
	}
	return -1;
}

bool wg_timers_exhausted(const struct wg_timers *t)
{
	return t->attempts >= (uint64_t)(t->conf->rekey_attempts / t->conf->rekey_timeout);
}
