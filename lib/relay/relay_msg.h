#pragma once
/*
 * Relay messages (spec relay 2 and 3). One message is one WebSocket message or one QUIC datagram:
 * version, type, body; no lengths and no integers wider than a byte. Views point into the message.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/crypto/key.h"

#define RELAY_ID_LEN 36
#define RELAY_ID_TEXT 49 /* "sha-", base64 of 32 bytes, zero */
#define RELAY_HEADER 2
#define RELAY_TRANSPORT_HEADER (RELAY_HEADER + RELAY_ID_LEN)
#define RELAY_AUTH_HEADER (RELAY_HEADER + 4 + RELAY_ID_LEN)
#define RELAY_AUTH_MAX 212
#define RELAY_AUTH_RESPONSE_MAX 8192
#define RELAY_MSG_MAX 8820
#define RELAY_IDS_MAX 244 /* of one state message */
#define RELAY_PAYLOAD_MAX (RELAY_MSG_MAX - RELAY_TRANSPORT_HEADER)

enum relay_type {
	RELAY_TRANSPORT = 3,
	RELAY_CLOSE = 4,
	RELAY_HEALTH_CHECK = 5,
	RELAY_AUTH = 6,
	RELAY_AUTH_RESPONSE = 7,
	RELAY_SUBSCRIBE = 8,
	RELAY_UNSUBSCRIBE = 9,
	RELAY_ONLINE = 10,
	RELAY_OFFLINE = 11
};

/* Names a peer at a relay: "sha-" and SHA-256 of its public key's base64 text (trap 9). */
struct relay_id {
	uint8_t b[RELAY_ID_LEN];
};

void relay_id_of_text(struct slice text, struct relay_id *ret);
void relay_id_of_key(const struct wg_key *key, struct relay_id *ret);
void relay_id_format(const struct relay_id *id, char dst[RELAY_ID_TEXT]);

static inline bool relay_id_equal(const struct relay_id *a, const struct relay_id *b)
{
	return memcmp(a->b, b->b, RELAY_ID_LEN) == 0;
}

/* The type of a message; LN_E_TRUNCATED (below 2 bytes), LN_E_UNSUPPORTED (version or type). */
LN_MUST_CHECK int relay_msg_type(struct slice msg);

struct relay_auth {
	struct relay_id id;
	struct slice token;
};

/* LN_E_TRUNCATED, LN_E_LIMIT (above 212 bytes), LN_E_MALFORMED (magic). */
LN_MUST_CHECK int relay_msg_read_auth(struct slice msg, struct relay_auth *ret);
/* LN_E_MALFORMED: empty or too long. */
LN_MUST_CHECK int relay_msg_read_auth_response(struct slice msg, struct slice *ret_url);
/* LN_E_TRUNCATED below 38 bytes. */
LN_MUST_CHECK int relay_msg_read_transport(struct slice msg, struct relay_id *ret_id,
					   struct slice *ret_payload);
/* The number of ids of a state message; LN_E_MALFORMED when the body is no whole number of them. */
LN_MUST_CHECK int relay_msg_ids(struct slice msg);
/* i below relay_msg_ids(). */
void relay_msg_id(struct slice msg, size_t i, struct relay_id *ret);

/* Each writes one message and returns its length; LN_E_LIMIT when it does not fit dst or the
 * protocol. */
LN_MUST_CHECK int relay_msg_write_auth(struct mslice dst, const struct relay_id *id,
				       struct slice token);
LN_MUST_CHECK int relay_msg_write_auth_response(struct mslice dst, struct slice url);
LN_MUST_CHECK int relay_msg_write_transport(struct mslice dst, const struct relay_id *id,
					    struct slice payload);
/* Begins a state message without ids, or a message without a body (Close, HealthCheck). */
LN_MUST_CHECK int relay_msg_write_header(struct mslice dst, enum relay_type type);
