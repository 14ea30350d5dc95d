#include "lib/crypto/aead.h"

#include <sodium.h>

static const uint8_t nothing[1];

/* libsodium declares its pointers non-null even where the length is zero. */
static const uint8_t *ptr_of(struct slice s)
{
	return s.n != 0 ? s.p : nothing;
}

static void nonce_of(uint64_t counter, uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
	memset(nonce, 0, crypto_aead_chacha20poly1305_ietf_NPUBBYTES);
	for (unsigned i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

void aead_seal(const uint8_t key[AEAD_KEY_LEN], uint64_t counter, struct slice ad,
	       struct slice plain, uint8_t *dst)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
	nonce_of(counter, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(dst, NULL, ptr_of(plain), plain.n, ptr_of(ad),
						  ad.n, NULL, nonce, key);
}

int aead_open(const uint8_t key[AEAD_KEY_LEN], uint64_t counter, struct slice ad,
	      struct slice sealed, uint8_t *dst)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
	uint8_t none[1];
	if (sealed.n < AEAD_TAG_LEN)
		return LN_E_TRUNCATED;
	nonce_of(counter, nonce);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(sealed.n > AEAD_TAG_LEN ? dst : none, NULL,
						      NULL, sealed.p, sealed.n, ptr_of(ad), ad.n,
						      nonce, key) != 0)
		return LN_E_AUTH;
	return 0;
}

void aead_xseal(const uint8_t key[AEAD_KEY_LEN], const uint8_t nonce[AEAD_XNONCE_LEN],
		struct slice ad, struct slice plain, uint8_t *dst)
{
	crypto_aead_xchacha20poly1305_ietf_encrypt(dst, NULL, ptr_of(plain), plain.n, ptr_of(ad),
						   ad.n, NULL, nonce, key);
}

int aead_xopen(const uint8_t key[AEAD_KEY_LEN], const uint8_t nonce[AEAD_XNONCE_LEN],
	       struct slice ad, struct slice sealed, uint8_t *dst)
{
	uint8_t none[1];
	if (sealed.n < AEAD_TAG_LEN)
		return LN_E_TRUNCATED;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(sealed.n > AEAD_TAG_LEN ? dst : none, NULL,
						       NULL, sealed.p, sealed.n, ptr_of(ad), ad.n,
						       nonce, key) != 0)
		return LN_E_AUTH;
	return 0;
}
