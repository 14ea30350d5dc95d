#include "lib/mgmt/mgmt_internal.h"

#define PORT_MAX 65535u

/* --- PeerConfig ------------------------------------------------------------------------------- */

void mgmt_self_from_wire(struct proto_reader *r, const Management__PeerConfig *w,
			 struct netmap_self *ret)
{
	/* The length is that of the account's network; without one the address is no address. */
	if (ip_prefix_parse(slice_str(w->address), &ret->address) < 0 ||
	    strchr(w->address, '/') == NULL)
		proto_fail(r, LN_E_MALFORMED);
	if (w->address_v6.len != 0 &&
	    ip_prefix_from_compact(slice_of(w->address_v6.data, w->address_v6.len),
				   &ret->address_v6) < 0)
		proto_fail(r, LN_E_MALFORMED);
	ret->fqdn = proto_str(r, w->fqdn);
	ret->lazy_connections = w->lazyconnectionenabled;
	ret->routing_peer_dns = w->routingpeerdnsresolutionenabled;
	ret->mtu = (uint16_t)(w->mtu > 0 && w->mtu <= UINT16_MAX ? w->mtu : 0);
}

static ProtobufCBinaryData compact(struct proto_writer *w, const struct ip_prefix *p)
{
	uint8_t *b = proto_array(w, 17, 1);
	size_t n = ip_prefix_to_compact(p, b);
	return (ProtobufCBinaryData){ .len = n, .data = b };
}

/* sshConfig and autoUpdate are always there (spec management-protocol 4.8.9). */
Management__PeerConfig *mgmt_self_to_wire(struct proto_writer *w, const struct netmap_self *m)
{
	Management__PeerConfig *p = proto_new(w, &management__peer_config__descriptor);
	char text[IP_PREFIX_TEXT_MAX];
	ip_prefix_format(&m->address, text);
	p->address = proto_copy(w, text);
	if (ip_is_set(&m->address_v6.addr))
		p->address_v6 = compact(w, &m->address_v6);
	p->fqdn = proto_text(m->fqdn);
	p->sshconfig = proto_new(w, &management__sshconfig__descriptor);
	p->autoupdate = proto_new(w, &management__auto_update_settings__descriptor);
	p->autoupdate->version = proto_text("disabled");
	p->lazyconnectionenabled = m->lazy_connections;
	p->routingpeerdnsresolutionenabled = m->routing_peer_dns;
	p->mtu = m->mtu;
	return p;
}

/* --- peers ------------------------------------------------------------------------------------ */

/* False: the entry makes no sense and is left out. */
static bool peer_from_wire(struct proto_reader *r, const Management__RemotePeerConfig *w,
			   struct netmap_peer *ret)
{
	if (wg_key_parse(slice_str(w->wgpubkey), &ret->key) < 0)
		return false;
	struct ip_prefix *allowed = proto_room(r, w->n_allowedips, sizeof(*allowed));
	for (size_t i = 0; allowed != NULL && i < w->n_allowedips; i++) {
		if (ip_prefix_parse(slice_str(w->allowedips[i]), &allowed[i]) < 0)
			return false;
		const struct ip_addr *addr = &allowed[i].addr;
		if (allowed[i].len != ip_bits(addr))
			continue;
		struct ip_addr *own = addr->family == 4 ? &ret->v4 : &ret->v6;
		if (!ip_is_set(own))
			*own = *addr;
	}
	ret->allowed = allowed;
	ret->nallowed = allowed != NULL ? w->n_allowedips : 0;
	ret->fqdn = proto_str(r, w->fqdn);
	ret->agent_version = proto_str(r, w->agentversion);
	if (w->sshconfig != NULL)
		ret->ssh_key = proto_bytes(r, w->sshconfig->sshpubkey);
	return true;
}

static size_t peers_from_wire(struct proto_reader *r, size_t n, Management__RemotePeerConfig **w,
			      const struct netmap_peer **ret, size_t *ret_skipped)
{
	size_t kept = 0;
	if (n > NETMAP_PEERS_MAX)
		proto_fail(r, LN_E_LIMIT);
	struct netmap_peer *peers = proto_room(r, n, sizeof(*peers));
	for (size_t i = 0; peers != NULL && i < n; i++) {
		struct netmap_peer p = { 0 };
		if (peer_from_wire(r, w[i], &p))
			peers[kept++] = p;
		else
			(*ret_skipped)++;
	}
	*ret = peers;
	return kept;
}

static Management__RemotePeerConfig *peer_to_wire(struct proto_writer *w,
						  const struct netmap_peer *m)
{
	Management__RemotePeerConfig *p = proto_new(w, &management__remote_peer_config__descriptor);
	char key[WG_KEY_TEXT], text[IP_TEXT_MAX];
	wg_key_format(&m->key, key);
	p->wgpubkey = proto_copy(w, key);
	p->allowedips = proto_array(w, 2, sizeof(*p->allowedips));
	if (ip_is_set(&m->v4)) {
		ip_format(&m->v4, text);
		p->allowedips[p->n_allowedips++] = proto_printf(w, "%s/32", text);
	}
	if (ip_is_set(&m->v6)) {
		ip_format(&m->v6, text);
		p->allowedips[p->n_allowedips++] = proto_printf(w, "%s/128", text);
	}
	p->sshconfig = proto_new(w, &management__sshconfig__descriptor);
	p->sshconfig->sshpubkey = proto_bin(m->ssh_key);
	p->fqdn = proto_text(m->fqdn);
	p->agentversion = proto_text(m->agent_version);
	return p;
}

static Management__RemotePeerConfig **peers_to_wire(struct proto_writer *w,
						    const struct netmap_peer *m, size_t n)
{
	Management__RemotePeerConfig **v = proto_array(w, n, sizeof(*v));
	for (size_t i = 0; i < n; i++)
		v[i] = peer_to_wire(w, &m[i]);
	return v;
}

/* --- rules ------------------------------------------------------------------------------------ */

/*
 * The other side: the first source prefix counts, else PeerIP (spec agent 5.3). Of the prefix only
 * the address is used, as everybody does; all zero is anybody.
 */
static bool rule_peer(const Management__FirewallRule *w, struct ip_prefix *ret)
{
	struct ip_prefix p;
	if (w->n_sourceprefixes > 0) {
		const ProtobufCBinaryData *b = &w->sourceprefixes[0];
		if (ip_prefix_from_compact(slice_of(b->data, b->len), &p) < 0)
			return false;
	} else if (ip_parse(slice_str(w->peerip), &p.addr) < 0) {
		return false;
	}
	p.len = (uint8_t)(ip_is_unspecified(&p.addr) ? 0 : ip_bits(&p.addr));
	*ret = p;
	return true;
}

/* Decimal text of a port; "" and "0" are all ports. */
static bool port_text(const char *text, uint32_t *ret)
{
	uint32_t v = 0;
	for (const char *p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return false;
		v = v * 10 + (uint32_t)(*p - '0');
		if (v > PORT_MAX)
			return false;
	}
	*ret = v;
	return true;
}

static bool rule_ports(const Management__FirewallRule *w, struct netmap_rule *ret)
{
	uint32_t first = 0, last = 0;
	const Management__PortInfo *info = w->portinfo;
	if (info != NULL &&
	    info->port_selection_case == MANAGEMENT__PORT_INFO__PORT_SELECTION_PORT) {
		first = last = info->port;
	} else if (info != NULL &&
		   info->port_selection_case == MANAGEMENT__PORT_INFO__PORT_SELECTION_RANGE &&
		   info->range != NULL) {
		first = info->range->start;
		last = info->range->end;
		if (first == 0 || last == 0)
			first = last = 0;
	} else {
		if (!port_text(w->port, &first))
			return false;
		last = first;
	}
	if (first > last || last > PORT_MAX)
		return false;
	ret->port_first = (uint16_t)first;
	ret->port_last = (uint16_t)last;
	return true;
}

static bool rule_from_wire(struct proto_reader *r, const Management__FirewallRule *w,
			   struct netmap_rule *ret)
{
	int direction = (int)w->direction, action = (int)w->action, protocol = (int)w->protocol;
	if ((direction != NETMAP_IN && direction != NETMAP_OUT) ||
	    (action != NETMAP_ACCEPT && action != NETMAP_DROP))
		return false;
	if (protocol < NETMAP_PROTO_ALL || protocol > NETMAP_PROTO_ICMP)
		return false;
	if (!rule_peer(w, &ret->peer) || !rule_ports(w, ret))
		return false;
	ret->direction = (enum netmap_direction)direction;
	ret->action = (enum netmap_action)action;
	ret->protocol = (enum netmap_protocol)protocol;
	ret->policy_id = proto_bytes_str(r, w->policyid);
	return true;
}

/* Null when the receiver cannot be told: a real range, and it knows single ports only. */
static Management__FirewallRule *rule_to_wire(struct proto_writer *w, const struct netmap_rule *m,
					      const struct mgmt_map_options *opt)
{
	bool range = m->port_first != m->port_last;
	if (range && !opt->port_ranges)
		return NULL;
	Management__FirewallRule *p = proto_new(w, &management__firewall_rule__descriptor);
	char text[IP_TEXT_MAX];
	ip_format(&m->peer.addr, text);
	p->peerip = proto_copy(w, text);
	p->direction = (Management__RuleDirection)m->direction;
	p->action = (Management__RuleAction)m->action;
	p->protocol = (Management__RuleProtocol)m->protocol;
	if (range) {
		p->portinfo = proto_new(w, &management__port_info__descriptor);
		p->portinfo->port_selection_case = MANAGEMENT__PORT_INFO__PORT_SELECTION_RANGE;
		p->portinfo->range = proto_new(w, &management__port_info__range__descriptor);
		p->portinfo->range->start = m->port_first;
		p->portinfo->range->end = m->port_last;
	} else if (m->port_first != 0) {
		p->port = proto_printf(w, "%u", (unsigned)m->port_first);
	}
	p->policyid = proto_bin(slice_str(m->policy_id));
	if (opt->source_prefixes) {
		p->sourceprefixes = proto_array(w, 1, sizeof(*p->sourceprefixes));
		p->sourceprefixes[0] = compact(w, &m->peer);
		p->n_sourceprefixes = 1;
	}
	return p;
}

/* --- NetworkMap ------------------------------------------------------------------------------- */

void mgmt_map_from_wire(struct proto_reader *r, const Management__NetworkMap *w, struct netmap *ret)
{
	ret->serial = w->serial;
	if (w->peerconfig != NULL)
		mgmt_self_from_wire(r, w->peerconfig, &ret->self);
	else
		ret->self.fqdn = "";
	ret->npeers = peers_from_wire(r, w->n_remotepeers, w->remotepeers, &ret->peers,
				      &ret->skipped_peers);
	ret->noffline = peers_from_wire(r, w->n_offlinepeers, w->offlinepeers, &ret->offline,
					&ret->skipped_peers);
	ret->peers_is_empty = w->remotepeersisempty;

	if (w->n_firewallrules > NETMAP_RULES_MAX)
		proto_fail(r, LN_E_LIMIT);
	struct netmap_rule *rules = proto_room(r, w->n_firewallrules, sizeof(*rules));
	for (size_t i = 0; rules != NULL && i < w->n_firewallrules; i++) {
		struct netmap_rule rule = { 0 };
		if (rule_from_wire(r, w->firewallrules[i], &rule))
			rules[ret->nrules++] = rule;
		else
			ret->skipped_rules++;
	}
	ret->rules = rules;
	/* A list that held only nonsense must not read as a server without rules. */
	ret->rules_is_empty = w->firewallrulesisempty || ret->skipped_rules > 0;

	if (w->dnsconfig != NULL) {
		int64_t port = w->dnsconfig->forwarderport;
		ret->dns_enabled = w->dnsconfig->serviceenable;
		ret->dns_forwarder_port = (uint32_t)(port > 0 && port <= PORT_MAX ? port : 0);
	}
}

/* The flags come from the lists as they are sent (spec management-protocol 4.7). */
Management__NetworkMap *mgmt_map_to_wire(struct proto_writer *w, const struct netmap *m,
					 const struct mgmt_map_options *opt)
{
	Management__NetworkMap *p = proto_new(w, &management__network_map__descriptor);
	p->serial = m->serial;
	if (ip_is_set(&m->self.address.addr))
		p->peerconfig = mgmt_self_to_wire(w, &m->self);
	p->remotepeers = peers_to_wire(w, m->peers, m->npeers);
	p->n_remotepeers = m->npeers;
	p->remotepeersisempty = m->npeers == 0;
	p->offlinepeers = peers_to_wire(w, m->offline, m->noffline);
	p->n_offlinepeers = m->noffline;

	p->firewallrules = proto_array(w, m->nrules, sizeof(*p->firewallrules));
	for (size_t i = 0; i < m->nrules; i++) {
		Management__FirewallRule *rule = rule_to_wire(w, &m->rules[i], opt);
		if (rule != NULL)
			p->firewallrules[p->n_firewallrules++] = rule;
	}
	p->firewallrulesisempty = p->n_firewallrules == 0;
	p->routesfirewallrulesisempty = true;

	p->dnsconfig = proto_new(w, &management__dnsconfig__descriptor);
	p->dnsconfig->serviceenable = m->dns_enabled;
	p->dnsconfig->forwarderport = m->dns_forwarder_port;
	p->sshauth = proto_new(w, &management__sshauth__descriptor);
	p->sshauth->useridclaim = proto_text("sub");
	return p;
}
