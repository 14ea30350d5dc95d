#pragma once
/*
 * signalexchange messages as plain structs (spec signal-and-connection 1.1, 2.1). Readers point
 * into the given arena or the message; errors LN_E_MALFORMED, LN_E_LIMIT.
 */
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"
#include "lib/base/str.h"
#include "lib/crypto/key.h"

#define SIGNAL_SESSION_LEN 5

enum signal_type {
	SIGNAL_OFFER = 0,
	SIGNAL_ANSWER = 1,
	SIGNAL_CANDIDATE = 2,
	SIGNAL_MODE = 4,
	SIGNAL_GO_IDLE = 5,
	SIGNAL_HEARTBEAT = 6,
};

/* EncryptedMessage. Keys are text and stay text: the hub compares strings (1.5). In place. */
struct signal_envelope {
	struct slice key;
	struct slice remote_key;
	struct slice body;
};

/* Scans the outer message only; unknown fields are skipped. LN_E_MALFORMED. */
LN_MUST_CHECK int signal_envelope_read(struct slice msg, struct signal_envelope *ret);
void signal_envelope_write(struct str *dst, struct slice key, struct slice remote_key,
			   struct slice body);

struct signal_body {
	uint32_t type;        /* enum signal_type, or a value we do not know */
	struct slice payload; /* "<ufrag>:<pwd>" or a candidate */
	uint32_t wg_port;
	const char *version;
	bool has_relay;
	const char *relay_address;
	struct ip_addr relay_ip; /* family 0 absent or malformed */
	bool has_session;        /* false also when the length is not 5 */
	uint8_t session[SIGNAL_SESSION_LEN];
	struct slice rosenpass_key;
	const char *rosenpass_addr;
	uint32_t linnet_level; /* 0: an unmodified agent */
};

LN_MUST_CHECK int signal_body_read(struct slice msg, struct arena *a, struct signal_body *ret);
/* OFFER and ANSWER always carry an (empty) rosenpassConfig. */
void signal_body_write(struct str *dst, const struct signal_body *m);
