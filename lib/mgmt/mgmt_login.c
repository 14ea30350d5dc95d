#include "lib/mgmt/mgmt_internal.h"

/* What agents put into the field when they register with a token only (trap 15). */
#define NO_SETUP_KEY "00000000-0000-0000-0000-000000000000"

int mgmt_login_request_read(struct slice msg, struct arena *a, struct mgmt_login_request *ret)
{
	struct proto_reader r;
	struct mgmt_login_request out = { 0 };
	const Management__LoginRequest *m =
		proto_reader_init(&r, a, &management__login_request__descriptor, msg);
	if (m != NULL) {
		bool none = strcmp(m->setupkey, NO_SETUP_KEY) == 0;
		out.setup_key = none ? "" : proto_str(&r, m->setupkey);
		out.jwt = proto_str(&r, m->jwttoken);
		out.has_meta = m->meta != NULL;
		if (out.has_meta)
			mgmt_meta_from_wire(&r, m->meta, &out.meta);
		if (m->peerkeys != NULL)
			out.ssh_key = proto_bytes(&r, m->peerkeys->sshpubkey);
		out.dns_labels = proto_strs(&r, m->n_dnslabels, m->dnslabels);
		out.ndns_labels = m->n_dnslabels;
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void mgmt_login_request_write(struct str *dst, const struct mgmt_login_request *m,
			      const struct wg_key *own)
{
	char text[WG_KEY_TEXT];
	wg_key_format(own, text);
	struct proto_writer w;
	proto_writer_init(&w);
	Management__LoginRequest *p = proto_new(&w, &management__login_request__descriptor);
	p->setupkey = proto_text(m->setup_key);
	p->jwttoken = proto_text(m->jwt);
	if (m->has_meta)
		p->meta = mgmt_meta_to_wire(&w, &m->meta);
	p->peerkeys = proto_new(&w, &management__peer_keys__descriptor);
	p->peerkeys->sshpubkey = proto_bin(m->ssh_key);
	/* The base64 text as bytes, not the key itself (trap 14). */
	p->peerkeys->wgpubkey = proto_bin(slice_str(text));
	p->dnslabels = proto_texts(&w, m->ndns_labels, m->dns_labels);
	p->n_dnslabels = m->ndns_labels;
	proto_pack(dst, p);
	proto_writer_fini(&w);
}

int mgmt_sync_request_read(struct slice msg, struct arena *a, struct mgmt_sync_request *ret)
{
	struct proto_reader r;
	struct mgmt_sync_request out = { 0 };
	const Management__SyncRequest *m =
		proto_reader_init(&r, a, &management__sync_request__descriptor, msg);
	if (m != NULL && m->meta != NULL) {
		out.has_meta = true;
		mgmt_meta_from_wire(&r, m->meta, &out.meta);
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void mgmt_sync_request_write(struct str *dst, const struct mgmt_sync_request *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Management__SyncRequest *p = proto_new(&w, &management__sync_request__descriptor);
	if (m->has_meta)
		p->meta = mgmt_meta_to_wire(&w, &m->meta);
	proto_pack(dst, p);
	proto_writer_fini(&w);
}

int mgmt_login_response_read(struct slice msg, struct arena *a, struct mgmt_login_response *ret)
{
	struct proto_reader r;
	struct mgmt_login_response out = { 0 };
	const Management__LoginResponse *m =
		proto_reader_init(&r, a, &management__login_response__descriptor, msg);
	if (m != NULL) {
		out.has_servers = m->netbirdconfig != NULL;
		if (out.has_servers)
			mgmt_servers_from_wire(&r, m->netbirdconfig, &out.servers);
		out.has_self = m->peerconfig != NULL;
		if (out.has_self)
			mgmt_self_from_wire(&r, m->peerconfig, &out.self);
		out.deadline = mgmt_deadline_from_wire(m->sessionexpiresat);
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void mgmt_login_response_write(struct str *dst, const struct mgmt_login_response *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Management__LoginResponse *p = proto_new(&w, &management__login_response__descriptor);
	if (m->has_servers)
		p->netbirdconfig = mgmt_servers_to_wire(&w, &m->servers);
	if (m->has_self)
		p->peerconfig = mgmt_self_to_wire(&w, &m->self);
	p->sessionexpiresat = mgmt_deadline_to_wire(&w, &m->deadline);
	proto_pack(dst, p);
	proto_writer_fini(&w);
}
