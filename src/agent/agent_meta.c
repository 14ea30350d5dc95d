#include "src/agent/agent_meta.h"

#include <stdlib.h>

#include "src/agent/agent_version.h"

#define AGENT_META_ADDRESSES 128

static void agent_meta_addresses(const struct agent_meta_input *in, struct arena *a,
				 struct mgmt_meta *ret)
{
	struct plat_addr *v = ln_calloc(AGENT_META_ADDRESSES, sizeof(*v));
	int n = plat_addresses(in->plat, v, AGENT_META_ADDRESSES);
	n = LN_MIN(n, AGENT_META_ADDRESSES);
	struct mgmt_net_address *out = n > 0 ? arena_calloc(a, (size_t)n, sizeof(*out)) : NULL;
	size_t count = 0;
	for (int i = 0; out != NULL && i < n; i++) {
		const struct plat_addr *p = &v[i];
		char text[IP_PREFIX_TEXT_MAX];
		if (p->loopback || !p->up || ip_is_link_local(&p->prefix.addr) ||
		    (in->is_overlay != NULL && in->is_overlay(in->user, &p->prefix.addr)))
			continue;
		ip_prefix_format(&p->prefix, text);
		out[count].prefix = arena_strdup(a, text);
		out[count].mac =
			arena_printf(a, "%02x:%02x:%02x:%02x:%02x:%02x", p->mac[0], p->mac[1],
				     p->mac[2], p->mac[3], p->mac[4], p->mac[5]);
		if (out[count].prefix != NULL && out[count].mac != NULL)
			count++;
	}
	ret->addresses = out;
	ret->naddresses = count;
	free(v);
}

static uint32_t agent_meta_flags(const struct agent_conf *c)
{
	const struct {
		bool on;
		enum mgmt_flag flag;
	} v[] = {
		{ c->rosenpass, MGMT_FLAG_ROSENPASS },
		{ c->rosenpass_permissive, MGMT_FLAG_ROSENPASS_PERMISSIVE },
		{ c->ssh_allowed, MGMT_FLAG_SSH_ALLOWED },
		{ c->disable_client_routes, MGMT_FLAG_NO_CLIENT_ROUTES },
		{ c->disable_server_routes || c->block_inbound, MGMT_FLAG_NO_SERVER_ROUTES },
		{ c->disable_dns, MGMT_FLAG_NO_DNS },
		{ c->disable_firewall, MGMT_FLAG_NO_FIREWALL },
		{ c->block_lan, MGMT_FLAG_BLOCK_LAN },
		{ c->block_inbound, MGMT_FLAG_BLOCK_INBOUND },
		{ c->disable_ipv6, MGMT_FLAG_NO_IPV6 },
	};

	uint32_t flags = 0;
	for (size_t i = 0; i < LN_COUNT(v); i++)
		if (v[i].on)
			flags |= 1u << v[i].flag;
	return flags;
}

void agent_meta_fill(const struct agent_meta_input *in, struct arena *a, struct mgmt_meta *ret)
{
	const struct plat_sysinfo *s = in->sys;
	bool named = in->hostname != NULL && in->hostname[0] != '\0';
	*ret = (struct mgmt_meta){
		.hostname = named ? in->hostname : s->hostname,
		.go_os = "linux",
		.kernel = s->kernel,
		.core = s->os_version,
		.platform = s->platform,
		.os = s->os,
		.version = AGENT_NETBIRD_VERSION,
		.ui_version = "",
		.kernel_version = s->kernel_version,
		.os_version = s->os_version,
		.serial = s->serial,
		.product = s->product,
		.manufacturer = s->manufacturer,
		.cloud = s->cloud,
		.environment = s->environment,
		.flags = agent_meta_flags(in->conf),
		.capabilities = 1u << MGMT_CAP_SOURCE_PREFIXES,
		.sync_version = 0, /* plain maps (spec agent trap 7) */
	};
	if (!in->conf->disable_ipv6)
		ret->capabilities |= 1u << MGMT_CAP_IPV6_OVERLAY;
	agent_meta_addresses(in, a, ret);
}
