#include "lib/crypto/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "lib/base/err.h"

void digest_sha256(struct slice data, uint8_t dst[SHA256_LEN])
{
	ln_assert(EVP_Digest(data.p, data.n, dst, NULL, EVP_sha256(), NULL) == 1);
}

void digest_hmac_sha256(struct slice key, struct slice data, uint8_t dst[SHA256_LEN])
{
	ln_assert(HMAC(EVP_sha256(), key.p, (int)key.n, data.p, data.n, dst, NULL) != NULL);
}

void digest_hmac_sha1(struct slice key, struct slice data, uint8_t dst[SHA1_LEN])
{
	ln_assert(HMAC(EVP_sha1(), key.p, (int)key.n, data.p, data.n, dst, NULL) != NULL);
}

void digest_md5(struct slice data, uint8_t dst[MD5_LEN])
{
	ln_assert(EVP_Digest(data.p, data.n, dst, NULL, EVP_md5(), NULL) == 1);
}

uint32_t digest_crc32(uint32_t crc, struct slice data)
{
	crc = ~crc;
	for (size_t i = 0; i < data.n; i++) {
		crc ^= data.p[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1u)));
	}
	return ~crc;
}

uint64_t digest_fnv1a(uint64_t h, struct slice data)
{
	for (size_t i = 0; i < data.n; i++)
		h = (h ^ data.p[i]) * 1099511628211ull;
	return h;
}
