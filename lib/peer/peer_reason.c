/* One sentence per peer: how it is connected, or why it is not. */
#include <stdio.h>

#include "lib/ice/ice_via.h"
#include "lib/peer/peer_internal.h"

static void peer_reason_direct(const struct peer_conn *p, struct str *s)
{
	struct ice_report r;
	ice_agent_report(p->ice, &r);
	char remote[IP_EP_TEXT_MAX];
	struct ip_ep plain = ice_via_undo(&r.pair.remote.addr);
	ip_ep_format(&plain, remote);
	str_addf(s, "%s %s (%s to %s)",
		 ice_via_is(&r.pair.remote.addr) ? "by a TURN server to" : "direct to", remote,
		 ice_cand_type_name(r.pair.local.type), ice_cand_type_name(r.pair.remote.type));
	if (r.keepalives_sent > 0 && r.keepalives_lost > 0)
		str_addf(s, ", %u of %u keepalives lost", r.keepalives_lost, r.keepalives_sent);
}

/* What is wrong on our side; true when something was written. */
static bool peer_reason_local(const struct peer_local *l, struct str *s)
{
	if (l->nhosts == 0 && l->nsrflx == 0) {
		str_add(s, "this host has no usable network address");
		return true;
	}
	if (l->udp_refused) {
		str_add(s, "this host refuses to send UDP");
		return true;
	}
	if (l->stun_servers > 0 && l->stun_answered == 0 && l->stun_waiting == 0) {
		char ep[IP_EP_TEXT_MAX] = "any server";
		if (l->stun_silent.addr.family != 0)
			ip_ep_format(&l->stun_silent, ep);
		str_addf(s, "no STUN answer from %s", ep);
		return true;
	}
	if (l->nat_per_destination) {
		str_add(s, "our NAT maps per destination");
		return true;
	}
	return false;
}

static void peer_reason_checks(const struct peer_conn *p, const struct ice_report *r, struct str *s)
{
	unsigned remote = r->remote_host + r->remote_srflx + r->remote_relay + r->remote_prflx;
	if (remote == 0) {
		str_add(s, "no candidates from the other side");
		return;
	}
	size_t before = s->n;
	if (peer_reason_local(p->conf.local, s) && s->n > before)
		str_add(s, "; ");
	str_addf(s, "%u of %u checks answered, %u received", r->checks_answered, r->checks_sent,
		 r->checks_received);
	if (r->checks_refused > 0)
		str_addf(s, ", %u with wrong credentials", r->checks_refused);
	if (r->remote_srflx == 0 && r->checks_answered == 0)
		str_add(s, "; the other side has no server-reflexive address");
}

/* Why it is not direct: from the negotiation that runs, or the last one. */
static void peer_reason_relayed(const struct peer_conn *p, struct str *s)
{
	str_addf(s, "relayed by %s: ", p->relay.url);
	if (p->relay.chosen) {
		struct ice_report r;
		ice_agent_report(p->ice, &r);
		const struct ice_quality *q = &r.quality;
		str_addf(s, "the direct path is worse (%u of the last %u checks lost, %u ms)",
			 ice_quality_count_lost(q, ICE_QUALITY_WINDOW), q->n,
			 (unsigned)(q->rtt / LN_MSEC));
		return;
	}
	if (p->relay.covers) {
		char remote[IP_EP_TEXT_MAX];
		ip_ep_format(&p->path, remote);
		str_addf(s, "the direct path to %s is silent", remote);
		return;
	}
	if (p->data.refused_until != 0) {
		str_add(s, "checks were answered but packets did not pass directly");
		return;
	}
	if (p->remote_without_ice) {
		str_add(s, "the other side accepts no direct connections");
		return;
	}
	if (p->ice != NULL && !ice_agent_lingers(p->ice)) {
		struct ice_report r;
		ice_agent_report(p->ice, &r);
		str_add(s, "negotiating a direct path, ");
		peer_reason_checks(p, &r, s);
		return;
	}
	if (p->watch_lost)
		str_add(s, "checks were answered but WireGuard made no session directly");
	else if (!p->report_valid)
		str_add(s, "no direct path was negotiated yet");
	else if (p->report.selected)
		str_add(s, "the direct path was lost (silence); negotiating again");
	else
		peer_reason_checks(p, &p->report, s);
}

static void peer_reason_no_relay(const struct peer_conn *p, struct str *s)
{
	const struct peer_local *l = p->conf.local;
	if (!l->relay_wanted)
		return;
	if (l->relay_url[0] == '\0')
		str_add(s, "; our relay is not connected");
	else if (p->relay.remote_url[0] == '\0' && p->offers_received + p->answers_received > 0)
		str_add(s, "; the other side names no relay");
	else if (p->relay.why[0] != '\0')
		str_addf(s, "; relay %s: %s", p->relay.url, p->relay.why);
}

static void peer_reason_connecting(const struct peer_conn *p, struct str *s)
{
	if (p->conf.local->signal_down) {
		str_add(s, "no connection to the signal server, nothing can be negotiated");
		return;
	}
	if (p->remote_without_ice) {
		str_add(s, "the other side accepts no direct connections");
		return;
	}
	struct ice_report r;
	bool running = p->ice != NULL;
	if (running)
		ice_agent_report(p->ice, &r);
	else
		r = p->report;
	if (!running && p->unanswered > 0 && p->offers_received + p->answers_received == 0) {
		str_addf(s, "no answer to %u offer%s: the other side is offline or asleep",
			 p->unanswered, p->unanswered == 1 ? "" : "s");
		return;
	}
	if (running) {
		str_add(s, "negotiating: ");
		peer_reason_checks(p, &r, s);
		return;
	}
	if (p->watch_lost) {
		str_add(s, "checks were answered but WireGuard made no session; negotiating again");
		return;
	}
	if (!p->report_valid) {
		str_add(s, "waiting for the other side");
		return;
	}
	if (p->path_lost)
		str_add(s, "the path was lost (silence); negotiating again");
	else
		peer_reason_checks(p, &r, s);
	if (p->unanswered > 0)
		str_addf(s, "; %u offer%s since then without answer", p->unanswered,
			 p->unanswered == 1 ? "" : "s");
}

void peer_reason_write(const struct peer_conn *p, char *dst, size_t size)
{
	struct str s;
	str_init(&s, size - 1);
	switch (p->state) {
	case PEER_IDLE:
		str_add(&s, p->lazy ? "asleep until the first packet" : "closed");
		break;
	case PEER_CONNECTING:
		peer_reason_connecting(p, &s);
		peer_reason_no_relay(p, &s);
		break;
	case PEER_CONNECTED:
		if (peer_relay_path(p) == PEER_PATH_DIRECT)
			peer_reason_direct(p, &s);
		else
			peer_reason_relayed(p, &s);
		break;
	}
	size_t n = LN_MIN(s.n, size - 1);
	memcpy(dst, str_c(&s), n);
	dst[n] = '\0';
	str_fini(&s);
}
