/*
 * Datagrams that take no socket of ours: a batch is a string of records, each an endpoint, a length
 * and the bytes. It never leaves the process.
 */
#include <stdlib.h>

#include "src/agent/uwg/uwg_internal.h"

struct record {
	struct ip_ep ep;
	uint32_t n;
};

void uwg_relay_add(struct str *batch, const struct ip_ep *ep, struct slice data)
{
	struct record r = { .ep = *ep, .n = (uint32_t)data.n };
	str_addn(batch, &r, sizeof(r));
	str_addn(batch, data.p, data.n);
}

bool uwg_relay_next(struct slice *batch, struct ip_ep *ret_to, struct slice *ret_data)
{
	struct record r;
	if (batch->n < sizeof(r))
		return false;
	memcpy(&r, batch->p, sizeof(r));
	if (r.n > batch->n - sizeof(r))
		return false;
	*ret_to = r.ep;
	*ret_data = slice_of(batch->p + sizeof(r), r.n);
	*batch = slice_of(batch->p + sizeof(r) + r.n, batch->n - sizeof(r) - r.n);
	return true;
}

/* --- thread to owner -------------------------------------------------------------------------- */

void uwg_relay_flush(struct uwg *u)
{
	if (u->relay_out.n == 0)
		return;
	uwg_box_post(u->box,
		     &(struct uwg_event){ .kind = UWG_EV_RELAY, .data = str_slice(&u->relay_out) });
	str_clear(&u->relay_out);
}

void uwg_relay_out(struct uwg *u, const struct ip_ep *to, struct slice data)
{
	if (u->relay_out.n + data.n > UWG_RELAY_BATCH)
		uwg_relay_flush(u);
	uwg_relay_add(&u->relay_out, to, data);
}

/* --- owner to thread -------------------------------------------------------------------------- */

void uwg_inject_flush(struct ev_timer *t)
{
	struct uwg *u = ln_container(t, struct uwg, inject_timer);
	if (u->inject.n == 0)
		return;
	struct uwg_mail *m = ln_alloc(sizeof(*m));
	m->kind = UWG_MAIL_INJECT;
	m->batch = u->inject;
	str_init(&u->inject, UWG_INJECT_WAITING);
	uwg_mail_send(u, m);
}

void uwg_inject(struct uwg *u, const struct ip_ep *from, struct slice data)
{
	if (data.n > UWG_RX_ROOM ||
	    u->inject.n + data.n + sizeof(struct record) > UWG_INJECT_WAITING)
		return;
	if (u->inject.n == 0)
		ev_timer_at(&u->inject_timer, 0);
	uwg_relay_add(&u->inject, from, data);
	/* What the thread can work on should not wait for the end of a long turn. */
	if (u->inject.n >= UWG_RELAY_BATCH)
		uwg_inject_flush(&u->inject_timer);
}
