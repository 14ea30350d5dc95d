#include "src/management/management_pace.h"

static void longer(struct management_pace *p)
{
	p->interval = ln_time_min(p->interval * 2, MANAGEMENT_PACE_MAX);
}

void management_pace_change(struct management_pace *p, ln_time now)
{
	if (p->due)
		return;
	p->due = true;
	if (now < p->next)
		longer(p);
	else
		p->interval = MANAGEMENT_PACE_MIN;
}

void management_pace_told(struct management_pace *p, ln_time now, bool more)
{
	p->next = now + p->interval;
	p->due = more;
	if (more)
		longer(p);
}
