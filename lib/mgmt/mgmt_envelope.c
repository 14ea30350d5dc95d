#include "lib/mgmt/mgmt_internal.h"
#include "lib/mgmt/mgmt_put.h"

#include "proto/proto_scan.h"

enum { /* EncryptedMessage, spec management-protocol 1.2 */
	ENVELOPE_KEY = 1,
	ENVELOPE_BODY = 2,
};

int mgmt_envelope_read(struct slice msg, struct mgmt_envelope *ret)
{
	struct slice key = slice_of(NULL, 0);
	struct slice body = slice_of(NULL, 0);
	if (msg.n == 0)
		return LN_E_MALFORMED;
	struct cursor c = cursor_of(msg);
	struct proto_field f;
	int r;
	while ((r = proto_scan(&c, &f)) > 0) {
		if (f.number != ENVELOPE_KEY && f.number != ENVELOPE_BODY)
			continue;
		if (f.wire != PROTO_BYTES)
			return LN_E_MALFORMED;
		if (f.number == ENVELOPE_KEY)
			key = f.bytes;
		else
			body = f.bytes;
	}
	struct wg_key k;
	if (r < 0 || wg_key_parse(key, &k) < 0)
		return LN_E_MALFORMED;
	*ret = (struct mgmt_envelope){ .key = k, .body = body };
	return 0;
}

void mgmt_envelope_write(struct str *dst, const struct wg_key *key, struct slice body)
{
	char text[WG_KEY_TEXT];
	wg_key_format(key, text);
	proto_put_bytes(dst, ENVELOPE_KEY, slice_str(text));
	if (body.n > 0)
		proto_put_bytes(dst, ENVELOPE_BODY, body);
}

size_t mgmt_envelope_head(uint8_t dst[MGMT_ENVELOPE_HEAD_MAX], const struct wg_key *key,
			  size_t nbody)
{
	char text[WG_KEY_TEXT];
	wg_key_format(key, text);
	uint8_t *p = mgmt_put_bytes(dst, ENVELOPE_KEY, text, strlen(text));
	p = mgmt_put_head(p, ENVELOPE_BODY, nbody);
	return (size_t)(p - dst);
}

int mgmt_server_key_read(struct slice msg, struct wg_key *ret)
{
	struct arena none;
	arena_init(&none, 0);
	struct proto_reader r;
	struct wg_key key = { 0 };
	const Management__ServerKeyResponse *m =
		proto_reader_init(&r, &none, &management__server_key_response__descriptor, msg);
	if (m != NULL && wg_key_parse(slice_str(m->key), &key) < 0)
		proto_fail(&r, LN_E_MALFORMED);
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = key;
	return err;
}

void mgmt_server_key_write(struct str *dst, const struct wg_key *key, ln_wall expires)
{
	char text[WG_KEY_TEXT];
	wg_key_format(key, text);
	struct proto_writer w;
	proto_writer_init(&w);
	Management__ServerKeyResponse *m =
		proto_new(&w, &management__server_key_response__descriptor);
	m->key = text;
	m->expiresat = proto_timestamp(&w, expires);
	proto_pack(dst, m);
	proto_writer_fini(&w);
}
