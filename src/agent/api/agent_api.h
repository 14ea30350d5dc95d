#pragma once
/*
 * The local API, daemon.DaemonService on a Unix socket (spec agent 1.6). Everybody may connect
 * (mode 0666); what needs privilege is decided per call from the kernel's word about the caller.
 *
 * Owner: the agent.
 */
#include "lib/base/err.h"

struct agent;
struct agent_api;
LN_MUST_CHECK int agent_api_new(struct agent *a, const char *path, struct agent_api **ret,
				struct ln_fail *f);
/* No new calls; done(arg) when the running ones have ended, or soon after. */
void agent_api_stop(struct agent_api *api, void (*done)(void *arg), void *arg);
void agent_api_free(struct agent_api *api);
/* Something that status shows has changed: subscribers are told, a few at a time. */
void agent_api_changed(struct agent_api *api);
