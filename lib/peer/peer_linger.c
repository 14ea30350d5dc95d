/*
 * A negotiation that has failed goes on slowly while the relay carries. What is between two of ours
 * may open without a sign to either, and one check in two seconds finds that; events (a new
 * address, the other side's, a check that comes through) are acted upon at once. Unmodified agents
 * have forgotten the negotiation by then and would answer nothing.
 */
#include "lib/peer/peer_internal.h"

#define PEER_LINGER_EVERY (2 * LN_SEC)
/* After this time on the relay, when no packets are seen there, fewer checks will do. */
#define PEER_LINGER_EAGER (10 * LN_MINUTE)
#define PEER_LINGER_IDLE (10 * LN_SEC)

static ln_time peer_linger_interval(const struct peer_conn *p, ln_time now)
{
	bool used = now < p->quality.probe.busy_until;
	return used || now - p->relayed_at < PEER_LINGER_EAGER ? PEER_LINGER_EVERY
							       : PEER_LINGER_IDLE;
}

static bool peer_linger_may(const struct peer_conn *p, ln_time now)
{
	return p->relay.state == PEER_RELAY_UP && p->remote_level != 0 &&
	       !peer_data_refuses_direct(p, now);
}

bool peer_linger_begin(struct peer_conn *p, ln_time now)
{
	if (!peer_linger_may(p, now))
		return false;
	ice_agent_report(p->ice, &p->report);
	p->report_valid = true;
	ice_agent_linger(p->ice, now, peer_linger_interval(p, now));
	peer_guard_failed(p, now);
	p->want_state = true;
	return true;
}

void peer_linger_run(struct peer_conn *p, ln_time now)
{
	if (p->ice == NULL || !ice_agent_lingers(p->ice))
		return;
	if (peer_linger_may(p, now))
		ice_agent_linger(p->ice, now, peer_linger_interval(p, now));
	else /* it may be the only way there is */
		ice_agent_hurry(p->ice, now);
}
