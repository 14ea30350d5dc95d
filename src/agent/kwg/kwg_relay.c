/*
 * Peers reached by a relay, in both directions: what the kernel sends them is packed for the owner,
 * what the relay brings is given to the kernel many at a time.
 */
#include "src/agent/kwg/kwg_internal.h"
#include "src/agent/kwg/kwg_redirect.h"

/* --- names ------------------------------------------------------------------------------------ */

/* A relay's endpoint has WireGuard's port for the owner, and another in the kernel. */
struct ip_ep kwg_relay_for_kernel(const struct kwg *k, const struct ip_ep *ep)
{
	if (!uwg_is_relay(ep))
		return *ep;
	if (k->wake.redirected && kwg_redirect_can(ep, kwg_port(k)))
		return kwg_redirect_endpoint(ep);
	return (struct ip_ep){ .addr = ep->addr, .port = k->wake.port };
}

struct ip_ep kwg_relay_from_kernel(const struct kwg *k, const struct ip_ep *ep)
{
	if (k->wake.redirected && ep->addr.family == 4 && ip_to_u32(&ep->addr) == INADDR_LOOPBACK)
		return kwg_redirect_peer(ep->port, kwg_port(k));
	if (uwg_is_relay(ep))
		return (struct ip_ep){ .addr = ep->addr, .port = kwg_port(k) };
	return *ep;
}

/* --- out -------------------------------------------------------------------------------------- */

void kwg_relay_out(struct kwg *k, const struct ip_ep *to, struct slice data)
{
	struct ip_ep ep = { .addr = to->addr, .port = kwg_port(k) }; /* as the owner knows it */
	if (k->relay.n + data.n <= KWG_RELAY_BATCH)
		uwg_relay_add(&k->relay, &ep, data);
}

bool kwg_relay_flush(struct kwg *k)
{
	if (k->closed || k->relay.n == 0)
		return !k->closed;
	struct str batch = k->relay;
	str_init(&k->relay, 0);
	bool alive =
		kwg_say(k, &(struct uwg_event){ .kind = UWG_EV_RELAY, .data = str_slice(&batch) });
	str_fini(&batch);
	return alive;
}

/* --- in --------------------------------------------------------------------------------------- */

void kwg_relay_in_flush(struct kwg *k)
{
	struct kwg_run *run = &k->run;
	if (k->closed || run->n == 0)
		return;
	struct ip_ep from = kwg_relay_for_kernel(k, &run->from);
	struct slice data = str_slice(&run->bytes);
	/* The wake socket has this port and every address of the loopback; other sources are
	 * forged. What the kernel has no room for is lost, as on any way. */
	if (uwg_is_relay(&run->from) && from.port == k->wake.port)
		(void)!kwg_wake_send(&k->wake, &from.addr, data, run->size);
	else
		(void)!plat_wg_inject(k->dev, &from, data, run->size);
	run->n = 0;
	str_clear(&run->bytes);
}

static void end_of_turn(void *arg)
{
	struct kwg *k = arg;
	k->run.due = false;
	kwg_relay_in_flush(k);
}

void kwg_inject(struct kwg *k, const struct ip_ep *from, struct slice data)
{
	struct kwg_run *run = &k->run;
	if (data.n == 0 || data.n > KWG_RUN_BYTES)
		return;
	/* Only the last one of a run may be shorter. */
	if (run->n > 0 &&
	    (run->n == KWG_WAKE_BATCH || !ip_ep_equal(&run->from, from) || data.n > run->size ||
	     run->bytes.n % run->size != 0 || run->bytes.n + data.n > KWG_RUN_BYTES))
		kwg_relay_in_flush(k);
	if (run->n == 0) {
		run->from = *from;
		run->size = data.n;
	}
	str_addn(&run->bytes, data.p, data.n);
	run->n++;
	if (!run->due)
		ev_defer(k->loop, end_of_turn, k);
	run->due = true;
}
