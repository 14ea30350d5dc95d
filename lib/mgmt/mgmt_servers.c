#include "lib/mgmt/mgmt_internal.h"

#define PROTOCOL_HTTPS MANAGEMENT__HOST_CONFIG__PROTOCOL__HTTPS

static void host_from_wire(struct proto_reader *r, const Management__HostConfig *w,
			   struct mgmt_host *ret)
{
	ret->user = "";
	ret->password = "";
	ret->uri = w != NULL ? proto_str(r, w->uri) : "";
	if (w == NULL)
		return;
	int protocol = (int)w->protocol;
	ret->protocol = (uint8_t)(protocol >= 0 && protocol <= UINT8_MAX ? protocol : 0);
	ret->https = ret->protocol == PROTOCOL_HTTPS;
}

void mgmt_servers_from_wire(struct proto_reader *r, const Management__NetbirdConfig *w,
			    struct mgmt_servers *ret)
{
	struct mgmt_host *stuns = proto_room(r, w->n_stuns, sizeof(*stuns));
	for (size_t i = 0; stuns != NULL && i < w->n_stuns; i++)
		host_from_wire(r, w->stuns[i], &stuns[i]);
	ret->stuns = stuns;
	ret->nstuns = w->n_stuns;

	struct mgmt_host *turns = proto_room(r, w->n_turns, sizeof(*turns));
	for (size_t i = 0; turns != NULL && i < w->n_turns; i++) {
		host_from_wire(r, w->turns[i]->hostconfig, &turns[i]);
		turns[i].user = proto_str(r, w->turns[i]->user);
		turns[i].password = proto_str(r, w->turns[i]->password);
	}
	ret->turns = turns;
	ret->nturns = w->n_turns;

	ret->has_signal = w->signal != NULL;
	if (ret->has_signal)
		host_from_wire(r, w->signal, &ret->signal);
	ret->has_relay = w->relay != NULL;
	if (ret->has_relay) {
		ret->relay.urls = proto_strs(r, w->relay->n_urls, w->relay->urls);
		ret->relay.nurls = w->relay->n_urls;
		ret->relay.token_payload = proto_str(r, w->relay->tokenpayload);
		ret->relay.token_signature = proto_str(r, w->relay->tokensignature);
	}
}

static Management__HostConfig *host_to_wire(struct proto_writer *w, const struct mgmt_host *m)
{
	Management__HostConfig *p = proto_new(w, &management__host_config__descriptor);
	p->uri = proto_text(m->uri);
	p->protocol = m->https ? PROTOCOL_HTTPS : (Management__HostConfig__Protocol)m->protocol;
	return p;
}

/*
 * A configuration with a signal server is a complete one (spec management-protocol 4.2): it says
 * that metrics are off by an empty message. Refreshes of credentials (4.3) carry neither.
 */
Management__NetbirdConfig *mgmt_servers_to_wire(struct proto_writer *w,
						const struct mgmt_servers *m)
{
	Management__NetbirdConfig *p = proto_new(w, &management__netbird_config__descriptor);
	p->n_stuns = m->nstuns;
	p->stuns = proto_array(w, m->nstuns, sizeof(*p->stuns));
	for (size_t i = 0; i < m->nstuns; i++)
		p->stuns[i] = host_to_wire(w, &m->stuns[i]);
	p->n_turns = m->nturns;
	p->turns = proto_array(w, m->nturns, sizeof(*p->turns));
	for (size_t i = 0; i < m->nturns; i++) {
		Management__ProtectedHostConfig *t =
			proto_new(w, &management__protected_host_config__descriptor);
		t->hostconfig = host_to_wire(w, &m->turns[i]);
		t->user = proto_text(m->turns[i].user);
		t->password = proto_text(m->turns[i].password);
		p->turns[i] = t;
	}
	if (m->has_signal) {
		p->signal = host_to_wire(w, &m->signal);
		p->metrics = proto_new(w, &management__metrics_config__descriptor);
	}
	if (m->has_relay) {
		p->relay = proto_new(w, &management__relay_config__descriptor);
		p->relay->n_urls = m->relay.nurls;
		p->relay->urls = proto_texts(w, m->relay.nurls, m->relay.urls);
		p->relay->tokenpayload = proto_text(m->relay.token_payload);
		p->relay->tokensignature = proto_text(m->relay.token_signature);
	}
	return p;
}

struct mgmt_deadline mgmt_deadline_from_wire(const Google__Protobuf__Timestamp *t)
{
	if (t == NULL)
		return (struct mgmt_deadline){ .kind = MGMT_DEADLINE_ABSENT };
	if (t->seconds == 0 && t->nanos == 0)
		return (struct mgmt_deadline){ .kind = MGMT_DEADLINE_NONE };
	return (struct mgmt_deadline){ .kind = MGMT_DEADLINE_AT, .at = proto_wall(t) };
}

Google__Protobuf__Timestamp *mgmt_deadline_to_wire(struct proto_writer *w,
						   const struct mgmt_deadline *d)
{
	switch (d->kind) {
	case MGMT_DEADLINE_ABSENT:
		return NULL;
	case MGMT_DEADLINE_NONE:
		return proto_timestamp(w, 0);
	case MGMT_DEADLINE_AT:
		return proto_timestamp(w, d->at);
	}
	return NULL;
}
