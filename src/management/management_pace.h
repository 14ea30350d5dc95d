#pragma once
/*
 * When streams are told about changes. A single change is told at once. Changes that follow within
 * the interval wait for its end, and the interval doubles while they keep coming, from 100 ms to
 * 1 s: nobody waits longer than that, and a burst costs at most one round a second.
 *
 * Pure; owned by management_push.c. All zero at first, which means: nothing is due.
 */
#include <stdbool.h>

#include "lib/base/time.h"

#define MANAGEMENT_PACE_MIN (100 * LN_MSEC)
#define MANAGEMENT_PACE_MAX LN_SEC

struct management_pace {
	bool due;         /* streams have not been told about something */
	ln_time next;     /* and are not to be told before */
	ln_time interval; /* between the last round and the next */
};

void management_pace_change(struct management_pace *p, ln_time now);
/* A round has begun; more: there are changes that it does not know. */
void management_pace_told(struct management_pace *p, ln_time now, bool more);
