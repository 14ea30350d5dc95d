/* What a peer connection hands out, one effect at a time, and when it has something next. */
#include "lib/peer/peer_internal.h"

static bool peer_out_take_endpoint(struct peer_conn *p, struct peer_out *out)
{
	if (!p->ep_clear && !p->ep_set)
		return false;
	*out = (struct peer_out){ .kind = PEER_OUT_ENDPOINT };
	if (p->ep_clear) {
		out->reset = p->ep_reset;
		if (out->reset)
			peer_doubt_forget(p);
		p->ep_clear = false;
		return true;
	}
	p->ep_set = false;
	out->to = p->ep;
	out->initiate = p->ep_initiate;
	out->keepalive = 25;
	return true;
}

static void peer_out_run_timers(struct peer_conn *p, ln_time now)
{
	peer_guard_run(p, now);
	peer_nego_run(p, now);
	peer_linger_run(p, now);
	peer_relay_run(p, now);
	if (now >= p->ep_fallback_at) {
		struct ip_ep ep = peer_relay_endpoint(p);
		p->ep_fallback_at = LN_TIME_NEVER;
		if (ip_is_set(&ep.addr))
			peer_conn_endpoint_set(p, &ep, true);
	}
	peer_data_run(p, now);
	peer_doubt_run(p, now);
	peer_quality_run(p, now);
	if (now >= p->idle_at) {
		p->idle_at = now + p->conf.idle_check;
		p->stats_for_idle = true;
		p->want_stats = true;
	}
}

/* True when *out is a datagram; other outputs of the agent are dealt with here. */
static bool peer_out_drain_ice(struct peer_conn *p, ln_time now, struct mslice buf,
			       struct peer_out *out)
{
	struct ice_out o;
	while (p->ice != NULL && ice_agent_poll(p->ice, now, buf, &o)) {
		switch (o.kind) {
		case ICE_OUT_DATAGRAM:
			*out = (struct peer_out){ .kind = PEER_OUT_DATAGRAM,
						  .to = o.to,
						  .data = o.data };
			return true;
		case ICE_OUT_SELECTED:
			peer_nego_selected(p, now, &o.pair);
			break;
		case ICE_OUT_FAILED:
			if (peer_linger_begin(p, now))
				break;
			peer_conn_path_dead(p, now);
			break;
		case ICE_OUT_DISCONNECTED:
			peer_conn_path_dead(p, now);
			break;
		}
	}
	return false;
}

static void peer_out_write_offer(struct peer_conn *p, ln_time now, struct mslice buf,
				 enum signal_type type, struct peer_out *out)
{
	size_t u = strlen(p->cred.ufrag), w = strlen(p->cred.pwd);
	/* "No ICE" is the other side's word for now: our answer echoes it, an offer asks again. */
	bool ice = (type == SIGNAL_OFFER || !p->remote_without_ice) &&
		   !peer_data_refuses_direct(p, now);
	size_t n = 0;
	if (ice) {
		memcpy(buf.p, p->cred.ufrag, u);
		n = u;
	}
	buf.p[n++] = ':';
	if (ice) {
		memcpy(buf.p + n, p->cred.pwd, w);
		n += w;
	}
	out->body.type = type;
	out->body.payload = slice_of(buf.p, n);
	out->body.wg_port = p->conf.local->wg_port;
	out->body.version = p->version;
	out->body.has_session = ice;
	memcpy(out->body.session, p->session, sizeof(p->session));
	out->body.linnet_level = PEER_LINNET_LEVEL;
	out->body.has_relay = peer_relay_named(p, &out->body.relay_address, &out->body.relay_ip);
	out->token = p->token_next++;
	p->token_inflight = out->token;
}

static bool peer_out_take_signal(struct peer_conn *p, ln_time now, struct mslice buf,
				 struct peer_out *out)
{
	*out = (struct peer_out){ .kind = PEER_OUT_SIGNAL };
	if (p->want_go_idle) {
		p->want_go_idle = false;
		out->body.type = SIGNAL_GO_IDLE;
		return true;
	}
	if (p->state == PEER_IDLE)
		return false;
	/* One offer or answer at a time; what comes meanwhile is one flag, not a queue. */
	if (p->token_inflight == 0 && p->want_answer) {
		p->want_answer = false;
		peer_out_write_offer(p, now, buf, SIGNAL_ANSWER, out);
		return true;
	}
	if (p->token_inflight == 0 && p->want_offer) {
		p->want_offer = false;
		p->offers_sent++;
		p->unanswered++;
		p->want_state = true;
		peer_out_write_offer(p, now, buf, SIGNAL_OFFER, out);
		return true;
	}
	const struct ice_cand *c = peer_nego_next_cand(p, now);
	if (c == NULL)
		return false;
	out->body.type = SIGNAL_CANDIDATE;
	out->body.payload = slice_of(buf.p, ice_cand_format(c, (char *)buf.p));
	return true;
}

static bool peer_out_take_relay(struct peer_conn *p, struct peer_out *out)
{
	struct peer_relay *r = &p->relay;
	*out = (struct peer_out){ .kind = PEER_OUT_RELAY_CLOSE };
	if (r->want_close) {
		r->want_close = false;
		return true;
	}
	if (!r->want_open)
		return false;
	r->want_open = false;
	out->kind = PEER_OUT_RELAY_OPEN;
	out->relay_url = r->url;
	/* The hint belongs to the other side's address (spec trap 58). */
	if (strcmp(r->url, r->remote_url) == 0)
		out->relay_ip = r->remote_ip;
	return true;
}

bool peer_conn_poll(struct peer_conn *p, ln_time now, struct mslice buf, struct peer_out *out)
{
	ln_assert(buf.n >= PEER_BUF_MIN);
	peer_out_run_timers(p, now);
	if (peer_out_take_endpoint(p, out) || peer_doubt_take(p, out) ||
	    peer_out_take_relay(p, out))
		return true;
	if (peer_out_take_signal(p, now, buf, out) || peer_probe_take(p, now, buf, out))
		return true;
	if (peer_out_drain_ice(p, now, buf, out))
		return true;
	/* The agent's events may have asked for these. */
	if (peer_out_take_endpoint(p, out) || peer_out_take_signal(p, now, buf, out))
		return true;
	*out = (struct peer_out){ 0 };
	if (p->want_gather) {
		p->want_gather = false;
		out->kind = PEER_OUT_GATHER;
		return true;
	}
	if (p->want_stats) {
		p->want_stats = false;
		out->kind = PEER_OUT_STATS;
		return true;
	}
	if (p->want_state) {
		p->want_state = false;
		out->kind = PEER_OUT_STATE;
		return true;
	}
	return false;
}

ln_time peer_conn_deadline(const struct peer_conn *p)
{
	ln_time t = ln_time_min(p->guard_at, p->repeat_at);
	t = ln_time_min(t, ln_time_min(p->ep_fallback_at, p->watch_at));
	t = ln_time_min(t, ln_time_min(p->data.look_at, p->doubt.look_at));
	t = ln_time_min(t, peer_quality_deadline(p));
	t = ln_time_min(t, ln_time_min(p->idle_at, peer_relay_deadline(p)));
	if (p->ice != NULL)
		t = ln_time_min(t, ice_agent_deadline(p->ice));
	return t;
}
