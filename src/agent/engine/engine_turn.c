/*
 * TURN: one allocation, shared by all peers that no relay can reach (spec relay 18). Its relayed
 * address is a candidate of ours; what goes and comes through it bears the names of ice_via.h.
 */
#include <stdlib.h>

#include "lib/crypto/ct.h"
#include "lib/ice/ice_via.h"
#include "lib/stun/stun_msg.h"

#include "src/agent/engine/engine_internal.h"
#include "src/net/net_tls.h"
#include "src/obs/obs_log.h"

#define ENGINE_TURN_RETRY (5 * LN_SEC)
#define ENGINE_TURN_RETRY_MAX (2 * LN_MINUTE)

static void engine_turn_set_relayed(struct engine *e, const struct ip_ep *relayed)
{
	e->local.relayed = *relayed;
	engine_peer_local_changed(e);
}

static void engine_turn_on_up(void *user, const struct ip_ep *relayed)
{
	struct engine *e = user;
	log_info("engine", "address at a TURN server", LOG_EP("relayed", relayed));
	e->turn.retry = ENGINE_TURN_RETRY;
	engine_turn_set_relayed(e, relayed);
}

static void engine_turn_on_closed(void *user, const char *why)
{
	struct engine *e = user;
	struct engine_turn *t = &e->turn;
	log_info("engine", "no address at a TURN server",
		 LOG_STR("uri", t->servers[t->current].uri), LOG_STR("why", why));
	turn_link_free(t->link);
	t->link = NULL;
	/* The next one; round again after a while. */
	t->current = (t->current + 1) % t->n;
	ev_timer_after(&t->timer, t->current != 0 ? LN_MSEC : t->retry);
	if (t->current == 0)
		t->retry = ln_time_min(2 * t->retry, ENGINE_TURN_RETRY_MAX);
	engine_turn_set_relayed(e, &(struct ip_ep){ 0 });
}

static void engine_turn_on_packet(void *user, const struct ip_ep *from, struct slice data)
{
	struct engine *e = user;
	struct ip_ep via;
	if (!ice_via_make(from, &via))
		return;
	if (stun_is_message(data))
		engine_peer_stun(e, &via, data);
	else
		wgif_inject(e->wg, &via, data);
}

void engine_turn_send(struct engine *e, const struct ip_ep *via, struct slice data)
{
	struct ip_ep to = ice_via_undo(via);
	if (e->turn.link != NULL)
		turn_link_send(e->turn.link, &to, data);
}

/* --- servers -----------------------------------------------------------------------------------*/

static void engine_turn_start(struct engine *e)
{
	struct engine_turn *t = &e->turn;
	struct ln_fail f = { 0 };
	/* The kernel's WireGuard knows real endpoints only. */
	if (t->n == 0 || t->link != NULL || e->wg == NULL || wgif_is_kernel(e->wg))
		return;
	const struct engine_turn_server *s = &t->servers[t->current];
	if (strncmp(s->uri, "turns:", 6) == 0 && t->tls == NULL &&
	    net_tls_ctx_client(NULL, &t->tls, &f) < 0)
		log_error("engine", "no TLS for TURN", LOG_STR("why", f.text));
	struct turn_link_conf c = {
		.uri = s->uri,
		.username = s->user,
		.password = s->password,
		.fwmark = e->conf.mark,
		.tls = t->tls,
		.up = engine_turn_on_up,
		.closed = engine_turn_on_closed,
		.packet = engine_turn_on_packet,
		.user = e,
	};
	if (turn_link_new(e->conf.loop, &c, &t->link) == 0)
		return;
	log_warn("engine", "the server names an unusable TURN address", LOG_STR("uri", s->uri));
	t->current = (t->current + 1) % t->n;
	if (t->current != 0)
		ev_timer_after(&t->timer, LN_MSEC);
}

static void engine_turn_on_timer(struct ev_timer *timer)
{
	engine_turn_start(ln_container(timer, struct engine, turn.timer));
}

static void engine_turn_drop_servers(struct engine_turn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->servers[i].uri);
		free(t->servers[i].user);
		ct_wipe(t->servers[i].password, strlen(t->servers[i].password));
		free(t->servers[i].password);
	}
	t->n = 0;
}

/* An allocation that stands goes on: new credentials are for the next one. */
void engine_turn_set_servers(struct engine *e, const struct mgmt_servers *s)
{
	struct engine_turn *t = &e->turn;
	if (s->nturns == 0) /* an empty list leaves the old one in place (spec relay 19) */
		return;
	bool same = t->n == LN_MIN(s->nturns, LN_COUNT(t->servers));
	for (size_t i = 0; same && i < t->n; i++)
		same = strcmp(t->servers[i].uri, s->turns[i].uri) == 0;
	size_t current = same ? t->current : 0;
	engine_turn_drop_servers(t);
	t->current = current;
	for (size_t i = 0; i < s->nturns && t->n < LN_COUNT(t->servers); i++)
		t->servers[t->n++] = (struct engine_turn_server){ ln_strdup(s->turns[i].uri),
								  ln_strdup(s->turns[i].user),
								  ln_strdup(s->turns[i].password) };
	if (!same && t->link != NULL) {
		turn_link_free(t->link);
		t->link = NULL;
		engine_turn_set_relayed(e, &(struct ip_ep){ 0 });
	}
	if (t->link == NULL)
		ev_timer_at(&t->timer, 0);
}

void engine_turn_hurry(struct engine *e)
{
	struct engine_turn *t = &e->turn;
	t->retry = ENGINE_TURN_RETRY;
	if (t->n > 0 && t->link == NULL)
		ev_timer_at(&t->timer, 0);
}

/* --- life --------------------------------------------------------------------------------------*/

void engine_turn_init(struct engine *e)
{
	e->turn.retry = ENGINE_TURN_RETRY;
	ev_timer_init(&e->turn.timer, e->conf.loop, engine_turn_on_timer);
}

void engine_turn_fini(struct engine *e)
{
	turn_link_free(e->turn.link);
	e->turn.link = NULL;
	ev_timer_fini(&e->turn.timer);
	engine_turn_drop_servers(&e->turn);
	net_tls_ctx_free(e->turn.tls);
	e->turn.tls = NULL;
}
