/* ReconnectPeer, a call of ours. */
#include "lib/daemon/daemon_msg.h"

#include "proto/daemon.pb-c.h"
#include "proto/proto_msg.h"

int daemon_reconnect_request_read(struct slice msg, struct arena *a,
				  struct daemon_reconnect_request *ret)
{
	struct proto_reader r;
	struct daemon_reconnect_request out = { 0 };
	const Daemon__ReconnectPeerRequest *in =
		proto_reader_init(&r, a, &daemon__reconnect_peer_request__descriptor, msg);
	if (in != NULL)
		out.peer = proto_str(&r, in->peer);
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void daemon_reconnect_request_write(struct str *dst, const struct daemon_reconnect_request *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Daemon__ReconnectPeerRequest *out =
		proto_new(&w, &daemon__reconnect_peer_request__descriptor);
	out->peer = proto_text(m->peer);
	proto_pack(dst, out);
	proto_writer_fini(&w);
}

int daemon_reconnect_response_read(struct slice msg, struct arena *a,
				   struct daemon_reconnect_response *ret)
{
	struct proto_reader r;
	struct daemon_reconnect_response out = { 0 };
	const Daemon__ReconnectPeerResponse *in =
		proto_reader_init(&r, a, &daemon__reconnect_peer_response__descriptor, msg);
	if (in != NULL) {
		out.fqdn = proto_str(&r, in->fqdn);
		out.ip = proto_str(&r, in->ip);
		out.key = proto_str(&r, in->pubkey);
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void daemon_reconnect_response_write(struct str *dst, const struct daemon_reconnect_response *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Daemon__ReconnectPeerResponse *out =
		proto_new(&w, &daemon__reconnect_peer_response__descriptor);
	out->fqdn = proto_text(m->fqdn);
	out->ip = proto_text(m->ip);
	out->pubkey = proto_text(m->key);
	proto_pack(dst, out);
	proto_writer_fini(&w);
}
