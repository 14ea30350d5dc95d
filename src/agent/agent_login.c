#include "src/agent/agent_login.h"

#include <stdio.h>

#include "lib/crypto/ct.h"

#include "src/obs/obs_log.h"

#define AGENT_LOGIN_RETRY_FIRST (500 * LN_MSEC)
#define AGENT_LOGIN_RETRY_CAP (10 * LN_SEC)
#define AGENT_LOGIN_LIMIT (2 * LN_MINUTE)

static void agent_login_end(struct agent_login *l, enum grpc_status status, const char *text)
{
	agent_login_done_fn *done = l->done;
	void *user = l->user;
	l->done = NULL;
	ev_timer_stop(&l->timer);
	ct_wipe(l->setup_key, sizeof(l->setup_key));
	l->conf.ended(l->conf.user, status);
	if (done != NULL)
		done(user, status, text);
}

/* True for what another try may change. */
static bool agent_login_transient(enum grpc_status s)
{
	return s == GRPC_UNAVAILABLE || s == GRPC_DEADLINE_EXCEEDED || s == GRPC_CANCELLED ||
	       s == GRPC_INTERNAL || s == GRPC_RESOURCE_EXHAUSTED || s == GRPC_UNKNOWN ||
	       s == GRPC_ABORTED;
}

static void agent_login_reply(void *user, enum grpc_status status, const char *text,
			      const struct mgmt_login_response *response);

static void agent_login_send(struct agent_login *l)
{
	l->conf.send(l->conf.user, l->registering ? l->setup_key : "", l->hostname,
		     agent_login_reply, l);
}

static void agent_login_reply(void *user, enum grpc_status status, const char *text,
			      const struct mgmt_login_response *response)
{
	struct agent_login *l = user;
	if (l->done == NULL)
		return;
	/* "Who are you" to the login without a key is the invitation to register. */
	if (status == GRPC_PERMISSION_DENIED && !l->registering && l->setup_key[0] != '\0') {
		l->registering = true;
		agent_login_send(l);
		return;
	}
	if (agent_login_transient(status) && ev_now() + l->retry < l->give_up) {
		log_debug("agent", "login will be tried again", LOG_STR("why", text));
		ev_timer_after(&l->timer, rng_below64(ev_rng(), l->retry) + l->retry / 2);
		l->retry = ln_time_min(l->retry * 3 / 2, AGENT_LOGIN_RETRY_CAP);
		return;
	}
	char why[320];
	(void)snprintf(why, sizeof(why), "%.300s", text);
	if (status == GRPC_PERMISSION_DENIED && l->setup_key[0] == '\0')
		(void)snprintf(why, sizeof(why),
			       "this peer is not registered (%.200s): a setup key is needed", text);
	if (status == GRPC_OK)
		log_info("agent", l->registering ? "registered" : "logged in",
			 LOG_STR("profile", l->conf.profile));
	agent_login_end(l, status, why);
}

static void agent_login_again(struct ev_timer *t)
{
	agent_login_send(ln_container(t, struct agent_login, timer));
}

void agent_login_init(struct agent_login *l, struct ev_loop *loop,
		      const struct agent_login_conf *conf)
{
	*l = (struct agent_login){ .conf = *conf };
	ev_timer_init(&l->timer, loop, agent_login_again);
}

void agent_login_fini(struct agent_login *l)
{
	ev_timer_fini(&l->timer);
}

void agent_login_begin(struct agent_login *l, const char *setup_key, const char *hostname,
		       agent_login_done_fn *done, void *user)
{
	agent_login_cancel(l, "another login began");
	l->done = done;
	l->user = user;
	(void)snprintf(l->setup_key, sizeof(l->setup_key), "%s", setup_key);
	(void)snprintf(l->hostname, sizeof(l->hostname), "%s", hostname);
	l->registering = false;
	l->retry = AGENT_LOGIN_RETRY_FIRST;
	l->give_up = ev_now() + AGENT_LOGIN_LIMIT;
	agent_login_send(l);
}

void agent_login_cancel(struct agent_login *l, const char *why)
{
	if (l->done != NULL)
		agent_login_end(l, GRPC_CANCELLED, why);
}

bool agent_login_going(const struct agent_login *l)
{
	return l->done != NULL;
}
