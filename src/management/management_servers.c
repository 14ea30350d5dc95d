/*
 * The servers agents are told about, and the refresh of what expires (spec management-protocol 4.3,
 * relay 19). Tokens are computed per message from the secret and the clock; nothing is stored.
 */
#include <stdlib.h>

#include "lib/crypto/ct.h"
#include "lib/token/turn_credential.h"

#include "src/management/management_internal.h"
#include "src/obs/obs_log.h"

#define CREDENTIALS_TTL (12 * LN_HOUR)
#define RETRY_AFTER (10 * LN_SEC) /* of a refresh the reader had no room for */

static bool has_relay(const struct management *m)
{
	return m->conf.relay.nurls != 0;
}

/* A part that is missing switches the relay off at the agent (trap 13): complete or an error. */
static int add_relay(const struct management *m, struct arena *a, struct mgmt_servers *ret)
{
	if (!has_relay(m))
		return 0;
	struct relay_token_text *t = arena_calloc(a, 1, sizeof(*t));
	if (t == NULL)
		return LN_E_LIMIT;
	relay_token_make(&m->relay_key, ev_wall() + m->conf.relay.ttl, t);
	ret->has_relay = true;
	ret->relay = (struct mgmt_relay){ .urls = m->conf.relay.urls,
					  .nurls = m->conf.relay.nurls,
					  .token_payload = t->payload,
					  .token_signature = t->signature };
	return 0;
}

static int add_stuns(const struct management *m, struct arena *a, struct mgmt_servers *ret)
{
	struct mgmt_host *stuns = arena_calloc(a, LN_MAX(m->conf.nstuns, 1u), sizeof(*stuns));
	if (stuns == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < m->conf.nstuns; i++)
		stuns[i] = (struct mgmt_host){ .uri = m->conf.stuns[i] };
	ret->stuns = stuns;
	ret->nstuns = m->conf.nstuns;
	return 0;
}

static bool has_turn_secret(const struct management *m)
{
	return m->conf.turn.nuris != 0 && m->conf.turn.secret[0] != '\0';
}

static int add_turns(const struct management *m, struct arena *a, struct mgmt_servers *ret)
{
	const struct management_turn *t = &m->conf.turn;
	struct mgmt_host *v = arena_calloc(a, LN_MAX(t->nuris, 1u), sizeof(*v));
	struct turn_credential *c = arena_calloc(a, 1, sizeof(*c));
	if (v == NULL || c == NULL)
		return LN_E_LIMIT;
	if (has_turn_secret(m))
		turn_credential_make(slice_str(t->secret), ev_wall() + t->ttl, c);
	for (size_t i = 0; i < t->nuris; i++)
		v[i] = (struct mgmt_host){
			.uri = t->uris[i],
			.protocol = strstr(t->uris[i], "transport=tcp") != NULL, /* TCP is 1 */
			.user = has_turn_secret(m) ? c->user : t->username,
			.password = has_turn_secret(m) ? c->password : t->password,
		};
	ret->turns = v;
	ret->nturns = t->nuris;
	return 0;
}

/* What is the same in complete configurations and in refreshes. */
static int add_credentials(const struct management *m, struct arena *a, struct mgmt_servers *ret)
{
	int r = add_stuns(m, a, ret);
	if (r == 0)
		r = add_turns(m, a, ret);
	return r < 0 ? r : add_relay(m, a, ret);
}

int management_servers(const struct management *m, struct arena *a, struct mgmt_servers *ret)
{
	*ret = (struct mgmt_servers){
		.has_signal = true,
		.signal = { .uri = m->conf.signal_uri, .https = m->conf.signal_tls },
	};
	return add_credentials(m, a, ret);
}

/* --- refresh ----------------------------------------------------------------------------------*/

/* Stuns, turns and relay, no map, no signal: what 4.3 calls a config-only message. */
static int send_refresh(struct management_stream *st)
{
	struct management *m = st->m;
	const struct mgmt_map_options none = { .port_ranges = false };
	struct mgmt_sync_response resp = { .has_servers = true };
	struct arena a;
	LN_AUTO(str_fini) struct str s;
	str_init(&s, 0);
	arena_init(&a, 1 << 20);
	int r = add_credentials(m, &a, &resp.servers);
	if (r == 0) {
		mgmt_sync_response_write(&s, &resp, &none);
		r = management_send(m, st->call, &st->box, &s);
	}
	arena_fini(&a);
	return r;
}

static void on_refresh(struct ev_timer *t)
{
	struct management_stream *st = ln_container(t, struct management_stream, refresh);
	struct management *m = st->m;
	if (st->ended || st->call == NULL)
		return;
	int r = send_refresh(st);
	if (r < 0) {
		log_debug("management", "a token refresh waits for its reader", LOG_ERRNO(r));
		ev_timer_after(t, RETRY_AFTER);
		return;
	}
	m->counters.refreshes++;
	management_refresh_arm(st);
}

void management_refresh_init(struct management_stream *st)
{
	ev_timer_init(&st->refresh, st->m->loop, on_refresh);
}

/*
 * Between 0.65 and 0.75 of a token's life: at the latest when upstream does it, and streams that
 * were opened in one burst do not refresh in one.
 */
void management_refresh_arm(struct management_stream *st)
{
	ln_time ttl = LN_TIME_NEVER;
	if (has_relay(st->m))
		ttl = st->m->conf.relay.ttl;
	if (has_turn_secret(st->m))
		ttl = ln_time_min(ttl, st->m->conf.turn.ttl);
	if (ttl != LN_TIME_NEVER)
		ev_timer_after(&st->refresh, ttl / 20 * 13 + rng_below64(ev_rng(), ttl / 10 + 1));
}

void management_refresh_fini(struct management_stream *st)
{
	ev_timer_fini(&st->refresh);
}

/* --- configuration ----------------------------------------------------------------------------*/

static const char **copy_texts(const char *const *from, size_t n)
{
	const char **v = ln_calloc(LN_MAX(n, 1u), sizeof(*v));
	for (size_t i = 0; i < n; i++)
		v[i] = ln_strdup(from[i]);
	return v;
}

static void free_texts(const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)v[i]);
	free((void *)(uintptr_t)v);
}

static void free_secret(const char *text)
{
	ct_wipe((void *)(uintptr_t)text, strlen(text));
	free((void *)(uintptr_t)text);
}

void management_servers_init(struct management *m, const struct management_conf *from)
{
	struct management_conf *to = &m->conf;
	to->stuns = copy_texts(from->stuns, from->nstuns);
	to->signal_uri = ln_strdup(from->signal_uri);
	to->relay.urls = copy_texts(from->relay.urls, from->relay.nurls);
	to->relay.secret = NULL; /* only its key is kept */
	to->turn.uris = copy_texts(from->turn.uris, from->turn.nuris);
	to->turn.secret = ln_strdup(from->turn.secret != NULL ? from->turn.secret : "");
	to->turn.username = ln_strdup(from->turn.username != NULL ? from->turn.username : "");
	to->turn.password = ln_strdup(from->turn.password != NULL ? from->turn.password : "");
	/* Trap 14: normalised once. */
	if (to->relay.ttl <= 0)
		to->relay.ttl = CREDENTIALS_TTL;
	if (to->turn.ttl <= 0)
		to->turn.ttl = CREDENTIALS_TTL;
	if (from->relay.nurls != 0)
		relay_token_key_make(slice_str(from->relay.secret), &m->relay_key);
}

void management_servers_fini(struct management *m)
{
	free_texts(m->conf.stuns, m->conf.nstuns);
	free_texts(m->conf.relay.urls, m->conf.relay.nurls);
	free((void *)(uintptr_t)m->conf.signal_uri);
	free_texts(m->conf.turn.uris, m->conf.turn.nuris);
	free_secret(m->conf.turn.secret);
	free_secret(m->conf.turn.password);
	free((void *)(uintptr_t)m->conf.turn.username);
	relay_token_key_wipe(&m->relay_key);
}
