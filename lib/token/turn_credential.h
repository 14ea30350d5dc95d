#pragma once
/*
 * Time-based credentials of a TURN server, as coturn's use-auth-secret computes them (spec relay
 * 18): the user is the second at which they end, the password base64(HMAC-SHA1(secret, user)).
 * The key is the secret's text itself, unlike the relay's.
 */
#include "lib/base/slice.h"
#include "lib/base/time.h"

#define TURN_CREDENTIAL_USER 24
#define TURN_CREDENTIAL_PASSWORD 29

struct turn_credential {
	char user[TURN_CREDENTIAL_USER];
	char password[TURN_CREDENTIAL_PASSWORD];
};

void turn_credential_make(struct slice secret, ln_wall until, struct turn_credential *ret);
