#include "lib/crypto/blake2s.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "lib/base/err.h"
#include "lib/crypto/ct.h"

void blake2s_hash(struct slice a, struct slice b, uint8_t dst[BLAKE2S_LEN])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	ln_assert(c != NULL && EVP_DigestInit_ex(c, EVP_blake2s256(), NULL) == 1 &&
		  EVP_DigestUpdate(c, a.p, a.n) == 1 && EVP_DigestUpdate(c, b.p, b.n) == 1 &&
		  EVP_DigestFinal_ex(c, dst, NULL) == 1);
	EVP_MD_CTX_free(c);
}

void blake2s_mac(struct slice key, struct slice data, uint8_t dst[BLAKE2S_MAC_LEN])
{
	size_t size = BLAKE2S_MAC_LEN;
	const OSSL_PARAM params[] = { OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
				      OSSL_PARAM_construct_end() };
	size_t written = 0;
	ln_assert(EVP_Q_mac(NULL, "BLAKE2SMAC", NULL, NULL, params, key.p, key.n, data.p, data.n,
			    dst, BLAKE2S_MAC_LEN, &written) != NULL &&
		  written == BLAKE2S_MAC_LEN);
}

void blake2s_hmac(struct slice key, struct slice data, uint8_t dst[BLAKE2S_LEN])
{
	uint8_t pad[BLAKE2S_BLOCK];
	uint8_t inner[BLAKE2S_LEN];
	ln_assert(key.n <= sizeof(pad));
	memset(pad, 0, sizeof(pad));
	memcpy(pad, key.p, key.n);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	blake2s_hash(slice_of(pad, sizeof(pad)), data, inner);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	blake2s_hash(slice_of(pad, sizeof(pad)), slice_of(inner, sizeof(inner)), dst);
	ct_wipe(pad, sizeof(pad));
	ct_wipe(inner, sizeof(inner));
}

void blake2s_kdf(const uint8_t key[BLAKE2S_LEN], struct slice input, uint8_t *t1, uint8_t *t2,
		 uint8_t *t3)
{
	uint8_t *const dst[3] = { t1, t2, t3 };
	uint8_t secret[BLAKE2S_LEN];
	uint8_t t[3][BLAKE2S_LEN + 1]; /* each output followed by the number of the next */
	blake2s_hmac(slice_of(key, BLAKE2S_LEN), input, secret);
	for (size_t i = 0; i < 3 && dst[i] != NULL; i++) {
		uint8_t number = (uint8_t)(i + 1);
		struct slice data = slice_of(&number, 1);
		if (i > 0) {
			t[i - 1][BLAKE2S_LEN] = number;
			data = slice_of(t[i - 1], sizeof(t[i - 1]));
		}
		blake2s_hmac(slice_of(secret, sizeof(secret)), data, t[i]);
	}
	for (size_t i = 0; i < 3 && dst[i] != NULL; i++)
		memcpy(dst[i], t[i], BLAKE2S_LEN);
	ct_wipe(secret, sizeof(secret));
	ct_wipe(t, sizeof(t));
}
