/* Who may do what: spec agent 1.6 "Privileged operations". */
#include <stdio.h>
#include <unistd.h>

#include "lib/daemon/daemon_denied.h"

#include "src/agent/api/agent_api_internal.h"
#include "src/obs/obs_log.h"

static bool agent_api_privileged(const struct api_call *c)
{
	uid_t own = geteuid();
	return c->uid == 0 || (own != 0 && c->uid == own);
}

static bool agent_api_refuse(struct api_call *c, const char *summary, const char *command)
{
	struct str details;
	char text[256];
	str_init(&details, 4096);
	(void)snprintf(text, sizeof(text), "%s needs root", summary);
	daemon_denied_write(&details, GRPC_PERMISSION_DENIED, text, summary, command);
	log_warn("api", "a call was refused: no privilege", LOG_STR("what", summary),
		 LOG_UINT("uid", c->uid));
	c->answered = true;
	if (c->call != NULL)
		grpc_call_finish_details(c->call, GRPC_PERMISSION_DENIED, text,
					 str_slice(&details));
	str_fini(&details);
	return false;
}

bool agent_api_may_set(struct api_call *c, struct agent_network *n, const struct daemon_settings *s)
{
	if (agent_api_privileged(c))
		return true;
	const struct agent_conf *conf = agent_network_agent_conf(n);
	if (s->has_server_ssh_allowed && s->server_ssh_allowed && !conf->ssh_allowed)
		return agent_api_refuse(c, "switching on the SSH server",
					"sudo netbird up --allow-server-ssh");
	/* Whoever names the server decides who may log in. */
	if (conf->ssh_allowed && agent_conf_moves_server(conf, s))
		return agent_api_refuse(c, "changing the management server while SSH is allowed",
					"sudo netbird up --management-url URL");
	return true;
}

bool agent_api_may_deregister(struct api_call *c, struct agent_network *n)
{
	if (agent_api_privileged(c) || !agent_network_agent_conf(n)->ssh_allowed)
		return true;
	return agent_api_refuse(c, "deregistering while SSH is allowed", "sudo netbird deregister");
}
