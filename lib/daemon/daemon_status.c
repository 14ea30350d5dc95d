#include <stdlib.h>
#include <string.h>

#include "lib/daemon/daemon_msg.h"

#include "proto/daemon.pb-c.h"
#include "proto/proto_msg.h"

int daemon_status_request_read(struct slice msg, struct arena *a, struct daemon_status_request *ret)
{
	struct proto_reader r;
	struct daemon_status_request out = { 0 };
	const Daemon__StatusRequest *in =
		proto_reader_init(&r, a, &daemon__status_request__descriptor, msg);
	if (in != NULL) {
		out.full = in->getfullpeerstatus;
		out.probes = in->shouldrunprobes;
		out.has_wait_for_ready = in->_wait_for_ready_case !=
					 DAEMON__STATUS_REQUEST___WAIT_FOR_READY__NOT_SET;
		out.wait_for_ready = out.has_wait_for_ready && in->waitforready;
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void daemon_status_request_write(struct str *dst, const struct daemon_status_request *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Daemon__StatusRequest *out = proto_new(&w, &daemon__status_request__descriptor);
	out->getfullpeerstatus = m->full;
	out->shouldrunprobes = m->probes;
	if (m->has_wait_for_ready) {
		out->_wait_for_ready_case = DAEMON__STATUS_REQUEST___WAIT_FOR_READY_WAIT_FOR_READY;
		out->waitforready = m->wait_for_ready;
	}
	proto_pack(dst, out);
	proto_writer_fini(&w);
}

/* --- reading a status ------------------------------------------------------------------------- */

static void paths_read(struct proto_reader *r, const Daemon__PeerState *in,
		       struct daemon_peer_state *out)
{
	struct daemon_path_state *v = proto_room(r, in->n_paths, sizeof(*v));
	for (size_t i = 0; v != NULL && i < in->n_paths; i++) {
		const Daemon__PathState *s = in->paths[i];
		v[i].kind = proto_str(r, s->kind);
		v[i].local = proto_str(r, s->local);
		v[i].remote = proto_str(r, s->remote);
		v[i].used = s->used;
		v[i].rtt = proto_span(s->rtt);
		v[i].variation = proto_span(s->variation);
		v[i].checks = s->checks;
		v[i].checks_lost = s->checkslost;
		v[i].estimated = s->estimated;
	}
	out->paths = v;
	out->npaths = v != NULL ? in->n_paths : 0;
}

static void peer_read(struct proto_reader *r, const Daemon__PeerState *in,
		      struct daemon_peer_state *out)
{
	out->ip = proto_str(r, in->ip);
	out->ipv6 = proto_str(r, in->ipv6);
	out->key = proto_str(r, in->pubkey);
	out->fqdn = proto_str(r, in->fqdn);
	out->status = proto_str(r, in->connstatus);
	out->status_changed = proto_wall(in->connstatusupdate);
	out->relayed = in->relayed;
	out->local_cand_type = proto_str(r, in->localicecandidatetype);
	out->remote_cand_type = proto_str(r, in->remoteicecandidatetype);
	out->local_cand_ep = proto_str(r, in->localicecandidateendpoint);
	out->remote_cand_ep = proto_str(r, in->remoteicecandidateendpoint);
	out->last_handshake = proto_wall(in->lastwireguardhandshake);
	out->rx_bytes = in->bytesrx;
	out->tx_bytes = in->bytestx;
	out->latency = proto_span(in->latency);
	out->relay_address = proto_str(r, in->relayaddress);
	out->networks = proto_strs(r, in->n_networks, in->networks);
	out->nnetworks = in->n_networks;
	out->rosenpass = in->rosenpassenabled;
	out->reason = proto_str(r, in->reason);
	out->checks = in->checks;
	out->checks_lost = in->checkslost;
	paths_read(r, in, out);
}

static void relays_read(struct proto_reader *r, const Daemon__FullStatus *in,
			struct daemon_status_response *out)
{
	struct daemon_relay_state *v = proto_room(r, in->n_relays, sizeof(*v));
	for (size_t i = 0; v != NULL && i < in->n_relays; i++) {
		const Daemon__RelayState *s = in->relays[i];
		v[i].uri = proto_str(r, s->uri);
		v[i].available = s->available;
		v[i].error = proto_str(r, s->error);
		v[i].transport = proto_str(r, s->transport);
	}
	out->relays = v;
	out->nrelays = in->n_relays;
}

static void dns_read(struct proto_reader *r, const Daemon__FullStatus *in,
		     struct daemon_status_response *out)
{
	struct daemon_dns_state *v = proto_room(r, in->n_dns_servers, sizeof(*v));
	for (size_t i = 0; v != NULL && i < in->n_dns_servers; i++) {
		const Daemon__NSGroupState *s = in->dns_servers[i];
		v[i].servers = proto_strs(r, s->n_servers, s->servers);
		v[i].nservers = s->n_servers;
		v[i].domains = proto_strs(r, s->n_domains, s->domains);
		v[i].ndomains = s->n_domains;
		v[i].enabled = s->enabled;
		v[i].error = proto_str(r, s->error);
	}
	out->dns = v;
	out->ndns = in->n_dns_servers;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct daemon_kv *)a)->key, ((const struct daemon_kv *)b)->key);
}

static void metadata_read(struct proto_reader *r, const Daemon__SystemEvent *in,
			  struct daemon_event *out)
{
	struct daemon_kv *v = proto_room(r, in->n_metadata, sizeof(*v));
	if (v == NULL)
		return;
	for (size_t i = 0; i < in->n_metadata; i++) {
		v[i].key = proto_str(r, in->metadata[i]->key);
		v[i].value = proto_str(r, in->metadata[i]->value);
	}
	qsort(v, in->n_metadata, sizeof(*v), by_key);
	out->metadata = v;
	out->nmetadata = in->n_metadata;
}

static void events_read(struct proto_reader *r, const Daemon__FullStatus *in,
			struct daemon_status_response *out)
{
	struct daemon_event *v = proto_room(r, in->n_events, sizeof(*v));
	for (size_t i = 0; v != NULL && i < in->n_events; i++) {
		const Daemon__SystemEvent *s = in->events[i];
		v[i].id = proto_str(r, s->id);
		v[i].severity = (int)s->severity;
		v[i].category = (int)s->category;
		v[i].message = proto_str(r, s->message);
		v[i].user_message = proto_str(r, s->usermessage);
		v[i].at = proto_wall(s->timestamp);
		metadata_read(r, s, &v[i]);
	}
	out->events = v;
	out->nevents = in->n_events;
}

static void local_read(struct proto_reader *r, const Daemon__LocalPeerState *in,
		       struct daemon_status_response *out)
{
	out->ip = proto_str(r, in->ip);
	out->ipv6 = proto_str(r, in->ipv6);
	out->key = proto_str(r, in->pubkey);
	out->fqdn = proto_str(r, in->fqdn);
	out->kernel_interface = in->kernelinterface;
	out->wg_port = in->wgport;
	out->rosenpass = in->rosenpassenabled;
	out->rosenpass_permissive = in->rosenpasspermissive;
	out->networks = proto_strs(r, in->n_networks, in->networks);
	out->nnetworks = in->n_networks;
}

static void full_read(struct proto_reader *r, const Daemon__FullStatus *in,
		      struct daemon_status_response *out)
{
	if (in->managementstate != NULL) {
		out->management.url = proto_str(r, in->managementstate->url);
		out->management.connected = in->managementstate->connected;
		out->management.error = proto_str(r, in->managementstate->error);
	}
	if (in->signalstate != NULL) {
		out->signal.url = proto_str(r, in->signalstate->url);
		out->signal.connected = in->signalstate->connected;
		out->signal.error = proto_str(r, in->signalstate->error);
	}
	if (in->localpeerstate != NULL)
		local_read(r, in->localpeerstate, out);
	struct daemon_peer_state *peers = proto_room(r, in->n_peers, sizeof(*peers));
	for (size_t i = 0; peers != NULL && i < in->n_peers; i++)
		peer_read(r, in->peers[i], &peers[i]);
	out->peers = peers;
	out->npeers = in->n_peers;
	relays_read(r, in, out);
	dns_read(r, in, out);
	events_read(r, in, out);
	out->forwarding_rules = in->numberofforwardingrules;
	out->lazy = in->lazyconnectionenabled;
}

int daemon_status_response_read(struct slice msg, struct arena *a,
				struct daemon_status_response *ret)
{
	struct proto_reader r;
	struct daemon_status_response out = {
		.management = { .url = "", .error = "" },
		.signal = { .url = "", .error = "" },
		.ip = "",
		.ipv6 = "",
		.key = "",
		.fqdn = "",
	};
	const Daemon__StatusResponse *in =
		proto_reader_init(&r, a, &daemon__status_response__descriptor, msg);
	if (in != NULL) {
		out.status = proto_str(&r, in->status);
		out.version = proto_str(&r, in->daemonversion);
		out.session_expires = proto_wall(in->sessionexpiresat);
		out.has_full = in->fullstatus != NULL;
		if (out.has_full)
			full_read(&r, in->fullstatus, &out);
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

/* --- writing a status ------------------------------------------------------------------------- */

/* Zero is "never", which readers see as the absent time. */
static Google__Protobuf__Timestamp *moment(struct proto_writer *w, ln_wall at)
{
	return at == 0 ? NULL : proto_timestamp(w, at);
}

static void paths_write(struct proto_writer *w, const struct daemon_peer_state *in,
			Daemon__PeerState *out)
{
	out->n_paths = in->npaths;
	out->paths = proto_array(w, in->npaths, sizeof(*out->paths));
	for (size_t i = 0; i < in->npaths; i++) {
		const struct daemon_path_state *p = &in->paths[i];
		Daemon__PathState *s = proto_new(w, &daemon__path_state__descriptor);
		s->kind = proto_text(p->kind);
		s->local = proto_text(p->local);
		s->remote = proto_text(p->remote);
		s->used = p->used;
		s->rtt = p->rtt != 0 ? proto_duration(w, p->rtt) : NULL;
		s->variation = p->variation != 0 ? proto_duration(w, p->variation) : NULL;
		s->checks = p->checks;
		s->checkslost = p->checks_lost;
		s->estimated = p->estimated;
		out->paths[i] = s;
	}
}

static Daemon__PeerState *peer_write(struct proto_writer *w, const struct daemon_peer_state *in)
{
	Daemon__PeerState *out = proto_new(w, &daemon__peer_state__descriptor);
	out->ip = proto_text(in->ip);
	out->ipv6 = proto_text(in->ipv6);
	out->pubkey = proto_text(in->key);
	out->fqdn = proto_text(in->fqdn);
	out->connstatus = proto_text(in->status);
	out->connstatusupdate = moment(w, in->status_changed);
	out->relayed = in->relayed;
	out->localicecandidatetype = proto_text(in->local_cand_type);
	out->remoteicecandidatetype = proto_text(in->remote_cand_type);
	out->localicecandidateendpoint = proto_text(in->local_cand_ep);
	out->remoteicecandidateendpoint = proto_text(in->remote_cand_ep);
	out->lastwireguardhandshake = moment(w, in->last_handshake);
	out->bytesrx = in->rx_bytes;
	out->bytestx = in->tx_bytes;
	out->latency = proto_duration(w, in->latency);
	out->relayaddress = proto_text(in->relay_address);
	out->networks = proto_texts(w, in->nnetworks, in->networks);
	out->n_networks = in->nnetworks;
	out->rosenpassenabled = in->rosenpass;
	out->reason = proto_text(in->reason);
	out->checks = in->checks;
	out->checkslost = in->checks_lost;
	paths_write(w, in, out);
	return out;
}

static void relays_write(struct proto_writer *w, const struct daemon_status_response *in,
			 Daemon__FullStatus *out)
{
	out->n_relays = in->nrelays;
	out->relays = proto_array(w, in->nrelays, sizeof(*out->relays));
	for (size_t i = 0; i < in->nrelays; i++) {
		Daemon__RelayState *s = proto_new(w, &daemon__relay_state__descriptor);
		s->uri = proto_text(in->relays[i].uri);
		s->available = in->relays[i].available;
		s->error = proto_text(in->relays[i].error);
		s->transport = proto_text(in->relays[i].transport);
		out->relays[i] = s;
	}
}

static void dns_write(struct proto_writer *w, const struct daemon_status_response *in,
		      Daemon__FullStatus *out)
{
	out->n_dns_servers = in->ndns;
	out->dns_servers = proto_array(w, in->ndns, sizeof(*out->dns_servers));
	for (size_t i = 0; i < in->ndns; i++) {
		const struct daemon_dns_state *d = &in->dns[i];
		Daemon__NSGroupState *s = proto_new(w, &daemon__nsgroup_state__descriptor);
		s->servers = proto_texts(w, d->nservers, d->servers);
		s->n_servers = d->nservers;
		s->domains = proto_texts(w, d->ndomains, d->domains);
		s->n_domains = d->ndomains;
		s->enabled = d->enabled;
		s->error = proto_text(d->error);
		out->dns_servers[i] = s;
	}
}

static void metadata_write(struct proto_writer *w, const struct daemon_event *in,
			   Daemon__SystemEvent *out)
{
	out->n_metadata = in->nmetadata;
	out->metadata = proto_array(w, in->nmetadata, sizeof(*out->metadata));
	for (size_t i = 0; i < in->nmetadata; i++) {
		Daemon__SystemEvent__MetadataEntry *kv =
			proto_new(w, &daemon__system_event__metadata_entry__descriptor);
		kv->key = proto_text(in->metadata[i].key);
		kv->value = proto_text(in->metadata[i].value);
		out->metadata[i] = kv;
	}
}

static void events_write(struct proto_writer *w, const struct daemon_status_response *in,
			 Daemon__FullStatus *out)
{
	out->n_events = in->nevents;
	out->events = proto_array(w, in->nevents, sizeof(*out->events));
	for (size_t i = 0; i < in->nevents; i++) {
		Daemon__SystemEvent *s = proto_new(w, &daemon__system_event__descriptor);
		s->id = proto_text(in->events[i].id);
		s->severity = (Daemon__SystemEvent__Severity)in->events[i].severity;
		s->category = (Daemon__SystemEvent__Category)in->events[i].category;
		s->message = proto_text(in->events[i].message);
		s->usermessage = proto_text(in->events[i].user_message);
		s->timestamp = moment(w, in->events[i].at);
		metadata_write(w, &in->events[i], s);
		out->events[i] = s;
	}
}

static Daemon__FullStatus *full_write(struct proto_writer *w,
				      const struct daemon_status_response *in)
{
	Daemon__FullStatus *out = proto_new(w, &daemon__full_status__descriptor);
	out->managementstate = proto_new(w, &daemon__management_state__descriptor);
	out->managementstate->url = proto_text(in->management.url);
	out->managementstate->connected = in->management.connected;
	out->managementstate->error = proto_text(in->management.error);
	out->signalstate = proto_new(w, &daemon__signal_state__descriptor);
	out->signalstate->url = proto_text(in->signal.url);
	out->signalstate->connected = in->signal.connected;
	out->signalstate->error = proto_text(in->signal.error);

	Daemon__LocalPeerState *local = proto_new(w, &daemon__local_peer_state__descriptor);
	local->ip = proto_text(in->ip);
	local->ipv6 = proto_text(in->ipv6);
	local->pubkey = proto_text(in->key);
	local->fqdn = proto_text(in->fqdn);
	local->kernelinterface = in->kernel_interface;
	local->wgport = in->wg_port;
	local->rosenpassenabled = in->rosenpass;
	local->rosenpasspermissive = in->rosenpass_permissive;
	local->networks = proto_texts(w, in->nnetworks, in->networks);
	local->n_networks = in->nnetworks;
	out->localpeerstate = local;

	out->n_peers = in->npeers;
	out->peers = proto_array(w, in->npeers, sizeof(*out->peers));
	for (size_t i = 0; i < in->npeers; i++)
		out->peers[i] = peer_write(w, &in->peers[i]);
	relays_write(w, in, out);
	dns_write(w, in, out);
	events_write(w, in, out);
	out->numberofforwardingrules = in->forwarding_rules;
	out->lazyconnectionenabled = in->lazy;
	out->sshserverstate = proto_new(w, &daemon__sshserver_state__descriptor);
	return out;
}

void daemon_status_response_write(struct str *dst, const struct daemon_status_response *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Daemon__StatusResponse *out = proto_new(&w, &daemon__status_response__descriptor);
	out->status = proto_text(m->status);
	out->daemonversion = proto_text(m->version);
	out->sessionexpiresat = moment(&w, m->session_expires);
	if (m->has_full)
		out->fullstatus = full_write(&w, m);
	proto_pack(dst, out);
	proto_writer_fini(&w);
}
