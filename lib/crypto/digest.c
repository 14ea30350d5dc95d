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
	/* What four bits that leave at the low end do to the rest. */
	static const uint32_t out[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	crc = ~crc;
	for (size_t i = 0; i < data.n; i++) {
		crc ^= data.p[i];
		crc = crc >> 4 ^ out[crc & 15];
		crc = crc >> 4 ^ out[crc & 15];
	}
	return ~crc;
}

uint64_t digest_fnv1a(uint64_t h, struct slice data)
{
	for (size_t i = 0; i < data.n; i++)
		h = (h ^ data.p[i]) * 1099511628211ull;
	return h;
}
