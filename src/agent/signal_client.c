#include "src/agent/signal_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/list.h"

#include "src/net/net_grpc.h"
#include "src/obs/obs_log.h"

#define SIGNAL_SERVICE "/signalexchange.SignalExchange/"
#define SIGNAL_ID_HEADER "x-wiretrustee-peer-id"
#define SIGNAL_MARK_HEADER "x-wiretrustee-peer-registered"
#define SIGNAL_BACKOFF_FIRST (800 * LN_MSEC)
#define SIGNAL_BACKOFF_CAP (10 * LN_SEC)
#define SIGNAL_TICK (10 * LN_SEC)
#define SIGNAL_SILENCE (30 * LN_SEC)
#define SIGNAL_PROBE_LIMIT (10 * LN_SEC)
/* Sends at once and waiting; a network map of thousands of peers offers to all of them. */
#define SIGNAL_INFLIGHT_MAX 64
#define SIGNAL_WAITING_MAX 16384
#define SIGNAL_BODY_MAX ((size_t)64 << 10)

static const ln_time signal_send_limits[] = { 10 * LN_SEC, 10 * LN_SEC, 10 * LN_SEC, 15 * LN_SEC };

struct signal_send {
	struct list link;             /* in waiting or inflight */
	struct signal_client *client; /* null: the client is gone */
	struct wg_key to;
	struct str msg;
	signal_client_done_fn *done;
	uint64_t token;
	unsigned tries;
};

struct signal_client {
	struct ev_loop *loop;
	struct signal_client_conf conf;
	char *host;
	struct wg_key own;
	char own_text[WG_KEY_TEXT];
	struct box_key self; /* for heartbeats */
	struct grpc_channel *channel;
	struct grpc_call *stream;
	bool connected;
	bool evicted; /* the last stream ended because somebody took our name */
	struct ev_timer retry, tick;
	ln_time backoff;
	ln_time heard_at;
	ln_time probe_at; /* 0: none is out */
	struct list waiting, inflight, refused;
	size_t nwaiting, ninflight;
	bool refusing; /* a deferred round for `refused` is due */
};

static void signal_client_pump(struct signal_client *c);

/* --- sending -----------------------------------------------------------------------------------*/

static void signal_send_free(struct signal_send *s)
{
	list_remove(&s->link);
	str_fini(&s->msg);
	free(s);
}

static void signal_send_end(struct signal_send *s, bool ok)
{
	struct signal_client *c = s->client;
	signal_client_done_fn *done = s->done;
	struct wg_key to = s->to;
	uint64_t token = s->token;
	signal_send_free(s);
	if (done != NULL)
		done(c->conf.user, &to, token, ok);
}

static void signal_send_start(struct signal_client *c, struct signal_send *s);

static void signal_send_reply(void *user, enum grpc_status status, const char *text,
			      struct slice reply)
{
	struct signal_send *s = user;
	struct signal_client *c = s->client;
	if (c == NULL) {
		signal_send_free(s);
		return;
	}
	if (status != GRPC_OK && status != GRPC_CANCELLED && c->connected &&
	    s->tries < LN_COUNT(signal_send_limits)) {
		signal_send_start(c, s);
		return;
	}
	if (status != GRPC_OK)
		log_debug("signal", "a message could not be sent", LOG_KEY("peer", &s->to),
			  LOG_STR("status", grpc_status_name(status)), LOG_STR("text", text));
	c->ninflight--;
	signal_send_end(s, status == GRPC_OK);
	signal_client_pump(c);
}

static void signal_send_start(struct signal_client *c, struct signal_send *s)
{
	ln_time limit = signal_send_limits[s->tries++];
	grpc_channel_unary(c->channel, SIGNAL_SERVICE "Send", str_slice(&s->msg), ev_now() + limit,
			   signal_send_reply, s);
}

static void signal_client_pump(struct signal_client *c)
{
	while (c->connected && c->ninflight < SIGNAL_INFLIGHT_MAX && !list_empty(&c->waiting)) {
		struct signal_send *s = list_entry(list_pop(&c->waiting), struct signal_send, link);
		c->nwaiting--;
		c->ninflight++;
		list_add_tail(&c->inflight, &s->link);
		signal_send_start(c, s);
	}
}

static int signal_client_seal(struct signal_client *c, const struct wg_key *to,
			      const struct box_key *box, const struct signal_body *m,
			      struct str *ret)
{
	struct str plain;
	str_init(&plain, SIGNAL_BODY_MAX);
	signal_body_write(&plain, m);
	int err = plain.err;
	size_t n = plain.n + BOX_OVERHEAD;
	uint8_t *body = ln_alloc(n);
	if (err == 0)
		err = box_seal(box, ev_rng(), str_slice(&plain), mslice_of(body, n));
	if (err >= 0) {
		char remote[WG_KEY_TEXT];
		wg_key_format(to, remote);
		signal_envelope_write(ret, slice_str(c->own_text), slice_str(remote),
				      slice_of(body, n));
		err = ret->err;
	}
	free(body);
	str_fini(&plain);
	return err < 0 ? err : 0;
}

void signal_client_send(struct signal_client *c, const struct wg_key *to, const struct box_key *box,
			const struct signal_body *m, signal_client_done_fn *done, uint64_t token)
{
	struct signal_send *s = ln_alloc(sizeof(*s));
	list_init(&s->link);
	s->client = c;
	s->to = *to;
	s->done = done;
	s->token = token;
	str_init(&s->msg, SIGNAL_BODY_MAX + 1024);
	bool take = c->connected && c->nwaiting < SIGNAL_WAITING_MAX &&
		    signal_client_seal(c, to, box, m, &s->msg) == 0;
	if (!take && done == NULL) {
		signal_send_free(s);
		return;
	}
	if (!take) {
		list_add_tail(&c->refused, &s->link);
		c->refusing = true;
		ev_timer_after(&c->tick, 0);
		return;
	}
	list_add_tail(&c->waiting, &s->link);
	c->nwaiting++;
	signal_client_pump(c);
}

static void signal_client_fail_waiting(struct signal_client *c)
{
	while (!list_empty(&c->waiting)) {
		struct signal_send *s = list_entry(list_pop(&c->waiting), struct signal_send, link);
		c->nwaiting--;
		list_add_tail(&c->refused, &s->link);
	}
	c->refusing = !list_empty(&c->refused);
	if (c->refusing)
		ev_timer_after(&c->tick, 0);
}

/* --- receiving ---------------------------------------------------------------------------------*/

static void signal_client_set_connected(struct signal_client *c, bool connected, const char *why)
{
	bool changed = c->connected != connected;
	c->connected = connected;
	if (!connected)
		signal_client_fail_waiting(c);
	if (changed || !connected)
		c->conf.on_state(c->conf.user, connected, why);
	signal_client_pump(c);
}

static void signal_stream_headers(struct grpc_call *call)
{
	struct signal_client *c = grpc_call_user(call);
	if (c == NULL || c->stream != call)
		return;
	if (grpc_call_header(call, SIGNAL_MARK_HEADER) == NULL)
		return; /* a refusal: closed() brings its text */
	c->heard_at = ev_now();
	c->probe_at = 0;
	c->backoff = SIGNAL_BACKOFF_FIRST;
	signal_client_set_connected(c, true, "");
}

static void signal_stream_open_body(struct signal_client *c, const struct wg_key *from,
				    const struct box_key *box, struct slice sealed)
{
	uint8_t *plain = ln_alloc(sealed.n);
	int n = box_open(box, sealed, mslice_of(plain, sealed.n));
	struct arena a;
	arena_init(&a, 8 * SIGNAL_BODY_MAX);
	struct signal_body m;
	if (n >= 0 && signal_body_read(slice_of(plain, sealed.n - BOX_OVERHEAD), &a, &m) == 0) {
		if (m.type != SIGNAL_HEARTBEAT)
			c->conf.on_message(c->conf.user, from, &m);
	} else {
		log_debug("signal", "a message did not open", LOG_KEY("peer", from));
	}
	arena_fini(&a);
	free(plain);
}

static void signal_stream_message(struct grpc_call *call, struct slice msg)
{
	struct signal_client *c = grpc_call_user(call);
	if (c == NULL || c->stream != call)
		return;
	c->heard_at = ev_now();
	c->probe_at = 0;
	c->evicted = false;
	struct signal_envelope e;
	struct wg_key from;
	if (signal_envelope_read(msg, &e) < 0 || wg_key_parse(e.key, &from) < 0 ||
	    e.body.n < BOX_OVERHEAD || e.body.n > SIGNAL_BODY_MAX)
		return;
	/* A heartbeat comes back with our own key; it has done its work by arriving. */
	if (wg_key_equal(&from, &c->own))
		return;
	const struct box_key *box = c->conf.box_of(c->conf.user, &from);
	if (box != NULL)
		signal_stream_open_body(c, &from, box, e.body);
}

static void signal_client_again(struct signal_client *c)
{
	ln_time wait = rng_below64(ev_rng(), 2 * c->backoff);
	/* Two agents with one key would evict each other for ever (spec trap 7). */
	if (c->evicted)
		wait += 20 * LN_SEC;
	c->backoff = ln_time_min(c->backoff * 17 / 10, SIGNAL_BACKOFF_CAP);
	ev_timer_after(&c->retry, wait);
}

static void signal_stream_closed(struct grpc_call *call, enum grpc_status status, const char *text)
{
	struct signal_client *c = grpc_call_user(call);
	if (c == NULL || c->stream != call)
		return;
	c->stream = NULL;
	bool taken = status == GRPC_UNKNOWN && strstr(text, "registered again") != NULL;
	if (taken && c->connected) {
		if (c->evicted)
			log_warn("signal", "another agent uses our key: we take turns",
				 LOG_KEY("key", &c->own));
		c->evicted = true;
	}
	char why[256];
	(void)snprintf(why, sizeof(why), "%s: %.200s", grpc_status_name(status), text);
	signal_client_set_connected(c, false, why);
	signal_client_again(c);
}

static const struct grpc_client_cbs signal_stream_cbs = {
	.headers = signal_stream_headers,
	.message = signal_stream_message,
	.closed = signal_stream_closed,
};

static void signal_client_open(struct signal_client *c)
{
	if (c->stream != NULL)
		return;
	struct grpc_kv id = { SIGNAL_ID_HEADER, c->own_text };
	c->heard_at = ev_now();
	c->stream = grpc_channel_call(c->channel, SIGNAL_SERVICE "ConnectStream", &id, 1,
				      LN_TIME_NEVER, &signal_stream_cbs, c);
}

static void signal_client_retry(struct ev_timer *t)
{
	signal_client_open(ln_container(t, struct signal_client, retry));
}

static void signal_client_drop_stream(struct signal_client *c)
{
	if (c->stream == NULL)
		return;
	struct grpc_call *call = c->stream;
	c->stream = NULL;
	grpc_call_set_user(call, NULL);
	grpc_call_cancel(call);
}

/* --- watchdog ----------------------------------------------------------------------------------*/

static void signal_client_watch(struct signal_client *c, ln_time now)
{
	if (!c->connected || now - c->heard_at < SIGNAL_SILENCE)
		return;
	if (c->probe_at == 0) {
		struct signal_body m = { .type = SIGNAL_HEARTBEAT };
		c->probe_at = now;
		signal_client_send(c, &c->own, &c->self, &m, NULL, 0);
		return;
	}
	if (now - c->probe_at < SIGNAL_PROBE_LIMIT)
		return;
	log_info("signal", "the stream is silent, connecting again");
	signal_client_drop_stream(c);
	grpc_channel_reset(c->channel);
	signal_client_set_connected(c, false, "the stream was silent");
	signal_client_again(c);
}

static void signal_client_on_tick(struct ev_timer *t)
{
	struct signal_client *c = ln_container(t, struct signal_client, tick);
	ev_timer_after(&c->tick, SIGNAL_TICK);
	if (c->refusing) {
		struct list round;
		list_init(&round);
		c->refusing = false;
		while (!list_empty(&c->refused))
			list_add_tail(&round, list_pop(&c->refused));
		while (!list_empty(&round))
			signal_send_end(list_entry(round.next, struct signal_send, link), false);
	}
	signal_client_watch(c, ev_now());
}

/* --- life --------------------------------------------------------------------------------------*/

struct signal_client *signal_client_new(struct ev_loop *l, const struct signal_client_conf *conf)
{
	struct signal_client *c = ln_alloc(sizeof(*c));
	c->loop = l;
	c->conf = *conf;
	c->host = ln_strdup(conf->host);
	c->backoff = SIGNAL_BACKOFF_FIRST;
	list_init(&c->waiting);
	list_init(&c->inflight);
	list_init(&c->refused);
	wg_secret_public(conf->key, &c->own);
	wg_key_format(&c->own, c->own_text);
	/* Our own public key is no low-order point. */
	if (box_key_init(&c->self, conf->key, &c->own) < 0)
		log_error("signal", "the private key is unusable");
	struct grpc_channel_conf cc = {
		.target = { .host = c->host,
			    .port = conf->port,
			    .tls = conf->tls,
			    .fwmark = conf->fwmark },
	};
	c->channel = grpc_channel_new(l, &cc);
	ev_timer_init(&c->retry, l, signal_client_retry);
	ev_timer_init(&c->tick, l, signal_client_on_tick);
	ev_timer_after(&c->tick, SIGNAL_TICK);
	signal_client_open(c);
	return c;
}

void signal_client_free(struct signal_client *c)
{
	if (c == NULL)
		return;
	signal_client_drop_stream(c);
	ev_timer_fini(&c->retry);
	ev_timer_fini(&c->tick);
	while (!list_empty(&c->waiting))
		signal_send_free(list_entry(c->waiting.next, struct signal_send, link));
	while (!list_empty(&c->refused))
		signal_send_free(list_entry(c->refused.next, struct signal_send, link));
	/* The channel still ends these; they free themselves then. */
	while (!list_empty(&c->inflight)) {
		struct signal_send *s =
			list_entry(list_pop(&c->inflight), struct signal_send, link);
		s->client = NULL;
	}
	grpc_channel_free(c->channel);
	box_key_wipe(&c->self);
	free(c->host);
	ev_defer_free(c->loop, c);
}

bool signal_client_connected(const struct signal_client *c)
{
	return c->connected;
}

void signal_client_redial(struct signal_client *c)
{
	c->backoff = SIGNAL_BACKOFF_FIRST / 4;
	grpc_channel_reset(c->channel);
}

void signal_client_hurry(struct signal_client *c)
{
	if (grpc_channel_state(c->channel) == GRPC_READY)
		return;
	signal_client_redial(c);
	if (c->stream == NULL)
		ev_timer_after(&c->retry, 0);
}
