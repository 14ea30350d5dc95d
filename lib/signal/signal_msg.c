#include "lib/signal/signal_msg.h"

#include "proto/proto_msg.h"
#include "proto/proto_scan.h"
#include "proto/signalexchange.pb-c.h"

enum { /* EncryptedMessage, spec signal-and-connection 1.1 */
	ENVELOPE_KEY = 2,
	ENVELOPE_REMOTE_KEY = 3,
	ENVELOPE_BODY = 4,
};

int signal_envelope_read(struct slice msg, struct signal_envelope *ret)
{
	struct signal_envelope e = { .key = slice_of(NULL, 0) };
	if (msg.n == 0) {
		*ret = e;
		return 0;
	}
	struct cursor c = cursor_of(msg);
	struct proto_field f;
	int r;
	while ((r = proto_scan(&c, &f)) > 0) {
		struct slice *to = NULL;
		if (f.number == ENVELOPE_KEY)
			to = &e.key;
		else if (f.number == ENVELOPE_REMOTE_KEY)
			to = &e.remote_key;
		else if (f.number == ENVELOPE_BODY)
			to = &e.body;
		if (to == NULL)
			continue;
		if (f.wire != PROTO_BYTES)
			return LN_E_MALFORMED;
		*to = f.bytes;
	}
	if (r < 0)
		return r;
	*ret = e;
	return 0;
}

void signal_envelope_write(struct str *dst, struct slice key, struct slice remote_key,
			   struct slice body)
{
	if (key.n > 0)
		proto_put_bytes(dst, ENVELOPE_KEY, key);
	if (remote_key.n > 0)
		proto_put_bytes(dst, ENVELOPE_REMOTE_KEY, remote_key);
	if (body.n > 0)
		proto_put_bytes(dst, ENVELOPE_BODY, body);
}

int signal_body_read(struct slice msg, struct arena *a, struct signal_body *ret)
{
	struct proto_reader r;
	struct signal_body out = { 0 };
	const Signalexchange__Body *m =
		proto_reader_init(&r, a, &signalexchange__body__descriptor, msg);
	if (m != NULL) {
		out.type = (uint32_t)m->type;
		out.payload = slice_str(proto_str(&r, m->payload));
		out.wg_port = m->wglistenport;
		out.version = proto_str(&r, m->netbirdversion);
		out.has_relay = m->_relay_server_address_case ==
				SIGNALEXCHANGE__BODY___RELAY_SERVER_ADDRESS_RELAY_SERVER_ADDRESS;
		out.relay_address = out.has_relay ? proto_str(&r, m->relayserveraddress) : "";
		/* A wrong length is as good as no address (spec signal-and-connection 2.4). */
		if (m->_relay_server_ip_case ==
			    SIGNALEXCHANGE__BODY___RELAY_SERVER_IP_RELAY_SERVER_IP &&
		    ip_from_bytes(slice_of(m->relayserverip.data, m->relayserverip.len),
				  &out.relay_ip) < 0)
			out.relay_ip = (struct ip_addr){ 0 };
		out.has_session =
			m->_session_id_case == SIGNALEXCHANGE__BODY___SESSION_ID_SESSION_ID &&
			m->sessionid.len == SIGNAL_SESSION_LEN;
		if (out.has_session)
			memcpy(out.session, m->sessionid.data, SIGNAL_SESSION_LEN);
		out.linnet_level = m->linnetlevel;
		out.rosenpass_addr = "";
		if (m->rosenpassconfig != NULL) {
			out.rosenpass_key = proto_bytes(&r, m->rosenpassconfig->rosenpasspubkey);
			out.rosenpass_addr = proto_str(&r, m->rosenpassconfig->rosenpassserveraddr);
		}
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void signal_body_write(struct str *dst, const struct signal_body *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Signalexchange__Body *p = proto_new(&w, &signalexchange__body__descriptor);
	p->type = (Signalexchange__Body__Type)m->type;
	/* The payload is text without an end: it needs one here. */
	char *payload = proto_array(&w, m->payload.n + 1, 1);
	if (m->payload.n > 0)
		memcpy(payload, m->payload.p, m->payload.n);
	p->payload = payload;
	p->wglistenport = m->wg_port;
	p->netbirdversion = proto_text(m->version);
	if (m->type == SIGNAL_OFFER || m->type == SIGNAL_ANSWER) {
		p->rosenpassconfig = proto_new(&w, &signalexchange__rosenpass_config__descriptor);
		p->rosenpassconfig->rosenpasspubkey = proto_bin(m->rosenpass_key);
		p->rosenpassconfig->rosenpassserveraddr = proto_text(m->rosenpass_addr);
	}
	if (m->has_relay) {
		p->_relay_server_address_case =
			SIGNALEXCHANGE__BODY___RELAY_SERVER_ADDRESS_RELAY_SERVER_ADDRESS;
		p->relayserveraddress = proto_text(m->relay_address);
	}
	if (m->has_session) {
		p->_session_id_case = SIGNALEXCHANGE__BODY___SESSION_ID_SESSION_ID;
		p->sessionid = proto_bin(slice_of(m->session, SIGNAL_SESSION_LEN));
	}
	if (ip_is_set(&m->relay_ip)) {
		p->_relay_server_ip_case = SIGNALEXCHANGE__BODY___RELAY_SERVER_IP_RELAY_SERVER_IP;
		p->relayserverip = proto_bin(slice_of(m->relay_ip.b, ip_bits(&m->relay_ip) / 8));
	}
	p->linnetlevel = m->linnet_level;
	proto_pack(dst, p);
	proto_writer_fini(&w);
}
