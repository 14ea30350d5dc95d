#include "lib/mgmt/mgmt_internal.h"
#include "lib/netmap/netmap_version.h"

int mgmt_sync_response_read(struct slice msg, struct arena *a, struct mgmt_sync_response *ret)
{
	struct proto_reader r;
	struct mgmt_sync_response out = { 0 };
	const Management__SyncResponse *m =
		proto_reader_init(&r, a, &management__sync_response__descriptor, msg);
	if (m != NULL && m->version != 0)
		proto_fail(&r, LN_E_UNSUPPORTED);
	if (m != NULL && r.err == 0) {
		out.has_servers = m->netbirdconfig != NULL;
		if (out.has_servers)
			mgmt_servers_from_wire(&r, m->netbirdconfig, &out.servers);
		out.has_map = m->networkmap != NULL;
		if (out.has_map)
			mgmt_map_from_wire(&r, m->networkmap, &out.map);
		out.deadline = mgmt_deadline_from_wire(m->sessionexpiresat);
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void mgmt_sync_response_write(struct str *dst, const struct mgmt_sync_response *m,
			      const struct mgmt_map_options *opt)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Management__SyncResponse *p = proto_new(&w, &management__sync_response__descriptor);
	if (m->has_servers)
		p->netbirdconfig = mgmt_servers_to_wire(&w, &m->servers);
	if (m->has_map) {
		Management__NetworkMap *map = mgmt_map_to_wire(&w, &m->map, opt);
		p->networkmap = map;
		p->peerconfig = map->peerconfig;
		p->remotepeersisempty = map->remotepeersisempty;
		if (opt->deprecated_peers) {
			p->remotepeers = map->remotepeers;
			p->n_remotepeers = map->n_remotepeers;
		}
	}
	p->sessionexpiresat = mgmt_deadline_to_wire(&w, &m->deadline);
	proto_pack(dst, p);
	proto_writer_fini(&w);
}

/* Spec management-protocol 4.3: no peerConfig, no flag for the rules of routes. */
void mgmt_removal_write(struct str *dst, uint64_t serial, uint32_t forwarder_port)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Management__SyncResponse *p = proto_new(&w, &management__sync_response__descriptor);
	p->remotepeersisempty = true;
	p->networkmap = proto_new(&w, &management__network_map__descriptor);
	p->networkmap->serial = serial;
	p->networkmap->remotepeersisempty = true;
	p->networkmap->firewallrulesisempty = true;
	p->networkmap->dnsconfig = proto_new(&w, &management__dnsconfig__descriptor);
	p->networkmap->dnsconfig->forwarderport = forwarder_port;
	proto_pack(dst, p);
	proto_writer_fini(&w);
}

int mgmt_version_cmp(const char *a, const char *b)
{
	return netmap_version_cmp(a, b);
}

struct mgmt_map_options mgmt_map_options_of(const char *version, uint32_t capabilities)
{
	struct netmap_version v = netmap_version_parse(version);
	return (struct mgmt_map_options){
		.source_prefixes = (capabilities >> MGMT_CAP_SOURCE_PREFIXES & 1) != 0,
		.port_ranges = netmap_version_since(version, "0.48.0"),
		.deprecated_peers =
			v.kind < 0 || v.prerelease || !netmap_version_since(version, "0.29.3"),
	};
}
