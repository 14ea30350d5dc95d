#include "lib/relay/relay_msg.h"

#include "lib/crypto/digest.h"

#define VERSION 1

static const uint8_t magic[4] = { 0x21, 0x12, 0xa4, 0x42 };

/* --- peer ids ---------------------------------------------------------------------------------*/

void relay_id_of_text(struct slice text, struct relay_id *ret)
{
	memcpy(ret->b, "sha-", 4);
	digest_sha256(text, ret->b + 4);
}

void relay_id_of_key(const struct wg_key *key, struct relay_id *ret)
{
	char text[WG_KEY_TEXT];
	wg_key_format(key, text);
	relay_id_of_text(slice_str(text), ret);
}

void relay_id_format(const struct relay_id *id, char dst[RELAY_ID_TEXT])
{
	memcpy(dst, "sha-", 4);
	b64_encode(slice_of(id->b + 4, RELAY_ID_LEN - 4), dst + 4);
}

/* --- reading ----------------------------------------------------------------------------------*/

int relay_msg_type(struct slice msg)
{
	if (msg.n < RELAY_HEADER)
		return LN_E_TRUNCATED;
	if (msg.p[0] != VERSION || msg.p[1] < RELAY_TRANSPORT || msg.p[1] > RELAY_OFFLINE)
		return LN_E_UNSUPPORTED;
	return msg.p[1];
}

int relay_msg_read_auth(struct slice msg, struct relay_auth *ret)
{
	if (msg.n < RELAY_AUTH_HEADER)
		return LN_E_TRUNCATED;
	if (msg.n > RELAY_AUTH_MAX)
		return LN_E_LIMIT;
	if (msg.p[0] != VERSION || msg.p[1] != RELAY_AUTH ||
	    memcmp(msg.p + RELAY_HEADER, magic, sizeof(magic)) != 0)
		return LN_E_MALFORMED;
	memcpy(ret->id.b, msg.p + RELAY_HEADER + sizeof(magic), RELAY_ID_LEN);
	ret->token = slice_after(msg, RELAY_AUTH_HEADER);
	return 0;
}

int relay_msg_read_auth_response(struct slice msg, struct slice *ret_url)
{
	if (msg.n <= RELAY_HEADER || msg.n > RELAY_AUTH_RESPONSE_MAX)
		return LN_E_MALFORMED;
	*ret_url = slice_after(msg, RELAY_HEADER);
	return 0;
}

int relay_msg_read_transport(struct slice msg, struct relay_id *ret_id, struct slice *ret_payload)
{
	if (msg.n < RELAY_TRANSPORT_HEADER)
		return LN_E_TRUNCATED;
	memcpy(ret_id->b, msg.p + RELAY_HEADER, RELAY_ID_LEN);
	*ret_payload = slice_after(msg, RELAY_TRANSPORT_HEADER);
	return 0;
}

int relay_msg_ids(struct slice msg)
{
	if (msg.n < RELAY_HEADER || (msg.n - RELAY_HEADER) % RELAY_ID_LEN != 0)
		return LN_E_MALFORMED;
	return (int)((msg.n - RELAY_HEADER) / RELAY_ID_LEN);
}

void relay_msg_id(struct slice msg, size_t i, struct relay_id *ret)
{
	memcpy(ret->b, msg.p + RELAY_HEADER + i * RELAY_ID_LEN, RELAY_ID_LEN);
}

/* --- writing ----------------------------------------------------------------------------------*/

int relay_msg_write_header(struct mslice dst, enum relay_type type)
{
	if (dst.n < RELAY_HEADER)
		return LN_E_LIMIT;
	dst.p[0] = VERSION;
	dst.p[1] = (uint8_t)type;
	return RELAY_HEADER;
}

static int write_parts(struct mslice dst, enum relay_type type, size_t most, struct slice a,
		       struct slice b)
{
	size_t n = RELAY_HEADER + a.n + b.n;
	if (n > most || n > dst.n)
		return LN_E_LIMIT;
	dst.p[0] = VERSION;
	dst.p[1] = (uint8_t)type;
	memcpy(dst.p + RELAY_HEADER, a.p, a.n);
	if (b.n != 0)
		memcpy(dst.p + RELAY_HEADER + a.n, b.p, b.n);
	return (int)n;
}

int relay_msg_write_auth(struct mslice dst, const struct relay_id *id, struct slice token)
{
	uint8_t head[sizeof(magic) + RELAY_ID_LEN];
	memcpy(head, magic, sizeof(magic));
	memcpy(head + sizeof(magic), id->b, RELAY_ID_LEN);
	return write_parts(dst, RELAY_AUTH, RELAY_AUTH_MAX, slice_of(head, sizeof(head)), token);
}

int relay_msg_write_auth_response(struct mslice dst, struct slice url)
{
	if (url.n == 0)
		return LN_E_LIMIT;
	return write_parts(dst, RELAY_AUTH_RESPONSE, RELAY_AUTH_RESPONSE_MAX, url,
			   slice_of(NULL, 0));
}

int relay_msg_write_transport(struct mslice dst, const struct relay_id *id, struct slice payload)
{
	return write_parts(dst, RELAY_TRANSPORT, RELAY_MSG_MAX, slice_of(id->b, RELAY_ID_LEN),
			   payload);
}
