#include "lib/token/turn_credential.h"

#include <stdio.h>

#include "lib/base/b64.h"
#include "lib/crypto/digest.h"

void turn_credential_make(struct slice secret, ln_wall until, struct turn_credential *ret)
{
	uint8_t mac[SHA1_LEN];
	(void)snprintf(ret->user, sizeof(ret->user), "%lld", (long long)(until / LN_SEC));
	digest_hmac_sha1(secret, slice_str(ret->user), mac);
	b64_encode(slice_of(mac, sizeof(mac)), ret->password);
}
