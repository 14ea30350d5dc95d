#pragma once
/*
 * The login that `login` and `up` ask for, before there is an engine (spec management-protocol 3.2,
 * 3.6): first without a key, which suffices for a peer that is known; then, refused, with the setup
 * key. What another try may change is tried again with back-off for two minutes.
 *
 * It lives inside its network, which says how a call is sent and what the end means for it.
 */
#include "src/agent/mgmt_client.h"
#include "src/ev/ev.h"
#include "src/net/net_grpc.h"

/* OK; PERMISSION_DENIED and FAILED_PRECONDITION: the server wants something else; CANCELLED: by
 * agent_login_cancel() or another login; else what the last try ended with. text: why, until the
 * function returns. */
typedef void agent_login_done_fn(void *user, enum grpc_status status, const char *text);

struct agent_login_conf {
	/* Sends one Login; `done` may come at any later time, or never when the client goes. */
	void (*send)(void *user, const char *setup_key, const char *hostname,
		     mgmt_client_login_fn *done, void *done_user);
	void (*ended)(void *user, enum grpc_status status); /* before the asker hears of it */
	const char *profile; /* its name, for the log; stays where it is */
	void *user;
};

struct agent_login {
	struct agent_login_conf conf;
	agent_login_done_fn *done; /* null: none is going on */
	void *user;
	char setup_key[128]; /* wiped at the end */
	char hostname[256];
	bool registering;
	ln_time give_up, retry;
	struct ev_timer timer;
};

void agent_login_init(struct agent_login *l, struct ev_loop *loop,
		      const struct agent_login_conf *conf);
/* Calls nobody: cancel first. */
void agent_login_fini(struct agent_login *l);

/* setup_key "" none, hostname "" the system's; both copied. One that is going on is cancelled. */
void agent_login_begin(struct agent_login *l, const char *setup_key, const char *hostname,
		       agent_login_done_fn *done, void *user);
/* Nothing when none is going on. */
void agent_login_cancel(struct agent_login *l, const char *why);
bool agent_login_going(const struct agent_login *l);
