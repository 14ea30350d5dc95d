#pragma once
/*
 * Time is a parameter. `ln_time` is monotonic nanoseconds with no meaning of its own beyond
 * differences; `ln_wall` is nanoseconds since the Unix epoch and is used only where a format
 * demands it (TAI64N, token expiry, log lines). lib/ never asks the clock.
 */
#include <stdint.h>

typedef int64_t ln_time;
typedef int64_t ln_wall;

#define LN_TIME_NEVER INT64_MAX
#define LN_USEC ((ln_time)1000)
#define LN_MSEC ((ln_time)1000000)
#define LN_SEC ((ln_time)1000000000)
#define LN_MINUTE (60 * LN_SEC)
#define LN_HOUR (60 * LN_MINUTE)

static inline ln_time ln_time_min(ln_time a, ln_time b)
{
	return a < b ? a : b;
}
