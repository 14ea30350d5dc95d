#pragma once
/*
 * MESSAGE-INTEGRITY (HMAC-SHA1, RFC 8489 14.5) and FINGERPRINT (CRC-32, RFC 8489 14.7).
 *
 * Both are computed as if the message ended with the attribute itself, so the length field is
 * patched to there before checking (spec signal-and-connection 3.6, trap 24). The key of a
 * short-term credential is the password's bytes.
 */
#include "lib/stun/stun_msg.h"

/* True when the message has MESSAGE-INTEGRITY and it verifies. */
bool stun_auth_verify(const struct stun_msg *m, struct slice key);
/* True when FINGERPRINT is absent or right. */
bool stun_auth_fingerprint_ok(const struct stun_msg *m);
/* Appends MESSAGE-INTEGRITY over all that was written. */
void stun_auth_sign(struct writer *w, struct slice key);
/* Appends FINGERPRINT; the last attribute. */
void stun_auth_fingerprint(struct writer *w);
