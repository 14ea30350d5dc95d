#include "src/agent/mgmt_client.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/crypto/box.h"
#include "lib/crypto/ct.h"
#include "lib/mgmt/mgmt_job.h"

#include "src/obs/obs_log.h"

#define MGMT_SERVICE "/management.ManagementService/"
#define MGMT_KEY_LIMIT (5 * LN_SEC)
#define MGMT_LOGIN_LIMIT (10 * LN_SEC)
#define MGMT_LOGOUT_LIMIT (15 * LN_SEC)
#define MGMT_BACKOFF_FIRST (800 * LN_MSEC)
#define MGMT_BACKOFF_CAP (10 * LN_SEC)
/* spec reliability A-7: what one message may need in memory. */
#define MGMT_ARENA_MAX ((size_t)256 << 20)
#define MGMT_TIDY_BYTES 16384 /* a map of some thirty peers */
#define MGMT_TIDY_AFTER (10 * LN_SEC)

enum mgmt_call_kind {
	MGMT_CALL_LOGIN,
	MGMT_CALL_LOGOUT,
	MGMT_CALL_META,
	MGMT_CALL_COUNT,
};

/* A sealed unary call: waits for the server key, then for its reply. */
struct mgmt_call {
	struct mgmt_client *client; /* null: the client is gone or has replaced this call */
	enum mgmt_call_kind kind;
	struct str plain; /* request, wiped after sealing */
	mgmt_client_login_fn *login;
	mgmt_client_done_fn *done;
	void *user;
	bool sent;
	bool retried; /* the server key was asked for again */
};

struct mgmt_stream {
	struct mgmt_client *client;
	bool job;
	struct grpc_call *call;
	bool seen; /* a message has come */
	struct ev_timer retry;
	ln_time backoff;
};

struct mgmt_key_query {
	struct mgmt_client *client; /* null: the client is gone */
};

struct mgmt_client {
	struct ev_loop *loop;
	struct mgmt_client_conf conf;
	struct grpc_channel *channel;
	struct wg_key own;
	bool key_known;
	struct box_key box;
	struct wg_key server;
	struct mgmt_key_query *key_query; /* in flight, or null */
	struct mgmt_call *calls[MGMT_CALL_COUNT];
	bool running;
	bool job_off; /* the server has no such method */
	struct mgmt_stream sync, job;
	struct ev_timer tidy;
	bool connected;
};

static void mgmt_client_want_key(struct mgmt_client *c);

/* --- envelopes ---------------------------------------------------------------------------------*/

static int mgmt_client_seal(struct mgmt_client *c, struct slice plain, struct str *ret)
{
	size_t n = plain.n + BOX_OVERHEAD;
	uint8_t *body = ln_alloc(n);
	int err = box_seal(&c->box, ev_rng(), plain, mslice_of(body, n));
	if (err >= 0) {
		mgmt_envelope_write(ret, &c->own, slice_of(body, n));
		err = ret->err;
	}
	free(body);
	return err < 0 ? err : 0;
}

/* The opened body, in the arena. */
static int mgmt_client_open(struct mgmt_client *c, struct slice msg, struct arena *a,
			    struct slice *ret)
{
	struct mgmt_envelope e;
	int err = mgmt_envelope_read(msg, &e);
	if (err < 0)
		return err;
	if (e.body.n < BOX_OVERHEAD)
		return LN_E_MALFORMED;
	size_t n = e.body.n - BOX_OVERHEAD;
	uint8_t *plain = arena_alloc(a, n + 1);
	if (plain == NULL)
		return LN_E_LIMIT;
	err = box_open(&c->box, e.body, mslice_of(plain, n));
	if (err < 0)
		return err;
	*ret = slice_of(plain, n);
	return 0;
}

/* --- state -------------------------------------------------------------------------------------*/

static void mgmt_client_set_connected(struct mgmt_client *c, bool connected, const char *why)
{
	bool changed = c->connected != connected;
	c->connected = connected;
	if (changed || !connected)
		c->conf.on_state(c->conf.user, connected, why);
}

/* --- unary calls -------------------------------------------------------------------------------*/

static void mgmt_call_free(struct mgmt_call *call)
{
	if (call->plain.s != NULL)
		ct_wipe(call->plain.s, call->plain.n);
	str_fini(&call->plain);
	free(call);
}

/* The slot is free before the callback runs, which may start the next call. */
static void mgmt_call_end(struct mgmt_call *call, enum grpc_status status, const char *text,
			  const struct mgmt_login_response *response)
{
	struct mgmt_client *c = call->client;
	if (c != NULL) {
		c->calls[call->kind] = NULL;
		if (call->login != NULL)
			call->login(call->user, status, text, response);
		else if (call->done != NULL)
			call->done(call->user, status, text);
	}
	mgmt_call_free(call);
}

static void mgmt_call_login_reply(struct mgmt_call *call, struct slice reply)
{
	struct arena a;
	arena_init(&a, MGMT_ARENA_MAX);
	struct slice plain;
	struct mgmt_login_response r;
	int err = mgmt_client_open(call->client, reply, &a, &plain);
	if (err == 0)
		err = mgmt_login_response_read(plain, &a, &r);
	if (err < 0)
		mgmt_call_end(call, GRPC_INTERNAL, "the server's answer to Login is unreadable",
			      NULL);
	else
		mgmt_call_end(call, GRPC_OK, "", &r);
	arena_fini(&a);
}

static void mgmt_call_reply(void *user, enum grpc_status status, const char *text,
			    struct slice reply)
{
	struct mgmt_call *call = user;
	struct mgmt_client *c = call->client;
	if (c == NULL) {
		mgmt_call_free(call);
		return;
	}
	/* "Bad box" may mean that the server got another key since we asked. */
	if (status == GRPC_INVALID_ARGUMENT && !call->retried) {
		call->retried = true;
		call->sent = false;
		c->key_known = false;
		mgmt_client_want_key(c);
		return;
	}
	if (status == GRPC_OK && call->login != NULL)
		mgmt_call_login_reply(call, reply);
	else
		mgmt_call_end(call, status, text, NULL);
}

static void mgmt_call_send(struct mgmt_client *c, struct mgmt_call *call)
{
	static const struct {
		const char *path;
		ln_time limit;
	} how[MGMT_CALL_COUNT] = {
		[MGMT_CALL_LOGIN] = { MGMT_SERVICE "Login", MGMT_LOGIN_LIMIT },
		[MGMT_CALL_LOGOUT] = { MGMT_SERVICE "Logout", MGMT_LOGOUT_LIMIT },
		[MGMT_CALL_META] = { MGMT_SERVICE "SyncMeta", MGMT_LOGIN_LIMIT },
	};
	struct str msg;
	str_init(&msg, 0);
	call->sent = true;
	if (mgmt_client_seal(c, str_slice(&call->plain), &msg) < 0)
		str_clear(&msg); /* the server refuses the empty message in words */
	grpc_channel_unary(c->channel, how[call->kind].path, str_slice(&msg),
			   ev_now() + how[call->kind].limit, mgmt_call_reply, call);
	str_fini(&msg);
}

static struct mgmt_call *mgmt_call_new(struct mgmt_client *c, enum mgmt_call_kind kind, void *user)
{
	struct mgmt_call *old = c->calls[kind];
	if (old != NULL) {
		old->client = NULL;
		if (!old->sent)
			mgmt_call_free(old);
	}
	struct mgmt_call *call = ln_alloc(sizeof(*call));
	call->client = c;
	call->kind = kind;
	call->user = user;
	str_init(&call->plain, 0);
	c->calls[kind] = call;
	return call;
}

void mgmt_client_login(struct mgmt_client *c, const struct mgmt_login_request *m,
		       mgmt_client_login_fn *done, void *user)
{
	struct mgmt_call *call = mgmt_call_new(c, MGMT_CALL_LOGIN, user);
	call->login = done;
	mgmt_login_request_write(&call->plain, m, &c->own);
	mgmt_client_want_key(c);
}

void mgmt_client_logout(struct mgmt_client *c, mgmt_client_done_fn *done, void *user)
{
	struct mgmt_call *call = mgmt_call_new(c, MGMT_CALL_LOGOUT, user);
	call->done = done;
	mgmt_client_want_key(c);
}

static void mgmt_client_write_meta(struct mgmt_client *c, struct str *dst)
{
	struct arena a;
	arena_init(&a, (size_t)1 << 20);
	struct mgmt_sync_request r = { .has_meta = true };
	c->conf.meta(c->conf.user, &a, &r.meta);
	mgmt_sync_request_write(dst, &r);
	arena_fini(&a);
}

void mgmt_client_send_meta(struct mgmt_client *c)
{
	if (!c->running)
		return;
	struct mgmt_call *call = mgmt_call_new(c, MGMT_CALL_META, NULL);
	mgmt_client_write_meta(c, &call->plain);
	mgmt_client_want_key(c);
}

/* --- streams -----------------------------------------------------------------------------------*/

static void mgmt_stream_again(struct mgmt_stream *s)
{
	ln_time wait = rng_below64(ev_rng(), 2 * s->backoff);
	s->backoff = ln_time_min(s->backoff * 17 / 10, MGMT_BACKOFF_CAP);
	ev_timer_after(&s->retry, wait);
}

/*
 * A map leaves holes behind: its buffers lay between what lives on. Their pages go back to the
 * system once the connections that it opened have settled.
 */
static void mgmt_client_on_tidy(struct ev_timer *t)
{
	(void)t;
	malloc_trim(0);
}

static void mgmt_stream_sync_message(struct mgmt_client *c, struct slice msg)
{
	struct arena a;
	arena_init(&a, MGMT_ARENA_MAX);
	struct slice plain;
	struct mgmt_sync_response r;
	int err = mgmt_client_open(c, msg, &a, &plain);
	if (err == 0)
		err = mgmt_sync_response_read(plain, &a, &r);
	if (err < 0)
		log_warn("mgmt", "a Sync message could not be read and was skipped", LOG_ERRNO(err),
			 LOG_UINT("bytes", msg.n));
	else
		c->conf.on_sync(c->conf.user, &r);
	arena_fini(&a);
	if (msg.n >= MGMT_TIDY_BYTES)
		ev_timer_after(&c->tidy, MGMT_TIDY_AFTER);
}

static void mgmt_stream_message(struct grpc_call *call, struct slice msg)
{
	struct mgmt_stream *s = grpc_call_user(call);
	if (s == NULL || s->call != call)
		return;
	struct mgmt_client *c = s->client;
	s->seen = true;
	s->backoff = MGMT_BACKOFF_FIRST;
	if (!s->job) {
		mgmt_client_set_connected(c, true, "");
		mgmt_stream_sync_message(c, msg);
		return;
	}
	struct arena a;
	arena_init(&a, (size_t)1 << 20);
	struct slice plain;
	struct str reply, sealed;
	str_init(&reply, 0);
	str_init(&sealed, 0);
	if (mgmt_client_open(c, msg, &a, &plain) == 0 && mgmt_job_answer(plain, &reply) == 1 &&
	    mgmt_client_seal(c, str_slice(&reply), &sealed) == 0 &&
	    grpc_call_send(call, str_slice(&sealed)) < 0)
		log_debug("mgmt", "a job could not be answered");
	str_fini(&sealed);
	str_fini(&reply);
	arena_fini(&a);
}

static void mgmt_stream_closed(struct grpc_call *call, enum grpc_status status, const char *text)
{
	struct mgmt_stream *s = grpc_call_user(call);
	if (s == NULL || s->call != call)
		return; /* stopped, or replaced */
	struct mgmt_client *c = s->client;
	s->call = NULL;
	log_debug("mgmt", "a stream has ended", LOG_STR("stream", s->job ? "Job" : "Sync"),
		  LOG_STR("status", grpc_status_name(status)), LOG_STR("text", text));
	if (status == GRPC_PERMISSION_DENIED) {
		c->conf.on_denied(c->conf.user, text);
		return;
	}
	if (s->job && status == GRPC_UNIMPLEMENTED) {
		c->job_off = true;
		return;
	}
	if (status == GRPC_INVALID_ARGUMENT || status == GRPC_UNAVAILABLE)
		c->key_known = false; /* perhaps another server behind the same name */
	if (!s->job) {
		char why[256];
		(void)snprintf(why, sizeof(why), "%s: %.200s", grpc_status_name(status), text);
		mgmt_client_set_connected(c, false, status == GRPC_OK ? "stream ended" : why);
	}
	mgmt_stream_again(s);
}

static const struct grpc_client_cbs mgmt_stream_cbs = {
	.message = mgmt_stream_message,
	.closed = mgmt_stream_closed,
};

static void mgmt_stream_open(struct mgmt_stream *s)
{
	struct mgmt_client *c = s->client;
	if (!c->running || s->call != NULL || (s->job && c->job_off))
		return;
	if (!c->key_known) {
		mgmt_client_want_key(c);
		return;
	}
	struct str plain, msg;
	str_init(&plain, 0);
	str_init(&msg, 0);
	if (s->job)
		mgmt_job_hello(ev_rng(), &plain);
	else
		mgmt_client_write_meta(c, &plain);
	int err = mgmt_client_seal(c, str_slice(&plain), &msg);
	if (err == 0) {
		s->seen = false;
		s->call = grpc_channel_call(c->channel,
					    s->job ? MGMT_SERVICE "Job" : MGMT_SERVICE "Sync", NULL,
					    0, LN_TIME_NEVER, &mgmt_stream_cbs, s);
		err = grpc_call_send(s->call, str_slice(&msg));
		if (!s->job)
			grpc_call_half_close(s->call);
	}
	/* A refused send ends the call, and closed() brings the next try. */
	if (err < 0)
		log_debug("mgmt", "a stream could not be opened", LOG_ERRNO(err));
	if (s->call == NULL)
		mgmt_stream_again(s);
	str_fini(&msg);
	str_fini(&plain);
}

static void mgmt_stream_retry(struct ev_timer *t)
{
	mgmt_stream_open(ln_container(t, struct mgmt_stream, retry));
}

static void mgmt_stream_stop(struct mgmt_stream *s)
{
	ev_timer_stop(&s->retry);
	s->backoff = MGMT_BACKOFF_FIRST;
	if (s->call == NULL)
		return;
	struct grpc_call *call = s->call;
	s->call = NULL;
	grpc_call_set_user(call, NULL);
	grpc_call_cancel(call);
}

/* --- server key --------------------------------------------------------------------------------*/

static void mgmt_client_key_failed(struct mgmt_client *c, enum grpc_status status, const char *text)
{
	for (int i = 0; i < MGMT_CALL_COUNT; i++) {
		struct mgmt_call *call = c->calls[i];
		if (call != NULL && !call->sent)
			mgmt_call_end(call, status, text, NULL);
	}
	if (!c->running)
		return;
	mgmt_client_set_connected(c, false, text);
	if (c->sync.call == NULL)
		mgmt_stream_again(&c->sync);
	if (c->job.call == NULL)
		mgmt_stream_again(&c->job);
}

static void mgmt_client_key_reply(void *user, enum grpc_status status, const char *text,
				  struct slice reply)
{
	struct mgmt_key_query *q = user;
	struct mgmt_client *c = q->client;
	free(q);
	if (c == NULL)
		return;
	c->key_query = NULL;
	struct wg_key server;
	if (status == GRPC_OK && (mgmt_server_key_read(reply, &server) < 0 ||
				  box_key_init(&c->box, c->conf.key, &server) < 0)) {
		status = GRPC_INTERNAL;
		text = "the server's key is unreadable";
	}
	if (status != GRPC_OK) {
		mgmt_client_key_failed(c, status, text);
		return;
	}
	c->server = server;
	c->key_known = true;
	for (int i = 0; i < MGMT_CALL_COUNT; i++)
		if (c->calls[i] != NULL && !c->calls[i]->sent)
			mgmt_call_send(c, c->calls[i]);
	mgmt_stream_open(&c->sync);
	mgmt_stream_open(&c->job);
}

/* Sends what waits, asking for the key first when we have none. */
static void mgmt_client_want_key(struct mgmt_client *c)
{
	if (c->key_known) {
		for (int i = 0; i < MGMT_CALL_COUNT; i++)
			if (c->calls[i] != NULL && !c->calls[i]->sent)
				mgmt_call_send(c, c->calls[i]);
		return;
	}
	if (c->key_query != NULL)
		return;
	c->key_query = ln_alloc(sizeof(*c->key_query));
	c->key_query->client = c;
	grpc_channel_unary(c->channel, MGMT_SERVICE "GetServerKey", slice_of("", 0),
			   ev_now() + MGMT_KEY_LIMIT, mgmt_client_key_reply, c->key_query);
}

/* --- life --------------------------------------------------------------------------------------*/

static void mgmt_stream_init(struct mgmt_stream *s, struct mgmt_client *c, bool job)
{
	s->client = c;
	s->job = job;
	s->backoff = MGMT_BACKOFF_FIRST;
	ev_timer_init(&s->retry, c->loop, mgmt_stream_retry);
}

struct mgmt_client *mgmt_client_new(struct ev_loop *l, const struct mgmt_client_conf *conf)
{
	struct mgmt_client *c = ln_alloc(sizeof(*c));
	c->loop = l;
	c->conf = *conf;
	wg_secret_public(conf->key, &c->own);
	struct grpc_channel_conf cc = {
		.target = { .host = c->conf.url.host,
			    .port = c->conf.url.port,
			    .tls = c->conf.url.tls,
			    .fwmark = c->conf.fwmark },
	};
	c->channel = grpc_channel_new(l, &cc);
	mgmt_stream_init(&c->sync, c, false);
	mgmt_stream_init(&c->job, c, true);
	ev_timer_init(&c->tidy, l, mgmt_client_on_tidy);
	return c;
}

void mgmt_client_free(struct mgmt_client *c)
{
	if (c == NULL)
		return;
	mgmt_client_stop(c);
	for (int i = 0; i < MGMT_CALL_COUNT; i++) {
		struct mgmt_call *call = c->calls[i];
		if (call == NULL)
			continue;
		call->client = NULL;
		if (!call->sent)
			mgmt_call_free(call);
	}
	if (c->key_query != NULL)
		c->key_query->client = NULL;
	ev_timer_fini(&c->sync.retry);
	ev_timer_fini(&c->job.retry);
	ev_timer_fini(&c->tidy);
	grpc_channel_free(c->channel);
	box_key_wipe(&c->box);
	ev_defer_free(c->loop, c);
}

void mgmt_client_start(struct mgmt_client *c)
{
	c->running = true;
	c->job_off = false;
	mgmt_stream_open(&c->sync);
	mgmt_stream_open(&c->job);
}

void mgmt_client_stop(struct mgmt_client *c)
{
	c->running = false;
	c->connected = false;
	mgmt_stream_stop(&c->sync);
	mgmt_stream_stop(&c->job);
}

void mgmt_client_redial(struct mgmt_client *c)
{
	c->sync.backoff = MGMT_BACKOFF_FIRST / 4;
	grpc_channel_reset(c->channel);
}

void mgmt_client_hurry(struct mgmt_client *c)
{
	if (grpc_channel_state(c->channel) == GRPC_READY)
		return;
	mgmt_client_redial(c);
	if (c->running && c->sync.call == NULL)
		ev_timer_after(&c->sync.retry, 0);
	if (c->running && c->job.call == NULL)
		ev_timer_after(&c->job.retry, 0);
}

bool mgmt_client_connected(const struct mgmt_client *c)
{
	return c->connected;
}
