#pragma once
/* What this agent tells management about its host and its switches (spec agent 2.5). */
#include "lib/base/arena.h"
#include "lib/mgmt/mgmt_msg.h"

#include "src/agent/agent_conf.h"
#include "src/plat/plat.h"

struct agent_meta_input {
	struct plat *plat;
	const struct plat_sysinfo *sys;
	const struct agent_conf *conf;
	const char *hostname; /* instead of the host's own; "" or null: the host's */
	/* True for addresses of the overlay: they are not told. May be null. */
	bool (*is_overlay)(void *user, const struct ip_addr *a);
	void *user;
};

void agent_meta_fill(const struct agent_meta_input *in, struct arena *a, struct mgmt_meta *ret);
