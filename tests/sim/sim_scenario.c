#include "tests/sim/sim_scenario.h"

#include <stdarg.h>
#include <stdio.h>

bool sim_state(struct sim_result *r, bool held, const char *fmt, ...)
{
	va_list ap;
	r->checks++;
	if (held || r->why[0] != '\0')
		return held;
	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return false;
}
