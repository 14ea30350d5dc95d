#include "src/agent/api/agent_api.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/agent/api/agent_api_internal.h"
#include "src/obs/obs_log.h"

#define API_SOCKET_MODE 0666
#define API_CHANGED_EVERY (200 * LN_MSEC)
#define API_DRAIN_LIMIT LN_SEC

/* --- answers -----------------------------------------------------------------------------------*/

void agent_api_reply(struct api_call *c, struct slice message)
{
	if (c->answered || c->call == NULL)
		return;
	c->answered = true;
	if (grpc_call_send(c->call, message) < 0) {
		grpc_call_finish(c->call, GRPC_RESOURCE_EXHAUSTED, "the answer is too large");
		return;
	}
	grpc_call_finish(c->call, GRPC_OK, "");
}

void agent_api_fail(struct api_call *c, enum grpc_status status, const char *text)
{
	if (c->answered || c->call == NULL)
		return;
	c->answered = true;
	grpc_call_finish(c->call, status, text);
}

void agent_api_fail_err(struct api_call *c, int err, const char *text)
{
	enum grpc_status s = GRPC_INTERNAL;
	switch (err) {
	case LN_E_MALFORMED:
	case LN_E_CONFLICT:
		s = GRPC_INVALID_ARGUMENT;
		break;
	case LN_E_NOTFOUND:
		s = GRPC_NOT_FOUND;
		break;
	case LN_E_LIMIT:
		s = GRPC_RESOURCE_EXHAUSTED;
		break;
	case LN_E_DENIED:
	case LN_E_STATE:
		s = GRPC_FAILED_PRECONDITION;
		break;
	default:
		break;
	}
	agent_api_fail(c, s, text);
}

/* --- waiting -----------------------------------------------------------------------------------*/

static void agent_api_call_free(struct api_call *c)
{
	list_remove(&c->link);
	if (c->timed)
		ev_timer_fini(&c->limit);
	ev_defer_free(c->loop, c);
}

static void agent_api_on_limit(struct ev_timer *t)
{
	struct api_call *c = ln_container(t, struct api_call, limit);
	agent_api_fail(c, GRPC_DEADLINE_EXCEEDED,
		       "still connecting; the agent keeps trying (see status)");
}

void agent_api_hold(struct api_call *c, ln_time limit)
{
	c->holds++;
	if (c->timed)
		return;
	c->timed = true;
	ev_timer_init(&c->limit, c->loop, agent_api_on_limit);
	ev_timer_after(&c->limit, limit);
}

void agent_api_release(struct api_call *c)
{
	c->holds--;
	if (c->holds == 0 && c->call == NULL)
		agent_api_call_free(c);
}

void agent_api_done(void *user, enum grpc_status status, const char *text)
{
	struct api_call *c = user;
	if (status == GRPC_OK)
		agent_api_reply(c, slice_of("", 0));
	else
		agent_api_fail(c, status, text);
	agent_api_release(c);
}

/* --- calls -------------------------------------------------------------------------------------*/

static void agent_api_open(void *service, struct grpc_call *call)
{
	const struct api_row *row = service;
	struct agent_api *api = row->api;
	struct api_call *c = ln_alloc(sizeof(*c));
	pid_t pid;
	gid_t gid;
	list_init(&c->link);
	c->api = api;
	c->call = call;
	c->loop = agent_loop(api->agent);
	c->method = row->method;
	grpc_call_set_user(call, c);
	list_add_tail(&api->calls, &c->link);
	if (grpc_call_peer_cred(call, &pid, &c->uid, &gid) < 0)
		agent_api_fail(c, GRPC_PERMISSION_DENIED, "the kernel does not say who is calling");
}

static void agent_api_message(struct grpc_call *call, struct slice msg)
{
	struct api_call *c = grpc_call_user(call);
	/* One request per call; what follows it is not read. */
	if (c->answered || c->asked)
		return;
	c->asked = true;
	c->method->run(c, msg);
}

static void agent_api_half_close(struct grpc_call *call)
{
	struct api_call *c = grpc_call_user(call);
	if (!c->asked)
		agent_api_fail(c, GRPC_INVALID_ARGUMENT, "the request is missing");
}

static void agent_api_closed(struct grpc_call *call)
{
	struct api_call *c = grpc_call_user(call);
	c->call = NULL;
	c->answered = true;
	if (c->holds == 0)
		agent_api_call_free(c);
}

/* --- subscriptions -----------------------------------------------------------------------------*/

static void agent_api_on_changed(struct ev_timer *t)
{
	struct agent_api *api = ln_container(t, struct agent_api, changed);
	api->changed_due = false;
	api->changed_at = ev_now();
	list_for_each_safe(it, &api->calls) {
		struct api_call *c = list_entry(it, struct api_call, link);
		if (c->stream && !c->answered)
			agent_api_send_status(c, c->full, false);
	}
}

void agent_api_changed(struct agent_api *api)
{
	if (api->changed_due)
		return;
	api->changed_due = true;
	ev_timer_at(&api->changed, LN_MAX(api->changed_at + API_CHANGED_EVERY, ev_now()));
}

/* --- life --------------------------------------------------------------------------------------*/

static struct grpc_method *agent_api_rows(struct agent_api *api)
{
	struct grpc_method *rows = ln_calloc(agent_api_nmethods, sizeof(*rows));
	api->bound = ln_calloc(agent_api_nmethods, sizeof(*api->bound));
	for (size_t i = 0; i < agent_api_nmethods; i++) {
		api->bound[i] = (struct api_row){ .api = api, .method = &agent_api_methods[i] };
		rows[i] = (struct grpc_method){
			.path = agent_api_methods[i].path,
			.service = &api->bound[i],
			.open = agent_api_open,
			.message = agent_api_message,
			.half_close = agent_api_half_close,
			.closed = agent_api_closed,
		};
	}
	return rows;
}

int agent_api_new(struct agent *a, const char *path, struct agent_api **ret, struct ln_fail *f)
{
	struct agent_api *api = ln_alloc(sizeof(*api));
	struct grpc_server_conf sc = { 0 };
	api->agent = a;
	list_init(&api->calls);
	ev_timer_init(&api->changed, agent_loop(a), agent_api_on_changed);
	api->server = grpc_server_new(agent_loop(a), &sc);
	api->rows = agent_api_rows(api);
	grpc_server_add(api->server, api->rows, agent_api_nmethods);
	int err = grpc_server_listen_unix(api->server, path, API_SOCKET_MODE, f);
	if (err < 0) {
		agent_api_free(api);
		return err;
	}
	log_info("api", "listening", LOG_STR("socket", path));
	*ret = api;
	return 0;
}

void agent_api_stop(struct agent_api *api, void (*done)(void *arg), void *arg)
{
	grpc_server_drain(api->server, API_DRAIN_LIMIT, done, arg);
}

void agent_api_free(struct agent_api *api)
{
	if (api == NULL)
		return;
	struct ev_loop *loop = agent_loop(api->agent);
	/* Calls still close after this, without us. */
	while (!list_empty(&api->calls))
		(void)list_pop(&api->calls);
	grpc_server_free(api->server);
	ev_timer_fini(&api->changed);
	ev_defer_free(loop, api->rows);
	ev_defer_free(loop, api->bound);
	ev_defer_free(loop, api);
}
