#pragma once
/*
 * The inside of the local API, for the files of src/agent/api only: agent_api.c (calls, waiting,
 * subscriptions), agent_api_calls.c (what each call does), agent_api_guard.c (who may).
 */
#include <sys/types.h>

#include "lib/base/arena.h"
#include "lib/base/list.h"
#include "lib/base/str.h"

#include "src/agent/agent.h"
#include "src/agent/api/agent_api.h"
#include "src/ev/ev.h"
#include "src/net/net_grpc.h"

#define API_ARENA_MAX ((size_t)16 << 20)

struct api_method;

/* One call. Lives until the call has closed and nobody holds it for a later answer. */
struct api_call {
	struct list link;
	struct agent_api *api;
	struct ev_loop *loop;
	struct grpc_call *call; /* null after it has closed */
	const struct api_method *method;
	bool asked; /* the request has come */
	bool answered;
	unsigned holds; /* operations that will call back */
	struct ev_timer limit;
	bool timed;
	struct agent_network *waits_for; /* Up: valid until the call is answered */
	bool stream;                     /* SubscribeStatus */
	bool full;
	uid_t uid;
};

struct api_method {
	const char *path;
	/* Answers, fails, or takes a hold and answers later. */
	void (*run)(struct api_call *c, struct slice request);
};

struct api_row { /* what a row of the gRPC server is bound to */
	struct agent_api *api;
	const struct api_method *method;
};

struct agent_api {
	struct agent *agent;
	struct grpc_server *server;
	struct grpc_method *rows;
	struct api_row *bound;
	struct list calls;
	struct ev_timer changed;
	bool changed_due;
	ln_time changed_at;
};

/* agent_api.c */
void agent_api_reply(struct api_call *c, struct slice message);
void agent_api_fail(struct api_call *c, enum grpc_status status, const char *text);
/* From a negative result and its sentence. */
void agent_api_fail_err(struct api_call *c, int err, const char *text);
void agent_api_hold(struct api_call *c, ln_time limit);
void agent_api_release(struct api_call *c);
/* OK: the prepared empty answer; otherwise the failure. For agent_network_done_fn. */
void agent_api_done(void *user, enum grpc_status status, const char *text);

/* agent_api_calls.c */
extern const struct api_method agent_api_methods[];
extern const size_t agent_api_nmethods;
void agent_api_send_status(struct api_call *c, bool full, bool finish);

/* agent_api_guard.c: true, or the call has been refused (spec agent 1.6). */
bool agent_api_may_set(struct api_call *c, struct agent_network *n,
		       const struct daemon_settings *s);
bool agent_api_may_deregister(struct api_call *c, struct agent_network *n);
