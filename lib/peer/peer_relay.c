/*
 * The way by the relay (spec signal-and-connection 2.4, 4.7, 5.5, 5.9): when it is opened, which of
 * the two ways carries, and the change between them in place, with the session kept.
 *
 * Failover (spec relay 15): both meet at the controller's home; when the other side does not come
 * there, the controller goes to the other side's home and says so in its offers. Unmodified agents
 * follow: they meet wherever the controller says.
 */
#include <stdio.h>

#include "lib/peer/peer_internal.h"

/*
 * A direct path that has gone silent is covered by the relay before ICE gives it up, and comes back
 * when it is heard again. The first time soon, then only after a while: a bad path must not make
 * the connection go to and fro more than twice a minute.
 */
#define PEER_RELAY_COVER_FIRST LN_SEC
#define PEER_RELAY_COVER_AGAIN (40 * LN_SEC)
#define PEER_RELAY_COVER_MEMORY LN_MINUTE
#define PEER_RELAY_LOOK (250 * LN_MSEC) /* while it covers */
/* Silence counts when somebody was asked and had time to answer: we may have been late ourselves.
 */
#define PEER_RELAY_ASKED (600 * LN_MSEC)
#define PEER_RELAY_LATE (2 * LN_SEC)
#define PEER_RELAY_LATE_UNMODIFIED (6 * LN_SEC)

/*
 * A foreign relay is dialled within 3 s or not at all, mostly. Later waits are longer, so that two
 * places are not left just when the other side arrives.
 */
#define PEER_RELAY_WAIT (10 * LN_SEC)
#define PEER_RELAY_WAIT_AGAIN (20 * LN_SEC)
#define PEER_RELAY_AWAY (10 * LN_MINUTE)

/* --- which way --------------------------------------------------------------------------------*/

enum peer_path peer_relay_path(const struct peer_conn *p)
{
	if (peer_conn_is_direct(p) && !p->relay.covers)
		return PEER_PATH_DIRECT;
	return p->relay.state == PEER_RELAY_UP ? PEER_PATH_RELAY : PEER_PATH_NONE;
}

struct ip_ep peer_relay_endpoint(const struct peer_conn *p)
{
	switch (peer_relay_path(p)) {
	case PEER_PATH_DIRECT:
		return p->path;
	case PEER_PATH_RELAY:
		return p->conf.relay_ep;
	case PEER_PATH_NONE:
		break;
	}
	return (struct ip_ep){ 0 };
}

struct ip_ep peer_conn_relay_source(const struct peer_conn *p)
{
	return peer_relay_endpoint(p);
}

static void peer_relay_note_change(struct peer_conn *p, ln_time now)
{
	p->relay.changed[p->relay.nchanged++ % PEER_CHANGES] = now;
	p->path_changes++;
}

/*
 * From when on the direct path may be taken again: the change to the relay is never refused, so the
 * third one in a minute must be such a change, and with the one back there are four at most.
 */
static ln_time peer_relay_calm_at(const struct peer_conn *p)
{
	return p->relay.nchanged < PEER_CHANGES
		       ? 0
		       : p->relay.changed[p->relay.nchanged % PEER_CHANGES] + LN_MINUTE;
}

bool peer_relay_calm(const struct peer_conn *p, ln_time now)
{
	return peer_relay_calm_at(p) <= now;
}

static void peer_relay_changed(struct peer_conn *p, ln_time now, bool initiate)
{
	struct ip_ep ep = peer_relay_endpoint(p);
	peer_relay_note_change(p, now);
	p->want_state = true;
	peer_conn_endpoint_set(p, &ep, initiate);
}

/* --- opening ----------------------------------------------------------------------------------*/

bool peer_relay_usable(const struct peer_conn *p)
{
	return ip_is_set(&p->conf.relay_ep.addr) && p->conf.local->relay_url[0] != '\0' &&
	       p->relay.remote_url[0] != '\0';
}

/* No connection for this peer any more; what it means for the path. */
static void peer_relay_off(struct peer_conn *p, ln_time now)
{
	struct peer_relay *r = &p->relay;
	bool was_up = r->state == PEER_RELAY_UP, covered = r->covers;
	r->state = PEER_RELAY_OFF;
	r->since = now;
	r->want_open = false;
	r->covers = r->chosen = false;
	r->look_at = r->wait_at = LN_TIME_NEVER;
	p->relayed_at = 0;
	p->want_state = true;
	if (!was_up)
		return;
	if (now >= r->away_until)
		r->away = false;
	if (covered)
		peer_relay_changed(p, now, false);
	else if (!peer_conn_is_direct(p))
		peer_conn_no_path(p, now, false);
	/* A bad direct path is better than none. */
	p->data.refused_until = 0;
	peer_guard_reset(p, now, p->conf.guard_reset);
}

void peer_relay_end(struct peer_conn *p, ln_time now)
{
	/* An opening that was not handed out yet is simply forgotten. */
	p->relay.want_close |= p->relay.state != PEER_RELAY_OFF && !p->relay.want_open;
	peer_relay_off(p, now);
}

bool peer_relay_named(const struct peer_conn *p, const char **ret_url, struct ip_addr *ret_ip)
{
	const struct peer_local *l = p->conf.local;
	const struct peer_relay *r = &p->relay;
	bool away = r->away && r->remote_url[0] != '\0';
	*ret_url = away ? r->remote_url : l->relay_url;
	*ret_ip = away ? r->remote_ip : l->relay_ip;
	return l->relay_url[0] != '\0' && ip_is_set(&p->conf.relay_ep.addr);
}

static void peer_relay_consider(struct peer_conn *p, ln_time now)
{
	struct peer_relay *r = &p->relay;
	if (p->state == PEER_IDLE || !peer_relay_usable(p))
		return;
	/* Both sides meet at the controller's home (spec 2.4), or where it says. */
	bool own = p->controller && !r->away;
	const char *url = own ? p->conf.local->relay_url : r->remote_url;
	if (r->state != PEER_RELAY_OFF && strcmp(r->url, url) == 0)
		return;
	if (r->state != PEER_RELAY_OFF)
		peer_relay_end(p, now);
	memcpy(r->url, url, strlen(url) + 1);
	r->state = PEER_RELAY_OPENING;
	r->since = now;
	r->want_open = true;
	r->wait_at = !p->controller
			     ? LN_TIME_NEVER
			     : now + (r->moves == 0 ? PEER_RELAY_WAIT : PEER_RELAY_WAIT_AGAIN);
}

/* Our home or theirs, in turn. */
static void peer_relay_move(struct peer_conn *p, ln_time now)
{
	struct peer_relay *r = &p->relay;
	peer_relay_end(p, now);
	r->away = !r->away;
	r->away_until = now + PEER_RELAY_AWAY;
	r->moves++;
	p->want_offer = true;
	peer_relay_consider(p, now);
}

/* The other side is alive, but does not come to where we wait for it. */
static void peer_relay_waited(struct peer_conn *p, ln_time now)
{
	struct peer_relay *r = &p->relay;
	bool other = strcmp(r->remote_url, p->conf.local->relay_url) != 0;
	r->wait_at = LN_TIME_NEVER;
	if (r->state != PEER_RELAY_OPENING || !peer_relay_usable(p))
		return;
	if (other && r->heard_at >= r->since && !peer_conn_is_direct(p))
		peer_relay_move(p, now);
	else
		r->wait_at = now + PEER_RELAY_WAIT;
}

ln_time peer_relay_deadline(const struct peer_conn *p)
{
	return ln_time_min(p->relay.look_at, p->relay.wait_at);
}

void peer_relay_heard(struct peer_conn *p, ln_time now, const struct signal_body *m)
{
	struct peer_relay *r = &p->relay;
	size_t n = m->has_relay && m->relay_address != NULL ? strlen(m->relay_address) : 0;
	p->remote_level = m->linnet_level;
	if (n > PEER_RELAY_URL_MAX)
		n = 0;
	if (n > 0)
		memcpy(r->remote_url, m->relay_address, n);
	r->remote_url[n] = '\0';
	r->remote_ip = m->relay_ip;
	r->heard_at = now;
	peer_relay_consider(p, now);
}

void peer_relay_close(struct peer_conn *p)
{
	struct peer_relay *r = &p->relay;
	r->want_close |= r->state != PEER_RELAY_OFF && !r->want_open;
	r->want_open = false;
	r->state = PEER_RELAY_OFF;
	r->covers = r->chosen = r->away = false;
	r->moves = 0;
	r->look_at = r->wait_at = LN_TIME_NEVER;
	r->remote_url[0] = '\0';
	r->why[0] = '\0';
	p->relayed_at = 0;
}

void peer_conn_relay_home(struct peer_conn *p, ln_time now)
{
	if (p->state == PEER_IDLE || p->conf.local->relay_url[0] == '\0' ||
	    !ip_is_set(&p->conf.relay_ep.addr))
		return;
	/* A new home may be one that the other side reaches. */
	if (p->relay.state != PEER_RELAY_UP)
		p->relay.away = false;
	p->want_offer = true;
	peer_relay_consider(p, now);
}

/* --- what the owner says ----------------------------------------------------------------------*/

void peer_conn_relay_up(struct peer_conn *p, ln_time now)
{
	struct peer_relay *r = &p->relay;
	if (p->state == PEER_IDLE || r->state != PEER_RELAY_OPENING)
		return;
	ln_time opened = r->since;
	r->state = PEER_RELAY_UP;
	r->since = now;
	r->moves = 0;
	r->wait_at = LN_TIME_NEVER;
	r->why[0] = '\0';
	p->want_state = true;
	if (peer_conn_is_direct(p)) {
		r->look_at = now;
		return;
	}
	p->relayed_at = now;
	p->path_lost = false;
	p->unanswered = 0;
	p->watch_lost = false;
	peer_conn_set_state(p, now, PEER_CONNECTED);
	peer_conn_watch(p, now, opened);
	if (p->controller || peer_conn_has_session(p, now))
		peer_conn_endpoint_set(p, &p->conf.relay_ep, p->controller);
	else
		p->ep_fallback_at = now + p->conf.endpoint_delay;
}

void peer_conn_relay_down(struct peer_conn *p, ln_time now, const char *why)
{
	if (p->relay.state == PEER_RELAY_OFF || p->relay.want_open)
		return;
	(void)snprintf(p->relay.why, sizeof(p->relay.why), "%s", why != NULL ? why : "");
	bool unreachable = p->relay.away && p->relay.state == PEER_RELAY_OPENING;
	peer_relay_off(p, now);
	if (unreachable)
		peer_relay_move(p, now);
}

/* --- the change between the ways --------------------------------------------------------------*/

bool peer_relay_take_over(struct peer_conn *p, ln_time now, bool restarted)
{
	struct peer_relay *r = &p->relay;
	if (r->state != PEER_RELAY_UP)
		return false;
	bool fresh = restarted && p->controller;
	bool carried = r->covers || p->relayed_at != 0;
	r->covers = r->chosen = false;
	r->look_at = LN_TIME_NEVER;
	if (p->relayed_at == 0)
		p->relayed_at = now;
	if (p->watch_at == LN_TIME_NEVER)
		peer_conn_watch(p, now, now);
	/* The new process knows no session of ours: the controller makes a new one (spec 5.5). */
	if (fresh)
		peer_conn_endpoint_clear(p, true);
	if (!carried)
		peer_relay_changed(p, now, fresh);
	else if (fresh)
		peer_conn_endpoint_set(p, &p->conf.relay_ep, true);
	return true;
}

void peer_relay_selected(struct peer_conn *p, ln_time now)
{
	if (p->relay.state != PEER_RELAY_UP)
		return;
	p->relayed_at = 0;
	if (peer_relay_calm_at(p) > now) {
		struct peer_relay *r = &p->relay;
		r->covers = true;
		r->covered_at = now;
		r->covers_until = peer_relay_calm_at(p);
		r->look_at = now + PEER_RELAY_LOOK;
		return;
	}
	peer_relay_note_change(p, now);
	p->relay.look_at = now + p->conf.silent_after;
}

static void peer_relay_cover(struct peer_conn *p, ln_time now)
{
	struct peer_relay *r = &p->relay;
	if (r->covered == 0 || now - r->covered_at > PEER_RELAY_COVER_MEMORY)
		r->covered = 0;
	r->covers_until =
		now + (r->covered++ == 0 ? PEER_RELAY_COVER_FIRST : PEER_RELAY_COVER_AGAIN);
	r->covered_at = now;
	r->covers = true;
	r->look_at = now + PEER_RELAY_LOOK;
	p->want_gather = true;
	peer_relay_changed(p, now, false);
}

void peer_relay_choose(struct peer_conn *p, ln_time now)
{
	struct peer_relay *r = &p->relay;
	if (r->state != PEER_RELAY_UP || !peer_conn_is_direct(p))
		return;
	r->chosen = true;
	r->look_at = LN_TIME_NEVER;
	p->want_state = true;
	if (r->covers)
		return;
	r->covers = true;
	r->covered_at = now;
	peer_relay_changed(p, now, false);
}

/* From here on as after any silence: back when the direct path is heard. */
void peer_relay_unchoose(struct peer_conn *p, ln_time now)
{
	struct peer_relay *r = &p->relay;
	r->chosen = false;
	/* What still comes by the relay is late, and no hint. */
	r->covered_at = r->covers_until = r->look_at = now;
	r->covered = LN_MAX(r->covered, 1u);
}

bool peer_conn_relayed(struct peer_conn *p, ln_time now)
{
	bool news = peer_probe_packet(p, now);
	if (peer_relay_path(p) != PEER_PATH_DIRECT || p->relay.state != PEER_RELAY_UP)
		return news;
	enum peer_doubt_verdict v = peer_doubt_hint(p, now);
	if (v != PEER_DOUBT_LEAVE)
		return v == PEER_DOUBT_BEGUN || news;
	/* Until the other side has seen the change, and what is under way has arrived. An
	 * unmodified one may wait for our first packet as long as for a handshake (spec 5.6). */
	ln_time grace = p->remote_level != 0 ? PEER_RELAY_LATE : PEER_RELAY_LATE_UNMODIFIED;
	if (now - p->selected_at < grace)
		return news;
	/* One hint a minute: the other side may hear less than we do, and stay there for now. */
	if (p->relay.covered != 0 && now - p->relay.covered_at < PEER_RELAY_COVER_MEMORY)
		return news;
	peer_relay_cover(p, now);
	return true;
}

void peer_relay_run(struct peer_conn *p, ln_time now)
{
	struct peer_relay *r = &p->relay;
	if (now >= r->wait_at)
		peer_relay_waited(p, now);
	if (now < r->look_at)
		return;
	r->look_at = LN_TIME_NEVER;
	if (r->state != PEER_RELAY_UP || !peer_conn_is_direct(p) || r->chosen)
		return;
	/* Answers only: what the other side asks may come through where nothing of ours does. */
	struct ice_pulse pulse;
	ice_agent_pulse(p->ice, &pulse);
	ln_time heard = LN_MAX(pulse.answered_at, p->selected_at);
	if (!r->covers) {
		ln_time asked = pulse.asked_at != 0 ? pulse.asked_at : LN_MAX(pulse.next_at, now);
		ln_time due = LN_MAX(heard + p->conf.silent_after, asked + PEER_RELAY_ASKED);
		if (now >= due)
			peer_relay_cover(p, now);
		else
			r->look_at = due;
		return;
	}
	if (heard <= r->covered_at || now < LN_MAX(r->covers_until, peer_relay_calm_at(p)) ||
	    now - heard >= p->conf.silent_after) {
		r->look_at = now + PEER_RELAY_LOOK;
		return;
	}
	r->covers = false;
	r->look_at = heard + p->conf.silent_after;
	peer_relay_changed(p, now, false);
}
